//! Images of the origin directory as they are, so that originals can be looked at beside their transformations (OPS-041).

use http::{HeaderValue, StatusCode, header};

use super::url::wrong_method;
use crate::app::App;
use crate::request::RequestContext;
use crate::respond::{self, Response};

pub(super) async fn respond(app: &App, request: &RequestContext) -> Response {
    if !request.is_read() {
        return wrong_method(app);
    }
    // Also a hidden name that is escaped: the directory opens what the path decodes to.
    let hidden = percent_encoding::percent_decode_str(request.path()).decode_utf8_lossy().contains("/.");
    let found =
        if hidden { Ok(None) } else { app.fetcher.original(request.path(), &app.client(request)).await };
    let bytes = match found {
        Ok(Some(bytes)) => bytes,
        Ok(None) => return missing(),
        Err(error) => return respond::error(&error),
    };
    // By content: a name says nothing about what a file is.
    let Some(format) = codecs::Format::sniff(&bytes) else { return missing() };
    let mut response = respond::plain(StatusCode::OK, format.mime(), bytes);
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    // An SVG from the directory may hold scripts; it is looked at, not run.
    let policy = "default-src 'none'; style-src 'unsafe-inline'; sandbox";
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
    response
}

fn missing() -> Response {
    let text = "Not found. Transformations are at /cdn-cgi/image/<options>/<source>.\n";
    respond::plain(StatusCode::NOT_FOUND, "text/plain; charset=utf-8", text.into())
}
