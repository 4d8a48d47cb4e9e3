//! What the service gets: the request body, and what is known of the client.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use tokio::sync::Notify;
use tokio::time::Sleep;

use crate::transport::Peer;

/// What the service may want to know about the client of a request. It is among the request's
/// extensions.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ConnInfo {
    /// Number of the connection, unique within the server.
    pub connection: u64,
    /// The other end.
    pub peer: Peer,
    /// Whether the connection is encrypted.
    pub tls: bool,
    /// Tells when nobody waits for the answer any more.
    pub gone: Gone,
}

/// Whether the client of a request has gone away, or the answer can no longer be delivered for another
/// reason (the stream was reset, the drain deadline is over).
///
/// The handler's future is dropped then, which is all that asynchronous code needs. This is for work
/// that goes on elsewhere: on a thread, in a queue.
#[derive(Clone, Debug, Default)]
pub struct Gone(Arc<GoneState>);

#[derive(Debug, Default)]
struct GoneState {
    gone: AtomicBool,
    notify: Notify,
}

impl Gone {
    /// Whether it has happened. One atomic load: fit for inner loops.
    pub fn is_gone(&self) -> bool {
        self.0.gone.load(Ordering::Acquire)
    }

    /// Returns when it happens; never, if the answer is delivered.
    pub async fn wait(&self) {
        let mut notified = std::pin::pin!(self.0.notify.notified());
        // Registered before the flag is read, so that no notice is missed.
        notified.as_mut().enable();
        if !self.is_gone() {
            notified.await;
        }
    }

    pub(crate) fn set(&self) {
        self.0.gone.store(true, Ordering::Release);
        self.0.notify.notify_waiters();
    }
}

/// Why a request body could not be read to its end.
#[derive(Debug)]
#[non_exhaustive]
pub enum BodyError {
    /// The client went away, or sent bytes that are no HTTP: the body is not complete.
    Broken(hyper::Error),
    /// No byte came for longer than [`Config::body_stall_timeout`](crate::Config::body_stall_timeout).
    Stalled,
}

impl std::fmt::Display for BodyError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Broken(_) => f.write_str("the request body is not complete"),
            Self::Stalled => f.write_str("the request body stalled"),
        }
    }
}

impl std::error::Error for BodyError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Broken(error) => Some(error),
            Self::Stalled => None,
        }
    }
}

/// A part of the body that the service left unread.
#[derive(Debug)]
struct Rest {
    body: hyper::body::Incoming,
    asked: bool,
    /// The service waited for it in vain already.
    stalled: bool,
}

/// Where a body that is dropped leaves its rest.
#[derive(Clone, Debug, Default)]
pub(crate) struct Remains(Arc<Mutex<Option<Rest>>>);

/// How much is read of what the service left.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DrainLimits {
    pub(crate) bytes: u64,
    pub(crate) time: Duration,
    /// The longest pause that is waited for.
    pub(crate) idle: Duration,
}

/// What came of reading the rest of a request.
#[derive(Debug)]
pub(crate) enum Drained {
    /// Its end was reached, or no more can come.
    Ended,
    /// There is more, or may be. Dropping the body gives it up: on HTTP/2 that resets the stream.
    Left(hyper::body::Incoming),
}

impl Remains {
    /// Reads the rest of the request.
    ///
    /// `invited`: the client waits for `100 Continue` before it sends. If the service never asked for
    /// the body, that invitation is not sent now.
    pub(crate) async fn drain(&self, limits: DrainLimits, invited: bool) -> Drained {
        let rest = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        // Without a rest, the body was read to its end, or somebody still reads it.
        let Some(Rest { mut body, asked, stalled }) = rest else { return Drained::Ended };
        if body.is_end_stream() {
            return Drained::Ended;
        }
        if stalled || (invited && !asked) || body.size_hint().lower() > limits.bytes {
            return Drained::Left(body);
        }
        if read_away(&mut body, limits).await { Drained::Ended } else { Drained::Left(body) }
    }
}

/// Reads and throws away a body within bounds. `false`: its end was not reached.
pub(crate) async fn read_away(body: &mut hyper::body::Incoming, limits: DrainLimits) -> bool {
    let read = async {
        let mut left = limits.bytes;
        loop {
            let Ok(frame) = tokio::time::timeout(limits.idle, body.frame()).await else { return false };
            let Some(frame) = frame else { return true };
            // After an error no more of this request can come.
            let Ok(frame) = frame else { return true };
            let length = frame.data_ref().map_or(0, |data| data.len() as u64);
            match left.checked_sub(length) {
                Some(after) => left = after,
                None => return false,
            }
        }
    };
    tokio::time::timeout(limits.time, read).await.unwrap_or(false)
}

/// The body of a request.
///
/// It need not be read to its end: what is left is read and thrown away before the answer goes out,
/// within the bounds of the [`Config`](crate::Config). It ends with an error, never tidily, if the
/// client did not send all of it.
#[derive(Debug)]
pub struct Incoming {
    body: Option<hyper::body::Incoming>,
    asked: bool,
    stalled: bool,
    remains: Remains,
    patience: Duration,
    stall: Option<Pin<Box<Sleep>>>,
}

impl Incoming {
    pub(crate) fn new(body: hyper::body::Incoming, patience: Duration) -> (Self, Remains) {
        let remains = Remains::default();
        let incoming = Self {
            body: Some(body),
            asked: false,
            stalled: false,
            remains: remains.clone(),
            patience,
            stall: None,
        };
        (incoming, remains)
    }
}

impl Body for Incoming {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        let Some(body) = &mut this.body else { return Poll::Ready(None) };
        this.asked = true;
        if let Poll::Ready(frame) = Pin::new(body).poll_frame(cx) {
            this.stall = None;
            return Poll::Ready(frame.map(|frame| frame.map_err(BodyError::Broken)));
        }
        let patience = this.patience;
        let stall = this.stall.get_or_insert_with(|| Box::pin(tokio::time::sleep(patience)));
        ready!(stall.as_mut().poll(cx));
        this.stalled = true;
        Poll::Ready(Some(Err(BodyError::Stalled)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        if let Some(body) = self.body.take() {
            let rest = Rest { body, asked: self.asked, stalled: self.stalled };
            *self.remains.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(rest);
        }
    }
}
