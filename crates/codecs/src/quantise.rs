//! Quantisation from true colour to a palette: the choice of colours, and the mapping of pixels to indices.
//!
//! Up to `limit` distinct colours are kept exactly. More are gathered into cells of a coarse colour
//! cube, whose means `quantizr` clusters; some ten thousand weighted points represent any number of pixels.
//! Pixels are then mapped with error diffusion (R. Floyd, L. Steinberg 1976, walked in a serpentine) and a
//! lazily filled table of nearest entries.

use std::collections::HashMap;

use crate::Error;
use work::{Reservation, Work};

/// Most colours that are counted individually.
pub const MOST_COUNTED: usize = 1 << 15;

/// The transparency that a palette supports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PaletteAlpha {
    /// Every entry has its own alpha (PNG).
    Full,
    /// A pixel is opaque (alpha ≥ 128) or clear; clear pixels share one entry (GIF).
    OneBit,
}

/// A set of at most 256 R G B A entries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Palette {
    /// R G B A, straight alpha; a clear entry is 0 0 0 0 and comes first.
    pub colours: Vec<[u8; 4]>,
    /// Whether it contains every colour of the image, so that mapping is lossless.
    pub exact: bool,
    alpha: PaletteAlpha,
}

/// An image as indices into a palette, row by row without padding.
#[derive(Debug)]
pub struct Indexed {
    pub palette: Vec<[u8; 4]>,
    pub indices: Vec<u8>,
    _held: Reservation,
}

/// Chooses a palette of at most `limit` (2–256) colours and maps an R G B A image to it.
///
/// `dither` is the fraction of the error that is diffused, 0.0 (none) to 1.0.
///
/// # Errors
/// Budget, deadline, cancellation.
pub fn quantise(
    rgba: &[u8],
    width: u32,
    height: u32,
    limit: usize,
    alpha: PaletteAlpha,
    dither: f32,
    work: &Work,
) -> Result<Indexed, Error> {
    let palette = Palette::choose(rgba, limit, alpha, work)?;
    let pixels = width as usize * height as usize;
    let held = work.take(pixels)?;
    let mut indices = vec![0; pixels];
    let mut mapper = Mapper::new(palette, work)?;
    mapper.map(rgba, width, dither, &mut indices, work)?;
    Ok(Indexed { palette: mapper.palette.colours, indices, _held: held })
}

impl Palette {
    /// Chooses at most `limit` (2–256) colours for these R G B A pixels.
    ///
    /// # Errors
    /// Budget, deadline, cancellation.
    pub fn choose(rgba: &[u8], limit: usize, alpha: PaletteAlpha, work: &Work) -> Result<Self, Error> {
        let limit = limit.clamp(2, 256);
        if let Some(colours) = distinct(rgba, limit, alpha) {
            return Ok(Self { colours, exact: true, alpha });
        }
        work.check()?;
        Histogram::take(rgba, alpha, work)?.palette(limit, alpha)
    }

    /// The `limit` most frequent colours of these R G B A pixels: for drawings, whose flat colours do not change. `None`
    /// if there are more than [`MOST_COUNTED`] colours.
    ///
    /// # Errors
    /// Budget, deadline, cancellation.
    pub fn most_frequent(
        rgba: &[u8],
        limit: usize,
        alpha: PaletteAlpha,
        work: &Work,
    ) -> Result<Option<Self>, Error> {
        let _held = work.take(MOST_COUNTED * 2 * size_of::<([u8; 4], u64)>())?;
        let mut counts: HashMap<[u8; 4], u64> = HashMap::new();
        for block in rgba.as_chunks::<4>().0.chunks(1 << 16) {
            work.check()?;
            for run in block.chunk_by(|a, b| a == b) {
                *counts.entry(normal(run[0], alpha)).or_default() += run.len() as u64;
                if counts.len() > MOST_COUNTED {
                    return Ok(None);
                }
            }
        }
        let mut colours: Vec<_> = counts.into_iter().collect();
        colours.sort_unstable_by_key(|&(colour, count)| (std::cmp::Reverse(count), colour));
        colours.truncate(limit);
        let mut colours: Vec<[u8; 4]> = colours.into_iter().map(|(colour, _)| colour).collect();
        colours.sort_unstable_by_key(|c| (c[3], *c));
        Ok(Some(Self { colours, exact: false, alpha }))
    }

    /// Makes a palette of given entries (a clear one first, if any).
    #[must_use]
    pub fn from_colours(colours: Vec<[u8; 4]>, alpha: PaletteAlpha) -> Self {
        Self { colours, exact: false, alpha }
    }

    /// Index of the clear entry.
    #[must_use]
    pub fn clear(&self) -> Option<u8> {
        self.colours.iter().position(|c| c[3] == 0).map(|i| i as u8)
    }
}

/// A pixel normalised for the palette's kind of alpha.
fn normal(pixel: [u8; 4], alpha: PaletteAlpha) -> [u8; 4] {
    let [r, g, b, a] = pixel;
    match alpha {
        PaletteAlpha::OneBit if a >= 128 => [r, g, b, 255],
        PaletteAlpha::OneBit => [0; 4],
        PaletteAlpha::Full if a == 0 => [0; 4],
        PaletteAlpha::Full => pixel,
    }
}

/// All colours in order of alpha and value, or `None` when there are more than `limit`.
fn distinct(rgba: &[u8], limit: usize, alpha: PaletteAlpha) -> Option<Vec<[u8; 4]>> {
    let mut seen = ColourSet::new(limit);
    let mut last = None;
    for pixel in rgba.as_chunks::<4>().0 {
        let colour = normal(*pixel, alpha);
        if last != Some(colour) {
            last = Some(colour);
            seen.index(colour)?;
        }
    }
    let mut colours = seen.colours;
    colours.sort_unstable_by_key(|c| (c[3], *c));
    Some(colours)
}

/// Distinct colours in the order of their first use: a small open-addressed hash set.
#[derive(Debug)]
pub(crate) struct ColourSet {
    /// 0, or one more than an index into `colours`.
    slots: Vec<u16>,
    pub(crate) colours: Vec<[u8; 4]>,
    limit: usize,
}

impl ColourSet {
    /// For at most `limit` colours, which is at most 256.
    pub(crate) fn new(limit: usize) -> Self {
        let limit = limit.min(256);
        Self { slots: vec![0; 1024], colours: Vec::with_capacity(limit), limit }
    }

    /// The index of a colour, added if new; `None` beyond the limit.
    pub(crate) fn index(&mut self, colour: [u8; 4]) -> Option<u8> {
        let mut at = (u32::from_le_bytes(colour).wrapping_mul(0x9E37_79B1) >> 22) as usize;
        // At most 256 of 1024 slots are in use, so a free one is found.
        while self.slots[at] != 0 {
            let index = usize::from(self.slots[at]) - 1;
            if self.colours[index] == colour {
                return Some(index as u8);
            }
            at = (at + 1) & 1023;
        }
        if self.colours.len() == self.limit {
            return None;
        }
        self.colours.push(colour);
        self.slots[at] = self.colours.len() as u16;
        Some((self.colours.len() - 1) as u8)
    }
}

#[derive(Debug, Clone, Copy, Default)]
struct Cell {
    count: u32,
    sum: [u32; 4],
}

/// The number of pixels in each cell of the colour cube, and their mean colour.
struct Histogram {
    cells: Vec<Cell>,
    clear: u32,
    _held: Reservation,
}

/// Most pixels counted in a histogram: larger images are sampled by rows.
const SAMPLED_PIXELS: usize = 1 << 22;
/// Weighted points that represent the image in clustering.
const POINTS: u64 = 1 << 15;

impl Histogram {
    fn take(rgba: &[u8], alpha: PaletteAlpha, work: &Work) -> Result<Self, Error> {
        let bits = match alpha {
            PaletteAlpha::Full => 18,
            PaletteAlpha::OneBit => 15,
        };
        let held = work.take((size_of::<Cell>() << bits) + 48 * (POINTS as usize * 2))?;
        let mut cells = vec![Cell::default(); 1 << bits];
        let mut clear = 0_u32;
        let pixels = rgba.as_chunks::<4>().0;
        let step = pixels.len().div_ceil(SAMPLED_PIXELS).max(1);
        for (i, block) in pixels.chunks(4096).enumerate() {
            if i % 64 == 0 {
                work.check()?;
            }
            if i % step != 0 {
                continue;
            }
            for pixel in block {
                let colour = normal(*pixel, alpha);
                if colour[3] == 0 {
                    clear += 1;
                    continue;
                }
                let [r, g, b, a] = colour.map(usize::from);
                let mut key = (r >> 3) << 10 | (g >> 3) << 5 | b >> 3;
                if alpha == PaletteAlpha::Full {
                    key |= (a >> 5) << 15;
                }
                let cell = &mut cells[key];
                cell.count += 1;
                for (sum, v) in cell.sum.iter_mut().zip(colour) {
                    *sum += u32::from(v);
                }
            }
        }
        Ok(Self { cells, clear, _held: held })
    }

    fn palette(&self, limit: usize, alpha: PaletteAlpha) -> Result<Palette, Error> {
        let total: u64 = self.cells.iter().map(|c| u64::from(c.count)).sum();
        let mut points = Vec::with_capacity(POINTS as usize * 8);
        for cell in self.cells.iter().filter(|c| c.count > 0) {
            let half = cell.count / 2;
            let mean = cell.sum.map(|s| ((s + half) / cell.count).min(255) as u8);
            let weight = (u64::from(cell.count) * POINTS / total.max(1)).max(1);
            for _ in 0..weight {
                points.extend_from_slice(&mean);
            }
        }
        let mut colours = Vec::with_capacity(limit);
        if self.clear > 0 {
            colours.push([0; 4]);
        }
        if !points.is_empty() {
            let failed = |e: quantizr::Error| Error::Unsupported(format!("choosing a palette: {e:?}"));
            let mut options = quantizr::Options::default();
            options.set_max_colors((limit - colours.len()).max(2) as i32).map_err(failed)?;
            let image = quantizr::Image::new(&points, points.len() / 4, 1).map_err(failed)?;
            let result = quantizr::QuantizeResult::quantize(&image, &options);
            let chosen = result.get_palette();
            for c in chosen.entries.iter().take(chosen.count as usize) {
                let a = if alpha == PaletteAlpha::OneBit { 255 } else { c.a.max(1) };
                colours.push([c.r, c.g, c.b, a]);
            }
            colours.truncate(limit);
        }
        Ok(Palette { colours, exact: false, alpha })
    }
}

/// Maps pixels to the nearest entries of one palette; the table of results is reused between images.
#[derive(Debug)]
pub struct Mapper {
    pub palette: Palette,
    /// Entries weighted by alpha, channel by channel, for the search; unused ones are far from everything.
    weighted: Box<[[i32; 256]; 4]>,
    clear: Option<u8>,
    /// 0 = not looked up yet, else index + 1.
    near: Vec<u16>,
    _held: Reservation,
}

const NEAR_BITS: u32 = 18;
/// A channel value far from all colours; four squared distances to it still fit an i32.
const FAR: i32 = 16384;

impl Mapper {
    /// # Errors
    /// [`Error::Work`] (the table takes 512 KiB).
    pub fn new(palette: Palette, work: &Work) -> Result<Self, Error> {
        let held = work.take((2 << NEAR_BITS) + 4096)?;
        let clear = palette.clear();
        let mut weighted = Box::new([[FAR; 256]; 4]);
        for (i, &colour) in palette.colours.iter().enumerate().take(256) {
            // In one-bit palettes an opaque pixel never becomes clear.
            if palette.alpha == PaletteAlpha::OneBit && colour[3] == 0 {
                continue;
            }
            for (channel, v) in weighted.iter_mut().zip(alpha_weighted(colour.map(i32::from))) {
                channel[i] = v;
            }
        }
        Ok(Self { palette, weighted, clear, near: vec![0; 1 << NEAR_BITS], _held: held })
    }

    /// The entry nearest to the centre of the colour's cell.
    fn nearest(&mut self, colour: [i32; 4]) -> usize {
        let [r, g, b, a] = colour;
        let (key, centre) = match self.palette.alpha {
            PaletteAlpha::OneBit => {
                ((r >> 2) << 12 | (g >> 2) << 6 | b >> 2, [r & !3 | 2, g & !3 | 2, b & !3 | 2, 255])
            }
            PaletteAlpha::Full => (
                (r >> 3) << 10 | (g >> 3) << 5 | b >> 3 | (a >> 5) << 15,
                // Opaque and transparent are the most frequent alphas and are kept exact.
                [r & !7 | 4, g & !7 | 4, b & !7 | 4, if a >= 248 { 255 } else { a & !31 | 16 }],
            ),
        };
        let slot = &mut self.near[key as usize];
        if *slot == 0 {
            let wanted = alpha_weighted(centre);
            let mut distances = [0_i32; 256];
            for (channel, w) in self.weighted.iter().zip(wanted) {
                for (d, v) in distances.iter_mut().zip(channel) {
                    *d += (v - w) * (v - w);
                }
            }
            let least = distances.iter().copied().min().unwrap_or(0);
            *slot = distances.iter().position(|&d| d == least).unwrap_or(0) as u16 + 1;
        }
        *slot as usize - 1
    }

    /// Mean squared distance (over R, G and B together) between pixels and their entries, over a sample of
    /// the pixels; `None` if a pixel is transparent and the palette has no transparent entry.
    pub fn mean_error(&mut self, rgba: &[u8]) -> Option<f32> {
        let pixels = rgba.as_chunks::<4>().0;
        let step = (pixels.len() / 8192).max(1) | 1;
        let (mut sum, mut count) = (0_u64, 0_u32);
        for pixel in pixels.iter().step_by(step) {
            let colour = normal(*pixel, self.palette.alpha);
            if colour[3] == 0 {
                self.clear?;
                continue;
            }
            let at = self.nearest(colour.map(i32::from));
            let entry = self.palette.colours[at];
            let d = |i: usize| u64::from(colour[i].abs_diff(entry[i])).pow(2);
            sum += d(0) + d(1) + d(2);
            count += 1;
        }
        Some(sum as f32 / count.max(1) as f32)
    }

    /// Writes the index of each R G B A pixel. Pixels whose colour is in the palette get that
    /// entry; `dither` is the fraction of the error that is diffused to the neighbours.
    ///
    /// # Errors
    /// Budget (a few rows), deadline, cancellation.
    pub fn map(
        &mut self,
        rgba: &[u8],
        width: u32,
        dither: f32,
        indices: &mut [u8],
        work: &Work,
    ) -> Result<(), Error> {
        if self.palette.exact {
            self.map_exactly(rgba, indices);
            return Ok(());
        }
        let width = width as usize;
        let _held = work.take((width + 2) * 2 * size_of::<[i32; 4]>())?;
        // Errors in sixteenths, with one place of margin at each side.
        let mut here = vec![[0_i32; 4]; width + 2];
        let mut below = vec![[0_i32; 4]; width + 2];
        let strength = (dither.clamp(0.0, 1.0) * 256.0) as i32;
        let rows = rgba.chunks_exact(width * 4).zip(indices.chunks_exact_mut(width));
        for (y, (row, out)) in rows.enumerate() {
            if y % 32 == 0 {
                work.check()?;
            }
            let row = row.as_chunks::<4>().0;
            if y % 2 == 0 {
                self.map_row(row.iter().zip(out), strength, &mut here, &mut below);
            } else {
                // Serpentine order: the margins are symmetric, so that the row can be reversed.
                here.reverse();
                self.map_row(row.iter().rev().zip(out.iter_mut().rev()), strength, &mut here, &mut below);
                below.reverse();
            }
            std::mem::swap(&mut here, &mut below);
            below.fill([0; 4]);
        }
        Ok(())
    }

    /// Maps one row in the order given; `here` and `below` are in the same order, one place ahead.
    fn map_row<'p>(
        &mut self,
        pixels: impl Iterator<Item = (&'p [u8; 4], &'p mut u8)>,
        strength: i32,
        here: &mut [[i32; 4]],
        below: &mut [[i32; 4]],
    ) {
        let alpha = self.palette.alpha;
        // The error from the previous pixel, and the sums below that pixel and below this one.
        let (mut ahead, mut left, mut middle) = ([0; 4], [0; 4], [0; 4]);
        for ((pixel, out), (taken, given)) in pixels.zip(here[1..].iter().zip(below.iter_mut())) {
            let colour = normal(*pixel, alpha);
            let mut error = [0; 4];
            if let (0, Some(clear)) = (colour[3], self.clear) {
                *out = clear;
            } else {
                let mut wanted = [0; 4];
                for c in 0..4 {
                    wanted[c] = (i32::from(colour[c]) + ((taken[c] + ahead[c] + 8) >> 4)).clamp(0, 255);
                }
                if alpha == PaletteAlpha::OneBit {
                    wanted[3] = 255;
                }
                let at = self.nearest(wanted);
                *out = at as u8;
                let entry = self.palette.colours[at];
                for c in 0..4 {
                    error[c] = ((wanted[c] - i32::from(entry[c])) * strength) >> 8;
                }
            }
            for c in 0..4 {
                ahead[c] = error[c] * 7;
                given[c] = left[c] + error[c] * 3;
                left[c] = middle[c] + error[c] * 5;
                middle[c] = error[c];
            }
        }
        // The last pixel's own position; the margin after it is not used.
        let last = below.len() - 2;
        below[last] = left;
    }

    fn map_exactly(&self, rgba: &[u8], indices: &mut [u8]) {
        let mut order: Vec<(u32, u8)> =
            (0..=255).zip(&self.palette.colours).map(|(i, c)| (u32::from_le_bytes(*c), i)).collect();
        order.sort_unstable();
        let mut last = ([0; 4], None);
        for (pixel, out) in rgba.as_chunks::<4>().0.iter().zip(indices) {
            if last.1.is_none() || last.0 != *pixel {
                let key = u32::from_le_bytes(normal(*pixel, self.palette.alpha));
                let at = order.binary_search_by_key(&key, |e| e.0).map_or(0, |i| order[i].1);
                last = (*pixel, Some(at));
            }
            *out = last.1.unwrap_or(0);
        }
    }
}

/// Colours weighted by their alpha.
fn alpha_weighted(colour: [i32; 4]) -> [i32; 4] {
    let [r, g, b, a] = colour;
    [r * a / 255, g * a / 255, b * a / 255, a]
}

#[cfg(test)]
mod tests {
    use super::{PaletteAlpha, quantise};
    use work::{Budget, Work};

    fn work() -> Work {
        Work::new(Budget::new(64 << 20))
    }

    fn gradient(width: u32, height: u32) -> Vec<u8> {
        (0..height)
            .flat_map(|y| {
                (0..width).flat_map(move |x| {
                    [
                        (x * 255 / width) as u8,
                        (y * 255 / height) as u8,
                        ((x + y) * 255 / (width + height)) as u8,
                        255,
                    ]
                })
            })
            .collect()
    }

    #[test]
    fn few_colours_are_kept_exactly() {
        let pixels: Vec<u8> =
            (0..=255_u8).flat_map(|i| [i, i ^ 0x55, 3, if i < 9 { i } else { 255 }]).collect();
        let out = quantise(&pixels, 16, 16, 256, PaletteAlpha::Full, 1.0, &work()).unwrap();
        let back: Vec<u8> = out.indices.iter().flat_map(|&i| out.palette[i as usize]).collect();
        let expected: Vec<u8> = pixels
            .chunks(4)
            .flat_map(|p| if p[3] == 0 { [0; 4] } else { [p[0], p[1], p[2], p[3]] })
            .collect();
        assert_eq!(back, expected);
    }

    #[test]
    fn a_gradient_keeps_its_local_mean() {
        let pixels = gradient(128, 96);
        let out = quantise(&pixels, 128, 96, 256, PaletteAlpha::OneBit, 1.0, &work()).unwrap();
        assert!(out.palette.len() <= 256);
        // Dithering preserves means, here over 8 × 8 pixels.
        for by in 0..12 {
            for bx in 0..16 {
                for c in 0..3 {
                    let (mut a, mut b) = (0_i32, 0_i32);
                    for y in by * 8..by * 8 + 8 {
                        for x in bx * 8..bx * 8 + 8 {
                            let at = y * 128 + x;
                            a += i32::from(pixels[at * 4 + c]);
                            b += i32::from(out.palette[out.indices[at] as usize][c]);
                        }
                    }
                    assert!((a - b).abs() <= 64 * 5, "block {bx},{by} channel {c}: {a} {b}");
                }
            }
        }
    }

    #[test]
    fn one_bit_alpha_is_clear_or_opaque() {
        let mut pixels = gradient(64, 64);
        for (i, p) in pixels.chunks_mut(4).enumerate() {
            p[3] = (i % 256) as u8;
        }
        let out = quantise(&pixels, 64, 64, 64, PaletteAlpha::OneBit, 1.0, &work()).unwrap();
        assert!(out.palette.len() <= 64);
        for (p, &i) in pixels.chunks(4).zip(&out.indices) {
            assert_eq!(out.palette[i as usize][3], if p[3] >= 128 { 255 } else { 0 });
        }
    }
}
