//! The chunks that make the still image of a PNG file, as one stream for the decoder.
//!
//! The decoder does not get other chunks (text, animation, unknown ones): a fault in a chunk that the still image does not
//! need must not affect it, and no such chunk takes time.

use std::io::{self, BufRead, Read, Seek, SeekFrom};

/// The end of every PNG file: an empty `IEND` chunk.
pub(super) const END: &[u8] = b"\0\0\0\0IEND\xAE\x42\x60\x82";

/// Parts of a file, read one after the other.
#[derive(Debug)]
pub(super) struct Parts<'a> {
    parts: [&'a [u8]; 5],
    next: usize,
}

impl<'a> Parts<'a> {
    pub(super) fn new(parts: [&'a [u8]; 5]) -> Self {
        Self { parts, next: 0 }
    }
}

impl BufRead for Parts<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while self.parts.get(self.next).is_some_and(|part| part.is_empty()) {
            self.next += 1;
        }
        Ok(self.parts.get(self.next).copied().unwrap_or_default())
    }

    fn consume(&mut self, amount: usize) {
        if let Some(part) = self.parts.get_mut(self.next) {
            *part = part.get(amount..).unwrap_or_default();
        }
    }
}

impl Read for Parts<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let mut part = self.fill_buf()?;
        let taken = part.read(out)?;
        self.consume(taken);
        Ok(taken)
    }
}

/// The decoder requires the trait but does not use it.
impl Seek for Parts<'_> {
    fn seek(&mut self, _to: SeekFrom) -> io::Result<u64> {
        Err(io::ErrorKind::Unsupported.into())
    }
}
