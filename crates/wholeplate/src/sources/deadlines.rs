//! How long a source may take.

use std::time::Duration;

use tokio::time::Instant;

/// The times of a fetch.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deadlines {
    /// Time to connect and get a response head.
    pub(super) head: Duration,
    /// Time that a body may pause.
    pub(super) pause: Duration,
    /// Time for a body, to which `received / min_rate` is added.
    pub(super) body: Duration,
    /// Bytes per second; not 0.
    pub(super) min_rate: u64,
}

impl Deadlines {
    /// OPS-008: when a body whose head came at `head` must be complete, or have sent more.
    pub(super) fn of_body(&self, head: Instant, received: usize) -> Instant {
        let earned = Duration::from_secs_f64(received as f64 / self.min_rate as f64);
        head + self.body + earned
    }
}
