//! Memory for a source, taken before the source is read.

use std::time::Duration;

use crate::error::ApiError;
use crate::memory::{Full, Hold, Share};

/// How long a source may wait for memory before it is fetched.
const MEMORY_WAIT: Duration = Duration::from_secs(30);

/// Takes memory for a source of `size` bytes.
pub(super) async fn reserve(memory: &Share, size: usize) -> Result<Hold, ApiError> {
    memory.take(size, MEMORY_WAIT).await.map_err(|full| out_of_memory(memory, size, full))
}

/// Why there is no memory for a source of `size` bytes.
pub(super) fn out_of_memory(memory: &Share, size: usize, _: Full) -> ApiError {
    if size > memory.total() {
        let (needs, has) = (size >> 20, memory.total() >> 20);
        return ApiError::SourceNeedsMemory { needs, has };
    }
    ApiError::SourcesBusy
}
