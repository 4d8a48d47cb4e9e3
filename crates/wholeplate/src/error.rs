//! The one table that binds an error to its number, status and public text.

use std::fmt::Display;

use recipe::{OptionError, SourceError};

/// Error number for a source that answered 400.
pub(crate) const SOURCE_400_CODE: u16 = 9519;
/// Error number and status for a source on a private address.
pub(crate) const PRIVATE_SOURCE: (u16, u16) = (9401, 403);
/// Error number and status for a request of the binding that cannot be read.
pub(crate) const BINDING_BAD_REQUEST: (u16, u16) = (9432, 400);
/// Error number and status for an input of the binding that is too large.
pub(crate) const BINDING_TOO_LARGE: (u16, u16) = (9413, 413);

/// What a client is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) code: u16,
    pub(crate) status: u16,
    pub(crate) text: String,
}

impl Fault {
    pub(crate) fn new(code: u16, status: u16, text: impl Into<String>) -> Self {
        Self { code, status, text: text.into() }
    }

    /// A request of the binding that cannot be read.
    pub(crate) fn bad_request(why: impl Display) -> Self {
        let (code, status) = BINDING_BAD_REQUEST;
        Self::new(code, status, format!("Bad request: {why}"))
    }

    /// `ERROR <code>: <text>`, the body of every error.
    pub(crate) fn body(&self) -> String {
        format!("ERROR {}: {}", self.code, self.text)
    }
}

impl From<OptionError> for Fault {
    fn from(error: OptionError) -> Self {
        match &error {
            OptionError::Source(SourceError::Loop) => Self::new(9403, 508, error.to_string()),
            OptionError::Source(_) => Self::new(9406, 403, error.to_string()),
            OptionError::OutputFormat | OptionError::Steps(_) => Self::bad_request(error),
            // A font that cannot be fetched has one number, whatever the cause.
            OptionError::FontUrl { given, .. } => Self::new(
                9410,
                502,
                format!("the font could not be fetched: '{given}' is not an absolute http or https URL"),
            ),
            _ => Self::new(9401, 400, format!("Missing or invalid resizing parameters: {error}")),
        }
    }
}

impl From<imaging::Error> for Fault {
    fn from(error: imaging::Error) -> Self {
        use imaging::Error as E;
        let (code, status) = match &error {
            E::Codec(codec) => return codec.clone().into(),
            E::Work(limit) => return (*limit).into(),
            E::TooLarge(_) | E::Empty | E::Enlarged { .. } => (9413, 403),
            E::Unsupported(_) => (9412, 415),
            E::Option(_) => (9401, 400),
            E::Font(_) => (9410, 502),
            _ => (9523, 500),
        };
        Self::new(code, status, error.to_string())
    }
}

impl From<codecs::Error> for Fault {
    fn from(error: codecs::Error) -> Self {
        use codecs::Error as E;
        let (code, status) = match &error {
            E::NotAnImage | E::Unsupported(_) => (9412, 415),
            E::Truncated(_) | E::Malformed { .. } => (9516, 422),
            E::TooLarge(_) => (9413, 403),
            E::Work(limit) => return (*limit).into(),
            E::Encode { .. } => (9516, 500),
            _ => (9523, 500),
        };
        Self::new(code, status, error.to_string())
    }
}

impl From<work::Error> for Fault {
    fn from(error: work::Error) -> Self {
        use work::Error as E;
        let (code, status) = match error {
            E::MemoryBudget { .. } => (9527, 503),
            E::Deadline => (9529, 504),
            E::Cancelled => (9528, 502),
            _ => (9523, 500),
        };
        Self::new(code, status, error.to_string())
    }
}
