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
use super::resolve::{NoSuchHost, NotPublic, Resolver};
use super::{MEMORY_WAIT, crowded};
use crate::config::Config;
use crate::error::{Fault, PRIVATE_SOURCE, SOURCE_400_CODE};
use crate::memory::Share;

/// The token in `Via` that tells a source that this service asks.
pub(crate) const VIA: &str = "image-resizing";

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
                .connect_timeout(Duration::from_secs(config.connect_timeout))
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
            first_byte: Duration::from_secs(config.connect_timeout),
            pause: Duration::from_secs(config.read_timeout),
            redirects: config.max_redirects,
            memory,
        })
    }

    /// Fetches the whole body behind `url`. A body that was cut is asked for once more.
    pub(crate) async fn get(&self, url: &Url, ask: &Ask<'_>) -> Result<Fetched, Fault> {
        match self.follow(url, ask).await {
            Err(Trouble::Cut(_)) => self.follow(url, ask).await.map_err(Trouble::into_fault),
            done => done.map_err(Trouble::into_fault),
        }
    }

    async fn follow(&self, url: &Url, ask: &Ask<'_>) -> Result<Fetched, Trouble> {
        let mut url = url.clone();
        for _ in 0..=self.redirects {
            let response = self.hop(&url, ask).await?;
            let status = response.status();
            if !status.is_redirection() || status == StatusCode::NOT_MODIFIED {
                by_status(status)?;
                return self.body(response, ask.limit).await;
            }
            let invalid = || Trouble::Fault(Fault::new(9420, 400, "the source redirected to an invalid URL"));
            let location = response.headers().get(header::LOCATION).ok_or_else(invalid)?;
            // Raw bytes are escaped as they are, in whatever encoding.
            let location = percent_encode(location.as_bytes(), &AsciiSet::EMPTY).to_string();
            let next = url.join(&location).map_err(|_| invalid())?;
            if !matches!(next.scheme(), "http" | "https") || next.host().is_none() {
                return Err(invalid());
            }
            url = next;
        }
        Err(Trouble::Fault(Fault::new(9421, 400, "the source redirected too many times")))
    }

    /// The client that may ask `url`; `trusted` is the operator's own origin.
    pub(super) fn client(&self, url: &Url, trusted: Option<&Url>) -> Result<&reqwest::Client, Fault> {
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

    async fn hop(&self, url: &Url, ask: &Ask<'_>) -> Result<reqwest::Response, Trouble> {
        let client = self.client(url, ask.trusted).map_err(Trouble::Fault)?;
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
            Err(_) => Err(Trouble::Fault(Fault::new(9504, 522, "the source did not answer in time"))),
            Ok(Err(e)) => Err(Trouble::Fault(unreachable_source(&e))),
            Ok(Ok(response)) => Ok(response),
        }
    }

    async fn body(&self, mut response: reqwest::Response, limit: u64) -> Result<Fetched, Trouble> {
        let too_large =
            || Trouble::Fault(Fault::new(9402, 413, format!("the source is larger than {limit} bytes")));
        let announced = response.content_length();
        if announced.is_some_and(|n| n > limit) {
            return Err(too_large());
        }
        let first = usize::try_from(announced.unwrap_or(64 << 10)).unwrap_or(usize::MAX);
        let busy = |size| move |full| Trouble::Fault(crowded(&self.memory, size, full));
        let mut held = self.memory.take(first, MEMORY_WAIT).await.map_err(busy(first))?;
        let mut bytes = BytesMut::with_capacity(first);
        loop {
            let chunk = match tokio::time::timeout(self.pause, response.chunk()).await {
                Err(_) => {
                    return Err(Trouble::Fault(Fault::new(9504, 524, "the download of the source stalled")));
                }
                Ok(Err(e)) => return Err(Trouble::Cut(format!("the source broke off: {}", innermost(&e)))),
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
        if announced.is_some_and(|n| n != bytes.len() as u64) {
            return Err(Trouble::Cut(format!("the source sent {} of {announced:?} bytes", bytes.len())));
        }
        check_digest(&headers, &bytes)?;
        Ok(Fetched { bytes: held.tie(bytes), headers })
    }
}

/// Why a fetch failed: for good, or perhaps not the next time.
enum Trouble {
    Fault(Fault),
    Cut(String),
}

impl Trouble {
    fn into_fault(self) -> Fault {
        match self {
            Self::Fault(fault) => fault,
            Self::Cut(why) => Fault::new(9402, 502, why),
        }
    }
}

/// The table of what a source's status means.
fn by_status(status: StatusCode) -> Result<(), Trouble> {
    let code = status.as_u16();
    let fault = match code {
        200..=299 => return Ok(()),
        400 => Fault::new(SOURCE_400_CODE, 502, "the source answered 400"),
        404 => Fault::new(9404, 404, "the source image was not found"),
        401..=499 => Fault::new(9408, code, format!("the source answered {code}")),
        _ => Fault::new(9509, 502, format!("the source answered {code}")),
    };
    Err(Trouble::Fault(fault))
}

/// A source that sends a digest of its representation (RFC 9530) is held to it.
fn check_digest(headers: &HeaderMap, bytes: &[u8]) -> Result<(), Trouble> {
    if headers.contains_key(header::CONTENT_ENCODING) {
        return Ok(());
    }
    let Some(text) = headers.get("repr-digest").and_then(|v| v.to_str().ok()) else { return Ok(()) };
    for member in text.split(',') {
        let Some((name, value)) = member.trim().split_once('=') else { continue };
        let Some(value) = value.strip_prefix(':').and_then(|v| v.split(':').next()) else { continue };
        let found = match name {
            "sha-256" => crate::respond::base64(&Sha256::digest(bytes)),
            "sha-512" => crate::respond::base64(&Sha512::digest(bytes)),
            _ => continue,
        };
        if found != value {
            return Err(Trouble::Cut("the source's bytes do not match its Repr-Digest".to_owned()));
        }
    }
    Ok(())
}

pub(super) fn private() -> Fault {
    let (code, status) = PRIVATE_SOURCE;
    Fault::new(code, status, "the source is not on a public address, and private ones are not allowed")
}

fn innermost(error: &dyn StdError) -> String {
    let mut inner = error;
    while let Some(next) = inner.source() {
        inner = next;
    }
    inner.to_string()
}

/// Why no answer came, from the chain of causes.
pub(super) fn unreachable_source(error: &reqwest::Error) -> Fault {
    let mut cause: Option<&(dyn StdError + 'static)> = Some(error);
    while let Some(e) = cause {
        if e.is::<NotPublic>() {
            return private();
        }
        if e.is::<NoSuchHost>() {
            return Fault::new(9407, 523, "the source's host name does not resolve");
        }
        if let Some(io) = e.downcast_ref::<std::io::Error>() {
            if io.kind() == std::io::ErrorKind::ConnectionRefused {
                return Fault::new(9505, 502, "the source refused the connection");
            }
            if let Some(inner) = io.get_ref()
                && cause.and_then(StdError::source).is_none()
            {
                // An I/O error shows what it wraps only this way.
                if inner.is::<NotPublic>() {
                    return private();
                }
                if inner.is::<NoSuchHost>() {
                    return Fault::new(9407, 523, "the source's host name does not resolve");
                }
            }
        }
        cause = e.source();
    }
    let text = innermost(error);
    if text.contains("dns") || text.contains("lookup") || text.contains("resolve") {
        return Fault::new(9407, 523, "the source's host name does not resolve");
    }
    if error.is_timeout() {
        return Fault::new(9504, 522, "the source did not answer in time");
    }
    if error.is_connect() {
        return Fault::new(9510, 523, format!("the source cannot be reached: {text}"));
    }
    Fault::new(9402, 502, format!("the source could not be fetched: {text}"))
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
