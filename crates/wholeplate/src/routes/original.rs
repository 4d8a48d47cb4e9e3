//! Files of the origin directory as they are, so that originals can be looked at beside their transformations.

use http::{HeaderValue, StatusCode, header};

use super::url::wrong_method;
use crate::app::App;
use crate::request::RequestContext;
use crate::respond::{self, Response};

pub(super) async fn respond(app: &App, request: &RequestContext) -> Response {
    let missing = || {
        let text = "Not found. Transformations are at /cdn-cgi/image/<options>/<source>.\n";
        respond::plain(StatusCode::NOT_FOUND, "text/plain; charset=utf-8", text.into())
    };
    if !request.is_read() {
        return wrong_method();
    }
    let path = request.target().split('?').next().unwrap_or_default();
    let wanted = if path == "/" { "/index.html" } else { path };
    let source = match app.fetcher.plain_file(wanted).await {
        Ok(Some(source)) => source,
        Ok(None) => return missing(),
        Err(error) => return respond::error(&error),
    };
    let extension = wanted.rsplit_once('.').map(|(_, e)| e.to_ascii_lowercase());
    let kind = match extension.as_deref() {
        Some("html" | "htm") => "text/html; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        _ => codecs::Format::sniff(&source.bytes).map_or("application/octet-stream", codecs::Format::mime),
    };
    let mut response = respond::plain(StatusCode::OK, kind, source.bytes);
    response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if kind == "image/svg+xml" {
        // An SVG from the directory may hold scripts; it is looked at, not run.
        let policy = HeaderValue::from_static("default-src 'none'; style-src 'unsafe-inline'; sandbox");
        response.headers_mut().insert("content-security-policy", policy);
    }
    response
}
