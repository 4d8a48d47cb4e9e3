//! The markers of a JPEG file up to its first scan: size, sampling, colours, EXIF and ICC.
//!
//! Source: ITU-T T.81 annex B; JFIF 1.02; Adobe technical note 5116 (APP14); ICC.1 annex B.4 (APP2).
//! The choice of the colour space follows what libjpeg does, so that both see the same file.

use super::scans::{self, Scans};
use crate::icc::{self, MAX_PROFILE};
use crate::{Colour, Error, Format, Metadata, Probe, Subsampling, exif};
use work::Work;

/// How the components are to be understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Space {
    Gray,
    Ycc,
    Rgb,
    /// Also YCCK, which the library turns into CMYK.
    Cmyk,
}

/// What the markers say.
#[derive(Debug)]
pub(super) struct Header {
    pub(super) width: u32,
    pub(super) height: u32,
    /// Sampling factors by component.
    pub(super) factors: Vec<(u32, u32)>,
    pub(super) space: Space,
    pub(super) progressive: bool,
    /// The components come in several scans: coefficients are kept until the last one.
    pub(super) multiple_scans: bool,
    scans: Scans,
    exif: Option<Metadata>,
    colour: Colour,
    warnings: Vec<&'static str>,
}

pub(super) fn malformed(reason: &str) -> Error {
    Error::Malformed { format: Format::Jpeg, reason: reason.to_owned() }
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

/// The frame header (T.81, B.2.2).
pub(super) struct Frame {
    width: u32,
    height: u32,
    pub(super) progressive: bool,
    pub(super) components: Vec<Component>,
}

pub(super) struct Component {
    pub(super) id: u8,
    h: u32,
    v: u32,
}

impl Frame {
    /// Blocks of 8 × 8 samples of a component, in whole MCUs.
    pub(super) fn blocks(&self, component: &Component) -> u64 {
        let max_h = self.components.iter().map(|c| c.h).max().unwrap_or(1);
        let max_v = self.components.iter().map(|c| c.v).max().unwrap_or(1);
        let mcus = u64::from(self.width.div_ceil(8 * max_h)) * u64::from(self.height.div_ceil(8 * max_v));
        mcus * u64::from(component.h * component.v)
    }
}

/// Reads the segments up to the first scan, and looks where the scans end.
pub(super) fn parse(bytes: &[u8], work: &Work) -> Result<Header, Error> {
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
        // Bytes between segments are skipped, as everybody does.
        let start = bytes.get(at..).and_then(|b| b.iter().position(|&b| b == 0xFF)).ok_or(TRUNCATED)?;
        at += start;
        let fill = bytes[at..].iter().position(|&b| b != 0xFF).ok_or(TRUNCATED)?;
        let marker = bytes[at + fill];
        at += fill + 1;
        match marker {
            // Stuffing, and markers without a segment.
            0x00 | 0x01 | 0xD0..=0xD7 => continue,
            0xD8 => return Err(malformed("a second start of image")),
            0xD9 => return Err(malformed("no image before its end")),
            _ => {}
        }
        let length = bytes.get(at..at + 2).ok_or(TRUNCATED)?;
        let length = usize::from(u16::from_be_bytes([length[0], length[1]]));
        if length < 2 {
            return Err(malformed("a segment shorter than its own length"));
        }
        let segment = bytes.get(at + 2..at + length).ok_or(TRUNCATED)?;
        at += length;
        match marker {
            0xDA => return finish(bytes, at, seen, segment, work),
            0xC0..=0xC2 => {
                if seen.frame.is_some() {
                    return Err(malformed("two frames"));
                }
                seen.frame = Some(frame(segment, marker == 0xC2)?);
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

fn frame(segment: &[u8], progressive: bool) -> Result<Frame, Error> {
    let [precision, h1, h0, w1, w0, count, rest @ ..] = segment else {
        return Err(malformed("a short frame header"));
    };
    if *precision != 8 {
        return Err(Error::Unsupported(format!("JPEG: {precision} bits a sample")));
    }
    let (width, height) =
        (u32::from(u16::from_be_bytes([*w1, *w0])), u32::from(u16::from_be_bytes([*h1, *h0])));
    if width == 0 {
        return Err(malformed("a width of 0"));
    }
    if height == 0 {
        return Err(Error::Unsupported("JPEG: the height is only given after the image (DNL)".to_owned()));
    }
    if !matches!(count, 1 | 3 | 4) {
        return Err(Error::Unsupported(format!("JPEG: {count} components")));
    }
    if rest.len() != usize::from(*count) * 3 {
        return Err(malformed("a frame header of the wrong length"));
    }
    let component = |c: &[u8]| Component { id: c[0], h: u32::from(c[1] >> 4), v: u32::from(c[1] & 15) };
    let components: Vec<_> = rest.chunks_exact(3).map(component).collect();
    if components.iter().any(|c| !(1..=4).contains(&c.h) || !(1..=4).contains(&c.v)) {
        return Err(malformed("impossible sampling factors"));
    }
    Ok(Frame { width, height, progressive, components })
}

fn finish(bytes: &[u8], at: usize, seen: Seen<'_>, scan: &[u8], work: &Work) -> Result<Header, Error> {
    let frame = seen.frame.ok_or_else(|| malformed("a scan without a frame"))?;
    let in_scan = usize::from(*scan.first().ok_or_else(|| malformed("an empty scan header"))?);
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
    let mut warnings = Vec::new();
    let scans = scans::follow(bytes, at, scan, &frame, work)?;
    if !scans.ended {
        warnings.push("JPEG: the end marker is missing");
    }
    Ok(Header {
        width: frame.width,
        height: frame.height,
        factors: frame.components.iter().map(|c| (c.h, c.v)).collect(),
        space,
        progressive: frame.progressive,
        multiple_scans: frame.progressive || in_scan < ids.len(),
        scans,
        exif: seen.exif.map(|exif| Metadata::copy(exif, work)).transpose()?,
        colour: colour(seen.icc, space, &mut warnings, work)?,
        warnings,
    })
}

/// Puts the numbered pieces of a profile together; an inconsistent set is no profile.
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

impl Header {
    /// The bytes of the image, without what follows it.
    ///
    /// # Errors
    /// [`Error::Truncated`] where the file breaks off before it announced all coefficients. An end marker alone may be
    /// missing.
    pub(super) fn image<'a>(&self, bytes: &'a [u8]) -> Result<&'a [u8], Error> {
        if !self.scans.ended && !self.scans.complete {
            return Err(TRUNCATED);
        }
        Ok(&bytes[..self.scans.end])
    }

    /// The subsampling of a Y Cb Cr file whose planes can be handed out as they are.
    pub(super) fn subsampling(&self) -> Option<Subsampling> {
        let [(h, v), cb, cr] = self.factors[..] else { return None };
        if self.space != Space::Ycc || cb != cr || !h.is_multiple_of(cb.0) || !v.is_multiple_of(cb.1) {
            return None;
        }
        Subsampling::from_factors(h / cb.0, v / cb.1)
    }

    pub(super) fn into_probe(self, file_size: usize) -> Probe {
        let mut probe = Probe::new(Format::Jpeg, self.width, self.height, file_size);
        probe.subsampling = self.subsampling();
        probe.progressive = self.progressive;
        probe.whole_bitmap = self.multiple_scans;
        probe.gray = self.space == Space::Gray;
        probe.cmyk = self.space == Space::Cmyk;
        probe.orientation = self.exif.as_deref().map(exif::orientation).unwrap_or_default();
        probe.warnings = self.warnings;
        probe.colour = self.colour;
        probe.exif = self.exif;
        probe
    }
}
