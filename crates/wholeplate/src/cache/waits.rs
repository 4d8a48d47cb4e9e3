//! What one request waits for: the bucket, over all its reads (CAC-051), and the work of other requests (CAC-070).

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// What one request has waited for.
#[derive(Debug, Default)]
pub(crate) struct Waits {
    store: Mutex<Waiting>,
    joined: AtomicBool,
}

/// The time that the reads of the bucket took. Reads at the same time count once.

#[derive(Debug, Default)]
struct Waiting {
    /// Reads that go on, and since when there are any.
    reads: u32,
    since: Option<Instant>,
    /// Time before that.
    spent: Duration,
}

/// A read that goes on.
struct Read<'a>(&'a Waits);

impl Waits {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that the request joined the work of another one. Whether this was the first time: a request may join one for
    /// its source, and one for its result.
    pub(crate) fn joins(&self) -> bool {
        !self.joined.swap(true, Ordering::Relaxed)
    }

    fn begin(&self) -> (Read<'_>, Duration) {
        let mut waiting = self.lock();
        waiting.reads += 1;
        let since = *waiting.since.get_or_insert_with(Instant::now);
        (Read(self), waiting.spent + since.elapsed())
    }

    /// The outcome of a read; `None` as well if all reads together have taken `limit`.
    pub(crate) async fn within<T>(
        &self,
        limit: Duration,
        read: impl Future<Output = Option<T>> + Send,
    ) -> Option<T> {
        let (_read, spent) = self.begin();
        let left = limit.checked_sub(spent).filter(|left| !left.is_zero())?;
        tokio::time::timeout(left, read).await.ok().flatten()
    }
}

impl Drop for Read<'_> {
    fn drop(&mut self) {
        let mut waiting = self.0.lock();
        waiting.reads -= 1;
        if waiting.reads == 0
            && let Some(since) = waiting.since.take()
        {
            waiting.spent += since.elapsed();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::future::join_all;
    use tokio::time::{Instant, sleep};

    use super::Waits;

    const LIMIT: Duration = Duration::from_millis(1000);

    async fn read(wait: &Waits, takes: u64) -> Option<()> {
        let read = async {
            sleep(Duration::from_millis(takes)).await;
            Some(())
        };
        wait.within(LIMIT, read).await
    }

    // CAC-051: source, overlays and result one after the other.
    #[tokio::test(start_paused = true)]
    async fn all_reads_of_a_request_together_have_one_limit() {
        let wait = Waits::default();
        let began = Instant::now();
        assert_eq!(read(&wait, 450).await, Some(()));
        let at_once = join_all((0..20).map(|_| read(&wait, 450))).await;
        assert!(at_once.iter().all(Option::is_some), "reads at the same time count once");
        assert_eq!(read(&wait, 450).await, None);
        assert_eq!(read(&wait, 0).await, None);
        assert_eq!(began.elapsed(), LIMIT);
        // Time between reads does not count.
        let wait = Waits::default();
        for _ in 0..9 {
            assert_eq!(read(&wait, 100).await, Some(()));
            sleep(LIMIT).await;
        }
    }
}
