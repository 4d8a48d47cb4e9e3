//! The body of a request on its way to the origin.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::BodyExt;
use hyper_util::client::legacy::connect::CaptureConnection;
use tokio::time::{Instant, Sleep};

use crate::BoxError;
use crate::connection::Handle;
use crate::place::Sending;

/// How long a request with `Expect` waits for `100 Continue`; origins need not know the field (RFC 9110, 10.1.1).
const CONTINUE_WAIT: Duration = Duration::from_secs(1);

/// A body of any type.
type AnyBody = Pin<Box<dyn HttpBody<Data = Bytes, Error = BoxError> + Send>>;

/// The body of a request. It is sent at once, or with `Expect` when the origin has said `100 Continue`.
pub(crate) struct Upload {
    state: Shared,
    /// Runs while a continuation is awaited.
    wait: Option<Pin<Box<Sleep>>>,
    sending: Option<Sending>,
    /// The connection on which the request is sent.
    pub(crate) connection: Option<CaptureConnection>,
}

/// What the request knows of its body. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Shared(Arc<Mutex<State>>);

struct State {
    /// `None`: the origin has answered without it.
    body: Option<AnyBody>,
    /// Whether the body may be read.
    open: bool,
    /// Why the body is not read on.
    cut: Option<&'static str>,
    moved: Instant,
    failed: Option<String>,
    waker: Option<Waker>,
}

impl Upload {
    /// `waits`: not before [`Shared::open`].
    pub(crate) fn new<B>(body: B, waits: bool, sending: Sending) -> (Self, Shared)
    where
        B: HttpBody<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let shared = Shared(Arc::new(Mutex::new(State {
            body: Some(Box::pin(body.map_err(Into::into))),
            open: !waits,
            cut: None,
            moved: Instant::now(),
            failed: None,
            waker: None,
        })));
        (Self { state: shared.clone(), wait: None, sending: Some(sending), connection: None }, shared)
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// When the body last moved.
    pub(crate) fn moved(&self) -> Instant {
        self.lock().moved
    }

    /// Why the body could not be read to its end.
    pub(crate) fn failed(&self) -> Option<String> {
        self.lock().failed.clone()
    }

    /// The origin wants the body.
    pub(crate) fn open(&self) {
        let mut state = self.lock();
        state.open = true;
        if let Some(waker) = state.waker.take() {
            waker.wake();
        }
    }

    /// The origin has answered. A body that was never read is dropped here, so that whoever serves the request knows that it
    /// has not been read. `false`: there was one.
    pub(crate) fn answered(&self) -> bool {
        let mut state = self.lock();
        if state.open {
            return true;
        }
        let body = state.body.take();
        drop(state);
        body.is_none()
    }

    /// Ends the body with an error.
    pub(crate) fn cut(&self, why: &'static str) {
        let mut state = self.lock();
        state.cut = Some(why);
        if let Some(waker) = state.waker.take() {
            waker.wake();
        }
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        // The connection may still have to send the last of it.
        let Some(sending) = self.sending.take() else { return };
        if let Some(connection) = self.connection.as_ref().and_then(Handle::of) {
            connection.keep(sending);
        }
    }
}

impl HttpBody for Upload {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.get_mut();
        let mut state = this.state.lock();
        if let Some(why) = state.cut {
            return Poll::Ready(Some(Err(why.into())));
        }
        let State { body: Some(body), open, .. } = &mut *state else {
            state.waker = Some(cx.waker().clone());
            return Poll::Pending;
        };
        if !*open {
            let wait = this.wait.get_or_insert_with(|| Box::pin(tokio::time::sleep(CONTINUE_WAIT)));
            if wait.as_mut().poll(cx).is_pending() {
                state.waker = Some(cx.waker().clone());
                return Poll::Pending;
            }
            *open = true;
        }
        let Poll::Ready(frame) = body.as_mut().poll_frame(cx) else {
            state.waker = Some(cx.waker().clone());
            return Poll::Pending;
        };
        state.moved = Instant::now();
        if let Some(Err(error)) = &frame {
            state.failed = Some(error.to_string());
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.state.lock().body.as_ref().is_some_and(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.state.lock().body.as_ref().map_or_else(SizeHint::default, HttpBody::size_hint)
    }
}
