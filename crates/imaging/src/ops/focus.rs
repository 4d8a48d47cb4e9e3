//! Where the subject of a picture is, computed on a thumbnail: `gravity=auto` and `gravity=entropy`.

use codecs::{Raster, Work};

use crate::Error;

/// A map of weights, one for each pixel of the thumbnail.
struct Map {
    width: usize,
    height: usize,
    weights: Vec<f32>,
}

/// The crop window that holds the most of what stands out, by saliency with maximum symmetric surround.
///
/// R. Achanta and S. Süsstrunk, "Saliency detection using maximum symmetric surround", ICIP 2010: a pixel
/// stands out as far as it differs, in Lab, from the mean of the largest region around it that is symmetric within the
/// image.
///
/// `thumb` is Gray, Rgb or Rgba; `window` the size of the crop as a fraction of the thumbnail's width and height.
/// Returns the window's left and top as fractions of them.
///
/// # Errors
/// Budget, deadline, cancellation.
pub fn saliency(thumb: &Raster, window: (f64, f64), work: &Work) -> Result<(f64, f64), Error> {
    work.check()?;
    let (w, h) = (thumb.width as usize, thumb.height as usize);
    let _held = work.take(w * h * (3 * 4 + 3 * 8 + 4))?;
    let lab = lab(thumb);
    let sums: Vec<Integral> =
        (0..3).map(|c| Integral::new(w, h, |x, y| f64::from(lab[y * w + x][c]))).collect();
    let mut weights = vec![0.0; w * h];
    for y in 0..h {
        let half_height = y.min(h - 1 - y);
        for x in 0..w {
            let half_width = x.min(w - 1 - x);
            let (x0, x1) = (x - half_width, x + half_width + 1);
            let (y0, y1) = (y - half_height, y + half_height + 1);
            let area = ((x1 - x0) * (y1 - y0)) as f64;
            let here = lab[y * w + x];
            weights[y * w + x] = (0..3)
                .map(|c| {
                    let d = sums[c].sum(x0, y0, x1, y1) / area - f64::from(here[c]);
                    (d * d) as f32
                })
                .sum();
        }
    }
    cover_transparency(thumb, &mut weights);
    Ok(best(&Map { width: w, height: h, weights }, window))
}

/// The crop window with the most detail: the entropy of the luma around each pixel.
///
/// The arguments and the result are those of [`saliency`].
///
/// # Errors
/// Budget, deadline, cancellation.
pub fn entropy(thumb: &Raster, window: (f64, f64), work: &Work) -> Result<(f64, f64), Error> {
    /// Side of the blocks whose histograms are taken.
    const BLOCK: usize = 8;
    work.check()?;
    let (w, h) = (thumb.width as usize, thumb.height as usize);
    let _held = work.take(w * h * 5)?;
    let n = thumb.layout.channels(0);
    let luma: Vec<u8> = thumb
        .data()
        .chunks_exact(n)
        .map(|p| match p {
            [g] => *g,
            _ => ((u32::from(p[0]) * 77 + u32::from(p[1]) * 150 + u32::from(p[2]) * 29) >> 8) as u8,
        })
        .collect();
    let mut weights = vec![0.0; w * h];
    for by in (0..h).step_by(BLOCK) {
        for bx in (0..w).step_by(BLOCK) {
            let (ex, ey) = ((bx + BLOCK).min(w), (by + BLOCK).min(h));
            let mut histogram = [0u32; 32];
            for y in by..ey {
                for &v in &luma[y * w + bx..y * w + ex] {
                    histogram[usize::from(v) >> 3] += 1;
                }
            }
            let total = ((ex - bx) * (ey - by)) as f32;
            let bits: f32 = histogram
                .iter()
                .filter(|&&count| count > 0)
                .map(|&count| {
                    let p = count as f32 / total;
                    -p * p.log2()
                })
                .sum();
            for y in by..ey {
                weights[y * w + bx..y * w + ex].fill(bits);
            }
        }
    }
    cover_transparency(thumb, &mut weights);
    Ok(best(&Map { width: w, height: h, weights }, window))
}

/// What cannot be seen does not count.
fn cover_transparency(thumb: &Raster, weights: &mut [f32]) {
    if thumb.layout.has_alpha() {
        for (weight, p) in weights.iter_mut().zip(thumb.data().chunks_exact(4)) {
            *weight *= f32::from(p[3]) / 255.0;
        }
    }
}

/// Sums of rectangles in constant time.
struct Integral {
    stride: usize,
    sums: Vec<f64>,
}

impl Integral {
    fn new(w: usize, h: usize, value: impl Fn(usize, usize) -> f64) -> Self {
        let stride = w + 1;
        let mut sums = vec![0.0; stride * (h + 1)];
        for y in 0..h {
            let mut row = 0.0;
            for x in 0..w {
                row += value(x, y);
                sums[(y + 1) * stride + x + 1] = sums[y * stride + x + 1] + row;
            }
        }
        Self { stride, sums }
    }

    /// The sum over x0..x1 × y0..y1.
    fn sum(&self, x0: usize, y0: usize, x1: usize, y1: usize) -> f64 {
        let at = |x: usize, y: usize| self.sums[y * self.stride + x];
        at(x1, y1) - at(x0, y1) - at(x1, y0) + at(x0, y0)
    }
}

/// The place where the window holds the most weight. Among places that hold nearly the same (an even picture),
/// the one whose own centre of weight is nearest to its middle, and then the most central.
fn best(map: &Map, window: (f64, f64)) -> (f64, f64) {
    let (w, h) = (map.width, map.height);
    let size = |fraction: f64, full: usize| ((fraction * full as f64).round() as usize).clamp(1, full);
    let (ww, wh) = (size(window.0, w), size(window.1, h));
    let weight = |x: usize, y: usize| f64::from(map.weights[y * w + x]);
    let sums = Integral::new(w, h, weight);
    let along = Integral::new(w, h, |x, y| weight(x, y) * (x as f64 + 0.5));
    let across = Integral::new(w, h, |x, y| weight(x, y) * (y as f64 + 0.5));
    let total = sums.sum(0, 0, w, h).max(1e-9);
    let mut found = (f64::NEG_INFINITY, 0, 0);
    for y in 0..=h - wh {
        for x in 0..=w - ww {
            let inside = sums.sum(x, y, x + ww, y + wh);
            let off = |i: &Integral, start: usize, length: usize| {
                if inside <= 1e-9 {
                    return 0.0;
                }
                let centre = i.sum(x, y, x + ww, y + wh) / inside;
                ((centre - start as f64) / length as f64 - 0.5).abs()
            };
            let (off_x, off_y) = (off(&along, x, ww), off(&across, y, wh));
            let middle = |at: usize, part: usize, full: usize| {
                ((at as f64 + part as f64 / 2.0) / full as f64 - 0.5).abs()
            };
            let aside = middle(x, ww, w) + middle(y, wh, h);
            let score = inside / total - 0.1 * (off_x + off_y) - 0.01 * aside;
            if score > found.0 {
                found = (score, x, y);
            }
        }
    }
    (found.1 as f64 / w as f64, found.2 as f64 / h as f64)
}

/// CIE Lab (D65) of each pixel, L 0–100.
fn lab(image: &Raster) -> Vec<[f32; 3]> {
    let linear: [f32; 256] = std::array::from_fn(|v| {
        let v = v as f32 / 255.0;
        if v <= 0.04045 { v / 12.92 } else { ((v + 0.055) / 1.055).powf(2.4) }
    });
    let n = image.layout.channels(0);
    let root = |t: f32| if t > 0.008_856 { t.cbrt() } else { 7.787 * t + 16.0 / 116.0 };
    image
        .data()
        .chunks_exact(n)
        .map(|p| {
            let [r, g, b] = match p {
                [v] => [linear[usize::from(*v)]; 3],
                _ => [0, 1, 2].map(|c| linear[usize::from(p[c])]),
            };
            let x = root((0.412_4 * r + 0.357_6 * g + 0.180_5 * b) / 0.950_5);
            let y = root(0.212_6 * r + 0.715_2 * g + 0.072_2 * b);
            let z = root((0.019_3 * r + 0.119_2 * g + 0.950_5 * b) / 1.089);
            [116.0 * y - 16.0, 500.0 * (x - y), 200.0 * (y - z)]
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use codecs::{Budget, Layout, Raster, Work};

    use super::{entropy, saliency};

    /// A textured ground with a subject of another colour in a known box.
    fn scene(seed: u32, x0: u32, y0: u32) -> Raster {
        let work = Work::new(Budget::new(1 << 24));
        let mut image = Raster::new(Layout::Rgb, 160, 100, &work).unwrap();
        let mut s = seed | 1;
        for y in 0..100 {
            for x in 0..160 {
                s = s.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let noise = (s >> 24) as u8 / 8;
                let inside = (x0..x0 + 24).contains(&x) && (y0..y0 + 24).contains(&y);
                let colour = if inside {
                    let stripe = if (x / 3 + y / 4) % 2 == 0 { 60 } else { 0 };
                    [180 + stripe, 60 + stripe, 20]
                } else {
                    [60 + (y / 2) as u8, 120, 150 - (x / 4) as u8]
                };
                let at = ((y * 160 + x) * 3) as usize;
                image.data_mut()[at..at + 3].copy_from_slice(&colour.map(|v: u8| v.saturating_add(noise)));
            }
        }
        image
    }

    // URL-053: the crop holds a subject that is off the centre.
    #[test]
    fn saliency_and_entropy_find_the_subject() {
        let work = Work::new(Budget::new(1 << 24));
        let places = [
            (4, 4),
            (120, 60),
            (130, 5),
            (10, 70),
            (70, 8),
            (5, 40),
            (132, 38),
            (70, 70),
            (40, 20),
            (100, 50),
        ];
        for find in [saliency, entropy] {
            let mut held = 0;
            for (i, (x0, y0)) in places.into_iter().enumerate() {
                let (x, y) = find(&scene(i as u32, x0, y0), (0.4, 0.64), &work).unwrap();
                let (left, top) = (x * 160.0, y * 100.0);
                let holds = left <= f64::from(x0) + 1.0
                    && left + 64.0 >= f64::from(x0 + 24) - 1.0
                    && top <= f64::from(y0) + 1.0
                    && top + 64.0 >= f64::from(y0 + 24) - 1.0;
                held += u32::from(holds);
            }
            assert!(held >= 9, "{held} of 10");
        }
    }

    #[test]
    fn an_even_picture_is_cropped_in_the_middle() {
        let work = Work::new(Budget::new(1 << 24));
        let image = Raster::new(Layout::Rgb, 100, 60, &work).unwrap();
        let (x, y) = saliency(&image, (0.5, 1.0), &work).unwrap();
        assert!((x - 0.25).abs() < 0.02 && y == 0.0, "{x} {y}");
    }
}
