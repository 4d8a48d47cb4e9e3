//! Reads a file of the origin directory. It may change or shrink while it is read, and while it is decoded: it is copied.

use std::fs::File;
use std::io::{self, Read};
use std::time::Duration;

use bytes::Bytes;

use super::receive::unkept;
use crate::admission::{
    InputData, InputLength, InputSpace, MemoryPermit, MemoryPool, ReadTurns, Spool, SpoolError,
};
use crate::error::ApiError;

/// Bytes that are read in one turn.
const READ_AT_ONCE: u64 = 1 << 20;
/// The same while a file is copied to another: these bytes are not counted as memory of inputs.
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
    pub(super) async fn into_input(
        self,
        space: &InputSpace,
        mut turns: ReadTurns<'_>,
    ) -> Result<InputData, ApiError> {
        let length = self.length();
        // Until its first turn it holds no memory.
        turns.wait().await?;
        let held = (length <= space.most_in_memory()).then(|| space.memory.try_take(length));
        match held {
            Some(Ok(held)) => self.read(held, turns).await.map(InputData::Bytes),
            _ => self.copy(space, turns).await,
        }
    }

    /// The file for a client, who may be slow: in memory, for which it waits.
    pub(super) async fn into_bytes(
        self,
        memory: &MemoryPool,
        turns: ReadTurns<'_>,
    ) -> Result<Bytes, ApiError> {
        let length = self.length();
        let held = memory.take(length, MEMORY_WAIT).await.map_err(|_| match length {
            _ if length <= memory.total() => ApiError::SourcesBusy,
            _ => ApiError::SourceNeedsMemory { needs: length >> 20, has: memory.total() >> 20 },
        })?;
        self.read(held, turns).await
    }

    /// Reads the file into the memory that is held for it.
    async fn read(self, held: MemoryPermit, mut turns: ReadTurns<'_>) -> Result<Bytes, ApiError> {
        let Self { mut file, size } = self;
        let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or_default());
        loop {
            // One more byte tells whether the file has grown.
            let wanted = READ_AT_ONCE.min(size + 1 - bytes.len() as u64);
            let turn = turns.next().await?;
            let read = move || {
                // Ends with the reading, also if nobody waits for that any more.
                let _turn = turn;
                let got = (&file).take(wanted).read_to_end(&mut bytes)?;
                Ok((file, bytes, got))
            };
            let got;
            (file, bytes, got) = on_a_thread(read).await?;
            if (got as u64) < wanted || bytes.len() as u64 > size {
                break;
            }
        }
        if bytes.len() as u64 == size { Ok(held.into_bytes(bytes)) } else { Err(ApiError::SourceChanged) }
    }

    async fn copy(self, space: &InputSpace, mut turns: ReadTurns<'_>) -> Result<InputData, ApiError> {
        let Self { mut file, size } = self;
        let length = InputLength { limit: size, in_memory: space.most_in_memory(), announced: Some(size) };
        let mut spool = Spool::new(space, length).map_err(unkept)?;
        let mut piece = Vec::new();
        loop {
            // For reading and writing.
            let _turn = turns.next().await?;
            let read = move || {
                piece.clear();
                (&file).take(COPIED_AT_ONCE).read_to_end(&mut piece)?;
                Ok((file, piece))
            };
            (file, piece) = on_a_thread(read).await?;
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

async fn on_a_thread<T: Send + 'static>(
    read: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, ApiError> {
    let read = tokio::task::spawn_blocking(read).await.map_err(ApiError::internal)?;
    read.map_err(|error| unreadable(&error))
}

fn unreadable(error: &io::Error) -> ApiError {
    ApiError::SourceUnreadable { kind: error.kind() }
}
