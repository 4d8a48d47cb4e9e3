//! The scans of a JPEG file: how many there are, and whether they hold all that the frame announces.
//!
//! Source: ITU-T T.81 annex B (markers), annex G (progressive scans).

use memchr::memchr;

use super::frame::{Frame, malformed};
use crate::Error;
use work::Work;

/// More scans than any encoder writes.
pub(super) const MAX_SCANS: u32 = 100;
/// How often the blocks of an image may be walked through; the usual progressive script does it 6 times.
const MAX_PASSES: u64 = 16;
/// Blocks that may be walked through on top of that: a small image may have more scans. At about 70 ns a block, half a
/// second.
const MORE_BLOCKS: u64 = 6_000_000;
/// Markers between two looks at the clock.
const MARKERS_PER_CHECK: u32 = 4096;

/// What follows the header of the first scan.
#[derive(Debug)]
pub(super) struct Scans {
    /// Where the image ends: behind the end marker, or where the file breaks off.
    pub(super) end: usize,
    /// The end marker is there.
    pub(super) ended: bool,
    /// All coefficients of all components are announced in full precision.
    pub(super) complete: bool,
}

/// Counts scans and coefficients.
struct Tally<'f> {
    frame: &'f Frame,
    scans: u32,
    /// Blocks walked through by all scans, and blocks of the image.
    walked: u64,
    blocks: u64,
    /// Lowest bit that has come of each coefficient, by component; a sequential scan has all of them.
    lowest: Vec<[Option<u8>; 64]>,
}

/// Follows the markers from `at`, behind the header of the first scan, without decoding anything.
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

    /// Takes the header of a scan (T.81, B.2.3).
    fn scan(&mut self, header: &[u8]) -> Result<(), Error> {
        let count = usize::from(*header.first().ok_or_else(|| malformed("an empty scan header"))?);
        let (components, parameters) = header[1..]
            .split_at_checked(count * 2)
            .filter(|(_, parameters)| parameters.len() >= 3)
            .ok_or_else(|| malformed("a short scan header"))?;
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
                "the JPEG file walks through its {} blocks in more than {MAX_PASSES} passes",
                self.blocks
            )));
        }
        Ok(())
    }

    fn is_complete(&self) -> bool {
        self.lowest.iter().flatten().all(|bit| *bit == Some(0))
    }
}
