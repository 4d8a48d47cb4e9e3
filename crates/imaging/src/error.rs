//! Errors of plans and renders. The program's error table gives each its number.

use thiserror::Error;

/// An error of a plan or a render.
#[derive(Debug, Clone, PartialEq, Error)]
#[non_exhaustive]
pub enum Error {
    #[error(transparent)]
    Codec(codecs::Error),
    /// The memory budget or the deadline is exceeded, or the request was cancelled.
    #[error(transparent)]
    Work(#[from] work::Error),
    /// Source, output or sum of frames above a limit.
    #[error("{0}")]
    TooLarge(String),
    /// Trimming or scaling leaves no pixels.
    #[error("the transformation leaves an image with a width or height of size 0")]
    Empty,
    /// The enlargement is above the limit.
    #[error("The image enlarged too much: {width}×{height}, but maximum dimension allowed is {limit}")]
    Enlarged { width: u64, height: u64, limit: u32 },
    /// SVG to raster or back, or an output format that this input cannot be converted to.
    #[error("{0}")]
    Unsupported(String),
    /// An option that is not available or not allowed.
    #[error("{0}")]
    Option(String),
    /// A font that cannot be read.
    #[error("{0}")]
    Font(String),
    /// A model failed, or returned a result of the wrong size.
    #[error("the model of {option} failed: {reason}")]
    Model { option: &'static str, reason: String },
    /// A step names an image that the recipe does not have, or whose bytes were not supplied.
    #[error("image {0} is missing")]
    NoSuchImage(usize),
    /// A fault of the service.
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
