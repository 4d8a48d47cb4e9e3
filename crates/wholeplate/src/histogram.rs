//! Histograms of `/metrics`: observations counted in fixed buckets.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};

/// Upper bounds for times, in seconds.
pub(crate) const SECONDS: &[f64] =
    &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];
/// Upper bounds for an estimate divided by what it was an estimate of.
pub(crate) const RATIO: &[f64] = &[0.1, 0.25, 0.5, 0.67, 0.8, 0.9, 1.0, 1.1, 1.25, 1.5, 2.0, 4.0, 10.0];
/// The sum is kept in these parts of one.
const PARTS: f64 = 1e6;

#[derive(Debug)]
pub(crate) struct Histogram {
    bounds: &'static [f64],
    /// Observations up to each bound, not cumulated; the last is for those above all bounds.
    counts: Vec<AtomicU64>,
    sum: AtomicU64,
}

impl Histogram {
    /// `bounds` ascend.
    pub(crate) fn new(bounds: &'static [f64]) -> Self {
        let counts = std::iter::repeat_with(AtomicU64::default).take(bounds.len() + 1).collect();
        Self { bounds, counts, sum: AtomicU64::new(0) }
    }

    /// Values are not negative.
    pub(crate) fn observe(&self, value: f64) {
        let slot = self.bounds.partition_point(|bound| *bound < value);
        if let Some(count) = self.counts.get(slot) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        self.sum.fetch_add((value * PARTS) as u64, Ordering::Relaxed);
    }

    pub(crate) fn write(&self, name: &str, help: &str, out: &mut String) {
        let _ = writeln!(out, "# HELP wholeplate_{name} {help}\n# TYPE wholeplate_{name} histogram");
        let bounds = self.bounds.iter().map(ToString::to_string).chain(["+Inf".to_owned()]);
        let mut total = 0;
        for (bound, count) in bounds.zip(&self.counts) {
            total += count.load(Ordering::Relaxed);
            let _ = writeln!(out, "wholeplate_{name}_bucket{{le=\"{bound}\"}} {total}");
        }
        let sum = self.sum.load(Ordering::Relaxed) as f64 / PARTS;
        let _ = writeln!(out, "wholeplate_{name}_sum {sum}\nwholeplate_{name}_count {total}");
    }
}

#[cfg(test)]
mod tests {
    use super::Histogram;

    // OPS-053
    #[test]
    fn observations_are_cumulated_by_bound() {
        let histogram = Histogram::new(&[0.5, 1.0]);
        for value in [0.25, 0.5, 0.75, 3.0] {
            histogram.observe(value);
        }
        let mut text = String::new();
        histogram.write("x", "Help.", &mut text);
        let expected = "# HELP wholeplate_x Help.\n# TYPE wholeplate_x histogram\nwholeplate_x_bucket{le=\"0.5\"} 2\n\
                        wholeplate_x_bucket{le=\"1\"} 3\nwholeplate_x_bucket{le=\"+Inf\"} 4\nwholeplate_x_sum 4.5\n\
                        wholeplate_x_count 4\n";
        assert_eq!(text, expected);
    }
}
