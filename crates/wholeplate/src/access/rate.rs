//! The rate of new work that one client may ask for (OPS-023).

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use quick_cache::sync::Cache;

use crate::admission::Client;

/// Clients that are remembered. One that is forgotten begins anew.
const CLIENTS: usize = 65_536;
/// Seconds' worth of requests that may come at once.
const BURST_SECONDS: f64 = 10.0;

/// A bucket of tokens for each client: one a request.
#[derive(Debug)]
pub(crate) struct RateLimit {
    per_second: f64,
    buckets: Cache<Client, Arc<Mutex<Bucket>>>,
}

#[derive(Debug)]
struct Bucket {
    tokens: f64,
    since: Instant,
}

impl RateLimit {
    pub(crate) fn new(per_second: f64) -> Self {
        Self { per_second, buckets: Cache::new(CLIENTS) }
    }

    /// Takes one request of a client.
    ///
    /// # Errors
    /// The time after which there will be room for one.
    pub(crate) fn take(&self, client: &Client, now: Instant) -> Result<(), Duration> {
        let most = (self.per_second * BURST_SECONDS).max(1.0);
        let bucket = self
            .buckets
            .get_or_insert_with(client, || {
                Ok::<_, std::convert::Infallible>(Arc::new(Mutex::new(Bucket { tokens: most, since: now })))
            })
            .unwrap_or_else(|never| match never {});
        let mut bucket = bucket.lock().unwrap_or_else(PoisonError::into_inner);
        let passed = now.saturating_duration_since(bucket.since).as_secs_f64();
        bucket.tokens = (bucket.tokens + passed * self.per_second).min(most);
        bucket.since = bucket.since.max(now);
        if bucket.tokens >= 1.0 {
            bucket.tokens -= 1.0;
            return Ok(());
        }
        Err(Duration::from_secs_f64((1.0 - bucket.tokens) / self.per_second))
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::RateLimit;
    use crate::admission::Client;

    // OPS-023
    #[test]
    fn ten_seconds_of_requests_may_come_at_once_and_then_the_rate() {
        let limit = RateLimit::new(2.0);
        let start = Instant::now();
        let [a, b] = ["a", "b"].map(|name| Client::Named(name.into()));
        let taken = (0..100).filter(|_| limit.take(&a, start).is_ok()).count();
        assert_eq!(taken, 20);
        assert_eq!(limit.take(&a, start).unwrap_err(), Duration::from_millis(500));
        // Others are not concerned.
        assert!(limit.take(&b, start).is_ok());
        let later = start + Duration::from_secs(3);
        assert_eq!((0..100).filter(|_| limit.take(&a, later).is_ok()).count(), 6);
        // An unused hour is worth ten seconds.
        let much_later = start + Duration::from_secs(3600);
        assert_eq!((0..100).filter(|_| limit.take(&a, much_later).is_ok()).count(), 20);
        // A slow rate lets one in.
        let slow = RateLimit::new(0.01);
        assert!(slow.take(&a, start).is_ok() && slow.take(&a, start).is_err());
    }
}
