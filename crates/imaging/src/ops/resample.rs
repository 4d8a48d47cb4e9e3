//! Resampling of one plane, row by row: a band of the target is computed as soon as its source rows have
//! arrived, so that only the source rows of one band are buffered.

use codecs::{Layout, Plane, PlaneRows, Raster};
use resample::{Convolution, Crop, Filter, FilterType, Spec};
use work::{Reservation, Work};

use crate::Error;
use crate::rect::{Area, Window};

/// Source rows of one band: enough that weights and the rows shared by neighbouring bands cost little, few
/// enough to fit the cache.
const BAND_SOURCE_ROWS: f64 = 256.0;
/// Target rows of one band, at least and at most.
const BAND_ROWS: (f64, f64) = (1.0, 128.0);
/// Most rows that a decoder yields at once.
const GROUP_ROWS: u32 = 64;
const LANCZOS_LOBES: f64 = 3.0;
const CATMULL_ROM_LOBES: f64 = 2.0;

/// Coefficients of the Taylor series of `sin u / u` in `u²`, from the 12th power of `u` down: `(−1)ⁿ / (2n + 1)!`.
const SINE: [f64; 7] = [
    1.0 / 6_227_020_800.0,
    -1.0 / 39_916_800.0,
    1.0 / 362_880.0,
    -1.0 / 5_040.0,
    1.0 / 120.0,
    -1.0 / 6.0,
    1.0,
];

/// Lanczos with three lobes, `sinc(x) · sinc(x / 3)`, with one sine instead of two: with `t = πx / 3`,
/// `sin 3t = sin t · (3 − 4 sin² t)`. Each band computes its weights, so that their cost matters.
/// The error is below 2e-7, less than the resolution of the weights.
fn lanczos3(x: f64) -> f64 {
    use std::f64::consts::PI;
    let x = x.abs();
    if x >= 3.0 {
        return 0.0;
    }
    if x < 1e-6 {
        return 1.0;
    }
    let t = x * (PI / 3.0);
    // The sine is symmetric about π/2. Taylor series up to the 13th power.
    let u = if t > PI / 2.0 { PI - t } else { t };
    let q = u * u;
    // 1/3!, 1/5! … as factors: a division here costs more than the rest of the weight.
    let mut series = 0.0;
    for factor in SINE {
        series = series * q + factor;
    }
    let sine = u * series;
    nonzero(sine * sine * (3.0 - 4.0 * sine * sine) / (3.0 * t * t))
}

/// The cubic of Catmull and Rom (Keys with a = −1/2), as Pillow's and libvips' bicubic.
fn catmull_rom(x: f64) -> f64 {
    let x = x.abs();
    nonzero(if x < 1.0 {
        (1.5 * x - 2.5) * x * x + 1.0
    } else if x < 2.0 {
        ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0
    } else {
        return 0.0;
    })
}

/// Keeps a weight inside the support above zero. fast_image_resize drops zero weights at the ends of a pixel's window and takes
/// the first pixel's window for the leftmost, which reads rows out of bounds when a window falls on whole samples.
fn nonzero(weight: f64) -> f64 {
    if weight == 0.0 { 1e-12 } else { weight }
}

/// How a resampler divides its work into bands.
#[derive(Debug, Clone, Copy)]
struct Bands {
    /// Source rows that a target row reaches beyond its own area, above and below.
    reach: f64,
    /// Target rows of a band.
    rows: u32,
    /// Most buffered source rows.
    waiting: u32,
}

impl Bands {
    /// Bands for `height` source rows that become `target`, of `available` rows in all. `lobes` of the filter.
    fn new(height: f64, target: u32, available: u32, lobes: f64) -> Self {
        let scale = height / f64::from(target.max(1));
        let reach = lobes * scale.max(1.0) + 1.0;
        let rows = (BAND_SOURCE_ROWS / scale).clamp(BAND_ROWS.0, BAND_ROWS.1) as u32;
        let rows = rows.min(target.max(1));
        let most = f64::from(rows) * scale + 2.0 * reach;
        let waiting = (most.ceil().min(f64::from(u32::MAX / 2)) as u32 + GROUP_ROWS).min(available);
        Self { reach, rows, waiting }
    }
}

/// Most source rows buffered in a resampler that scales `height` of `available` rows to `target`.
pub(crate) fn waiting_rows(height: f64, target: u32, available: u32) -> u32 {
    Bands::new(height, target, available, LANCZOS_LOBES).waiting
}

/// Most finished rows in a streaming resampler that scales `height` source rows to `target`: the rows that one group of a
/// decoder's rows completes. For a few rows that are enlarged a lot, that is the whole result.
pub(crate) fn ready_rows(height: f64, target: u32) -> u32 {
    let bands = Bands::new(height, target, u32::MAX, LANCZOS_LOBES);
    let scale = height / f64::from(target.max(1));
    let brought = (f64::from(GROUP_ROWS) + 2.0 * bands.reach) / scale.max(1e-9);
    (brought.ceil().min(f64::from(u32::MAX / 2)) as u32 + bands.rows).min(target)
}

/// An interleaved image of one plane.
pub(crate) fn one_plane(layout: Layout, plane: Plane) -> Raster {
    Raster { layout, width: plane.width, height: plane.height, planes: vec![plane] }
}

/// Resamples one plane while its rows arrive. Lanczos with three lobes where it shrinks,
/// Catmull-Rom where it enlarges; alpha is premultiplied band by band.
#[derive(Debug)]
pub struct Resampler {
    bounds: Window,
    area: Area,
    channels: usize,
    filter: FilterType,
    bands: Bands,
    buffer: Vec<u8>,
    _held: Reservation,
    /// The first row of `buffer`, counted within the bounds.
    first: u32,
    rows: u32,
    size: (u32, u32),
    target: Target,
    next: u32,
    /// Rows are copied: nothing is scaled, and the window starts on whole samples.
    copies: bool,
    convolution: Convolution,
}

/// The destination of finished rows.
#[derive(Debug)]
enum Target {
    Whole(Plane),
    /// The rows that were not taken yet, from row `first` on.
    Stream {
        rows: Vec<u8>,
        first: u32,
        held: Reservation,
    },
}

impl Resampler {
    /// `bounds`: the part of the plane that may be read; `area`: the part scaled to `size`, in plane
    /// coordinates, within the bounds; `channels`: 1, 3 or 4 (4 = RGBA, straight alpha).
    ///
    /// # Errors
    /// Budget.
    pub fn new(
        bounds: Window,
        area: Area,
        size: (u32, u32),
        channels: usize,
        work: &Work,
    ) -> Result<Self, Error> {
        let target = Target::Whole(Plane::new(size.0, size.1, channels, work)?);
        Self::onto(target, bounds, area, size, channels, work)
    }

    /// The same without a plane for the result: finished rows are taken with [`Resampler::ready`] and
    /// [`Resampler::forget`] while others arrive.
    ///
    /// # Errors
    /// Budget.
    pub fn streaming(
        bounds: Window,
        area: Area,
        size: (u32, u32),
        channels: usize,
        work: &Work,
    ) -> Result<Self, Error> {
        let held = work.take(0)?;
        let target = Target::Stream { rows: Vec::new(), first: 0, held };
        Self::onto(target, bounds, area, size, channels, work)
    }

    fn onto(
        target: Target,
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
        let whole = |v: f64, w: u32| (v - f64::from(w)).abs() < 1e-6;
        let copies = x.fract() == 0.0 && y.fract() == 0.0 && whole(width, size.0) && whole(height, size.1);
        let scale = height / f64::from(size.1);
        let shrinks = scale > 1.0 || width / f64::from(size.0) > 1.0;
        let filter = if shrinks {
            Filter::new("Lanczos3", lanczos3, LANCZOS_LOBES)
        } else {
            Filter::new("Catmull-Rom", catmull_rom, CATMULL_ROM_LOBES)
        };
        let filter = filter.map_err(|e| internal(&e))?;
        let bands = Bands::new(height, size.1, bounds.height, filter.support());
        let waiting = if copies { 0 } else { bands.waiting as usize * bounds.width as usize * channels };
        let held = work.take(waiting)?;
        Ok(Self {
            bounds,
            area,
            channels,
            filter: FilterType::Custom(filter),
            bands,
            buffer: Vec::new(),
            _held: held,
            first: 0,
            rows: 0,
            size,
            target,
            next: 0,
            copies,
            convolution: Convolution::new(),
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
            if y < self.bounds.y || y >= self.bounds.y + self.bounds.height || self.next >= self.size.1 {
                continue;
            }
            let local = y - self.bounds.y;
            if self.copies {
                if f64::from(local) >= self.area.y {
                    let from = skip + self.area.x as usize * self.channels;
                    let width = self.size.0 as usize * self.channels;
                    self.rows_to_fill(1)?.copy_from_slice(&row[from..from + width]);
                    self.next += 1;
                }
                continue;
            }
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
            while self.next < self.size.1 && self.first + self.rows >= self.band_end() {
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
        self.is_complete()?;
        match self.target {
            Target::Whole(plane) => Ok(plane),
            Target::Stream { .. } => Err(Error::Internal("the rows have been taken already".to_owned())),
        }
    }

    /// # Errors
    /// An error when rows are missing.
    pub fn is_complete(&self) -> Result<(), Error> {
        if self.next < self.size.1 {
            return Err(Error::Internal("the image ended before its last row".to_owned()));
        }
        Ok(())
    }

    /// Finished rows of a streaming resampler that were not taken yet.
    #[must_use]
    pub fn ready(&self) -> PlaneRows<'_> {
        match &self.target {
            Target::Whole(_) => PlaneRows { first: 0, count: 0, data: &[] },
            Target::Stream { rows, first, .. } => {
                PlaneRows { first: *first, count: self.next - first, data: rows }
            }
        }
    }

    /// Drops the rows of [`Resampler::ready`], which have been taken.
    pub fn forget(&mut self) {
        if let Target::Stream { rows, first, .. } = &mut self.target {
            rows.clear();
            *first = self.next;
        }
    }

    /// The buffer of the next `count` finished rows.
    fn rows_to_fill(&mut self, count: u32) -> Result<&mut [u8], Error> {
        let stride = self.size.0 as usize * self.channels;
        let length = count as usize * stride;
        match &mut self.target {
            Target::Whole(plane) => {
                let at = self.next as usize * stride;
                Ok(&mut plane.data[at..at + length])
            }
            Target::Stream { rows, held, .. } => {
                let at = rows.len();
                held.grow_to(at + length)?;
                rows.resize(at + length, 0);
                Ok(&mut rows[at..])
            }
        }
    }

    fn band_rows(&self) -> u32 {
        self.bands.rows.min(self.size.1 - self.next)
    }

    fn step(&self) -> f64 {
        self.area.height / f64::from(self.size.1)
    }

    /// First source row that the next band reads.
    fn band_start(&self) -> f64 {
        (self.area.y + f64::from(self.next) * self.step() - self.bands.reach).max(0.0)
    }

    /// One past the last source row that the next band reads.
    fn band_end(&self) -> u32 {
        let end = self.area.y + f64::from(self.next + self.band_rows()) * self.step() + self.bands.reach;
        (end.ceil() as u32).min(self.bounds.height)
    }

    fn band(&mut self) -> Result<(), Error> {
        let rows = self.band_rows();
        let top = self.area.y + f64::from(self.next) * self.step() - f64::from(self.first);
        let height = f64::from(rows) * self.step();
        // The target is borrowed beside the source rows.
        let buffer = std::mem::take(&mut self.buffer);
        let mut convolution = std::mem::take(&mut self.convolution);
        let (bounds, held_rows, area, filter, channels) =
            (self.bounds, self.rows, self.area, self.filter, self.channels);
        let width = self.size.0;
        let available = (f64::from(held_rows) - top).max(1e-3);
        let crop = Crop { left: area.x, top: top.max(0.0), width: area.width, height: height.min(available) };
        let spec = Spec { channels, filter, crop: Some(crop), use_alpha: false };
        let out = self.rows_to_fill(rows)?;
        convolution
            .resize(&buffer, (bounds.width, held_rows), out, (width, rows), &spec)
            .map_err(|e| internal(&e))?;
        if channels == 4 {
            resample::divide_alpha(out, (width, rows)).map_err(|e| internal(&e))?;
        }
        self.buffer = buffer;
        self.convolution = convolution;
        self.next += rows;
        if self.next < self.size.1 {
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
    resample::multiply_alpha(row, (width, 1)).map_err(|e| internal(&e))
}

fn internal(error: &dyn std::fmt::Display) -> Error {
    Error::Internal(format!("resampling: {error}"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use work::{Budget, Work};

    use super::Resampler;
    use crate::rect::{Area, Window};

    fn gradient(w: u32, h: u32) -> Vec<u8> {
        (0..h)
            .flat_map(|y| (0..w).map(move |x| ((x * 255 / w.max(1)) / 2 + (y * 255 / h.max(1)) / 2) as u8))
            .collect()
    }

    #[test]
    fn the_short_lanczos_is_lanczos() {
        let sinc = |x: f64| {
            if x == 0.0 { 1.0 } else { (std::f64::consts::PI * x).sin() / (std::f64::consts::PI * x) }
        };
        for i in -3500..=3500 {
            let x = f64::from(i) / 1000.0;
            let exact = if x.abs() < 3.0 { sinc(x) * sinc(x / 3.0) } else { 0.0 };
            assert!((super::lanczos3(x) - exact).abs() < 2e-7, "{x}");
        }
    }

    proptest! {
        // Windows at any position, scaled by any factor: every row is read inside its bounds. A plain area stays plain,
        // unless memory outside of it is read.
        #[test]
        fn any_window_is_read_inside_its_bounds(
            w in 1u32..60, h in 1u32..60, tw in 1u32..120, th in 1u32..120, channels in prop::sample::select(vec![1usize, 3, 4]),
            left in 0u32..=8, top in 0u32..=8, right in 0u32..=8, bottom in 0u32..=8,
        ) {
            let work = Work::new(Budget::new(1 << 26));
            let bounds = Window { x: 0, y: 0, width: w, height: h };
            let part = |full: u32, near: u32, far: u32| {
                let (near, far) = (f64::from(near) / 8.0, f64::from(far) / 8.0);
                let near = near.min(f64::from(full) - 0.5);
                (near, (f64::from(full) - near - far).max(0.25))
            };
            let ((x, width), (y, height)) = (part(w, left, right), part(h, top, bottom));
            let area = Area { x, y, width, height };
            let mut r = Resampler::new(bounds, area, (tw, th), channels, &work).unwrap();
            r.push(0, &vec![201; (w * h) as usize * channels], w as usize * channels, &work).unwrap();
            let done = r.finish().unwrap().data;
            // The division by alpha rounds.
            let off = if channels == 4 { 2 } else { 0 };
            prop_assert!(done.iter().all(|v| v.abs_diff(201) <= off));
        }

        // The result does not depend on how the rows are grouped.
        #[test]
        fn the_result_does_not_depend_on_groups_of_rows(w in 1u32..80, h in 1u32..400, tw in 1u32..60, th in 1u32..300, group in 1usize..50) {
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
            // A gradient stays a gradient: neighbours in a column differ by little more than the source's slope.
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
