//! Figures and health, for the operator.

use bytes::Bytes;
use http::StatusCode;

use crate::app::App;
use crate::metrics;
use crate::respond::{self, Response};

pub(crate) fn respond(app: &App, stats: &delivery::Stats, path: &str) -> Response {
    match path {
        "/healthz" => respond::plain(StatusCode::OK, "text/plain; charset=utf-8", "ok\n".into()),
        "/metrics" => {
            let text = metrics::text(app, stats);
            respond::plain(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", text.into())
        }
        _ => {
            let text = Bytes::from_static(b"Not found. /metrics and /healthz are here.\n");
            respond::plain(StatusCode::NOT_FOUND, "text/plain; charset=utf-8", text)
        }
    }
}
