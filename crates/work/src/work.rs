//! Everything a request may use, in one value.

use std::time::Instant;

use crate::{Budget, Cancel, Error, Reservation, Running, Stages};

/// The limits of one request: memory, time, and whether its result is still wanted. Clones share them.
#[derive(Debug, Clone)]
pub struct Work {
    pub budget: Budget,
    pub cancel: Cancel,
    pub deadline: Option<Instant>,
    /// Records where the time goes.
    pub stages: Stages,
}

impl Work {
    #[must_use]
    pub fn new(budget: Budget) -> Self {
        Self { budget, cancel: Cancel::new(), deadline: None, stages: Stages::default() }
    }

    /// Without bounds on memory and time: for tests, and for tools that the user can stop.
    #[must_use]
    pub fn unlimited() -> Self {
        Self::new(Budget::new(usize::MAX))
    }

    /// Checks cancellation and deadline. To be called about every millisecond of work.
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
    /// [`Error::MemoryBudget`].
    pub fn take(&self, bytes: usize) -> Result<Reservation, Error> {
        self.budget.take(bytes)
    }
}
