//! Colour effects in one pass over the pixels, then sharpening and blurring.

use codecs::{Layout, Raster, Work};
use recipe::Transform;

use super::flatten;
use crate::Error;

/// Applies brightness, contrast, gamma and saturation (in this order, fused), sharpen, then blur.
///
/// # Errors
/// Budget, deadline, cancellation.
pub fn apply(image: Raster, transform: &Transform, work: &Work) -> Result<Raster, Error> {
    let mut image = image;
    let has_colour =
        transform.brightness.is_some() || transform.contrast.is_some() || transform.gamma.is_some();
    if has_colour || transform.saturation.is_some() {
        if image.layout == Layout::Gray {
            image = flatten::to_rgb(image, recipe::Color::WHITE, work)?;
        }
        colour(&mut image, transform);
    }
    if let Some(amount) = transform.sharpen {
        image = sharpen(image, amount, work)?;
    }
    if let Some(radius) = transform.blur {
        blur(&mut image, radius, work)?;
    }
    Ok(image)
}

/// A curve for each value, then saturation as a distance from the luma (Rec. 601 weights).
fn colour(image: &mut Raster, transform: &Transform) {
    let curve: Vec<u8> = (0..=255u8)
        .map(|v| {
            let mut v = f64::from(v) / 255.0;
            v *= transform.brightness.unwrap_or(1.0);
            v = (v - 0.5) * transform.contrast.unwrap_or(1.0) + 0.5;
            v = v.clamp(0.0, 1.0).powf(transform.gamma.unwrap_or(1.0));
            (v * 255.0).round() as u8
        })
        .collect();
    let saturation = transform.saturation.map(|s| s as f32);
    let n = image.layout.channels(0);
    for p in image.data_mut().chunks_exact_mut(n) {
        for c in &mut p[..3] {
            *c = curve[usize::from(*c)];
        }
        if let Some(s) = saturation {
            let luma = 0.299 * f32::from(p[0]) + 0.587 * f32::from(p[1]) + 0.114 * f32::from(p[2]);
            for c in &mut p[..3] {
                *c = (luma + (f32::from(*c) - luma) * s).round().clamp(0.0, 255.0) as u8;
            }
        }
    }
}

/// Unsharp mask: the difference to a copy blurred by a radius of 1.5, times a fifth of the amount.
fn sharpen(image: Raster, amount: f64, work: &Work) -> Result<Raster, Error> {
    let mut soft = Raster::new(image.layout, image.width, image.height, work)?;
    soft.data_mut().copy_from_slice(image.data());
    blur(&mut soft, 1.5, work)?;
    let mut image = image;
    let strength = amount / 5.0;
    let n = image.layout.channels(0);
    for (p, q) in image.data_mut().chunks_exact_mut(n).zip(soft.data().chunks_exact(n)) {
        for (c, s) in p.iter_mut().zip(q).take(3) {
            let v = f64::from(*c);
            *c = (v + (v - f64::from(*s)) * strength).round().clamp(0.0, 255.0) as u8;
        }
    }
    Ok(image)
}

/// Three running means in each direction, whose sum of variances is that of a Gaussian with
/// sigma = radius / 2; edges are extended. Constant time a pixel. Premultiplied where alpha is.
fn blur(image: &mut Raster, radius: f64, work: &Work) -> Result<(), Error> {
    let sigma = radius / 2.0;
    // The width of three equal boxes: 3 (w² - 1) / 12 = sigma².
    let half = (((4.0 * sigma * sigma + 1.0).sqrt() - 1.0) / 2.0).round() as usize;
    if half == 0 {
        return Ok(());
    }
    let (w, h, n) = (image.width as usize, image.height as usize, image.layout.channels(0));
    if n == 4 {
        for p in image.data_mut().chunks_exact_mut(4) {
            let a = u32::from(p[3]);
            p[..3].iter_mut().for_each(|c| *c = ((u32::from(*c) * a + 127) / 255) as u8);
        }
    }
    let _held = work.take(w.max(h) * 2)?;
    let mut line = vec![0u8; w.max(h)];
    let mut out = vec![0u8; w.max(h)];
    for (lines, length, along, across) in [(h, w, n, w * n), (w, h, w * n, n)] {
        for i in 0..lines {
            if i % 64 == 0 {
                work.check()?;
            }
            for c in 0..n {
                let start = i * across + c;
                let data = image.data_mut();
                for (k, v) in line[..length].iter_mut().enumerate() {
                    *v = data[start + k * along];
                }
                for _ in 0..3 {
                    running_mean(&line[..length], &mut out[..length], half);
                    std::mem::swap(&mut line, &mut out);
                }
                for (k, v) in line[..length].iter().enumerate() {
                    data[start + k * along] = *v;
                }
            }
        }
    }
    if n == 4 {
        for p in image.data_mut().chunks_exact_mut(4) {
            let a = u32::from(p[3]);
            p[..3].iter_mut().for_each(|c| {
                *c = ((u32::from(*c) * 255 + a / 2).checked_div(a).unwrap_or(0)).min(255) as u8;
            });
        }
    }
    Ok(())
}

fn running_mean(from: &[u8], to: &mut [u8], half: usize) {
    let last = from.len() - 1;
    let width = (2 * half + 1) as u64;
    let mut sum: u64 = u64::from(from[0]) * (half as u64 + 1);
    sum += (1..=half).map(|k| u64::from(from[k.min(last)])).sum::<u64>();
    for (k, t) in to.iter_mut().enumerate() {
        *t = ((sum + width / 2) / width) as u8;
        sum += u64::from(from[(k + half + 1).min(last)]);
        sum -= u64::from(from[k.saturating_sub(half)]);
    }
}
