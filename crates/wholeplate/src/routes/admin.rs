//! Metrics, health and purges, for the operator.

use bytes::Bytes;
use http::{Request, StatusCode};

use crate::app::App;
use crate::metrics;
use crate::purge::{self, AdminToken};
use crate::respond::{self, Response};

/// The description of these routes.
const OPENAPI: &str = include_str!("../../../../docs/openapi.json");

pub(crate) async fn respond<B>(
    app: &App,
    stats: &delivery::Stats,
    token: Option<&AdminToken>,
    request: Request<B>,
) -> Response
where
    B: http_body::Body<Data = Bytes> + Send + Unpin,
{
    match request.uri().path() {
        "/livez" | "/healthz" => respond::plain(StatusCode::OK, "text/plain; charset=utf-8", "ok\n".into()),
        "/readyz" => {
            let readiness = app.health.readiness(&app.pool);
            let status = if readiness.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
            let json = serde_json::to_vec(&readiness).unwrap_or_default();
            respond::plain(status, "application/json", json.into())
        }
        "/metrics" => {
            let text = metrics::text(app, stats);
            respond::plain(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", text.into())
        }
        "/openapi.json" => respond::plain(StatusCode::OK, "application/json", OPENAPI.into()),
        path if purge::is_purge(path) => purge::answer(&app.cache, token, request).await,
        _ => {
            let text =
                Bytes::from_static(b"Not found. /metrics, /livez, /readyz and /openapi.json are here.\n");
            respond::plain(StatusCode::NOT_FOUND, "text/plain; charset=utf-8", text)
        }
    }
}
