//! What became of one response, told to the service that gave it.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use ledger::Cause;

/// Receipts that wait on one connection. One that pipelines more has its oldest forgotten.
const MOST: usize = 4096;

/// How the delivery of a response ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Outcome {
    /// Body bytes that the head promised; `None` when it promised a terminator instead.
    pub promised: Option<u64>,
    /// Body bytes that went out: on HTTP/1 what the transport took, on HTTP/2 what the connection took of the body.
    pub delivered: u64,
    /// Why the rest did not go out; `None`: the response is whole.
    pub cut: Option<Cause>,
}

type Told = Box<dyn FnOnce(&Outcome) + Send>;

/// Put among the extensions of a response, this is told once how its delivery ended. It is called from within polls
/// and drops: it must neither block nor panic. Where the wire is not followed, or becomes a tunnel, it is dropped
/// without having been called.
#[derive(Clone)]
pub struct Receipt(Arc<Mutex<Option<Told>>>);

impl Receipt {
    /// Calls `told` with the outcome.
    pub fn new(told: impl FnOnce(&Outcome) + Send + 'static) -> Self {
        Self(Arc::new(Mutex::new(Some(Box::new(told)))))
    }

    pub(crate) fn tell(&self, outcome: &Outcome) {
        let told = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(told) = told {
            told(outcome);
        }
    }
}

impl std::fmt::Debug for Receipt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Receipt").finish_non_exhaustive()
    }
}

/// The receipts of one connection's HTTP/1 responses, by their numbers.
#[derive(Debug, Default)]
pub(crate) struct Receipts {
    waiting: Mutex<VecDeque<(u64, Receipt)>>,
    /// A receipt was ever asked for: services that want none pay for no lock.
    wanted: AtomicBool,
}

impl Receipts {
    pub(crate) fn await_verdict(&self, number: u64, receipt: Receipt) {
        self.wanted.store(true, Ordering::Release);
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() >= MOST {
            waiting.pop_front();
        }
        waiting.push_back((number, receipt));
    }

    pub(crate) fn tell(&self, number: u64, outcome: &Outcome) {
        // The bytes of a response are written after its receipt was left here.
        if !self.wanted.load(Ordering::Acquire) {
            return;
        }
        let found = {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            let at = waiting.iter().position(|(waits, _)| *waits == number);
            at.and_then(|at| waiting.remove(at))
        };
        // Told outside the lock.
        if let Some((_, receipt)) = found {
            receipt.tell(outcome);
        }
    }
}
