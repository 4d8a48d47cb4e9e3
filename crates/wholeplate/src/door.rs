//! Which door a request is for.

use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body::Body;

use crate::app::App;
use crate::cf_image_door::{self, Wanted};
use crate::error::Fault;
use crate::respond::{self, Answer};
use crate::trace::Trace;
use crate::{binding, outbound, url_door};

/// The kind of socket that a request came in by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Entrance {
    Tcp,
    Unix,
}

/// Answers one request.
pub(crate) async fn answer<B>(app: Arc<App>, entrance: Entrance, request: Request<B>, trace: &Trace) -> Answer
where
    B: Body<Data = Bytes> + Send + Sync + Unpin + 'static,
    B::Error: std::error::Error + Send + Sync + 'static,
{
    let (mut head, body) = request.into_parts();
    match cf_image_door::wanted(&app, entrance, &head) {
        Some(Ok(Wanted::Image(wanted))) => return cf_image_door::answer(&app, &head, *wanted, trace).await,
        Some(Ok(Wanted::Plain)) => return outbound::answer(&app, head, body, trace).await,
        Some(Ok(Wanted::Direct)) => {
            outbound::mark(&mut head.headers);
            return outbound::answer(&app, head, body, trace).await;
        }
        Some(Err(fault)) => {
            trace.route(&head.method, "cf.image");
            return respond::fault(&fault);
        }
        None => {}
    }
    let (method, path) = (&head.method, head.uri.path());
    let target = head.uri.path_and_query().map_or("/", |t| t.as_str());
    if let Some(answer) = url_door::answer(&app, method, target, &head.headers, trace).await {
        return answer;
    }
    // The vendor's router sends the spelling with a backslash to the real one; it is no second name for it.
    if let Some(rest) = target.strip_prefix("/cdn-cgi\\image/") {
        return respond::redirect(&format!("{}{rest}", recipe::dialect::url::PREFIX));
    }
    let call = matches!(path, "/info" | "/transform");
    if call && (entrance == Entrance::Unix || app.config.binding_on_tcp) {
        return binding::answer(&app, &head, body, trace).await;
    }
    if call && method == Method::POST {
        let text = "The binding is served on the Unix socket; --binding-on-tcp opens it here too.\n";
        return respond::plain(StatusCode::NOT_FOUND, "text/plain; charset=utf-8", text.into());
    }
    let answer = url_door::plain_file(&app, method, target).await;
    if entrance == Entrance::Unix && answer.status().is_client_error() {
        // Whoever speaks here reads errors as those of the binding.
        let text = format!("Bad request: {path} is neither a call of the binding nor a file");
        return binding::fault(&Fault::new(9432, 404, text));
    }
    answer
}
