//! The body of a response on its way to the connection.

use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::{Either, Full};
use ledger::Cause;

use crate::exchange::Exchange;
use crate::stats::bump;

pub(crate) type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// An HTTP/2 body is given to the connection in pieces of at most this many bytes, so that the count of delivered bytes
/// follows the peer's flow control, and the rest is not queued twice.
const HTTP2_PIECE: usize = 16 << 10;

/// The source of the bytes of a body: the service, or a text of this crate.
pub(crate) type Source<B> = Either<B, Full<Bytes>>;

pin_project_lite::pin_project! {
    /// The body of a response on its way to the connection.
    pub(crate) struct ResponseBody<B> {
        #[pin]
        source: Source<B>,
        // The rest of a frame that is given to the connection in pieces.
        rest: Bytes,
        exchange: Exchange,
    }
}

impl<B> ResponseBody<B> {
    pub(crate) fn new(source: Source<B>, exchange: Exchange) -> Self {
        Self { source, rest: Bytes::new(), exchange }
    }
}

/// A body of the service panicked. The panic hook has reported the panic itself.
#[derive(Debug)]
struct Panicked;

impl std::fmt::Display for Panicked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the response body panicked")
    }
}

impl std::error::Error for Panicked {}

impl<B> Body for ResponseBody<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let mut this = self.project();
        let exchange = this.exchange;
        if exchange.http2 {
            exchange.shared.activity.stream_goes_on(exchange.number);
        }
        let frame = if this.rest.is_empty() {
            let polled = std::panic::catch_unwind(AssertUnwindSafe(|| this.source.as_mut().poll_frame(cx)));
            let Ok(polled) = polled else {
                bump(&exchange.shared.observer.stats.handler_panics);
                exchange.failed(Cause::HandlerPanic);
                return Poll::Ready(Some(Err(Panicked.into())));
            };
            match ready!(polled) {
                Some(Ok(frame)) => frame,
                Some(Err(error)) => {
                    exchange.failed(Cause::BodyError);
                    return Poll::Ready(Some(Err(error)));
                }
                None => {
                    if exchange.promised.is_some_and(|promised| promised > exchange.given) {
                        exchange.failed(Cause::BodyError);
                    } else {
                        exchange.completed();
                    }
                    return Poll::Ready(None);
                }
            }
        } else {
            Frame::data(std::mem::take(this.rest))
        };
        let frame = match frame.into_data() {
            Ok(mut data) => {
                if exchange.http2 && data.len() > HTTP2_PIECE {
                    *this.rest = data.split_off(HTTP2_PIECE);
                }
                exchange.given += data.len() as u64;
                if exchange.promised.is_none() {
                    exchange.shared.activity.response_bytes(exchange.number, data.len() as u64);
                }
                Frame::data(data)
            }
            Err(frame) => frame,
        };
        if this.rest.is_empty() && this.source.is_end_stream() {
            if exchange.promised.is_some_and(|promised| promised > exchange.given) {
                exchange.failed(Cause::BodyError);
            } else {
                exchange.completed();
            }
        } else if exchange.http2 {
            exchange.shared.activity.stream_waits(exchange.number);
        }
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.source.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let mut hint = self.source.size_hint();
        let rest = self.rest.len() as u64;
        if let Some(upper) = hint.upper() {
            hint.set_upper(upper + rest);
        }
        hint.set_lower(hint.lower() + rest);
        hint
    }
}
