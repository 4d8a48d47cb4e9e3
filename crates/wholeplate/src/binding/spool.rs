//! Inputs whose length is not known in advance: in memory while that is cheap, else in a temporary file.

use std::fs::File;
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};

use crate::admission::{InputData, MemoryPermit, MemoryPool, SpooledFile};
use crate::error::ApiError;

/// An input above this many bytes goes to a file.
const SPILL_BYTES: usize = 8 << 20;
/// What an input gets at first, and next: the sizes between would leave holes in the allocator's arenas as they grow.
const SMALL_BYTES: usize = 256 << 10;
const MAPPED_BYTES: usize = 1 << 20;
/// Bytes that are gathered before they are written to a file, where the memory for [`SMALL_BYTES`] is not free.
const LEAST_WRITE: usize = 32 << 10;
/// After so long a client may try again.
const RETRY: Duration = Duration::from_secs(1);

/// One input while it arrives.
pub(super) struct Spool {
    /// What is not in a file.
    bytes: BytesMut,
    memory: MemoryPermit,
    spilled: Option<Spilled>,
    disk: MemoryPool,
    length: u64,
    limit: u64,
}

struct Spilled {
    /// `None` while a write has it.
    file: Option<File>,
    space: MemoryPermit,
}

fn disk(error: &std::io::Error) -> ApiError {
    ApiError::SpoolWrite { kind: error.kind() }
}

fn busy<E>(_: E) -> ApiError {
    ApiError::Busy { expected: RETRY }
}

impl Spool {
    /// `disk` is the space for the files of all inputs.
    pub(super) fn new(memory: &MemoryPool, disk: &MemoryPool, limit: u64) -> Result<Self, ApiError> {
        let memory = memory.try_take(0).map_err(busy)?;
        Ok(Self { bytes: BytesMut::new(), memory, spilled: None, disk: disk.clone(), length: 0, limit })
    }

    /// Takes the next bytes.
    ///
    /// # Errors
    /// Above the limit; no disk, or too many bytes of other inputs on it.
    pub(super) async fn push(&mut self, chunk: Bytes) -> Result<(), ApiError> {
        self.length += chunk.len() as u64;
        if self.length > self.limit {
            return Err(ApiError::InputTooLarge { limit: self.limit });
        }
        if self.spilled.is_none() {
            let length = self.bytes.len() + chunk.len();
            let grown = match length {
                0..SMALL_BYTES => SMALL_BYTES,
                _ => (length + length / 2).max(MAPPED_BYTES),
            };
            let room = self.memory.bytes();
            if length <= SPILL_BYTES && (length <= room || self.memory.grow_to(grown).is_ok()) {
                self.bytes.reserve(self.memory.bytes() - self.bytes.len());
                self.bytes.extend_from_slice(&chunk);
                return Ok(());
            }
            let file = tempfile::tempfile().map_err(|e| disk(&e))?;
            self.spilled = Some(Spilled { file: Some(file), space: self.disk.try_take(0).map_err(busy)? });
            self.write().await?;
            self.bytes = BytesMut::new();
            self.memory.shrink_to(SMALL_BYTES);
        }
        self.bytes.extend_from_slice(&chunk);
        if self.bytes.len() >= self.memory.bytes().max(LEAST_WRITE) {
            self.write().await?;
        }
        Ok(())
    }

    /// Writes what has been gathered.
    async fn write(&mut self) -> Result<(), ApiError> {
        let Some(spilled) = &mut self.spilled else { return Ok(()) };
        // OPS-061
        spilled.space.grow_to(usize::try_from(self.length).unwrap_or(usize::MAX)).map_err(busy)?;
        let Some(mut file) = spilled.file.take() else { return Ok(()) };
        let bytes = std::mem::take(&mut self.bytes);
        let written = tokio::task::spawn_blocking(move || {
            file.write_all(&bytes)?;
            Ok::<_, std::io::Error>((file, bytes))
        });
        let (file, mut bytes) = written.await.map_err(ApiError::internal)?.map_err(|e| disk(&e))?;
        bytes.clear();
        spilled.file = Some(file);
        self.bytes = bytes;
        Ok(())
    }

    /// The whole input, which holds its memory or disk space until the last clone is gone.
    pub(super) async fn finish(mut self) -> Result<InputData, ApiError> {
        self.write().await?;
        let Self { bytes, mut memory, spilled, length, .. } = self;
        let Some(Spilled { file, space }) = spilled else {
            let mut bytes = Vec::from(bytes);
            bytes.shrink_to_fit();
            memory.shrink_to(bytes.len());
            return Ok(InputData::Bytes(memory.into_bytes(bytes)));
        };
        let file = file.ok_or_else(|| ApiError::internal("a spooled file is missing"))?;
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        Ok(InputData::File(Arc::new(SpooledFile::new(file, length, space))))
    }

    #[cfg(test)]
    fn in_memory(&self) -> bool {
        self.spilled.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::Spool;
    use crate::admission::{MemoryPool, MemoryPools};
    use crate::error::ApiError;

    #[tokio::test]
    async fn bytes_come_back_from_memory_and_from_a_file() {
        for (total, pieces, memory) in [(1 << 30, 20, true), (1 << 30, 200, false), (4 << 20, 20, false)] {
            let (pool, disk) = (MemoryPools::of(total).inputs, MemoryPool::new(100 << 20));
            let mut spool = Spool::new(&pool, &disk, 100 << 20).unwrap();
            let mut all = Vec::new();
            for i in 0..pieces {
                let chunk = vec![i as u8; 65_537];
                all.extend_from_slice(&chunk);
                spool.push(chunk.into()).await.unwrap();
            }
            assert_eq!(spool.in_memory(), memory);
            let spooled = spool.finish().await.unwrap();
            assert!(spooled.open().unwrap().unwrap() == all && spooled.len() == all.len());
            assert_eq!(disk.used() > 0, !memory);
            drop(spooled);
            assert_eq!((pool.used(), disk.used()), (0, 0));
        }
    }

    // BND-057
    #[tokio::test]
    async fn an_input_above_the_limit_is_refused() {
        let (pool, disk) = (MemoryPools::of(1 << 20).inputs, MemoryPool::new(1 << 20));
        let mut spool = Spool::new(&pool, &disk, 1000).unwrap();
        assert!(spool.push(vec![0; 1000].into()).await.is_ok());
        assert_eq!(spool.push(vec![0].into()).await.unwrap_err(), ApiError::InputTooLarge { limit: 1000 });
    }

    // OPS-061
    #[tokio::test]
    async fn files_of_all_inputs_together_are_bounded() {
        let (pool, disk) = (MemoryPool::new(0), MemoryPool::new(1 << 20));
        let mut one = Spool::new(&pool, &disk, 100 << 20).unwrap();
        one.push(vec![0; 700 << 10].into()).await.unwrap();
        let mut other = Spool::new(&pool, &disk, 100 << 20).unwrap();
        let refused = other.push(vec![0; 700 << 10].into()).await.unwrap_err();
        assert_eq!((refused.number(), refused.status().as_u16()), (9522, 503));
        drop(one);
        drop(other);
        let mut again = Spool::new(&pool, &disk, 100 << 20).unwrap();
        again.push(vec![0; 700 << 10].into()).await.unwrap();
        again.finish().await.unwrap();
        assert_eq!(disk.used(), 0);
    }
}
