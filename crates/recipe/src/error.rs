//! What can be wrong with options, and what is merely worth a warning.

use thiserror::Error;

/// Options that cannot be carried out as given. The program's error table gives the numbers
/// (9401, for the binding's output format 9432).
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum OptionError {
    /// No `name=value` pair at all.
    #[error("no transformation options given")]
    Empty,
    /// A value is not of its option's form or range.
    #[error("{option}: {problem}")]
    Invalid { option: String, problem: String },
    /// The `format` text is not one of the output formats.
    #[error("'{given}' is not a supported output format. Use 'jpeg', 'webp', 'avif', or 'json'")]
    Format { given: String },
    /// The binding's `output_format` is missing or unknown.
    #[error("invalid output format")]
    OutputFormat,
    /// The source part of a URL cannot be used.
    #[error("{0}")]
    Source(SourceError),
    /// Binding: the `transforms` list is missing, not JSON, not an array, or names an image that does not exist.
    #[error("{0}")]
    Steps(String),
}

impl OptionError {
    /// The same error, its option named as a member of `place`.
    pub(crate) fn inside(self, place: &str) -> Self {
        match self {
            Self::Invalid { option, problem } if option.is_empty() => {
                Self::Invalid { option: place.to_owned(), problem }
            }
            Self::Invalid { option, problem } => {
                Self::Invalid { option: format!("{place}.{option}"), problem }
            }
            other => other,
        }
    }
}

/// What can be wrong with the source part of a transformation URL.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SourceError {
    #[error("the source URL's scheme must be http or https")]
    Scheme,
    #[error("the source URL contains spaces, control or non-ASCII characters")]
    Characters,
    #[error("no source image given")]
    Missing,
    #[error("the source is itself a transformation URL")]
    Loop,
}

/// Something the client should know although the request succeeds; becomes a `warning` header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice(pub String);
