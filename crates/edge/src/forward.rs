//! Requests on their way to the origin.

use std::error::Error as StdError;
use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use delivery::Tunnel;
use http::header::{EXPECT, HOST, HeaderName, HeaderValue};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{Method, Request, Response, StatusCode, Uri, Version};
use http_body::Body as HttpBody;
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::{CaptureConnection, HttpConnector, capture_connection};
use rustls_platform_verifier::BuilderVerifierExt;
use tokio::sync::Semaphore;
use tokio::sync::oneshot::{self, error::TryRecvError};
use tokio::time::Instant;

use crate::BoxError;
use crate::body::Body;
use crate::connection::{self, Handle};
use crate::error::Error;
use crate::fields::{self, Front};
use crate::head::{HeadBudget, HeadMemory, Metering, NoHeadMemory, client_builder};
use crate::place::{Place, Sending};
use crate::tunnel::Upgrading;
use crate::upload::{Shared, Upload};

/// How long a connection to the origin may wait for its next request; less than the idle timeout of common servers.
const POOL_IDLE: Duration = Duration::from_secs(4);

/// Settings of an [`Edge`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Options {
    /// The value of `Host` for the origin; `None` keeps that of the client.
    pub origin_host: Option<HeaderValue>,
    /// Places for requests that are passed on; those that find none wait for `connect_timeout`.
    pub places: Arc<Semaphore>,
    /// How long a connection to the origin, and the wait for a place, may take.
    pub connect_timeout: Duration,
    /// How long the origin may take for the head of a response, counted from the last progress of the request.
    pub head_timeout: Duration,
    /// How long the origin may send no byte of a response body.
    pub idle_timeout: Duration,
    /// Memory for heads of responses.
    pub heads: HeadBudget,
    /// How long the rest of a request may be sent when its response is over.
    pub upload_timeout: Duration,
    /// Request fields that are not passed on, because only a Workers runtime may set them.
    pub private: Vec<HeaderName>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            origin_host: None,
            places: Arc::new(Semaphore::new(2048)),
            connect_timeout: Duration::from_secs(10),
            head_timeout: Duration::from_secs(100),
            idle_timeout: Duration::from_secs(3600),
            heads: HeadBudget::unlimited(),
            upload_timeout: Duration::from_secs(15),
            private: vec![HeaderName::from_static("cf-blob")],
        }
    }
}

type Connector = Metering<HttpsConnector<connection::Connector>>;

/// The way to one origin. Cheap to clone.
#[derive(Clone)]
pub struct Edge {
    pooled: Client<Connector, Upload>,
    /// Opens a connection for each request.
    fresh: Client<Connector, Upload>,
    scheme: Scheme,
    authority: Authority,
    /// Path of the origin without a slash at its end.
    base: Arc<str>,
    options: Arc<Options>,
}

impl std::fmt::Debug for Edge {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Edge").field("authority", &self.authority).finish_non_exhaustive()
    }
}

impl Edge {
    /// A way to `origin`, an `http` or `https` URL whose path comes before that of each request.
    ///
    /// # Errors
    /// A message for the person who set the URL.
    pub fn new(origin: &str, options: Options) -> Result<Self, String> {
        let invalid = |why: &str| format!("'{origin}' {why}");
        let parts = origin.parse::<Uri>().map_err(|_| invalid("is not a URL"))?.into_parts();
        let (Some(scheme), Some(authority)) = (parts.scheme, parts.authority) else {
            return Err(invalid("is not a URL"));
        };
        if scheme != Scheme::HTTP && scheme != Scheme::HTTPS {
            return Err(invalid("is neither an http nor an https URL"));
        }
        if authority.as_str().contains('@') {
            return Err(invalid("has credentials; requests carry their own"));
        }
        let base = parts.path_and_query.as_ref().map_or("", PathAndQuery::path).trim_end_matches('/').into();
        let connector = connector(&scheme, options.connect_timeout, options.heads.clone())?;
        let client = |idle: usize| {
            let mut builder = client_builder();
            builder.pool_idle_timeout(POOL_IDLE).pool_max_idle_per_host(idle).build(connector.clone())
        };
        // No more connections wait for a request than there are requests at once.
        let (pooled, fresh) = (client(options.places.available_permits()), client(0));
        Ok(Self { pooled, fresh, scheme, authority, base, options: Arc::new(options) })
    }

    /// Passes a request on. The response streams; its body keeps the connection to the origin.
    ///
    /// # Errors
    /// If there is no response head of the origin.
    pub async fn forward<B>(&self, request: Request<B>, front: Front) -> Result<Response<Body>, Error>
    where
        B: HttpBody<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let (mut head, body) = request.into_parts();
        if head.method == Method::CONNECT {
            return Err(Error::Connect);
        }
        if fields::is_loop(&head.headers) {
            return Err(Error::Loop);
        }
        // On HTTP/2 the host is in the request target.
        let named = head.uri.authority().and_then(|host| HeaderValue::from_str(host.as_str()).ok());
        let host = named.or_else(|| head.headers.get(HOST).cloned());
        let Options { origin_host, private, .. } = &*self.options;
        fields::for_origin(&mut head.headers, front, host.as_ref(), origin_host.as_ref(), private);
        head.uri = self.target(&head.uri)?;
        head.version = Version::HTTP_11;
        let switch = fields::upgrade(&head.headers);
        let place = self.place().await?;
        let without_body = body.is_end_stream();
        if without_body {
            head.headers.remove(EXPECT);
        }
        // A request without a body changes nothing at the origin if its method says so, and can be sent once more.
        let again = (without_body && head.method.is_safe()).then(|| head.clone());
        let request = Request::from_parts(head, body);
        let sent = match (self.send(&self.pooled, request, &place).await, again) {
            (Err(Failure::Closed(_)), Some(head)) => {
                self.send(&self.fresh, Request::from_parts(head, Empty::new()), &place).await?
            }
            (done, _) => done?,
        };
        self.respond(sent, switch, place)
    }

    /// The URL at the origin for a request target.
    fn target(&self, target: &Uri) -> Result<Uri, Error> {
        let path = target.path_and_query().map_or("/", PathAndQuery::as_str);
        if !self.base.is_empty() && has_dot_segments(target.path()) {
            return Err(Error::Target("its path leaves that of the origin".to_owned()));
        }
        // `OPTIONS *` has no path.
        let path =
            if path.starts_with('/') { format!("{}{path}", self.base) } else { format!("{}/", self.base) };
        Uri::builder()
            .scheme(self.scheme.clone())
            .authority(self.authority.clone())
            .path_and_query(path)
            .build()
            .map_err(|error| Error::Target(error.to_string()))
    }

    async fn place(&self) -> Result<Place, Error> {
        let permit = Arc::clone(&self.options.places).acquire_owned();
        let permit = tokio::time::timeout(self.options.connect_timeout, permit).await;
        permit.ok().and_then(Result::ok).map(Arc::new).ok_or(Error::Busy)
    }

    /// Sends a request. The time for the head of its response counts from the last progress of the request.
    async fn send<B>(
        &self,
        client: &Client<Connector, Upload>,
        request: Request<B>,
        place: &Place,
    ) -> Result<Sent, Failure>
    where
        B: HttpBody<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let (head, body) = request.into_parts();
        let expects = head.headers.contains_key(EXPECT);
        let (sending, sent) = Sending::new(Arc::clone(place));
        let (upload, shared) = Upload::new(body, expects, sending);
        let mut request = Request::from_parts(head, upload);
        let connection = capture_connection(&mut request);
        request.body_mut().connection = Some(connection.clone());
        if expects {
            let shared = shared.clone();
            hyper::ext::on_informational(&mut request, move |response| {
                if response.status() == StatusCode::CONTINUE {
                    shared.open();
                }
            });
        }
        let mut unanswered = Unanswered(Some(connection));
        let mut response = std::pin::pin!(client.request(request));
        loop {
            let due = shared.moved() + self.options.head_timeout;
            tokio::select! {
                biased;
                response = &mut response => {
                    return match response {
                        Ok(response) => {
                            unanswered.0 = None;
                            Ok(Sent { response, upload: shared, sending: sent })
                        }
                        Err(error) => Err(Failure::of(&error, &shared)),
                    };
                }
                () = tokio::time::sleep_until(due) => {
                    if shared.moved() + self.options.head_timeout <= Instant::now() {
                        return Err(Failure::Final(Error::TimedOut));
                    }
                }
            }
        }
    }

    fn respond(
        &self,
        sent: Sent,
        switch: Option<HeaderValue>,
        place: Place,
    ) -> Result<Response<Body>, Error> {
        let Sent { mut response, upload, sending } = sent;
        let over = self.bound(upload, sending, response.extensions_mut().remove());
        if !response.body().is_end_stream() && fields::has_unknown_transfer_coding(response.headers()) {
            return Err(Error::Coding);
        }
        *response.version_mut() = Version::HTTP_11;
        let head = HeadMemory::of(&mut response);
        let timeout = self.options.idle_timeout;
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            fields::remove_hop_by_hop(response.headers_mut());
            return Ok(response.map(|body| Body::new(body, timeout, Some((place, head)), over)));
        }
        let Some(protocol) = switch.and_then(|_| fields::upgrade(response.headers())) else {
            return Err(Error::Unreachable(
                "it switched to a protocol that the request did not ask for".to_owned(),
            ));
        };
        head.last();
        let origin = hyper::upgrade::on(&mut response);
        fields::remove_hop_by_hop(response.headers_mut());
        fields::set_upgrade(response.headers_mut(), protocol);
        response.extensions_mut().insert(Tunnel::new(Upgrading::new(origin, place)));
        Ok(response.map(|body| Body::new(body, timeout, None, over)))
    }

    /// Bounds the sending of a request that the origin has answered. The response is over when the sender is dropped.
    fn bound(
        &self,
        upload: Shared,
        mut sending: oneshot::Receiver<()>,
        connection: Option<Handle>,
    ) -> oneshot::Sender<()> {
        let (send, over) = oneshot::channel();
        let limit = if upload.answered() { self.options.upload_timeout } else { Duration::ZERO };
        if sending.try_recv() == Err(TryRecvError::Empty) {
            tokio::spawn(async move {
                tokio::select! {
                    _ = &mut sending => return,
                    _ = over => {}
                }
                if tokio::time::timeout(limit, sending).await.is_err() {
                    const WHY: &str = "the response ended before its request";
                    upload.cut(WHY);
                    if let Some(connection) = connection {
                        connection.cut(WHY);
                    }
                }
            });
        }
        send
    }
}

/// A request with the head of its response.
struct Sent {
    response: Response<Incoming>,
    upload: Shared,
    /// Ends when the request is sent.
    sending: oneshot::Receiver<()>,
}

/// Ends the connection of a request that nobody waits for any more, which could otherwise wait for the origin to read.
struct Unanswered(Option<CaptureConnection>);

impl Drop for Unanswered {
    fn drop(&mut self) {
        if let Some(connection) = self.0.as_ref().and_then(Handle::of) {
            connection.cut("the request was given up");
        }
    }
}

fn connector(scheme: &Scheme, timeout: Duration, heads: HeadBudget) -> Result<Connector, String> {
    let mut http = HttpConnector::new();
    http.enforce_http(false);
    http.set_connect_timeout(Some(timeout));
    http.set_nodelay(true);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    let config = if *scheme == Scheme::HTTPS {
        config
            .with_platform_verifier()
            .map_err(|error| format!("the system's certificates cannot be read: {error}"))?
    } else {
        // No certificates are needed, and a container may have none.
        config.with_root_certificates(rustls::RootCertStore::empty())
    };
    let tls = config.with_no_client_auth();
    let https = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1();
    Ok(Metering::new(https.wrap_connector(connection::Connector(http)), timeout, heads))
}

/// Whether a path has a segment `..`, escaped or not.
fn has_dot_segments(path: &str) -> bool {
    path.split(['/', '\\']).any(|segment| segment.to_ascii_lowercase().replace("%2e", ".") == "..")
}

/// Why there is no response.
enum Failure {
    /// The origin closed the connection before its response, as happens when it closes one that is idle at the moment it is
    /// used again.
    Closed(Error),
    Final(Error),
}

impl Failure {
    fn of(error: &hyper_util::client::legacy::Error, upload: &Shared) -> Self {
        if let Some(why) = upload.failed() {
            return Self::Final(Error::Upload(why));
        }
        if without_memory(error) {
            return Self::Final(Error::Busy);
        }
        let failure = Error::Unreachable(causes(error));
        if !error.is_connect() && was_closed(error) { Self::Closed(failure) } else { Self::Final(failure) }
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Closed(error) | Failure::Final(error) => error,
        }
    }
}

fn without_memory(error: &(dyn StdError + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        let wrapped = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        if wrapped.is_some_and(<dyn StdError + Send + Sync>::is::<NoHeadMemory>) {
            return true;
        }
        cause = error.source();
    }
    false
}

fn was_closed(error: &dyn StdError) -> bool {
    let mut cause = error.source();
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<hyper::Error>()
            && (error.is_incomplete_message() || error.is_canceled() || error.is_closed())
        {
            return true;
        }
        if let Some(error) = error.downcast_ref::<std::io::Error>() {
            let kinds = [ErrorKind::ConnectionReset, ErrorKind::ConnectionAborted, ErrorKind::BrokenPipe];
            if kinds.contains(&error.kind()) {
                return true;
            }
        }
        cause = error.source();
    }
    false
}

/// The innermost cause of an error: those around it say where it happened, which their reader knows.
fn causes(error: &dyn StdError) -> String {
    let mut inner = error;
    while let Some(next) = inner.source() {
        inner = next;
    }
    inner.to_string()
}

#[cfg(test)]
mod tests {
    use super::{Edge, Options, has_dot_segments};

    #[test]
    fn a_target_stays_below_the_path_of_the_origin() {
        for path in ["/../x", "/a/..", "/a/%2E%2e/x", "/.%2e", "/a\\..\\x"] {
            assert!(has_dot_segments(path), "{path}");
        }
        for path in ["/", "/a..b/...", "/%2e", "/..."] {
            assert!(!has_dot_segments(path), "{path}");
        }
        let edge = Edge::new("http://h.example:81/base/", Options::default()).unwrap();
        let of = |target: &str| edge.target(&target.parse().unwrap()).map(|uri| uri.to_string());
        assert_eq!(of("/a?b").unwrap(), "http://h.example:81/base/a?b");
        assert_eq!(of("*").unwrap(), "http://h.example:81/base/");
        assert_eq!(of("http://other.example/x").unwrap(), "http://h.example:81/base/x");
        assert!(of("/../a").is_err());
    }

    #[test]
    fn an_origin_is_an_http_url() {
        for (url, why) in [
            ("ftp://h", "neither"),
            ("localhost:3000", "not a URL"),
            ("/x", "not a URL"),
            ("http://u:p@h/", "credentials"),
        ] {
            let error = Edge::new(url, Options::default()).unwrap_err();
            assert!(error.contains(why) && error.contains(url), "{error}");
        }
    }
}
