//! Serves one request: the service is called, and the rest of the request is read before the response is sent.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, PoisonError};

use bytes::Bytes;
use futures_util::FutureExt;
use http::header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, EXPECT};
use http::{HeaderValue, Method, Request, Response, StatusCode, Version};
use http_body::Body;
use http_body_util::Full;
use hyper::rt::Executor;

use crate::exchange::{Exchange, Shared, bodiless};
use crate::request::{ConnInfo, DrainLimits, Drained, RequestBody, discard};
use crate::response::{BoxError, ResponseBody, Source};
use crate::stats::bump;
use crate::tunnel::{PendingTunnel, Tunnel};

/// Serves one request.
pub(crate) async fn respond<F, Fut, B>(
    shared: Arc<Shared>,
    service: F,
    request: Request<hyper::body::Incoming>,
) -> Response<ResponseBody<B>>
where
    F: Fn(Request<RequestBody>) -> Fut,
    Fut: Future<Output = Response<B>>,
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    let (mut head, body) = request.into_parts();
    let http2 = head.version == Version::HTTP_2;
    let mut exchange = Exchange::begin(Arc::clone(&shared), http2);
    let head_only = head.method == Method::HEAD;
    let awaits_continue =
        head.headers.get(EXPECT).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"));
    head.extensions.insert(ConnInfo {
        connection: shared.connection,
        peer: shared.observer.peer,
        tls: shared.tls,
    });
    let upgrade = head.extensions.remove::<hyper::upgrade::OnUpgrade>();
    let config = &shared.config;
    let (incoming, unread) = RequestBody::new(body, config.body_stall_timeout);
    let request = Request::from_parts(head, incoming);
    // A service may panic when called and when polled.
    let called = AssertUnwindSafe(async move { service(request).await }).catch_unwind().await;
    let mut response = called.map_or_else(
        |_| {
            bump(&shared.observer.stats.handler_panics);
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
    if let Drained::Left(mut body) = unread.drain(limits, awaits_continue).await {
        bump(&shared.observer.stats.undrained);
        if http2 {
            // Dropping the body would reset the stream together with the response, and some clients then discard the
            // response. On HTTP/1 the lingering close reads the rest.
            let ledger::Linger { discard_time: time, discard_bytes: bytes, .. } = config.linger;
            let limits = DrainLimits { bytes, time, idle: time };
            shared.tasks.execute(async move {
                discard(&mut body, limits).await;
            });
        } else {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
    }
    let tunnel = response.extensions_mut().remove::<Tunnel>();
    if let (StatusCode::SWITCHING_PROTOCOLS, Some(tunnel), Some(client)) =
        (response.status(), tunnel, upgrade)
    {
        let tunnel = PendingTunnel::new(client, tunnel);
        *shared.tunnel.lock().unwrap_or_else(PoisonError::into_inner) = Some(tunnel);
    }
    exchange.response_begins(&mut response, head_only);
    if http2 && bodiless(head_only, response.status()) {
        response = without_body(response);
    }
    response.map(|source| ResponseBody::new(source, exchange))
}

/// Drops a body that must not be sent. On HTTP/1 hyper does so; on HTTP/2 it sends every body, which the
/// peer must treat as a protocol error.
///
/// The response to `HEAD` gives the length of the body, as on HTTP/1. 204 has no length, and 304 gets none because it
/// would be that of a representation (RFC 9110, 8.6).
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
