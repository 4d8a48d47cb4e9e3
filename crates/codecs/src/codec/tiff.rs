//! TIFF, input only, through the `tiff` crate: the first picture of a file, one band of strips or tiles at a time.
//!
//! Supported: grey, R G B and C M Y K with 1–16 bits (C M Y K: 8), alpha, no compression, LZW, Deflate, PackBits and
//! fax, tiles, planar files. Not supported: palettes, JPEG compression, Y Cb Cr, L*a*b* and floats.

mod bands;

use std::io::Cursor;

use ::tiff::decoder::{Decoder, Limits};
use ::tiff::tags::Tag;
use ::tiff::{ColorType, TiffError};

use self::bands::Bands;
use crate::icc;
use crate::ifd;
use crate::{Codec, DecodeSpec, Error, Format, Layout, Orientation, Probe, RowSource};
use work::{Reservation, Work};

/// The TIFF codec.
#[derive(Debug)]
pub(crate) struct Tiff;

/// Tallest band; a file with taller strips or tiles counts as a whole bitmap.
const BAND_ROWS: u32 = 512;
/// Most strips or tiles of a picture.
const MAX_PIECES: u32 = 1 << 20;
/// Bytes that the library allocates for each entry of their lists.
const PIECE_BYTES: usize = size_of::<::tiff::decoder::ifd::Value>() + 16;
/// Tags that the library reads when it opens a file, and the most values of each: a few for each sample.
const READ_TAGS: [Tag; 14] = [
    Tag::ImageWidth,
    Tag::ImageLength,
    Tag::BitsPerSample,
    Tag::Compression,
    Tag::PhotometricInterpretation,
    Tag::SamplesPerPixel,
    Tag::RowsPerStrip,
    Tag::PlanarConfiguration,
    Tag::Predictor,
    Tag::TileWidth,
    Tag::TileLength,
    Tag::ExtraSamples,
    Tag::SampleFormat,
    Tag::ChromaSubsampling,
];
const MAX_VALUES: u32 = 4096;
/// The decompressors' windows and the library's tables.
const TABLES: u64 = 1 << 20;

/// The conversion of a pixel's samples to 8 bits of a layout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Pixels {
    layout: Layout,
    /// Bits of a sample as stored.
    depth: u8,
    /// Samples of a pixel in the library's output.
    samples: usize,
    /// The colours are already multiplied by alpha.
    premultiplied: bool,
}

fn damaged(reason: impl Into<String>) -> Error {
    Error::Malformed { format: Format::Tiff, reason: reason.into() }
}

fn failed(error: TiffError) -> Error {
    match error {
        TiffError::IoError(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => {
            Error::Truncated(Format::Tiff)
        }
        TiffError::UnsupportedError(e) => Error::Unsupported(format!("TIFF: {e}")),
        TiffError::LimitsExceeded | TiffError::IntSizeError => {
            Error::TooLarge("a part of the TIFF file is too large".to_owned())
        }
        other => damaged(other.to_string()),
    }
}

/// A file whose first directory has been read.
struct File<'a> {
    decoder: Decoder<Cursor<&'a [u8]>>,
    width: u32,
    height: u32,
    pixels: Pixels,
    /// The lists of its strips and tiles.
    lists: Reservation,
}

impl<'a> File<'a> {
    fn open(bytes: &'a [u8], work: &Work) -> Result<Self, Error> {
        let lists = lists(bytes, work)?;
        let mut decoder = Decoder::new(Cursor::new(bytes)).map_err(failed)?;
        let mut limits = Limits::default();
        // A compressed piece is read from the file without a limit of its own.
        limits.intermediate_buffer_size = bytes.len();
        decoder = decoder.with_limits(limits);
        let (width, height) = decoder.dimensions().map_err(failed)?;
        if width == 0 || height == 0 {
            return Err(damaged("the width or height is 0"));
        }
        let pixels = pixels(&mut decoder)?;
        Ok(Self { decoder, width, height, pixels, lists })
    }

    /// Width and height of a strip or tile.
    fn piece(&self) -> Result<(u32, u32), Error> {
        let (width, height) = self.decoder.chunk_dimensions();
        if width == 0 || height == 0 {
            return Err(damaged("the strips or tiles are empty"));
        }
        Ok((width.min(self.width), height.min(self.height)))
    }
}

/// Checks the lists of the first directory before the library reads them, and reserves their memory in the
/// budget.
fn lists(bytes: &[u8], work: &Work) -> Result<Reservation, Error> {
    let structure = ifd::Tiff::new(bytes).ok_or(Error::NotAnImage)?;
    let first = structure.first().ok_or_else(|| damaged("no directory"))?;
    let mut pieces = 0_u32;
    for entry in structure.entries(first) {
        let count = entry.count;
        let most = match Tag::from_u16_exhaustive(entry.tag) {
            Tag::StripOffsets | Tag::StripByteCounts | Tag::TileOffsets | Tag::TileByteCounts => {
                pieces = pieces.saturating_add(count);
                MAX_PIECES
            }
            tag if READ_TAGS.contains(&tag) => MAX_VALUES,
            _ => continue,
        };
        if count > most {
            return Err(Error::TooLarge(format!(
                "a list of the TIFF file has {count} entries, more than {most}"
            )));
        }
    }
    Ok(work.take(pieces as usize * PIECE_BYTES)?)
}

fn profile(bytes: &[u8]) -> Option<&[u8]> {
    let structure = ifd::Tiff::new(bytes)?;
    structure.bytes_of(structure.find(structure.first()?, Tag::IccProfile.to_u16())?)
}

fn pixels(decoder: &mut Decoder<Cursor<&[u8]>>) -> Result<Pixels, Error> {
    let colour = decoder.colortype().map_err(failed)?;
    let unsupported = || Error::Unsupported(format!("TIFF: {colour:?} samples"));
    let formats = decoder.find_tag_unsigned_vec::<u16>(Tag::SampleFormat).map_err(failed)?;
    if formats.unwrap_or_default().iter().any(|&f| f != 1) {
        return Err(Error::Unsupported("TIFF: samples that are not integers".to_owned()));
    }
    let extra = decoder.find_tag_unsigned_vec::<u16>(Tag::ExtraSamples).map_err(failed)?.unwrap_or_default();
    let alpha = matches!(extra.first(), Some(1 | 2));
    let (layout, depth, samples) = match colour {
        ColorType::Gray(depth @ (1 | 2 | 4 | 8 | 16)) => (Layout::Gray, depth, 1),
        ColorType::Multiband { bit_depth: depth @ (8 | 16), num_samples } => {
            (if alpha { Layout::Rgba } else { Layout::Gray }, depth, usize::from(num_samples))
        }
        ColorType::RGB(depth @ (8 | 16)) => (Layout::Rgb, depth, 3),
        ColorType::RGBA(depth @ (8 | 16)) => (Layout::Rgba, depth, 4),
        ColorType::CMYK(8) => (Layout::Cmyk, 8, 4),
        _ => return Err(unsupported()),
    };
    Ok(Pixels { layout, depth, samples, premultiplied: extra.first() == Some(&1) })
}

impl Codec for Tiff {
    fn format(&self) -> Format {
        Format::Tiff
    }

    fn probe(&self, bytes: &[u8], work: &Work) -> Result<Probe, Error> {
        let mut file = File::open(bytes, work)?;
        let mut probe = Probe::new(Format::Tiff, file.width, file.height, bytes.len());
        let Pixels { layout, depth, samples, .. } = file.pixels;
        probe.table_bytes = file.lists.bytes() as u64;
        probe.samples = u16::try_from(samples).unwrap_or(u16::MAX);
        probe.alpha = layout.has_alpha();
        probe.gray = layout == Layout::Gray;
        probe.cmyk = layout == Layout::Cmyk;
        probe.bit_depth = depth;
        probe.whole_bitmap = file.piece()?.1 > BAND_ROWS;
        let orientation = file.decoder.find_tag_unsigned::<u16>(Tag::Orientation).ok().flatten();
        probe.orientation = orientation.map(Orientation::from_exif).unwrap_or_default();
        let samples = match layout {
            Layout::Gray => icc::Space::Gray,
            Layout::Cmyk => icc::Space::Cmyk,
            Layout::Rgb | Layout::Rgba | Layout::Ycc(_) => icc::Space::Rgb,
        };
        // Read from the file directly: the library would convert it to a list of numbers.
        if let Some(profile) = profile(bytes) {
            probe.colour = icc::colour(profile, samples, &mut probe.warnings, work)?;
        }
        Ok(probe)
    }

    fn decoded_layout(&self, probe: &Probe, _spec: DecodeSpec) -> Layout {
        if probe.alpha {
            Layout::Rgba
        } else if probe.gray {
            Layout::Gray
        } else if probe.cmyk {
            Layout::Cmyk
        } else {
            Layout::Rgb
        }
    }

    fn decode_bytes(&self, probe: &Probe, spec: DecodeSpec) -> u64 {
        let rows = if probe.whole_bitmap { probe.height } else { probe.height.min(BAND_ROWS) };
        let layout = self.decoded_layout(probe, spec);
        // The stored samples and the yielded ones.
        let samples = u64::from(probe.samples.max(1));
        let stored = u64::from(probe.width) * samples * if probe.bit_depth > 8 { 2 } else { 1 };
        u64::from(rows) * stored + layout.bytes(probe.width, rows) + TABLES + probe.table_bytes
    }

    fn decode_pixel_ns(&self, _spec: DecodeSpec) -> u64 {
        3
    }

    fn decode<'a>(
        &self,
        bytes: &'a [u8],
        probe: &Probe,
        spec: DecodeSpec,
        work: &'a Work,
    ) -> Result<Box<dyn RowSource + 'a>, Error> {
        let file = File::open(bytes, work)?;
        let layout = self.decoded_layout(probe, spec);
        if (file.width, file.height, file.pixels.layout) != (probe.width, probe.height, layout) {
            return Err(damaged("the file differs from the probed one"));
        }
        Ok(Box::new(Bands::new(file, work)?))
    }
}
