//! PNG decoding by rows.

use std::io::ErrorKind;

use png::{ColorType, DecodeOptions, DecodingError, InterlaceInfo, Limits, Reader, Transformations};

use super::header::Header;
use super::still::Parts;
use crate::{Error, Format, Layout, PlaneRows, RowSource, Rows};
use work::{Reservation, Work};

/// Rows yielded at once.
const ROWS: u32 = 8;

/// Peak bytes of decoding; `raw_row` = bytes of a stored row.
pub(super) fn needed(width: u32, height: u32, raw_row: u64, layout: Layout, interlaced: bool) -> u64 {
    let row = u64::from(width) * layout.channels(0) as u64;
    let bitmap = if interlaced { row * u64::from(height) } else { 0 };
    // The inflater's buffer keeps several stored rows, the expansion one of at most 16 bits × 4.
    bitmap + raw_row * 8 + u64::from(width) * 8 + row * u64::from(ROWS) + (512 << 10)
}

pub(super) fn failed(error: DecodingError) -> Error {
    match error {
        DecodingError::IoError(e) if e.kind() == ErrorKind::UnexpectedEof => Error::Truncated(Format::Png),
        DecodingError::LimitsExceeded => Error::TooLarge("a part of the PNG file is too large".to_owned()),
        other => Error::Malformed { format: Format::Png, reason: other.to_string() },
    }
}

pub(super) fn start<'a>(
    bytes: &'a [u8],
    header: &Header<'_>,
    layout: Layout,
    work: &'a Work,
) -> Result<Box<dyn RowSource + 'a>, Error> {
    let (width, height) = (header.width, header.height);
    let bytes_needed = needed(width, height, header.raw_row(), layout, header.interlaced);
    let bytes_needed = usize::try_from(bytes_needed).unwrap_or(usize::MAX);
    let held = work.take(bytes_needed)?;

    // Chunks are checked by their CRC, which makes the Adler checksum redundant.
    let mut options = DecodeOptions::default();
    options.set_ignore_adler32(true);
    let mut decoder = png::Decoder::new_with_options(header.still(bytes), options);
    decoder.set_limits(Limits { bytes: bytes_needed });
    decoder.set_transformations(Transformations::EXPAND);
    let reader = decoder.read_info().map_err(failed)?;
    if (reader.info().width, reader.info().height) != (width, height) {
        return Err(Error::Malformed {
            format: Format::Png,
            reason: "the header differs from the probed one".to_owned(),
        });
    }
    let (colour, depth) = reader.output_color_type();
    let expand = Expand { channels: colour.samples(), sixteen: depth == png::BitDepth::Sixteen, layout };
    debug_assert!(colour != ColorType::Indexed, "palettes are expanded");
    let line = vec![0; reader.output_line_size(width).unwrap_or(0)];
    let stride = width as usize * layout.channels(0);
    let mut rows = PngRows {
        reader,
        lacks_end_only: header.lacks_end_only(),
        work,
        layout,
        width,
        height,
        next: 0,
        expand,
        line,
        stride,
        buffer: Vec::new(),
        whole: false,
        _held: held,
    };
    if header.interlaced {
        rows.read_interlaced()?;
    } else {
        rows.buffer = vec![0; stride * ROWS as usize];
    }
    Ok(Box::new(rows))
}

struct PngRows<'a> {
    reader: Reader<Parts<'a>>,
    /// The file has whole image data, but no end chunk.
    lacks_end_only: bool,
    work: &'a Work,
    layout: Layout,
    width: u32,
    height: u32,
    /// The next row to yield.
    next: u32,
    expand: Expand,
    /// One row from the library.
    line: Vec<u8>,
    /// Bytes of a yielded row.
    stride: usize,
    /// A few rows, or the whole bitmap.
    buffer: Vec<u8>,
    whole: bool,
    _held: Reservation,
}

/// The conversion of the library's samples to the layout.
#[derive(Clone, Copy)]
struct Expand {
    channels: usize,
    sixteen: bool,
    layout: Layout,
}

impl Expand {
    /// Whether the library's rows need no conversion.
    fn nothing(self) -> bool {
        !self.sixteen && self.channels == self.layout.channels(0)
    }

    /// Converts the samples in `line` (which is overwritten) into `out`.
    fn row(self, line: &mut [u8], out: &mut [u8]) {
        let length = if self.sixteen {
            // round(v × 255 / 65535), exact for all 65536 values.
            for i in 0..line.len() / 2 {
                let v = u32::from(u16::from_be_bytes([line[2 * i], line[2 * i + 1]]));
                line[i] = ((v * 255 + 32_895) >> 16) as u8;
            }
            line.len() / 2
        } else {
            line.len()
        };
        let pixels = line[..length].chunks_exact(self.channels);
        let to = self.layout.channels(0);
        for (from, out) in pixels.zip(out.chunks_exact_mut(to)) {
            let (r, g, b, a) = match *from {
                [y] => (y, y, y, 255),
                [y, a] => (y, y, y, a),
                [r, g, b] => (r, g, b, 255),
                [r, g, b, a, ..] => (r, g, b, a),
                [] => return,
            };
            match out {
                [y] => *y = r,
                [or, og, ob] => (*or, *og, *ob) = (r, g, b),
                [or, og, ob, oa] => (*or, *og, *ob, *oa) = (r, g, b, a),
                _ => return,
            }
        }
    }
}

impl PngRows<'_> {
    /// Reads all passes into the whole bitmap.
    fn read_interlaced(&mut self) -> Result<(), Error> {
        let channels = self.layout.channels(0);
        self.buffer = vec![0; self.stride * self.height as usize];
        self.whole = true;
        let mut row = vec![0; self.stride];
        let mut since_check = 0;
        // The rows are counted, because the library would search for a further row after the image data.
        for _ in 0..adam7_rows(self.width, self.height) {
            let info = self.reader.read_row(&mut self.line).map_err(failed)?;
            let Some(InterlaceInfo::Adam7(pass)) = info else {
                return Err(Error::Malformed { format: Format::Png, reason: "no interlacing".to_owned() });
            };
            // Bytes beyond the pass's width are left from earlier rows and not used below.
            self.expand.row(&mut self.line, &mut row);
            png::expand_interlaced_row(&mut self.buffer, self.stride, &row, &pass, channels as u8 * 8);
            since_check += self.stride;
            if since_check > 1 << 18 {
                self.work.check()?;
                since_check = 0;
            }
        }
        finish(&mut self.reader, self.lacks_end_only)
    }
}

/// Rows of all passes of an interlaced image (PNG §8.1).
fn adam7_rows(width: u32, height: u32) -> u64 {
    // First column, first row, and distance of rows.
    const PASSES: [(u32, u32, u32); 7] =
        [(0, 0, 8), (4, 0, 8), (0, 4, 8), (2, 0, 4), (0, 2, 4), (1, 0, 2), (0, 1, 2)];
    let passes = PASSES.iter().filter(|(column, ..)| *column < width);
    passes.map(|(_, row, step)| u64::from(height.saturating_sub(*row).div_ceil(*step))).sum()
}

/// Verifies the checksums up to the end.
fn finish(reader: &mut Reader<Parts<'_>>, lacks_end_only: bool) -> Result<(), Error> {
    match reader.finish().map_err(failed) {
        // The checksums of all image data were right, and nothing follows.
        Err(Error::Truncated(_)) if lacks_end_only => Ok(()),
        other => other,
    }
}

impl RowSource for PngRows<'_> {
    fn layout(&self) -> Layout {
        self.layout
    }

    fn size(&self) -> (u32, u32) {
        (self.width, self.height)
    }

    fn next_rows(&mut self) -> Result<Option<Rows<'_>>, Error> {
        let first = self.next;
        let count = ROWS.min(self.height - first);
        if count == 0 {
            return Ok(None);
        }
        self.work.check()?;
        let length = count as usize * self.stride;
        let start = if self.whole { first as usize * self.stride } else { 0 };
        let data = &mut self.buffer[start..start + length];
        if !self.whole {
            for out in data.chunks_exact_mut(self.stride) {
                let got = if self.expand.nothing() {
                    self.reader.read_row(out)
                } else {
                    self.reader.read_row(&mut self.line)
                };
                if got.map_err(failed)?.is_none() {
                    return Err(Error::Truncated(Format::Png));
                }
                if !self.expand.nothing() {
                    self.expand.row(&mut self.line, out);
                }
            }
        }
        self.next += count;
        if self.next == self.height && !self.whole {
            finish(&mut self.reader, self.lacks_end_only)?;
        }
        Ok(Some(Rows::one(PlaneRows { first, count, data })))
    }
}
