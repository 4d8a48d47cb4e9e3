//! The id of a request, in logs as on the wire.

use http::HeaderMap;

/// The trace id of the request's W3C trace context, or a new one of the same form.
pub(crate) fn request_id(headers: &HeaderMap) -> String {
    let given = headers.get("traceparent").and_then(|v| v.to_str().ok()).and_then(|v| {
        let id = v.split('-').nth(1)?;
        let hex =
            id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit()) && id.bytes().any(|b| b != b'0');
        hex.then(|| id.to_ascii_lowercase())
    });
    given.unwrap_or_else(|| {
        let mut bytes = [0; 16];
        // Without randomness ids are alike, which only logs notice.
        let _ = getrandom::fill(&mut bytes);
        bytes.iter().map(|b| format!("{b:02x}")).collect()
    })
}
