//! The URL interface: `/cdn-cgi/image/<options>/<source>`.

use std::time::Instant;

use http::{HeaderMap, Method, StatusCode};
use recipe::dialect::ParseMode;
use recipe::dialect::url::{self, SourceRef, UrlRequest};

use crate::app::App;
use crate::choices::ONERROR_SUBDOMAINS;
use crate::error::Fault;
use crate::hints::Hints;
use crate::pool::Given;
use crate::respond::{self, Answer, Inherited};
use crate::source::Asker;
use crate::trace::Trace;

/// Answers a request whose target (path and query, escaped) is a transformation URL; `None` if it is not.
pub(crate) async fn answer(
    app: &App,
    method: &Method,
    target: &str,
    headers: &HeaderMap,
    trace: &Trace,
) -> Option<Answer> {
    let mode = ParseMode::new(app.config.strict);
    let parsed = url::parse_with(target, mode)?;
    trace.route(method, "/cdn-cgi/image");
    if method != Method::GET && method != Method::HEAD {
        return Some(wrong_method());
    }
    let asker = Asker::new(headers, trace);
    if asker.loops() {
        let text = "the request comes from an image transformation already";
        return Some(respond::fault(&Fault::new(9403, 508, text)));
    }
    Some(match parsed {
        Err(e) => respond::fault(&e.into()),
        Ok(request) => match transform(app, &request, headers, &asker).await {
            Ok(answer) => answer,
            Err(fault) => on_error(&request, headers, &asker, &fault),
        },
    })
}

pub(crate) fn wrong_method() -> Answer {
    let mut answer = respond::fault(&Fault::new(9424, 405, "only GET and HEAD are possible here"));
    answer.headers_mut().insert(http::header::ALLOW, http::HeaderValue::from_static("GET, HEAD"));
    answer
}

async fn transform(
    app: &App,
    request: &UrlRequest,
    headers: &HeaderMap,
    asker: &Asker,
) -> Result<Answer, Fault> {
    let resolved = request.resolve(&Hints::new(headers).client());
    let began = Instant::now();
    let source = app.fetcher.source(&request.source, asker).await?;
    let inherited = Inherited {
        etag: respond::etag(source.etag.as_deref(), &resolved.recipe.to_string()),
        lifetime: source.lifetime,
        last_modified: source.last_modified,
        vary: resolved.varies_on.join(", "),
        fetched: began.elapsed(),
    };
    if respond::none_match(headers, inherited.etag.as_deref()) {
        return Ok(respond::not_modified(&inherited));
    }
    let product = app.produce(resolved.recipe, &[Given::Bytes(source.bytes)], asker).await?;
    let mut answer = respond::success(product, resolved.warnings, &inherited);
    respond::add_digest(headers, &mut answer);
    Ok(answer)
}

/// `onerror=redirect`: the client is sent to the untransformed source, if that is on the same zone.
fn on_error(request: &UrlRequest, headers: &HeaderMap, asker: &Asker, fault: &Fault) -> Answer {
    let wanted = request.resolve(&Hints::new(headers).client()).onerror_redirect;
    let location = match &request.source {
        SourceRef::Relative(path) => Some(path.clone()),
        SourceRef::Absolute(url) => {
            let host = url.split_once("://").map(|(_, rest)| rest.split(['/', '?']).next().unwrap_or(rest));
            let own = asker.host.as_deref().map(without_port);
            // The zone itself and its subdomains.
            let same = host.map(without_port).zip(own).is_some_and(|(host, own)| {
                let (host, own) = (host.to_ascii_lowercase(), own.to_ascii_lowercase());
                let below = host.strip_suffix(&own).is_some_and(|rest| rest.ends_with('.'));
                host == own || (ONERROR_SUBDOMAINS && below)
            });
            same.then(|| url.clone())
        }
    };
    match location.filter(|_| wanted && fault.code != 9403) {
        Some(location) => {
            let mut answer = respond::redirect(&location);
            let told = format!("err={}", fault.code);
            if let Ok(told) = http::HeaderValue::from_str(&told) {
                answer.headers_mut().insert("cf-resized", told);
            }
            answer
        }
        None => respond::fault(fault),
    }
}

fn without_port(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => host,
        _ => authority,
    }
}

/// Files of the origin directory as they are, so that originals can be looked at beside their transformations.
pub(crate) async fn plain_file(app: &App, method: &Method, target: &str) -> Answer {
    let missing = || {
        let text = "Not found. Transformations are at /cdn-cgi/image/<options>/<source>.\n";
        respond::plain(StatusCode::NOT_FOUND, "text/plain; charset=utf-8", text.into())
    };
    if method != Method::GET && method != Method::HEAD {
        return wrong_method();
    }
    let path = target.split('?').next().unwrap_or_default();
    let wanted = if path == "/" { "/index.html" } else { path };
    let source = match app.fetcher.plain_file(wanted).await {
        Ok(Some(source)) => source,
        Ok(None) => return missing(),
        Err(fault) => return respond::fault(&fault),
    };
    let extension = wanted.rsplit_once('.').map(|(_, e)| e.to_ascii_lowercase());
    let kind = match extension.as_deref() {
        Some("html" | "htm") => "text/html; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        _ => codecs::Format::sniff(&source.bytes).map_or("application/octet-stream", codecs::Format::mime),
    };
    let mut answer = respond::plain(StatusCode::OK, kind, source.bytes);
    let nosniff = http::HeaderValue::from_static("nosniff");
    answer.headers_mut().insert(http::header::X_CONTENT_TYPE_OPTIONS, nosniff);
    if kind == "image/svg+xml" {
        // An SVG from the directory may hold scripts; it is looked at, not run.
        let policy = http::HeaderValue::from_static("default-src 'none'; style-src 'unsafe-inline'; sandbox");
        answer.headers_mut().insert("content-security-policy", policy);
    }
    answer
}
