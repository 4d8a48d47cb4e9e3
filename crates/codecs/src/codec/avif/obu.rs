//! Open bitstream units (AV1 Bitstream & Decoding Process Specification, 5.3).

/// Types of units (6.2.2).
pub(super) const SEQUENCE_HEADER: u8 = 1;
const FRAME_HEADER: u8 = 3;
const FRAME: u8 = 6;

/// The units of a bitstream, type and payload, up to the first malformed one.
#[derive(Debug, Clone)]
pub(super) struct Units<'a>(pub(super) &'a [u8]);

impl<'a> Iterator for Units<'a> {
    type Item = (u8, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let &head = self.0.first()?;
        let (kind, extension, sized) = (head >> 3 & 15, head & 4 != 0, head & 2 != 0);
        let mut at = 1 + usize::from(extension);
        let size = if sized {
            let mut size = 0_usize;
            for i in 0..5 {
                let &byte = self.0.get(at)?;
                at += 1;
                size |= usize::from(byte & 0x7F) << (7 * i);
                if byte & 0x80 == 0 {
                    break;
                }
            }
            size
        } else {
            self.0.len().saturating_sub(at)
        };
        let end = at.checked_add(size)?;
        let body = self.0.get(at..end)?;
        self.0 = &self.0[end..];
        Some((kind, body))
    }
}

/// Frames in a bitstream, shown or not.
pub(super) fn frames(bitstream: &[u8]) -> usize {
    Units(bitstream).filter(|(kind, _)| matches!(*kind, FRAME_HEADER | FRAME)).count()
}
