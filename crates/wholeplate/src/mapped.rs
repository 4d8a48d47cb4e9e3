//! A spooled file as bytes, without reading it back into memory of our own.

#![allow(unsafe_code)]

use std::fs::File;

use bytes::Bytes;
use memmap2::Mmap;

/// Maps a whole file that has no name.
///
/// # Errors
/// What the system call returns.
pub(crate) fn map(file: &File) -> std::io::Result<Bytes> {
    // SAFETY: the file was made by `tempfile::tempfile`, which unlinks it at once: no other process can open it,
    // and this process writes to it no more, so the mapped bytes do not change and do not vanish.
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
