//! Background writes to slow tiers: a bounded queue for each tier.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{Semaphore, mpsc};

use crate::blobs::Blobs;
use crate::entry::{Entry, Key};

const QUEUE: usize = 256;

/// A queue of writes.
#[derive(Debug, Clone)]
pub(crate) struct Writer {
    queue: mpsc::Sender<Write>,
    /// Bytes in the queue.
    waiting: Arc<AtomicUsize>,
    max_waiting: usize,
}

enum Write {
    Put(Key, Entry, Still),
    /// Signalled when all earlier writes have finished.
    Flush(tokio::sync::oneshot::Sender<()>),
}

/// Called before and after an entry is written: whether it may still be stored.
pub(crate) type Still = Arc<dyn Fn() -> bool + Send + Sync>;

impl Writer {
    /// Starts the task that writes to `tier`, `at_once` entries at a time. It ends with the last clone of the writer.
    pub(crate) fn start(tier: Arc<dyn Blobs>, at_once: usize, max_waiting: usize) -> Self {
        let (queue, mut writes) = mpsc::channel(QUEUE);
        let waiting = Arc::new(AtomicUsize::new(0));
        let writer = Self { queue, waiting: Arc::clone(&waiting), max_waiting };
        tokio::spawn(async move {
            let places = Arc::new(Semaphore::new(at_once));
            let all = u32::try_from(at_once).unwrap_or(u32::MAX);
            while let Some(write) = writes.recv().await {
                match write {
                    Write::Put(key, entry, still) => {
                        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
                        let (tier, waiting) = (Arc::clone(&tier), Arc::clone(&waiting));
                        tokio::spawn(async move {
                            let len = entry.len();
                            if still() {
                                // The tier counts and logs its failures.
                                let _ = tier.put(key, entry).await;
                                if !still() {
                                    let _ = tier.remove(&key).await;
                                }
                            }
                            waiting.fetch_sub(len, Ordering::Relaxed);
                            drop(place);
                        });
                    }
                    Write::Flush(done) => {
                        let _all = places.acquire_many(all).await;
                        let _ = done.send(());
                    }
                }
            }
        });
        writer
    }

    /// Queues a write, or drops it if the queue is full. Returns whether it was queued.
    pub(crate) fn put(&self, key: Key, entry: Entry, still: Still) -> bool {
        let len = entry.len();
        let before = self.waiting.fetch_add(len, Ordering::Relaxed);
        let room = before == 0 || before + len <= self.max_waiting;
        if room && self.queue.try_send(Write::Put(key, entry, still)).is_ok() {
            return true;
        }
        self.waiting.fetch_sub(len, Ordering::Relaxed);
        false
    }

    /// Waits until all queued writes have finished.
    pub(crate) async fn flush(&self) {
        let (done, written) = tokio::sync::oneshot::channel();
        if self.queue.send(Write::Flush(done)).await.is_ok() {
            let _ = written.await;
        }
    }
}
