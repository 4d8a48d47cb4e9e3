//! Subrequests of a Workers runtime that has this program for its way out: where they go, and those that are passed
//! on as they are.

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use http_body::Body;

use crate::app::App;
use crate::config::Config;
use crate::error::Fault;
use crate::respond::{self, Answer, AnswerBody, BoxError, joined};
use crate::source::{Asker, VIA};
use crate::trace::Trace;

/// The host that the binding's wrapper names in its requests.
const BINDING_HOST: &str = "js.images.cloudflare.com";

/// The host that a request is for, with its port.
fn host(head: &Parts) -> Option<&str> {
    let named = || head.headers.get(header::HOST).and_then(|v| v.to_str().ok());
    head.uri.authority().map(http::uri::Authority::as_str).or_else(named)
}

/// Whether a request is for this program and not for somebody behind it.
pub(crate) fn is_ours(head: &Parts) -> bool {
    let binding = host(head).is_some_and(|host| {
        let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
        name.eq_ignore_ascii_case(BINDING_HOST)
    });
    binding || head.uri.path().starts_with(recipe::dialect::url::PREFIX)
}

/// The URL that the Worker fetched: the absolute request target, or the one that `Host`, path and the header of the
/// scheme make.
pub(crate) fn target(config: &Config, head: &Parts) -> Result<String, Fault> {
    let invalid = |why: &str| Fault::new(9406, 403, format!("the source URL is invalid: {why}"));
    if head.uri.scheme().is_some() {
        return Ok(head.uri.to_string());
    }
    let scheme = match head.headers.get(&config.forwarded_proto_header) {
        None => "http",
        Some(named) if named.as_bytes().eq_ignore_ascii_case(b"https") => "https",
        Some(named) if named.as_bytes().eq_ignore_ascii_case(b"http") => "http",
        Some(_) => {
            let name = &config.forwarded_proto_header;
            return Err(invalid(&format!("{name} is neither http nor https")));
        }
    };
    let host = host(head).ok_or_else(|| invalid("there is no Host"))?;
    Ok(format!("{scheme}://{host}{}", head.uri.path_and_query().map_or("/", |p| p.as_str())))
}

/// Adds to `Via` that the request came through here, so that one that comes back once more is found out.
pub(crate) fn mark(headers: &mut HeaderMap) {
    let via = joined(headers, header::VIA).map_or_else(|| VIA.to_owned(), |old| format!("{old}, {VIA}"));
    if let Ok(via) = HeaderValue::from_str(&via) {
        headers.insert(header::VIA, via);
    }
}

/// A plain fetch: the request goes to its origin and the origin's answer comes back, nothing added.
pub(crate) async fn answer<B>(app: &App, head: Parts, body: B, trace: &Trace) -> Answer
where
    B: Body<Data = Bytes> + Send + Sync + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    trace.route(&head.method, "fetch");
    fetch(app, head, body, trace).await.unwrap_or_else(|f| respond::fault(&f))
}

async fn fetch<B>(app: &App, mut head: Parts, body: B, trace: &Trace) -> Result<Answer, Fault>
where
    B: Body<Data = Bytes> + Send + Sync + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    if head.method == Method::CONNECT {
        return Err(Fault::new(9424, 501, "tunnels are not passed on"));
    }
    let url = target(&app.config, &head)?;
    let asker = Asker::new(&head.headers, trace);
    let ours = [app.config.cf_blob_header.as_deref(), Some(&app.config.forwarded_proto_header)];
    for name in ours.into_iter().flatten().filter_map(|name| name.parse::<HeaderName>().ok()) {
        head.headers.remove(name);
    }
    let answer = app.fetcher.forward(&url, head, body, &asker).await?;
    Ok(answer.map(AnswerBody::stream))
}
