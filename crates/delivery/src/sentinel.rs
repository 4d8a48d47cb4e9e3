//! Asks a socket whether its peer is gone while the HTTP connection owns it and waits for the handler.

#![allow(unsafe_code)]

use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::sync::{Mutex, PoisonError};

/// Knows the descriptor of a socket that somebody else owns, for as long as it is open.
#[derive(Debug, Default)]
pub(crate) struct Sentinel {
    fd: Mutex<Option<RawFd>>,
}

impl Sentinel {
    pub(crate) fn post(&self, fd: BorrowedFd<'_>) {
        *self.fd.lock().unwrap_or_else(PoisonError::into_inner) = Some(fd.as_raw_fd());
    }

    /// The owner calls this before it closes the descriptor.
    pub(crate) fn withdraw(&self) {
        *self.fd.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Whether the peer is gone for good. A TCP peer that closed without a reset looks like one that
    /// has only finished sending, and is not counted as gone.
    pub(crate) fn hung_up(&self) -> bool {
        let fd = self.fd.lock().unwrap_or_else(PoisonError::into_inner);
        fd.is_some_and(|fd| {
            // SAFETY: the owner withdraws the descriptor before it closes it, and cannot do so while
            // the lock is held, which is until this call has returned.
            ledger::socket::hung_up(unsafe { BorrowedFd::borrow_raw(fd) })
        })
    }
}
