//! The phases of one request: how long it queued, fetched, rendered. They are reported in `Server-Timing` on request and as
//! spans to a collector. If neither is wanted, nothing is recorded.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use delivery::Receipt;
use http::{HeaderMap, HeaderValue, Request, Response};
use opentelemetry::trace::SpanKind;
use work::{Stage, Stages};

use super::otlp::Exporter;
use super::spans::{Child, Root};
use crate::error::ApiError;

/// The response header with the durations.
pub(crate) const SERVER_TIMING: &str = "server-timing";
/// The request header that asks for them.
const WANTED: &str = "want-server-timing";
/// Phases that are inner of one request: its fetches, its stages, and a few of ours.
const MOST_PHASES: usize = 256;

/// One request. Cheap to clone; all clones are one.
#[derive(Debug, Clone, Default)]
pub(crate) struct Trace(Option<Arc<Inner>>);

#[derive(Debug)]
struct Inner {
    began: Instant,
    /// `None`: nobody asked for `Server-Timing`.
    phases: Option<Mutex<Vec<(&'static str, Duration)>>>,
    root: Option<Root>,
    answered: AtomicBool,
}

/// Whether a request asks for `Server-Timing`.
pub(crate) fn wants_timing(headers: &HeaderMap) -> bool {
    headers.get(WANTED).is_some_and(|v| !matches!(v.as_bytes().trim_ascii(), b"" | b"0" | b"?0"))
}

impl Trace {
    /// A request that arrives now; `timed`: its durations are to be told in its answer.
    pub(crate) fn begin<B>(exporter: Option<&Exporter>, timed: bool, request: &Request<B>) -> Self {
        let root = exporter.map(|exporter| Root::begin(&exporter.tracer, request));
        if !timed && root.is_none() {
            return Self::default();
        }
        let phases = timed.then(Mutex::default);
        let answered = AtomicBool::new(false);
        Self(Some(Arc::new(Inner { began: Instant::now(), phases, root, answered })))
    }

    fn root(&self) -> Option<&Root> {
        self.0.as_ref()?.root.as_ref()
    }

    /// The id of the trace that this request is part of.
    pub(crate) fn id(&self) -> Option<String> {
        self.root().map(Root::trace_id)
    }

    /// Which route the request takes.
    pub(crate) fn route(&self, method: &http::Method, route: &'static str) {
        if let Some(root) = self.root() {
            root.route(method.as_str(), route);
        }
    }

    /// The phase `name`, from now until the result is dropped.
    pub(crate) fn phase(&self, name: &'static str) -> Phase {
        self.open(name, SpanKind::Internal)
    }

    /// A request to somebody else.
    pub(crate) fn client_phase(&self, name: &'static str) -> Phase {
        self.open(name, SpanKind::Client)
    }

    fn open(&self, name: &'static str, kind: SpanKind) -> Phase {
        let open = self.0.as_ref().map(|inner| {
            let span = inner.root.as_ref().map(|root| root.child(name, kind));
            Open { inner: Arc::clone(inner), began: Instant::now(), span }
        });
        Phase { open, name }
    }

    /// Where rendering is to tell its stages.
    pub(crate) fn stages(&self) -> Stages {
        let wanted =
            self.0.as_ref().is_some_and(|k| k.phases.is_some() || k.root.as_ref().is_some_and(Root::records));
        if wanted { Stages::kept() } else { Stages::default() }
    }

    /// The answer is there: from here on it is delivered. The request's span ends when the ledger has given its verdict.
    pub(crate) fn answered<B>(&self, response: &mut Response<B>) {
        let Some(inner) = &self.0 else { return };
        inner.answered.store(true, Ordering::Relaxed);
        let Some(root) = &inner.root else { return };
        root.status(response.status().as_u16());
        let mut deliver = root.child("deliver", SpanKind::Internal);
        let inner = Arc::clone(inner);
        response.extensions_mut().insert(Receipt::new(move |outcome| {
            if let Some(root) = &inner.root {
                root.delivered(&mut deliver, outcome);
            }
        }));
    }

    /// The value of `Server-Timing`: a metric for each name, in milliseconds, in the order of their ends.
    pub(crate) fn server_timing(&self) -> Option<HeaderValue> {
        let inner = self.0.as_ref()?;
        let mut sums: Vec<(&str, Duration)> = Vec::new();
        let phases = inner.phases.as_ref()?;
        for (name, took) in phases.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            match sums.iter_mut().find(|(known, _)| known == name) {
                Some((_, sum)) => *sum += *took,
                None => sums.push((name, *took)),
            }
        }
        sums.push(("total", inner.began.elapsed()));
        let mut text = String::new();
        for (name, took) in sums {
            let comma = if text.is_empty() { "" } else { ", " };
            let _ = write!(text, "{comma}{name};dur={:.3}", took.as_secs_f64() * 1000.0);
        }
        HeaderValue::from_str(&text).ok()
    }
}

impl Inner {
    fn push(&self, name: &'static str, took: Duration) {
        let Some(phases) = &self.phases else { return };
        let mut phases = phases.lock().unwrap_or_else(PoisonError::into_inner);
        if phases.len() < MOST_PHASES {
            phases.push((name, took));
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Some(root) = self.root.as_ref().filter(|_| !self.answered.load(Ordering::Relaxed)) {
            root.failed("the client went away before its answer");
        }
    }
}

/// A phase under way. Dropping it is its end.
#[derive(Debug)]
pub(crate) struct Phase {
    open: Option<Open>,
    name: &'static str,
}

#[derive(Debug)]
struct Open {
    inner: Arc<Inner>,
    began: Instant,
    span: Option<Child>,
}

impl Phase {
    fn span(&self) -> Option<&Child> {
        self.open.as_ref()?.span.as_ref()
    }

    /// What went on within this phase.
    pub(crate) fn stages(&self, stages: &[Stage]) {
        let Some(open) = &self.open else { return };
        for stage in stages {
            open.inner.push(stage.name, stage.busy);
        }
        if let (Some(root), Some(span)) = (&open.inner.root, &open.span) {
            root.stages(span, stages);
        }
    }

    pub(crate) fn set(&self, key: &'static str, value: impl FnOnce() -> String) {
        if let Some(span) = self.span() {
            span.set(key, value());
        }
    }

    /// Notes why it failed, if it did.
    pub(crate) fn record(&self, error: Option<&ApiError>) {
        if let (Some(span), Some(error)) = (self.span(), error) {
            span.failed(error.body());
        }
    }

    /// Makes this phase the parent of whatever the receiver of `headers` does.
    pub(crate) fn inject(&self, headers: &mut HeaderMap) {
        if let Some(span) = self.span() {
            span.inject(headers);
        }
    }
}

impl Drop for Phase {
    fn drop(&mut self) {
        if let Some(Open { inner, began, mut span }) = self.open.take() {
            inner.push(self.name, began.elapsed());
            if let (Some(root), Some(span)) = (&inner.root, &mut span) {
                root.end(span);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::{Trace, wants_timing};

    #[test]
    fn phases_of_one_name_are_one_metric() {
        let trace = Trace::begin(None, true, &http::Request::new(()));
        for name in ["queue", "fetch", "fetch", "queue"] {
            drop(trace.phase(name));
        }
        let value = trace.server_timing().unwrap();
        let names: Vec<&str> =
            value.to_str().unwrap().split(", ").map(|m| m.split_once(";dur=").unwrap().0).collect();
        assert_eq!(names, ["queue", "fetch", "total"]);
    }

    #[test]
    fn timings_are_sent_on_request_only() {
        assert!(Trace::begin(None, false, &http::Request::new(())).server_timing().is_none());
        let asks = |value: &'static str| {
            wants_timing(&HeaderMap::from_iter([(
                http::HeaderName::from_static("want-server-timing"),
                http::HeaderValue::from_static(value),
            )]))
        };
        assert!(asks("1") && asks("?1"));
        assert!(!asks("0") && !asks("?0") && !asks("") && !wants_timing(&HeaderMap::new()));
    }
}
