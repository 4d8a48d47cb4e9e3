//! Graceful shutdown: no new requests, and a deadline for those in progress.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;

use crate::stats::Stats;

/// How long connections may take to close after the deadline.
const GRACE: Duration = Duration::from_secs(2);

/// The outcome of the responses that were in progress when the shutdown began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct DrainReport {
    /// Responses delivered whole since.
    pub whole: u64,
    /// Responses cut since, for any cause.
    pub cut: u64,
    /// Requests whose client left before it received a byte of a response.
    pub abandoned: u64,
    /// Connections still open at the end: zero, unless a handler blocks its thread.
    pub open: usize,
}

impl std::fmt::Display for DrainReport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { whole, cut, abandoned, open } = self;
        write!(f, "{whole} responses whole, {cut} cut, {abandoned} abandoned, {open} connections left open")
    }
}

/// The shutdown signal, and the number of open connections.
#[derive(Debug)]
pub(crate) struct Drain {
    deadline: watch::Sender<Option<Instant>>,
    slots: Arc<Semaphore>,
    capacity: u32,
}

impl Drain {
    pub(crate) fn new(capacity: u32) -> Self {
        Self {
            deadline: watch::Sender::new(None),
            slots: Arc::new(Semaphore::new(capacity as usize)),
            capacity,
        }
    }

    /// One permit for each connection. All of them available means that none is open.
    pub(crate) fn slots(&self) -> Arc<Semaphore> {
        Arc::clone(&self.slots)
    }

    pub(crate) fn subscribe(&self) -> DrainSignal {
        DrainSignal(self.deadline.subscribe())
    }

    /// Sends the signal. A second one can shorten the deadline, but not extend it.
    pub(crate) async fn run(&self, stats: &Stats, time: Duration) -> DrainReport {
        let (whole, cut, abandoned) = (stats.whole(), stats.cut(), stats.abandoned());
        let deadline = Instant::now() + time;
        self.deadline.send_modify(|order| {
            *order = Some(order.map_or(deadline, |earlier| earlier.min(deadline)));
        });
        let all = self.slots.acquire_many(self.capacity);
        let open = match tokio::time::timeout(time + GRACE, all).await {
            Ok(_) => 0,
            Err(_) => (self.capacity as usize).saturating_sub(self.slots.available_permits()),
        };
        DrainReport {
            whole: stats.whole() - whole,
            cut: stats.cut() - cut,
            abandoned: stats.abandoned() - abandoned,
            open,
        }
    }
}

/// The receiver of the shutdown signal.
#[derive(Clone, Debug)]
pub(crate) struct DrainSignal(watch::Receiver<Option<Instant>>);

impl DrainSignal {
    /// Returns when the shutdown has begun.
    pub(crate) async fn begun(&mut self) {
        if self.0.wait_for(Option::is_some).await.is_err() {
            // The server was dropped without a shutdown: its connections stay open.
            std::future::pending::<()>().await;
        }
    }

    /// Returns when the deadline has passed.
    pub(crate) async fn deadline(&mut self) {
        loop {
            let order = *self.0.borrow_and_update();
            let passed = async {
                match order {
                    Some(deadline) => tokio::time::sleep_until(deadline).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = passed => return,
                changed = self.0.changed() => if changed.is_err() {
                    match order {
                        Some(deadline) => return tokio::time::sleep_until(deadline).await,
                        None => return std::future::pending().await,
                    }
                },
            }
        }
    }
}
