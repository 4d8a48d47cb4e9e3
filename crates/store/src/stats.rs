//! Statistics of a tier.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Upper bounds of the latency histogram, in seconds.
pub const LATENCY_BOUNDS: [f64; 10] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0];

/// Gauges of the current content, and counters since the start.
#[derive(Debug, Default)]
pub struct TierStats {
    pub bytes: AtomicU64,
    pub entries: AtomicU64,
    pub evictions: AtomicU64,
    pub damaged: AtomicU64,
    pub errors: AtomicU64,
    pub latency: Latency,
}

impl TierStats {
    pub(crate) fn count(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

/// A histogram of read times.
#[derive(Debug, Default)]
pub struct Latency {
    /// Observations in each bucket, not cumulative; the last bucket has no upper bound.
    pub counts: [AtomicU64; LATENCY_BOUNDS.len() + 1],
    pub sum_micros: AtomicU64,
}

impl Latency {
    pub(crate) fn observe(&self, took: Duration) {
        let seconds = took.as_secs_f64();
        let slot = LATENCY_BOUNDS.iter().position(|bound| seconds <= *bound).unwrap_or(LATENCY_BOUNDS.len());
        self.counts[slot].fetch_add(1, Ordering::Relaxed);
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.sum_micros.fetch_add(micros, Ordering::Relaxed);
    }
}
