//! Answers: the headers of success, of errors, of what was not modified.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use http_body_util::Full;
use recipe::Notice;
use recipe::choices::{ERROR_LIFETIME, LEAST_LIFETIME, MAX_NOTICES, ONERROR_STATUS};
use sha2::{Digest, Sha256};

use crate::app::Product;
use crate::error::Fault;

/// The body of every answer: it is whole before its head is sent.
pub(crate) type Answer = Response<Full<Bytes>>;

/// Engine version in `cf-resized`.
const ENGINE_VERSION: &str = "2026.11.0";
/// Response headers of every image, as documented.
const CSP: &str =
    "default-src 'none'; navigate-to 'none'; form-action 'none'; img-src data:; style-src 'unsafe-inline';";

/// What a successful answer inherits from its source and its request.
#[derive(Debug, Default)]
pub(crate) struct Inherited {
    /// The result's own entity tag.
    pub(crate) etag: Option<String>,
    pub(crate) cache_control: Option<String>,
    pub(crate) last_modified: Option<String>,
    pub(crate) vary: String,
    /// Time to fetch the source.
    pub(crate) fetched: Duration,
}

fn value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or_else(|_| HeaderValue::from_static(""))
}

/// Builds an answer whose `Content-Length` is that of its body, whatever the method.
pub(crate) fn plain(status: StatusCode, content_type: &'static str, body: Bytes) -> Answer {
    let mut answer = Response::new(Full::new(body));
    *answer.status_mut() = status;
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer
}

/// An error: its number in `cf-resized` and in the text.
pub(crate) fn fault(fault: &Fault) -> Answer {
    let status = StatusCode::from_u16(fault.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut answer = plain(status, "text/plain; charset=utf-8", fault.body().into());
    let headers = answer.headers_mut();
    headers.insert("cf-resized", value(&format!("err={}", fault.code)));
    headers.insert(header::CACHE_CONTROL, value(&format!("max-age={ERROR_LIFETIME}")));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if matches!(fault.code, 9522 | 9527) {
        headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    answer
}

/// An image or its description.
pub(crate) fn success(product: Product, notices: &[Notice], inherited: &Inherited) -> Answer {
    let Product { body, rendered, queued, notices: more, fetched } = product;
    let t = rendered.timings;
    let resized = format!(
        "internal=ok/m q={} n={}+{} c={}+{} v={ENGINE_VERSION} l={}",
        queued.as_millis(),
        inherited.fetched.as_millis(),
        fetched.as_millis(),
        (t.decode + t.operate).as_millis(),
        t.encode.as_millis(),
        body.len()
    );
    let mut answer = plain(StatusCode::OK, rendered.content_type, body);
    let headers = answer.headers_mut();
    headers.insert("cf-resized", value(&resized));
    headers.insert("content-security-policy", HeaderValue::from_static(CSP));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    let (lifetime, restrictive) = cache_control(inherited.cache_control.as_deref());
    headers.insert(header::CACHE_CONTROL, value(&lifetime));
    let restrictive = restrictive.then(|| Notice("cache-control is too restrictive".to_owned()));
    let mut told: Vec<&str> = Vec::new();
    for notice in notices.iter().chain(&more).chain(&restrictive) {
        if !told.contains(&notice.0.as_str()) && told.len() < MAX_NOTICES {
            told.push(&notice.0);
            warn(headers, notice);
        }
    }
    inherit(headers, inherited);
    answer
}

/// Adds a `warning` line.
pub(crate) fn warn(headers: &mut HeaderMap, Notice(text): &Notice) {
    // Header values are visible ASCII, and the text is quoted.
    let visible =
        |c: char| if c.is_ascii() && !c.is_ascii_control() && c != '"' && c != '\\' { c } else { '?' };
    let text: String = text.chars().map(visible).collect();
    headers.append(header::WARNING, value(&format!("cf-images 299 \"{text}\"")));
}

/// What a 304 and a 200 have in common.
fn inherit(headers: &mut HeaderMap, inherited: &Inherited) {
    headers.insert(header::VARY, value(&inherited.vary));
    if let Some(etag) = &inherited.etag {
        headers.insert(header::ETAG, value(etag));
    }
    if let Some(date) = &inherited.last_modified {
        headers.insert(header::LAST_MODIFIED, value(date));
    }
}

pub(crate) fn not_modified(inherited: &Inherited) -> Answer {
    let mut answer = Response::new(Full::default());
    *answer.status_mut() = StatusCode::NOT_MODIFIED;
    let headers = answer.headers_mut();
    headers.insert(header::CACHE_CONTROL, value(&cache_control(inherited.cache_control.as_deref()).0));
    headers.insert("cf-resized", HeaderValue::from_static("internal=ok/-"));
    inherit(headers, inherited);
    answer
}

pub(crate) fn redirect(location: &str) -> Answer {
    let mut answer = Response::new(Full::default());
    *answer.status_mut() = StatusCode::from_u16(ONERROR_STATUS).unwrap_or(StatusCode::TEMPORARY_REDIRECT);
    answer.headers_mut().insert(header::LOCATION, value(location));
    answer
}

/// The lifetime of a result: that of its source, but an hour at least unless the source insists on being asked.
/// Also whether the source forbids keeping results at all, which is worth a warning.
fn cache_control(source: Option<&str>) -> (String, bool) {
    let Some(text) = source else { return (format!("public, max-age={LEAST_LIFETIME}"), false) };
    let directives: Vec<&str> = text.split(',').map(str::trim).filter(|d| !d.is_empty()).collect();
    let has = |name: &str| directives.iter().any(|d| d.eq_ignore_ascii_case(name));
    if has("no-store") || has("private") || has("no-cache") {
        return (text.to_owned(), true);
    }
    if has("must-revalidate") {
        return (text.to_owned(), false);
    }
    let seconds = |name: &str| {
        directives.iter().find_map(|d| {
            let (n, v) = d.split_once('=')?;
            n.trim().eq_ignore_ascii_case(name).then(|| v.trim().trim_matches('"').parse::<u64>().ok())?
        })
    };
    match seconds("s-maxage").or_else(|| seconds("max-age")) {
        Some(s) if s >= LEAST_LIFETIME => (text.to_owned(), false),
        lifetime => {
            let kept = directives.iter().filter(|d| {
                let name = d.split('=').next().unwrap_or_default().trim();
                !name.eq_ignore_ascii_case("max-age") && !name.eq_ignore_ascii_case("s-maxage")
            });
            let mut all: Vec<String> = kept.map(|d| (*d).to_owned()).collect();
            all.push(format!("max-age={LEAST_LIFETIME}"));
            (all.join(", "), lifetime.is_some())
        }
    }
}

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
    let strip = |t: &str| t.trim().strip_prefix("W/").unwrap_or(t.trim()).to_owned();
    let listed = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|v| v.to_str().ok());
    listed.flat_map(|v| v.split(',')).any(|tag| tag.trim() == "*" || strip(tag) == strip(etag))
}

/// Base64 with padding (RFC 4648).
pub(crate) fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

/// Adds `Repr-Digest` when the client asked for one (RFC 9530).
pub(crate) fn add_digest(request: &HeaderMap, answer: &mut Answer, body: &Bytes) {
    let wants = |name: &str| {
        let values = request.get_all("want-repr-digest").iter().filter_map(|v| v.to_str().ok());
        values.flat_map(|v| v.split(',')).any(|m| {
            let (n, weight) = m.trim().split_once('=').unwrap_or((m.trim(), "1"));
            n.eq_ignore_ascii_case(name) && weight.trim() != "0"
        })
    };
    if wants("sha-256") {
        let digest = format!("sha-256=:{}:", base64(&Sha256::digest(body)));
        answer.headers_mut().insert("repr-digest", value(&digest));
    }
}

#[cfg(test)]
mod tests {
    use super::{cache_control, etag};

    // URL-146, URL-147
    #[test]
    fn a_result_lives_as_long_as_its_source_and_an_hour_at_least() {
        let of = |text: &str| cache_control(Some(text));
        assert_eq!(of("public, max-age=31536000, immutable").0, "public, max-age=31536000, immutable");
        assert_eq!(of("max-age=3600").0, "max-age=3600");
        assert_eq!(of("public, max-age=60"), ("public, max-age=3600".to_owned(), true));
        assert_eq!(of("max-age=60, must-revalidate"), ("max-age=60, must-revalidate".to_owned(), false));
        assert_eq!(of("private, max-age=5"), ("private, max-age=5".to_owned(), true));
        assert_eq!(cache_control(None).0, "public, max-age=3600");
    }

    // URL-144
    #[test]
    fn the_entity_tag_ends_with_the_sources() {
        assert!(etag(Some("\"abc\""), "w=1").unwrap().ends_with(":abc\""));
        assert!(etag(Some("W/\"abc\""), "w=1").unwrap().starts_with("W/\"cf-"));
        assert_ne!(etag(Some("\"abc\""), "w=1"), etag(Some("\"abc\""), "w=2"));
        assert_eq!(etag(None, "w=1"), None);
    }
}
