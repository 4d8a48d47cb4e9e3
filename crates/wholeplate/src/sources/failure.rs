//! Why a fetch failed, and what is known of the response that failed it.

use http::{HeaderMap, StatusCode};

use crate::error::ApiError;

/// A failure of the connection, after which another attempt may succeed (OPS-031).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Again {
    /// It was closed before the response, which is usual for one that was used before.
    Closed,
    /// The body was cut.
    Cut,
}

/// A fetch that failed.
#[derive(Debug, Clone)]
pub(crate) struct FetchError {
    pub(crate) error: ApiError,
    /// The header of the response, if there was one. Boxed: it is large, and errors are moved often.
    pub(crate) headers: Box<HeaderMap>,
    /// The status, if the source answered with an error.
    pub(crate) status: Option<StatusCode>,
    /// Why another attempt may succeed; `None` if it will not.
    pub(super) again: Option<Again>,
}

impl FetchError {
    /// The body did not arrive whole.
    pub(super) fn cut(error: ApiError) -> Self {
        Self { again: Some(Again::Cut), ..Self::from(error) }
    }

    /// The connection was closed before the response.
    pub(super) fn closed(error: ApiError) -> Self {
        Self { again: Some(Again::Closed), ..Self::from(error) }
    }

    /// The source answered with an error.
    pub(super) fn answered(status: StatusCode) -> Self {
        Self { status: Some(status), ..Self::from(status_error(status)) }
    }

    /// Whether a stale response may take its place (RFC 5861, section 4): the origin failed or could not be asked.
    pub(crate) fn is_outage(&self) -> bool {
        match self.status {
            Some(status) => matches!(status.as_u16(), 500 | 502 | 503 | 504),
            None => self.error.status().is_server_error(),
        }
    }

    pub(super) fn with(self, headers: &HeaderMap) -> Self {
        Self { headers: Box::new(headers.clone()), ..self }
    }
}

impl From<ApiError> for FetchError {
    fn from(error: ApiError) -> Self {
        Self { error, headers: Box::default(), status: None, again: None }
    }
}

impl From<FetchError> for ApiError {
    fn from(error: FetchError) -> Self {
        error.error
    }
}

/// The meaning of a source's status, other than success.
pub(crate) fn status_error(status: StatusCode) -> ApiError {
    match status.as_u16() {
        400 => ApiError::SourceBadRequest,
        404 => ApiError::SourceNotFound,
        code @ 401..=499 => ApiError::SourceRefused { answered: code },
        code => ApiError::SourceFailed { answered: code },
    }
}
