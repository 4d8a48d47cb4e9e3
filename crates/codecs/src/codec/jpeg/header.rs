//! The markers of a JPEG file up to its first scan: size, sampling, colours, EXIF and ICC; on request, its scans.
//!
//! Source: ITU-T T.81 annex B; JFIF 1.02; Adobe technical note 5116 (APP14); ICC.1 annex B.4 (APP2).
//! The colour space is chosen as in libjpeg, so that both agree.

use super::frame::{Frame, malformed};
use super::scans::{self, Scans};
use crate::icc::{self, MAX_PROFILE};
use crate::{Colour, Error, Format, Metadata, Probe, Subsampling, exif};
use work::Work;

/// The colour space of the components.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Space {
    Gray,
    Ycc,
    Rgb,
    /// Also YCCK, which the library converts to CMYK.
    Cmyk,
}

/// The parsed markers.
#[derive(Debug)]
pub(super) struct Header<'a> {
    pub(super) width: u32,
    pub(super) height: u32,
    /// Sampling factors by component.
    pub(super) factors: Vec<(u32, u32)>,
    pub(super) space: Space,
    pub(super) progressive: bool,
    /// The components are in several scans: coefficients are kept until the last one.
    pub(super) multiple_scans: bool,
    frame: Frame,
    /// The header of the first scan, and where its data begins.
    first_scan: (&'a [u8], usize),
    exif: Option<&'a [u8]>,
    /// Number, count and content of the pieces of a profile.
    icc: Vec<(u8, u8, &'a [u8])>,
}

const TRUNCATED: Error = Error::Truncated(Format::Jpeg);

/// Pieces of an ICC profile: their number is a byte. With one more the set is inconsistent.
const MAX_ICC_PIECES: usize = 256;

#[derive(Default)]
struct Seen<'a> {
    jfif: bool,
    adobe: Option<u8>,
    exif: Option<&'a [u8]>,
    icc: Vec<(u8, u8, &'a [u8])>,
    frame: Option<Frame>,
}

/// Parses the segments up to the first scan.
pub(super) fn parse<'a>(bytes: &'a [u8], work: &Work) -> Result<Header<'a>, Error> {
    if bytes.get(..2) != Some(&[0xFF, 0xD8]) {
        return Err(Error::NotAnImage);
    }
    let mut seen = Seen::default();
    let mut at = 2;
    let mut segments = 0_u32;
    loop {
        segments += 1;
        if segments.is_multiple_of(1024) {
            work.check()?;
        }
        // Bytes between segments are skipped, as in other decoders.
        let start = bytes.get(at..).and_then(|b| b.iter().position(|&b| b == 0xFF)).ok_or(TRUNCATED)?;
        at += start;
        let fill = bytes[at..].iter().position(|&b| b != 0xFF).ok_or(TRUNCATED)?;
        let marker = bytes[at + fill];
        at += fill + 1;
        match marker {
            // Stuffing, and markers without a segment.
            0x00 | 0x01 | 0xD0..=0xD7 => continue,
            0xD8 => return Err(malformed("it has a second start of image")),
            0xD9 => return Err(malformed("the file ends before an image")),
            _ => {}
        }
        let length = bytes.get(at..at + 2).ok_or(TRUNCATED)?;
        let length = usize::from(u16::from_be_bytes([length[0], length[1]]));
        if length < 2 {
            return Err(malformed("a segment is shorter than its length field"));
        }
        let segment = bytes.get(at + 2..at + length).ok_or(TRUNCATED)?;
        at += length;
        match marker {
            0xDA => return finish(at, seen, segment),
            0xC0..=0xC2 => {
                if seen.frame.is_some() {
                    return Err(malformed("two frames"));
                }
                seen.frame = Some(Frame::read(segment, marker == 0xC2)?);
            }
            0xC3 | 0xC5..=0xC7 | 0xC9..=0xCB | 0xCD..=0xCF => {
                return Err(Error::Unsupported(format!(
                    "JPEG: {} coding (frame type {})",
                    if marker > 0xC8 { "arithmetic" } else { "lossless or hierarchical" },
                    marker - 0xC0
                )));
            }
            0xE0 if segment.len() >= 14 && segment.starts_with(b"JFIF\0") => seen.jfif = true,
            0xE1 if seen.exif.is_none() => seen.exif = segment.strip_prefix(b"Exif\0\0"),
            0xE2 => {
                if let Some([number, count, data @ ..]) = segment.strip_prefix(b"ICC_PROFILE\0")
                    && seen.icc.len() < MAX_ICC_PIECES
                {
                    seen.icc.push((*number, *count, data));
                }
            }
            0xEE if segment.len() >= 12 && segment.starts_with(b"Adobe") => seen.adobe = Some(segment[11]),
            _ => {}
        }
    }
}

fn finish<'a>(at: usize, seen: Seen<'a>, scan: &'a [u8]) -> Result<Header<'a>, Error> {
    let frame = seen.frame.ok_or_else(|| malformed("a scan has no frame"))?;
    let in_scan = usize::from(*scan.first().ok_or_else(|| malformed("a scan header is empty"))?);
    let ids: Vec<u8> = frame.components.iter().map(|c| c.id).collect();
    let space = match (ids.len(), seen.jfif, seen.adobe, &ids[..]) {
        (1, ..) => Space::Gray,
        (4, ..) => Space::Cmyk,
        (_, true, ..) => Space::Ycc,
        (_, _, Some(0), _) => Space::Rgb,
        (_, _, Some(_), _) => Space::Ycc,
        (_, _, None, b"RGB") => Space::Rgb,
        _ => Space::Ycc,
    };
    Ok(Header {
        width: frame.width,
        height: frame.height,
        factors: frame.components.iter().map(|c| (c.h, c.v)).collect(),
        space,
        progressive: frame.progressive,
        multiple_scans: frame.progressive || in_scan < ids.len(),
        frame,
        first_scan: (scan, at),
        exif: seen.exif,
        icc: seen.icc,
    })
}

/// Joins the numbered pieces of a profile; an inconsistent set is ignored.
fn colour(
    mut pieces: Vec<(u8, u8, &[u8])>,
    space: Space,
    warnings: &mut Vec<&'static str>,
    work: &Work,
) -> Result<Colour, Error> {
    pieces.sort_by_key(|p| p.0);
    let complete = pieces
        .iter()
        .enumerate()
        .all(|(i, &(number, count, _))| usize::from(number) == i + 1 && usize::from(count) == pieces.len());
    let total: usize = pieces.iter().map(|p| p.2.len()).sum();
    if !complete || total == 0 {
        return Ok(Colour::Srgb);
    }
    let samples = match space {
        Space::Gray => icc::Space::Gray,
        Space::Ycc | Space::Rgb => icc::Space::Rgb,
        Space::Cmyk => icc::Space::Cmyk,
    };
    if total > MAX_PROFILE {
        return Ok(icc::too_large(warnings));
    }
    let _held = work.take(total)?;
    let profile = pieces.iter().map(|p| p.2).collect::<Vec<_>>().concat();
    icc::colour(&profile, samples, warnings, work)
}

impl Header<'_> {
    /// Follows the scans of the file to their end. This reads the whole file.
    pub(super) fn follow_scans(&self, bytes: &[u8], work: &Work) -> Result<Scans, Error> {
        let (scan, at) = self.first_scan;
        scans::follow(bytes, at, scan, &self.frame, work)
    }

    /// The subsampling of a Y Cb Cr file whose planes can be yielded unchanged.
    pub(super) fn subsampling(&self) -> Option<Subsampling> {
        let [(h, v), cb, cr] = self.factors[..] else { return None };
        if self.space != Space::Ycc || cb != cr || !h.is_multiple_of(cb.0) || !v.is_multiple_of(cb.1) {
            return None;
        }
        Subsampling::from_factors(h / cb.0, v / cb.1)
    }

    /// `scans` are those of the same file.
    pub(super) fn into_probe(self, scans: &Scans, file_size: usize, work: &Work) -> Result<Probe, Error> {
        let mut probe = Probe::new(Format::Jpeg, self.width, self.height, file_size);
        // Only the end marker may be missing.
        probe.image_end = (scans.ended || scans.complete).then_some(scans.end);
        probe.subsampling = self.subsampling();
        for (place, (h, v)) in probe.factors.iter_mut().zip(&self.factors) {
            // At most 4 each.
            *place = (*h as u8, *v as u8);
        }
        probe.progressive = self.progressive;
        probe.whole_bitmap = self.multiple_scans;
        probe.gray = self.space == Space::Gray;
        probe.cmyk = self.space == Space::Cmyk;
        probe.orientation = self.exif.map(exif::orientation).unwrap_or_default();
        if !scans.ended {
            probe.warnings.push("JPEG: the end marker is missing");
        }
        probe.colour = colour(self.icc, self.space, &mut probe.warnings, work)?;
        probe.exif = self.exif.map(|exif| Metadata::copy(exif, work)).transpose()?;
        Ok(probe)
    }
}
