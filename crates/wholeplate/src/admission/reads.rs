//! Turns at reading files of the origin folder. A file is read before its request can be planned and admitted. Without a bound,
//! requests for large files copy them all at once, on hundreds of threads, and leave no processor to others.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::queue::{Client, Queue, Worker};
use crate::config::Config;
use crate::error::ApiError;

/// What a turn is expected to take.
const TURN: Duration = Duration::from_millis(1);
/// A file up to so many bytes is read without a turn, which would take longer than its reading.
const SMALL: u64 = 256 << 10;

/// As many turns at once as there are workers. Between clients, the one that has read for the least time goes first. Cheap to
/// clone.
#[derive(Debug, Clone)]
pub(crate) struct ReadQueue(Queue);

impl ReadQueue {
    pub(crate) fn new(config: &Config) -> Self {
        Self(Queue::new(config.workers(), config.queue_timeout.duration()))
    }

    /// The turns of a file of `size` bytes.
    pub(crate) fn turns<'a>(&'a self, client: &'a Client, size: u64) -> ReadTurns<'a> {
        let queue = (size > SMALL).then_some(&self.0);
        ReadTurns { queue, client, arrived: Instant::now(), label: "read".into(), held: None }
    }
}

/// The turns of one file. A client's files are read in the order in which it asked for them.
#[derive(Debug)]
pub(crate) struct ReadTurns<'a> {
    /// `None` for a small file.
    queue: Option<&'a Queue>,
    client: &'a Client,
    arrived: Instant,
    label: Arc<str>,
    held: Option<Turn>,
}

/// A turn, which ends when it is dropped.
#[derive(Debug)]
pub(crate) struct Turn {
    /// `None` for a small file.
    _worker: Option<Worker>,
}

impl ReadTurns<'_> {
    /// Waits for the turn that [`Self::next`] will give.
    ///
    /// # Errors
    /// If too many wait.
    pub(crate) async fn wait(&mut self) -> Result<(), ApiError> {
        self.held = Some(self.next().await?);
        Ok(())
    }

    /// Waits for a turn.
    ///
    /// # Errors
    /// If too many wait.
    pub(crate) async fn next(&mut self) -> Result<Turn, ApiError> {
        if let Some(turn) = self.held.take() {
            return Ok(turn);
        }
        let Some(queue) = self.queue else { return Ok(Turn { _worker: None }) };
        let worker = queue.worker(self.client, self.arrived, TURN, &self.label, None).await;
        let worker = worker.map_err(|overload| ApiError::Busy { expected: overload.expected })?;
        Ok(Turn { _worker: Some(worker) })
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;
    use std::sync::Mutex;

    use super::*;

    fn client(n: u8) -> Client {
        Client::Address(IpAddr::from([10, 0, 0, n]))
    }

    // OPS-004: 200 requests for large files were read at once, and one of another client with them.
    #[tokio::test]
    async fn large_files_of_one_client_do_not_delay_the_file_of_another() {
        let reads = ReadQueue(Queue::new(1, Duration::from_secs(1000)));
        let large = SMALL + 1;
        let held = reads.turns(&client(9), large).next().await.unwrap();
        let order = Arc::new(Mutex::new(Vec::new()));
        let mut tasks = Vec::new();
        for (waiting, from) in [1; 50].into_iter().chain([2]).enumerate() {
            let (queue, order) = (reads.clone(), Arc::clone(&order));
            tasks.push(tokio::spawn(async move {
                let client = client(from);
                let mut turns = queue.turns(&client, large);
                for _ in 0..3 {
                    let _turn = turns.next().await.unwrap();
                    order.lock().unwrap().push(from);
                }
            }));
            // Its task has one thing to do before it waits.
            tokio::task::yield_now().await;
            assert_eq!(reads.0.waiting(), waiting + 1);
        }
        // No turn is needed for what is read in less time.
        assert!(reads.turns(&client(1), SMALL).next().await.is_ok());
        assert!(order.lock().unwrap().is_empty());
        drop(held);
        for task in tasks {
            task.await.unwrap();
        }
        let order = order.lock().unwrap();
        let last = order.iter().rposition(|from| *from == 2).unwrap();
        assert!(order.len() == 153 && last < 12, "{last}: {order:?}");
    }

    #[tokio::test]
    async fn a_turn_that_was_waited_for_is_the_next() {
        let reads = ReadQueue(Queue::new(1, Duration::from_secs(1)));
        let (one, other) = (client(1), client(2));
        let mut turns = reads.turns(&one, SMALL + 1);
        turns.wait().await.unwrap();
        let mut others = reads.turns(&other, SMALL + 1);
        assert!(tokio::time::timeout(Duration::ZERO, others.next()).await.is_err());
        drop(turns.next().await.unwrap());
        assert!(others.next().await.is_ok());
    }
}
