//! Answers: the headers of success, of errors, of what was not modified.

mod body;
mod digest;
mod lifetime;
mod tag;

use std::borrow::Cow;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use recipe::{Warning, Warnings};

pub(crate) use self::body::{AnswerBody, BoxError};
pub(crate) use self::digest::add_digest;
pub(crate) use self::lifetime::Lifetime;
use self::lifetime::cache_control;
pub(crate) use self::tag::{etag, none_match};
use crate::app::Product;
use crate::choices::{ERROR_LIFETIME, ONERROR_STATUS};
use crate::error::Fault;

/// What every door gives back.
pub(crate) type Answer = Response<AnswerBody>;

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
    pub(crate) lifetime: Lifetime,
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
    let mut answer = Response::new(AnswerBody::Whole(body));
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
/// `warnings` are those of parsing.
pub(crate) fn success(product: Product, mut warnings: Warnings, inherited: &Inherited) -> Answer {
    let Product { body, rendered, queued, warnings: more, fetched } = product;
    warnings.extend(more);
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
    let (lifetime, restrictive) = cache_control(&inherited.lifetime);
    headers.insert(header::CACHE_CONTROL, value(&lifetime));
    if restrictive {
        warnings.push("cache-control is too restrictive");
    }
    for warning in &warnings {
        warn(headers, warning);
    }
    inherit(headers, inherited);
    answer
}

/// Adds a `warning` line.
pub(crate) fn warn(headers: &mut HeaderMap, Warning(text): &Warning) {
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
    let mut answer = Response::new(AnswerBody::Whole(Bytes::new()));
    *answer.status_mut() = StatusCode::NOT_MODIFIED;
    let headers = answer.headers_mut();
    headers.insert(header::CACHE_CONTROL, value(&cache_control(&inherited.lifetime).0));
    headers.insert("cf-resized", HeaderValue::from_static("internal=ok/-"));
    inherit(headers, inherited);
    answer
}

pub(crate) fn redirect(location: &str) -> Answer {
    let mut answer = Response::new(AnswerBody::Whole(Bytes::new()));
    *answer.status_mut() = StatusCode::from_u16(ONERROR_STATUS).unwrap_or(StatusCode::TEMPORARY_REDIRECT);
    answer.headers_mut().insert(header::LOCATION, value(location));
    answer
}

/// Base64 with padding (RFC 4648).
pub(crate) fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

/// All lines of a request or response header that is a list, as one.
pub(crate) fn joined(headers: &HeaderMap, name: HeaderName) -> Option<Cow<'_, str>> {
    let mut lines = headers.get_all(name).iter().filter_map(|v| v.to_str().ok());
    let first = Cow::Borrowed(lines.next()?);
    Some(lines.fold(first, |all, line| Cow::Owned(format!("{all}, {line}"))))
}
