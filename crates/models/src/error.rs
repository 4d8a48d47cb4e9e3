//! Errors of loading model files.

use std::path::{Path, PathBuf};

use thiserror::Error;

/// A model file that cannot be used. The caller adds the name of its setting.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum LoadError {
    /// No file, no permission, not ONNX, or an unknown operator.
    #[error("{path}: cannot be used as an ONNX model: {reason}")]
    Unreadable { path: PathBuf, reason: String },
    /// A model of another kind.
    #[error("{path}: the model has the wrong shape: {found}. Expected: {expected}")]
    Shape { path: PathBuf, found: String, expected: &'static str },
    /// A second model for the same scale.
    #[error("{path}: a model that enlarges {scale} times is already loaded")]
    Twice { path: PathBuf, scale: u32 },
}

impl LoadError {
    /// An unreadable file, with the error's message and those of its causes.
    pub(crate) fn unreadable(path: &Path, reason: impl std::fmt::Display) -> Self {
        Self::Unreadable { path: path.to_owned(), reason: reason.to_string() }
    }
}
