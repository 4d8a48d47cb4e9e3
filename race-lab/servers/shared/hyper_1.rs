//! The lab's server on hyper 1.x. The packages beside this folder build this one file against exact versions.

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
use http_body_util::{BodyExt, Either, Full};
use hyper::body::{Body, Frame, Incoming};
use hyper::header::{CONNECTION, CONTENT_TYPE, HeaderValue};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;

use connection::Connection;
use response_spec::{Delimiter, RequestReading, ResponseSpec};
use server::{Lab, Serve};

/// A chunked body from a channel.
struct Fed(mpsc::Receiver<Bytes>);

impl Body for Fed {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        self.0.poll_recv(context).map(|piece| piece.map(|piece| Ok(Frame::data(piece))))
    }
}

type LabResponse = Response<Either<Full<Bytes>, Fed>>;

async fn respond(
    request: Request<Incoming>,
    lab: Arc<Lab>,
    connection: Arc<Connection>,
) -> Result<LabResponse, hyper::Error> {
    connection.add(request.headers().get("x-lab-id").and_then(|id| id.to_str().ok()));
    let Some(spec) = ResponseSpec::parse(request.uri().path()) else {
        let mut refusal = Response::new(Either::Left(Full::new(Bytes::from_static(b"no such response\n"))));
        *refusal.status_mut() = StatusCode::NOT_FOUND;
        return Ok(refusal);
    };
    let content_type = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let mut delimiter = Delimiter::from_content_type(content_type);
    let mut body = request.into_body();
    while let Some(frame) = body.frame().await {
        let seen = frame?.data_ref().is_some_and(|piece| delimiter.seen_in(piece));
        if seen && spec.reading == RequestReading::Boundary {
            break;
        }
    }
    drop(body);
    let mut response = Response::new(match spec.body {
        response_spec::Body::Held => Either::Left(Full::new(lab.held(spec.bytes))),
        response_spec::Body::Fed => Either::Right(Fed(lab.fed(spec.bytes))),
    });
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("image/png"));
    if spec.close {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    Ok(response)
}

/// Serves connections with this version of hyper.
pub struct Hyper1;

impl Serve for Hyper1 {
    async fn serve<S>(stream: S, lab: Arc<Lab>, connection: Arc<Connection>)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let half_close = lab.half_close;
        let service =
            hyper::service::service_fn(move |request| respond(request, lab.clone(), connection.clone()));
        // The ledger reports how the connection ended.
        let _ = hyper::server::conn::http1::Builder::new()
            .half_close(half_close)
            .serve_connection(TokioIo::new(stream), service)
            .await;
    }
}

#[cfg(test)]
use Hyper1 as ThisHyper;

fn main() -> std::io::Result<()> {
    server::run::<Hyper1>()
}
