//! The parser of the multipart form: the names and the order of the parts, and the limits on what it gathers. It names
//! nothing else of the program, so that `fuzz/` includes this file.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use multer::{Field, Multipart};
use recipe::choices::{MAX_IMAGES, MAX_JSON_BYTES};

pub(crate) type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Most bytes that may arrive before a part, or a piece of one, is complete. Text parts are at most [`MAX_JSON_BYTES`] long,
/// and arrive in pieces.
const MAX_PENDING: usize = 4 << 20;
/// Pending bytes, and bytes of text, that are not counted.
pub(crate) const UNCOUNTED: usize = 4 << 10;

/// Why a form is refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FormError {
    #[error("{0}")]
    Malformed(String),
    #[error(transparent)]
    Multipart(multer::Error),
    /// The body failed after the closing delimiter.
    #[error("the request ended before all announced bytes had arrived")]
    Tail(BoxError),
}

fn malformed(problem: impl Into<String>) -> FormError {
    FormError::Malformed(problem.into())
}

/// Receives the parts as they arrive.
pub(crate) trait FormSink {
    type Error: From<FormError>;
    type Image;
    type Upload: Upload<Error = Self::Error, Image = Self::Image>;

    /// An image begins.
    fn image(&mut self) -> Result<Self::Upload, Self::Error>;

    /// `bytes` more of text are about to be kept.
    fn text(&mut self, bytes: usize) -> Result<(), Self::Error>;
}

/// Receives one image.
pub(crate) trait Upload {
    type Error;
    type Image;

    fn push(&mut self, chunk: Bytes) -> impl Future<Output = Result<(), Self::Error>> + Send;

    fn finish(self) -> impl Future<Output = Result<Self::Image, Self::Error>> + Send;
}

/// One image or text, in the order of their numbers.
#[derive(Debug)]
pub(crate) enum FormInput<I> {
    Image(I),
    /// JSON.
    Text(String),
}

/// The parts of a whole form.
#[derive(Debug)]
pub(crate) struct Parts<I> {
    /// The canvas, then overlays in the order in which they came.
    pub(crate) inputs: Vec<FormInput<I>>,
    pub(crate) transforms: Option<String>,
    pub(crate) output_format: Option<String>,
    pub(crate) output_quality: Option<String>,
    pub(crate) background: Option<String>,
    pub(crate) anim: Option<String>,
}

/// Reads a form to its end, or to its first fault. `reserve` gets the number of pending bytes that the parser holds.
pub(crate) async fn read<S, B, E>(
    sink: &mut S,
    boundary: String,
    body: B,
    reserve: impl FnMut(usize) -> Result<(), BoxError> + Send + 'static,
) -> Result<Parts<S::Image>, S::Error>
where
    S: FormSink,
    B: Stream<Item = Result<Bytes, E>> + Send + Unpin + 'static,
    E: Into<BoxError> + 'static,
{
    let pending = Pending::default();
    let body = SharedBody(Arc::new(Mutex::new(body)));
    let multipart = Multipart::new(pending.watch(body.clone(), reserve), boundary);
    let parts = parts(sink, multipart, &pending).await?;
    read_to_end(body).await?;
    Ok(parts)
}

async fn parts<S: FormSink>(
    sink: &mut S,
    mut multipart: Multipart<'_>,
    pending: &Pending,
) -> Result<Parts<S::Image>, S::Error> {
    let mut parts = Parts {
        inputs: Vec::new(),
        transforms: None,
        output_format: None,
        output_quality: None,
        background: None,
        anim: None,
    };
    let mut canvas = None;
    while let Some(field) = multipart.next_field().await.map_err(FormError::Multipart)? {
        pending.clear();
        let name = field.name().unwrap_or_default().to_owned();
        match name.as_str() {
            "image" | "text_input" if canvas.is_some() => {
                return Err(malformed("more than one canvas").into());
            }
            "image" => canvas = Some(FormInput::Image(image(sink, field, pending).await?)),
            "text_input" => canvas = Some(FormInput::Text(text(sink, field).await?)),
            "draw_image" | "draw_text" if parts.inputs.len() + 1 >= MAX_IMAGES => {
                return Err(malformed(format!("more than {MAX_IMAGES} images")).into());
            }
            "draw_image" => parts.inputs.push(FormInput::Image(image(sink, field, pending).await?)),
            "draw_text" => parts.inputs.push(FormInput::Text(text(sink, field).await?)),
            "transforms" => parts.transforms = Some(text(sink, field).await?),
            "output_format" => parts.output_format = Some(text(sink, field).await?),
            "output_quality" => parts.output_quality = Some(text(sink, field).await?),
            "background" => parts.background = Some(text(sink, field).await?),
            "anim" => parts.anim = Some(text(sink, field).await?),
            _ => return Err(malformed(format!("unknown part '{}'", printable(&name))).into()),
        }
    }
    parts.inputs.insert(0, canvas.ok_or_else(|| malformed("no input image"))?);
    Ok(parts)
}

async fn image<S: FormSink>(
    sink: &mut S,
    mut field: Field<'_>,
    pending: &Pending,
) -> Result<S::Image, S::Error> {
    let mut upload = sink.image()?;
    while let Some(chunk) = field.chunk().await.map_err(FormError::Multipart)? {
        pending.clear();
        upload.push(chunk).await?;
    }
    upload.finish().await
}

async fn text<S: FormSink>(sink: &mut S, mut field: Field<'_>) -> Result<String, S::Error> {
    let mut bytes = Vec::new();
    while let Some(chunk) = field.chunk().await.map_err(FormError::Multipart)? {
        if bytes.len() + chunk.len() > MAX_JSON_BYTES {
            return Err(malformed(format!("a part is longer than {MAX_JSON_BYTES} bytes")).into());
        }
        sink.text(chunk.len())?;
        bytes.extend_from_slice(&chunk);
    }
    String::from_utf8(bytes).map_err(|_| malformed("a part is not UTF-8").into())
}

/// Bytes that have arrived since a part, or a piece of one, was last complete. multer gathers the headers of a part, and
/// what precedes the first delimiter, without a limit.
#[derive(Debug, Clone, Default)]
struct Pending(Arc<AtomicUsize>);

impl Pending {
    fn clear(&self) {
        self.0.store(0, Ordering::Relaxed);
    }

    /// Passes the bytes on, and ends with an error above the limit.
    fn watch<S, E>(
        &self,
        bytes: S,
        mut reserve: impl FnMut(usize) -> Result<(), BoxError> + Send + 'static,
    ) -> impl Stream<Item = Result<Bytes, BoxError>> + Send + 'static
    where
        S: Stream<Item = Result<Bytes, E>> + Send + 'static,
        E: Into<BoxError> + 'static,
    {
        let pending = Arc::clone(&self.0);
        bytes.map(move |chunk| {
            let chunk = chunk.map_err(Into::into)?;
            let before = pending.fetch_add(chunk.len(), Ordering::Relaxed);
            if before > MAX_PENDING {
                return Err(TooMuchHead.into());
            }
            reserve(before + chunk.len())?;
            Ok(chunk)
        })
    }
}

/// The headers of a part, or what precedes the first, are too long.
#[derive(Debug, thiserror::Error)]
#[error("the headers of a part, or what comes before the first part, are too long")]
pub(crate) struct TooMuchHead;

/// The body: the multipart parser reads it up to the closing delimiter, [`read_to_end`] reads the rest.
struct SharedBody<B>(Arc<Mutex<B>>);

impl<B> Clone for SharedBody<B> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<B: Stream + Unpin> Stream for SharedBody<B> {
    type Item = B::Item;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut body = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Pin::new(&mut *body).poll_next(cx)
    }
}

/// Reads what follows the closing delimiter. A form that is complete while announced bytes are missing may be the beginning of
/// another one.
async fn read_to_end<B, E>(mut body: SharedBody<B>) -> Result<(), FormError>
where
    B: Stream<Item = Result<Bytes, E>> + Unpin,
    E: Into<BoxError>,
{
    let mut length = 0;
    while let Some(chunk) = body.next().await {
        length += chunk.map_err(|error| FormError::Tail(error.into()))?.len();
        if length > MAX_PENDING {
            return Err(malformed("too many bytes follow the closing delimiter"));
        }
    }
    Ok(())
}

/// At most a few visible characters of what a client sent.
fn printable(text: &str) -> String {
    text.chars().filter(char::is_ascii_graphic).take(40).collect()
}
