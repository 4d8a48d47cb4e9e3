//! Work on inputs that is neither planning nor rendering: it waits for a worker like them, has their deadline, and ends when
//! nobody waits for it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use work::{Budget, Cancel, Stages, Work};

use super::queue::{Client, Queue};
use crate::error::ApiError;

/// Runs such work. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Compute {
    /// That of planning and rendering.
    queue: Queue,
    timeout: Duration,
}

/// Cancels work when the future that waits for it is dropped.
struct CancelOnDrop(Cancel);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

impl Compute {
    pub(super) fn new(queue: Queue, timeout: Duration) -> Self {
        Self { queue, timeout }
    }

    /// Runs `work` on a blocking thread once there is a worker. It takes its memory by itself, and looks at the clock that it
    /// is given.
    ///
    /// # Errors
    /// If too many wait; those of `work`.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        client: &Client,
        estimate: Duration,
        label: &str,
        work: impl FnOnce(&Work) -> Result<T, ApiError> + Send + 'static,
    ) -> Result<T, ApiError> {
        let worker = self.queue.worker(client, Instant::now(), estimate, &label.into(), None).await;
        let worker = worker.map_err(|overload| ApiError::Busy { expected: overload.expected })?;
        let cancel = Cancel::new();
        let _guard = CancelOnDrop(cancel.clone());
        let deadline = Some(Instant::now() + self.timeout);
        let clock = Work { budget: Budget::new(0), cancel, deadline, stages: Stages::default() };
        on_a_thread(move || {
            // Held until the work has really ended, not only until nobody waits for it.
            let _worker = worker;
            work(&clock)
        })
        .await
    }
}

/// Runs `work` on a blocking thread; a panic is an error of this request only.
pub(super) async fn on_a_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ApiError> + Send + 'static,
) -> Result<T, ApiError> {
    let caught = tokio::task::spawn_blocking(move || catch_unwind(AssertUnwindSafe(work)));
    match caught.await {
        Ok(Ok(done)) => done,
        _ => Err(ApiError::Panicked),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use super::{Compute, Queue};
    use crate::admission::Client;
    use crate::error::ApiError;

    fn compute(workers: usize, timeout: Duration) -> Compute {
        Compute::new(Queue::new(workers, Duration::from_secs(1000)), timeout)
    }

    // OPS-005: sources were decoded without a worker, and went on when all had left.
    #[tokio::test]
    async fn work_has_a_worker_and_ends_with_those_who_wait_for_it() {
        let compute = compute(1, Duration::from_secs(20));
        let (started, begun) = mpsc::channel();
        let (ended, end) = mpsc::channel();
        let first = compute.clone();
        let task = tokio::spawn(async move {
            let endless = move |clock: &work::Work| {
                started.send(()).unwrap();
                while clock.check().is_ok() {
                    std::thread::yield_now();
                }
                ended.send(clock.check().unwrap_err()).unwrap();
                Ok(())
            };
            first.run(&Client::Local, Duration::ZERO, "endless", endless).await
        });
        let begun = tokio::task::spawn_blocking(move || begun.recv().unwrap());
        begun.await.unwrap();
        assert_eq!(compute.queue.busy(), 1);
        let waits = compute.run(&Client::Local, Duration::ZERO, "next", |_| Ok(()));
        assert!(tokio::time::timeout(Duration::ZERO, waits).await.is_err());
        task.abort();
        compute.run(&Client::Local, Duration::ZERO, "next", |_| Ok(())).await.unwrap();
        assert_eq!(end.recv().unwrap(), work::Error::Cancelled);
    }

    #[tokio::test]
    async fn work_ends_at_its_deadline() {
        let compute = compute(1, Duration::ZERO);
        let late = compute.run(&Client::Local, Duration::ZERO, "late", |clock| Ok(clock.check()?));
        assert!(matches!(late.await, Err(ApiError::ComputeTimeout { .. })));
    }
}
