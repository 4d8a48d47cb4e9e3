//! Stopping in good order: nothing new is begun, what was begun is finished until a deadline.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;

use crate::stats::Stats;

/// After the deadline connections cut themselves; this long is waited for them to say so.
const GRACE: Duration = Duration::from_secs(2);

/// What came of the responses that were under way when a server was asked to stop.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct DrainReport {
    /// Responses that went out whole since.
    pub whole: u64,
    /// Responses that were cut since, whatever the cause.
    pub cut: u64,
    /// Requests whose client went away before it got a byte of answer.
    pub abandoned: u64,
    /// Connections that were still open when the waiting was over. Not zero only if one is stuck in a
    /// handler that blocks its thread.
    pub open: usize,
}

impl std::fmt::Display for DrainReport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { whole, cut, abandoned, open } = self;
        write!(f, "{whole} responses whole, {cut} cut, {abandoned} abandoned, {open} connections left open")
    }
}

/// The order to stop, and the count of those that have not yet.
#[derive(Debug)]
pub(crate) struct Drain {
    deadline: watch::Sender<Option<Instant>>,
    places: Arc<Semaphore>,
    capacity: u32,
}

impl Drain {
    pub(crate) fn new(capacity: u32) -> Self {
        Self {
            deadline: watch::Sender::new(None),
            places: Arc::new(Semaphore::new(capacity as usize)),
            capacity,
        }
    }

    /// The places for connections. All of them free means that none is open.
    pub(crate) fn places(&self) -> Arc<Semaphore> {
        Arc::clone(&self.places)
    }

    pub(crate) fn ordered(&self) -> Ordered {
        Ordered(self.deadline.subscribe())
    }

    /// Gives the order. A second one can bring the deadline nearer, not put it off.
    pub(crate) async fn run(&self, stats: &Stats, time: Duration) -> DrainReport {
        let (whole, cut, abandoned) = (stats.whole(), stats.cut(), stats.abandoned());
        let deadline = Instant::now() + time;
        self.deadline.send_modify(|order| {
            *order = Some(order.map_or(deadline, |earlier| earlier.min(deadline)));
        });
        let all = self.places.acquire_many(self.capacity);
        let open = match tokio::time::timeout(time + GRACE, all).await {
            Ok(_) => 0,
            Err(_) => (self.capacity as usize).saturating_sub(self.places.available_permits()),
        };
        DrainReport {
            whole: stats.whole() - whole,
            cut: stats.cut() - cut,
            abandoned: stats.abandoned() - abandoned,
            open,
        }
    }
}

/// The receiving end of the order to stop.
#[derive(Clone, Debug)]
pub(crate) struct Ordered(watch::Receiver<Option<Instant>>);

impl Ordered {
    /// Returns when the order has been given.
    pub(crate) async fn draining(&mut self) {
        if self.0.wait_for(Option::is_some).await.is_err() {
            // The server is gone without an order: its connections go on.
            std::future::pending::<()>().await;
        }
    }

    /// Returns when the time for finishing is over.
    pub(crate) async fn deadline(&mut self) {
        loop {
            let order = *self.0.borrow_and_update();
            let over = async {
                match order {
                    Some(deadline) => tokio::time::sleep_until(deadline).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = over => return,
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
