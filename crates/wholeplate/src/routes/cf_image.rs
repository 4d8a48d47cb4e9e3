//! `cf.image` subrequests: a Workers runtime proxies a fetch with `request.cf` in a header, and the response is the
//! fetched image, transformed. Off unless configured, since only a runtime may set that header.

use http::HeaderMap;
use recipe::dialect::ParseMode;
use recipe::dialect::cf_image::{self, CfImage};

use super::passthrough;
use super::url::{host_of, wrong_method};
use crate::admission::InputData;
use crate::app::App;
use crate::error::ApiError;
use crate::produce::Task;
use crate::request::{ListenerKind, RequestContext};
use crate::respond::{self, Response};
use crate::sources::{SourceRequest, shared_headers};

/// What a runtime's subrequest is to get.
pub(super) enum Subrequest {
    /// The image behind its URL, transformed.
    Image(Box<CfImage>),
    /// Whatever is behind its URL.
    Plain,
    /// The same, for a request that a transformation made already.
    Direct,
}

/// Looks whether a request is a runtime's subrequest; `None` if it is for one of the other routes.
pub(super) fn subrequest(app: &App, request: &RequestContext) -> Option<Result<Subrequest, ApiError>> {
    let name = app.config.cf_blob_header.as_ref()?;
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
        0 => Ok(Subrequest::Image(Box::new(image))),
        // A Worker that is asked by a transformation has to go to the origin directly, and is sent there: so does the
        // outbound Worker of Miniflare, which leaves `cf` in place. Coming back once more it is a loop.
        1 => Ok(Subrequest::Direct),
        _ => Err(ApiError::TransformationLoop),
    }
}

/// Fetches and transforms.
pub(super) async fn respond(app: &App, request: &RequestContext, image: CfImage) -> Response {
    request.trace.route(&request.method, "cf.image");
    if !request.is_read() {
        return wrong_method();
    }
    let mut source_headers = HeaderMap::new();
    let done = transform(app, request, image, &mut source_headers).await;
    let mut response = done.unwrap_or_else(|error| respond::error(&error));
    app.config.cors.add(response.headers_mut(), &source_headers);
    response
}

async fn transform(
    app: &App,
    request: &RequestContext,
    image: CfImage,
    source_headers: &mut HeaderMap,
) -> Result<Response, ApiError> {
    let url = passthrough::target(&app.config, request)?;
    let source = recipe::dialect::url::parse_source(&url).map_err(recipe::OptionError::Source)?;
    let mut source_request = SourceRequest::new(request).without_own_host();
    if image.origin_auth {
        source_request.credentials = shared_headers(&request.headers);
    }
    let host = host_of(&source);
    let options = image.recipe.to_string();
    source_request.conditions = respond::source_conditions(&request.headers, &options);
    let fetched = super::fetch::source(app, &source, &source_request, source_headers).await?;
    // Overlays are other people's images: credentials are for the source alone.
    source_request.credentials.clear();
    let inherited = fetched.inherited(&options, &image.varies_on);
    let Some(bytes) = fetched.bytes_unless_current(&request.headers, &inherited) else {
        return Ok(respond::not_modified(&inherited));
    };
    let task = Task { recipe: image.recipe, warnings: image.warnings, client: app.client(request), host };
    let outcome = app.produce(task, &[InputData::Bytes(bytes)], &source_request).await?;
    let mut response = respond::success(outcome, &inherited);
    respond::add_digest(&request.headers, &mut response).await;
    Ok(response)
}
