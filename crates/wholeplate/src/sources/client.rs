//! The HTTP client of fetches: hyper's, with bounds that reqwest does not offer on the head of a response, which takes its memory
//! from that for sources.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use edge::{HeadBudget, HeadMemory, MAX_HEAD, Metering, client_builder};
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{Client, Error};
use hyper_util::rt::TokioTimer;
use rustls::ClientConfig;
use rustls_platform_verifier::BuilderVerifierExt;

use super::resolve::Resolver;
use crate::respond::BoxError;

/// How long a connection may wait for its next request.
const POOL_IDLE: Duration = Duration::from_secs(90);
const KEEPALIVE: Duration = Duration::from_secs(15);
/// How long the other end may not acknowledge what was sent.
const UNACKNOWLEDGED: Duration = Duration::from_secs(30);

/// The body of a request.
pub(super) type RequestBody = UnsyncBoxBody<Bytes, BoxError>;

/// A client. Cheap to clone.
pub(super) type HttpClient = Client<Metering<HttpsConnector<HttpConnector<Resolver>>>, RequestBody>;

/// How a client connects.
#[derive(Debug, Clone)]
pub(super) struct ClientOptions {
    /// Idle connections that are kept for each host.
    pub(super) idle: usize,
    pub(super) http1_only: bool,
    pub(super) connect_timeout: Duration,
    pub(super) heads: HeadBudget,
}

/// # Errors
/// If the system's certificates cannot be read.
pub(super) fn tls() -> Result<ClientConfig, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config.map_err(|error| error.to_string())?.with_platform_verifier();
    Ok(config.map_err(|error| error.to_string())?.with_no_client_auth())
}

pub(super) fn client(tls: ClientConfig, resolver: Resolver, options: ClientOptions) -> HttpClient {
    let mut http = HttpConnector::new_with_resolver(resolver);
    http.enforce_http(false);
    http.set_nodelay(true);
    http.set_keepalive(Some(KEEPALIVE));
    http.set_keepalive_interval(Some(KEEPALIVE));
    http.set_keepalive_retries(Some(3));
    #[cfg(target_os = "linux")]
    http.set_tcp_user_timeout(Some(UNACKNOWLEDGED));
    let https = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http();
    let https = if options.http1_only {
        https.enable_http1().wrap_connector(http)
    } else {
        https.enable_all_versions().wrap_connector(http)
    };
    let ClientOptions { idle, connect_timeout, heads, .. } = options;
    let mut builder = client_builder();
    builder
        .timer(TokioTimer::new())
        .pool_idle_timeout(POOL_IDLE)
        .pool_max_idle_per_host(idle)
        .http2_max_header_list_size(MAX_HEAD as u32)
        .build(Metering::new(https, connect_timeout, heads))
}

/// Sends a request. What comes with its response holds the memory of its head: the fields are parts of the read buffer.
pub(super) async fn send(
    client: &HttpClient,
    request: Request<RequestBody>,
) -> Result<(Response<Incoming>, HeadMemory), Error> {
    let mut response = client.request(request).await?;
    let head = HeadMemory::of(&mut response);
    Ok((response, head))
}

/// The body of a response, which holds the memory of its head.
#[derive(Debug)]
pub(crate) struct ResponseBody {
    body: Incoming,
    _head: HeadMemory,
}

impl ResponseBody {
    pub(super) fn new(body: Incoming, head: HeadMemory) -> Self {
        Self { body, _head: head }
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
