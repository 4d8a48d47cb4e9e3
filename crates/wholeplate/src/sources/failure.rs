//! Why a fetch failed, and what is known of the response that failed it.

use http::HeaderMap;

use crate::error::ApiError;

/// A fetch that failed.
#[derive(Debug)]
pub(crate) struct FetchError {
    pub(crate) error: ApiError,
    /// The header of the response, if there was one. Boxed: it is large, and errors are moved often.
    pub(crate) headers: Box<HeaderMap>,
    /// Whether another attempt may succeed.
    pub(super) again: bool,
}

impl FetchError {
    /// A failure of the connection: another attempt may succeed.
    pub(super) fn again(error: ApiError) -> Self {
        Self { error, headers: Box::default(), again: true }
    }

    pub(super) fn with(self, headers: &HeaderMap) -> Self {
        Self { headers: Box::new(headers.clone()), ..self }
    }
}

impl From<ApiError> for FetchError {
    fn from(error: ApiError) -> Self {
        Self { error, headers: Box::default(), again: false }
    }
}

impl From<FetchError> for ApiError {
    fn from(error: FetchError) -> Self {
        error.error
    }
}
