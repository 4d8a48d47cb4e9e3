//! Why a model file cannot be used.

use std::path::{Path, PathBuf};

use thiserror::Error;

/// A model file that does not serve its purpose. The caller names the setting that named the file.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum LoadError {
    /// No file, no permission, no ONNX, or an operator that is not known.
    #[error("{path}: cannot be used as an ONNX model: {reason}")]
    Unreadable { path: PathBuf, reason: String },
    /// A model, but not of this kind.
    #[error("{path}: the model has the wrong shape: {found}. Expected: {expected}")]
    Shape { path: PathBuf, found: String, expected: &'static str },
    /// A second model of a kind that needs one.
    #[error("{path}: there is a model that enlarges {scale} times already")]
    Twice { path: PathBuf, scale: u32 },
}

impl LoadError {
    /// All that is known of why: the outermost explanation, and what it was caused by.
    pub(crate) fn unreadable(path: &Path, reason: impl std::fmt::Display) -> Self {
        Self::Unreadable { path: path.to_owned(), reason: reason.to_string() }
    }
}
