//! The bytes of an input: in memory, or in a file that is mapped while it is looked at.

#![allow(unsafe_code)]

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use bytes::Bytes;
use memmap2::Mmap;

use super::memory::MemoryPermit;
use crate::error::ApiError;

/// Bytes that are read from a file at a time.
const PIECE: usize = 256 << 10;

/// One input of a recipe.
#[derive(Debug, Clone)]
pub(crate) enum InputData {
    /// An image file or a font file.
    Bytes(Bytes),
    /// An image that waits on disk. It is mapped only while it is read: mapped pages count as memory of the process, and
    /// hundreds of inputs may wait.
    File(Arc<SpooledFile>),
    /// The recipe does not need it.
    Nothing,
}

/// A file without a name, and the disk space that it takes.
#[derive(Debug)]
pub(crate) struct SpooledFile {
    file: File,
    length: usize,
    /// Given back with the file.
    _space: MemoryPermit,
}

impl SpooledFile {
    /// `file` was made by `tempfile::tempfile` and is written no more.
    pub(crate) fn new(file: File, length: usize, space: MemoryPermit) -> Self {
        Self { file, length, _space: space }
    }
}

impl InputData {
    /// The bytes, if it has any.
    pub(crate) fn open(&self) -> Result<Option<Bytes>, ApiError> {
        match self {
            Self::Bytes(bytes) => Ok(Some(bytes.clone())),
            Self::File(spooled) => map(&spooled.file).map(Some).map_err(unreadable),
            Self::Nothing => Ok(None),
        }
    }

    /// Passes all bytes to `each`, piece by piece. A file is not mapped: mapped pages count as memory of the process. Blocks.
    pub(crate) fn read(&self, mut each: impl FnMut(&[u8])) -> Result<(), ApiError> {
        match self {
            Self::Bytes(bytes) => each(bytes),
            Self::File(spooled) => {
                let mut piece = vec![0; PIECE.min(spooled.length)];
                let mut at = 0;
                while at < spooled.length {
                    let next = &mut piece[..PIECE.min(spooled.length - at)];
                    spooled.file.read_exact_at(next, at as u64).map_err(unreadable)?;
                    each(next);
                    at += next.len();
                }
            }
            Self::Nothing => {}
        }
        Ok(())
    }

    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Bytes(bytes) => bytes.len(),
            Self::File(spooled) => spooled.length,
            Self::Nothing => 0,
        }
    }
}

#[allow(clippy::needless_pass_by_value, reason = "for map_err")]
fn unreadable(error: std::io::Error) -> ApiError {
    ApiError::SpoolRead { kind: error.kind() }
}

/// Maps a whole file that has no name.
fn map(file: &File) -> std::io::Result<Bytes> {
    // SAFETY: the file was made by `tempfile::tempfile`, which unlinks it at once: no other process can open it,
    // and this process does not write to it any more, so the mapped bytes do not change and do not vanish.
    let map = unsafe { Mmap::map(file)? };
    Ok(Bytes::from_owner(map))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    #[test]
    fn a_mapped_file_outlives_its_handle() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&[7; 10_000]).unwrap();
        let bytes = super::map(&file).unwrap();
        drop(file);
        assert!(bytes.len() == 10_000 && bytes.iter().all(|b| *b == 7));
    }
}
