//! Inputs whose length is not known in advance: in memory while that is cheap, else in a temporary file.

use std::fs::File;
use std::io::Write;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use crate::error::ApiError;
use crate::memory::{Hold, Share};
use crate::pool::InputData;

/// An input above this many bytes goes to a file.
const SPILL_BYTES: usize = 8 << 20;
/// What an input gets at first, and next: the sizes between would leave holes in the allocator's arenas as they grow.
const SMALL_BYTES: usize = 256 << 10;
const MAPPED_BYTES: usize = 1 << 20;

/// One input while it arrives.
pub(super) struct Spool {
    place: Place,
    length: u64,
    limit: u64,
}

enum Place {
    Memory(BytesMut, Hold),
    File(File),
}

fn disk(error: &std::io::Error) -> ApiError {
    ApiError::SpoolWrite { kind: error.kind() }
}

impl Spool {
    pub(super) fn new(memory: &Share, limit: u64) -> Result<Self, ApiError> {
        let held = memory.try_take(0).map_err(|_| ApiError::Busy)?;
        let place = Place::Memory(BytesMut::new(), held);
        Ok(Self { place, length: 0, limit })
    }

    /// Takes the next bytes.
    ///
    /// # Errors
    /// Above the limit, or no disk.
    pub(super) async fn push(&mut self, chunk: Bytes) -> Result<(), ApiError> {
        self.length += chunk.len() as u64;
        if self.length > self.limit {
            return Err(ApiError::InputTooLarge { limit: self.limit });
        }
        if let Place::Memory(bytes, held) = &mut self.place {
            let length = bytes.len() + chunk.len();
            let room = held.bytes();
            let grown = match length {
                0..SMALL_BYTES => SMALL_BYTES,
                _ => (length + length / 2).max(MAPPED_BYTES),
            };
            let fits = length <= SPILL_BYTES && (length <= room || held.grow_to(grown).is_ok());
            if fits {
                bytes.reserve(held.bytes() - bytes.len());
                bytes.extend_from_slice(&chunk);
                return Ok(());
            }
            let so_far = std::mem::take(bytes).freeze();
            let file = tempfile::tempfile().map_err(|e| disk(&e))?;
            self.place = Place::File(file);
            self.write(so_far).await?;
        }
        self.write(chunk).await
    }

    async fn write(&mut self, chunk: Bytes) -> Result<(), ApiError> {
        let Place::File(file) = &self.place else { return Ok(()) };
        let mut file = file.try_clone().map_err(|e| disk(&e))?;
        let written = tokio::task::spawn_blocking(move || file.write_all(&chunk)).await;
        match written {
            Ok(done) => done.map_err(|e| disk(&e)),
            Err(stopped) => Err(ApiError::internal(stopped)),
        }
    }

    /// The whole input, which holds its memory until the last clone is gone.
    pub(super) fn finish(self) -> InputData {
        match self.place {
            Place::Memory(bytes, mut held) => {
                let mut bytes = Vec::from(bytes);
                bytes.shrink_to_fit();
                held.shrink_to(bytes.len());
                InputData::Bytes(held.tie(bytes))
            }
            Place::File(file) => InputData::File(Arc::new(file)),
        }
    }

    #[cfg(test)]
    fn in_memory(&self) -> bool {
        matches!(self.place, Place::Memory(..))
    }
}

#[cfg(test)]
mod tests {
    use super::Spool;
    use crate::error::ApiError;
    use crate::memory::Shares;

    #[tokio::test]
    async fn bytes_come_back_from_memory_and_from_a_file() {
        for (total, pieces, memory) in [(1 << 30, 20, true), (1 << 30, 200, false), (4 << 20, 20, false)] {
            let share = Shares::of(total).inputs;
            let mut spool = Spool::new(&share, 100 << 20).unwrap();
            let mut all = Vec::new();
            for i in 0..pieces {
                let chunk = vec![i as u8; 65_537];
                all.extend_from_slice(&chunk);
                spool.push(chunk.into()).await.unwrap();
            }
            assert_eq!(spool.in_memory(), memory);
            let spooled = spool.finish();
            assert!(spooled.open().unwrap().unwrap() == all);
            drop(spooled);
            assert_eq!(share.used(), 0);
        }
    }

    // BND-057
    #[tokio::test]
    async fn an_input_above_the_limit_is_refused() {
        let share = Shares::of(1 << 20).inputs;
        let mut spool = Spool::new(&share, 1000).unwrap();
        assert!(spool.push(vec![0; 1000].into()).await.is_ok());
        assert_eq!(spool.push(vec![0].into()).await.unwrap_err(), ApiError::InputTooLarge { limit: 1000 });
    }
}
