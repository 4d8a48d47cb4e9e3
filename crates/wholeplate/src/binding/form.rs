//! The form of a request: its images are spooled as they arrive, its memory is reserved.

use std::time::Duration;

use bytes::Bytes;
use delivery::BodyError;
use http_body::Body;
use http_body_util::BodyDataStream;

use super::multipart::{self, BoxError, FormError, FormSink, Parts, TooMuchHead, UNCOUNTED, Upload};
use crate::admission::{InputData, InputLength, MemoryPermit, Spool, SpoolError};
use crate::app::App;
use crate::error::ApiError;

/// An image above this many bytes goes to a file.
const SPILL_BYTES: usize = 8 << 20;
/// After so long a client that found no memory may try again.
const RETRY: Duration = Duration::from_secs(1);

/// A whole form, and the memory of its texts.
#[derive(Debug)]
pub(crate) struct Form {
    pub(crate) parts: Parts<InputData>,
    _texts: Option<MemoryPermit>,
}

impl Form {
    /// Reads a request to its end, or to its first fault.
    pub(crate) async fn read<B>(app: &App, content_type: Option<&str>, body: B) -> Result<Self, ApiError>
    where
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: std::error::Error + Send + Sync + 'static,
    {
        let Some(Ok(boundary)) = content_type.map(multer::parse_boundary) else {
            return Err(ApiError::bad_request("the request is not multipart/form-data with a boundary"));
        };
        let mut memory = app.inputs.memory.try_take(0).map_err(busy)?;
        let reserve = move |pending: usize| {
            if pending <= UNCOUNTED {
                memory.shrink_to(0);
                return Ok(());
            }
            memory.grow_to(pending).map_err(|_| NoMemory.into())
        };
        let mut sink = Sink { app, text_bytes: 0, texts: None };
        let parts = multipart::read(&mut sink, boundary, BodyDataStream::new(body), reserve).await?;
        Ok(Self { parts, _texts: sink.texts })
    }
}

fn busy<E>(_: E) -> ApiError {
    ApiError::Busy { expected: RETRY }
}

/// Spools images, and reserves the memory of texts.
struct Sink<'a> {
    app: &'a App,
    text_bytes: usize,
    texts: Option<MemoryPermit>,
}

impl FormSink for Sink<'_> {
    type Error = ApiError;
    type Image = InputData;
    type Upload = Image;

    fn image(&mut self) -> Result<Image, ApiError> {
        let limit = self.app.config.max_input.0;
        let length = InputLength { limit, in_memory: SPILL_BYTES, announced: None };
        Spool::new(&self.app.inputs, length).map(Image).map_err(unkept)
    }

    fn text(&mut self, bytes: usize) -> Result<(), ApiError> {
        self.text_bytes += bytes;
        if self.text_bytes <= UNCOUNTED {
            return Ok(());
        }
        match &mut self.texts {
            Some(memory) => memory.grow_to(self.text_bytes).map_err(busy),
            None => {
                self.texts = Some(self.app.inputs.memory.try_take(self.text_bytes).map_err(busy)?);
                Ok(())
            }
        }
    }
}

/// An image while it arrives.
struct Image(Spool);

impl Upload for Image {
    type Error = ApiError;
    type Image = InputData;

    async fn push(&mut self, chunk: Bytes) -> Result<(), ApiError> {
        self.0.push(&chunk).await.map_err(unkept)
    }

    async fn finish(self) -> Result<InputData, ApiError> {
        self.0.finish().await.map_err(unkept)
    }
}

/// Why an image of a form cannot be kept.
fn unkept(error: SpoolError) -> ApiError {
    match error {
        SpoolError::TooLarge { limit } => ApiError::InputTooLarge { limit },
        SpoolError::Full => ApiError::Busy { expected: RETRY },
        SpoolError::Disk(kind) => ApiError::SpoolWrite { kind },
    }
}

/// There is no memory for the headers of a part.
#[derive(Debug, thiserror::Error)]
#[error("no memory is free for the headers of a part")]
struct NoMemory;

fn is_stalled(error: &BoxError) -> bool {
    error.downcast_ref().is_some_and(|e| matches!(e, BodyError::Stalled))
}

impl From<FormError> for ApiError {
    fn from(error: FormError) -> Self {
        match error {
            FormError::Tail(why) if is_stalled(&why) => Self::BindingTimeout,
            FormError::Multipart(error) => broken(&error),
            other => Self::bad_request(other),
        }
    }
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
        multer::Error::StreamReadFailed(why) if why.is::<NoMemory>() => busy(why),
        multer::Error::StreamReadFailed(why) if why.is::<TooMuchHead>() => ApiError::bad_request(why),
        other => ApiError::bad_request(other),
    }
}
