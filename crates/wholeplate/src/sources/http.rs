//! HTTP(S) sources: pooled connections, redirects followed by hand so that every hop is checked, bodies that
//! are whole or an error.

use std::error::Error as StdError;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, StatusCode, header};
use percent_encoding::{AsciiSet, percent_encode};
use sha2::{Digest, Sha256, Sha512};
use url::{Host, Url};

use super::address::is_public;
use super::reserve::{out_of_memory, reserve};
use super::resolve::{NoSuchHost, NotPublic, Resolver};
use crate::config::Config;
use crate::error::ApiError;
use crate::memory::Share;
use crate::request::VIA;

/// Who asks for sources. Plain fetches go by the name of who made them.
const USER_AGENT: &str = concat!("wholeplate/", env!("CARGO_PKG_VERSION"));

/// The only request headers that `origin-auth: share-publicly` lets through.
pub(crate) const SHARED_HEADERS: [&str; 9] = [
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
#[derive(Debug)]
pub(crate) struct Fetched {
    /// Holds its memory until the last clone is gone.
    pub(crate) bytes: Bytes,
    pub(crate) headers: HeaderMap,
}

/// Fetches by HTTP. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Http {
    /// For what the operator named: any address.
    trusting: reqwest::Client,
    /// For everything else: public addresses only, unless allowed otherwise.
    guarded: reqwest::Client,
    allow_private: bool,
    first_byte: Duration,
    pause: Duration,
    redirects: usize,
    /// For the bodies of all requests.
    memory: Share,
}

/// How one fetch differs from another.
#[derive(Debug, Clone)]
pub(crate) struct Ask<'a> {
    /// Host and port of this URL may be private: the operator named it.
    pub(crate) trusted: Option<&'a Url>,
    /// The request's `Via`, which is extended.
    pub(crate) via: Option<String>,
    /// More headers for the source.
    pub(crate) headers: HeaderMap,
    pub(crate) limit: u64,
}

impl Http {
    /// # Errors
    /// If the TLS library cannot be set up.
    pub(crate) fn new(config: &Config, memory: Share) -> Result<Self, String> {
        let client = |public_only: bool| {
            let builder = reqwest::Client::builder()
                .redirect(reqwest::redirect::Policy::none())
                .no_proxy()
                .connect_timeout(config.connect_timeout.duration())
                .pool_max_idle_per_host(32)
                .dns_resolver(Arc::new(Resolver { public_only }));
            builder.build().map_err(|e| format!("HTTP client: {e}"))
        };
        let trusting = client(false)?;
        let guarded = if config.allow_private_network { trusting.clone() } else { client(true)? };
        Ok(Self {
            trusting,
            guarded,
            allow_private: config.allow_private_network,
            first_byte: config.connect_timeout.duration(),
            pause: config.read_timeout.duration(),
            redirects: config.max_redirects,
            memory,
        })
    }

    /// Fetches the whole body behind `url`. A body that was cut is asked for once more.
    pub(crate) async fn get(&self, url: &Url, ask: &Ask<'_>) -> Result<Fetched, ApiError> {
        match self.follow(url, ask).await {
            Err(FetchError::Cut(_)) => self.follow(url, ask).await.map_err(ApiError::from),
            done => done.map_err(ApiError::from),
        }
    }

    async fn follow(&self, url: &Url, ask: &Ask<'_>) -> Result<Fetched, FetchError> {
        let mut url = url.clone();
        for _ in 0..=self.redirects {
            let response = self.hop(&url, ask).await?;
            let status = response.status();
            if !status.is_redirection() || status == StatusCode::NOT_MODIFIED {
                by_status(status)?;
                return self.body(response, ask.limit).await;
            }
            let invalid = || FetchError::Final(ApiError::RedirectInvalid);
            let location = response.headers().get(header::LOCATION).ok_or_else(invalid)?;
            // Raw bytes are escaped as they are, in whatever encoding.
            let location = percent_encode(location.as_bytes(), &AsciiSet::EMPTY).to_string();
            let next = url.join(&location).map_err(|_| invalid())?;
            if !matches!(next.scheme(), "http" | "https") || next.host().is_none() {
                return Err(invalid());
            }
            url = next;
        }
        Err(FetchError::Final(ApiError::RedirectLimit))
    }

    /// The client that may ask `url`; `trusted` is the operator's own origin.
    pub(super) fn client(&self, url: &Url, trusted: Option<&Url>) -> Result<&reqwest::Client, ApiError> {
        let same =
            |a: &Url| a.host() == url.host() && a.port_or_known_default() == url.port_or_known_default();
        let trusted = trusted.is_some_and(same);
        // The resolver is not asked about addresses.
        let address = match url.host() {
            Some(Host::Ipv4(ip)) => Some(ip.into()),
            Some(Host::Ipv6(ip)) => Some(ip.into()),
            _ => None,
        };
        if !trusted && !self.allow_private && address.is_some_and(|ip| !is_public(ip)) {
            return Err(private());
        }
        Ok(if trusted { &self.trusting } else { &self.guarded })
    }

    async fn hop(&self, url: &Url, ask: &Ask<'_>) -> Result<reqwest::Response, FetchError> {
        let client = self.client(url, ask.trusted).map_err(FetchError::Final)?;
        let via = ask.via.as_ref().map_or_else(|| VIA.to_owned(), |old| format!("{old}, {VIA}"));
        let request = client
            .get(url.clone())
            .header(header::VIA, via)
            .header(header::ACCEPT, "image/*,*/*;q=0.8")
            // Bytes are taken as they are: a coding would have to be undone.
            .header(header::ACCEPT_ENCODING, "identity")
            .header(header::USER_AGENT, USER_AGENT)
            .headers(ask.headers.clone());
        match tokio::time::timeout(self.first_byte, request.send()).await {
            Err(_) => Err(FetchError::Final(ApiError::SourceTimeout)),
            Ok(Err(e)) => Err(FetchError::Final(unreachable_source(&e))),
            Ok(Ok(response)) => Ok(response),
        }
    }

    async fn body(&self, mut response: reqwest::Response, limit: u64) -> Result<Fetched, FetchError> {
        let too_large = || FetchError::Final(ApiError::SourceTooLarge { limit });
        let announced = response.content_length();
        if announced.is_some_and(|n| n > limit) {
            return Err(too_large());
        }
        let first = usize::try_from(announced.unwrap_or(64 << 10)).unwrap_or(usize::MAX);
        let busy = |size| move |full| FetchError::Final(out_of_memory(&self.memory, size, full));
        let mut held = reserve(&self.memory, first).await.map_err(FetchError::Final)?;
        let mut bytes = BytesMut::with_capacity(first);
        loop {
            let chunk = match tokio::time::timeout(self.pause, response.chunk()).await {
                Err(_) => {
                    return Err(FetchError::Final(ApiError::SourceStalled));
                }
                Ok(Err(e)) => return Err(FetchError::Cut(ApiError::SourceCut { cause: innermost(&e) })),
                Ok(Ok(None)) => break,
                Ok(Ok(Some(chunk))) => chunk,
            };
            let length = bytes.len() + chunk.len();
            if length as u64 > limit {
                return Err(too_large());
            }
            if length > held.bytes() {
                // Growing by half keeps the copies few.
                held.grow_to(length + length / 2).map_err(busy(length))?;
                bytes.reserve(held.bytes() - bytes.len());
            }
            bytes.extend_from_slice(&chunk);
        }
        let headers = response.headers().clone();
        let received = bytes.len() as u64;
        if let Some(announced) = announced.filter(|n| *n != received) {
            return Err(FetchError::Cut(ApiError::SourceShort { received, announced }));
        }
        check_digest(&headers, &bytes)?;
        Ok(Fetched { bytes: held.tie(bytes), headers })
    }
}

/// Why a fetch failed.
enum FetchError {
    /// The same request would fail again.
    Final(ApiError),
    /// The body was not whole. Another attempt may succeed.
    Cut(ApiError),
}

impl From<FetchError> for ApiError {
    fn from(error: FetchError) -> Self {
        match error {
            FetchError::Final(error) | FetchError::Cut(error) => error,
        }
    }
}

/// The table of what a source's status means.
fn by_status(status: StatusCode) -> Result<(), FetchError> {
    let code = status.as_u16();
    let error = match code {
        200..=299 => return Ok(()),
        400 => ApiError::SourceBadRequest,
        404 => ApiError::SourceNotFound,
        401..=499 => ApiError::SourceRefused { answered: code },
        _ => ApiError::SourceFailed { answered: code },
    };
    Err(FetchError::Final(error))
}

/// A source that sends a digest of its representation (RFC 9530) is held to it.
fn check_digest(headers: &HeaderMap, bytes: &[u8]) -> Result<(), FetchError> {
    if headers.contains_key(header::CONTENT_ENCODING) {
        return Ok(());
    }
    let Some(text) = headers.get("repr-digest").and_then(|v| v.to_str().ok()) else { return Ok(()) };
    for member in text.split(',') {
        let Some((name, value)) = member.trim().split_once('=') else { continue };
        let Some(value) = value.strip_prefix(':').and_then(|v| v.split(':').next()) else { continue };
        let found = match name {
            "sha-256" => crate::fields::base64(&Sha256::digest(bytes)),
            "sha-512" => crate::fields::base64(&Sha512::digest(bytes)),
            _ => continue,
        };
        if found != value {
            return Err(FetchError::Cut(ApiError::SourceDigest));
        }
    }
    Ok(())
}

pub(super) fn private() -> ApiError {
    ApiError::PrivateSource
}

fn innermost(error: &dyn StdError) -> String {
    let mut inner = error;
    while let Some(next) = inner.source() {
        inner = next;
    }
    inner.to_string()
}

/// Why no answer came, from the chain of causes.
pub(super) fn unreachable_source(error: &reqwest::Error) -> ApiError {
    let mut cause: Option<&(dyn StdError + 'static)> = Some(error);
    while let Some(e) = cause {
        if e.is::<NotPublic>() {
            return private();
        }
        if e.is::<NoSuchHost>() {
            return ApiError::HostUnknown;
        }
        if let Some(io) = e.downcast_ref::<std::io::Error>() {
            if io.kind() == std::io::ErrorKind::ConnectionRefused {
                return ApiError::ConnectionRefused;
            }
            if let Some(inner) = io.get_ref()
                && cause.and_then(StdError::source).is_none()
            {
                // An I/O error shows what it wraps only this way.
                if inner.is::<NotPublic>() {
                    return private();
                }
                if inner.is::<NoSuchHost>() {
                    return ApiError::HostUnknown;
                }
            }
        }
        cause = e.source();
    }
    let text = innermost(error);
    if error.is_timeout() {
        return ApiError::SourceTimeout;
    }
    if error.is_connect() {
        return ApiError::SourceUnreachable { cause: text };
    }
    ApiError::SourceFetch { cause: text }
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
