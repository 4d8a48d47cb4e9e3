//! Which route a request takes.

pub(crate) mod admin;
mod binding;
mod cf_image;
mod edge_mode;
mod original;
mod passthrough;
mod url;

use std::sync::Arc;

use bytes::Bytes;
use http::{Method, StatusCode};
use http_body::Body;

use self::cf_image::Subrequest;
use crate::app::App;
use crate::counters::Route;
use crate::error::ApiError;
use crate::request::{ListenerKind, RequestContext};
use crate::respond::{self, Response};

/// Answers one request.
pub(crate) async fn dispatch<B>(app: &Arc<App>, request: RequestContext, body: B) -> Response
where
    B: Body<Data = Bytes> + Send + Sync + Unpin + 'static,
    B::Error: std::error::Error + Send + Sync + 'static,
{
    // OPS-036
    if edge::is_loop(&request.headers) {
        return refusal(app, request.path(), ApiError::PassedTooOften);
    }
    // RFC 9112, 6.1
    if edge::has_unknown_transfer_coding(&request.headers) {
        let error = ApiError::TransferCoding;
        return if is_binding_call(app, &request) {
            binding::error(&error)
        } else {
            refusal(app, request.path(), error)
        };
    }
    let (route, mut response) = routed(app, request, body).await;
    response.extensions_mut().insert(Route(route));
    response
}

fn is_binding_path(request: &RequestContext) -> bool {
    matches!(request.path(), "/info" | "/transform")
}

/// Whether the binding answers a request that is not a subrequest.
fn is_binding_call(app: &App, request: &RequestContext) -> bool {
    is_binding_path(request) && (request.listener == ListenerKind::Unix || app.config.binding_on_tcp)
}

/// The response to a request that no route takes. That for an image says what the cache did.
pub(crate) fn refusal(app: &App, path: &str, error: ApiError) -> Response {
    if path.starts_with(recipe::dialect::url::PREFIX) {
        respond::failure(&app.failure(error))
    } else {
        respond::error(&error)
    }
}

/// The response, and the name of the route that made it.
async fn routed<B>(app: &Arc<App>, request: RequestContext, body: B) -> (&'static str, Response)
where
    B: Body<Data = Bytes> + Send + Sync + Unpin + 'static,
    B::Error: std::error::Error + Send + Sync + 'static,
{
    match cf_image::subrequest(app, &request) {
        Some(Ok(Subrequest::Image(image))) => {
            return (Route::CF_IMAGE.0, cf_image::respond(app, &request, *image).await);
        }
        Some(Ok(Subrequest::Plain)) => return ("fetch", passthrough::respond(app, request, body).await),
        Some(Ok(Subrequest::Direct)) => {
            return ("fetch", passthrough::respond(app, passthrough::marked(request), body).await);
        }
        Some(Err(error)) => {
            request.trace.route(&request.method, Route::CF_IMAGE.0);
            return (Route::CF_IMAGE.0, respond::failure(&app.failure(error)));
        }
        None => {}
    }
    if let Some(response) = url::respond(app, &request).await {
        return (Route::URL.0, response);
    }
    // The vendor's router redirects the spelling with a backslash to the real one.
    if let Some(rest) = request.target().strip_prefix("/cdn-cgi\\image/") {
        let location = format!("{}{rest}", recipe::dialect::url::PREFIX);
        return (Route::URL.0, respond::redirect(&location));
    }
    if is_binding_call(app, &request) {
        let route = if request.path() == "/info" { "/info" } else { Route::TRANSFORM.0 };
        return (route, binding::respond(app, &request, body).await);
    }
    if let Some(edge) = &app.edge {
        return ("pass-through", edge_mode::respond(app, edge, request, body).await);
    }
    if is_binding_path(&request) && request.method == Method::POST {
        let text = "The binding is served on the Unix socket; --binding-on-tcp opens it here too.\n";
        return ("binding", respond::plain(StatusCode::NOT_FOUND, "text/plain; charset=utf-8", text.into()));
    }
    let response = original::respond(app, &request).await;
    if request.listener == ListenerKind::Unix && response.status().is_client_error() {
        // Clients of the socket read errors as those of the binding.
        let error = ApiError::BindingPathUnknown { path: request.path().to_owned() };
        return ("binding", binding::error(&error));
    }
    ("original", response)
}
