//! `cf.image` subrequests: a Workers runtime proxies a fetch with `request.cf` in a header, and the answer is the
//! fetched image, transformed. Off unless configured, since only a runtime may set that header.

use std::time::Instant;

use http::{HeaderMap, HeaderName, Method, Uri};
use recipe::dialect::ParseMode;
use recipe::dialect::cf_image;
use recipe::dialect::url::SourceRef;

use crate::app::App;
use crate::error::Fault;
use crate::respond::{self, Answer, Inherited};
use crate::source::{Asker, shared_headers};
use crate::trace::Trace;
use crate::url_door::{hints, wrong_method};

/// Answers a request that carries the configured header; `None` for all others.
pub(crate) async fn answer(
    app: &App,
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
    trace: &Trace,
) -> Option<Answer> {
    let name: HeaderName = app.config.cf_blob_header.as_ref()?.parse().ok()?;
    let blob = headers.get(&name)?;
    trace.route(method, "cf.image");
    if method != Method::GET && method != Method::HEAD {
        return Some(wrong_method());
    }
    Some(transform(app, blob.as_bytes(), uri, headers, trace).await.unwrap_or_else(|f| respond::fault(&f)))
}

async fn transform(
    app: &App,
    blob: &[u8],
    uri: &Uri,
    headers: &HeaderMap,
    trace: &Trace,
) -> Result<Answer, Fault> {
    let mode = ParseMode { strict: app.config.strict };
    let wanted = cf_image::parse(blob, &hints(headers), mode)?;
    let mut asker = Asker::new(headers, trace);
    let source = target(uri, &asker)?;
    // The host of the request is that of the source here, not of a zone of ours.
    asker.host = None;
    if asker.loops() && wanted.is_some() {
        return Err(Fault::new(9403, 508, "the request comes from an image transformation already"));
    }
    if wanted.as_ref().is_some_and(|w| w.origin_auth) {
        asker.headers = shared_headers(headers);
    }
    let began = Instant::now();
    let source = app.fetcher.source(&source, &asker).await?;
    // Overlays are other people's images: credentials are for the source alone.
    asker.headers.clear();
    let Some(wanted) = wanted else {
        // Nothing to be done to it: the fetch by itself.
        let kind =
            codecs::Format::sniff(&source.bytes).map_or("application/octet-stream", codecs::Format::mime);
        return Ok(respond::plain(http::StatusCode::OK, kind, source.bytes));
    };
    let inherited = Inherited {
        etag: respond::etag(source.etag.as_deref(), &wanted.recipe.to_string()),
        cache_control: source.cache_control,
        last_modified: source.last_modified,
        vary: wanted.varies_on.join(", "),
        fetched: began.elapsed(),
    };
    if respond::none_match(headers, inherited.etag.as_deref()) {
        return Ok(respond::not_modified(&inherited));
    }
    let product = app.produce(wanted.recipe, &[Some(source.bytes)], &asker).await?;
    let body = product.body.clone();
    let mut answer = respond::success(product, &wanted.notices, &inherited);
    respond::add_digest(headers, &mut answer, &body);
    Ok(answer)
}

/// The URL that the Worker fetched: the absolute request target, or the one that `Host` and path make.
fn target(uri: &Uri, asker: &Asker) -> Result<SourceRef, Fault> {
    let invalid = || Fault::new(9406, 403, "the source URL is invalid");
    let text = if uri.scheme().is_some() {
        uri.to_string()
    } else {
        let host = asker.host.as_deref().ok_or_else(invalid)?;
        format!("http://{host}{}", uri.path_and_query().map_or("/", |p| p.as_str()))
    };
    recipe::dialect::url::parse_source(&text).map_err(|e| recipe::OptionError::Source(e).into())
}
