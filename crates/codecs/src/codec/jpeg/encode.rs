//! JPEG encoding from rows and planes by libjpeg.

use super::ffi::{Encoder, Input, Settings};
use super::{MAX_SIDE, coefficient_bytes};
use crate::{EncodeSpec, Error, Format, ImageSpec, JpegMode, Layout, PlaneRows, RowSink, Rows};
use work::{Reservation, Work};

fn failed(reason: impl Into<String>) -> Error {
    Error::Encode { format: Format::Jpeg, reason: reason.into() }
}

/// Sampling factors of the encoded components.
fn factors(image: ImageSpec, spec: &EncodeSpec) -> Vec<(u32, u32)> {
    match image.layout {
        Layout::Gray => vec![(1, 1)],
        Layout::Ycc(s) => super::component_factors(s).to_vec(),
        Layout::Rgb | Layout::Rgba | Layout::Cmyk => super::component_factors(spec.subsampling).to_vec(),
    }
}

/// A sequential file of more pixels than this is written in one pass. Optimised Huffman codes need all
/// coefficients first, six bytes a pixel, and a third of the time; the standard's codes give slightly larger files.
const MOST_PIXELS_HELD: u64 = 3000 * 3000;

fn in_one_pass(image: ImageSpec, spec: &EncodeSpec) -> bool {
    let pixels = u64::from(image.width) * u64::from(image.height);
    spec.fast || (spec.jpeg == JpegMode::Baseline && pixels > MOST_PIXELS_HELD)
}

/// Coefficients (stored twice by mozjpeg) unless written in one pass, and strips.
fn working_bytes(image: ImageSpec, spec: &EncodeSpec) -> u64 {
    let factors = factors(image, spec);
    let coefficients =
        if in_one_pass(image, spec) { 0 } else { 2 * coefficient_bytes(image.width, image.height, &factors) };
    let strip = u64::from(image.width + 64) * u64::from(factors[0].1 * 8) * factors.len() as u64;
    coefficients + strip * 3 + (64 << 10)
}

/// The expected size of the file; the buffer grows if it is too small.
fn expected_output(image: ImageSpec, spec: &EncodeSpec) -> u64 {
    let pixels = u64::from(image.width) * u64::from(image.height);
    let exif = spec.exif.as_ref().map_or(0, Vec::len) as u64;
    let per_16_pixels = match spec.quality {
        0..=60 => 2,
        61..=85 => 4,
        86..=94 => 8,
        _ => 16,
    };
    pixels * per_16_pixels / 16 + exif + 2048
}

pub(super) fn estimate(image: ImageSpec, spec: &EncodeSpec) -> u64 {
    // The output may have to grow once or twice.
    working_bytes(image, spec) + expected_output(image, spec) * 9 / 4 + 8192
}

pub(super) fn start<'a>(
    image: ImageSpec,
    spec: &EncodeSpec,
    work: &'a Work,
) -> Result<Box<dyn RowSink + 'a>, Error> {
    let ImageSpec { layout, width, height } = image;
    if !(1..=MAX_SIDE).contains(&width) || !(1..=MAX_SIDE).contains(&height) {
        return Err(failed(format!("{width} × {height} pixels cannot be encoded")));
    }
    let input = match layout {
        Layout::Gray => Input::Gray,
        Layout::Rgb => Input::Rgb,
        Layout::Ycc(_) => Input::Raw,
        Layout::Rgba | Layout::Cmyk => return Err(failed(format!("{layout:?} pixels cannot be encoded"))),
    };
    let app1 = spec.exif.as_ref().map(|exif| [b"Exif\0\0", &exif[..]].concat());
    if app1.as_ref().is_some_and(|payload| payload.len() > 65_533) {
        return Err(failed("the EXIF data exceeds its segment"));
    }
    let working = usize::try_from(working_bytes(image, spec)).unwrap_or(usize::MAX);
    let held = work.take(working)?;
    let factors = factors(image, spec);
    let settings = Settings {
        width,
        height,
        input,
        factors: factors[0],
        quality: spec.quality,
        fast: spec.fast,
        one_pass: in_one_pass(image, spec),
        progressive: spec.jpeg == JpegMode::Progressive,
        memory: working,
    };
    let expected = usize::try_from(expected_output(image, spec)).unwrap_or(usize::MAX);
    let mut encoder = Encoder::new(&settings, expected, work)?;
    encoder.start(app1.as_deref())?;
    let strips = if input == Input::Raw {
        let mcus = width.div_ceil(8 * factors[0].0) as usize;
        factors
            .iter()
            .enumerate()
            .map(|(i, &(h, v))| {
                let (width, height) = layout.plane_size(i, width, height);
                let stride = mcus * h as usize * 8;
                let rows = v * 8;
                Strip {
                    buffer: vec![0; stride * rows as usize],
                    stride,
                    rows,
                    width: width as usize,
                    height,
                    filled: 0,
                    next: 0,
                }
            })
            .collect()
    } else {
        Vec::new()
    };
    Ok(Box::new(JpegSink { encoder, work, image, next: 0, strips, held }))
}

struct JpegSink<'a> {
    encoder: Encoder,
    work: &'a Work,
    image: ImageSpec,
    /// The next interleaved row to come.
    next: u32,
    /// One for each plane of a planar image.
    strips: Vec<Strip>,
    held: Reservation,
}

/// Buffered rows of one plane, until an MCU row is complete.
struct Strip {
    buffer: Vec<u8>,
    /// Bytes of a row: whole MCUs.
    stride: usize,
    /// Rows of an MCU row.
    rows: u32,
    width: usize,
    height: u32,
    /// Rows in the buffer.
    filled: u32,
    /// The next row to come.
    next: u32,
}

impl Strip {
    /// Copies up to `most` rows of `part` from `from` on. Returns their number.
    fn fill(&mut self, part: &PlaneRows<'_>, from: u32, most: u32) -> u32 {
        let take = (part.count - from).min(most);
        for i in 0..take {
            let row = &part.data[(from + i) as usize * self.width..][..self.width];
            let at = (self.filled + i) as usize * self.stride;
            self.buffer[at..at + self.width].copy_from_slice(row);
            let last = row[self.width - 1];
            self.buffer[at + self.width..at + self.stride].fill(last);
        }
        self.filled += take;
        self.next += take;
        if self.next == self.height && take > 0 {
            // Repeats the last row to the end of the MCU row; the buffer has space for whole MCU rows.
            let last = (self.filled - 1) as usize * self.stride;
            let end = self.filled.next_multiple_of(self.rows);
            for row in self.filled..end {
                self.buffer.copy_within(last..last + self.stride, row as usize * self.stride);
            }
            self.filled = end;
        }
        take
    }

    /// Drops the MCU row that has been written.
    fn advance(&mut self) {
        let written = self.rows as usize * self.stride;
        self.buffer.copy_within(written..self.filled as usize * self.stride, 0);
        self.filled -= self.rows;
    }
}

impl JpegSink<'_> {
    /// Fills strips and writes each MCU row that is complete in all planes. Rows of a plane that is ahead
    /// of the others are buffered in a longer strip, reserved in the budget.
    fn push_planes(&mut self, rows: Rows<'_>) -> Result<(), Error> {
        for (strip, part) in self.strips.iter().zip(rows.planes()) {
            check(part, strip.next, strip.height, strip.width)?;
        }
        let mut taken = [0; 3];
        loop {
            let mut any = false;
            for ((strip, part), from) in self.strips.iter_mut().zip(rows.planes()).zip(&mut taken) {
                let took = strip.fill(part, *from, strip.rows.saturating_sub(strip.filled));
                *from += took;
                any |= took > 0;
            }
            if self.strips.iter().all(|s| s.filled >= s.rows) {
                let planes: Vec<(&[u8], usize)> =
                    self.strips.iter().map(|s| (&s.buffer[..s.rows as usize * s.stride], s.stride)).collect();
                self.encoder.write_raw(&planes)?;
                self.strips.iter_mut().for_each(Strip::advance);
            } else if !any {
                break;
            }
        }
        for ((strip, part), from) in self.strips.iter_mut().zip(rows.planes()).zip(taken) {
            let left = part.count - from;
            if left > 0 {
                let room = (strip.filled + left).next_multiple_of(strip.rows) as usize * strip.stride;
                if room > strip.buffer.len() {
                    self.held.grow_to(self.held.bytes() + room - strip.buffer.len())?;
                    strip.buffer.resize(room, 0);
                }
                strip.fill(part, from, left);
            }
        }
        Ok(())
    }
}

/// Checks that `part` contains the next rows.
fn check(part: &PlaneRows<'_>, next: u32, height: u32, row: usize) -> Result<(), Error> {
    if part.count > 0 && part.first != next {
        return Err(failed(format!("row {} was pushed instead of {next}", part.first)));
    }
    if part.count > height - next {
        return Err(failed("too many rows"));
    }
    if part.data.len() != part.count as usize * row {
        return Err(failed("rows of the wrong length"));
    }
    Ok(())
}

impl RowSink for JpegSink<'_> {
    fn push(&mut self, rows: Rows<'_>) -> Result<(), Error> {
        self.work.check()?;
        if rows.planes().len() != self.image.layout.planes() {
            return Err(failed("planes are missing"));
        }
        if !self.strips.is_empty() {
            return self.push_planes(rows);
        }
        let part = &rows.planes()[0];
        let stride = self.image.width as usize * self.image.layout.channels(0);
        check(part, self.next, self.image.height, stride)?;
        self.encoder.write_rows(part.data, stride)?;
        self.next += part.count;
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<Vec<u8>, Error> {
        let missing = if self.strips.is_empty() {
            self.next < self.image.height
        } else {
            self.strips.iter().any(|s| s.next < s.height)
        };
        if missing {
            return Err(failed("rows are missing"));
        }
        self.encoder.finish()
    }
}
