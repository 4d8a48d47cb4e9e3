//! Reads a file of the origin directory. It may change or shrink while it is read, and while it is decoded: it is copied.

use std::fs::File;
use std::io::{self, Read};
use std::time::Duration;

use bytes::Bytes;

use super::receive::unkept;
use crate::admission::{InputData, InputLength, InputSpace, MemoryPermit, MemoryPool, Spool, SpoolError};
use crate::error::ApiError;

/// Bytes that are read at a time while a file is copied to another.
const COPIED_AT_ONCE: u64 = 256 << 10;
/// How long a file that is served as it is waits for memory.
const MEMORY_WAIT: Duration = Duration::from_secs(30);

/// An open file, and the size that it had when it was opened.
#[derive(Debug)]
pub(super) struct SourceFile {
    pub(super) file: File,
    /// Bytes.
    pub(super) size: u64,
}

impl SourceFile {
    fn length(&self) -> usize {
        usize::try_from(self.size).unwrap_or(usize::MAX)
    }

    /// The file for a recipe: in memory if there is room now, else in a temporary file.
    pub(super) async fn into_input(self, space: &InputSpace) -> Result<InputData, ApiError> {
        let length = self.length();
        let held = (length <= space.most_in_memory()).then(|| space.memory.try_take(length));
        match held {
            Some(Ok(held)) => self.read(held).await.map(InputData::Bytes),
            _ => self.copy(space).await,
        }
    }

    /// The file for a client, who may be slow: in memory, for which it waits.
    pub(super) async fn into_bytes(self, memory: &MemoryPool) -> Result<Bytes, ApiError> {
        let length = self.length();
        let held = memory.take(length, MEMORY_WAIT).await.map_err(|_| match length {
            _ if length <= memory.total() => ApiError::SourcesBusy,
            _ => ApiError::SourceNeedsMemory { needs: length >> 20, has: memory.total() >> 20 },
        })?;
        self.read(held).await
    }

    /// Reads the file into the memory that is held for it.
    async fn read(self, held: MemoryPermit) -> Result<Bytes, ApiError> {
        let Self { file, size } = self;
        let read = tokio::task::spawn_blocking(move || {
            let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or_default());
            // One more byte tells whether the file has grown.
            file.take(size + 1).read_to_end(&mut bytes).map_err(|e| unreadable(&e))?;
            if bytes.len() as u64 == size { Ok(held.into_bytes(bytes)) } else { Err(ApiError::SourceChanged) }
        });
        read.await.map_err(ApiError::internal)?
    }

    async fn copy(self, space: &InputSpace) -> Result<InputData, ApiError> {
        let Self { mut file, size } = self;
        let length = InputLength { limit: size, in_memory: space.most_in_memory(), announced: Some(size) };
        let mut spool = Spool::new(space, length).map_err(unkept)?;
        let mut piece = Vec::new();
        loop {
            let read = tokio::task::spawn_blocking(move || {
                piece.clear();
                (&file).take(COPIED_AT_ONCE).read_to_end(&mut piece)?;
                Ok::<_, io::Error>((file, piece))
            });
            (file, piece) = read.await.map_err(ApiError::internal)?.map_err(|e| unreadable(&e))?;
            if piece.is_empty() {
                break;
            }
            spool.push(&piece).await.map_err(|error| match error {
                // It has grown.
                SpoolError::TooLarge { .. } => ApiError::SourceChanged,
                error => unkept(error),
            })?;
        }
        if spool.received() != size {
            return Err(ApiError::SourceChanged);
        }
        spool.finish().await.map_err(unkept)
    }
}

fn unreadable(error: &io::Error) -> ApiError {
    ApiError::SourceUnreadable { kind: error.kind() }
}
