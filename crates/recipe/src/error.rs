//! Errors of options and source references.

use thiserror::Error;

/// Invalid options. The program's error table has the numbers.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum OptionError {
    /// No `name=value` pair at all.
    #[error("no transformation options given")]
    Empty,
    /// A value does not have its option's form or range.
    #[error("{option}: {problem}")]
    Invalid { option: String, problem: String },
    /// The value of `format` is not an output format.
    #[error("'{given}' is not a supported output format. Use 'jpeg', 'webp', 'avif', or 'json'")]
    Format { given: String },
    /// The URL of a font is not an absolute http or https URL.
    #[error("{option}: '{given}' is not an absolute http or https URL")]
    FontUrl { option: String, given: String },
    /// A preset is missing, unknown or mixed with other options.
    #[error("{0}")]
    Preset(PresetError),
    /// The binding's `output_format` is missing or unknown.
    #[error("invalid output format")]
    OutputFormat,
    /// The source part of a URL is invalid.
    #[error("{0}")]
    Source(SourceError),
    /// Binding: the `transforms` list is missing, not JSON, not an array, or names an image that does not exist.
    #[error("{0}")]
    Steps(String),
}

impl OptionError {
    /// The same error with its option named as a member of `place`.
    pub(crate) fn within(self, place: &str) -> Self {
        match self {
            Self::Invalid { option, problem } if option.is_empty() => {
                Self::Invalid { option: place.to_owned(), problem }
            }
            Self::Invalid { option, problem } => {
                Self::Invalid { option: format!("{place}.{option}"), problem }
            }
            Self::FontUrl { option, given } => Self::FontUrl { option: format!("{place}.{option}"), given },
            other => other,
        }
    }
}

/// Errors of presets, in requests and in the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PresetError {
    #[error("'{name}' is not a preset")]
    Unknown { name: String },
    #[error("only presets are allowed: the options have to be preset=NAME")]
    Required,
    #[error("'{name}' is not a preset name: letters, digits, '-', '_' and '.' are allowed")]
    Name { name: String },
    #[error("preset '{name}': {error}")]
    Options { name: String, error: Box<OptionError> },
}

/// Errors of the source part of a transformation URL.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SourceError {
    #[error("the source URL's scheme must be http or https")]
    Scheme,
    #[error("the source URL contains spaces, control or non-ASCII characters")]
    Characters,
    #[error("the source is not a valid URL")]
    Url,
    #[error("no source image given")]
    Missing,
    #[error("the source is itself a transformation URL")]
    Loop,
}
