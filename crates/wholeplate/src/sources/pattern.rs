//! The list of allowed origins: hosts with an optional port and path prefix.

use url::Url;

/// One entry of the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pattern {
    /// Only https URLs match.
    https: bool,
    host: Host,
    port: Option<u16>,
    /// With a slash at its start; "/" allows all paths.
    path: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Host {
    Any,
    /// A domain and all its subdomains.
    Under(String),
    Exactly(String),
}

impl Pattern {
    /// Reads `example.com`, `*.example.com`, `example.com:8080/themes`, `https://example.com`, or `*`. With `https://` only
    /// https URLs match; without, and with `http://`, both schemes do.
    ///
    /// # Errors
    /// A message that names the entry.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let wrong = |why: &str| format!("'{text}' {why}");
        let (scheme, rest) = text.split_once("://").unwrap_or(("", text));
        let https = scheme.eq_ignore_ascii_case("https");
        if !https && !scheme.is_empty() && !scheme.eq_ignore_ascii_case("http") {
            return Err(wrong("has a scheme that is neither http nor https"));
        }
        // A name and a password would match nothing, and be printed by `wholeplate config`.
        if rest.split('/').next().is_some_and(|authority| authority.contains('@')) {
            return Err(
                "a pattern has no user name or password; write example.com or *.example.com".to_owned()
            );
        }
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let path = if path.is_empty() { "/" } else { path };
        if authority == "*" {
            return Ok(Self { https, host: Host::Any, port: None, path: path.to_owned() });
        }
        let (name, under) = authority.strip_prefix("*.").map_or((authority, false), |name| (name, true));
        if name.is_empty() || name.contains('*') {
            return Err(wrong("is not a host; write example.com, *.example.com or example.com/path"));
        }
        // A URL knows how hosts are written: case, punycode, brackets.
        let url = Url::parse(&format!("ws://{name}/")).map_err(|e| wrong(&format!("is not a host: {e}")))?;
        let host = url.host_str().ok_or_else(|| wrong("has no host"))?.to_owned();
        let host = if under { Host::Under(host) } else { Host::Exactly(host) };
        let port = name.rsplit_once(':').and_then(|(_, p)| p.parse().ok());
        Ok(Self { https, host, port, path: path.to_owned() })
    }

    pub(crate) fn allows(&self, url: &Url) -> bool {
        let Some(host) = url.host_str() else { return false };
        let by_host = match &self.host {
            Host::Any => true,
            Host::Exactly(name) => host == name,
            Host::Under(name) => {
                host == name || host.strip_suffix(name.as_str()).is_some_and(|rest| rest.ends_with('.'))
            }
        };
        let by_port = self.port.is_none_or(|p| url.port_or_known_default() == Some(p));
        let by_scheme = !self.https || url.scheme() == "https";
        by_scheme && by_host && by_port && url.path().starts_with(&self.path)
    }
}

impl Pattern {
    /// Whether it allows hosts that it does not name.
    pub(crate) fn is_every_host(&self) -> bool {
        self.host == Host::Any
    }
}

#[cfg(test)]
mod tests {
    use super::Pattern;

    fn allows(pattern: &str, url: &str) -> bool {
        Pattern::parse(pattern).unwrap().allows(&url.parse().unwrap())
    }

    // URL-167, URL-168
    #[test]
    fn hosts_ports_and_paths() {
        assert!(allows("b.com", "https://b.com/x.png"));
        assert!(!allows("b.com", "https://m.b.com/x.png"));
        assert!(!allows("m.b.com", "https://b.com/x.png"));
        assert!(allows("*.b.com", "https://b.com/x.png"));
        assert!(allows("*.b.com", "https://a.m.b.com/x.png"));
        assert!(!allows("*.b.com", "https://ab.com/x.png"));
        assert!(allows("b.com/themes", "https://b.com/themes/x.png"));
        assert!(!allows("b.com/themes", "https://b.com/media/themes/x.png"));
        assert!(!allows("b.com/themes", "https://b.com/media/../x.png"));
        assert!(allows("127.0.0.1:81", "http://127.0.0.1:81/"));
        assert!(!allows("127.0.0.1:81", "http://127.0.0.1:82/"));
        assert!(allows("*", "http://anything.example/"));
        assert!(allows("B.com", "https://b.COM/x"));
    }

    // `https://host` let `http://host` through, in all spellings.
    #[test]
    fn an_entry_with_https_allows_https_only() {
        for entry in ["https://b.com", "HTTPS://b.com", "https://*.b.com", "https://b.com/", "https://*"] {
            assert!(allows(entry, "https://b.com/x.png"), "{entry}");
            for url in ["http://b.com/x.png", "HTTP://B.com/x.png", "http://b.com:443/x.png"] {
                assert!(!allows(entry, url), "{entry} {url}");
            }
        }
        assert!(allows("http://b.com", "http://b.com/x") && allows("http://b.com", "https://b.com/x"));
        assert!(Pattern::parse("ftp://b.com").is_err());
    }
}
