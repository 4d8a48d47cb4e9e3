//! What the cache did for an answer.

use http::HeaderMap;
use store::Tier;

use super::CacheStatus;
use crate::error::ApiError;

/// What the cache did for an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CacheReport {
    pub(crate) status: CacheStatus,
    /// In seconds.
    pub(crate) age: Option<u64>,
    /// Where the result was found; `None` if it was computed.
    pub(crate) tier: Option<Tier>,
}

impl CacheReport {
    pub(crate) fn of(status: CacheStatus) -> Self {
        Self { status, age: None, tier: None }
    }
}

/// Why there is no result.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    pub(crate) error: ApiError,
    pub(crate) report: CacheReport,
    /// Headers of the source, if it was reached.
    pub(crate) headers: HeaderMap,
}

impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Self {
        Self { error, report: CacheReport::of(CacheStatus::Miss), headers: HeaderMap::new() }
    }
}
