//! Errors of codecs.

use crate::Format;

/// An error of a codec.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The bytes are not an image of a known format.
    #[error("the file is not an image")]
    NotAnImage,
    /// A known image format that is not accepted, or a feature of one.
    #[error("unsupported: {0}")]
    Unsupported(String),
    /// The bytes end before the image does.
    #[error("the {0} file ends before its image does")]
    Truncated(Format),
    /// The bytes contradict their format.
    #[error("the {format} file is damaged: {reason}")]
    Malformed { format: Format, reason: String },
    /// More pixels, frames or bytes than a limit allows.
    #[error("{0}")]
    TooLarge(String),
    /// The memory budget or the deadline is exceeded, or the request was cancelled.
    #[error(transparent)]
    Work(#[from] work::Error),
    /// An encoder refused or failed.
    #[error("encoding {format} failed: {reason}")]
    Encode { format: Format, reason: String },
}
