//! Counters of responses and of images, with bounded labels.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Hosts of sources that have counters of their own; those that come later share one.
const MAX_HOSTS: usize = 200;
/// Hosts whose sources fail may take so many of these places: names that do not exist are easily made up.
const MAX_FAILING_HOSTS: usize = MAX_HOSTS / 2;
/// The host of all sources above that.
const OTHER_HOSTS: &str = "other";

/// The number of the error that a response tells, as an extension of the response.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ErrorNumber(pub(crate) u16);

/// The route that a response came from, as an extension of the response.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Route(pub(crate) &'static str);

impl Route {
    /// Transformation URLs.
    pub(crate) const URL: Self = Self("/cdn-cgi/image");
    /// The binding's transformations.
    pub(crate) const TRANSFORM: Self = Self("/transform");
    /// Subrequests of a Workers runtime.
    pub(crate) const CF_IMAGE: Self = Self("cf.image");
}

/// Counters with labels (OPS-053). Their number is bounded: routes, statuses, numbers and formats are few, hosts are limited.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    responses: Mutex<BTreeMap<ResponseLabels, u64>>,
    transformations: Mutex<Transformations>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct ResponseLabels {
    route: &'static str,
    status: u16,
    error: u16,
}

#[derive(Debug, Default)]
struct Transformations {
    hosts: BTreeSet<String>,
    /// Images made, and the time that rendering them took.
    images: BTreeMap<ImageLabels, (u64, Duration)>,
    failures: BTreeMap<FailureLabels, u64>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct ImageLabels {
    route: Route,
    host: String,
    formats: Formats,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct FailureLabels {
    route: Route,
    host: String,
    status: u16,
    error: u16,
}

/// The media types of a source and of what was made of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Formats {
    pub(crate) from: &'static str,
    pub(crate) to: &'static str,
}

impl Counters {
    pub(crate) fn response<B>(&self, response: &http::Response<B>) {
        let extensions = response.extensions();
        let labels = ResponseLabels {
            route: extensions.get::<Route>().map_or("none", |route| route.0),
            status: response.status().as_u16(),
            error: extensions.get::<ErrorNumber>().map_or(0, |number| number.0),
        };
        *self.responses.lock().unwrap_or_else(PoisonError::into_inner).entry(labels).or_default() += 1;
    }

    /// An image was made of a source on `host`; rendering took `taken`.
    pub(crate) fn image(&self, route: Route, host: &str, formats: Formats, taken: Duration) {
        let mut counts = self.transformations();
        let host = counts.host(host, MAX_HOSTS);
        let (images, time) = counts.images.entry(ImageLabels { route, host, formats }).or_default();
        *images += 1;
        *time += taken;
    }

    /// A transformation of a source on `host` failed.
    pub(crate) fn failure(&self, route: Route, host: &str, status: u16, error: u16) {
        let mut counts = self.transformations();
        let host = counts.host(host, MAX_FAILING_HOSTS);
        *counts.failures.entry(FailureLabels { route, host, status, error }).or_default() += 1;
    }

    pub(crate) fn write(&self, out: &mut String) {
        write_head(out, "routed_responses_total", "Responses by route, status and error number (0 = none).");
        for (ResponseLabels { route, status, error }, count) in
            &*self.responses.lock().unwrap_or_else(PoisonError::into_inner)
        {
            let labels = format!("route=\"{route}\",status=\"{status}\",error=\"{error}\"");
            let _ = writeln!(out, "wholeplate_routed_responses_total{{{labels}}} {count}");
        }
        let counts = self.transformations();
        let image_labels = |ImageLabels { route, host, formats }: &ImageLabels| {
            let (route, host, Formats { from, to }) = (route.0, label(host), formats);
            format!("route=\"{route}\",host=\"{host}\",from=\"{from}\",to=\"{to}\"")
        };
        write_head(out, "transformations_total", "Images made, by route, host of the source and formats.");
        for (labels, (count, _)) in &counts.images {
            let labels = image_labels(labels);
            let _ = writeln!(out, "wholeplate_transformations_total{{{labels}}} {count}");
        }
        write_head(out, "transformation_seconds_total", "Time that rendering these images took.");
        for (labels, (_, time)) in &counts.images {
            let (labels, seconds) = (image_labels(labels), time.as_secs_f64());
            let _ = writeln!(out, "wholeplate_transformation_seconds_total{{{labels}}} {seconds}");
        }
        let help = "Failed transformations, by route, host of the source, status and error number.";
        write_head(out, "transformation_failures_total", help);
        for (FailureLabels { route, host, status, error }, count) in &counts.failures {
            let (route, host) = (route.0, label(host));
            let labels = format!("route=\"{route}\",host=\"{host}\",status=\"{status}\",error=\"{error}\"");
            let _ = writeln!(out, "wholeplate_transformation_failures_total{{{labels}}} {count}");
        }
    }

    fn transformations(&self) -> MutexGuard<'_, Transformations> {
        self.transformations.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The text of a label as the exposition format has it.
fn label(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

impl Transformations {
    /// The label of a host: its name, if it has a place or one of the first `places` is free.
    fn host(&mut self, host: &str, places: usize) -> String {
        if !self.hosts.contains(host) {
            if self.hosts.len() >= places {
                return OTHER_HOSTS.to_owned();
            }
            self.hosts.insert(host.to_owned());
        }
        host.to_owned()
    }
}

fn write_head(out: &mut String, name: &str, help: &str) {
    let _ = writeln!(out, "# HELP wholeplate_{name} {help}\n# TYPE wholeplate_{name} counter");
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Counters, ErrorNumber, Formats, Route};

    const FORMATS: Formats = Formats { from: "image/png", to: "image/webp" };

    fn text(counters: &Counters) -> String {
        let mut text = String::new();
        counters.write(&mut text);
        text
    }

    // OPS-053: the host of a source is the text of a visitor.
    #[test]
    fn labels_are_escaped() {
        let counters = Counters::default();
        counters.failure(Route::URL, "a\"} 1\n\\b", 403, 9401);
        let line = r#"{route="/cdn-cgi/image",host="a\"} 1\n\\b",status="403",error="9401"} 1"#;
        assert!(text(&counters).lines().any(|text| text.ends_with(line)), "{}", text(&counters));
    }

    // OPS-053
    #[test]
    fn counters_have_labels_and_a_bound() {
        let counters = Counters::default();
        let image = |host: &str| counters.image(Route::URL, host, FORMATS, Duration::from_millis(500));
        for i in 0..1000 {
            image(&format!("h{i}.example"));
        }
        image("h7.example");
        let mut response = http::Response::new(());
        response.extensions_mut().insert(Route("/info"));
        response.extensions_mut().insert(ErrorNumber(9401));
        counters.response(&response);
        let text = text(&counters);
        assert_eq!(text.matches("wholeplate_transformations_total{").count(), 201);
        let labels = |host: &str| {
            format!("{{route=\"/cdn-cgi/image\",host=\"{host}\",from=\"image/png\",to=\"image/webp\"}}")
        };
        for line in [
            format!("wholeplate_transformations_total{} 2\n", labels("h7.example")),
            format!("wholeplate_transformations_total{} 800\n", labels("other")),
            format!("wholeplate_transformation_seconds_total{} 1\n", labels("h7.example")),
            "{route=\"/info\",status=\"200\",error=\"9401\"} 1\n".to_owned(),
        ] {
            assert!(text.contains(&line), "{line}: {text}");
        }
    }

    // OPS-053
    #[test]
    fn hosts_that_fail_leave_places_to_those_that_do_not() {
        let counters = Counters::default();
        for i in 0..1000 {
            counters.failure(Route::CF_IMAGE, &format!("made-up-{i}.example"), 502, 9408);
        }
        counters.image(Route::CF_IMAGE, "real.example", FORMATS, Duration::ZERO);
        counters.failure(Route::CF_IMAGE, "real.example", 404, 9404);
        let text = text(&counters);
        assert_eq!(text.matches("wholeplate_transformation_failures_total{").count(), 102);
        for line in [
            "{route=\"cf.image\",host=\"other\",status=\"502\",error=\"9408\"} 900\n",
            "{route=\"cf.image\",host=\"real.example\",status=\"404\",error=\"9404\"} 1\n",
            "{route=\"cf.image\",host=\"real.example\",from=\"image/png\",to=\"image/webp\"} 1\n",
        ] {
            assert!(text.contains(line), "{line}: {text}");
        }
    }
}
