//! Reads numbers and boxes of the ISO base media file format (ISO/IEC 14496-12, 4.2).

use std::ops::Range;

use crate::{Error, Format};

pub(super) const TRUNCATED: Error = Error::Truncated(Format::Avif);

pub(super) fn damaged(reason: &str) -> Error {
    Error::Malformed { format: Format::Avif, reason: reason.to_owned() }
}

pub(super) fn unsupported(what: &str) -> Error {
    Error::Unsupported(format!("AVIF: {what}"))
}

/// Big-endian numbers within `bytes[at..end]`. `end` never exceeds the file.
#[derive(Debug, Clone)]
pub(super) struct Reader<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) at: usize,
    end: usize,
}

/// Type and content of a box.
pub(super) struct BoxHeader {
    pub(super) kind: [u8; 4],
    pub(super) body: Range<usize>,
}

impl<'a> Reader<'a> {
    pub(super) fn within(bytes: &'a [u8], range: &Range<usize>) -> Self {
        Self { bytes, at: range.start, end: range.end.min(bytes.len()) }
    }

    pub(super) fn take(&mut self, n: usize) -> Result<&'a [u8], Error> {
        let end = self.at.checked_add(n).filter(|&e| e <= self.end);
        let part = end.and_then(|end| self.bytes.get(self.at..end));
        let part = part.ok_or_else(|| damaged("a box is shorter than its content"))?;
        self.at += n;
        Ok(part)
    }

    /// A number of 0 to 8 bytes.
    pub(super) fn number(&mut self, n: usize) -> Result<u64, Error> {
        Ok(self.take(n)?.iter().fold(0, |v, &b| v << 8 | u64::from(b)))
    }

    pub(super) fn u8(&mut self) -> Result<u8, Error> {
        Ok(self.number(1)? as u8)
    }

    pub(super) fn u16(&mut self) -> Result<u16, Error> {
        Ok(self.number(2)? as u16)
    }

    pub(super) fn u32(&mut self) -> Result<u32, Error> {
        Ok(self.number(4)? as u32)
    }

    pub(super) fn kind(&mut self) -> Result<[u8; 4], Error> {
        Ok(self.take(4)?.try_into().unwrap_or_default())
    }

    /// Version and flags of a full box.
    pub(super) fn version_and_flags(&mut self) -> Result<(u8, u32), Error> {
        let v = self.u32()?;
        Ok(((v >> 24) as u8, v & 0xFF_FFFF))
    }

    /// The next box; `self` then stands behind it. A box takes at least 8 bytes, which bounds every loop over boxes.
    pub(super) fn next_box(&mut self) -> Result<Option<BoxHeader>, Error> {
        if self.at >= self.end {
            return Ok(None);
        }
        let start = self.at;
        let top_level = self.end == self.bytes.len();
        if top_level && self.rest() < 8 {
            return Err(TRUNCATED);
        }
        let small = self.u32()?;
        let kind = self.kind()?;
        let size = match small {
            0 => self.end - start,
            1 => usize::try_from(self.number(8)?).map_err(|_| damaged("impossible box size"))?,
            n => n as usize,
        };
        let end = start.checked_add(size).filter(|&e| e >= self.at);
        let end = end.ok_or_else(|| damaged("impossible box size"))?;
        if end > self.end {
            // A box that ends behind the file is cut off; inside another box it contradicts that one.
            return Err(if top_level {
                TRUNCATED
            } else {
                damaged("a box is longer than the one around it")
            });
        }
        let body = self.at..end;
        self.at = end;
        Ok(Some(BoxHeader { kind, body }))
    }

    pub(super) fn rest(&self) -> usize {
        self.end - self.at
    }
}
