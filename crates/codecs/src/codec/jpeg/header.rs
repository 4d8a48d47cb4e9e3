//! The markers of a JPEG file up to its first scan: size, sampling, colours, EXIF and ICC.
//!
//! Source: ITU-T T.81 annex B; JFIF 1.02; Adobe technical note 5116 (APP14); ICC.1 annex B.4 (APP2).
//! The choice of the colour space follows what libjpeg does, so that both see the same file.

use crate::icc::{self, MAX_PROFILE};
use crate::{Colour, Error, Format, Probe, Subsampling, exif};

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
    exif: Option<Vec<u8>>,
    icc: Option<Vec<u8>>,
}

fn malformed(reason: &str) -> Error {
    Error::Malformed { format: Format::Jpeg, reason: reason.to_owned() }
}

const TRUNCATED: Error = Error::Truncated(Format::Jpeg);

#[derive(Default)]
struct Seen<'a> {
    jfif: bool,
    adobe: Option<u8>,
    exif: Option<&'a [u8]>,
    icc: Vec<(u8, u8, &'a [u8])>,
    frame: Option<Frame>,
}

struct Frame {
    width: u32,
    height: u32,
    progressive: bool,
    /// Identifier, horizontal and vertical factor.
    components: Vec<(u8, u32, u32)>,
}

pub(super) fn parse(bytes: &[u8]) -> Result<Header, Error> {
    if bytes.get(..2) != Some(&[0xFF, 0xD8]) {
        return Err(Error::NotAnImage);
    }
    let mut seen = Seen::default();
    let mut at = 2;
    loop {
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
            0xDA => return finish(seen, segment),
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
                if let Some([number, count, data @ ..]) = segment.strip_prefix(b"ICC_PROFILE\0") {
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
    let components: Vec<_> =
        rest.chunks_exact(3).map(|c| (c[0], u32::from(c[1] >> 4), u32::from(c[1] & 15))).collect();
    if components.iter().any(|&(_, h, v)| !(1..=4).contains(&h) || !(1..=4).contains(&v)) {
        return Err(malformed("impossible sampling factors"));
    }
    Ok(Frame { width, height, progressive, components })
}

fn finish(seen: Seen<'_>, scan: &[u8]) -> Result<Header, Error> {
    let frame = seen.frame.ok_or_else(|| malformed("a scan without a frame"))?;
    let in_scan = usize::from(*scan.first().ok_or_else(|| malformed("an empty scan header"))?);
    let ids: Vec<u8> = frame.components.iter().map(|c| c.0).collect();
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
        factors: frame.components.iter().map(|&(_, h, v)| (h, v)).collect(),
        space,
        progressive: frame.progressive,
        multiple_scans: frame.progressive || in_scan < ids.len(),
        exif: seen.exif.map(<[u8]>::to_vec),
        icc: assemble(seen.icc),
    })
}

/// Puts the numbered pieces of a profile together; an inconsistent set is no profile.
fn assemble(mut pieces: Vec<(u8, u8, &[u8])>) -> Option<Vec<u8>> {
    pieces.sort_by_key(|p| p.0);
    let total: usize = pieces.iter().map(|p| p.2.len()).sum();
    let complete = pieces
        .iter()
        .enumerate()
        .all(|(i, &(number, count, _))| usize::from(number) == i + 1 && usize::from(count) == pieces.len());
    (complete && total > 0 && total <= MAX_PROFILE)
        .then(|| pieces.iter().flat_map(|p| p.2.iter().copied()).collect())
}

impl Header {
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
        // A profile for other samples than the file has is ignored, as browsers do.
        let fits = |profile: &[u8]| match icc::space(profile) {
            Some(icc::Space::Rgb) => matches!(self.space, Space::Ycc | Space::Rgb) && !icc::is_srgb(profile),
            Some(icc::Space::Gray) => self.space == Space::Gray,
            Some(icc::Space::Cmyk) => self.space == Space::Cmyk,
            Some(icc::Space::Other) | None => false,
        };
        if let Some(profile) = self.icc.filter(|p| fits(p)) {
            probe.colour = Colour::Icc(profile);
        }
        probe.exif = self.exif;
        probe
    }
}
