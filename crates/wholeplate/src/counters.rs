//! Counters of responses and of images, with bounded labels.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::{Mutex, PoisonError};

/// Hosts of sources that have counters of their own; those that come later share one.
const MAX_HOSTS: usize = 200;
/// The host of all sources above that.
const OTHER_HOSTS: &str = "other";

/// The number of the error that a response tells, as an extension of the response.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ErrorNumber(pub(crate) u16);

/// The route that a response came from, as an extension of the response.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Route(pub(crate) &'static str);

/// Counters with labels (OPS-053). Their number is bounded: routes, statuses, numbers and formats are few, hosts are limited.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    responses: Mutex<BTreeMap<ResponseLabels, u64>>,
    images: Mutex<Images>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct ResponseLabels {
    route: &'static str,
    status: u16,
    error: u16,
}

#[derive(Debug, Default)]
struct Images {
    hosts: BTreeSet<String>,
    counts: BTreeMap<ImageLabels, u64>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct ImageLabels {
    host: String,
    from: &'static str,
    to: &'static str,
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

    /// An image was made of a source on `host`.
    pub(crate) fn image(&self, host: &str, from: &'static str, to: &'static str) {
        let mut images = self.images.lock().unwrap_or_else(PoisonError::into_inner);
        let known = images.hosts.contains(host);
        if !known && images.hosts.len() < MAX_HOSTS {
            images.hosts.insert(host.to_owned());
        }
        let host = if known || images.hosts.contains(host) { host } else { OTHER_HOSTS };
        *images.counts.entry(ImageLabels { host: host.to_owned(), from, to }).or_default() += 1;
    }

    pub(crate) fn write(&self, out: &mut String) {
        write_head(out, "routed_responses_total", "Responses by route, status and error number (0 = none).");
        for (ResponseLabels { route, status, error }, count) in
            &*self.responses.lock().unwrap_or_else(PoisonError::into_inner)
        {
            let labels = format!("route=\"{route}\",status=\"{status}\",error=\"{error}\"");
            let _ = writeln!(out, "wholeplate_routed_responses_total{{{labels}}} {count}");
        }
        write_head(out, "transformations_total", "Images made, by host of the source and formats.");
        let images = self.images.lock().unwrap_or_else(PoisonError::into_inner);
        for (ImageLabels { host, from, to }, count) in &images.counts {
            // Hosts come from parsed URLs: they have no quotes, backslashes or line ends.
            let labels = format!("host=\"{host}\",from=\"{from}\",to=\"{to}\"");
            let _ = writeln!(out, "wholeplate_transformations_total{{{labels}}} {count}");
        }
    }
}

fn write_head(out: &mut String, name: &str, help: &str) {
    let _ = writeln!(out, "# HELP wholeplate_{name} {help}\n# TYPE wholeplate_{name} counter");
}

#[cfg(test)]
mod tests {
    use super::{Counters, ErrorNumber, Route};

    // OPS-053
    #[test]
    fn counters_have_labels_and_a_bound() {
        let counters = Counters::default();
        for i in 0..1000 {
            counters.image(&format!("h{i}.example"), "image/png", "image/webp");
        }
        counters.image("h7.example", "image/png", "image/webp");
        let mut response = http::Response::new(());
        response.extensions_mut().insert(Route("/info"));
        response.extensions_mut().insert(ErrorNumber(9401));
        counters.response(&response);
        let mut text = String::new();
        counters.write(&mut text);
        assert_eq!(text.matches("wholeplate_transformations_total{").count(), 201);
        assert!(text.contains("{host=\"h7.example\",from=\"image/png\",to=\"image/webp\"} 2\n"), "{text}");
        assert!(text.contains("{host=\"other\",from=\"image/png\",to=\"image/webp\"} 800\n"));
        assert!(text.contains("{route=\"/info\",status=\"200\",error=\"9401\"} 1\n"));
    }
}
