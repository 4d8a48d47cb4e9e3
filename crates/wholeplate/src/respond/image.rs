//! Responses with an image, or without one that the client has already.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use recipe::Warning;

use super::body::ResponseBody;
use super::lifetime::{Lifetime, cache_control};
use super::response::{Response, plain};
use super::tag::ENGINE_VERSION;
use crate::admission::RenderOutcome;
use crate::fields::value;

/// Response headers of every image, as documented.
const CSP: &str =
    "default-src 'none'; navigate-to 'none'; form-action 'none'; img-src data:; style-src 'unsafe-inline';";
/// The warning where a source's lifetime is raised.
const RESTRICTIVE: &str = "cache-control is too restrictive";

/// What a successful response inherits from its source and its request.
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

/// An image or its description.
pub(crate) fn success(outcome: RenderOutcome, inherited: &Inherited) -> Response {
    let RenderOutcome { body, rendered, queued, mut warnings, fetched, .. } = outcome;
    let t = rendered.timings;
    let resized = format!(
        "internal=ok/m q={} n={}+{} c={}+{} v={ENGINE_VERSION} l={}",
        queued.as_millis(),
        inherited.fetched.as_millis(),
        fetched.as_millis(),
        t.decode.as_millis(),
        t.encode.as_millis(),
        body.len()
    );
    let mut response = plain(StatusCode::OK, rendered.content_type, body);
    let headers = response.headers_mut();
    headers.insert("cf-resized", value(&resized));
    headers.insert("content-security-policy", HeaderValue::from_static(CSP));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    let (lifetime, restrictive) = cache_control(&inherited.lifetime);
    headers.insert(header::CACHE_CONTROL, value(&lifetime));
    if restrictive {
        warnings.push(RESTRICTIVE);
    }
    for warning in &warnings {
        warn(headers, warning);
    }
    inherit(headers, inherited);
    response
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

pub(crate) fn not_modified(inherited: &Inherited) -> Response {
    let mut response = Response::new(ResponseBody::Whole(Bytes::new()));
    *response.status_mut() = StatusCode::NOT_MODIFIED;
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, value(&cache_control(&inherited.lifetime).0));
    headers.insert("cf-resized", HeaderValue::from_static("internal=ok/-"));
    inherit(headers, inherited);
    response
}
