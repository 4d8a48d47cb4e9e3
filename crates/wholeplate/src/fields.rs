//! Header fields: lists that stand on several lines, values made from text.

use std::borrow::Cow;

use http::{HeaderMap, HeaderName, HeaderValue};

pub(crate) const CF_CACHE_STATUS: HeaderName = HeaderName::from_static("cf-cache-status");
pub(crate) const CF_RESIZED: HeaderName = HeaderName::from_static("cf-resized");

/// All lines of a list field as one.
pub(crate) fn joined(headers: &HeaderMap, name: HeaderName) -> Option<Cow<'_, str>> {
    let mut lines = headers.get_all(name).iter().filter_map(|v| v.to_str().ok());
    let first = Cow::Borrowed(lines.next()?);
    Some(lines.fold(first, |all, line| Cow::Owned(format!("{all}, {line}"))))
}

/// A text as a value; an empty one if it has characters that no value may have.
pub(crate) fn value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or_else(|_| HeaderValue::from_static(""))
}

/// Base64 with padding (RFC 4648).
pub(crate) fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}
