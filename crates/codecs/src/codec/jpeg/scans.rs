//! The scans of a JPEG file: their number, and whether they contain all announced coefficients.
//!
//! Source: ITU-T T.81 annex B (markers), annex G (progressive scans).

use memchr::memchr;

use super::frame::{Frame, malformed};
use crate::Error;
use work::Work;

/// Most scans of a file; encoders write fewer.
pub(super) const MAX_SCANS: u32 = 100;
/// Most passes over the blocks of an image; the usual progressive script has 6.
const MAX_PASSES: u64 = 16;
/// Additional blocks beyond that limit, so that a small image may have more scans. Half a second at about 70 ns a
/// block.
const MORE_BLOCKS: u64 = 6_000_000;
/// Markers between two checks of the deadline.
const MARKERS_PER_CHECK: u32 = 4096;

/// The scans of a file, after the header of the first one.
#[derive(Debug)]
pub(super) struct Scans {
    /// The end of the image: after the end marker, or the end of the file.
    pub(super) end: usize,
    /// The end marker is present.
    pub(super) ended: bool,
    /// All coefficients of all components are announced in full precision.
    pub(super) complete: bool,
}

/// Counts scans and coefficients.
struct Tally<'f> {
    frame: &'f Frame,
    scans: u32,
    /// Blocks in all scans, and blocks of the image.
    walked: u64,
    blocks: u64,
    /// Lowest bit seen of each coefficient, by component; a sequential scan has all of them.
    lowest: Vec<[Option<u8>; 64]>,
}

/// Follows the markers from `at`, after the header of the first scan, without decoding.
pub(super) fn follow(
    bytes: &[u8],
    mut at: usize,
    first: &[u8],
    frame: &Frame,
    work: &Work,
) -> Result<Scans, Error> {
    let mut tally = Tally::new(frame);
    tally.scan(first)?;
    let mut markers = 0_u32;
    let ended = loop {
        let Some(skipped) = memchr(0xFF, &bytes[at..]) else {
            at = bytes.len();
            break false;
        };
        at += skipped;
        let Some(fill) = bytes[at..].iter().position(|&b| b != 0xFF) else { break false };
        markers = markers.wrapping_add(1);
        if markers.is_multiple_of(MARKERS_PER_CHECK) {
            work.check()?;
        }
        let behind = at + fill + 1;
        match bytes[at + fill] {
            // Stuffed bytes, restarts, markers without a segment.
            0x00 | 0x01 | 0xD0..=0xD7 => at = behind,
            0xD9 => {
                at = behind;
                break true;
            }
            marker => {
                let length =
                    bytes.get(behind..behind + 2).map(|l| usize::from(u16::from_be_bytes([l[0], l[1]])));
                let segment = length.and_then(|length| bytes.get(behind + 2..behind + length));
                let Some(segment) = segment else { break false };
                if marker == 0xDA {
                    tally.scan(segment)?;
                }
                at = behind + 2 + segment.len();
            }
        }
    };
    Ok(Scans { end: at, ended, complete: tally.is_complete() })
}

impl<'f> Tally<'f> {
    fn new(frame: &'f Frame) -> Self {
        let lowest = vec![[None; 64]; frame.components.len()];
        let blocks = frame.components.iter().map(|c| frame.blocks(c)).sum();
        Self { frame, scans: 0, walked: 0, blocks, lowest }
    }

    /// Counts a scan by its header (T.81, B.2.3).
    fn scan(&mut self, header: &[u8]) -> Result<(), Error> {
        let count = usize::from(*header.first().ok_or_else(|| malformed("a scan header is empty"))?);
        let (components, parameters) = header[1..]
            .split_at_checked(count * 2)
            .filter(|(_, parameters)| parameters.len() >= 3)
            .ok_or_else(|| malformed("a scan header is too short"))?;
        let (first, last) = (usize::from(parameters[0]), usize::from(parameters[1]));
        let (range, bit) =
            if self.frame.progressive { (first..last.min(63) + 1, parameters[2] & 15) } else { (0..64, 0) };
        for pair in components.chunks_exact(2) {
            let Some(index) = self.frame.components.iter().position(|c| c.id == pair[0]) else { continue };
            self.walked += self.frame.blocks(&self.frame.components[index]);
            if let Some(coefficients) = self.lowest[index].get_mut(range.clone()) {
                coefficients.fill(Some(bit));
            }
        }
        self.scans += 1;
        if self.scans > MAX_SCANS {
            return Err(Error::TooLarge(format!("the JPEG file has more than {MAX_SCANS} scans")));
        }
        if self.walked > MAX_PASSES * self.blocks + MORE_BLOCKS {
            return Err(Error::TooLarge(format!(
                "the scans of the JPEG file pass over its {} blocks more than {MAX_PASSES} times",
                self.blocks
            )));
        }
        Ok(())
    }

    fn is_complete(&self) -> bool {
        self.lowest.iter().flatten().all(|bit| *bit == Some(0))
    }
}
