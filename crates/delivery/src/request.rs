//! What the service receives: the request body, and information about the client.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use tokio::time::Sleep;

use crate::peer::Peer;

/// Information about the client of a request: an extension of the request.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ConnInfo {
    /// Number of the connection, unique within the server.
    pub connection: u64,
    /// The other end.
    pub peer: Peer,
    /// Whether the connection is encrypted.
    pub tls: bool,
}

/// Why a request body could not be read to its end.
#[derive(Debug)]
#[non_exhaustive]
pub enum BodyError {
    /// The client left, or sent malformed HTTP: the body is not complete.
    Broken(hyper::Error),
    /// No byte arrived for longer than [`Config::body_stall_timeout`](crate::Config::body_stall_timeout).
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
struct Unread {
    body: hyper::body::Incoming,
    polled: bool,
    /// The service has waited for it until the stall timeout.
    stalled: bool,
}

/// Receives the rest of a body when the body is dropped.
#[derive(Clone, Debug, Default)]
pub(crate) struct UnreadBody(Arc<Mutex<Option<Unread>>>);

/// Bounds for reading the rest of a request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DrainLimits {
    pub(crate) bytes: u64,
    pub(crate) time: Duration,
    /// The longest pause between two reads.
    pub(crate) idle: Duration,
}

/// The outcome of reading the rest of a request.
#[derive(Debug)]
pub(crate) enum Drained {
    /// The end was reached, or no more can arrive.
    Ended,
    /// There may be more. On HTTP/2, dropping the body resets the stream.
    Left(hyper::body::Incoming),
}

impl UnreadBody {
    /// Reads the rest of the request.
    ///
    /// `awaits_continue`: the client waits for `100 Continue` before it sends. If the service never polled the body, no
    /// `100 Continue` is sent now.
    pub(crate) async fn drain(&self, limits: DrainLimits, awaits_continue: bool) -> Drained {
        let rest = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        // Without a rest, the body was read to its end, or the service still reads it.
        let Some(Unread { mut body, polled, stalled }) = rest else { return Drained::Ended };
        if body.is_end_stream() {
            return Drained::Ended;
        }
        if stalled || (awaits_continue && !polled) || body.size_hint().lower() > limits.bytes {
            return Drained::Left(body);
        }
        if discard(&mut body, limits).await { Drained::Ended } else { Drained::Left(body) }
    }
}

/// Reads and discards a body within bounds. `false`: its end was not reached.
pub(crate) async fn discard(body: &mut hyper::body::Incoming, limits: DrainLimits) -> bool {
    let read = async {
        let mut left = limits.bytes;
        loop {
            let Ok(frame) = tokio::time::timeout(limits.idle, body.frame()).await else { return false };
            let Some(frame) = frame else { return true };
            // After an error no more of this request can arrive.
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
/// The service need not read it to its end: the rest is read and discarded before the response is sent, within the bounds
/// of the [`Config`](crate::Config). It ends with an error if the client did not send all of it.
#[derive(Debug)]
pub struct RequestBody {
    body: Option<hyper::body::Incoming>,
    polled: bool,
    stalled: bool,
    unread: UnreadBody,
    stall_timeout: Duration,
    stall: Option<Pin<Box<Sleep>>>,
}

impl RequestBody {
    pub(crate) fn new(body: hyper::body::Incoming, stall_timeout: Duration) -> (Self, UnreadBody) {
        let unread = UnreadBody::default();
        let incoming = Self {
            body: Some(body),
            polled: false,
            stalled: false,
            unread: unread.clone(),
            stall_timeout,
            stall: None,
        };
        (incoming, unread)
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        let Some(body) = &mut this.body else { return Poll::Ready(None) };
        this.polled = true;
        if let Poll::Ready(frame) = Pin::new(body).poll_frame(cx) {
            this.stall = None;
            return Poll::Ready(frame.map(|frame| frame.map_err(BodyError::Broken)));
        }
        let stall_timeout = this.stall_timeout;
        let stall = this.stall.get_or_insert_with(|| Box::pin(tokio::time::sleep(stall_timeout)));
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

impl Drop for RequestBody {
    fn drop(&mut self) {
        if let Some(body) = self.body.take() {
            let rest = Unread { body, polled: self.polled, stalled: self.stalled };
            *self.unread.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(rest);
        }
    }
}
