//! Edge mode: whatever is not ours goes to the origin, and comes back as the origin answers.

use std::time::Duration;

use bytes::Bytes;
use delivery::Peer;
use edge::{Edge, Error, Front};
use http::{HeaderValue, Request, header};
use http_body::Body;

use crate::app::App;
use crate::error::ApiError;
use crate::fields::CF_RESIZED;
use crate::request::RequestContext;
use crate::respond::{self, BoxError, Response, ResponseBody};

/// Passes a request on.
pub(super) async fn respond<B>(app: &App, edge: &Edge, request: RequestContext, body: B) -> Response
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let RequestContext { method, uri, headers, tls, client, trace, .. } = request;
    let wait = app.config.connect_timeout.duration();
    trace.route(&method, "pass-through");
    let mut passed = Request::new(body);
    (*passed.method_mut(), *passed.uri_mut(), *passed.headers_mut()) = (method, uri, headers);
    let fetch = trace.client_phase("fetch");
    fetch.inject(passed.headers_mut());
    let client = match client {
        Peer::Tcp(address) => Some(address.ip()),
        _ => None,
    };
    let done = edge.forward(passed, Front { client, tls }).await.map_err(|error| api_error(error, wait));
    fetch.record(done.as_ref().err());
    match done {
        Ok(response) => response.map(ResponseBody::stream),
        Err(error) => {
            let mut response = respond::error(&error);
            let headers = response.headers_mut();
            // It is no image that failed, and the next request may succeed.
            headers.remove(CF_RESIZED);
            headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
            response
        }
    }
}

/// `wait`: how long a request without a place has waited for one.
fn api_error(error: Error, wait: Duration) -> ApiError {
    match error {
        Error::Loop => ApiError::PassedTooOften,
        Error::Busy => ApiError::Busy { expected: wait },
        Error::TimedOut => ApiError::OriginTimeout,
        Error::Coding => ApiError::ResponseTransferCoding,
        Error::Upload(cause) => ApiError::UploadFailed { cause },
        Error::Connect => ApiError::TunnelRefused,
        Error::Target(cause) => ApiError::Authority { cause },
        Error::Unreachable(cause) => ApiError::OriginUnreachable { cause },
        other => ApiError::internal(other),
    }
}
