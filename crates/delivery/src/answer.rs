//! From a request to its answer: the service is called, what it left of the request is read, and the
//! response body is watched until it is over.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::FutureExt;
use http::header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, EXPECT};
use http::{HeaderValue, Method, Request, Response, StatusCode, Version};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{Either, Full};
use hyper::rt::Executor;
use ledger::{Blame, Cause};

use crate::config::Config;
use crate::ledgered::{Account, BodyEntry};
use crate::receipt::{Outcome, Receipt};
use crate::request::{ConnInfo, DrainLimits, Drained, Gone, Incoming, read_away};
use crate::stats::bump;
use crate::tasks::Tasks;
use crate::watch::Watch;

/// An HTTP/2 body is handed over in pieces of at most this many bytes, so that what is counted as given
/// follows what the peer's flow control admits, and the rest is not queued twice.
const HTTP2_PIECE: usize = 64 << 10;

pub(crate) type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// What all requests of one connection share.
pub(crate) struct Shared {
    pub(crate) config: Arc<Config>,
    pub(crate) account: Arc<Account>,
    pub(crate) watch: Arc<Watch>,
    pub(crate) blame: Blame,
    pub(crate) connection: u64,
    pub(crate) tls: bool,
    pub(crate) tasks: Tasks,
}

/// One request from its head to the end of its response. Dropping it is the end.
struct Flight {
    shared: Arc<Shared>,
    number: u64,
    http2: bool,
    gone: Gone,
    status: Option<u16>,
    promised: Option<u64>,
    id: Option<String>,
    given: u64,
    /// HTTP/2 only: on HTTP/1 the account has it.
    receipt: Option<Receipt>,
    /// All of the body was given away.
    complete: bool,
    /// Why it will not be.
    cause: Option<Cause>,
}

impl Flight {
    fn begin(shared: Arc<Shared>, http2: bool) -> Self {
        let number = shared.account.request_begins();
        shared.watch.request_begins();
        Self {
            shared,
            number,
            http2,
            gone: Gone::default(),
            status: None,
            promised: None,
            id: None,
            given: 0,
            receipt: None,
            complete: false,
            cause: None,
        }
    }

    fn answer_begins<B: Body>(&mut self, response: &mut Response<B>, head_only: bool) {
        self.shared.watch.answer_begins();
        match response.extensions_mut().remove::<Receipt>() {
            Some(receipt) if !self.http2 => self.shared.account.receipts.await_verdict(self.number, receipt),
            receipt => self.receipt = receipt,
        }
        self.status = Some(response.status().as_u16());
        let bodiless = bodiless(head_only, response.status());
        let length = response.headers().get(CONTENT_LENGTH);
        self.promised = match length.and_then(|value| value.to_str().ok()).and_then(|v| v.parse().ok()) {
            _ if bodiless => Some(0),
            Some(length) => Some(length),
            None => response.body().size_hint().exact(),
        };
        let id_header = self.shared.config.id_header.as_deref();
        self.id = id_header
            .filter(|_| self.http2)
            .and_then(|name| response.headers().get(name))
            .and_then(|value| value.to_str().ok())
            .map(str::to_owned);
        if bodiless || response.body().is_end_stream() {
            self.completed();
        }
    }

    fn completed(&mut self) {
        if !self.complete {
            self.complete = true;
            if self.http2 {
                self.shared.account.body_given(self.shared.config.ledger);
            }
        }
    }

    fn tell(&mut self, cut: Option<Cause>) {
        if let Some(receipt) = self.receipt.take() {
            receipt.tell(&Outcome { promised: self.promised, delivered: self.given, cut });
        }
    }

    /// The body cannot go on. On HTTP/1 that is the end of the connection.
    fn failed(&mut self, cause: Cause) {
        self.cause.get_or_insert(cause);
        if !self.http2 {
            self.shared.blame.set(cause);
        }
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        if self.status.is_none() {
            self.shared.watch.answer_begins();
        }
        if self.http2 {
            self.shared.watch.asked(self.number);
        }
        if !self.complete {
            self.gone.set();
            if self.http2 {
                // Nobody else drops the body of a stream: it was reset, or its connection is over.
                let cause = self.cause.or(self.shared.blame.get()).unwrap_or(Cause::PeerReset);
                let entry = BodyEntry {
                    status: self.status,
                    promised: self.promised,
                    given: self.given,
                    id: self.id.as_deref(),
                };
                self.shared.account.body_cut(&entry, cause);
                self.tell(Some(cause));
            }
        } else {
            self.tell(None);
        }
        self.shared.account.body_over();
        self.shared.watch.request_ends();
    }
}

/// Answers one request.
pub(crate) async fn answer<F, Fut, B>(
    shared: Arc<Shared>,
    service: F,
    request: Request<hyper::body::Incoming>,
) -> Response<Outgoing<B>>
where
    F: Fn(Request<Incoming>) -> Fut,
    Fut: Future<Output = Response<B>>,
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    let (mut head, body) = request.into_parts();
    let http2 = head.version == Version::HTTP_2;
    let mut flight = Flight::begin(Arc::clone(&shared), http2);
    let head_only = head.method == Method::HEAD;
    let invited =
        head.headers.get(EXPECT).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"));
    head.extensions.insert(ConnInfo {
        connection: shared.connection,
        peer: shared.account.peer,
        tls: shared.tls,
        gone: flight.gone.clone(),
    });
    let config = &shared.config;
    let (incoming, remains) = Incoming::new(body, config.body_stall_timeout);
    let request = Request::from_parts(head, incoming);
    // The service may panic when it is called or when it is polled.
    let called = AssertUnwindSafe(async move { service(request).await }).catch_unwind().await;
    let mut response = called.map_or_else(
        |_| {
            bump(&shared.account.stats.handler_panics);
            let mut response = Response::new(Source::Right(Full::from("internal error\n")));
            *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
            response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
            response
        },
        |response| response.map(Source::Left),
    );
    let limits = DrainLimits {
        bytes: config.request_drain_bytes,
        time: config.request_drain_time,
        idle: config.request_drain_idle,
    };
    if let Drained::Left(mut body) = remains.drain(limits, invited).await {
        bump(&shared.account.stats.undrained);
        if http2 {
            // Dropped, it would reset the stream together with the answer, and there are clients that then throw the
            // answer away. On HTTP/1 the lingering close does this.
            let ledger::Linger { discard_time: time, discard_bytes: bytes, .. } = config.linger;
            let limits = DrainLimits { bytes, time, idle: time };
            shared.tasks.execute(async move {
                read_away(&mut body, limits).await;
            });
        } else {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
    }
    flight.answer_begins(&mut response, head_only);
    if http2 && bodiless(head_only, response.status()) {
        response = without_body(response);
    }
    response.map(|source| Outgoing { source, rest: Bytes::new(), flight })
}

/// Whether a response has no body, whatever its fields say (RFC 9110, 6.4.1).
fn bodiless(head_only: bool, status: StatusCode) -> bool {
    head_only || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
}

/// Drops a body that must not be sent. On HTTP/1 the connection sees to that; on HTTP/2 it would send any body that is
/// given to it, which the peer has to take for a protocol error.
///
/// The answer to `HEAD` says how long the body would be, as on HTTP/1. 204 has no length, and that of 304 would be the
/// length of a representation, which its own body is not (RFC 9110, 8.6).
fn without_body<B>(mut response: Response<Source<B>>) -> Response<Source<B>>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    let bodiless_by_status = bodiless(false, response.status());
    if !bodiless_by_status
        && !response.body().is_end_stream()
        && let Some(length) = response.body().size_hint().exact()
    {
        response.headers_mut().entry(CONTENT_LENGTH).or_insert_with(|| HeaderValue::from(length));
    }
    response.map(|_| Source::Right(Full::default()))
}

/// Where the bytes of a body come from: the service, or a text of ours.
pub(crate) type Source<B> = Either<B, Full<Bytes>>;

pin_project_lite::pin_project! {
    /// The body of a response on its way to the connection.
    pub(crate) struct Outgoing<B> {
        #[pin]
        source: Source<B>,
        // What is left of a frame that is handed over in pieces.
        rest: Bytes,
        flight: Flight,
    }
}

/// A handler's body that panicked. The panic itself was reported by the panic hook.
#[derive(Debug)]
struct Panicked;

impl std::fmt::Display for Panicked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the response body panicked")
    }
}

impl std::error::Error for Panicked {}

impl<B> Body for Outgoing<B>
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
        let flight = this.flight;
        if flight.http2 {
            flight.shared.watch.asked(flight.number);
        }
        let frame = if this.rest.is_empty() {
            let polled = std::panic::catch_unwind(AssertUnwindSafe(|| this.source.as_mut().poll_frame(cx)));
            let Ok(polled) = polled else {
                bump(&flight.shared.account.stats.handler_panics);
                flight.failed(Cause::HandlerPanic);
                return Poll::Ready(Some(Err(Panicked.into())));
            };
            match ready!(polled) {
                Some(Ok(frame)) => frame,
                Some(Err(error)) => {
                    flight.failed(Cause::BodyError);
                    return Poll::Ready(Some(Err(error)));
                }
                None => {
                    if flight.promised.is_some_and(|promised| promised > flight.given) {
                        flight.failed(Cause::BodyError);
                    } else {
                        flight.completed();
                    }
                    return Poll::Ready(None);
                }
            }
        } else {
            Frame::data(std::mem::take(this.rest))
        };
        let frame = match frame.into_data() {
            Ok(mut data) => {
                if flight.http2 && data.len() > HTTP2_PIECE {
                    *this.rest = data.split_off(HTTP2_PIECE);
                }
                flight.given += data.len() as u64;
                Frame::data(data)
            }
            Err(frame) => frame,
        };
        if this.rest.is_empty() && this.source.is_end_stream() {
            if flight.promised.is_some_and(|promised| promised > flight.given) {
                flight.failed(Cause::BodyError);
            } else {
                flight.completed();
            }
        } else if flight.http2 {
            flight.shared.watch.handed(flight.number);
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
