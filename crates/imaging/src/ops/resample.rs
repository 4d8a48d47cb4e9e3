//! Resampling of one plane, fed by rows: a band of the target is computed as soon as its source rows are
//! there, so that no more than a band's worth of source rows is held.

use codecs::{Error as CodecError, Plane, Reservation, Work};
use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{FilterType, MulDiv, PixelType, ResizeAlg, ResizeOptions, Resizer};

use crate::Error;
use crate::geometry::{Area, Window};

/// Target rows of one band: large enough that the rows shared by neighbouring bands cost little,
/// small enough that a band's source rows stay in the cache.
const BAND_ROWS: u32 = 48;

/// Resamples one plane while its rows arrive. Lanczos with three lobes where it shrinks,
/// Catmull-Rom where it enlarges; alpha is premultiplied band by band.
#[derive(Debug)]
pub struct Resampler {
    bounds: Window,
    area: Area,
    channels: usize,
    filter: FilterType,
    /// Source rows that a target row reaches beyond its own area, above and below.
    reach: f64,
    buffer: Vec<u8>,
    _held: Reservation,
    /// Row of the bounds that `buffer` starts with.
    first: u32,
    rows: u32,
    target: Plane,
    next: u32,
    resizer: Resizer,
}

impl Resampler {
    /// `bounds`: the part of the plane that may be looked at; `area`: what is scaled to `size`, in plane
    /// coordinates, within the bounds; `channels`: 1, 3 or 4 (4 = RGBA, straight alpha).
    ///
    /// # Errors
    /// [`CodecError::Budget`].
    pub fn new(
        bounds: Window,
        area: Area,
        size: (u32, u32),
        channels: usize,
        work: &Work,
    ) -> Result<Self, Error> {
        let clamp = |start: f64, length: f64, from: u32, full: u32| {
            let (low, high) = (f64::from(from), f64::from(from + full));
            let start = start.clamp(low, high - 1e-3);
            (start - low, length.min(high - start).max(1e-3))
        };
        let (x, width) = clamp(area.x, area.width, bounds.x, bounds.width);
        let (y, height) = clamp(area.y, area.height, bounds.y, bounds.height);
        let area = Area { x, y, width, height };
        let scale = height / f64::from(size.1);
        let shrinks = scale > 1.0 || width / f64::from(size.0) > 1.0;
        let (filter, lobes) =
            if shrinks { (FilterType::Lanczos3, 3.0) } else { (FilterType::CatmullRom, 2.0) };
        let reach = lobes * scale.max(1.0) + 1.0;
        let most = ((f64::from(BAND_ROWS) * scale + 2.0 * reach).ceil() as u32 + 64).min(bounds.height);
        let held = work.take(most as usize * bounds.width as usize * channels)?;
        Ok(Self {
            bounds,
            area,
            channels,
            filter,
            reach,
            buffer: Vec::new(),
            _held: held,
            first: 0,
            rows: 0,
            target: Plane::new(size.0, size.1, channels, work)?,
            next: 0,
            resizer: Resizer::new(),
        })
    }

    /// Takes rows `first ..` of the plane, each `stride` bytes long, in order.
    ///
    /// # Errors
    /// Deadline and cancellation.
    pub fn push(&mut self, first: u32, data: &[u8], stride: usize, work: &Work) -> Result<(), Error> {
        let skip = self.bounds.x as usize * self.channels;
        let take = self.bounds.width as usize * self.channels;
        for (i, row) in data.chunks_exact(stride).enumerate() {
            let y = first + i as u32;
            if y < self.bounds.y || y >= self.bounds.y + self.bounds.height || self.next >= self.target.height
            {
                continue;
            }
            let local = y - self.bounds.y;
            if f64::from(local + 1) <= self.band_start() {
                continue;
            }
            if self.rows == 0 {
                self.first = local;
            }
            self.buffer.extend_from_slice(&row[skip..skip + take]);
            if self.channels == 4 {
                let at = self.buffer.len() - take;
                premultiply(&mut self.buffer[at..], self.bounds.width)?;
            }
            self.rows += 1;
            while self.next < self.target.height && self.first + self.rows >= self.band_end() {
                work.check()?;
                self.band()?;
            }
        }
        Ok(())
    }

    /// The finished plane.
    ///
    /// # Errors
    /// An error when rows are missing.
    pub fn finish(self) -> Result<Plane, Error> {
        if self.next < self.target.height {
            return Err(Error::Option("the image ended before its last row".to_owned()));
        }
        Ok(self.target)
    }

    fn band_rows(&self) -> u32 {
        BAND_ROWS.min(self.target.height - self.next)
    }

    fn step(&self) -> f64 {
        self.area.height / f64::from(self.target.height)
    }

    /// First source row that the next band looks at.
    fn band_start(&self) -> f64 {
        (self.area.y + f64::from(self.next) * self.step() - self.reach).max(0.0)
    }

    /// One past the last source row that the next band looks at.
    fn band_end(&self) -> u32 {
        let end = self.area.y + f64::from(self.next + self.band_rows()) * self.step() + self.reach;
        (end.ceil() as u32).min(self.bounds.height)
    }

    fn band(&mut self) -> Result<(), Error> {
        let rows = self.band_rows();
        let top = self.area.y + f64::from(self.next) * self.step() - f64::from(self.first);
        let height = f64::from(rows) * self.step();
        let pixel = match self.channels {
            1 => PixelType::U8,
            3 => PixelType::U8x3,
            _ => PixelType::U8x4,
        };
        let source =
            ImageRef::new(self.bounds.width, self.rows, &self.buffer, pixel).map_err(|e| internal(&e))?;
        let stride = self.target.stride();
        let out = &mut self.target.data[self.next as usize * stride..][..rows as usize * stride];
        let mut target =
            Image::from_slice_u8(self.target.width, rows, out, pixel).map_err(|e| internal(&e))?;
        let available = (f64::from(self.rows) - top).max(1e-3);
        let options = ResizeOptions::new()
            .resize_alg(ResizeAlg::Convolution(self.filter))
            .crop(self.area.x, top.max(0.0), self.area.width, height.min(available))
            .use_alpha(false);
        self.resizer.resize(&source, &mut target, &options).map_err(|e| internal(&e))?;
        if self.channels == 4 {
            MulDiv::new().divide_alpha_inplace(&mut target).map_err(|e| internal(&e))?;
        }
        self.next += rows;
        if self.next < self.target.height {
            let keep = (self.band_start().floor() as u32).clamp(self.first, self.first + self.rows);
            self.buffer.drain(..(keep - self.first) as usize * self.bounds.width as usize * self.channels);
            self.rows -= keep - self.first;
            self.first = keep;
        }
        Ok(())
    }
}

fn premultiply(row: &mut [u8], width: u32) -> Result<(), Error> {
    if row.chunks_exact(4).all(|p| p[3] == 255) {
        return Ok(());
    }
    let mut image = Image::from_slice_u8(width, 1, row, PixelType::U8x4).map_err(|e| internal(&e))?;
    MulDiv::new().multiply_alpha_inplace(&mut image).map_err(|e| internal(&e))
}

fn internal(error: &dyn std::fmt::Display) -> Error {
    Error::Codec(CodecError::TooLarge(format!("resampling: {error}")))
}

#[cfg(test)]
mod tests {
    use codecs::{Budget, Work};
    use proptest::prelude::*;

    use super::Resampler;
    use crate::geometry::{Area, Window};

    fn gradient(w: u32, h: u32) -> Vec<u8> {
        (0..h)
            .flat_map(|y| (0..w).map(move |x| ((x * 255 / w.max(1)) / 2 + (y * 255 / h.max(1)) / 2) as u8))
            .collect()
    }

    proptest! {
        // However the rows are cut into groups, the bands give what one piece would give.
        #[test]
        fn bands_do_not_show(w in 1u32..80, h in 1u32..400, tw in 1u32..60, th in 1u32..300, group in 1usize..50) {
            let work = Work::new(Budget::new(1 << 26));
            let data = gradient(w, h);
            let bounds = Window { x: 0, y: 0, width: w, height: h };
            let area = Area { x: 0.0, y: 0.0, width: w.into(), height: h.into() };
            let make = |rows: usize| {
                let mut r = Resampler::new(bounds, area, (tw, th), 1, &work).unwrap();
                for (i, part) in data.chunks(rows * w as usize).enumerate() {
                    r.push((i * rows) as u32, part, w as usize, &work).unwrap();
                }
                r.finish().unwrap().data
            };
            let (whole, parts) = (make(h as usize), make(group));
            prop_assert_eq!(&whole, &parts);
            // A gradient stays one: neighbours in a column differ by little more than the source's slope.
            for x in 0..tw as usize {
                for y in 1..th as usize {
                    let (a, b) = (whole[(y - 1) * tw as usize + x], whole[y * tw as usize + x]);
                    let slope = 255.0 / f64::from(th) / 2.0 + 255.0 / f64::from(h) + 6.0;
                    prop_assert!(f64::from(b) - f64::from(a) <= slope && f64::from(a) - f64::from(b) <= 12.0 + slope);
                }
            }
        }
    }
}
