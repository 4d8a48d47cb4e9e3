//! What a request may use: a budget of bytes and a time, and how it is told to stop.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Instant;

use crate::{Error, Running, Stages};

/// A pool of bytes that buffers are taken from before they are allocated. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Budget(Arc<Pool>);

#[derive(Debug)]
struct Pool {
    limit: usize,
    used: AtomicUsize,
    peak: AtomicUsize,
}

impl Budget {
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self(Arc::new(Pool { limit, used: AtomicUsize::new(0), peak: AtomicUsize::new(0) }))
    }

    /// Reserves `bytes` until the reservation is dropped.
    ///
    /// # Errors
    /// [`Error::Budget`] when fewer are left.
    pub fn take(&self, bytes: usize) -> Result<Reservation, Error> {
        let Pool { limit, used, peak } = &*self.0;
        let now = used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |u| {
                u.checked_add(bytes).filter(|n| n <= limit)
            })
            .map_err(|_| Error::Budget { asked: bytes })?
            + bytes;
        peak.fetch_max(now, Ordering::Relaxed);
        Ok(Reservation { pool: self.clone(), bytes })
    }

    #[must_use]
    pub fn used(&self) -> usize {
        self.0.used.load(Ordering::Relaxed)
    }

    /// The most that was ever reserved at once.
    #[must_use]
    pub fn peak(&self) -> usize {
        self.0.peak.load(Ordering::Relaxed)
    }

    #[must_use]
    pub fn limit(&self) -> usize {
        self.0.limit
    }
}

/// Bytes taken from a [`Budget`], given back on drop.
#[derive(Debug)]
pub struct Reservation {
    pool: Budget,
    bytes: usize,
}

impl Reservation {
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes more into the same reservation (a growing output buffer).
    ///
    /// # Errors
    /// [`Error::Budget`]; the reservation stays as it was.
    pub fn grow_to(&mut self, bytes: usize) -> Result<(), Error> {
        if let Some(more) = bytes.checked_sub(self.bytes).filter(|&m| m > 0) {
            let mut added = self.pool.take(more)?;
            self.bytes += std::mem::take(&mut added.bytes);
        }
        Ok(())
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.pool.0.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// A flag that says that nobody waits for the result any more. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// The means of one request: bytes, time, and whether it is still wanted.
#[derive(Debug, Clone)]
pub struct Work {
    pub budget: Budget,
    pub cancel: Cancel,
    pub deadline: Option<Instant>,
    /// Told where the time goes.
    pub stages: Stages,
}

impl Work {
    #[must_use]
    pub fn new(budget: Budget) -> Self {
        Self { budget, cancel: Cancel::new(), deadline: None, stages: Stages::default() }
    }

    /// To be called about every millisecond of work.
    ///
    /// # Errors
    /// [`Error::Cancelled`] or [`Error::Deadline`].
    pub fn check(&self) -> Result<(), Error> {
        if self.cancel.is_cancelled() {
            return Err(Error::Cancelled);
        }
        if self.deadline.is_some_and(|d| Instant::now() >= d) {
            return Err(Error::Deadline);
        }
        Ok(())
    }

    /// The stage `name`, until the result is dropped.
    pub fn stage(&self, name: &'static str) -> Running<'_> {
        self.stages.run(name)
    }

    /// # Errors
    /// [`Error::Budget`].
    pub fn take(&self, bytes: usize) -> Result<Reservation, Error> {
        self.budget.take(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::Budget;

    #[test]
    fn a_budget_is_never_exceeded_and_comes_back() {
        let budget = Budget::new(100);
        let mut a = budget.take(60).unwrap();
        assert!(budget.take(41).is_err());
        a.grow_to(100).unwrap();
        assert!(a.grow_to(101).is_err());
        drop(a);
        assert_eq!((budget.used(), budget.peak()), (0, 100));
    }
}
