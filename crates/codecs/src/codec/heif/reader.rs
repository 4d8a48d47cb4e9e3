//! Reads numbers and boxes of the ISO base media file format (ISO/IEC 14496-12, 4.2).

use std::ops::Range;

use crate::{Error, Format};

pub(crate) fn damaged(format: Format, reason: &str) -> Error {
    Error::Malformed { format, reason: reason.to_owned() }
}

pub(crate) fn unsupported(format: Format, what: &str) -> Error {
    Error::Unsupported(format!("{format}: {what}"))
}

/// Big-endian numbers within `bytes[at..end]`. `end` never exceeds the file.
#[derive(Debug, Clone)]
pub(crate) struct Reader<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) at: usize,
    end: usize,
    pub(crate) format: Format,
}

/// Type and content of a box.
pub(crate) struct BoxHeader {
    pub(crate) kind: [u8; 4],
    pub(crate) body: Range<usize>,
}

impl<'a> Reader<'a> {
    pub(crate) fn within(bytes: &'a [u8], range: &Range<usize>, format: Format) -> Self {
        Self { bytes, at: range.start, end: range.end.min(bytes.len()), format }
    }

    /// A part of the same file.
    pub(crate) fn inside(&self, range: &Range<usize>) -> Self {
        Self::within(self.bytes, range, self.format)
    }

    pub(crate) fn damaged(&self, reason: &str) -> Error {
        damaged(self.format, reason)
    }

    pub(crate) fn take(&mut self, n: usize) -> Result<&'a [u8], Error> {
        let end = self.at.checked_add(n).filter(|&e| e <= self.end);
        let part = end.and_then(|end| self.bytes.get(self.at..end));
        let part = part.ok_or_else(|| self.damaged("a box is shorter than its content"))?;
        self.at += n;
        Ok(part)
    }

    /// A number of 0 to 8 bytes.
    pub(crate) fn number(&mut self, n: usize) -> Result<u64, Error> {
        Ok(self.take(n)?.iter().fold(0, |v, &b| v << 8 | u64::from(b)))
    }

    pub(crate) fn u8(&mut self) -> Result<u8, Error> {
        Ok(self.number(1)? as u8)
    }

    pub(crate) fn u16(&mut self) -> Result<u16, Error> {
        Ok(self.number(2)? as u16)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, Error> {
        Ok(self.number(4)? as u32)
    }

    pub(crate) fn kind(&mut self) -> Result<[u8; 4], Error> {
        Ok(self.take(4)?.try_into().unwrap_or_default())
    }

    /// Version and flags of a full box.
    pub(crate) fn version_and_flags(&mut self) -> Result<(u8, u32), Error> {
        let v = self.u32()?;
        Ok(((v >> 24) as u8, v & 0xFF_FFFF))
    }

    /// The next box; `self` is then positioned after it. A box has at least 8 bytes, which bounds every loop over boxes.
    pub(crate) fn next_box(&mut self) -> Result<Option<BoxHeader>, Error> {
        if self.at >= self.end {
            return Ok(None);
        }
        let start = self.at;
        let top_level = self.end == self.bytes.len();
        if top_level && self.rest() < 8 {
            return Err(Error::Truncated(self.format));
        }
        let small = self.u32()?;
        let kind = self.kind()?;
        let size = match small {
            0 => self.end - start,
            1 => usize::try_from(self.number(8)?).map_err(|_| self.damaged("impossible box size"))?,
            n => n as usize,
        };
        let end = start.checked_add(size).filter(|&e| e >= self.at);
        let end = end.ok_or_else(|| self.damaged("impossible box size"))?;
        if end > self.end {
            // A top-level box that ends beyond the file is cut; a box inside another one must not exceed it.
            return Err(if top_level {
                Error::Truncated(self.format)
            } else {
                self.damaged("a box is longer than the one around it")
            });
        }
        let body = self.at..end;
        self.at = end;
        Ok(Some(BoxHeader { kind, body }))
    }

    pub(crate) fn rest(&self) -> usize {
        self.end - self.at
    }
}
