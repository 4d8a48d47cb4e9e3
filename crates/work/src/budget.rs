//! Memory: bytes are reserved before they are allocated.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::Error;

/// A pool of bytes in which buffers are reserved before they are allocated. Cheap to clone.
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
    /// [`Error::MemoryBudget`] when fewer are left.
    pub fn take(&self, bytes: usize) -> Result<Reservation, Error> {
        let Pool { limit, used, peak } = &*self.0;
        let now = used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |u| {
                u.checked_add(bytes).filter(|n| n <= limit)
            })
            .map_err(|_| Error::MemoryBudget { requested: bytes })?
            + bytes;
        peak.fetch_max(now, Ordering::Relaxed);
        Ok(Reservation { pool: self.clone(), bytes })
    }

    #[must_use]
    pub fn used(&self) -> usize {
        self.0.used.load(Ordering::Relaxed)
    }

    /// The largest number of bytes reserved at once.
    #[must_use]
    pub fn peak(&self) -> usize {
        self.0.peak.load(Ordering::Relaxed)
    }

    #[must_use]
    pub fn limit(&self) -> usize {
        self.0.limit
    }
}

/// Bytes reserved in a [`Budget`], released on drop.
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

    /// Enlarges the reservation (for a growing output buffer).
    ///
    /// # Errors
    /// [`Error::MemoryBudget`]; the reservation stays as it was.
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
