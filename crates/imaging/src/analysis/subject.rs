//! The crop window of a given size that contains most of an image's subject.
//!
//! Both measures use a thumbnail of 100 to 200 pixels on its longer side and return the window's left and top edge as
//! fractions of the image's width and height. Ties are broken by the centroid of all near-best windows: the subject is
//! centred in its window, and an image without a subject is cropped at its centre.

use codecs::Raster;
use work::Work;

use crate::Error;
use crate::choices::{ENTROPY_LEVELS, FOCUS_AS_GOOD, FOCUS_REACH};
use crate::ops::resample::{Resampler, one_plane};
use crate::rect::{Area, Window};

/// The measure of a subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SubjectMeasure {
    Saliency,
    Entropy,
}

/// Left and top edge of the window with the highest score, as fractions of the image's width and height. `window` is
/// its size in the same fractions; the score is computed on a thumbnail of `size`.
///
/// # Errors
/// Budget, deadline, cancellation.
pub fn find(
    image: &Raster,
    size: (u32, u32),
    window: (f64, f64),
    measure: SubjectMeasure,
    work: &Work,
) -> Result<(f64, f64), Error> {
    let _stage = work.stage("focus");
    let from = (image.width, image.height);
    let plane = &image.planes[0];
    let mut resampler = Resampler::new(Window::whole(from), Area::whole(from), size, plane.channels, work)?;
    resampler.push(0, &plane.data, plane.stride(), work)?;
    let thumbnail = one_plane(image.layout, resampler.finish()?);
    match measure {
        SubjectMeasure::Saliency => saliency(&thumbnail, window, work),
        SubjectMeasure::Entropy => entropy(&thumbnail, window, work),
    }
}

/// The window (width and height as fractions of the image's) with the most saliency in it, by R. Achanta and
/// S. Süsstrunk, "Saliency detection using maximum symmetric surround" (ICIP 2010): the distance in CIELAB of
/// each slightly blurred pixel from the mean of the largest rectangle that is centred on it.
///
/// # Errors
/// Budget, deadline, cancellation.
pub fn saliency(thumb: &Raster, window: (f64, f64), work: &Work) -> Result<(f64, f64), Error> {
    let (w, h) = (thumb.width as usize, thumb.height as usize);
    // Three planes of f32, three summed areas of f64 and that of the map, and the buffers of the dilation.
    let _held = work.take((w + 1) * (h + 1) * (2 * 3 * 4 + 4 * 8 + 2 * 4))?;
    let lab = lab(thumb);
    work.check()?;
    let soft: Vec<Vec<f32>> = lab.iter().map(|plane| binomial(plane, w, h)).collect();
    let sums: Vec<SummedArea> = lab.iter().map(|plane| SummedArea::new(plane, w, h)).collect();
    work.check()?;
    let mut map = vec![0f32; w * h];
    for y in 0..h {
        let dy = y.min(h - 1 - y);
        for x in 0..w {
            let dx = x.min(w - 1 - x);
            let (x0, x1, y0, y1) = (x - dx, x + dx + 1, y - dy, y + dy + 1);
            let area = ((x1 - x0) * (y1 - y0)) as f64;
            let mut distance = 0.0;
            for (sums, soft) in sums.iter().zip(&soft) {
                let mean = sums.of(x0, x1, y0, y1) / area;
                distance += (mean - f64::from(soft[y * w + x])).powi(2);
            }
            map[y * w + x] = distance as f32;
        }
    }
    // Values below the average count as background. Otherwise a wide calm area would outweigh a small subject.
    let mean = map.iter().map(|v| f64::from(*v)).sum::<f64>() / (w * h).max(1) as f64;
    for v in &mut map {
        *v = (f64::from(*v) - mean).max(0.0) as f32;
    }
    // Near an edge the surround is hardly larger than the subject, so that the subject's outer side has a lower saliency
    // than its inner side. The dilation keeps the outer side in the window.
    let map = dilated(&map, w, h, (FOCUS_REACH * w.max(h) as f64).round() as usize);
    let sums = SummedArea::new(&map, w, h);
    let grid = Grid::new(w, h, window);
    let (x, y) = best(grid.free_x, grid.free_y, |x, y| sums.of(x, x + grid.width, y, y + grid.height));
    Ok(grid.fraction(x, y))
}

/// The window (width and height as fractions of the image's) whose luma has the greatest Shannon entropy.
/// If both axes are free, the horizontal position is chosen first.
///
/// # Errors
/// Budget, deadline, cancellation.
pub fn entropy(thumb: &Raster, window: (f64, f64), work: &Work) -> Result<(f64, f64), Error> {
    let (w, h) = (thumb.width as usize, thumb.height as usize);
    let _held = work.take(w * h)?;
    let levels: Vec<u8> = rgb(thumb)
        .map(|[r, g, b]| {
            let luma = 77 * u32::from(r) + 150 * u32::from(g) + 29 * u32::from(b);
            ((luma >> 8) as usize * ENTROPY_LEVELS / 256) as u8
        })
        .collect();
    let grid = Grid::new(w, h, window);
    let columns = |x: usize| (0..h).map(move |y| y * w + x);
    let scores = sliding(&levels, grid.width, grid.free_x, columns);
    let (x, _) = best(grid.free_x, 0, |x, _| scores[x]);
    work.check()?;
    let rows = |y: usize| (x..x + grid.width).map(move |x| y * w + x);
    let scores = sliding(&levels, grid.height, grid.free_y, rows);
    let (_, y) = best(0, grid.free_y, |_, y| scores[y]);
    Ok(grid.fraction(x, y))
}

/// The window in thumbnail pixels, and its possible positions.
#[derive(Debug, Clone, Copy)]
struct Grid {
    width: usize,
    height: usize,
    /// Number of horizontal positions besides the first.
    free_x: usize,
    free_y: usize,
    full: (usize, usize),
    window: (f64, f64),
}

impl Grid {
    fn new(w: usize, h: usize, window: (f64, f64)) -> Self {
        let part = |full: usize, part: f64| ((full as f64 * part).round() as usize).clamp(1, full.max(1));
        let (width, height) = (part(w, window.0), part(h, window.1));
        let full = (w, h);
        Self { width, height, free_x: w - width.min(w), free_y: h - height.min(h), full, window }
    }

    fn fraction(self, x: usize, y: usize) -> (f64, f64) {
        let at = |v: usize, free: usize, full: usize, part: f64| {
            let room = (1.0 - part).max(0.0);
            // The last position is exactly at the edge, in spite of rounding.
            if free == 0 { room / 2.0 } else { (v as f64 / full as f64).min(room) }.min(room)
        };
        (at(x, self.free_x, self.full.0, self.window.0), at(y, self.free_y, self.full.1, self.window.1))
    }
}

/// The position with the best score; of equally good ones, the one nearest to their centroid.
fn best(free_x: usize, free_y: usize, score: impl Fn(usize, usize) -> f64) -> (usize, usize) {
    let places = || (0..=free_y).flat_map(move |y| (0..=free_x).map(move |x| (x, y)));
    let (low, high) = places()
        .map(|(x, y)| score(x, y))
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), s| (low.min(s), high.max(s)));
    let enough = high - FOCUS_AS_GOOD * (high - low) - 1e-9 * high.abs();
    let good = || places().filter(|&(x, y)| score(x, y) >= enough);
    let (n, sx, sy) =
        good().fold((0.0, 0.0, 0.0), |(n, sx, sy), (x, y)| (n + 1.0, sx + x as f64, sy + y as f64));
    let (mx, my) = (sx / n, sy / n);
    let far = |(x, y): &(usize, usize)| (*x as f64 - mx).powi(2) + (*y as f64 - my).powi(2);
    good().min_by(|a, b| far(a).total_cmp(&far(b))).unwrap_or((free_x / 2, free_y / 2))
}

/// Entropy of the histogram of `length` consecutive lines, at each of `free` + 1 positions.
fn sliding<I: Iterator<Item = usize>>(
    levels: &[u8],
    length: usize,
    free: usize,
    line: impl Fn(usize) -> I,
) -> Vec<f64> {
    let mut counts = [0u32; ENTROPY_LEVELS];
    let mut scores = Vec::with_capacity(free + 1);
    for i in 0..length + free {
        line(i).for_each(|at| counts[usize::from(levels[at])] += 1);
        if i + 1 < length {
            continue;
        }
        let total: u32 = counts.iter().sum();
        let score = counts.iter().filter(|&&n| n > 0).map(|&n| {
            let p = f64::from(n) / f64::from(total);
            -p * p.log2()
        });
        scores.push(score.sum());
        line(i + 1 - length).for_each(|at| counts[usize::from(levels[at])] -= 1);
    }
    scores
}

/// The pixels over mid-grey, so that transparent pixels have a low saliency, whatever their colour.
pub(crate) fn rgb(thumb: &Raster) -> impl Iterator<Item = [u8; 3]> {
    let n = thumb.layout.channels(0);
    thumb.data().chunks_exact(n).map(|p| match *p {
        [g] => [g, g, g],
        [r, g, b] => [r, g, b],
        [r, g, b, a, ..] => [r, g, b].map(|c| {
            let a = u32::from(a);
            ((u32::from(c) * a + 128 * (255 - a) + 127) / 255) as u8
        }),
        _ => [0; 3],
    })
}

/// CIELAB (D65) in planes L, a, b.
fn lab(thumb: &Raster) -> [Vec<f32>; 3] {
    let linear: Vec<f32> = (0..256)
        .map(|v| {
            let v = v as f32 / 255.0;
            if v <= 0.04045 { v / 12.92 } else { ((v + 0.055) / 1.055).powf(2.4) }
        })
        .collect();
    let mut planes = [(); 3].map(|()| Vec::with_capacity(thumb.width as usize * thumb.height as usize));
    for pixel in rgb(thumb) {
        let [r, g, b] = pixel.map(|c| linear[usize::from(c)]);
        // IEC 61966-2-1 to XYZ, divided by the white point.
        let x = response((0.412_456 * r + 0.357_576 * g + 0.180_438 * b) / 0.950_47);
        let y = response(0.212_673 * r + 0.715_152 * g + 0.072_175 * b);
        let z = response((0.019_334 * r + 0.119_192 * g + 0.950_304 * b) / 1.088_83);
        planes[0].push(116.0 * y - 16.0);
        planes[1].push(500.0 * (x - y));
        planes[2].push(200.0 * (y - z));
    }
    planes
}

/// The cube root of CIELAB with its linear part near black: two steps of Halley's method, starting from a third of the
/// exponent; accurate to six digits.
fn response(t: f32) -> f32 {
    const KNEE: f32 = 216.0 / 24389.0;
    if t <= KNEE {
        return (24389.0 / 27.0 * t + 16.0) / 116.0;
    }
    let mut root = f32::from_bits(t.to_bits() / 3 + 0x2A51_37A0);
    for _ in 0..2 {
        let cube = root * root * root;
        root *= (cube + 2.0 * t) / (2.0 * cube + t);
    }
    root
}

/// Blurred by 1 2 1 along both axes; edges are extended.
fn binomial(plane: &[f32], w: usize, h: usize) -> Vec<f32> {
    let mut out = vec![0.0; w * h];
    for y in 0..h {
        let (above, below) = (y.saturating_sub(1), (y + 1).min(h - 1));
        for x in 0..w {
            let column = |x: usize| plane[above * w + x] + 2.0 * plane[y * w + x] + plane[below * w + x];
            let (left, right) = (x.saturating_sub(1), (x + 1).min(w - 1));
            out[y * w + x] = (column(left) + 2.0 * column(x) + column(right)) / 16.0;
        }
    }
    out
}

/// The greatest value within `reach` along both axes.
fn dilated(plane: &[f32], w: usize, h: usize, reach: usize) -> Vec<f32> {
    let raise = |to: &mut [f32], from: &[f32]| {
        to.iter_mut().zip(from).for_each(|(to, from)| *to = to.max(*from));
    };
    let mut along = plane.to_vec();
    for (to, row) in along.chunks_exact_mut(w).zip(plane.chunks_exact(w)) {
        for shift in 1..=reach.min(w - 1) {
            raise(&mut to[shift..], row);
            raise(to, &row[shift..]);
        }
    }
    let mut out = along.clone();
    for (y, to) in out.chunks_exact_mut(w).enumerate() {
        for near in y.saturating_sub(reach)..(y + reach + 1).min(h) {
            raise(to, &along[near * w..][..w]);
        }
    }
    out
}

/// Summed areas (F. Crow 1984).
#[derive(Debug)]
struct SummedArea {
    sums: Vec<f64>,
    stride: usize,
}

impl SummedArea {
    fn new(plane: &[f32], w: usize, h: usize) -> Self {
        let stride = w + 1;
        let mut sums = vec![0.0; stride * (h + 1)];
        for y in 0..h {
            let mut row = 0.0;
            for x in 0..w {
                row += f64::from(plane[y * w + x]);
                sums[(y + 1) * stride + x + 1] = sums[y * stride + x + 1] + row;
            }
        }
        Self { sums, stride }
    }

    /// The sum over columns `x0..x1` of rows `y0..y1`.
    fn of(&self, x0: usize, x1: usize, y0: usize, y1: usize) -> f64 {
        let at = |x: usize, y: usize| self.sums[y * self.stride + x];
        at(x1, y1) - at(x0, y1) - at(x1, y0) + at(x0, y0)
    }
}
