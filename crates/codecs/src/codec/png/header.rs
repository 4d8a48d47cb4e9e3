//! The chunks of a PNG file up to its image data.
//!
//! Source: PNG (third edition) §11; the order in which colour chunks count is that of §12.2
//! (cICP, iCCP, sRGB, then gAMA and cHRM).

use crate::icc::{self, MAX_PROFILE};
use crate::{Colour, Error, Format, Probe, exif};

/// Colour type of the samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Gray,
    Rgb,
    Palette,
    GrayAlpha,
    Rgba,
}

/// What the chunks say.
#[derive(Debug)]
pub(super) struct Header {
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) kind: Kind,
    /// Bits of a sample (of an index).
    pub(super) depth: u8,
    pub(super) interlaced: bool,
    transparent: bool,
    /// More frames than the default image.
    animated: bool,
    colour: Colour,
    exif: Option<Vec<u8>>,
}

fn malformed(reason: &str) -> Error {
    Error::Malformed { format: Format::Png, reason: reason.to_owned() }
}

const TRUNCATED: Error = Error::Truncated(Format::Png);

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}

#[derive(Default)]
struct ColourChunks<'a> {
    cicp: Option<[u8; 4]>,
    iccp: Option<&'a [u8]>,
    srgb: bool,
    gamma: Option<u32>,
    primaries: Option<[u32; 8]>,
}

pub(super) fn parse(bytes: &[u8]) -> Result<Header, Error> {
    if !bytes.starts_with(b"\x89PNG\r\n\x1a\n") {
        return Err(Error::NotAnImage);
    }
    let mut at = 8;
    let mut header: Option<Header> = None;
    let mut colour = ColourChunks::default();
    loop {
        let length = u32_at(bytes, at).ok_or(TRUNCATED)? as usize;
        let name = bytes.get(at + 4..at + 8).ok_or(TRUNCATED)?;
        let Some(head) = &mut header else {
            if name != b"IHDR" || length != 13 {
                return Err(malformed("it does not begin with its header"));
            }
            header = Some(ihdr(bytes.get(at + 8..at + 21).ok_or(TRUNCATED)?)?);
            at += 25;
            continue;
        };
        if name == b"IDAT" {
            head.colour = choose(&colour, head.kind);
            if head.exif.is_none() {
                head.exif = exif_behind(bytes, at);
            }
            break;
        }
        if name == b"IEND" {
            return Err(malformed("no image data"));
        }
        if length > i32::MAX as usize {
            return Err(malformed("a chunk of impossible length"));
        }
        let data = bytes.get(at + 8..at + 8 + length).ok_or(TRUNCATED)?;
        match name {
            b"tRNS" => {
                head.transparent = match head.kind {
                    Kind::Palette => data.iter().any(|&a| a < 255),
                    Kind::Gray | Kind::Rgb => true,
                    Kind::GrayAlpha | Kind::Rgba => false,
                }
            }
            b"acTL" => head.animated = u32_at(data, 0).is_some_and(|frames| frames > 1),
            b"cICP" => colour.cicp = data.try_into().ok(),
            b"iCCP" => colour.iccp = Some(data),
            b"sRGB" => colour.srgb = true,
            b"gAMA" => colour.gamma = u32_at(data, 0),
            b"cHRM" if data.len() == 32 => {
                colour.primaries = Some(std::array::from_fn(|i| u32_at(data, i * 4).unwrap_or(0)));
            }
            b"eXIf" => head.exif = Some(data.strip_prefix(b"Exif\0\0").unwrap_or(data).to_vec()),
            _ => {}
        }
        at += length + 12;
    }
    header.ok_or(TRUNCATED)
}

/// EXIF may also stand behind the image data. A file that ends too early is the decoder's matter.
fn exif_behind(bytes: &[u8], mut at: usize) -> Option<Vec<u8>> {
    loop {
        let length = u32_at(bytes, at)? as usize;
        let name = bytes.get(at + 4..at + 8)?;
        if name == b"eXIf" {
            return Some(bytes.get(at + 8..(at + 8).checked_add(length)?)?.to_vec());
        }
        at = at.checked_add(length)?.checked_add(12)?;
    }
}

fn ihdr(data: &[u8]) -> Result<Header, Error> {
    let [width, height] = [0, 4].map(|at| u32_at(data, at).unwrap_or(0));
    let limit = i32::MAX as u32;
    if !(1..=limit).contains(&width) || !(1..=limit).contains(&height) {
        return Err(malformed("impossible width or height"));
    }
    let kind = match (data[9], data[8]) {
        (0, 1 | 2 | 4 | 8 | 16) => Kind::Gray,
        (2, 8 | 16) => Kind::Rgb,
        (3, 1 | 2 | 4 | 8) => Kind::Palette,
        (4, 8 | 16) => Kind::GrayAlpha,
        (6, 8 | 16) => Kind::Rgba,
        _ => return Err(malformed("impossible colour type or depth")),
    };
    if data[12] > 1 {
        return Err(malformed("unknown interlacing"));
    }
    Ok(Header {
        width,
        height,
        kind,
        depth: data[8],
        interlaced: data[12] == 1,
        transparent: false,
        animated: false,
        colour: Colour::Srgb,
        exif: None,
    })
}

/// The colour space that the chunks describe.
fn choose(chunks: &ColourChunks<'_>, kind: Kind) -> Colour {
    // Only R G B in full range has a meaning in PNG.
    if let Some([primaries, transfer, 0, 1]) = chunks.cicp {
        return cicp(primaries, transfer);
    }
    if let Some(profile) = chunks.iccp.and_then(inflate) {
        let gray = matches!(kind, Kind::Gray | Kind::GrayAlpha);
        return match icc::space(&profile) {
            Some(icc::Space::Rgb) if !gray && !icc::is_srgb(&profile) => Colour::Icc(profile),
            Some(icc::Space::Gray) if gray => Colour::Icc(profile),
            _ => Colour::Srgb,
        };
    }
    if chunks.srgb {
        return Colour::Srgb;
    }
    // Without a profile, the nearest code points. A gamma of 1/2.2 is what writers of sRGB put there.
    let transfer = match chunks.gamma {
        Some(99_000..=101_000) => 8,
        Some(35_000..=36_500) => 5,
        Some(38_000..=39_000) => 17,
        _ => 13,
    };
    let primaries = chunks.primaries.map_or(1, |found| {
        const KNOWN: [(u8, [u32; 8]); 5] = [
            (1, [31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000]),
            (5, [31270, 32900, 64000, 33000, 29000, 60000, 15000, 6000]),
            (6, [31270, 32900, 63000, 34000, 31000, 59500, 15500, 7000]),
            (9, [31270, 32900, 70800, 29200, 17000, 79700, 13100, 4600]),
            (12, [31270, 32900, 68000, 32000, 26500, 69000, 15000, 6000]),
        ];
        let close = |known: &[u32; 8]| found.iter().zip(known).all(|(a, b)| a.abs_diff(*b) < 300);
        KNOWN.iter().find(|(_, known)| close(known)).map_or(1, |(code, _)| *code)
    });
    cicp(primaries, transfer)
}

fn cicp(primaries: u8, transfer: u8) -> Colour {
    match (primaries, transfer) {
        (1, 13) => Colour::Srgb,
        _ => Colour::Cicp { primaries, transfer },
    }
}

/// The profile out of an iCCP chunk: name, NUL, method 0, zlib data; at most [`MAX_PROFILE`] bytes.
fn inflate(chunk: &[u8]) -> Option<Vec<u8>> {
    let name = chunk.iter().take(80).position(|&b| b == 0)?;
    let data = chunk.get(name + 1..)?.strip_prefix(&[0])?;
    fdeflate::decompress_to_vec_bounded(data, MAX_PROFILE).ok()
}

impl Header {
    pub(super) fn alpha(&self) -> bool {
        self.transparent || matches!(self.kind, Kind::GrayAlpha | Kind::Rgba)
    }

    /// Bytes of a row as it is stored.
    pub(super) fn raw_row(&self) -> u64 {
        let channels = match self.kind {
            Kind::Gray | Kind::Palette => 1,
            Kind::GrayAlpha => 2,
            Kind::Rgb => 3,
            Kind::Rgba => 4,
        };
        (u64::from(self.width) * channels * u64::from(self.depth)).div_ceil(8)
    }

    pub(super) fn into_probe(self, file_size: usize) -> Probe {
        let mut probe = Probe::new(Format::Png, self.width, self.height, file_size);
        probe.alpha = self.alpha();
        probe.first_of_many = self.animated;
        probe.palette = self.kind == Kind::Palette;
        probe.gray = self.kind == Kind::Gray && !probe.alpha;
        probe.whole_bitmap = self.interlaced;
        probe.orientation = self.exif.as_deref().map(exif::orientation).unwrap_or_default();
        probe.colour = self.colour;
        probe
    }
}
