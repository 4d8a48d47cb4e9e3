//! What can go wrong with a format; the program's error table gives the numbers.

use crate::Format;

/// Why a codec could not do its work.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The bytes are no image that this build knows.
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
    /// The request's memory budget is used up.
    #[error("the image needs more memory ({asked} bytes more) than this request may use")]
    Budget { asked: usize },
    /// An encoder refused or failed.
    #[error("encoding {format} failed: {reason}")]
    Encode { format: Format, reason: String },
    /// The deadline of the request passed.
    #[error("processing took too long")]
    Deadline,
    /// The client has gone.
    #[error("the request was cancelled")]
    Cancelled,
}
