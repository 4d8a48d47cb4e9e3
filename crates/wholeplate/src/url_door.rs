//! The URL interface: `/cdn-cgi/image/<options>/<source>`.

use std::path::{Component, Path, PathBuf};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{HeaderMap, Method, Response, header};
use imaging::Body;
use recipe::dialect::{ClientHints, url};
use recipe::{Notice, Recipe};

use crate::error::Fault;
use crate::work;

/// Largest source, as documented.
const MAX_SOURCE_BYTES: u64 = 100 * 1000 * 1000;
/// Engine version in `cf-resized`.
const ENGINE_VERSION: &str = "2026.11.0";
const CSP: &str =
    "default-src 'none'; navigate-to 'none'; form-action 'none'; img-src data:; style-src 'unsafe-inline';";

/// Everything an answer needs, computed off the async threads.
pub(crate) fn answer(
    method: &Method,
    target: &str,
    headers: &HeaderMap,
    origin: &Path,
) -> Response<Full<Bytes>> {
    if method != Method::GET && method != Method::HEAD {
        return fault(&Fault::new(9424, 405, "only GET and HEAD are allowed"));
    }
    match url::parse(target) {
        Some(parsed) => {
            match parsed.map_err(Fault::from).and_then(|request| transform(&request, headers, origin)) {
                Ok(response) => response,
                Err(f) => fault(&f),
            }
        }
        None => file(target, origin),
    }
}

fn transform(
    request: &url::UrlRequest,
    headers: &HeaderMap,
    origin: &Path,
) -> Result<Response<Full<Bytes>>, Fault> {
    let text = |name: &str| headers.get(name).and_then(|v| v.to_str().ok());
    if text("via").is_some_and(|v| v.contains("image-resizing")) {
        return Err(Fault::new(9403, 508, "the request comes from an image transformation already"));
    }
    let hints = ClientHints {
        accept: text("accept"),
        viewport_width: text("sec-ch-viewport-width"),
        user_agent: text("user-agent"),
        rtt: text("rtt"),
        save_data: text("save-data"),
        ect: text("ect"),
        downlink: text("downlink"),
    };
    let resolved = request.resolve(&hints);
    let source = match &request.source {
        recipe::dialect::url::SourceRef::Relative(path) => path,
        recipe::dialect::url::SourceRef::Absolute(_) => {
            return Err(Fault::new(9401, 403, "Transformation origin is not in allowed origins list"));
        }
    };
    let path = resolve_path(source, origin)
        .ok_or_else(|| Fault::new(9404, 404, "the source image was not found"))?;
    let size =
        std::fs::metadata(&path).map_err(|_| Fault::new(9404, 404, "the source image was not found"))?.len();
    if size > MAX_SOURCE_BYTES {
        return Err(Fault::new(
            9402,
            413,
            format!("the source image is larger than {MAX_SOURCE_BYTES} bytes"),
        ));
    }
    let bytes = std::fs::read(&path)
        .map_err(|e| Fault::new(9402, 502, format!("the source could not be read: {e}")))?;
    let mut notices = request.notices.clone();
    notices.extend(resolved.notices);
    success(&resolved.recipe, bytes, notices, &resolved.varies_on)
}

fn success(
    recipe: &Recipe,
    bytes: Vec<u8>,
    mut notices: Vec<Notice>,
    varies: &[&str],
) -> Result<Response<Full<Bytes>>, Fault> {
    let (rendered, more) = work::make(recipe, &bytes, &work::means())?;
    notices.extend(more);
    let t = rendered.timings;
    let body = match rendered.body {
        Body::Bytes(body) => body,
        Body::Input => bytes,
    };
    let resized = format!(
        "internal=ok/m q=0 n=0+0 c={}+{} v={ENGINE_VERSION} l={}",
        (t.decode + t.operate).as_millis(),
        t.encode.as_millis(),
        body.len()
    );
    let mut response = Response::builder()
        .header(header::CONTENT_TYPE, rendered.content_type)
        .header(header::CONTENT_LENGTH, body.len())
        .header(header::VARY, varies.join(", "))
        .header("cf-resized", resized)
        .header("content-security-policy", CSP)
        .header("x-content-type-options", "nosniff");
    for notice in notices {
        response = response.header("warning", format!("cf-images 299 \"{}\"", notice.0));
    }
    response.body(Full::new(body.into())).map_err(|e| Fault::new(9523, 500, e.to_string()))
}

pub(crate) fn fault(fault: &Fault) -> Response<Full<Bytes>> {
    let body = fault.body();
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() =
        hyper::StatusCode::from_u16(fault.status).unwrap_or(hyper::StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static("text/plain; charset=utf-8"));
    if let Ok(value) = header::HeaderValue::from_str(&format!("err={}", fault.code)) {
        headers.insert("cf-resized", value);
    }
    response
}

/// Maps a URL path to a file below `origin`; nothing leaves it, by dots or by symbolic links.
fn resolve_path(source: &str, origin: &Path) -> Option<PathBuf> {
    let path = source.split(['?', '#']).next().unwrap_or_default();
    let decoded = percent_encoding::percent_decode_str(path).decode_utf8().ok()?;
    let relative = Path::new(decoded.trim_start_matches('/'));
    if !relative.components().all(|c| matches!(c, Component::Normal(_))) {
        return None;
    }
    let root = origin.canonicalize().ok()?;
    let file = root.join(relative).canonicalize().ok()?;
    (file.starts_with(&root) && file.is_file()).then_some(file)
}

/// Files of the origin as they are, so that a directory of originals can be browsed.
fn file(target: &str, origin: &Path) -> Response<Full<Bytes>> {
    let wanted = if target.split('?').next() == Some("/") { "/index.html" } else { target };
    let Some((path, bytes)) =
        resolve_path(wanted, origin).and_then(|p| std::fs::read(&p).ok().map(|b| (p, b)))
    else {
        let mut missing = Response::new(Full::new(Bytes::from_static(
            b"Not found. Transformations are at /cdn-cgi/image/<options>/<source>.\n",
        )));
        *missing.status_mut() = hyper::StatusCode::NOT_FOUND;
        return missing;
    };
    let kind = match path.extension().and_then(|e| e.to_str()) {
        Some("html") => "text/html; charset=utf-8",
        _ => codecs::Format::sniff(&bytes).map_or("application/octet-stream", codecs::Format::mime),
    };
    let mut response = Response::new(Full::new(Bytes::from(bytes)));
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(kind));
    response
}
