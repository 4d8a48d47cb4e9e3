//! Inputs that arrive in pieces: in memory while there is room, else in a temporary file. An input never waits for memory that
//! other requests hold.

use std::fs::File;
use std::io::{self, Write};
use std::sync::Arc;

use bytes::BytesMut;

use super::input::{InputData, SpooledFile};
use super::memory::{MemoryFull, MemoryPermit, MemoryPool};

/// What an input gets at first, and next: the sizes between would leave holes in the allocator's arenas as they grow.
const SMALL_BYTES: usize = 256 << 10;
const MAPPED_BYTES: usize = 1 << 20;
/// Bytes that are gathered before they are written to a file, where the memory for [`SMALL_BYTES`] is not free.
const LEAST_WRITE: usize = 32 << 10;
/// One input takes at most this part of the memory for all inputs; what is longer goes to a file.
const ONE_PART: usize = 4;

/// Where inputs are kept until they are decoded. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct InputSpace {
    pub(crate) memory: MemoryPool,
    /// For the files of all inputs.
    pub(crate) disk: MemoryPool,
}

impl InputSpace {
    /// The most bytes of one input that stay in memory.
    pub(crate) fn most_in_memory(&self) -> usize {
        self.memory.total() / ONE_PART
    }
}

/// How long an input may be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct InputLength {
    /// The most bytes.
    pub(crate) limit: u64,
    /// The most bytes that stay in memory.
    pub(crate) in_memory: usize,
    /// What was promised, if anything. Memory is taken as bytes come, and not beyond the promise without need.
    pub(crate) announced: Option<u64>,
}

/// Why an input cannot be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SpoolError {
    /// Longer than its limit, in bytes.
    TooLarge { limit: u64 },
    /// Neither memory nor disk space is free.
    Full,
    /// The temporary file could not be made or written.
    Disk(io::ErrorKind),
}

impl From<MemoryFull> for SpoolError {
    fn from(_: MemoryFull) -> Self {
        Self::Full
    }
}

impl From<io::Error> for SpoolError {
    fn from(error: io::Error) -> Self {
        Self::Disk(error.kind())
    }
}

/// One input while it arrives.
#[derive(Debug)]
pub(crate) struct Spool {
    /// What is not in a file.
    bytes: BytesMut,
    memory: MemoryPermit,
    spilled: Option<Spilled>,
    disk: MemoryPool,
    received: u64,
    length: InputLength,
}

#[derive(Debug)]
struct Spilled {
    /// `None` while a write has it.
    file: Option<File>,
    space: MemoryPermit,
}

impl Spool {
    pub(crate) fn new(space: &InputSpace, length: InputLength) -> Result<Self, SpoolError> {
        let memory = space.memory.try_take(0)?;
        let disk = space.disk.clone();
        Ok(Self { bytes: BytesMut::new(), memory, spilled: None, disk, received: 0, length })
    }

    /// Bytes that have come so far.
    pub(crate) fn received(&self) -> u64 {
        self.received
    }

    /// Takes the next bytes.
    ///
    /// # Errors
    /// Above the limit; no disk, or too many bytes of other inputs on it.
    pub(crate) async fn push(&mut self, chunk: &[u8]) -> Result<(), SpoolError> {
        self.received += chunk.len() as u64;
        let limit = self.length.limit;
        if self.received > limit {
            return Err(SpoolError::TooLarge { limit });
        }
        if self.spilled.is_none() {
            let length = self.bytes.len() + chunk.len();
            let room = self.memory.bytes();
            let fits = length <= self.length.in_memory;
            if fits && (length <= room || self.memory.grow_to(self.grown(length)).is_ok()) {
                if length > self.bytes.capacity() {
                    self.bytes.reserve(self.memory.bytes() - self.bytes.len());
                }
                self.bytes.extend_from_slice(chunk);
                return Ok(());
            }
            let file = tempfile::tempfile()?;
            self.spilled = Some(Spilled { file: Some(file), space: self.disk.try_take(0)? });
            self.write().await?;
            self.bytes = BytesMut::new();
            self.memory.shrink_to(SMALL_BYTES);
        }
        self.bytes.extend_from_slice(chunk);
        if self.bytes.len() >= self.memory.bytes().max(LEAST_WRITE) {
            self.write().await?;
        }
        Ok(())
    }

    /// Memory that is taken for `length` bytes, so that copies are few.
    fn grown(&self, length: usize) -> usize {
        let grown = match length {
            0..SMALL_BYTES => SMALL_BYTES,
            _ => (length + length / 2).max(MAPPED_BYTES),
        };
        let announced = self.length.announced.map(|bytes| usize::try_from(bytes).unwrap_or(usize::MAX));
        announced.map_or(grown, |announced| grown.min(announced)).max(length)
    }

    /// Writes what has been gathered.
    async fn write(&mut self) -> Result<(), SpoolError> {
        let Some(spilled) = &mut self.spilled else { return Ok(()) };
        // OPS-061
        spilled.space.grow_to(usize::try_from(self.received).unwrap_or(usize::MAX))?;
        if self.bytes.is_empty() {
            return Ok(());
        }
        let Some(mut file) = spilled.file.take() else { return Ok(()) };
        let bytes = std::mem::take(&mut self.bytes);
        let written = tokio::task::spawn_blocking(move || {
            file.write_all(&bytes)?;
            Ok::<_, io::Error>((file, bytes))
        });
        let (file, mut bytes) = written.await.map_err(io::Error::from)??;
        bytes.clear();
        spilled.file = Some(file);
        self.bytes = bytes;
        Ok(())
    }

    /// The whole input, which holds its memory or disk space until the last clone is gone.
    pub(crate) async fn finish(mut self) -> Result<InputData, SpoolError> {
        self.write().await?;
        let Self { bytes, mut memory, spilled, received, .. } = self;
        let Some(Spilled { file, space }) = spilled else {
            let mut bytes = Vec::from(bytes);
            bytes.shrink_to_fit();
            memory.shrink_to(bytes.len());
            return Ok(InputData::Bytes(memory.into_bytes(bytes)));
        };
        let file = file.ok_or(SpoolError::Disk(io::ErrorKind::Other))?;
        let length = usize::try_from(received).unwrap_or(usize::MAX);
        Ok(InputData::File(Arc::new(SpooledFile::new(file, length, space))))
    }

    #[cfg(test)]
    fn in_memory(&self) -> bool {
        self.spilled.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::{InputLength, InputSpace, Spool, SpoolError};
    use crate::admission::{InputData, MemoryPool, MemoryPools};

    fn space(memory: MemoryPool, disk: usize) -> InputSpace {
        InputSpace { memory, disk: MemoryPool::new(disk) }
    }

    fn at_most(limit: u64, in_memory: usize) -> InputLength {
        InputLength { limit, in_memory, announced: None }
    }

    #[tokio::test]
    async fn bytes_come_back_from_memory_and_from_a_file() {
        for (total, pieces, memory) in [(1 << 30, 20, true), (1 << 30, 200, false), (4 << 20, 20, false)] {
            let space = space(MemoryPools::of(total).inputs, 100 << 20);
            let mut spool = Spool::new(&space, at_most(100 << 20, 8 << 20)).unwrap();
            let mut all = Vec::new();
            for i in 0..pieces {
                let chunk = vec![i as u8; 65_537];
                all.extend_from_slice(&chunk);
                spool.push(&chunk).await.unwrap();
            }
            assert_eq!(spool.in_memory(), memory);
            let spooled = spool.finish().await.unwrap();
            assert!(spooled.open().unwrap().unwrap() == all && spooled.len() == all.len());
            let mut read = Vec::new();
            spooled.read(|piece| read.extend_from_slice(piece)).unwrap();
            assert!(read == all);
            assert_eq!(space.disk.used() > 0, !memory);
            drop(spooled);
            assert_eq!((space.memory.used(), space.disk.used()), (0, 0));
        }
    }

    // BND-057
    #[tokio::test]
    async fn an_input_above_the_limit_is_refused() {
        let space = space(MemoryPools::of(1 << 20).inputs, 1 << 20);
        let mut spool = Spool::new(&space, at_most(1000, 1000)).unwrap();
        assert!(spool.push(&[0; 1000]).await.is_ok());
        assert_eq!(spool.push(&[0]).await.unwrap_err(), SpoolError::TooLarge { limit: 1000 });
    }

    // OPS-061
    #[tokio::test]
    async fn files_of_all_inputs_together_are_bounded() {
        let space = space(MemoryPool::new(0), 1 << 20);
        let most = at_most(100 << 20, 8 << 20);
        let mut one = Spool::new(&space, most).unwrap();
        one.push(&vec![0; 700 << 10]).await.unwrap();
        let mut other = Spool::new(&space, most).unwrap();
        assert_eq!(other.push(&vec![0; 700 << 10]).await.unwrap_err(), SpoolError::Full);
        drop(one);
        drop(other);
        let mut again = Spool::new(&space, most).unwrap();
        again.push(&vec![0; 700 << 10]).await.unwrap();
        again.finish().await.unwrap();
        assert_eq!(space.disk.used(), 0);
    }

    // OPS-008
    #[tokio::test]
    async fn memory_is_taken_as_bytes_arrive() {
        let space = space(MemoryPools::of(1 << 30).inputs, 0);
        let announced = Some(99_000_000);
        let length = InputLength { limit: 100 << 20, in_memory: space.most_in_memory(), announced };
        let mut input = Spool::new(&space, length).unwrap();
        input.push(&[1; 1000]).await.unwrap();
        assert!(space.memory.used() <= 256 << 10, "{}", space.memory.used());
        let mut all = vec![1; 1000];
        for i in 0..100_u8 {
            input.push(&vec![i; 10_000]).await.unwrap();
            all.extend(vec![i; 10_000]);
        }
        assert!(space.memory.used() < 2 << 20, "{}", space.memory.used());
        let input = input.finish().await.unwrap();
        assert!(input.open().unwrap().unwrap() == all);
        drop(input);
        assert_eq!(space.memory.used(), 0);
    }

    // OPS-008: memory that others hold is not waited for.
    #[tokio::test]
    async fn an_input_goes_to_a_file_while_others_hold_the_memory() {
        let space = space(MemoryPool::new(1 << 20), 1 << 20);
        let held = space.memory.try_take(1 << 20).unwrap();
        let length = InputLength { limit: 1 << 20, in_memory: 1 << 20, announced: Some(100_000) };
        let mut input = Spool::new(&space, length).unwrap();
        input.push(&vec![5; 100_000]).await.unwrap();
        let input = input.finish().await.unwrap();
        assert!(matches!(input, InputData::File(_)));
        assert!(input.open().unwrap().unwrap() == vec![5; 100_000]);
        drop(held);
    }
}
