//! Errors of fonts and texts.

use thiserror::Error;

/// Why a text cannot be rendered.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Error {
    #[error("the font cannot be read: {0}")]
    Font(String),
    #[error("the text has {given} characters (at most {limit})")]
    TooLong { given: usize, limit: usize },
    #[error("the text is {width}×{height} pixels large (at most {limit}×{limit})")]
    TooLarge { width: u32, height: u32, limit: u32 },
    #[error("the text is empty, or the font has no glyphs for it")]
    Empty,
    /// Memory, deadline or cancellation of the request.
    #[error(transparent)]
    Work(#[from] work::Error),
}

/// A font that cannot be used.
pub(crate) fn font(problem: impl Into<String>) -> Error {
    Error::Font(problem.into())
}
