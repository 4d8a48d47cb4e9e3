//! Plain fetches: a request on its way to an origin and the answer on its way back, both streamed, neither changed.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Response, header};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, Empty};
use tokio::time::Instant;
use url::Url;

use super::client::{ResponseBody, send};
use super::http::{Http, request, unreachable_source};
use crate::error::ApiError;
use crate::respond::BoxError;

/// Takes away what is not for the next hop. Trailer fields do not get through the HTTP client.
fn strip(headers: &mut HeaderMap) {
    edge::remove_hop_by_hop(headers);
    headers.remove(header::TRAILER);
}

impl Http {
    /// Sends a request on and returns the head of its response, with the body yet to come. Redirects are responses
    /// like any other. Neither body has a limit, but neither may stand still for `patience`.
    pub(super) async fn forward<B>(
        &self,
        method: Method,
        url: &Url,
        mut headers: HeaderMap,
        body: B,
        patience: Duration,
    ) -> Result<Response<Download>, ApiError>
    where
        B: Body<Data = Bytes> + Send + Sync + Unpin + 'static,
        B::Error: Into<BoxError>,
    {
        let client = self.client(url)?;
        strip(&mut headers);
        // Both are told anew: the one by the URL, the other by who reads the body.
        headers.remove(header::HOST);
        headers.remove(header::EXPECT);
        let moved = Moved::default();
        let body = if body.is_end_stream() {
            Empty::new().map_err(|never| match never {}).boxed_unsync()
        } else {
            Upload { body, moved: moved.clone() }.map_err(Into::into).boxed_unsync()
        };
        let mut answer = std::pin::pin!(send(client, request(method, url, headers, body)?));
        let answer = loop {
            let due = moved.last() + patience;
            tokio::select! {
                answer = &mut answer => break answer,
                () = tokio::time::sleep_until(due) => {}
            }
            if moved.last() + patience <= Instant::now() {
                return Err(ApiError::SourceTimeout);
            }
        };
        let (answer, head) = answer.map_err(|e| unreachable_source(&e))?;
        if !answer.body().is_end_stream() && edge::has_unknown_transfer_coding(answer.headers()) {
            return Err(ApiError::ResponseTransferCoding);
        }
        let mut answer = answer.map(|body| {
            let body = ResponseBody::new(body, head);
            Download::new(body, patience, "the source's response body stalled")
        });
        strip(answer.headers_mut());
        Ok(answer)
    }
}

/// When the request last got on.
#[derive(Debug, Clone)]
struct Moved(Arc<Mutex<Instant>>);

impl Default for Moved {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Instant::now())))
    }
}

impl Moved {
    fn now(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    fn last(&self) -> Instant {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The body of a request on its way, which tells that it moves.
struct Upload<B> {
    body: B,
    moved: Moved,
}

impl<B: Body<Data = Bytes> + Unpin> Body for Upload<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        self.moved.now();
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The body of a response. It fails if it is shorter than its length, or sends nothing for too long.
pub(crate) type Download = edge::IdleTimeout<ResponseBody>;

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue, header};

    use super::strip;

    #[test]
    fn what_concerns_one_connection_is_not_sent_on() {
        let mut headers = HeaderMap::new();
        headers.append(header::CONNECTION, HeaderValue::from_static("close, X-Mine"));
        headers.append(header::CONNECTION, HeaderValue::from_static("keep-alive"));
        for (name, value) in [("x-mine", "1"), ("keep-alive", "5"), ("te", "trailers"), ("upgrade", "h2c")] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        headers.insert("x-other", HeaderValue::from_static("2"));
        strip(&mut headers);
        assert_eq!(headers.keys().map(header::HeaderName::as_str).collect::<Vec<_>>(), ["x-other"]);
    }
}
