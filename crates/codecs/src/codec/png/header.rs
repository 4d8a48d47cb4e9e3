//! The chunks of a PNG file up to its image data.
//!
//! Source: PNG (third edition) §11; the order in which colour chunks count is that of §12.2
//! (cICP, iCCP, sRGB, then gAMA and cHRM).

use std::ops::{Range, RangeInclusive};

use super::matrix;
use super::still::{END, Parts};
use crate::icc::{self, MAX_PROFILE};
use crate::{Colour, Error, Format, Orientation, Probe, exif};
use work::Work;

/// Colour type of the samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Gray,
    Rgb,
    Palette,
    GrayAlpha,
    Rgba,
}

/// The parsed chunks.
#[derive(Debug)]
pub(super) struct Header<'a> {
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) kind: Kind,
    /// Bits of a sample (of an index).
    pub(super) depth: u8,
    pub(super) interlaced: bool,
    transparent: bool,
    /// The file has more frames than the default image.
    animated: bool,
    colour: ColourChunks<'a>,
    orientation: Orientation,
    chunks: StillChunks,
    warnings: Vec<&'static str>,
}

/// The positions of the chunks of the still image.
#[derive(Debug, Default)]
struct StillChunks {
    palette: Range<usize>,
    transparency: Range<usize>,
    /// All `IDAT` chunks, which are adjacent.
    image_data: Range<usize>,
    /// The last of them is whole.
    whole: bool,
    /// The file has an end chunk.
    ended: bool,
}

/// Most chunks of a file; encoders write fewer.
const MAX_CHUNKS: u32 = 1 << 20;
/// Chunks between two checks of the deadline.
const CHUNKS_PER_CHECK: u32 = 1024;
/// A larger eXIf chunk is ignored.
const MAX_EXIF: usize = 1 << 20;

const WRONG_CRC: &str = "PNG: a chunk with a wrong checksum was left out";
const NO_END: &str = "PNG: the end chunk is missing";

fn malformed(reason: &str) -> Error {
    Error::Malformed { format: Format::Png, reason: reason.to_owned() }
}

const TRUNCATED: Error = Error::Truncated(Format::Png);

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}

#[derive(Debug, Default)]
struct ColourChunks<'a> {
    cicp: Option<[u8; 4]>,
    iccp: Option<&'a [u8]>,
    srgb: bool,
    gamma: Option<u32>,
    primaries: Option<[u32; 8]>,
}

/// A chunk of the file.
struct Chunk<'a> {
    name: [u8; 4],
    data: &'a [u8],
    /// The whole chunk, including length and checksum.
    range: Range<usize>,
}

impl<'a> Chunk<'a> {
    /// The chunk at `at`, which ends inside the file.
    fn at(bytes: &'a [u8], at: usize) -> Result<Self, Error> {
        let length = u32_at(bytes, at).ok_or(TRUNCATED)?;
        let name = bytes.get(at + 4..at + 8).ok_or(TRUNCATED)?.try_into().unwrap_or_default();
        if length > i32::MAX as u32 {
            return Err(malformed("a chunk of impossible length"));
        }
        let end = at + 12 + length as usize;
        let whole = bytes.get(at..end).ok_or(TRUNCATED)?;
        Ok(Self { name, data: &whole[8..whole.len() - 4], range: at..end })
    }

    fn has_right_crc(&self, bytes: &[u8]) -> bool {
        let covered = &bytes[self.range.start + 4..self.range.end - 4];
        u32_at(bytes, self.range.end - 4) == Some(crc32fast::hash(covered))
    }
}

/// Counts chunks, and checks the deadline regularly.
struct ChunkCount<'w>(u32, &'w Work);

impl ChunkCount<'_> {
    fn one_more(&mut self) -> Result<(), Error> {
        self.0 += 1;
        if self.0 > MAX_CHUNKS {
            return Err(Error::TooLarge(format!("the PNG file has more than {MAX_CHUNKS} chunks")));
        }
        if self.0.is_multiple_of(CHUNKS_PER_CHECK) { Ok(self.1.check()?) } else { Ok(()) }
    }
}

/// Parses the chunks up to the image data, and finds EXIF and the end after it.
pub(super) fn parse<'a>(bytes: &'a [u8], work: &Work) -> Result<Header<'a>, Error> {
    if !bytes.starts_with(b"\x89PNG\r\n\x1a\n") {
        return Err(Error::NotAnImage);
    }
    work.check()?;
    if bytes.len() < IHDR.end {
        return Err(TRUNCATED);
    }
    let first = Chunk::at(bytes, IHDR.start)?;
    if &first.name != b"IHDR" || first.range != IHDR {
        return Err(malformed("it does not begin with its header"));
    }
    let mut header = ihdr(first.data)?;
    let mut at = IHDR.end;
    let mut count = ChunkCount(0, work);
    let mut exif = None;
    loop {
        count.one_more()?;
        if bytes.get(at + 4..at + 8) == Some(b"IDAT") {
            break;
        }
        let chunk = Chunk::at(bytes, at)?;
        at = chunk.range.end;
        match &chunk.name {
            b"IEND" => return Err(malformed("no image data")),
            // The decoder verifies its checksum: without a palette there are no colours.
            b"PLTE" if header.chunks.palette.is_empty() => match (chunk.data.len() % 3, header.kind) {
                (0, _) => header.chunks.palette = chunk.range,
                (_, Kind::Palette) => {
                    return Err(malformed("the length of its palette is not a multiple of 3"));
                }
                // A mere suggestion.
                _ => {}
            },
            b"tRNS" | b"acTL" | b"cICP" | b"iCCP" | b"sRGB" | b"gAMA" | b"cHRM" | b"eXIf" => {
                if chunk.data.len() > MAX_PROFILE {
                    continue;
                }
                if !chunk.has_right_crc(bytes) {
                    header.warn(WRONG_CRC);
                    continue;
                }
                match &chunk.name {
                    b"tRNS" if header.chunks.transparency.is_empty() => {
                        header.transparent = match header.kind {
                            Kind::Palette => chunk.data.iter().any(|&a| a < 255),
                            Kind::Gray | Kind::Rgb => true,
                            Kind::GrayAlpha | Kind::Rgba => false,
                        };
                        header.chunks.transparency = chunk.range;
                    }
                    b"acTL" => header.animated = u32_at(chunk.data, 0).is_some_and(|frames| frames > 1),
                    b"eXIf" if exif.is_none() => exif = Some(chunk.data),
                    _ => header.colour.take(&chunk),
                }
            }
            _ => {}
        }
    }
    let image_data = at;
    // Up to the first other chunk.
    while let Ok(chunk) = Chunk::at(bytes, at)
        && &chunk.name == b"IDAT"
    {
        count.one_more()?;
        at = chunk.range.end;
    }
    // The rest of a file that ends within a chunk, so that the decoder reports the end.
    let broken = bytes.get(at + 4..at + 8) == Some(b"IDAT");
    header.chunks.whole = !broken;
    header.chunks.image_data = image_data..if broken { bytes.len() } else { at };
    while let Ok(chunk) = Chunk::at(bytes, at)
        && !header.chunks.ended
    {
        count.one_more()?;
        header.chunks.ended = &chunk.name == b"IEND";
        if &chunk.name == b"eXIf" && exif.is_none() && chunk.data.len() <= MAX_EXIF {
            if chunk.has_right_crc(bytes) {
                exif = Some(chunk.data);
            } else {
                header.warn(WRONG_CRC);
            }
        }
        at = chunk.range.end;
    }
    if !header.chunks.ended {
        header.warn(NO_END);
    }
    let exif = exif.filter(|data| data.len() <= MAX_EXIF);
    header.orientation = exif.map(|data| exif::orientation(exif::without_prefix(data))).unwrap_or_default();
    Ok(header)
}

/// The position of the header chunk.
const IHDR: Range<usize> = 8..33;

fn ihdr<'a>(data: &[u8]) -> Result<Header<'a>, Error> {
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
        colour: ColourChunks::default(),
        orientation: Orientation::Upright,
        chunks: StillChunks::default(),
        warnings: Vec::new(),
    })
}

/// The colour space that the chunks describe.
fn choose(
    chunks: &ColourChunks<'_>,
    kind: Kind,
    warnings: &mut Vec<&'static str>,
    work: &Work,
) -> Result<Colour, Error> {
    // PNG defines only R G B in full range.
    if let Some([primaries, transfer, 0, 1]) = chunks.cicp {
        return Ok(cicp(primaries, transfer));
    }
    let samples = match kind {
        Kind::Gray | Kind::GrayAlpha => icc::Space::Gray,
        Kind::Rgb | Kind::Palette | Kind::Rgba => icc::Space::Rgb,
    };
    // A chunk without a profile is ignored in favour of the others.
    match chunks.iccp.map(|iccp| inflate(iccp, work)).transpose()? {
        Some(Inflated::Profile(profile)) => icc::colour(&profile, samples, warnings, work),
        Some(Inflated::TooLarge) => Ok(icc::too_large(warnings)),
        Some(Inflated::Damaged) | None => without_profile(chunks, samples, warnings, work),
    }
}

/// The colour space by gAMA and cHRM. As in browsers, cHRM counts only together with gAMA.
fn without_profile(
    chunks: &ColourChunks<'_>,
    samples: icc::Space,
    warnings: &mut Vec<&'static str>,
    work: &Work,
) -> Result<Colour, Error> {
    let Some(gamma) = chunks.gamma.filter(|gamma| !chunks.srgb && GAMMAS.contains(gamma)) else {
        return Ok(Colour::Srgb);
    };
    // Writers of sRGB files, and of files with other primaries and its curve, give a gamma of 1/2.2.
    let transfer = match gamma {
        45_000..=46_000 => Some(13),
        99_000..=101_000 => Some(8),
        _ => None,
    };
    let known = chunks.primaries.map_or(Some(1), |found| {
        const KNOWN: [(u8, [u32; 8]); 5] = [
            (1, [31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000]),
            (5, [31270, 32900, 64000, 33000, 29000, 60000, 15000, 6000]),
            (6, [31270, 32900, 63000, 34000, 31000, 59500, 15500, 7000]),
            (9, [31270, 32900, 70800, 29200, 17000, 79700, 13100, 4600]),
            (12, [31270, 32900, 68000, 32000, 26500, 69000, 15000, 6000]),
        ];
        let close = |known: &[u32; 8]| found.iter().zip(known).all(|(a, b)| a.abs_diff(*b) < 300);
        KNOWN.iter().find(|(_, known)| close(known)).map(|(code, _)| *code)
    });
    if let (Some(primaries), Some(transfer)) = (known, transfer) {
        return Ok(cicp(primaries, transfer));
    }
    let given = chunks
        .primaries
        .map_or(matrix::SRGB, |all| std::array::from_fn(|i| [0, 1].map(|j| f64::from(all[2 * i + j]) / 1e5)));
    let exponent = 1e5 / f64::from(gamma);
    let profile = |primaries| matrix::profile(primaries, exponent, samples);
    match profile(&given).or_else(|| profile(&matrix::SRGB)) {
        Some(profile) => icc::colour(&profile, samples, warnings, work),
        None => Ok(Colour::Srgb),
    }
}

/// Values of gAMA, in 100,000ths, that are used; others describe no image.
const GAMMAS: RangeInclusive<u32> = 10_000..=1_000_000;

fn cicp(primaries: u8, transfer: u8) -> Colour {
    match (primaries, transfer) {
        (1, 13) => Colour::Srgb,
        _ => Colour::Cicp { primaries, transfer },
    }
}

/// The content of an iCCP chunk.
enum Inflated {
    Profile(Vec<u8>),
    TooLarge,
    Damaged,
}

/// The profile in an iCCP chunk: name, NUL, method 0, zlib data; at most [`MAX_PROFILE`] bytes.
fn inflate(chunk: &[u8], work: &Work) -> Result<Inflated, Error> {
    let compressed = || {
        let name = chunk.iter().take(80).position(|&b| b == 0)?;
        chunk.get(name + 1..)?.strip_prefix(&[0])
    };
    let Some(data) = compressed() else { return Ok(Inflated::Damaged) };
    // Deflate expands a byte to at most 1032 bytes.
    let most = data.len().saturating_mul(1032).min(MAX_PROFILE);
    let _held = work.take(most)?;
    Ok(match fdeflate::decompress_to_vec_bounded(data, most) {
        Ok(profile) => Inflated::Profile(profile),
        Err(fdeflate::BoundedDecompressionError::OutputTooLarge { .. }) => Inflated::TooLarge,
        Err(fdeflate::BoundedDecompressionError::DecompressionError { .. }) => Inflated::Damaged,
    })
}

impl<'a> ColourChunks<'a> {
    fn take(&mut self, chunk: &Chunk<'a>) {
        let data = chunk.data;
        match &chunk.name {
            b"cICP" => self.cicp = data.try_into().ok(),
            b"iCCP" => self.iccp = Some(data),
            b"sRGB" => self.srgb = true,
            b"gAMA" => self.gamma = u32_at(data, 0),
            b"cHRM" if data.len() == 32 => {
                self.primaries = Some(std::array::from_fn(|i| u32_at(data, i * 4).unwrap_or(0)));
            }
            _ => {}
        }
    }
}

impl Header<'_> {
    fn warn(&mut self, text: &'static str) {
        if !self.warnings.contains(&text) {
            self.warnings.push(text);
        }
    }

    /// Whether the file ends after its image data: it is whole, although it has no end chunk.
    pub(super) fn lacks_end_only(&self) -> bool {
        self.chunks.whole && !self.chunks.ended
    }

    /// The still image for the decoder.
    pub(super) fn still<'b>(&self, bytes: &'b [u8]) -> Parts<'b> {
        let StillChunks { palette, transparency, image_data, ended, .. } = &self.chunks;
        Parts::new([
            &bytes[..IHDR.end],
            &bytes[palette.clone()],
            &bytes[transparency.clone()],
            &bytes[image_data.clone()],
            if *ended { END } else { &[] },
        ])
    }

    pub(super) fn alpha(&self) -> bool {
        self.transparent || matches!(self.kind, Kind::GrayAlpha | Kind::Rgba)
    }

    /// Bytes of a stored row.
    pub(super) fn raw_row(&self) -> u64 {
        let channels = match self.kind {
            Kind::Gray | Kind::Palette => 1,
            Kind::GrayAlpha => 2,
            Kind::Rgb => 3,
            Kind::Rgba => 4,
        };
        (u64::from(self.width) * channels * u64::from(self.depth)).div_ceil(8)
    }

    pub(super) fn into_probe(self, file_size: usize, work: &Work) -> Result<Probe, Error> {
        let mut probe = Probe::new(Format::Png, self.width, self.height, file_size);
        probe.alpha = self.alpha();
        probe.first_of_many = self.animated;
        probe.palette = self.kind == Kind::Palette;
        probe.palette_entries = probe.palette.then(|| 1 << self.depth.min(8));
        probe.gray = self.kind == Kind::Gray && !probe.alpha;
        probe.whole_bitmap = self.interlaced;
        probe.orientation = self.orientation;
        probe.warnings = self.warnings;
        probe.colour = choose(&self.colour, self.kind, &mut probe.warnings, work)?;
        Ok(probe)
    }
}
