//! One computation for all who ask for the same at once.

use std::collections::HashMap;
use std::hash::Hash;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::FutureExt;
use futures_util::future::{Shared, WeakShared};

type Work<V> = Pin<Box<dyn Future<Output = V> + Send>>;
type Flight<V> = Shared<Work<V>>;

/// Computations under way, by key. The future belongs to everybody who waits for it: it is dropped, and its work
/// stops, with the last of them.
#[derive(Debug)]
pub(crate) struct Flights<K, V: Clone> {
    under_way: Arc<Mutex<UnderWay<K, V>>>,
}

#[derive(Debug)]
struct UnderWay<K, V: Clone> {
    next_number: u64,
    by_key: HashMap<K, (u64, WeakShared<Work<V>>)>,
}

impl<K, V: Clone> Default for Flights<K, V> {
    fn default() -> Self {
        Self { under_way: Arc::new(Mutex::new(UnderWay { next_number: 0, by_key: HashMap::new() })) }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Removes a flight when its future has ended or was dropped.
struct Landing<K: Eq + Hash, V: Clone> {
    under_way: Arc<Mutex<UnderWay<K, V>>>,
    key: K,
    number: u64,
}

impl<K: Eq + Hash, V: Clone> Drop for Landing<K, V> {
    fn drop(&mut self) {
        let mut under_way = lock(&self.under_way);
        if under_way.by_key.get(&self.key).is_some_and(|(number, _)| *number == self.number) {
            under_way.by_key.remove(&self.key);
        }
    }
}

impl<K, V> Flights<K, V>
where
    K: Clone + Eq + Hash + Send + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// The outcome of `make` for `key`, or of the call of it that is under way; and whether it was another's.
    pub(crate) async fn run<F>(&self, key: K, make: impl FnOnce() -> F) -> (V, bool)
    where
        F: Future<Output = V> + Send + 'static,
    {
        let (flight, joined) = self.join_or_start(key, make);
        (flight.await, joined)
    }

    fn join_or_start<F>(&self, key: K, make: impl FnOnce() -> F) -> (Flight<V>, bool)
    where
        F: Future<Output = V> + Send + 'static,
    {
        let mut under_way = lock(&self.under_way);
        if let Some(flight) = under_way.by_key.get(&key).and_then(|(_, flight)| flight.upgrade()) {
            return (flight, true);
        }
        let number = under_way.next_number;
        under_way.next_number += 1;
        let work = make();
        // Its drop takes the lock that is held here: from now on nothing may fail.
        let landing = Landing { under_way: Arc::clone(&self.under_way), key: key.clone(), number };
        let flight = async move {
            let _landing = landing;
            work.await
        };
        let flight = flight.boxed().shared();
        if let Some(weak) = flight.downgrade() {
            under_way.by_key.insert(key, (number, weak));
        }
        (flight, false)
    }

    /// Who asks from now on starts anew. Who waits already gets what they wait for.
    pub(crate) fn forget_all(&self) {
        lock(&self.under_way).by_key.clear();
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        lock(&self.under_way).by_key.len()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::sync::Notify;

    use super::Flights;

    #[derive(Clone, Default)]
    struct Work {
        started: Arc<AtomicUsize>,
        dropped: Arc<AtomicUsize>,
        go: Arc<Notify>,
    }

    struct CountDrop(Arc<AtomicUsize>);

    impl Drop for CountDrop {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    impl Work {
        fn make(
            &self,
            result: Result<u32, &'static str>,
        ) -> impl Future<Output = Result<u32, &'static str>> + use<> {
            let this = self.clone();
            async move {
                this.started.fetch_add(1, Ordering::Relaxed);
                let _dropped = CountDrop(Arc::clone(&this.dropped));
                this.go.notified().await;
                result
            }
        }
    }

    // CAC-020, CAC-023
    #[tokio::test]
    async fn a_hundred_callers_share_one_outcome_and_the_next_starts_anew() {
        let flights = Arc::new(Flights::default());
        let work = Work::default();
        // A caller joins or starts where it first waits: on this one thread, right after it counts itself.
        let asked = Arc::new(AtomicUsize::new(0));
        let callers: Vec<_> = (0..100)
            .map(|_| {
                let (flights, work, asked) = (Arc::clone(&flights), work.clone(), Arc::clone(&asked));
                tokio::spawn(async move {
                    asked.fetch_add(1, Ordering::Relaxed);
                    flights.run("key", || work.make(Err("failed"))).await
                })
            })
            .collect();
        while asked.load(Ordering::Relaxed) < 100 {
            tokio::task::yield_now().await;
        }
        work.go.notify_one();
        let mut joined = 0;
        for caller in callers {
            let (outcome, other) = caller.await.unwrap();
            assert_eq!(outcome, Err("failed"));
            joined += usize::from(other);
        }
        assert_eq!((work.started.load(Ordering::Relaxed), joined), (1, 99));
        assert_eq!(flights.len(), 0);
        work.go.notify_one();
        assert_eq!(flights.run("key", || work.make(Ok(1))).await, (Ok(1), false));
    }

    // CAC-021
    #[tokio::test]
    async fn the_first_may_leave_and_the_work_stops_with_the_last() {
        let flights = Arc::new(Flights::default());
        let work = Work::default();
        let call = || {
            let (flights, work) = (Arc::clone(&flights), work.clone());
            tokio::spawn(async move { flights.run("key", || work.make(Ok(7))).await })
        };
        let first = call();
        while work.started.load(Ordering::Relaxed) == 0 {
            tokio::task::yield_now().await;
        }
        let second = call();
        tokio::task::yield_now().await;
        first.abort();
        assert!(first.await.unwrap_err().is_cancelled());
        assert_eq!(work.dropped.load(Ordering::Relaxed), 0);
        work.go.notify_one();
        assert_eq!(second.await.unwrap(), (Ok(7), true));
        let (third, fourth) = (call(), call());
        while work.started.load(Ordering::Relaxed) < 2 {
            tokio::task::yield_now().await;
        }
        third.abort();
        fourth.abort();
        let _ = (third.await, fourth.await);
        assert_eq!(work.dropped.load(Ordering::Relaxed), 2);
        assert_eq!(flights.len(), 0);
    }

    // CAC-040
    #[tokio::test]
    async fn who_asks_after_a_purge_does_not_join() {
        let flights = Flights::default();
        let work = Work::default();
        let before = flights.run("key", || work.make(Ok(1)));
        let mut before = Box::pin(before);
        assert!(futures_util::poll!(&mut before).is_pending());
        flights.forget_all();
        let mut after = Box::pin(flights.run("key", || work.make(Ok(2))));
        assert!(futures_util::poll!(&mut after).is_pending());
        assert_eq!(work.started.load(Ordering::Relaxed), 2);
        work.go.notify_waiters();
        assert_eq!((before.await, after.await), ((Ok(1), false), (Ok(2), false)));
        assert_eq!(flights.len(), 0);
    }
}
