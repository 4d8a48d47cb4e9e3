//! The AV1 sequence header (AV1 Bitstream & Decoding Process Specification, 5.5): depth, chroma, colours.

use super::error::damaged;
use super::obu::{SEQUENCE_HEADER, Units};
use crate::Error;
use crate::codec::heif::Cicp;

/// The fields of the sequence header that a still image needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SequenceHeader {
    /// 8, 10 or 12.
    pub(super) depth: u8,
    pub(super) monochrome: bool,
    /// Log2 of luma samples per chroma sample, horizontally and vertically.
    pub(super) subsampling: (u8, u8),
    pub(super) cicp: Cicp,
    pub(super) max_width: u32,
    pub(super) max_height: u32,
}

struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Bits<'_> {
    fn take(&mut self, n: u32) -> Result<u32, Error> {
        let mut v = 0;
        for _ in 0..n {
            let byte =
                self.bytes.get(self.at / 8).ok_or_else(|| damaged("the sequence header is too short"))?;
            v = v << 1 | u32::from(byte >> (7 - self.at % 8) & 1);
            self.at += 1;
        }
        Ok(v)
    }

    fn flag(&mut self) -> Result<bool, Error> {
        Ok(self.take(1)? != 0)
    }

    /// uvlc() of the specification.
    fn variable(&mut self) -> Result<u32, Error> {
        let mut zeros = 0;
        while !self.flag()? {
            zeros += 1;
            if zeros >= 32 {
                return Err(damaged("a number of more than 32 bits in the sequence header"));
            }
        }
        self.take(zeros)
    }
}

impl SequenceHeader {
    /// Finds the sequence header among open bitstream units.
    pub(super) fn find(bitstream: &[u8]) -> Result<Option<Self>, Error> {
        // It comes first, after at most a delimiter and some metadata.
        let unit = Units(bitstream).take(16).find(|(kind, _)| *kind == SEQUENCE_HEADER);
        unit.map(|(_, body)| Self::parse(body)).transpose()
    }

    fn parse(body: &[u8]) -> Result<Self, Error> {
        let mut b = Bits { bytes: body, at: 0 };
        let profile = b.take(3)?;
        let _still = b.flag()?;
        let reduced = b.flag()?;
        let mut decoder_model = None;
        if reduced {
            b.take(5)?;
        } else {
            if b.flag()? {
                b.take(32)?;
                b.take(32)?;
                if b.flag()? {
                    b.variable()?;
                }
                if b.flag()? {
                    decoder_model = Some(b.take(5)? + 1);
                    b.take(32)?;
                    b.take(10)?;
                }
            }
            let display_delay = b.flag()?;
            let points = b.take(5)? + 1;
            for _ in 0..points {
                b.take(12)?;
                if b.take(5)? > 7 {
                    b.take(1)?;
                }
                if let Some(n) = decoder_model
                    && b.flag()?
                {
                    b.take(n)?;
                    b.take(n)?;
                    b.take(1)?;
                }
                if display_delay && b.flag()? {
                    b.take(4)?;
                }
            }
        }
        let (wide, high) = (b.take(4)? + 1, b.take(4)? + 1);
        let (max_width, max_height) = (b.take(wide)? + 1, b.take(high)? + 1);
        if !reduced && b.flag()? {
            b.take(4)?;
            b.take(3)?;
        }
        // 128 × 128 blocks, filter-intra, intra edge filter.
        b.take(3)?;
        if !reduced {
            // Interintra, masked, warped, dual filter.
            b.take(4)?;
            let order_hint = b.flag()?;
            if order_hint {
                b.take(2)?;
            }
            let screen_content = if b.flag()? { 2 } else { b.take(1)? };
            if screen_content > 0 && !b.flag()? {
                b.take(1)?;
            }
            if order_hint {
                b.take(3)?;
            }
        }
        // Super-resolution, CDEF, restoration.
        b.take(3)?;
        Self::colours(&mut b, profile, max_width, max_height)
    }

    fn colours(b: &mut Bits<'_>, profile: u32, max_width: u32, max_height: u32) -> Result<Self, Error> {
        let high = b.flag()?;
        let depth = match (high, profile) {
            (true, 2) => {
                if b.flag()? {
                    12
                } else {
                    10
                }
            }
            (true, _) => 10,
            (false, _) => 8,
        };
        let monochrome = profile != 1 && b.flag()?;
        let mut cicp = Cicp { primaries: 2, transfer: 2, matrix: 2, full_range: false };
        if b.flag()? {
            cicp.primaries = b.take(8)? as u8;
            cicp.transfer = b.take(8)? as u8;
            cicp.matrix = b.take(8)? as u8;
        }
        let mut subsampling = (1, 1);
        if monochrome {
            cicp.full_range = b.flag()?;
        } else if (cicp.primaries, cicp.transfer, cicp.matrix) == (1, 13, 0) {
            cicp.full_range = true;
            subsampling = (0, 0);
        } else {
            cicp.full_range = b.flag()?;
            subsampling = match profile {
                0 => (1, 1),
                1 => (0, 0),
                _ if depth == 12 => {
                    let x = b.flag()?;
                    (u8::from(x), u8::from(x && b.flag()?))
                }
                _ => (1, 0),
            };
        }
        Ok(Self { depth, monochrome, subsampling, cicp, max_width, max_height })
    }
}
