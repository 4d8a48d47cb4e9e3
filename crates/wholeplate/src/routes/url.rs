//! The URL interface: `/cdn-cgi/image/<options>/<source>`.

use std::sync::Arc;

use http::{HeaderMap, header};
use recipe::dialect::url::{PREFIX, SourceRef, UrlRequest, onerror_source, parse_with};
use url::Url;

use crate::app::App;
use crate::cache::freshness::CacheOverride;
use crate::cache::report::Failure;
use crate::choices::ONERROR_SUBDOMAINS;
use crate::counters::Route;
use crate::error::ApiError;
use crate::fields::value;
use crate::produce::{Job, JobInputs, produce, response};
use crate::request::RequestContext;
use crate::respond::{self, Inherited, Response};
use crate::sources::SourceRequest;

/// Answers a request for a transformation URL; `None` if it is for something else.
pub(super) async fn respond(app: &Arc<App>, request: &RequestContext) -> Option<Response> {
    if !request.target().starts_with(PREFIX) {
        return None;
    }
    request.trace.route(&request.method, Route::URL.0);
    if !request.is_read() {
        return Some(wrong_method(app));
    }
    if request.turns() > 0 {
        return Some(respond::failure(&app.failure(ApiError::TransformationLoop)));
    }
    // Nothing is parsed, fetched or redirected to for a request that may not be made.
    let target = match app.access.verified(request.target()) {
        Ok(target) => target,
        Err(error) => return Some(respond::failure(&app.failure(error))),
    };
    let parsed = parse_with(&target, app.access.parse_mode())?;
    let mut source_headers = HeaderMap::new();
    let mut response = match parsed {
        Ok(parsed) => match transform(app, request, &parsed, &mut source_headers).await {
            Ok(response) => response,
            Err(failure) => {
                let wanted = request.with_hints(|hints| parsed.resolve(hints)).onerror_redirect;
                let response = on_error(app, request, Some(&parsed.source).filter(|_| wanted), &failure);
                source_headers = failure.headers;
                response
            }
        },
        // A refused option is a fatal error like any other.
        Err(error) => on_error(app, request, onerror_source(&target).as_ref(), &app.failure(error.into())),
    };
    app.config.cors.add(response.headers_mut(), &source_headers);
    Some(response)
}

pub(super) fn wrong_method(app: &App) -> Response {
    let mut response = respond::failure(&app.failure(ApiError::MethodNotAllowed));
    response.headers_mut().insert(header::ALLOW, value("GET, HEAD"));
    response
}

async fn transform(
    app: &Arc<App>,
    request: &RequestContext,
    parsed: &UrlRequest,
    source_headers: &mut HeaderMap,
) -> Result<Response, Failure> {
    let mut resolved = request.with_hints(|hints| parsed.resolve(hints));
    app.access.limit_width(&mut resolved);
    let mut warnings = resolved.warnings;
    warnings.extend(resolved.recipe.warnings());
    let options = resolved.recipe.to_string();
    let inherit = |source: &HeaderMap| Inherited::of(source, &options, &resolved.varies_on);
    let client = app.client(request);
    let turn = app.access.turn(&client);
    let job = Job {
        recipe: resolved.recipe,
        inputs: JobInputs::Source(parsed.source.clone()),
        worker: CacheOverride::default(),
        client,
        route: Route::URL,
        host: host_of(&parsed.source),
        turn,
    };
    let headers = &request.headers;
    let mut source_request = SourceRequest::new(request, job.client.clone());
    source_request.conditions = respond::source_conditions(headers, &options);
    let has = |source: &HeaderMap| inherit(source).is_named_by(headers);
    let produced = produce(app, &job, &source_request, has).await?;
    source_headers.clone_from(produced.source_headers());
    Ok(response(&produced, warnings, headers, inherit).await)
}

/// The host of a source, for metrics.
pub(super) fn host_of(source: &SourceRef) -> String {
    let SourceRef::Absolute(text) = source else { return "origin".to_owned() };
    Url::parse(text).ok().and_then(|url| url.host_str().map(str::to_owned)).unwrap_or_default()
}

/// The error, or with `onerror=redirect` a redirect to the untransformed source, if that is on the same zone.
fn on_error(app: &App, request: &RequestContext, source: Option<&SourceRef>, failure: &Failure) -> Response {
    let error = &failure.error;
    let location = match source {
        None => None,
        Some(SourceRef::Relative(path)) => app.fetcher.public_location(path),
        Some(SourceRef::Absolute(text)) => {
            let url = Url::parse(text).ok();
            let own = request.authority.as_ref().zip(url).is_some_and(|(own, url)| {
                own.is_zone_of(&url) && (ONERROR_SUBDOMAINS || own.is_host_of(&url))
            });
            own.then(|| text.clone())
        }
    };
    match location.filter(|_| !error.is_loop()) {
        Some(location) => {
            let mut response = respond::redirect(&location);
            response.headers_mut().insert("cf-resized", value(&format!("err={}", error.number())));
            respond::cache_headers(response.headers_mut(), failure.report);
            response
        }
        None => respond::failure(failure),
    }
}
