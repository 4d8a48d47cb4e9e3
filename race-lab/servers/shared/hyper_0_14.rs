//! The lab's server on hyper 0.14, with the same responses as the one on hyper 1.x.

mod connection;
mod feeder;
mod record;
mod response_spec;
#[cfg(test)]
mod schedules;
mod server;

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, HttpBody};
use hyper::header::{CONNECTION, CONTENT_TYPE, HeaderMap, HeaderValue};
use hyper::{Request, Response, StatusCode};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;

use connection::Connection;
use response_spec::{Delimiter, RequestReading, ResponseSpec};
use server::{Lab, Serve};

/// The body of a response.
enum ResponseBody {
    Held(Option<Bytes>),
    Fed(mpsc::Receiver<Bytes>),
}

impl HttpBody for ResponseBody {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_data(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Self::Error>>> {
        match self.get_mut() {
            Self::Held(piece) => Poll::Ready(piece.take().map(Ok)),
            Self::Fed(pieces) => pieces.poll_recv(context).map(|piece| piece.map(Ok)),
        }
    }

    fn poll_trailers(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Result<Option<HeaderMap>, Self::Error>> {
        Poll::Ready(Ok(None))
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Held(None))
    }

    fn size_hint(&self) -> hyper::body::SizeHint {
        match self {
            Self::Held(piece) => {
                hyper::body::SizeHint::with_exact(piece.as_ref().map_or(0, |piece| piece.len() as u64))
            }
            Self::Fed(_) => hyper::body::SizeHint::default(),
        }
    }
}

async fn respond(
    request: Request<Body>,
    lab: Arc<Lab>,
    connection: Arc<Connection>,
) -> Result<Response<ResponseBody>, hyper::Error> {
    connection.add(request.headers().get("x-lab-id").and_then(|id| id.to_str().ok()));
    let Some(spec) = ResponseSpec::parse(request.uri().path()) else {
        let mut refusal = Response::new(ResponseBody::Held(Some(Bytes::from_static(b"no such response\n"))));
        *refusal.status_mut() = StatusCode::NOT_FOUND;
        return Ok(refusal);
    };
    let content_type = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let mut delimiter = Delimiter::from_content_type(content_type);
    let mut body = request.into_body();
    while let Some(piece) = body.data().await {
        if delimiter.seen_in(&piece?) && spec.reading == RequestReading::Boundary {
            break;
        }
    }
    drop(body);
    let mut response = Response::new(match spec.body {
        response_spec::Body::Held => ResponseBody::Held(Some(lab.held(spec.bytes))),
        response_spec::Body::Fed => ResponseBody::Fed(lab.fed(spec.bytes)),
    });
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("image/png"));
    if spec.close {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    Ok(response)
}

/// Serves connections with this version of hyper.
pub struct Hyper014;

impl Serve for Hyper014 {
    async fn serve<S>(stream: S, lab: Arc<Lab>, connection: Arc<Connection>)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let half_close = lab.half_close;
        let service =
            hyper::service::service_fn(move |request| respond(request, lab.clone(), connection.clone()));
        // The ledger reports how the connection ended.
        let _ = hyper::server::conn::Http::new()
            .http1_only(true)
            .http1_half_close(half_close)
            .serve_connection(stream, service)
            .await;
    }
}

#[cfg(test)]
use Hyper014 as ThisHyper;

fn main() -> std::io::Result<()> {
    server::run::<Hyper014>()
}
