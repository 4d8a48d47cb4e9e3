//! Errors of the tiers.

use std::time::Duration;

/// An error of a tier. A missing entry is not an error.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    #[error("damaged entry: {0}")]
    Damaged(&'static str),
    #[error("no answer within {} ms", .0.as_millis())]
    Timeout(Duration),
    #[error("no memory to read {0} bytes")]
    Memory(usize),
    #[error("an entry of {0} bytes is larger than the tier takes")]
    TooLarge(usize),
    #[error("paused after repeated errors")]
    Paused,
    #[error("cache folder {folder}: {problem}")]
    Folder { folder: String, problem: String },
    #[error("'{url}' is not a usable bucket: {problem}")]
    Url { url: String, problem: String },
    #[error("{0}")]
    Store(#[from] object_store::Error),
    #[error("{0}")]
    Io(#[from] std::io::Error),
}

impl Error {
    pub(crate) fn is_disk_full(&self) -> bool {
        let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(self);
        while let Some(error) = cause {
            if let Some(io) = error.downcast_ref::<std::io::Error>() {
                return is_full(io);
            }
            cause = error.source();
        }
        false
    }
}

/// Whether it says that the disk is full.
pub(crate) fn is_full(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded)
}
