//! `cf.image` subrequests: a Workers runtime proxies a fetch with `request.cf` in a header, and the answer is the
//! fetched image, transformed. Off unless configured, since only a runtime may set that header.

use std::time::Instant;

use http::request::Parts;
use http::{HeaderName, Method};
use recipe::dialect::ParseMode;
use recipe::dialect::cf_image::{self, CfImage};

use crate::app::App;
use crate::door::Entrance;
use crate::error::Fault;
use crate::hints::Hints;
use crate::outbound;
use crate::pool::Given;
use crate::respond::{self, Answer, Inherited};
use crate::source::{Asker, shared_headers};
use crate::trace::Trace;
use crate::url_door::wrong_method;

/// What a runtime's subrequest is to get.
pub(crate) enum Wanted {
    /// The image behind its URL, transformed.
    Image(Box<CfImage>),
    /// Whatever is behind its URL.
    Plain,
    /// The same, for a request that a transformation made already.
    Direct,
}

/// Looks whether a request is a runtime's subrequest; `None` if it is for one of the other doors.
pub(crate) fn wanted(app: &App, entrance: Entrance, head: &Parts) -> Option<Result<Wanted, Fault>> {
    let name: HeaderName = app.config.cf_blob_header.as_ref()?.parse().ok()?;
    match head.headers.get(&name) {
        Some(blob) => Some(read(app, blob.as_bytes(), head)),
        // Without `cf` there is no header. On TCP that would make a proxy for everybody.
        None if entrance == Entrance::Unix && !outbound::is_ours(head) => Some(Ok(Wanted::Plain)),
        None => None,
    }
}

fn read(app: &App, blob: &[u8], head: &Parts) -> Result<Wanted, Fault> {
    let mode = ParseMode::new(app.config.strict);
    let Some(image) = cf_image::parse(blob, &Hints::new(&head.headers).client(), mode)? else {
        return Ok(Wanted::Plain);
    };
    match Asker::new(&head.headers, &Trace::default()).turns() {
        0 => Ok(Wanted::Image(Box::new(image))),
        // A Worker that is asked by a transformation has to go to the origin directly, and is sent there: so does the
        // outbound Worker of Miniflare, which leaves `cf` in place. Coming back once more it is a loop.
        1 => Ok(Wanted::Direct),
        _ => Err(Fault::new(9403, 508, "the request comes from an image transformation already")),
    }
}

/// Fetches and transforms.
pub(crate) async fn answer(app: &App, head: &Parts, wanted: CfImage, trace: &Trace) -> Answer {
    trace.route(&head.method, "cf.image");
    if head.method != Method::GET && head.method != Method::HEAD {
        return wrong_method();
    }
    transform(app, head, wanted, trace).await.unwrap_or_else(|f| respond::fault(&f))
}

async fn transform(app: &App, head: &Parts, wanted: CfImage, trace: &Trace) -> Result<Answer, Fault> {
    let url = outbound::target(&app.config, head)?;
    let source = recipe::dialect::url::parse_source(&url).map_err(recipe::OptionError::Source)?;
    let headers = &head.headers;
    let mut asker = Asker::new(headers, trace);
    // The host of the request is that of the source here, not of a zone of ours.
    asker.host = None;
    if wanted.origin_auth {
        asker.headers = shared_headers(headers);
    }
    let began = Instant::now();
    let source = app.fetcher.source(&source, &asker).await?;
    // Overlays are other people's images: credentials are for the source alone.
    asker.headers.clear();
    let inherited = Inherited {
        etag: respond::etag(source.etag.as_deref(), &wanted.recipe.to_string()),
        lifetime: source.lifetime,
        last_modified: source.last_modified,
        vary: wanted.varies_on.join(", "),
        fetched: began.elapsed(),
    };
    if respond::none_match(headers, inherited.etag.as_deref()) {
        return Ok(respond::not_modified(&inherited));
    }
    let product = app.produce(wanted.recipe, &[Given::Bytes(source.bytes)], &asker).await?;
    let mut answer = respond::success(product, wanted.warnings, &inherited);
    respond::add_digest(headers, &mut answer);
    Ok(answer)
}
