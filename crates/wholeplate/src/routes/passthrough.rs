//! Subrequests of a Workers runtime that has this program as its way out: their target, and those that are passed on as
//! they are.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::uri::Authority;
use http::{Method, header};
use http_body::{Body, Frame, SizeHint};
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio::time::Sleep;

use crate::app::App;
use crate::config::{Config, UPLOAD_LINGER_TIME};
use crate::error::ApiError;
use crate::fields::{joined, value};
use crate::request::{RequestContext, VIA};
use crate::respond::{self, BoxError, Response, ResponseBody};
use crate::sources::SourceRequest;

/// The host that the binding's wrapper names in its requests.
const BINDING_HOST: &str = "js.images.cloudflare.com";

/// The host that a request is for as it was sent, with its port.
fn host(request: &RequestContext) -> Option<&str> {
    request.uri.authority().map(Authority::as_str).or_else(|| request.field(header::HOST))
}

/// Whether a request is for this program and not for an origin behind it.
pub(super) fn is_ours(request: &RequestContext) -> bool {
    let binding = host(request).is_some_and(|host| {
        let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
        name.eq_ignore_ascii_case(BINDING_HOST)
    });
    binding || request.path().starts_with(recipe::dialect::url::PREFIX)
}

/// The URL that the Worker fetched: the absolute request target, or the one that `Host`, path and the header of the
/// scheme make.
pub(super) fn target(config: &Config, request: &RequestContext) -> Result<String, ApiError> {
    let invalid = |cause: &str| ApiError::TargetUrl { cause: cause.to_owned() };
    if request.uri.scheme().is_some() {
        return Ok(request.uri.to_string());
    }
    let name = &config.forwarded_proto_header;
    let scheme = match request.headers.get(name) {
        None if request.tls => "https",
        None => "http",
        Some(named) if named.as_bytes().eq_ignore_ascii_case(b"https") => "https",
        Some(named) if named.as_bytes().eq_ignore_ascii_case(b"http") => "http",
        Some(_) => return Err(invalid(&format!("{name} is neither http nor https"))),
    };
    let host = host(request).ok_or_else(|| invalid("there is no Host"))?;
    Ok(format!("{scheme}://{host}{}", request.target()))
}

/// Adds to `Via` that the request came through here, so that one that comes back once more is found out.
pub(super) fn marked(mut request: RequestContext) -> RequestContext {
    let via = joined(&request.headers, header::VIA);
    let via = via.map_or_else(|| VIA.to_owned(), |old| format!("{old}, {VIA}"));
    request.headers.insert(header::VIA, value(&via));
    request
}

/// A plain fetch: the request goes to its origin and the origin's response comes back, nothing added.
pub(super) async fn respond<B>(app: &App, request: RequestContext, body: B) -> Response
where
    B: Body<Data = Bytes> + Send + Sync + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    request.trace.route(&request.method, "fetch");
    fetch(app, request, body).await.unwrap_or_else(|error| respond::error(&error))
}

async fn fetch<B>(app: &App, mut request: RequestContext, body: B) -> Result<Response, ApiError>
where
    B: Body<Data = Bytes> + Send + Sync + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    if request.method == Method::CONNECT {
        return Err(ApiError::TunnelRefused);
    }
    let url = target(&app.config, &request)?;
    let source_request = SourceRequest::new(&request, app.client(&request));
    let ours = [app.config.cf_blob_header.as_ref(), Some(&app.config.forwarded_proto_header)];
    for name in ours.into_iter().flatten() {
        request.headers.remove(name);
    }
    edge::mark_passed_on(&mut request.headers);
    // A loop or a slow origin must not take all connections.
    let wait = app.config.connect_timeout.duration();
    let share = tokio::time::timeout(wait, Arc::clone(&app.passed_on).acquire_owned()).await;
    let share = share.map_err(|_| ApiError::Busy { expected: wait })?.map_err(ApiError::internal)?;
    let (method, headers) = (request.method, request.headers);
    let share = Arc::new(share);
    let (response, over) = oneshot::channel();
    let body = Upload { body, over, deadline: None, _share: Arc::clone(&share) };
    let answer = app.fetcher.forward(&url, method, headers, body, &source_request).await?;
    Ok(answer.map(|body| ResponseBody::stream(Download { body, _over: response, _share: share })))
}

/// The body of a request on its way to an origin. It holds the place of the request, as it keeps the connection in use.
struct Upload<B> {
    body: B,
    /// Ends with the response.
    over: oneshot::Receiver<()>,
    /// Set when the response is over.
    deadline: Option<Pin<Box<Sleep>>>,
    _share: Arc<OwnedSemaphorePermit>,
}

impl<B: Body<Data = Bytes> + Unpin> Body for Upload<B>
where
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if self.deadline.is_none() && Pin::new(&mut self.over).poll(cx).is_ready() {
            self.deadline = Some(Box::pin(tokio::time::sleep(UPLOAD_LINGER_TIME)));
        }
        if self.deadline.as_mut().is_some_and(|deadline| deadline.as_mut().poll(cx).is_ready()) {
            return Poll::Ready(Some(Err("the response ended before its request".into())));
        }
        Pin::new(&mut self.body).poll_frame(cx).map_err(Into::into)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The body of a response, which holds the place of its request.
struct Download<B> {
    body: B,
    _over: oneshot::Sender<()>,
    _share: Arc<OwnedSemaphorePermit>,
}

impl<B: Body + Unpin> Body for Download<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http_body_util::{BodyExt, StreamBody};
    use tokio::sync::Semaphore;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_upload_ends_some_time_after_its_response() {
        let places = Arc::new(Semaphore::new(1));
        let share = Arc::new(Arc::clone(&places).try_acquire_owned().unwrap());
        let (response, over) = oneshot::channel();
        // A client that sends a byte every second.
        let bytes = futures_util::stream::unfold((), |()| async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            Some((Ok::<_, BoxError>(Frame::data(Bytes::from_static(b"x"))), ()))
        });
        let body = StreamBody::new(Box::pin(bytes));
        let mut upload = Upload { body, over, deadline: None, _share: share };
        for _ in 0..100 {
            assert!(upload.frame().await.unwrap().is_ok());
        }
        drop(response);
        let mut after = 0;
        while upload.frame().await.unwrap().is_ok() {
            after += 1;
        }
        assert!((14..=15).contains(&after), "{after} s");
        assert_eq!(places.available_permits(), 0);
        drop(upload);
        assert_eq!(places.available_permits(), 1);
    }
}
