//! Metrics, health and purges, for the operator.

use std::sync::Arc;

use bytes::Bytes;
use http::{Request, StatusCode};
use tokio::runtime::Handle;

use crate::app::App;
use crate::metrics;
use crate::purge::{self, AdminToken};
use crate::respond::{self, Response};

/// The description of these routes.
const OPENAPI: &str = include_str!("../../../../docs/openapi.json");

/// `main` is the runtime that serves requests; this function runs on another.
pub(crate) async fn respond<B>(
    app: Arc<App>,
    stats: &delivery::Stats,
    main: &Handle,
    token: Option<Arc<AdminToken>>,
    request: Request<B>,
) -> Response
where
    B: http_body::Body<Data = Bytes> + Send + Unpin + 'static,
{
    // RFC 9112, 6.1
    if edge::has_unknown_transfer_coding(request.headers()) {
        let text = "The request has a transfer coding other than chunked.\n";
        return respond::plain(StatusCode::NOT_IMPLEMENTED, "text/plain; charset=utf-8", text.into());
    }
    match request.uri().path() {
        "/livez" | "/healthz" => {
            let (status, text) = match app.health.alive(main).await {
                Ok(()) => (StatusCode::OK, "ok\n".into()),
                Err(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n").into()),
            };
            respond::plain(status, "text/plain; charset=utf-8", text)
        }
        "/readyz" => {
            let readiness = app.health.readiness(&app.pool);
            let status = if readiness.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
            let json = serde_json::to_vec(&readiness).unwrap_or_default();
            respond::plain(status, "application/json", json.into())
        }
        "/metrics" => {
            let text = metrics::text(&app, stats);
            respond::plain(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", text.into())
        }
        "/openapi.json" => respond::plain(StatusCode::OK, "application/json", OPENAPI.into()),
        path if purge::is_purge(path) => {
            // Files and buckets are not the work of this thread.
            let purged = async move { purge::answer(&app.cache, token.as_deref(), request).await };
            match main.spawn(purged).await {
                Ok(response) => response,
                Err(error) => match error.try_into_panic() {
                    // Counted and answered like the panic of any handler.
                    Ok(panic) => std::panic::resume_unwind(panic),
                    Err(_) => respond::plain(
                        StatusCode::SERVICE_UNAVAILABLE,
                        "text/plain; charset=utf-8",
                        "the service has stopped\n".into(),
                    ),
                },
            }
        }
        _ => {
            let text =
                Bytes::from_static(b"Not found. /metrics, /livez, /readyz and /openapi.json are here.\n");
            respond::plain(StatusCode::NOT_FOUND, "text/plain; charset=utf-8", text)
        }
    }
}
