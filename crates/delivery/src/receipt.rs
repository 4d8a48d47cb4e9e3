//! Reports to the service how the delivery of a response ended.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use ledger::Cause;

/// Receipts kept for one connection. If it pipelines more, the oldest is dropped.
const RECEIPT_LIMIT: usize = 4096;

/// How the delivery of a response ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Outcome {
    /// Body bytes that the head promised; `None` when it promised a terminator instead.
    pub promised: Option<u64>,
    /// Body bytes that were sent: on HTTP/1 those that the transport accepted, on HTTP/2 those that the connection accepted.
    pub delivered: u64,
    /// Why the rest was not sent; `None`: the response is whole.
    pub cut: Option<Cause>,
}

type Callback = Box<dyn FnOnce(&Outcome) + Send>;

/// An extension of a response whose function is called once, when the delivery of the response has ended. It is called from
/// within polls and drops: it must neither block nor panic. If the framing is not followed, or the connection becomes a
/// tunnel, it is dropped without a call.
#[derive(Clone)]
pub struct Receipt(Arc<Mutex<Option<Callback>>>);

impl Receipt {
    /// Calls `callback` with the outcome.
    pub fn new(callback: impl FnOnce(&Outcome) + Send + 'static) -> Self {
        Self(Arc::new(Mutex::new(Some(Box::new(callback)))))
    }

    pub(crate) fn resolve(&self, outcome: &Outcome) {
        let callback = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(callback) = callback {
            callback(outcome);
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
    /// Set by the first receipt, so that services without receipts take no lock.
    wanted: AtomicBool,
}

impl Receipts {
    pub(crate) fn add(&self, number: u64, receipt: Receipt) {
        self.wanted.store(true, Ordering::Release);
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() >= RECEIPT_LIMIT {
            waiting.pop_front();
        }
        waiting.push_back((number, receipt));
    }

    pub(crate) fn resolve(&self, number: u64, outcome: &Outcome) {
        // A response is written after its receipt was added.
        if !self.wanted.load(Ordering::Acquire) {
            return;
        }
        let found = {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            let at = waiting.iter().position(|(other, _)| *other == number);
            at.and_then(|at| waiting.remove(at))
        };
        // Called outside the lock.
        if let Some((_, receipt)) = found {
            receipt.resolve(outcome);
        }
    }
}
