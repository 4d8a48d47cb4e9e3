//! Conditional requests: entity tags of results, and dates.

use http::{HeaderMap, HeaderValue, header};
use sha2::{Digest, Sha256};
use url::Url;

use crate::cache::keys::{self, Engine};
use crate::fields::value;

/// Which representation of a source a request selects.
#[derive(Debug)]
pub(crate) struct Representation {
    /// What its entity tag has before the colon and the tag of the source.
    tag_prefix: String,
    /// The request fields that it depends on.
    pub(super) vary: HeaderValue,
}

impl Representation {
    /// `options` is what the result depends on besides the source; `varies_on` the request fields that it depends on.
    pub(crate) fn of(engine: &Engine, options: &str, varies_on: &[&str]) -> Self {
        Self { tag_prefix: prefix(engine, options), vary: value(&varies_on.join(", ")) }
    }
}

/// Says where a source was found when its URL redirects, and nothing otherwise: its validators are then those of another
/// URL, and two targets may have the same. A digest: the query of a target may be a secret.
pub(crate) fn name_target(source: &mut HeaderMap, target: Option<&Url>) {
    source.remove(header::CONTENT_LOCATION);
    if let Some(url) = target {
        let name = keys::short(&keys::fingerprint(url.as_str().as_bytes()));
        source.insert(header::CONTENT_LOCATION, value(&name));
    }
}

/// The entity tag of a result: an opaque part for the options and the target of a redirect, then the source's own tag.
pub(super) fn etag(source: Option<&str>, target: Option<&str>, of: &Representation) -> Option<String> {
    let source = source?;
    let (weak, quoted) = source.strip_prefix("W/").map_or(("", source), |rest| ("W/", rest));
    let inner = quoted.trim_matches('"');
    let target = target.map(|target| format!("-{target}")).unwrap_or_default();
    Some(format!("{weak}\"{}{target}:{inner}\"", of.tag_prefix))
}

/// What the entity tags of one engine and one recipe begin with.
fn prefix(engine: &Engine, options: &str) -> String {
    let digest = Sha256::new().chain_update(engine.as_str()).chain_update(options).finalize();
    format!("cf-{}", keys::short(&digest.into()))
}

/// The conditions of a request for a result, as conditions for its source: a source that has not changed makes the same
/// result.
pub(crate) fn source_conditions(request: &HeaderMap, of: &Representation) -> HeaderMap {
    let mut conditions = HeaderMap::new();
    if request.contains_key(header::IF_NONE_MATCH) {
        // A tag with a target is not that of the URL itself: it makes no condition.
        let prefix = format!("\"{}:", of.tag_prefix);
        let lines = request.get_all(header::IF_NONE_MATCH).iter().filter_map(|v| v.to_str().ok());
        let inner = lines.flat_map(tags).filter_map(|tag| tag.strip_prefix(&prefix));
        let of_source: Vec<String> = inner.map(|rest| format!("\"{rest}")).collect();
        if let Ok(value) = HeaderValue::from_str(&of_source.join(", "))
            && !of_source.is_empty()
        {
            conditions.insert(header::IF_NONE_MATCH, value);
        }
    } else if let Some(since) = request.get(header::IF_MODIFIED_SINCE) {
        conditions.insert(header::IF_MODIFIED_SINCE, since.clone());
    }
    conditions
}

/// Whether a request may be answered without the result.
pub(super) fn is_conditional(request: &HeaderMap) -> bool {
    request.contains_key(header::IF_NONE_MATCH) || request.contains_key(header::IF_MODIFIED_SINCE)
}

/// Whether the client has the current result already (RFC 9110 §13.2.2).
pub(super) fn is_current(request: &HeaderMap, etag: Option<&str>, last_modified: Option<&str>) -> bool {
    if request.contains_key(header::IF_NONE_MATCH) {
        return none_match(request, etag);
    }
    let date = |text: Option<&str>| text.and_then(|text| httpdate::parse_http_date(text).ok());
    let since = date(request.get(header::IF_MODIFIED_SINCE).and_then(|v| v.to_str().ok()));
    since.zip(date(last_modified)).is_some_and(|(since, changed)| changed <= since)
}

/// Whether `If-None-Match` names `etag` (weak comparison, RFC 9110 §13.1.2). `*` names what has no tag, too.
pub(crate) fn none_match(headers: &HeaderMap, etag: Option<&str>) -> bool {
    let etag = etag.map(|etag| etag.strip_prefix("W/").unwrap_or(etag));
    let lines = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|v| v.to_str().ok());
    lines.flat_map(tags).any(|tag| tag == "*" || Some(tag) == etag)
}

/// The members of a list of entity tags, without their `W/`. Commas within quotes are part of a tag.
fn tags(line: &str) -> impl Iterator<Item = &str> {
    let mut rest = line;
    std::iter::from_fn(move || {
        rest = rest.trim_start_matches([',', ' ', '\t']);
        if rest.is_empty() {
            return None;
        }
        rest = rest.strip_prefix("W/").unwrap_or(rest);
        let end = match rest.strip_prefix('"').and_then(|inner| inner.find('"')) {
            Some(quote) => quote + 2,
            // No quotes, which some clients send all the same.
            None => rest.find(',').unwrap_or(rest.len()),
        };
        let (tag, after) = rest.split_at(end);
        rest = after;
        Some(tag.trim())
    })
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue, header};

    use super::{Representation, is_current, none_match};
    use crate::cache::keys::Engine;

    fn etag(source: Option<&str>, options: &str) -> Option<String> {
        super::etag(source, None, &Representation::of(&Engine::new(&[]), options, &[]))
    }

    fn source_conditions(request: &HeaderMap, options: &str) -> HeaderMap {
        super::source_conditions(request, &Representation::of(&Engine::new(&[]), options, &[]))
    }

    // URL-144
    #[test]
    fn the_entity_tag_ends_with_the_sources() {
        assert!(etag(Some("\"abc\""), "w=1").unwrap().ends_with(":abc\""));
        assert!(etag(Some("W/\"abc\""), "w=1").unwrap().starts_with("W/\"cf-"));
        assert_ne!(etag(Some("\"abc\""), "w=1"), etag(Some("\"abc\""), "w=2"));
        assert_eq!(etag(None, "w=1"), None);
    }

    // URL-144, CAC-012: equal tags of two targets of a redirect, or of a target and the URL itself, are three tags.
    #[test]
    fn the_entity_tag_names_the_target_of_a_redirect() {
        let of = Representation::of(&Engine::new(&[]), "w=1", &[]);
        let tag = |url: Option<&str>| {
            let mut headers = HeaderMap::from_iter([(header::CONTENT_LOCATION, "/x".parse().unwrap())]);
            super::name_target(&mut headers, url.map(|url| url.parse().unwrap()).as_ref());
            let target = headers.get(header::CONTENT_LOCATION).map(|v| v.to_str().unwrap());
            super::etag(Some("W/\"abc\""), target, &of).unwrap()
        };
        let tags = [tag(None), tag(Some("http://a.example/1")), tag(Some("http://a.example/2"))];
        assert!(tags.iter().all(|tag| tag.starts_with("W/\"cf-") && tag.ends_with(":abc\"")), "{tags:?}");
        assert!(tags[0] != tags[1] && tags[1] != tags[2]);
        let request = |tag: &String| {
            HeaderMap::from_iter([(header::IF_NONE_MATCH, HeaderValue::from_str(tag).unwrap())])
        };
        assert_eq!(super::source_conditions(&request(&tags[0]), &of)["if-none-match"], "\"abc\"");
        assert!(super::source_conditions(&request(&tags[1]), &of).is_empty());
    }

    // URL-145
    #[test]
    fn conditions_for_a_result_are_conditions_for_its_source() {
        let request =
            |name, value: &str| HeaderMap::from_iter([(name, HeaderValue::from_str(value).unwrap())]);
        let (mine, other) = (etag(Some("\"a,b\""), "w=1").unwrap(), etag(Some("\"c\""), "w=2").unwrap());
        let tags = request(header::IF_NONE_MATCH, &format!("{other}, W/{mine}"));
        assert_eq!(source_conditions(&tags, "w=1"), request(header::IF_NONE_MATCH, "\"a,b\""));
        assert!(source_conditions(&request(header::IF_NONE_MATCH, &other), "w=1").is_empty());
        let date = "Thu, 26 Nov 2026 10:00:00 GMT";
        let since = request(header::IF_MODIFIED_SINCE, date);
        assert_eq!(source_conditions(&since, "w=1"), since);
        assert!(is_current(&since, None, Some(date)));
        assert!(!is_current(&since, None, Some("Thu, 26 Nov 2026 10:00:01 GMT")));
        assert!(!is_current(&since, Some("\"x\""), None));
        // If-None-Match wins.
        let mut both = since;
        both.insert(header::IF_NONE_MATCH, HeaderValue::from_static("\"y\""));
        assert!(!is_current(&both, Some("\"x\""), Some(date)));
        assert!(source_conditions(&both, "w=1").is_empty());
    }

    // URL-145
    #[test]
    fn a_tag_may_hold_commas() {
        let matches = |lines: &[&'static str], tag: &str| {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(header::IF_NONE_MATCH, HeaderValue::from_static(line));
            }
            none_match(&headers, Some(tag))
        };
        assert!(matches(&["\"a,b\""], "\"a,b\""));
        assert!(matches(&["W/\"a,b\""], "\"a,b\""));
        assert!(matches(&["\"x\" , W/\"a,b\",\"y\""], "W/\"a,b\""));
        assert!(matches(&["\"x\"", "\"a, b\""], "\"a, b\""));
        assert!(matches(&["\"x\",\"\""], "\"\""));
        assert!(matches(&["*"], "\"a,b\""));
        let any = HeaderMap::from_iter([(header::IF_NONE_MATCH, HeaderValue::from_static("*"))]);
        assert!(none_match(&any, None));
        assert!(!matches(&["\"a\", \"b\""], "\"a,b\""));
        assert!(!matches(&["\"x,\"a,b\""], "\"a,b\""));
        assert!(!matches(&["\"*\""], "\"a\""));
        assert!(!matches(&[], "\"a,b\""));
    }
}
