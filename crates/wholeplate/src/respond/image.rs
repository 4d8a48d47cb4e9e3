//! Responses with an image, or without one that the client has already.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use recipe::{Warning, Warnings};

use super::body::ResponseBody;
use super::lifetime::{Lifetime, cache_control};
use super::response::{Response, error};
use super::tag::{Representation, etag, is_conditional, is_current};
use crate::cache::report::{CacheReport, Failure};
use crate::cache::results::RenderedResult;
use crate::cache::tier_word;
use crate::fields::{CF_CACHE_STATUS, CF_RESIZED, value};

/// Response headers of every image, as documented.
const CSP: &str =
    "default-src 'none'; navigate-to 'none'; form-action 'none'; img-src data:; style-src 'unsafe-inline';";
/// The warning where a source's lifetime is raised.
const RESTRICTIVE: &str = "cache-control is too restrictive";

/// What a successful response inherits from its source and its request.
#[derive(Debug)]
pub(crate) struct Inherited {
    /// The result's own entity tag.
    etag: Option<String>,
    lifetime: Lifetime,
    last_modified: Option<String>,
    vary: HeaderValue,
}

impl Inherited {
    pub(crate) fn of(source: &HeaderMap, representation: &Representation) -> Self {
        let text = |name: HeaderName| source.get(name).and_then(|v| v.to_str().ok());
        let target = text(header::CONTENT_LOCATION);
        Self {
            etag: etag(text(header::ETAG), target, representation),
            lifetime: Lifetime::of(source),
            // The target of a redirect may be exchanged for one that is older.
            last_modified: text(header::LAST_MODIFIED).filter(|_| target.is_none()).map(str::to_owned),
            vary: representation.vary.clone(),
        }
    }
}

/// Whether a conditional request names the representation of this source (RFC 9110, section 13.2.2).
pub(crate) fn is_named(source: &HeaderMap, representation: &Representation, request: &HeaderMap) -> bool {
    is_conditional(request) && {
        let inherited = Inherited::of(source, representation);
        is_current(request, inherited.etag.as_deref(), inherited.last_modified.as_deref())
    }
}

/// A result without the headers of the URL interface.
pub(crate) fn bare(result: &RenderedResult) -> Response {
    let mut response = Response::new(ResponseBody::Whole(result.body.clone()));
    response.headers_mut().insert(header::CONTENT_TYPE, value(&result.head.content_type));
    response
}

/// An image or its description. `warnings` are those of the request.
pub(crate) fn success(
    result: &RenderedResult,
    report: CacheReport,
    mut warnings: Warnings,
    inherited: &Inherited,
) -> Response {
    let how = report.tier.map_or_else(|| "ok/m".to_owned(), |tier| format!("{}/h", tier_word(tier)));
    let mut response = bare(result);
    let headers = response.headers_mut();
    headers.insert(CF_RESIZED, value(&format!("internal={how} {}", result.head.timings)));
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(CSP));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    let (lifetime, restrictive) = cache_control(&inherited.lifetime);
    headers.insert(header::CACHE_CONTROL, value(&lifetime));
    for text in &result.head.warnings {
        warnings.push(text.as_str());
    }
    if restrictive {
        warnings.push(RESTRICTIVE);
    }
    for warning in &warnings {
        warn(headers, warning);
    }
    inherit(headers, inherited);
    cache_headers(headers, report);
    response
}

/// `cf-cache-status` and `age`.
pub(crate) fn cache_headers(headers: &mut HeaderMap, report: CacheReport) {
    headers.insert(CF_CACHE_STATUS, HeaderValue::from_static(report.status.as_str()));
    if let Some(age) = report.age.filter(|_| report.status.has_age()) {
        headers.insert(header::AGE, HeaderValue::from(age));
    }
}

/// An error with what the cache did for it.
pub(crate) fn failure(failure: &Failure) -> Response {
    let mut response = error(&failure.error);
    cache_headers(response.headers_mut(), failure.report);
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
    headers.insert(header::VARY, inherited.vary.clone());
    if let Some(etag) = &inherited.etag {
        headers.insert(header::ETAG, value(etag));
    }
    if let Some(date) = &inherited.last_modified {
        headers.insert(header::LAST_MODIFIED, value(date));
    }
}

pub(crate) fn not_modified(inherited: &Inherited, report: CacheReport) -> Response {
    let mut response = Response::new(ResponseBody::Whole(Bytes::new()));
    *response.status_mut() = StatusCode::NOT_MODIFIED;
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, value(&cache_control(&inherited.lifetime).0));
    headers.insert(CF_RESIZED, HeaderValue::from_static("internal=ok/-"));
    inherit(headers, inherited);
    cache_headers(headers, report);
    response
}
