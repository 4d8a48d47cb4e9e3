//! A transport controlled by the test, and an observer that stores its verdicts.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};

use ledger::{Cause, Entry, Observer, Probe};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Verdicts in their order: number, body bytes written, and the cause if it is a cut.
#[derive(Clone, Debug, Default)]
pub(crate) struct Verdicts(Arc<Mutex<Vec<Verdict>>>);

pub(crate) type Verdict = (u64, u64, Option<Cause>);

impl Verdicts {
    pub(crate) fn list(&self) -> Vec<Verdict> {
        self.0.lock().unwrap().clone()
    }
}

impl Observer for Verdicts {
    fn whole(&self, entry: &Entry) {
        self.0.lock().unwrap().push((entry.number, entry.written, None));
    }

    fn cut(&self, entry: &Entry, cause: Cause) {
        self.0.lock().unwrap().push((entry.number, entry.written, Some(cause)));
    }
}

/// The controls and records of the transport.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cues {
    /// Flushes and shutdowns stay pending until these are set.
    pub(crate) flush: bool,
    pub(crate) shutdown: bool,
    pub(crate) input: Vec<u8>,
    pub(crate) written: Vec<u8>,
    pub(crate) flushed: usize,
    /// Attempts to shut down, pending ones included.
    pub(crate) shutdowns_asked: usize,
    pub(crate) shutdowns: usize,
    pub(crate) resets: usize,
}

/// A transport controlled by the test. It has no waker: the test polls again after each change.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cued(Arc<Mutex<Cues>>);

impl Cued {
    /// One that has received `input`.
    pub(crate) fn with(input: &[u8]) -> Self {
        let cued = Self::default();
        cued.cues().input = input.to_vec();
        cued
    }

    pub(crate) fn cues(&self) -> MutexGuard<'_, Cues> {
        self.0.lock().unwrap()
    }

    /// From now on no step is pending.
    pub(crate) fn go(&self) {
        let mut cues = self.cues();
        (cues.flush, cues.shutdown) = (true, true);
    }

    /// The current state.
    pub(crate) fn seen(&self) -> Cues {
        self.cues().clone()
    }
}

impl AsyncRead for Cued {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut cues = self.cues();
        if cues.input.is_empty() {
            return Poll::Pending;
        }
        let n = cues.input.len().min(buf.remaining());
        buf.put_slice(&cues.input[..n]);
        cues.input.drain(..n);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Cued {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.cues().written.extend_from_slice(buf);
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut cues = self.cues();
        if !cues.flush {
            return Poll::Pending;
        }
        cues.flushed = cues.written.len();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut cues = self.cues();
        cues.shutdowns_asked += 1;
        if !cues.shutdown {
            return Poll::Pending;
        }
        cues.shutdowns += 1;
        cues.flushed = cues.written.len();
        Poll::Ready(Ok(()))
    }
}

/// Accepted is received, and there is a reset.
#[derive(Debug)]
pub(crate) struct CuedProbe;

impl Probe<Cued> for CuedProbe {
    fn queued(&self, _: &Cued) -> Option<u64> {
        None
    }

    fn unread(&self, stream: &Cued) -> bool {
        !stream.cues().input.is_empty()
    }

    fn reset_on_close(&self, stream: &Cued) -> bool {
        stream.cues().resets += 1;
        true
    }
}

/// One poll of a call.
pub(crate) fn poll<R>(call: impl FnOnce(&mut Context<'_>) -> R) -> R {
    call(&mut Context::from_waker(Waker::noop()))
}
