//! Why an image cannot be made.

use thiserror::Error;

/// What stops a plan or a render.
#[derive(Debug, Clone, PartialEq, Error)]
#[non_exhaustive]
pub enum Error {
    #[error(transparent)]
    Codec(codecs::Error),
    /// The request's memory, time or client is gone.
    #[error(transparent)]
    Work(#[from] work::Error),
    /// Source, output or sum of frames above a limit.
    #[error("{0}")]
    TooLarge(String),
    /// Trimming or scaling leaves nothing.
    #[error("the transformation leaves an image with a width or height of size 0")]
    Empty,
    /// The enlargement is beyond the limit.
    #[error("The image enlarged too much: {width}×{height}, but maximum dimension allowed is {limit}")]
    Enlarged { width: u64, height: u64, limit: u32 },
    /// SVG to raster or back, or an output that this input cannot become.
    #[error("{0}")]
    Unsupported(String),
    /// An option whose meaning needs something that is not there.
    #[error("{0}")]
    Option(String),
    /// A font that cannot be read.
    #[error("{0}")]
    Font(String),
    /// A model gave nothing that can be used.
    #[error("the model of {option} failed: {reason}")]
    Model { option: &'static str, reason: String },
    /// A step names an image that the recipe does not have, or whose bytes were not supplied.
    #[error("image {0} is not there")]
    NoSuchImage(usize),
    /// A fault of ours.
    #[error("internal error: {0}")]
    Internal(String),
}

impl From<codecs::Error> for Error {
    fn from(error: codecs::Error) -> Self {
        match error {
            codecs::Error::Work(limit) => Self::Work(limit),
            other => Self::Codec(other),
        }
    }
}
