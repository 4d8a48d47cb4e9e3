//! The URL interface: `/cdn-cgi/image/<options>/<source>`.

use std::time::Instant;

use http::header;
use recipe::dialect::ParseMode;
use recipe::dialect::url::{SourceRef, UrlRequest, parse_with};
use url::Url;

use crate::app::App;
use crate::choices::ONERROR_SUBDOMAINS;
use crate::error::ApiError;
use crate::fields::value;
use crate::pool::InputData;
use crate::produce::Task;
use crate::request::RequestContext;
use crate::respond::{self, Inherited, Response};
use crate::sources::SourceRequest;

/// Answers a request for a transformation URL; `None` if it is for something else.
pub(super) async fn respond(app: &App, request: &RequestContext) -> Option<Response> {
    let mode = ParseMode::new(app.config.strict);
    let parsed = parse_with(request.target(), mode)?;
    request.trace.route(&request.method, "/cdn-cgi/image");
    if !request.is_read() {
        return Some(wrong_method());
    }
    if request.turns() > 0 {
        return Some(respond::error(&ApiError::TransformationLoop));
    }
    Some(match parsed {
        Err(error) => respond::error(&error.into()),
        Ok(parsed) => match transform(app, request, &parsed).await {
            Ok(response) => response,
            Err(error) => on_error(request, &parsed, &error),
        },
    })
}

pub(super) fn wrong_method() -> Response {
    let mut response = respond::error(&ApiError::MethodNotAllowed);
    response.headers_mut().insert(header::ALLOW, value("GET, HEAD"));
    response
}

async fn transform(app: &App, request: &RequestContext, parsed: &UrlRequest) -> Result<Response, ApiError> {
    let resolved = request.with_hints(|hints| parsed.resolve(hints));
    let began = Instant::now();
    let source_request = SourceRequest::new(request);
    let source = app.fetcher.source(&parsed.source, &source_request).await?;
    let inherited = Inherited {
        etag: respond::etag(source.etag.as_deref(), &resolved.recipe.to_string()),
        lifetime: source.lifetime,
        last_modified: source.last_modified,
        vary: resolved.varies_on.join(", "),
        fetched: began.elapsed(),
    };
    if respond::none_match(&request.headers, inherited.etag.as_deref()) {
        return Ok(respond::not_modified(&inherited));
    }
    let task = Task { recipe: resolved.recipe, warnings: resolved.warnings };
    let outcome = app.produce(task, &[InputData::Bytes(source.bytes)], &source_request).await?;
    let mut response = respond::success(outcome, &inherited);
    respond::add_digest(&request.headers, &mut response);
    Ok(response)
}

/// `onerror=redirect`: the client is sent to the untransformed source, if that is on the same zone.
fn on_error(request: &RequestContext, parsed: &UrlRequest, error: &ApiError) -> Response {
    let wanted = request.with_hints(|hints| parsed.resolve(hints)).onerror_redirect;
    let location = match &parsed.source {
        SourceRef::Relative(path) => Some(path),
        SourceRef::Absolute(text) => {
            let url = Url::parse(text).ok();
            let own = request.authority.as_ref().zip(url).is_some_and(|(own, url)| {
                own.is_zone_of(&url) && (ONERROR_SUBDOMAINS || own.is_host_of(&url))
            });
            own.then_some(text)
        }
    };
    match location.filter(|_| wanted && !error.is_loop()) {
        Some(location) => {
            let mut response = respond::redirect(location);
            response.headers_mut().insert("cf-resized", value(&format!("err={}", error.number())));
            response
        }
        None => respond::error(error),
    }
}
