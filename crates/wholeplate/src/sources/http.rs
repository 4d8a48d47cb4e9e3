//! HTTP(S) sources: pooled connections, redirects followed by hand so that every hop is checked, bodies that
//! are whole or an error.

use std::error::Error as StdError;
use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use edge::{HeadMemory, MAX_HEAD, NoHeadMemory};
use futures_util::TryStreamExt;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use http_body::Body as _;
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper_util::client::legacy::Error as ClientError;
use percent_encoding::{AsciiSet, percent_encode};
use sfv::{Dictionary, ListEntry, Parser};
use sha2::{Digest, Sha256, Sha512};
use url::{Position, Url};

use super::client::{ClientOptions, HttpClient, RequestBody, client, send, tls};
use super::coding::{DecodeLimits, codings, decode};
use super::failure::{Again, FetchError};
use super::policy::{Credentials, FetchPolicy, Network};
use super::receive::receive;
use super::resolve::{NoSuchHost, NotPublic, Resolver};
use crate::admission::{Client, Compute, InputData, InputSpace};
use crate::choices::LEAST_LIFETIME;
use crate::error::ApiError;
use crate::fields::{joined, value};
use crate::request::VIA;
use crate::respond::{name_target, restrict};

/// The user agent of fetches for transformations. Fetches that are passed on keep theirs.
const USER_AGENT: &str = concat!("wholeplate/", env!("CARGO_PKG_VERSION"));
const REPR_DIGEST: HeaderName = HeaderName::from_static("repr-digest");
/// Bytes of a source that are decoded or digested in a second, about.
const RATE: f64 = 50e6;
/// Idle connections that are kept for each host.
const IDLE_CONNECTIONS: usize = 32;

/// The only request headers that `origin-auth: share-publicly` lets through.
const SHARED_HEADERS: [&str; 9] = [
    "authorization",
    "cookie",
    "x-amz-content-sha256",
    "x-amz-date",
    "x-ms-date",
    "x-ms-version",
    "x-sa-date",
    "cf-access-client-id",
    "cf-access-client-secret",
];

/// What was fetched.
#[derive(Debug, Clone)]
pub(crate) struct Fetched {
    /// `None`: not modified, by the conditions of the request.
    pub(crate) body: Option<InputData>,
    /// The header of the response. Files have an entity tag only.
    pub(crate) headers: HeaderMap,
}

/// How one fetch differs from another.
#[derive(Debug, Clone)]
pub(super) struct Ask {
    /// The request's `Via`, which is extended.
    pub(super) via: Option<String>,
    /// Headers for the first origin only.
    pub(super) credentials: HeaderMap,
    /// More headers, for every hop.
    pub(super) headers: HeaderMap,
    pub(super) limit: u64,
    /// Whom the work is accounted to.
    pub(super) client: Client,
}

/// Clients for one kind of network.
#[derive(Debug, Clone)]
struct Clients {
    pooled: HttpClient,
    /// Opens a connection for each request.
    fresh: HttpClient,
}

impl Clients {
    fn new(policy: &FetchPolicy, network: Network, tls: &rustls::ClientConfig, space: &InputSpace) -> Self {
        let client = |idle: usize| {
            let options = ClientOptions {
                idle,
                http1_only: policy.http1_only,
                connect_timeout: policy.deadlines.head,
                heads: space.memory.for_heads(),
            };
            client(tls.clone(), Resolver { public_only: network == Network::Public }, options)
        };
        Self { pooled: client(IDLE_CONNECTIONS), fresh: client(0) }
    }
}

/// Which connection a request may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Connection {
    Pooled,
    Fresh,
}

/// Fetches by HTTP. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Http {
    any: Clients,
    public: Clients,
    pub(super) policy: Arc<FetchPolicy>,
    /// For the bodies of all requests.
    space: InputSpace,
    compute: Compute,
}

impl Http {
    /// # Errors
    /// If the TLS library cannot be set up.
    pub(super) fn new(policy: FetchPolicy, space: InputSpace, compute: Compute) -> Result<Self, String> {
        let tls = tls().map_err(|error| format!("the system's certificates cannot be read: {error}"))?;
        let any = Clients::new(&policy, Network::Any, &tls, &space);
        let public = Clients::new(&policy, Network::Public, &tls, &space);
        Ok(Self { any, public, policy: Arc::new(policy), space, compute })
    }

    /// Fetches the whole body behind `url`. A body that was cut is asked for once more, and so is a request whose
    /// connection was closed before its response (OPS-031), both on a fresh connection.
    pub(super) async fn get(&self, url: &Url, ask: &Ask) -> Result<Fetched, FetchError> {
        let (mut connection, mut cut) = (Connection::Pooled, false);
        loop {
            match self.follow(url, ask, connection).await {
                // A fresh connection has no reason to be closed.
                Err(error) if error.again == Some(Again::Closed) && connection == Connection::Pooled => {}
                Err(error) if error.again == Some(Again::Cut) && !cut => cut = true,
                done => return done,
            }
            connection = Connection::Fresh;
        }
    }

    async fn follow(&self, url: &Url, ask: &Ask, connection: Connection) -> Result<Fetched, FetchError> {
        let first = url;
        let mut url = url.clone();
        let mut credentials = Credentials::new(&ask.credentials);
        let mut headers = ask.headers.clone();
        let mut redirects = Vec::new();
        for _ in 0..=self.policy.redirects {
            let (response, _head) = self.hop(&url, ask, &headers, &credentials, connection).await?;
            let status = response.status();
            if status == StatusCode::NOT_MODIFIED && is_conditional(&headers) {
                let mut headers = detached(response.headers());
                name_target(&mut headers, None);
                return Ok(Fetched { body: None, headers });
            }
            if !status.is_redirection() || status == StatusCode::NOT_MODIFIED {
                let mut headers = detached(response.headers());
                redirects.iter().for_each(|redirect| restrict_by(&mut headers, redirect));
                name_target(&mut headers, Some(&url).filter(|_| !redirects.is_empty()));
                check_status(status, &headers).map_err(|error| error.with(&headers))?;
                let fetched = self.body(response, ask).await.map_err(|error| error.with(&headers))?;
                return Ok(Fetched { headers, ..fetched });
            }
            // The conditions name a response of this URL, and the next has its own.
            headers.remove(header::IF_NONE_MATCH);
            headers.remove(header::IF_MODIFIED_SINCE);
            let location = response.headers().get(header::LOCATION).ok_or(ApiError::RedirectInvalid)?;
            // Raw bytes are escaped as they are, in whatever encoding.
            let location = percent_encode(location.as_bytes(), &AsciiSet::EMPTY).to_string();
            let next = url.join(&location).map_err(|_| ApiError::RedirectInvalid)?;
            if !matches!(next.scheme(), "http" | "https") || next.host().is_none() {
                return Err(ApiError::RedirectInvalid.into());
            }
            let next = on_origin(next, first, &ask.credentials);
            credentials.follow(&url, &next);
            url = next;
            redirects.push(Redirect { status, headers: detached(response.headers()) });
        }
        Err(ApiError::RedirectLimit.into())
    }

    /// The clients that may connect to the host of `url`.
    fn clients(&self, url: &Url) -> Result<&Clients, ApiError> {
        Ok(match self.policy.network(url)? {
            Network::Any => &self.any,
            Network::Public => &self.public,
        })
    }

    /// The client for a request that is passed on to `url`.
    pub(super) fn client(&self, url: &Url) -> Result<&HttpClient, ApiError> {
        self.clients(url).map(|clients| &clients.pooled)
    }

    async fn hop(
        &self,
        url: &Url,
        ask: &Ask,
        headers: &HeaderMap,
        credentials: &Credentials<'_>,
        connection: Connection,
    ) -> Result<(Response<Incoming>, HeadMemory), FetchError> {
        let clients = self.clients(url)?;
        let client = match connection {
            Connection::Pooled => &clients.pooled,
            Connection::Fresh => &clients.fresh,
        };
        let via = ask.via.as_ref().map_or_else(|| VIA.to_owned(), |old| format!("{old}, {VIA}"));
        let mut fields = HeaderMap::new();
        fields.insert(header::VIA, value(&via));
        fields.insert(header::ACCEPT, HeaderValue::from_static("image/*,*/*;q=0.8"));
        // Images are compressed already. Origins that send a coding all the same are understood.
        fields.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        fields.insert(header::USER_AGENT, HeaderValue::from_static(USER_AGENT));
        replace(&mut fields, headers);
        replace(&mut fields, &credentials.headers());
        let body = Empty::new().map_err(|never| match never {}).boxed_unsync();
        let request = request(Method::GET, url, fields, body)?;
        match tokio::time::timeout(self.policy.deadlines.head, send(client, request)).await {
            Err(_) => Err(ApiError::SourceTimeout.into()),
            Ok(Err(e)) if was_closed_early(&e) => Err(FetchError::closed(unreachable_source(&e))),
            Ok(Err(e)) => Err(unreachable_source(&e).into()),
            Ok(Ok(answer)) => Ok(answer),
        }
    }

    async fn body(&self, response: Response<Incoming>, ask: &Ask) -> Result<Fetched, FetchError> {
        let limit = ask.limit;
        let headers = response.headers().clone();
        let codings = codings(&headers)?;
        let body = response.into_body();
        let announced = body.size_hint().exact();
        let stream = body.into_data_stream().map_err(|e| innermost(&e));
        let body = receive(stream, announced, limit, &self.policy.deadlines, &self.space).await?;
        if codings.is_empty() && !headers.contains_key(REPR_DIGEST) {
            return Ok(Fetched { body: Some(body), headers });
        }
        let memory = self.space.memory.clone();
        let estimate = Duration::from_secs_f64(body.len() as f64 / RATE);
        let checked = self.compute.run(&ask.client, estimate, "decode a source", move |work| {
            if codings.is_empty() {
                return Ok(check_digest(&headers, &body).map(|()| Fetched { body: Some(body), headers }));
            }
            let bytes = body.open()?.unwrap_or_default();
            let limits = DecodeLimits { length: limit, memory: &memory, work };
            let decoded = decode(&bytes, &codings, limits)?;
            Ok(Ok(Fetched { body: Some(decoded.map_or(body, InputData::Bytes)), headers }))
        });
        checked.await?.map_err(FetchError::cut)
    }
}

/// A response that led to another.
struct Redirect {
    status: StatusCode,
    headers: HeaderMap,
}

/// A copy of fields that are parts of a read buffer, which may be much longer.
fn detached(headers: &HeaderMap) -> HeaderMap {
    let copies = headers.iter().filter_map(|(name, value)| {
        let name = HeaderName::from_bytes(name.as_str().as_bytes()).ok()?;
        Some((name, HeaderValue::from_bytes(value.as_bytes()).ok()?))
    });
    let mut copy = HeaderMap::with_capacity(headers.len());
    for (name, value) in copies {
        copy.append(name, value);
    }
    copy
}

/// A request to `url`. A user name in it stays here.
pub(super) fn request(
    method: Method,
    url: &Url,
    headers: HeaderMap,
    body: RequestBody,
) -> Result<Request<RequestBody>, ApiError> {
    let invalid = |error: http::uri::InvalidUri| ApiError::SourceFetch { cause: error.to_string() };
    let target =
        format!("{}{}", &url[..Position::BeforeUsername], &url[Position::BeforeHost..Position::AfterQuery]);
    let mut request = Request::new(body);
    *request.method_mut() = method;
    *request.uri_mut() = target.parse::<Uri>().map_err(invalid)?;
    *request.headers_mut() = headers;
    Ok(request)
}

/// Puts `others` into `fields`, in the place of those of the same names.
fn replace(fields: &mut HeaderMap, others: &HeaderMap) {
    for name in others.keys() {
        fields.remove(name);
    }
    fields.extend(others.clone());
}

/// A source, or an error, is as fresh as the redirects that led to it (CAC-010), and varies as they do. One that says nothing
/// of its lifetime is used as long as any source, unless it is permanent.
fn restrict_by(source: &mut HeaderMap, redirect: &Redirect) {
    let permanent = matches!(redirect.status.as_u16(), 301 | 308);
    restrict(source, &redirect.headers, Some(LEAST_LIFETIME).filter(|_| !permanent));
    for value in redirect.headers.get_all(header::VARY) {
        source.append(header::VARY, value.clone());
    }
}

/// The target of a redirect. An origin that was asked under another host than that of its URL (edge mode) names itself by
/// that host.
fn on_origin(target: Url, origin: &Url, credentials: &HeaderMap) -> Url {
    let named = &target[Position::BeforeHost..Position::AfterPort];
    if credentials
        .get(header::HOST)
        .is_none_or(|host| !host.as_bytes().eq_ignore_ascii_case(named.as_bytes()))
    {
        return target;
    }
    let mut url = origin.clone();
    url.set_path(target.path());
    url.set_query(target.query());
    url
}

/// Whether headers of a request make it conditional.
fn is_conditional(headers: &HeaderMap) -> bool {
    headers.contains_key(header::IF_NONE_MATCH) || headers.contains_key(header::IF_MODIFIED_SINCE)
}

/// Refuses what is no whole representation.
fn check_status(status: StatusCode, headers: &HeaderMap) -> Result<(), FetchError> {
    match status.as_u16() {
        206 if !is_whole(headers) => Err(ApiError::SourcePartial.into()),
        200..=299 => Ok(()),
        _ => Err(FetchError::answered(status)),
    }
}

/// Whether `Content-Range` covers the whole representation.
fn is_whole(headers: &HeaderMap) -> bool {
    let range = headers.get(header::CONTENT_RANGE).and_then(|v| v.to_str().ok());
    let Some((range, total)) =
        range.and_then(|r| r.trim().strip_prefix("bytes ")).and_then(|r| r.split_once('/'))
    else {
        return false;
    };
    let last = range.strip_prefix("0-").and_then(|last| last.parse::<u64>().ok());
    last.zip(total.parse::<u64>().ok()).is_some_and(|(last, total)| last.checked_add(1) == Some(total))
}

/// A source that sends a digest of its representation (RFC 9530) is held to it.
fn check_digest(headers: &HeaderMap, body: &InputData) -> Result<(), ApiError> {
    let Some(text) = joined(headers, REPR_DIGEST) else { return Ok(()) };
    let Ok(members) = Parser::new(&*text).parse::<Dictionary>() else { return Ok(()) };
    let announced = |name: &str| match members.get(name) {
        Some(ListEntry::Item(item)) => item.bare_item.as_byte_sequence(),
        _ => None,
    };
    let wrong =
        differs::<Sha256>(announced("sha-256"), body)? || differs::<Sha512>(announced("sha-512"), body)?;
    if wrong { Err(ApiError::SourceDigest) } else { Ok(()) }
}

/// Whether a body has another digest than the one announced, if there is one.
fn differs<D: Digest>(announced: Option<&[u8]>, body: &InputData) -> Result<bool, ApiError> {
    let Some(announced) = announced else { return Ok(false) };
    let mut digest = D::new();
    body.read(|piece| digest.update(piece))?;
    Ok(announced != digest.finalize().as_slice())
}

/// Whether a connection was closed before the head of a response was complete, as happens when an origin closes one that
/// is idle at the moment it is used again.
fn was_closed_early(error: &ClientError) -> bool {
    if error.is_connect() {
        return false;
    }
    let mut cause: Option<&(dyn StdError + 'static)> = Some(error);
    while let Some(e) = cause {
        if let Some(e) = e.downcast_ref::<hyper::Error>()
            && (e.is_incomplete_message() || e.is_canceled() || e.is_closed())
        {
            return true;
        }
        if let Some(e) = e.downcast_ref::<h2::Error>()
            && e.is_remote()
        {
            // The origin says that it has not looked at the request.
            let reason = e.reason();
            return (e.is_go_away() && reason == Some(h2::Reason::NO_ERROR))
                || (e.is_reset() && reason == Some(h2::Reason::REFUSED_STREAM));
        }
        if let Some(e) = e.downcast_ref::<std::io::Error>() {
            let kinds = [ErrorKind::ConnectionReset, ErrorKind::ConnectionAborted, ErrorKind::BrokenPipe];
            if kinds.contains(&e.kind()) {
                return true;
            }
        }
        cause = e.source();
    }
    false
}

fn innermost(error: &dyn StdError) -> String {
    let mut inner = error;
    while let Some(next) = inner.source() {
        inner = next;
    }
    inner.to_string()
}

/// Why no answer came, from the chain of causes.
pub(super) fn unreachable_source(error: &ClientError) -> ApiError {
    let mut cause: Option<&(dyn StdError + 'static)> = Some(error);
    let mut timed_out = false;
    while let Some(e) = cause {
        if let Some(found) = known_cause(e) {
            return found;
        }
        if let Some(io) = e.downcast_ref::<std::io::Error>() {
            timed_out |= io.kind() == ErrorKind::TimedOut;
            // An I/O error shows what it wraps only this way.
            if let Some(found) = io.get_ref().and_then(|inner| known_cause(inner)) {
                return found;
            }
        }
        cause = e.source();
    }
    let text = innermost(error);
    if timed_out {
        return ApiError::SourceTimeout;
    }
    if error.is_connect() {
        return ApiError::SourceUnreachable { cause: text };
    }
    ApiError::SourceFetch { cause: text }
}

/// The meaning of one error of a chain, if it has one.
fn known_cause(error: &(dyn StdError + 'static)) -> Option<ApiError> {
    if error.is::<NotPublic>() {
        return Some(ApiError::PrivateSource);
    }
    if error.is::<NoSuchHost>() {
        return Some(ApiError::HostUnknown);
    }
    if error.is::<NoHeadMemory>() {
        return Some(ApiError::SourcesBusy);
    }
    if error.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_parse_too_large) {
        let cause =
            format!("the head of its response has more than {} kB or too many lines", MAX_HEAD / 1000);
        return Some(ApiError::SourceFetch { cause });
    }
    let refused = error.downcast_ref::<std::io::Error>()?.kind() == ErrorKind::ConnectionRefused;
    refused.then_some(ApiError::ConnectionRefused)
}

/// The headers that `origin-auth: share-publicly` lets through.
pub(crate) fn shared_headers(from: &HeaderMap) -> HeaderMap {
    let mut shared = HeaderMap::new();
    for name in SHARED_HEADERS {
        let name = HeaderName::from_static(name);
        for value in from.get_all(&name) {
            shared.append(name.clone(), value.clone());
        }
    }
    shared
}
