//! How long images waited and took, and how good their estimates were.

use std::time::Duration;

use crate::histogram::{Histogram, RATIO, SECONDS};

/// One image that was made.
#[derive(Debug, Clone, Copy)]
pub(super) struct Measured {
    /// Time that it waited for workers and memory.
    pub(super) queued: Duration,
    pub(super) estimated: Duration,
    pub(super) taken: Duration,
    pub(super) planned_bytes: u64,
    pub(super) peak_bytes: u64,
}

/// Over all images that were made.
#[derive(Debug)]
pub(crate) struct RenderFigures {
    queued: Histogram,
    taken: Histogram,
    time_ratio: Histogram,
    memory_ratio: Histogram,
}

impl Default for RenderFigures {
    fn default() -> Self {
        Self {
            queued: Histogram::new(SECONDS),
            taken: Histogram::new(SECONDS),
            time_ratio: Histogram::new(RATIO),
            memory_ratio: Histogram::new(RATIO),
        }
    }
}

impl RenderFigures {
    pub(super) fn record(&self, image: Measured) {
        self.queued.observe(image.queued.as_secs_f64());
        self.taken.observe(image.taken.as_secs_f64());
        // Work is never done in no time and no memory; a clock may say so.
        let taken = image.taken.max(Duration::from_micros(1));
        self.time_ratio.observe(image.estimated.as_secs_f64() / taken.as_secs_f64());
        self.memory_ratio.observe(image.planned_bytes as f64 / image.peak_bytes.max(1) as f64);
    }

    pub(crate) fn write(&self, out: &mut String) {
        let rows = [
            ("queue_seconds", "Time that images waited for workers and memory.", &self.queued),
            ("render_seconds", "Time that rendering took, without waits.", &self.taken),
            ("time_estimate_ratio", "Expected render time divided by the time taken.", &self.time_ratio),
            ("memory_estimate_ratio", "Planned peak memory divided by the peak.", &self.memory_ratio),
        ];
        for (name, help, histogram) in rows {
            histogram.write(name, help, out);
        }
    }
}
