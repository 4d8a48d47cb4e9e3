//! Which door a request is for.

use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body::Body;

use crate::app::App;
use crate::respond::{self, Answer};
use crate::trace::Trace;
use crate::{binding, cf_image_door, url_door};

/// The kind of socket that a request came in by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Entrance {
    Tcp,
    Unix,
}

/// Answers one request.
pub(crate) async fn answer<B>(app: Arc<App>, entrance: Entrance, request: Request<B>, trace: &Trace) -> Answer
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: std::error::Error + Send + Sync + 'static,
{
    let method = request.method().clone();
    let headers = request.headers().clone();
    let uri = request.uri().clone();
    if let Some(answer) = cf_image_door::answer(&app, &method, &uri, &headers, trace).await {
        return answer;
    }
    let target = uri.path_and_query().map_or("/", |t| t.as_str()).to_owned();
    if let Some(answer) = url_door::answer(&app, &method, &target, &headers, trace).await {
        return answer;
    }
    // The vendor's router sends the spelling with a backslash to the real one; it is no second name for it.
    if let Some(rest) = target.strip_prefix("/cdn-cgi\\image/") {
        return respond::redirect(&format!("{}{rest}", recipe::dialect::url::PREFIX));
    }
    let with_binding = entrance == Entrance::Unix || app.config.binding_on_tcp;
    if with_binding && matches!(uri.path(), "/info" | "/transform") {
        return binding::answer(app, request, trace).await;
    }
    if method == Method::POST && matches!(uri.path(), "/info" | "/transform") {
        let text = "The binding is served on the Unix socket; --binding-on-tcp opens it here too.\n";
        return respond::plain(StatusCode::NOT_FOUND, "text/plain; charset=utf-8", text.into());
    }
    url_door::plain_file(&app, &method, &target).await
}
