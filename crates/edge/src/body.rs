//! The body of an origin's response on its way to the client.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Sleep;

use crate::BoxError;
use crate::upload::Refusal;

/// The body of an origin's response. It fails if it ends before its length, or sends nothing for too long.
#[derive(Debug)]
pub struct Body {
    body: Incoming,
    idle_timeout: Duration,
    idle: Option<Pin<Box<Sleep>>>,
    _permit: Option<OwnedSemaphorePermit>,
    _refusal: Option<Refusal>,
}

impl Body {
    /// `permit` and `refusal` are held until the body is dropped.
    pub(crate) fn new(
        body: Incoming,
        idle_timeout: Duration,
        permit: Option<OwnedSemaphorePermit>,
        refusal: Option<Refusal>,
    ) -> Self {
        Self { body, idle_timeout, idle: None, _permit: permit, _refusal: refusal }
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.get_mut();
        if let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(cx) {
            this.idle = None;
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        let timeout = this.idle_timeout;
        let idle = this.idle.get_or_insert_with(|| Box::pin(tokio::time::sleep(timeout)));
        ready!(idle.as_mut().poll(cx));
        Poll::Ready(Some(Err("the origin's response body sent nothing for too long".into())))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
