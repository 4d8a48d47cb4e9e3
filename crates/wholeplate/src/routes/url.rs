//! The URL interface: `/cdn-cgi/image/<options>/<source>`.

use std::sync::Arc;

use http::{HeaderMap, header};
use recipe::dialect::url::{PREFIX, SourceRef, onerror_source};
use url::Url;

use crate::app::App;
use crate::cache::freshness::CacheOverride;
use crate::cache::report::Failure;
use crate::choices::ONERROR_SUBDOMAINS;
use crate::counters::Route;
use crate::error::ApiError;
use crate::fields::{CF_RESIZED, value};
use crate::produce::{Job, JobInputs, produce, response};
use crate::request::RequestContext;
use crate::respond::{self, Response};
use crate::sources::SourceRequest;
use crate::telemetry::{self, FAILED_IMAGES};
use crate::transformation::UrlTransformation;

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
    let wanted = app.transformations.of(&target, request, &app.access, &app.engine)?;
    let mut source_headers = HeaderMap::new();
    let mut response = match wanted {
        Ok(wanted) => match transform(app, request, &wanted, &mut source_headers).await {
            Ok(response) => response,
            Err(failure) => {
                let source = Some(&wanted.source).filter(|_| wanted.onerror_redirect);
                let response = on_error(app, request, source, &failure);
                source_headers = failure.headers;
                response
            }
        },
        // A refused option is a fatal error like any other.
        Err(error) => {
            // With only-presets there is no option besides (OPS-020).
            let source = onerror_source(&target).filter(|_| !app.config.only_presets);
            on_error(app, request, source.as_ref(), &app.failure(error.into()))
        }
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
    wanted: &UrlTransformation,
    source_headers: &mut HeaderMap,
) -> Result<Response, Failure> {
    let client = app.client(request);
    let turn = app.access.turn(&client);
    let job = Job {
        transformation: Arc::clone(&wanted.transformation),
        inputs: JobInputs::Source(wanted.source.clone()),
        worker: CacheOverride::default(),
        client,
        route: Route::URL,
        host: wanted.host.clone(),
        turn,
    };
    let (headers, representation) = (&request.headers, &wanted.representation);
    let mut source_request = SourceRequest::new(request, job.client.clone());
    source_request.conditions = respond::source_conditions(headers, representation);
    let has = |source: &HeaderMap| respond::is_named(source, representation, headers);
    let produced = produce(app, &job, &source_request, has).await?;
    source_headers.clone_from(produced.source_headers());
    Ok(response(&produced, wanted.warnings.clone(), headers, representation).await)
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
    let location = location.filter(|_| error.may_redirect());
    let redirected =
        if location.is_some() { ", redirected to the untransformed source (onerror=redirect)" } else { "" };
    tracing::info!(
        target: FAILED_IMAGES,
        "{}: {}{redirected}",
        telemetry::redacted_target(request.target()),
        error.body().trim_end(),
    );
    match location {
        Some(location) => {
            let mut response = respond::redirect(&location);
            response.headers_mut().insert(CF_RESIZED, value(&format!("err={}", error.number())));
            respond::cache_headers(response.headers_mut(), failure.report);
            response
        }
        None => respond::failure(failure),
    }
}
