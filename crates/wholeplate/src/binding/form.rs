//! The parts of a request: images are spooled as they arrive, one counter runs over both kinds of overlays.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_util::Stream;
use http_body::Body;
use multer::{Field, Multipart};
use recipe::choices::{MAX_IMAGES, MAX_JSON_BYTES};

use super::spool::{Spool, Spooled};
use crate::app::App;
use crate::error::Fault;

/// What is read of a request after its fate is sealed, so that the client gets to read the answer.
const DRAIN_BYTES: u64 = 512 << 20;
/// How long the client may pause.
const PATIENCE: Duration = Duration::from_secs(30);

/// One image or text, in the order of their numbers.
#[derive(Debug)]
pub(super) enum FormInput {
    Image(Spooled),
    /// JSON.
    Text(String),
}

/// A whole request.
#[derive(Debug, Default)]
pub(super) struct Form {
    /// Canvas first, then overlays in the order in which they came.
    pub(super) inputs: Vec<FormInput>,
    pub(super) transforms: Option<String>,
    pub(super) output_format: Option<String>,
    pub(super) output_quality: Option<String>,
    pub(super) background: Option<String>,
    pub(super) anim: Option<String>,
}

impl Form {
    /// Reads a request to its end, also when it turns out to be bad.
    pub(super) async fn read<B>(app: &App, content_type: Option<&str>, body: B) -> Result<Self, Fault>
    where
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: std::error::Error + Send + Sync + 'static,
    {
        let shared = Chunks(Arc::new(Mutex::new(body)));
        let read = match content_type.map(multer::parse_boundary) {
            Some(Ok(boundary)) => {
                let multipart = Multipart::new(shared.clone(), boundary);
                Self::parts(app, multipart).await
            }
            _ => Err(Fault::bad_request("the request is not multipart/form-data with a boundary")),
        };
        shared.drain().await;
        read
    }

    async fn parts(app: &App, mut multipart: Multipart<'_>) -> Result<Self, Fault> {
        let mut form = Self::default();
        let mut canvas = None;
        while let Some(field) = next(&mut multipart).await? {
            let name = field.name().unwrap_or_default().to_owned();
            match name.as_str() {
                "image" | "text_input" if canvas.is_some() => {
                    return Err(Fault::bad_request("more than one canvas"));
                }
                "image" => canvas = Some(FormInput::Image(image(app, field).await?)),
                "text_input" => canvas = Some(FormInput::Text(text(field).await?)),
                "draw_image" | "draw_text" if form.inputs.len() + 1 >= MAX_IMAGES => {
                    return Err(Fault::bad_request(format!("more than {MAX_IMAGES} images")));
                }
                "draw_image" => form.inputs.push(FormInput::Image(image(app, field).await?)),
                "draw_text" => form.inputs.push(FormInput::Text(text(field).await?)),
                "transforms" => form.transforms = Some(text(field).await?),
                "output_format" => form.output_format = Some(text(field).await?),
                "output_quality" => form.output_quality = Some(text(field).await?),
                "background" => form.background = Some(text(field).await?),
                "anim" => form.anim = Some(text(field).await?),
                _ => return Err(Fault::bad_request(format!("unknown part '{}'", printable(&name)))),
            }
        }
        let canvas = canvas.ok_or_else(|| Fault::bad_request("no input image"))?;
        form.inputs.insert(0, canvas);
        Ok(form)
    }
}

/// At most a few visible characters of what a client sent.
fn printable(text: &str) -> String {
    text.chars().filter(char::is_ascii_graphic).take(40).collect()
}

async fn next<'a>(multipart: &mut Multipart<'a>) -> Result<Option<Field<'a>>, Fault> {
    match tokio::time::timeout(PATIENCE, multipart.next_field()).await {
        Ok(field) => field.map_err(|e| broken(&e)),
        Err(_) => Err(late()),
    }
}

async fn chunk(field: &mut Field<'_>) -> Result<Option<Bytes>, Fault> {
    match tokio::time::timeout(PATIENCE, field.chunk()).await {
        Ok(chunk) => chunk.map_err(|e| broken(&e)),
        Err(_) => Err(late()),
    }
}

fn late() -> Fault {
    Fault::new(9432, 408, "Bad request: the request did not arrive in time")
}

/// A body that ends before its closing delimiter is what the runtime sends when a Worker's stream fails.
fn broken(error: &multer::Error) -> Fault {
    match error {
        multer::Error::IncompleteStream
        | multer::Error::IncompleteFieldData { .. }
        | multer::Error::IncompleteHeaders => {
            Fault::bad_request("the request ended before its closing delimiter")
        }
        other => Fault::bad_request(other),
    }
}

async fn image(app: &App, mut field: Field<'_>) -> Result<Spooled, Fault> {
    let mut spool = Spool::new(&app.inputs, app.config.max_input)?;
    while let Some(chunk) = chunk(&mut field).await? {
        spool.push(chunk).await?;
    }
    spool.finish()
}

async fn text(mut field: Field<'_>) -> Result<String, Fault> {
    let mut bytes = Vec::new();
    while let Some(chunk) = chunk(&mut field).await? {
        if bytes.len() + chunk.len() > MAX_JSON_BYTES {
            return Err(Fault::bad_request(format!("a part is longer than {MAX_JSON_BYTES} bytes")));
        }
        bytes.extend_from_slice(&chunk);
    }
    String::from_utf8(bytes).map_err(|_| Fault::bad_request("a part is not UTF-8"))
}

/// The data of a body, shared so that what the parser leaves can be read after it.
struct Chunks<B>(Arc<Mutex<B>>);

impl<B> Clone for Chunks<B> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<B> Stream for Chunks<B>
where
    B: Body<Data = Bytes> + Unpin,
{
    type Item = Result<Bytes, B::Error>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut body = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let frame = match ready!(Pin::new(&mut *body).poll_frame(cx)) {
                None => return Poll::Ready(None),
                Some(Err(e)) => return Poll::Ready(Some(Err(e))),
                Some(Ok(frame)) => frame,
            };
            if let Ok(data) = frame.into_data() {
                return Poll::Ready(Some(Ok(data)));
            }
        }
    }
}

impl<B: Body<Data = Bytes> + Unpin> Chunks<B> {
    /// Reads and forgets the rest, within bounds.
    async fn drain(mut self) {
        use futures_util::StreamExt;
        let mut left = DRAIN_BYTES;
        while let Ok(Some(Ok(data))) = tokio::time::timeout(PATIENCE, self.next()).await {
            left = left.saturating_sub(data.len() as u64);
            if left == 0 {
                return;
            }
        }
    }
}
