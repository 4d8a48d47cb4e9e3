//! What may be fetched, from which addresses, with which credentials, and in which time.

use http::HeaderMap;
use url::{Host, Url};

use super::address::is_public;
use super::deadlines::Deadlines;
use super::origin::{Origin, same_host};
use super::pattern::Pattern;
use crate::config::Config;
use crate::error::ApiError;

/// Which addresses a connection may go to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Network {
    /// The operator named the host, or trusts every client.
    Any,
    Public,
}

/// The rules for fetches.
#[derive(Debug, Clone)]
pub(super) struct FetchPolicy {
    /// The configured origin, if it is an HTTP origin.
    own: Option<Url>,
    allowed: Vec<Pattern>,
    allow_private: bool,
    /// `Host` need not be that of the URL, which HTTP/2 does not allow.
    pub(super) http1_only: bool,
    pub(super) redirects: usize,
    pub(super) deadlines: Deadlines,
}

impl FetchPolicy {
    pub(super) fn new(config: &Config) -> Self {
        let own = match &config.origin {
            Some(Origin::Http(url)) => Some(url.clone()),
            _ => None,
        };
        Self {
            own,
            allowed: config.allow_origin.clone(),
            allow_private: config.allow_private_network,
            http1_only: config.pass_through,
            redirects: config.max_redirects,
            deadlines: Deadlines {
                head: config.connect_timeout.duration(),
                pause: config.read_timeout.duration(),
                body: config.fetch_timeout.duration(),
                min_rate: config.min_rate.0.max(1),
            },
        }
    }

    /// Whether a URL is on the configured origin.
    pub(super) fn is_own(&self, url: &Url) -> bool {
        self.own.as_ref().is_some_and(|own| same_host(own, url))
    }

    /// Whether an absolute URL of a client may be fetched.
    pub(super) fn permit(&self, url: &Url) -> Result<(), ApiError> {
        if self.is_own(url) || self.allowed.iter().any(|p| p.allows(url)) {
            return Ok(());
        }
        Err(ApiError::OriginNotAllowed)
    }

    /// The addresses that a hop to `url` may connect to. The resolver checks names, this function checks literal addresses.
    pub(super) fn network(&self, url: &Url) -> Result<Network, ApiError> {
        if self.allow_private || self.is_own(url) {
            return Ok(Network::Any);
        }
        let address = match url.host() {
            Some(Host::Ipv4(ip)) => Some(ip.into()),
            Some(Host::Ipv6(ip)) => Some(ip.into()),
            _ => None,
        };
        if address.is_some_and(|ip| !is_public(ip)) {
            return Err(ApiError::PrivateSource);
        }
        Ok(Network::Public)
    }
}

/// OPS-034: credentials go to the first origin only. Once they are dropped they stay dropped.
#[derive(Debug)]
pub(super) struct Credentials<'a>(Option<&'a HeaderMap>);

impl<'a> Credentials<'a> {
    pub(super) fn new(headers: &'a HeaderMap) -> Self {
        Self(Some(headers))
    }

    /// A redirect from one URL to the next: another host, port or scheme ends them.
    pub(super) fn follow(&mut self, from: &Url, to: &Url) {
        if from.origin() != to.origin() {
            self.0 = None;
        }
    }

    pub(super) fn headers(&self) -> HeaderMap {
        self.0.cloned().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue, header};
    use url::Url;

    use super::Credentials;

    // OPS-034
    #[test]
    fn credentials_stay_with_the_first_origin() {
        let headers = HeaderMap::from_iter([(header::AUTHORIZATION, HeaderValue::from_static("Bearer x"))]);
        let kept = |hops: &[&str]| {
            let mut credentials = Credentials::new(&headers);
            for pair in hops.windows(2) {
                credentials.follow(&Url::parse(pair[0]).unwrap(), &Url::parse(pair[1]).unwrap());
            }
            !credentials.headers().is_empty()
        };
        assert!(kept(&["https://a.example/1", "https://A.example:443/2", "https://a.example/3"]));
        assert!(!kept(&["https://a.example/", "http://a.example/"]));
        assert!(!kept(&["https://a.example/", "https://b.a.example/"]));
        assert!(!kept(&["https://a.example/", "https://a.example:8443/"]));
        assert!(!kept(&["https://a.example/", "https://b.example/", "https://a.example/"]));
    }
}
