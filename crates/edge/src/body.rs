//! The body of an origin's response on its way to the client.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::sync::oneshot;

use crate::BoxError;
use crate::head::HeadMemory;
use crate::idle::IdleTimeout;
use crate::place::Place;

/// The body of an origin's response. It fails if it ends before its length, or sends nothing for too long.
#[derive(Debug)]
pub struct Body {
    body: IdleTimeout<Incoming>,
    _held: Option<(Place, HeadMemory)>,
    _over: oneshot::Sender<()>,
}

impl Body {
    /// `held` and `over` are held until the body is dropped.
    pub(crate) fn new(
        body: Incoming,
        idle_timeout: Duration,
        held: Option<(Place, HeadMemory)>,
        over: oneshot::Sender<()>,
    ) -> Self {
        let text = "the origin's response body sent nothing for too long";
        Self { body: IdleTimeout::new(body, idle_timeout, text), _held: held, _over: over }
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
