//! Gaussian blur, and the unsharp mask based on it, in place, with a few rows of memory.
//!
//! Small radii are convolved with a sampled Gaussian in 16-bit fixed point, rows first, then columns; wide ones
//! on a reduced copy, which keeps all the detail that a wide blur keeps. Edges are extended. Colours are weighted by
//! their alpha, so that transparent pixels do not bleed.

use codecs::Raster;
use resample::{Convolution, FilterType, Spec};
use work::Work;

use crate::Error;

/// From this standard deviation on, in pixels, a reduced copy is blurred.
const WIDE: f64 = 4.0;
/// Standard deviation on the reduced copy: its grid still resolves the blur.
const REDUCED: f64 = 2.0;
/// Fractional bits of the stored rows: twice 255 ≪ 7 is just under 2¹⁶.
const POINT: u32 = 7;
/// Samples convolved at once along a row, so that the sums fit the first-level cache.
const CHUNK: usize = 2048;

/// Blurs with a Gaussian of standard deviation `sigma` (pixels).
///
/// # Errors
/// Budget, deadline, cancellation.
pub fn blur(image: &mut Raster, sigma: f64, work: &Work) -> Result<(), Error> {
    if sigma <= 0.0 || image.width == 0 || image.height == 0 {
        return Ok(());
    }
    if sigma >= WIDE {
        return blur_reduced(image, sigma, work);
    }
    blur_axes(image, (sigma, sigma), work)
}

/// Adds `strength` times the difference from a copy blurred by `sigma`; alpha does not change.
///
/// # Errors
/// Budget, deadline, cancellation.
pub fn unsharp(image: &mut Raster, sigma: f64, strength: f64, work: &Work) -> Result<(), Error> {
    let strength = strength as f32 / (1 << POINT) as f32;
    let sharper = |v: u8, soft: f32| {
        let sharp = f32::from(v) + (f32::from(u16::from(v) << POINT) - soft) * strength;
        (sharp + 0.5) as u8
    };
    if !image.layout.has_alpha() {
        return convolve(image, (sigma, sigma), work, |row, soft| {
            for (v, &soft) in row.iter_mut().zip(soft) {
                *v = sharper(*v, f32::from(soft));
            }
        });
    }
    convolve(image, (sigma, sigma), work, |row, soft| {
        for (p, soft) in row.chunks_exact_mut(4).zip(soft.chunks_exact(4)) {
            if p[3] > 0 {
                let straight = f32::from(255u16 << POINT) / f32::from(soft[3].max(1));
                for i in 0..3 {
                    p[i] = sharper(p[i], f32::from(soft[i]) * straight);
                }
            }
        }
    })
}

fn blur_axes(image: &mut Raster, sigmas: (f64, f64), work: &Work) -> Result<(), Error> {
    if !image.layout.has_alpha() {
        return convolve(image, sigmas, work, |row, soft| {
            for (v, &soft) in row.iter_mut().zip(soft) {
                *v = ((soft + (1 << (POINT - 1))) >> POINT) as u8;
            }
        });
    }
    convolve(image, sigmas, work, |row, soft| {
        for (p, soft) in row.chunks_exact_mut(4).zip(soft.chunks_exact(4)) {
            let straight = 255.0 / f32::from(soft[3].max(1));
            for i in 0..3 {
                p[i] = (f32::from(soft[i]) * straight + 0.5) as u8;
            }
            p[3] = ((soft[3] + (1 << (POINT - 1))) >> POINT) as u8;
        }
    })
}

/// Reduces, blurs by the remaining variance, and enlarges again. The tent filter of the reduction adds a sixth of the square
/// of its width to the variance; the cubic filter of the enlargement adds nothing.
fn blur_reduced(image: &mut Raster, sigma: f64, work: &Work) -> Result<(), Error> {
    let reduce = sigma / (REDUCED * REDUCED + 1.0 / 6.0).sqrt();
    let part = |full: u32| ((f64::from(full) / reduce).ceil() as u32).clamp(1, full);
    let (w, h) = (part(image.width), part(image.height));
    let left = |full: u32, part: u32| {
        if part == 1 {
            return 0.0;
        }
        let scale = f64::from(full) / f64::from(part);
        let tent = if scale > 1.0 { 1.0 / 6.0 } else { 0.0 };
        ((sigma / scale).powi(2) - tent).max(0.0).sqrt()
    };
    let sigmas = (left(image.width, w), left(image.height, h));
    let mut small = Raster::new(image.layout, w, h, work)?;
    // The resizer's own rows, between its two passes.
    let _held = work.take(image.width as usize * h as usize * image.layout.channels(0))?;
    scale(image, &mut small, FilterType::Bilinear)?;
    work.check()?;
    blur_axes(&mut small, sigmas, work)?;
    scale(&small, image, FilterType::CatmullRom)
}

/// Resamples all of `from` to the size of `to`; alpha is respected.
fn scale(from: &Raster, to: &mut Raster, filter: FilterType) -> Result<(), Error> {
    let (channels, use_alpha) = (from.layout.channels(0), from.layout.has_alpha());
    let spec = Spec { channels, filter, crop: None, use_alpha };
    let (source, target) = ((from.width, from.height), (to.width, to.height));
    Convolution::new()
        .resize(from.data(), source, to.data_mut(), target, &spec)
        .map_err(|e| Error::Internal(format!("blur: {e}")))
}

/// One half of a symmetric kernel.
#[derive(Debug)]
struct Kernel {
    /// Weights of the centre and of the samples to one side, in 1/65536. The whole kernel sums to 65536.
    weights: Vec<u16>,
}

impl Kernel {
    fn gaussian(sigma: f64) -> Self {
        let reach = (3.0 * sigma).ceil() as usize;
        let shape: Vec<f64> = (0..=reach)
            .map(|i| if i == 0 { 1.0 } else { (-0.5 * (i as f64 / sigma).powi(2)).exp() })
            .collect();
        let sum = 2.0 * shape.iter().sum::<f64>() - 1.0;
        let mut weights: Vec<u16> =
            shape.iter().map(|v| (v / sum * 65536.0).round().min(65535.0) as u16).collect();
        let sides: u32 = weights[1..].iter().map(|w| 2 * u32::from(*w)).sum();
        weights[0] = (65536 - sides).min(65535) as u16;
        while weights.len() > 1 && weights.last() == Some(&0) {
            weights.pop();
        }
        Self { weights }
    }

    fn reach(&self) -> usize {
        self.weights.len() - 1
    }

    /// Writes the weighted sums of the rows around `at(0)` to `out`.
    fn sum<'a>(&self, out: &mut [u16], at: impl Fn(isize) -> &'a [u16]) {
        let middle = at(0);
        for (o, &m) in out.iter_mut().zip(middle) {
            *o = part(m, self.weights[0]);
        }
        for (i, &weight) in self.weights.iter().enumerate().skip(1) {
            let (near, far) = (at(-(i as isize)), at(i as isize));
            for ((o, &n), &f) in out.iter_mut().zip(near).zip(far) {
                *o += part(n + f, weight);
            }
        }
    }
}

/// The high half of a product, one instruction on vector units.
#[inline(always)]
fn part(value: u16, weight: u16) -> u16 {
    ((u32::from(value) * u32::from(weight)) >> 16) as u16
}

/// Convolves along both axes and passes each row, unchanged, and its blurred copy (premultiplied if
/// there is alpha, with [`POINT`] fractional bits) to `write`, which updates the row.
fn convolve(
    image: &mut Raster,
    (sigma_x, sigma_y): (f64, f64),
    work: &Work,
    write: impl Fn(&mut [u8], &[u16]),
) -> Result<(), Error> {
    let (along, down) = (Kernel::gaussian(sigma_x), Kernel::gaussian(sigma_y));
    let n = image.layout.channels(0);
    let stride = image.planes[0].stride();
    let height = image.height as usize;
    let margin = along.reach() * n;
    let ring = 2 * down.reach() + 1;
    let _held = work.take((ring * stride + 2 * stride + 2 * margin) * 2)?;
    let mut padded = vec![0u16; stride + 2 * margin];
    let mut rows = vec![0u16; ring * stride];
    let mut soft = vec![0u16; stride];
    let mut ready = 0;
    for y in 0..height {
        if y % 32 == 0 {
            work.check()?;
        }
        while ready < height && ready <= y + down.reach() {
            widen(&image.data()[ready * stride..][..stride], &mut padded, margin, n);
            let out = &mut rows[ready % ring * stride..][..stride];
            for (c, out) in out.chunks_mut(CHUNK).enumerate() {
                let (first, length) = (c * CHUNK + margin, out.len());
                along.sum(out, |i| &padded[first.wrapping_add_signed(i * n as isize)..][..length]);
            }
            ready += 1;
        }
        let at = |i: isize| {
            let row = y.saturating_add_signed(i).min(height - 1);
            &rows[row % ring * stride..][..stride]
        };
        for (c, soft) in soft.chunks_mut(CHUNK).enumerate() {
            let length = soft.len();
            down.sum(soft, |i| &at(i)[c * CHUNK..][..length]);
        }
        write(&mut image.data_mut()[y * stride..][..stride], &soft);
    }
    Ok(())
}

/// A row of bytes as fixed-point samples with `margin` samples of its end pixels on either side; premultiplied where `n` is 4.
fn widen(row: &[u8], padded: &mut [u16], margin: usize, n: usize) {
    let end = margin + row.len();
    let middle = &mut padded[margin..end];
    if n == 4 {
        for (t, p) in middle.chunks_exact_mut(4).zip(row.chunks_exact(4)) {
            let alpha = u32::from(p[3]);
            for i in 0..3 {
                t[i] = (((u32::from(p[i]) * alpha) << POINT) / 255) as u16;
            }
            t[3] = u16::from(p[3]) << POINT;
        }
    } else {
        for (t, &v) in middle.iter_mut().zip(row) {
            *t = u16::from(v) << POINT;
        }
    }
    for at in (0..margin).step_by(n) {
        padded.copy_within(margin..margin + n, at);
        padded.copy_within(end - n..end, end + at);
    }
}
