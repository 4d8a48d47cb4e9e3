//! Entity tags of results, and requests that name them.

use http::{HeaderMap, header};
use sha2::{Digest, Sha256};

/// Version of the engine: results of different versions have different tags.
pub(super) const ENGINE_VERSION: &str = "2026.11.0";

/// The entity tag of a result: an opaque part for the options, then the source's own tag.
pub(crate) fn etag(source: Option<&str>, options: &str) -> Option<String> {
    let source = source?;
    let (weak, quoted) = source.strip_prefix("W/").map_or(("", source), |rest| ("W/", rest));
    let inner = quoted.trim_matches('"');
    let digest = Sha256::new().chain_update(ENGINE_VERSION).chain_update(options).finalize();
    let mut opaque = String::new();
    for byte in digest.iter().take(8) {
        opaque.push_str(&format!("{byte:02x}"));
    }
    Some(format!("{weak}\"cf-{opaque}:{inner}\""))
}

/// Whether `If-None-Match` names `etag` (weak comparison, RFC 9110 §13.1.2).
pub(crate) fn none_match(headers: &HeaderMap, etag: Option<&str>) -> bool {
    let Some(etag) = etag else { return false };
    let etag = etag.strip_prefix("W/").unwrap_or(etag);
    let lines = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|v| v.to_str().ok());
    lines.flat_map(tags).any(|tag| tag == "*" || tag == etag)
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

    use super::{etag, none_match};

    // URL-144
    #[test]
    fn the_entity_tag_ends_with_the_sources() {
        assert!(etag(Some("\"abc\""), "w=1").unwrap().ends_with(":abc\""));
        assert!(etag(Some("W/\"abc\""), "w=1").unwrap().starts_with("W/\"cf-"));
        assert_ne!(etag(Some("\"abc\""), "w=1"), etag(Some("\"abc\""), "w=2"));
        assert_eq!(etag(None, "w=1"), None);
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
        assert!(!matches(&["\"a\", \"b\""], "\"a,b\""));
        assert!(!matches(&["\"x,\"a,b\""], "\"a,b\""));
        assert!(!matches(&["\"*\""], "\"a\""));
        assert!(!matches(&[], "\"a,b\""));
    }
}
