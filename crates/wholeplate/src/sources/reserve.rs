//! Memory for sources: taken before a file is read, and as bytes arrive.

use std::time::Duration;

use bytes::Bytes;

use crate::admission::{MemoryFull, MemoryPermit, MemoryPool};
use crate::error::ApiError;

/// How long a source may wait for memory.
const MEMORY_WAIT: Duration = Duration::from_secs(30);
/// Memory that is taken for a body at first.
const FIRST: usize = 64 << 10;

/// Takes memory for a source of `size` bytes.
pub(super) async fn reserve(memory: &MemoryPool, size: usize) -> Result<MemoryPermit, ApiError> {
    memory.take(size, MEMORY_WAIT).await.map_err(|full| out_of_memory(memory, size, full))
}

/// Why there is no memory for a source of `size` bytes.
fn out_of_memory(memory: &MemoryPool, size: usize, _: MemoryFull) -> ApiError {
    if size > memory.total() {
        let (needs, has) = (size >> 20, memory.total() >> 20);
        return ApiError::SourceNeedsMemory { needs, has };
    }
    ApiError::SourcesBusy
}

/// A body that arrives. Memory is taken for what has arrived, not for what was announced.
#[derive(Debug)]
pub(super) struct Arriving {
    memory: MemoryPool,
    announced: usize,
    bytes: Vec<u8>,
    /// Memory for `room` bytes.
    held: Vec<MemoryPermit>,
    room: usize,
}

impl Arriving {
    /// # Errors
    /// For an announced length that can never be held.
    pub(super) async fn new(memory: &MemoryPool, announced: Option<u64>) -> Result<Self, ApiError> {
        let announced = announced.map_or(0, |n| usize::try_from(n).unwrap_or(usize::MAX));
        if announced > memory.total() {
            return Err(out_of_memory(memory, announced, MemoryFull));
        }
        let room = if announced == 0 { FIRST } else { announced.min(FIRST) };
        let held = vec![reserve(memory, room).await?];
        Ok(Self { memory: memory.clone(), announced, bytes: Vec::new(), held, room })
    }

    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Takes the next bytes; waits for memory, for a bounded time.
    pub(super) async fn push(&mut self, chunk: &[u8]) -> Result<(), ApiError> {
        let length = self.bytes.len() + chunk.len();
        if length > self.room {
            // Growing by half keeps the copies few; the announced length is not exceeded without need.
            let wanted = (length + length / 2).min(self.announced.max(length));
            let more = wanted - self.room;
            self.held.push(match self.memory.try_take(more) {
                Ok(held) => held,
                Err(_) => reserve(&self.memory, more).await?,
            });
            self.room = wanted;
        }
        if length > self.bytes.capacity() {
            self.bytes.reserve_exact(self.room - self.bytes.len());
        }
        self.bytes.extend_from_slice(chunk);
        Ok(())
    }

    /// The whole body, which holds its memory until the last clone is gone.
    pub(super) fn finish(self) -> Bytes {
        let Self { bytes, held, .. } = self;
        Bytes::from_owner(Whole { bytes, _held: held })
    }
}

struct Whole {
    bytes: Vec<u8>,
    _held: Vec<MemoryPermit>,
}

impl AsRef<[u8]> for Whole {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::Arriving;
    use crate::admission::MemoryPools;

    // OPS-008
    #[tokio::test]
    async fn memory_is_taken_as_bytes_arrive() {
        let memory = MemoryPools::of(1 << 30).inputs;
        let mut body = Arriving::new(&memory, Some(99_000_000)).await.unwrap();
        body.push(&[1; 1000]).await.unwrap();
        assert!(memory.used() <= 128 << 10, "{}", memory.used());
        let mut all = vec![1; 1000];
        for i in 0..100_u8 {
            body.push(&vec![i; 10_000]).await.unwrap();
            all.extend(vec![i; 10_000]);
        }
        assert!(memory.used() < 2 << 20, "{}", memory.used());
        let bytes = body.finish();
        assert!(bytes == all);
        drop(bytes);
        assert_eq!(memory.used(), 0);
        assert!(Arriving::new(&memory, Some(1 << 40)).await.is_err());
    }
}
