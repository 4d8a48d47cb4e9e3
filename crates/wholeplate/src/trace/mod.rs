//! The way of one request in phases: how long it queued, fetched, was rendered. Told in `Server-Timing` to those
//! who ask. Where nobody asks, nothing is kept.

use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use http::{HeaderMap, HeaderValue};
use imaging::{Stage, Stages};

/// The response header with the durations.
pub(crate) const SERVER_TIMING: &str = "server-timing";
/// The request header that asks for them.
const WANTED: &str = "want-server-timing";
/// Phases that are kept of one request: its fetches, its stages, and a few of ours.
const MOST_PHASES: usize = 256;

/// One request. Cheap to clone; all clones are one.
#[derive(Debug, Clone, Default)]
pub(crate) struct Trace(Option<Arc<Kept>>);

#[derive(Debug)]
struct Kept {
    began: Instant,
    phases: Mutex<Vec<(&'static str, Duration)>>,
}

/// Whether a request asks for `Server-Timing`.
pub(crate) fn wants_timing(headers: &HeaderMap) -> bool {
    headers.get(WANTED).is_some_and(|v| !matches!(v.as_bytes().trim_ascii(), b"" | b"0" | b"?0"))
}

impl Trace {
    /// A request that arrives now; `timed`: its durations are to be told.
    pub(crate) fn begin(timed: bool) -> Self {
        Self(timed.then(|| Arc::new(Kept { began: Instant::now(), phases: Mutex::default() })))
    }

    /// The phase `name`, from now until the result is dropped.
    pub(crate) fn phase(&self, name: &'static str) -> Phase {
        Phase { open: self.0.as_ref().map(|kept| (Arc::clone(kept), Instant::now())), name }
    }

    /// Where rendering is to tell its stages.
    pub(crate) fn stages(&self) -> Stages {
        if self.0.is_some() { Stages::kept() } else { Stages::default() }
    }

    /// The value of `Server-Timing`: a metric for each name, in milliseconds, in the order of their ends.
    pub(crate) fn server_timing(&self) -> Option<HeaderValue> {
        let kept = self.0.as_ref()?;
        let mut sums: Vec<(&str, Duration)> = Vec::new();
        for (name, took) in kept.phases.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            match sums.iter_mut().find(|(known, _)| known == name) {
                Some((_, sum)) => *sum += *took,
                None => sums.push((name, *took)),
            }
        }
        sums.push(("total", kept.began.elapsed()));
        let mut text = String::new();
        for (name, took) in sums {
            let comma = if text.is_empty() { "" } else { ", " };
            let _ = write!(text, "{comma}{name};dur={:.3}", took.as_secs_f64() * 1000.0);
        }
        HeaderValue::from_str(&text).ok()
    }
}

impl Kept {
    fn push(&self, name: &'static str, took: Duration) {
        let mut phases = self.phases.lock().unwrap_or_else(PoisonError::into_inner);
        if phases.len() < MOST_PHASES {
            phases.push((name, took));
        }
    }
}

/// A phase under way. Dropping it is its end.
#[derive(Debug)]
pub(crate) struct Phase {
    open: Option<(Arc<Kept>, Instant)>,
    name: &'static str,
}

impl Phase {
    /// What went on within this phase.
    pub(crate) fn stages(&self, stages: &[Stage]) {
        if let Some((kept, _)) = &self.open {
            for stage in stages {
                kept.push(stage.name, stage.busy);
            }
        }
    }
}

impl Drop for Phase {
    fn drop(&mut self) {
        if let Some((kept, began)) = self.open.take() {
            kept.push(self.name, began.elapsed());
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::{Trace, wants_timing};

    #[test]
    fn phases_of_one_name_are_one_metric() {
        let trace = Trace::begin(true);
        for name in ["queue", "fetch", "fetch", "queue"] {
            drop(trace.phase(name));
        }
        let value = trace.server_timing().unwrap();
        let names: Vec<&str> =
            value.to_str().unwrap().split(", ").map(|m| m.split_once(";dur=").unwrap().0).collect();
        assert_eq!(names, ["queue", "fetch", "total"]);
    }

    #[test]
    fn nothing_is_told_unless_asked() {
        assert!(Trace::begin(false).server_timing().is_none());
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
