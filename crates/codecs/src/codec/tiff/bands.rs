//! TIFF decoding by rows: each row of strips or tiles is decoded at once and converted to 8 bits.

use std::ops::Range;

use ::tiff::decoder::TiffCodingUnit;

use super::{File, Pixels, TABLES, damaged, failed};
use crate::codec::avif::unmultiply;
use crate::{Error, Layout, PlaneRows, RowSource, Rows};
use work::{Reservation, Work};

/// Rows yielded at once; the receiver may buffer as many.
const GROUP: u32 = 32;

pub(super) struct Bands<'a> {
    file: File<'a>,
    work: &'a Work,
    /// Width and height of a strip or tile.
    piece: (u32, u32),
    /// Samples of one strip or tile, from the library.
    samples: Vec<u8>,
    /// One band of finished rows.
    band: Vec<u8>,
    /// The rows of the picture in `band`.
    ready: Range<u32>,
    /// The next row to yield.
    next: u32,
    held: Reservation,
}

impl<'a> Bands<'a> {
    pub(super) fn new(file: File<'a>, work: &'a Work) -> Result<Self, Error> {
        let piece = file.piece()?;
        let stride = file.width as usize * file.pixels.layout.channels(0);
        let band = stride
            .checked_mul(piece.1 as usize)
            .ok_or(Error::Work(work::Error::MemoryBudget { requested: usize::MAX }))?;
        let held = work.take(band.saturating_add(TABLES as usize))?;
        Ok(Self { file, work, piece, samples: Vec::new(), band: vec![0; band], ready: 0..0, next: 0, held })
    }

    /// Decodes the pieces of the band that begins at row `self.next`.
    fn read(&mut self) -> Result<(), Error> {
        let rows = self.piece.1.min(self.file.height - self.next);
        let across = self.file.width.div_ceil(self.piece.0);
        let row = self.next / self.piece.1;
        for column in 0..across {
            self.work.check()?;
            self.read_piece(row * across + column, column * self.piece.0, rows)?;
        }
        self.ready = self.next..self.next + rows;
        Ok(())
    }

    fn read_piece(&mut self, index: u32, x: u32, rows: u32) -> Result<(), Error> {
        let decoder = &mut self.file.decoder;
        let unit = TiffCodingUnit(index);
        let layout = decoder.image_coding_unit_layout(unit).map_err(failed)?;
        let (length, planes) = (layout.complete_len, layout.planes.max(1));
        // Reserved here; the library itself makes no allocation of this size.
        let own = self.band.len() + TABLES as usize;
        self.held.grow_to(own.saturating_add(length))?;
        if self.samples.len() < length {
            self.samples.resize(length, 0);
        }
        decoder.read_coding_unit_bytes(unit, &mut self.samples[..length]).map_err(failed)?;

        let width = self.piece.0.min(self.file.width - x) as usize;
        let row_bytes = layout.row_stride.map_or(0, usize::from);
        let plane_bytes = layout.plane_stride.map_or(length, usize::from);
        let Pixels { layout, samples, .. } = self.file.pixels;
        let channels = layout.channels(0);
        let stride = self.file.width as usize * channels;
        // In a planar file each plane has one sample of every pixel.
        let each = if planes > 1 { 1 } else { samples };
        for y in 0..rows as usize {
            let out = &mut self.band[y * stride + x as usize * channels..][..width * channels];
            for plane in 0..planes.min(samples) {
                let line = self
                    .samples
                    .get(plane * plane_bytes + y * row_bytes..length)
                    .ok_or_else(|| damaged("there are too few samples"))?;
                scatter(line, out, self.file.pixels, plane, each)?;
            }
            if self.file.pixels.premultiplied && layout == Layout::Rgba {
                unmultiply(out);
            }
        }
        Ok(())
    }
}

/// Writes the samples of a line to the pixels: sample `first` and the next `each` - 1 of every pixel.
fn scatter(line: &[u8], out: &mut [u8], pixels: Pixels, first: usize, each: usize) -> Result<(), Error> {
    let channels = pixels.layout.channels(0);
    let count = out.len() / channels;
    let needed = (count * each * usize::from(pixels.depth)).div_ceil(8);
    let line = line.get(..needed).ok_or_else(|| damaged("there are too few samples"))?;
    // Grey with alpha becomes R G B A; extra samples are skipped.
    let gray_alpha = pixels.layout == Layout::Rgba && pixels.samples < 4;
    for (i, out) in out.chunks_exact_mut(channels).enumerate() {
        for sample in 0..each {
            let value = match pixels.depth {
                8 => line[i * each + sample],
                16 => {
                    let at = (i * each + sample) * 2;
                    // The library has converted them to native byte order; round(v × 255 / 65535).
                    let v = u32::from(u16::from_ne_bytes([line[at], line[at + 1]]));
                    ((v * 255 + 32_895) >> 16) as u8
                }
                depth => {
                    let bit = (i * each + sample) * usize::from(depth);
                    let most = (1_u8 << depth) - 1;
                    let v = (line[bit / 8] >> (8 - usize::from(depth) - bit % 8)) & most;
                    v * (255 / most)
                }
            };
            match (first + sample, gray_alpha) {
                (0, true) => out[..3].fill(value),
                (1, true) => out[3] = value,
                (_, true) => {}
                (at, false) => {
                    if let Some(place) = out.get_mut(at) {
                        *place = value;
                    }
                }
            }
        }
    }
    Ok(())
}

impl RowSource for Bands<'_> {
    fn layout(&self) -> Layout {
        self.file.pixels.layout
    }

    fn size(&self) -> (u32, u32) {
        (self.file.width, self.file.height)
    }

    fn next_rows(&mut self) -> Result<Option<Rows<'_>>, Error> {
        let first = self.next;
        if first == self.file.height {
            return Ok(None);
        }
        if first >= self.ready.end {
            self.read()?;
        }
        self.next = (first + GROUP).min(self.ready.end);
        let stride = self.file.width as usize * self.file.pixels.layout.channels(0);
        let [from, to] = [first, self.next].map(|y| (y - self.ready.start) as usize * stride);
        let data = &self.band[from..to];
        Ok(Some(Rows::one(PlaneRows { first, count: self.next - first, data })))
    }
}
