//! The parts of a request: images are spooled as they arrive, one counter runs over both kinds of overlays.

use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use delivery::BodyError;
use futures_util::{Stream, StreamExt};
use http_body::Body;
use http_body_util::BodyDataStream;
use multer::{Field, Multipart};
use recipe::choices::{MAX_IMAGES, MAX_JSON_BYTES};

use crate::admission::{InputData, InputLength, MemoryPermit, Spool, SpoolError};
use crate::app::App;
use crate::error::ApiError;
use crate::respond::BoxError;

/// Bytes that may come before they are a part, or a piece of one. Text parts are at most [`MAX_JSON_BYTES`] long, and are gathered
/// by pieces.
const MOST_UNSPENT: usize = 4 << 20;
/// An image above this many bytes goes to a file.
const SPILL_BYTES: usize = 8 << 20;
/// As many of them, and of text, are not worth counting.
const UNCOUNTED: usize = 64 << 10;
/// After so long a client that found no memory may try again.
const RETRY: Duration = Duration::from_secs(1);

/// One image or text, in the order of their numbers.
#[derive(Debug)]
pub(crate) enum FormInput {
    Image(InputData),
    /// JSON.
    Text(String),
}

/// A whole request.
#[derive(Debug, Default)]
pub(crate) struct Form {
    /// Canvas first, then overlays in the order in which they came.
    pub(crate) inputs: Vec<FormInput>,
    pub(crate) transforms: Option<String>,
    pub(crate) output_format: Option<String>,
    pub(crate) output_quality: Option<String>,
    pub(crate) background: Option<String>,
    pub(crate) anim: Option<String>,
    texts: Texts,
}

/// The memory of all texts of a form.
#[derive(Debug, Default)]
struct Texts {
    length: usize,
    memory: Option<MemoryPermit>,
}

impl Texts {
    fn grow(&mut self, app: &App, bytes: usize) -> Result<(), ApiError> {
        self.length += bytes;
        if self.length <= UNCOUNTED {
            return Ok(());
        }
        let busy = |_| ApiError::Busy { expected: RETRY };
        match &mut self.memory {
            Some(memory) => memory.grow_to(self.length).map_err(busy),
            None => {
                self.memory = Some(app.inputs.memory.try_take(self.length).map_err(busy)?);
                Ok(())
            }
        }
    }
}

impl Form {
    /// Reads a request to its end, or to where it turns out to be bad.
    pub(crate) async fn read<B>(app: &App, content_type: Option<&str>, body: B) -> Result<Self, ApiError>
    where
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: std::error::Error + Send + Sync + 'static,
    {
        match content_type.map(multer::parse_boundary) {
            Some(Ok(boundary)) => {
                let unspent = Unspent::default();
                let body = SharedBody(Arc::new(Mutex::new(BodyDataStream::new(body))));
                let memory = app.inputs.memory.try_take(0).map_err(|_| ApiError::Busy { expected: RETRY })?;
                let multipart = Multipart::new(unspent.watch(body.clone(), memory), boundary);
                let form = Self::parts(app, multipart, &unspent).await?;
                read_to_end(body).await?;
                Ok(form)
            }
            _ => Err(ApiError::bad_request("the request is not multipart/form-data with a boundary")),
        }
    }

    async fn parts(app: &App, mut multipart: Multipart<'_>, unspent: &Unspent) -> Result<Self, ApiError> {
        let mut form = Self::default();
        let mut canvas = None;
        while let Some(field) = multipart.next_field().await.map_err(|e| broken(&e))? {
            unspent.spent();
            let name = field.name().unwrap_or_default().to_owned();
            match name.as_str() {
                "image" | "text_input" if canvas.is_some() => {
                    return Err(ApiError::bad_request("more than one canvas"));
                }
                "image" => canvas = Some(FormInput::Image(image(app, field, unspent).await?)),
                "text_input" => canvas = Some(FormInput::Text(text(app, &mut form.texts, field).await?)),
                "draw_image" | "draw_text" if form.inputs.len() + 1 >= MAX_IMAGES => {
                    return Err(ApiError::bad_request(format!("more than {MAX_IMAGES} images")));
                }
                "draw_image" => form.inputs.push(FormInput::Image(image(app, field, unspent).await?)),
                "draw_text" => form.inputs.push(FormInput::Text(text(app, &mut form.texts, field).await?)),
                "transforms" => form.transforms = Some(text(app, &mut form.texts, field).await?),
                "output_format" => form.output_format = Some(text(app, &mut form.texts, field).await?),
                "output_quality" => form.output_quality = Some(text(app, &mut form.texts, field).await?),
                "background" => form.background = Some(text(app, &mut form.texts, field).await?),
                "anim" => form.anim = Some(text(app, &mut form.texts, field).await?),
                _ => return Err(ApiError::bad_request(format!("unknown part '{}'", printable(&name)))),
            }
        }
        let canvas = canvas.ok_or_else(|| ApiError::bad_request("no input image"))?;
        form.inputs.insert(0, canvas);
        Ok(form)
    }
}

/// Bytes of a request that have come since a part, or a piece of one, was last complete. Headers of parts and what stands
/// before the first delimiter are gathered whole by the parser, which sets no bound to them.
#[derive(Debug, Clone, Default)]
struct Unspent(Arc<AtomicUsize>);

impl Unspent {
    fn spent(&self) {
        self.0.store(0, Ordering::Relaxed);
    }

    /// Passes a request's bytes on, and breaks off where too many of them lead to nothing.
    fn watch<S, E>(
        &self,
        bytes: S,
        mut memory: MemoryPermit,
    ) -> impl Stream<Item = Result<Bytes, BoxError>> + Send + 'static
    where
        S: Stream<Item = Result<Bytes, E>> + Send + 'static,
        E: Into<BoxError> + 'static,
    {
        let unspent = Arc::clone(&self.0);
        bytes.map(move |chunk| {
            let chunk = chunk.map_err(Into::into)?;
            let before = unspent.fetch_add(chunk.len(), Ordering::Relaxed);
            if before > MOST_UNSPENT {
                return Err(TooMuchHead.into());
            }
            match before + chunk.len() {
                0..=UNCOUNTED => memory.shrink_to(0),
                gathered => memory.grow_to(gathered).map_err(|_| NoMemory)?,
            }
            Ok(chunk)
        })
    }
}

/// The head of a part, or what comes before the first, is too long.
#[derive(Debug, thiserror::Error)]
#[error("the headers of a part, or what comes before the first part, are too long")]
struct TooMuchHead;

/// There is no memory for the head of a part.
#[derive(Debug, thiserror::Error)]
#[error("no memory is free for the headers of a part")]
struct NoMemory;

/// The body of a request: the multipart parser reads it up to the closing delimiter, [`read_to_end`] reads the rest.
struct SharedBody<B>(Arc<Mutex<BodyDataStream<B>>>);

impl<B> Clone for SharedBody<B> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<B: Body<Data = Bytes> + Unpin> Stream for SharedBody<B> {
    type Item = Result<Bytes, B::Error>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut body = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Pin::new(&mut *body).poll_next(cx)
    }
}

/// Reads what follows the closing delimiter. A form that is complete while announced bytes are missing may be the beginning of
/// another one.
async fn read_to_end<B>(mut body: SharedBody<B>) -> Result<(), ApiError>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: std::error::Error + Send + Sync + 'static,
{
    let mut length = 0;
    while let Some(chunk) = body.next().await {
        let chunk = chunk.map_err(|e| {
            let error: BoxError = e.into();
            if is_stalled(&error) {
                return ApiError::BindingTimeout;
            }
            ApiError::bad_request("the request ended before all announced bytes had arrived")
        })?;
        length += chunk.len();
        if length > MOST_UNSPENT {
            return Err(ApiError::bad_request("too many bytes follow the closing delimiter"));
        }
    }
    Ok(())
}

fn is_stalled(error: &BoxError) -> bool {
    error.downcast_ref().is_some_and(|e| matches!(e, BodyError::Stalled))
}

/// At most a few visible characters of what a client sent.
fn printable(text: &str) -> String {
    text.chars().filter(char::is_ascii_graphic).take(40).collect()
}

/// A body that ends before its closing delimiter is what the runtime sends when a Worker's stream fails.
fn broken(error: &multer::Error) -> ApiError {
    match error {
        multer::Error::IncompleteStream
        | multer::Error::IncompleteFieldData { .. }
        | multer::Error::IncompleteHeaders => {
            ApiError::bad_request("the request ended before its closing delimiter")
        }
        multer::Error::StreamReadFailed(why) if is_stalled(why) => ApiError::BindingTimeout,
        multer::Error::StreamReadFailed(why) if why.is::<NoMemory>() => ApiError::Busy { expected: RETRY },
        multer::Error::StreamReadFailed(why) if why.is::<TooMuchHead>() => ApiError::bad_request(why),
        other => ApiError::bad_request(other),
    }
}

async fn image(app: &App, mut field: Field<'_>, unspent: &Unspent) -> Result<InputData, ApiError> {
    let length = InputLength { limit: app.config.max_input.0, in_memory: SPILL_BYTES, announced: None };
    let mut spool = Spool::new(&app.inputs, length).map_err(unkept)?;
    while let Some(chunk) = field.chunk().await.map_err(|e| broken(&e))? {
        unspent.spent();
        spool.push(&chunk).await.map_err(unkept)?;
    }
    spool.finish().await.map_err(unkept)
}

/// Why an image of a form cannot be kept.
fn unkept(error: SpoolError) -> ApiError {
    match error {
        SpoolError::TooLarge { limit } => ApiError::InputTooLarge { limit },
        SpoolError::Full => ApiError::Busy { expected: RETRY },
        SpoolError::Disk(kind) => ApiError::SpoolWrite { kind },
    }
}

async fn text(app: &App, texts: &mut Texts, mut field: Field<'_>) -> Result<String, ApiError> {
    let mut bytes = Vec::new();
    while let Some(chunk) = field.chunk().await.map_err(|e| broken(&e))? {
        if bytes.len() + chunk.len() > MAX_JSON_BYTES {
            return Err(ApiError::bad_request(format!("a part is longer than {MAX_JSON_BYTES} bytes")));
        }
        texts.grow(app, chunk.len())?;
        bytes.extend_from_slice(&chunk);
    }
    String::from_utf8(bytes).map_err(|_| ApiError::bad_request("a part is not UTF-8"))
}
