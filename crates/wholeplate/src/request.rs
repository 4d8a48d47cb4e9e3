//! One request as every route sees it: built once, before anything is dispatched.

use delivery::{ConnInfo, Peer};
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, Method, Uri, Version, header};
use recipe::dialect::ClientHints;
use url::{Host, Url};

use crate::error::ApiError;
use crate::fields::joined;
use crate::telemetry::Trace;

/// The token in `Via` that marks a request of this service.
pub(crate) const VIA: &str = "image-resizing";
/// The name in `CDN-Loop` of requests that this service passed on (RFC 8586).
pub(crate) const CDN_LOOP: &str = "wholeplate";
pub(crate) const CDN_LOOP_FIELD: HeaderName = HeaderName::from_static("cdn-loop");

/// The kind of listener that a request arrived at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ListenerKind {
    Tcp,
    Unix,
}

/// A host with its port, if one was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Authority {
    host: Host<String>,
    port: Option<u16>,
}

impl Authority {
    fn parse(text: &str) -> Option<Self> {
        let parsed: http::uri::Authority = text.parse().ok()?;
        let name = parsed.host();
        let port = parsed.port_u16();
        // User names, and ports that are no numbers, are not part of a host.
        let rest = parsed.as_str().strip_prefix(name)?;
        if port.is_none() && !matches!(rest, "" | ":") {
            return None;
        }
        Some(Self { host: Host::parse(name).ok()?, port })
    }

    /// Whether `url` is on this host and port. Without a port here, `url` must be on the port of its scheme.
    pub(crate) fn is_host_of(&self, url: &Url) -> bool {
        let by_port = match self.port {
            Some(port) => url.port_or_known_default() == Some(port),
            None => url.port().is_none(),
        };
        by_port && url.host() == Some(borrowed(&self.host))
    }

    /// Whether `url` is on this host or a subdomain of it, whatever the port.
    pub(crate) fn is_zone_of(&self, url: &Url) -> bool {
        match (&self.host, url.host()) {
            (Host::Domain(own), Some(Host::Domain(other))) => {
                other == own || other.strip_suffix(own.as_str()).is_some_and(|rest| rest.ends_with('.'))
            }
            (own, other) => other == Some(borrowed(own)),
        }
    }

    /// As in a URL: the host, and the port if one was given.
    pub(crate) fn name(&self) -> String {
        match self.port {
            Some(port) => format!("{}:{port}", self.host),
            None => self.host.to_string(),
        }
    }

    fn with_port(&self, default: u16) -> (&Host<String>, u16) {
        (&self.host, self.port.unwrap_or(default))
    }
}

fn borrowed(host: &Host<String>) -> Host<&str> {
    match host {
        Host::Domain(name) => Host::Domain(name),
        Host::Ipv4(ip) => Host::Ipv4(*ip),
        Host::Ipv6(ip) => Host::Ipv6(*ip),
    }
}

/// A request without its body.
#[derive(Debug, Clone)]
pub(crate) struct RequestContext {
    pub(crate) method: Method,
    pub(crate) uri: Uri,
    pub(crate) headers: HeaderMap,
    /// The host that the request was made to.
    pub(crate) authority: Option<Authority>,
    pub(crate) listener: ListenerKind,
    /// Whether the connection is encrypted.
    pub(crate) tls: bool,
    pub(crate) client: Peer,
    pub(crate) trace: Trace,
}

impl RequestContext {
    /// # Errors
    /// OPS-035: a request without a host, with two, or with two that differ.
    pub(crate) fn new(head: Parts, trace: Trace) -> Result<Self, ApiError> {
        let authority = authority(&head)?;
        let connection = head.extensions.get::<ConnInfo>();
        let client = connection.map_or(Peer::Other, |c| c.peer);
        let listener =
            if matches!(client, Peer::Unix { .. }) { ListenerKind::Unix } else { ListenerKind::Tcp };
        let tls = connection.is_some_and(|c| c.tls);
        let Parts { method, uri, headers, .. } = head;
        Ok(Self { method, uri, headers, authority, listener, tls, client, trace })
    }

    pub(crate) fn path(&self) -> &str {
        self.uri.path()
    }

    /// Path and query as they were sent.
    pub(crate) fn target(&self) -> &str {
        self.uri.path_and_query().map_or("/", PathAndQuery::as_str)
    }

    pub(crate) fn is_read(&self) -> bool {
        self.method == Method::GET || self.method == Method::HEAD
    }

    /// The value of a field that stands once.
    pub(crate) fn field(&self, name: impl header::AsHeaderName) -> Option<&str> {
        self.headers.get(name).and_then(|v| v.to_str().ok())
    }

    /// How many services of this kind the request came through.
    pub(crate) fn turns(&self) -> usize {
        let via = joined(&self.headers, header::VIA);
        let words = via.iter().flat_map(|via| via.split([',', ' ', '\t']));
        words.filter(|word| word.eq_ignore_ascii_case(VIA)).count()
    }

    /// How many times the request was passed on by services of this kind.
    pub(crate) fn times_passed_on(&self) -> usize {
        let list = joined(&self.headers, CDN_LOOP_FIELD);
        let names = list.iter().flat_map(|list| list.split(',')).map(|member| member.split(';').next());
        names.flatten().filter(|name| name.trim().eq_ignore_ascii_case(CDN_LOOP)).count()
    }

    /// Calls `read` with what the request says about its client.
    pub(crate) fn with_hints<T>(&self, read: impl FnOnce(&ClientHints<'_>) -> T) -> T {
        // `Accept` is a list: all its lines count. Of the others the first does.
        let accept = joined(&self.headers, header::ACCEPT);
        read(&ClientHints {
            accept: accept.as_deref(),
            viewport_width: self.field("sec-ch-viewport-width"),
            user_agent: self.field("user-agent"),
            rtt: self.field("rtt"),
            save_data: self.field("save-data"),
            ect: self.field("ect"),
            downlink: self.field("downlink"),
        })
    }
}

/// The host of a request: `:authority` on HTTP/2, `Host` on HTTP/1 (OPS-035).
fn authority(head: &Parts) -> Result<Option<Authority>, ApiError> {
    let invalid = |cause: &str| ApiError::Authority { cause: cause.to_owned() };
    let mut fields = head.headers.get_all(header::HOST).iter();
    let field = fields.next();
    if fields.next().is_some() {
        return Err(invalid("more than one Host field"));
    }
    let parse = |text: Option<&str>| {
        text.and_then(Authority::parse).ok_or_else(|| invalid("the host of the request cannot be read"))
    };
    let field = field.map(|value| parse(value.to_str().ok())).transpose()?;
    let target = head.uri.authority().map(|a| parse(Some(a.as_str()))).transpose()?;
    match (target, field) {
        (Some(target), Some(field)) => {
            let default = if head.uri.scheme_str() == Some("https") { 443 } else { 80 };
            if target.with_port(default) != field.with_port(default) {
                return Err(invalid("the request target and Host name different hosts"));
            }
            Ok(Some(target))
        }
        (None, None) if head.version == Version::HTTP_11 => Err(invalid("no Host field")),
        (target, field) => Ok(target.or(field)),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use http::{Request, Version};
    use url::Url;

    use super::{Authority, RequestContext};
    use crate::error::ApiError;
    use crate::telemetry::Trace;

    pub(crate) fn context(request: http::request::Builder) -> Result<RequestContext, ApiError> {
        RequestContext::new(request.body(()).unwrap().into_parts().0, Trace::default())
    }

    // OPS-035
    #[test]
    fn a_request_has_one_host() {
        let of = |request| context(request).map(|c| c.authority);
        let get = |target: &str| Request::get(target);
        let own = Authority::parse("a.example");
        assert_eq!(of(get("/x").header("host", "A.Example")).unwrap(), own);
        assert_eq!(of(get("http://a.example/x").version(Version::HTTP_2)).unwrap(), own);
        assert_eq!(of(get("http://a.example/x").header("host", "a.example")).unwrap(), own);
        assert_eq!(of(get("http://a.example/x").header("host", "a.example:80")).unwrap(), own);
        assert_eq!(of(get("/x").version(Version::HTTP_10)).unwrap(), None);
        for refused in [
            get("/x"),
            get("/x").header("host", "a.example").header("host", "a.example"),
            get("/x").header("host", ""),
            get("/x").header("host", "u@a.example"),
            get("/x").header("host", "a.example:x"),
            get("/x").header("host", "a.example/b"),
            get("http://a.example/x").header("host", "b.example"),
            get("http://a.example/x").header("host", "a.example:8080"),
            get("http://a.example/x").header("host", "b.example").version(Version::HTTP_2),
        ] {
            let error = of(refused).unwrap_err();
            assert_eq!(error.status(), 400, "{error}");
        }
    }

    #[test]
    fn an_own_host_is_known_by_name_and_port() {
        let is_own = |authority: &str, url: &str| {
            Authority::parse(authority).unwrap().is_host_of(&Url::parse(url).unwrap())
        };
        assert!(is_own("a.example", "https://A.example/x"));
        assert!(is_own("a.example:8080", "http://a.example:8080/x"));
        assert!(is_own("a.example:443", "https://a.example/x"));
        assert!(is_own("[::1]:80", "http://[0:0::1]/x"));
        assert!(!is_own("a.example", "http://a.example:8080/x"));
        assert!(!is_own("a.example:8080", "http://a.example/x"));
        assert!(!is_own("a.example", "http://b.a.example/x"));
    }

    #[test]
    fn a_zone_has_its_subdomains() {
        let is_zone = |authority: &str, url: &str| {
            Authority::parse(authority).unwrap().is_zone_of(&Url::parse(url).unwrap())
        };
        assert!(is_zone("a.example:81", "http://a.example/x"));
        assert!(is_zone("a.example", "http://b.A.example:81/x"));
        assert!(!is_zone("a.example", "http://ba.example/x"));
        assert!(!is_zone("b.a.example", "http://a.example/x"));
        assert!(!is_zone("127.0.0.1", "http://1.127.0.0.1.example/x"));
    }
}
