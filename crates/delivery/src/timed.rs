//! A transport whose blocked writes have a deadline and whose activity is recorded.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use ledger::Probe;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use crate::activity::Activity;
use crate::transport::Transport;

/// A write that waits for the peer.
struct Stall {
    timer: Pin<Box<Sleep>>,
    /// The backlog when the timer was last set.
    backlog: Option<u64>,
}

pub(crate) struct TimedTransport {
    inner: Transport,
    activity: Arc<Activity>,
    stall_timeout: Duration,
    stall: Option<Stall>,
}

impl TimedTransport {
    pub(crate) fn new(inner: Transport, activity: Arc<Activity>, stall_timeout: Duration) -> Self {
        Self { inner, activity, stall_timeout, stall: None }
    }

    /// Applies the deadline to the outcome of an attempt to write. `moves`: success means that bytes have moved. hyper
    /// flushes whenever it polls a connection, and an empty flush is not activity.
    fn progress<T>(
        &mut self,
        cx: &mut Context<'_>,
        outcome: Poll<io::Result<T>>,
        moves: bool,
    ) -> Poll<io::Result<T>> {
        if outcome.is_ready() {
            if self.stall.take().is_some() {
                self.activity.write_blocked(false);
                if moves {
                    self.activity.moved();
                }
            }
            return outcome;
        }
        let timeout = self.stall_timeout;
        if self.stall.is_none() {
            self.activity.write_blocked(true);
            let backlog = self.inner.backlog();
            self.stall = Some(Stall { timer: Box::pin(tokio::time::sleep(timeout)), backlog });
        }
        while let Some(stall) = &mut self.stall
            && stall.timer.as_mut().poll(cx).is_ready()
        {
            // The kernel wakes a writer when a good part of the queue is free, not at every byte. A reader that is too
            // slow for that shows in the backlog.
            let backlog = self.inner.backlog();
            if backlog.is_none() || backlog >= stall.backlog {
                return Poll::Ready(Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    "the peer accepted no byte within the stall timeout",
                )));
            }
            stall.backlog = backlog;
            stall.timer.as_mut().reset(Instant::now() + timeout);
        }
        Poll::Pending
    }
}

/// The ledger's queries to a [`TimedTransport`].
pub(crate) struct TransportProbe;

impl Probe<TimedTransport> for TransportProbe {
    fn queued(&self, stream: &TimedTransport) -> Option<u64> {
        stream.inner.queued()
    }

    fn unread(&self, stream: &TimedTransport) -> bool {
        stream.inner.unread()
    }

    fn reset_on_close(&self, stream: &TimedTransport) -> bool {
        stream.inner.reset_on_close()
    }

    fn failed(&self, stream: &TimedTransport) -> bool {
        stream.inner.failed()
    }
}

impl AsyncRead for TimedTransport {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.activity.poll_room(cx));
        let before = buf.filled().len();
        let mut outcome = Pin::new(&mut this.inner).poll_read(cx, buf);
        // A TLS client that closes without close_notify has only finished sending. HTTP's own framing shows whether its
        // request is complete.
        if let Poll::Ready(Err(error)) = &outcome
            && error.kind() == io::ErrorKind::UnexpectedEof
        {
            outcome = Poll::Ready(Ok(()));
        }
        if outcome.is_ready() {
            this.activity.read(&buf.filled()[before..]);
        }
        outcome
    }
}

impl AsyncWrite for TimedTransport {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let outcome = Pin::new(&mut this.inner).poll_write(cx, buf);
        if outcome.is_ready() {
            this.activity.moved();
        }
        this.progress(cx, outcome, true)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let outcome = Pin::new(&mut this.inner).poll_write_vectored(cx, bufs);
        if outcome.is_ready() {
            this.activity.moved();
        }
        this.progress(cx, outcome, true)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let outcome = Pin::new(&mut this.inner).poll_flush(cx);
        this.progress(cx, outcome, false)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let outcome = Pin::new(&mut this.inner).poll_shutdown(cx);
        this.progress(cx, outcome, false)
    }
}
