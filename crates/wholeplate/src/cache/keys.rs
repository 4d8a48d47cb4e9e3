//! Names of sources and keys of what is kept: everything that can change an answer is in its key.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use store::Key;
use url::{Position, Url};

use super::freshness::CacheOverride;
use crate::admission::InputData;
use crate::error::ApiError;

/// Changes whenever the same recipe may give other bytes. It is in `cf-resized`, in entity tags and in keys.
pub(crate) const ENGINE_VERSION: &str = "2026.11.2";

/// What makes results of inputs and recipes: this engine, and the settings that change its results.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Engine(String);

impl Engine {
    /// `settings`: names and values of those that differ from their defaults.
    pub(crate) fn new(settings: &[(&str, String)]) -> Self {
        let lines = settings.iter().map(|(name, value)| format!("\n{name}={value}"));
        Self(std::iter::once(ENGINE_VERSION.to_owned()).chain(lines).collect())
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// A digest of one thing that an answer depends on.
pub(crate) type Fingerprint = [u8; 32];

/// The name of a source, as a purge names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SourceName {
    /// `None` for a relative source.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) scheme: Option<String>,
    /// Host and, unless it is the scheme's own, port. Of a relative source, the host that was asked for it.
    pub(crate) host: String,
    /// Path and query.
    pub(crate) target: String,
}

impl SourceName {
    pub(crate) fn absolute(url: &Url) -> Self {
        Self {
            scheme: Some(url.scheme().to_owned()),
            // The library leaves out a port that is the scheme's own, and writes hosts in lower case.
            host: url[Position::BeforeHost..Position::AfterPort].to_owned(),
            target: url[Position::BeforePath..Position::AfterQuery].to_owned(),
        }
    }

    pub(crate) fn relative(asked_host: Option<&str>, target: &str) -> Self {
        Self {
            scheme: None,
            host: normal_host(asked_host.unwrap_or_default()),
            target: normal_target(target),
        }
    }

    pub(crate) fn is_relative(&self) -> bool {
        self.scheme.is_none()
    }

    /// Keys with the same group are removed together.
    fn group(&self) -> Fingerprint {
        let mut digest = Fields::new("source");
        digest.add(self.scheme.as_deref().unwrap_or_default()).add(&self.host).add(&self.target);
        digest.finish()
    }
}

/// Lower case, without a port that every scheme of the web has as its own.
pub(crate) fn normal_host(authority: &str) -> String {
    let host = authority.trim().trim_end_matches('.').to_ascii_lowercase();
    let own_port = host.strip_suffix(":80").or_else(|| host.strip_suffix(":443"));
    own_port.map_or_else(|| host.clone(), str::to_owned)
}

/// A path as an absolute URL would have it: dots resolved, what has to be escaped escaped.
pub(crate) fn normal_target(target: &str) -> String {
    if is_normal(target) { target.to_owned() } else { normalised(target) }
}

/// Whether a URL has nothing to change in a target. True of most, for which no URL need be parsed.
fn is_normal(target: &str) -> bool {
    // Without `%`: an escaped dot is a dot.
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"/-._~!$&()*+,;=:@?".contains(&b);
    target.starts_with('/')
        && !target.starts_with("//")
        && !target.contains("/.")
        && target.bytes().all(plain)
}

fn normalised(target: &str) -> String {
    let url = Url::parse("http://host").and_then(|base| base.join(target));
    match url {
        Ok(url) if target.starts_with('/') && !target.starts_with("//") => {
            url[Position::BeforePath..Position::AfterQuery].to_owned()
        }
        _ => target.to_owned(),
    }
}

/// A digest over fields that cannot run into each other.
struct Fields(Sha256);

impl Fields {
    fn new(kind: &str) -> Self {
        let mut fields = Self(Sha256::new());
        fields.add(kind);
        fields
    }

    fn add(&mut self, field: impl AsRef<[u8]>) -> &mut Self {
        let field = field.as_ref();
        self.0.update((field.len() as u64).to_le_bytes());
        self.0.update(field);
        self
    }

    fn finish(self) -> Fingerprint {
        self.0.finalize().into()
    }
}

/// The digest of bytes.
pub(crate) fn fingerprint(bytes: &[u8]) -> Fingerprint {
    Sha256::digest(bytes).into()
}

/// The first eight bytes of a digest in hexadecimal, for entity tags.
pub(crate) fn short(digest: &Fingerprint) -> String {
    use std::fmt::Write as _;
    digest[..8].iter().fold(String::with_capacity(16), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The digest of an input's bytes. Hashes them all: call it off the async threads.
pub(crate) fn input_fingerprint(input: &InputData) -> Result<Fingerprint, ApiError> {
    let mut digest = Sha256::new();
    input.read(|piece| digest.update(piece))?;
    Ok(digest.finalize().into())
}

/// What makes two fetches of one URL differ: credentials that are sent along, and what a Worker says about caching.
pub(crate) fn variant(credentials: &http::HeaderMap, worker: &CacheOverride) -> Fingerprint {
    let mut digest = Fields::new("variant");
    let mut lines: Vec<(&str, &[u8])> =
        credentials.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
    lines.sort_unstable();
    for (name, value) in lines {
        digest.add(name).add(value);
    }
    digest.add("worker");
    digest.add(format!("{:?} {:?}", worker.ttl, worker.ttl_by_status));
    for tag in &worker.tags {
        digest.add(tag);
    }
    digest.finish()
}

/// The origin of relative sources, as far as their names depend on it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RelativeTo<'a> {
    /// The same for all services with the same sources. Empty for a folder, whose files have versions of their own.
    pub(crate) origin: &'a str,
    /// Whether the origin learns which host was asked, so that it may answer each differently.
    pub(crate) by_host: bool,
}

/// The name under which a source is kept: `cf.cacheKey` takes the place of the URL, on the same host. A relative source is
/// that of its origin: the same for all hosts, unless the origin is told which host was asked.
pub(crate) fn kept_name(name: &SourceName, worker: &CacheOverride, relative: RelativeTo<'_>) -> SourceName {
    let mut kept = name.clone();
    if let Some(key) = &worker.key {
        // No path begins like this, so that a key is never another URL.
        kept.target = format!("key:{key}");
    }
    if kept.is_relative() {
        if !relative.by_host {
            kept.host.clear();
        }
        // Neither has a space.
        kept.host = [&kept.host, " ", relative.origin].concat();
    }
    kept
}

/// What is known of a source, without its bytes.
pub(crate) fn source_record(name: &SourceName, variant: &Fingerprint) -> Key {
    // The number changes when a record means something else, so that older ones are not found.
    let mut id = Fields::new("record 2");
    id.add(variant);
    Key::new(&name.group(), &id.finish())
}

/// The bytes of a source. They are their own name, so that they never belong to another version.
pub(crate) fn source_bytes(name: &SourceName, version: &Fingerprint) -> Key {
    let mut id = Fields::new("bytes");
    id.add(version);
    Key::new(&name.group(), &id.finish())
}

/// A result: of these versions of its sources, by this recipe and this engine.
pub(crate) fn result(
    main: Option<&SourceName>,
    versions: &[Fingerprint],
    canonical_recipe: &[u8],
    engine: &Engine,
) -> Key {
    let group = main.map_or_else(
        || {
            let mut group = Fields::new("inputs");
            for version in versions {
                group.add(version);
            }
            group.finish()
        },
        SourceName::group,
    );
    let mut id = Fields::new("result");
    id.add(engine.as_str()).add(canonical_recipe);
    for version in versions {
        id.add(version);
    }
    Key::new(&group, &id.finish())
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue};
    use url::Url;

    use proptest::prelude::*;

    use super::{
        Engine, RelativeTo, SourceName, is_normal, kept_name, normal_host, normalised, result, source_bytes,
        source_record, variant,
    };
    use crate::cache::freshness::CacheOverride;

    fn absolute(url: &str) -> SourceName {
        SourceName::absolute(&Url::parse(url).unwrap())
    }

    // CAC-042: a port is part of a host unless it is the scheme's own.
    #[test]
    fn a_source_is_named_by_host_and_target() {
        let name = absolute("https://Shop.Example:443/a/../b%20c.jpg?x=1#f");
        assert_eq!((name.host.as_str(), name.target.as_str()), ("shop.example", "/b%20c.jpg?x=1"));
        assert_eq!(absolute("http://shop.example:8080/").host, "shop.example:8080");
        let relative = SourceName::relative(Some("SHOP.example:80"), "/a/./b.jpg?x");
        assert_eq!((relative.host.as_str(), relative.target.as_str()), ("shop.example", "/a/b.jpg?x"));
        assert_eq!(normal_host("[::1]:8080"), "[::1]:8080");
        assert_eq!(normal_host("a.example."), "a.example");
    }

    proptest! {
        #[test]
        fn a_normal_target_is_as_a_url_has_it(target in "/([a-zA-Z0-9/\\-._~!$&()*+,;=:@?%#'\"<>\\\\ é{}|^`\\[\\]]{0,4}/?){0,5}") {
            if is_normal(&target) {
                prop_assert_eq!(normalised(&target), target);
            }
        }
    }

    #[test]
    fn most_targets_are_normal() {
        assert!(is_normal("/photos/2026/a-b_c.d(1).jpg?v=1&w=2,3"));
        for other in ["/a/../b", "/a b", "/a%2e", "//host/a", "a", "/.", "/a#b", "/a'"] {
            assert!(!is_normal(other), "{other}");
        }
    }

    // CAC-004: nothing that an answer depends on is left out of its key.
    #[test]
    fn every_difference_gives_another_key() {
        let name = absolute("https://shop.example/a.jpg");
        let versions = [[1; 32], [2; 32]];
        let one = Engine::new(&[]);
        let two = Engine::new(&[("max-width", "100".to_owned())]);
        let keys = [
            result(Some(&name), &versions, b"width=1", &one),
            result(Some(&name), &versions, b"width=2", &one),
            result(Some(&name), &versions, b"width=1", &two),
            result(Some(&name), &versions[..1], b"width=1", &one),
            result(Some(&name), &[[2; 32], [1; 32]], b"width=1", &one),
            result(Some(&absolute("https://shop.example/b.jpg")), &versions, b"width=1", &one),
            result(Some(&absolute("http://shop.example/a.jpg")), &versions, b"width=1", &one),
            result(Some(&SourceName::relative(Some("shop.example"), "/a.jpg")), &versions, b"width=1", &one),
            result(None, &versions, b"width=1", &one),
            source_bytes(&name, &[1; 32]),
            source_bytes(&name, &[2; 32]),
            source_record(&name, &[1; 32]),
        ];
        for (i, one) in keys.iter().enumerate() {
            for other in &keys[i + 1..] {
                assert_ne!(one, other);
            }
        }
    }

    // Fields do not run into each other.
    #[test]
    fn moving_a_letter_from_one_field_to_the_next_gives_another_key() {
        let engine = |text: &str| Engine::new(&[("a", text.to_owned())]);
        let one = result(None, &[], b"ab", &engine("c"));
        assert_ne!(one, result(None, &[], b"b", &engine("ca")));
        assert_ne!(
            source_record(&SourceName::relative(Some("a"), "/bc"), &[0; 32]),
            source_record(&SourceName::relative(Some("a/b"), "c"), &[0; 32])
        );
    }

    #[test]
    fn credentials_and_a_workers_words_make_variants() {
        let none = variant(&HeaderMap::new(), &CacheOverride::default());
        let mut cookie = HeaderMap::new();
        cookie.insert("cookie", HeaderValue::from_static("a=1"));
        assert_ne!(none, variant(&cookie, &CacheOverride::default()));
        let worker = CacheOverride { ttl: Some(5), ..CacheOverride::default() };
        assert_ne!(none, variant(&HeaderMap::new(), &worker));
    }

    // CAC-032, CAC-050: neither another port of this service nor another name for it makes another source.
    #[test]
    fn a_relative_source_is_kept_for_all_hosts_unless_its_origin_knows_the_host() {
        let kept = |host: &str, by_host| {
            let name = SourceName::relative(Some(host), "/a.jpg");
            let relative = RelativeTo { origin: "http://o.example/", by_host };
            source_bytes(&kept_name(&name, &CacheOverride::default(), relative), &[1; 32])
        };
        assert_eq!(kept("a.example", false), kept("b.example:8080", false));
        assert_ne!(kept("a.example", true), kept("b.example:8080", true));
        assert_ne!(kept("a.example", true), kept("a.example", false));
    }

    // CAC-050: services with other origins may share a bucket, and a folder may stay when the origin changes.
    #[test]
    fn a_relative_source_is_that_of_its_origin() {
        let name = SourceName::relative(Some("a.example"), "/a.jpg");
        let of =
            |origin: &str| kept_name(&name, &CacheOverride::default(), RelativeTo { origin, by_host: false });
        assert_ne!(of("http://o.example/"), of("http://o.example/sub"));
        assert_ne!(of("http://o.example/"), of("s3://o/"));
    }

    // CAC-018
    #[test]
    fn a_cache_key_replaces_the_url_within_its_host() {
        let worker = CacheOverride { key: Some("/b.jpg".to_owned()), ..CacheOverride::default() };
        let relative = RelativeTo { origin: "", by_host: false };
        let of = |url: &str| kept_name(&absolute(url), &worker, relative);
        assert_eq!(of("https://a.example/1.jpg"), of("https://a.example/2.jpg"));
        assert_ne!(of("https://a.example/1.jpg"), of("https://b.example/1.jpg"));
        assert_ne!(of("https://a.example/1.jpg"), absolute("https://a.example/b.jpg"));
    }
}
