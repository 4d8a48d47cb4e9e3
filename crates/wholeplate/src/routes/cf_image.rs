//! `cf.image` subrequests: a Workers runtime proxies a fetch with `request.cf` in a header, and the response is the
//! fetched image, transformed. Off unless configured, since only a runtime may set that header.

use std::sync::Arc;

use http::HeaderMap;
use recipe::dialect::ParseMode;
use recipe::dialect::cf_image::{self, CfImage};

use super::passthrough;
use super::url::wrong_method;
use crate::access::Turn;
use crate::app::App;
use crate::cache::freshness::CacheOverride;
use crate::cache::report::Failure;
use crate::cache::worker;
use crate::counters::Route;
use crate::error::ApiError;
use crate::produce::{Job, JobInputs, produce, response};
use crate::request::{ListenerKind, RequestContext};
use crate::respond::{self, Representation, Response};
use crate::sources::{SourceRequest, shared_headers};
use crate::transformation::host_of;

/// What a runtime's subrequest is to get.
pub(super) enum Subrequest {
    /// The image behind its URL, transformed.
    Image(Box<WantedImage>),
    /// Whatever is behind its URL.
    Plain,
    /// The same, for a request that a transformation made already.
    Direct,
}

/// An image, and what the Worker says about caching its source.
pub(super) struct WantedImage {
    image: CfImage,
    worker: CacheOverride,
    /// For cache options that cannot be used.
    warnings: Vec<String>,
}

/// Looks whether a request is a runtime's subrequest; `None` if it is for one of the other routes.
pub(super) fn subrequest(app: &App, request: &RequestContext) -> Option<Result<Subrequest, ApiError>> {
    let name = app.config.cf_blob_header.as_ref()?;
    if app.edge.is_some() && request.listener == ListenerKind::Tcp {
        // Visitors of a whole site come by TCP, the runtime by the Unix socket.
        return None;
    }
    match request.headers.get(name) {
        Some(blob) => match read(app, blob.as_bytes(), request) {
            // A runtime gives every request a `cf`, not only those to be transformed.
            Ok(Subrequest::Plain) if passthrough::is_ours(request) => None,
            done => Some(done),
        },
        // Without `cf` there is no header. On TCP that would make a proxy for everybody.
        None if request.listener == ListenerKind::Unix && !passthrough::is_ours(request) => {
            Some(Ok(Subrequest::Plain))
        }
        None => None,
    }
}

fn read(app: &App, blob: &[u8], request: &RequestContext) -> Result<Subrequest, ApiError> {
    let mode = ParseMode::new(app.config.strict);
    let Some(image) = request.with_hints(|hints| cf_image::parse(blob, hints, mode))? else {
        return Ok(Subrequest::Plain);
    };
    match request.turns() {
        0 => {
            let (worker, warnings) = worker::parse(blob);
            Ok(Subrequest::Image(Box::new(WantedImage { image, worker, warnings })))
        }
        // A Worker that is asked by a transformation has to go to the origin directly, and is sent there: so does the
        // outbound Worker of Miniflare, which leaves `cf` in place. Coming back once more it is a loop.
        1 => Ok(Subrequest::Direct),
        _ => Err(ApiError::TransformationLoop),
    }
}

/// Fetches and transforms.
pub(super) async fn respond(app: &Arc<App>, request: &RequestContext, image: WantedImage) -> Response {
    request.trace.route(&request.method, Route::CF_IMAGE.0);
    if !request.is_read() {
        return wrong_method(app);
    }
    let mut source_headers = HeaderMap::new();
    let done = transform(app, request, image, &mut source_headers).await;
    let mut response = done.unwrap_or_else(|failure| {
        let response = respond::failure(&failure);
        source_headers = failure.headers;
        response
    });
    app.config.cors.add(response.headers_mut(), &source_headers);
    response
}

async fn transform(
    app: &Arc<App>,
    request: &RequestContext,
    wanted: WantedImage,
    source_headers: &mut HeaderMap,
) -> Result<Response, Failure> {
    let WantedImage { image, worker, warnings: ignored } = wanted;
    let url = passthrough::target(&app.config, request).map_err(|error| app.failure(error))?;
    let source = recipe::dialect::url::parse_source(&url).map_err(recipe::OptionError::Source);
    let source = source.map_err(|error| app.failure(error.into()))?;
    let client = app.client(request);
    let mut source_request = SourceRequest::new(request, client.clone()).without_own_host();
    if image.origin_auth {
        source_request.credentials = shared_headers(&request.headers);
    }
    let mut warnings = image.warnings;
    warnings.extend(image.recipe.warnings());
    for text in ignored {
        warnings.push(text);
    }
    let representation = Representation::of(&app.engine, &image.recipe.to_string(), &image.varies_on);
    source_request.conditions = respond::source_conditions(&request.headers, &representation);
    let host = host_of(&source);
    let job = Job {
        transformation: Arc::new(image.recipe.into()),
        inputs: JobInputs::Source(source),
        worker,
        client,
        route: Route::CF_IMAGE,
        host,
        turn: Turn::free(),
    };
    let headers = &request.headers;
    let has = |source: &HeaderMap| respond::is_named(source, &representation, headers);
    let produced = produce(app, &job, &source_request, has).await?;
    source_headers.clone_from(produced.source_headers());
    Ok(response(&produced, warnings, headers, &representation).await)
}
