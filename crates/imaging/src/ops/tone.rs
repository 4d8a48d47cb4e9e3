//! Colour effects in one pass over the pixels, then sharpening and blurring.

use codecs::{Layout, Raster, Work};
use recipe::{Transform, choices};

use super::gaussian;
use crate::Error;

/// Standard deviation of the blur, in pixels, for each pixel of `blur` radius. The published description says no
/// more than "radius of an approximate Gaussian".
pub const BLUR_SIGMA_PER_RADIUS: f64 = 0.5;
/// Radii below this have no visible effect with the vendor and none here.
pub const LEAST_BLUR_RADIUS: f64 = 1.0;
/// Standard deviation of the copy that sharpening subtracts.
pub const SHARPEN_SIGMA: f64 = 0.75;
/// How much of the difference is added for each unit of `sharpen`; the vendor recommends 1 for reduced pictures.
pub const SHARPEN_STRENGTH: f64 = 0.4;

/// Samples treated between two looks at the clock.
const CHECKED: usize = 1 << 20;
/// Bits behind the point of a saturation factor.
const POINT: u32 = 12;

/// Applies brightness, contrast, gamma and saturation (in this order, fused), sharpen, then blur.
/// A grey image stays grey.
///
/// # Errors
/// Budget, deadline, cancellation.
pub fn apply(image: Raster, transform: &Transform, work: &Work) -> Result<Raster, Error> {
    let mut image = image;
    colour(&mut image, transform, work)?;
    if let Some(amount) = transform.sharpen {
        gaussian::unsharp(&mut image, SHARPEN_SIGMA, amount * SHARPEN_STRENGTH, work)?;
    }
    if let Some(radius) = transform.blur.filter(|radius| *radius >= LEAST_BLUR_RADIUS) {
        gaussian::blur(&mut image, radius * BLUR_SIGMA_PER_RADIUS, work)?;
    }
    Ok(image)
}

/// A curve for each value, then saturation as a distance from the luma (Rec. 601 weights).
fn colour(image: &mut Raster, transform: &Transform, work: &Work) -> Result<(), Error> {
    let Transform { brightness, contrast, gamma, .. } = *transform;
    let curve = (brightness.is_some() || contrast.is_some() || gamma.is_some())
        .then(|| curve(brightness.unwrap_or(1.0), contrast.unwrap_or(1.0), gamma.unwrap_or(1.0)));
    let saturation = transform.saturation.filter(|_| image.layout != Layout::Gray);
    if curve.is_none() && saturation.is_none() {
        return Ok(());
    }
    let factor = saturation.map(|s| (s * f64::from(1 << POINT)).round() as i32);
    let n = image.layout.channels(0);
    for part in image.data_mut().chunks_mut(CHECKED * n) {
        work.check()?;
        match n {
            1 => part.chunks_exact_mut(1).for_each(|p| bend(p, curve.as_ref())),
            3 => part.chunks_exact_mut(3).for_each(|p| {
                bend(p, curve.as_ref());
                saturate(p, factor);
            }),
            _ => part.chunks_exact_mut(4).for_each(|p| {
                bend(&mut p[..3], curve.as_ref());
                saturate(p, factor);
            }),
        }
    }
    Ok(())
}

/// Brightness is a factor, contrast a factor on the distance from the middle, gamma a power.
fn curve(brightness: f64, contrast: f64, gamma: f64) -> [u8; 256] {
    let power = if choices::GAMMA_BELOW_ONE_LIGHTENS { gamma } else { 1.0 / gamma };
    std::array::from_fn(|v| {
        let v = v as f64 / 255.0 * brightness;
        let v = (v - 0.5) * contrast + 0.5;
        (v.clamp(0.0, 1.0).powf(power) * 255.0).round() as u8
    })
}

#[inline(always)]
fn bend(colours: &mut [u8], curve: Option<&[u8; 256]>) {
    if let Some(curve) = curve {
        colours.iter_mut().for_each(|c| *c = curve[usize::from(*c)]);
    }
}

#[inline(always)]
fn saturate(p: &mut [u8], factor: Option<i32>) {
    if let Some(factor) = factor {
        let luma =
            (19595 * i32::from(p[0]) + 38470 * i32::from(p[1]) + 7471 * i32::from(p[2])) >> (16 - POINT);
        for c in &mut p[..3] {
            let far = i64::from((i32::from(*c) << POINT) - luma) * i64::from(factor);
            *c = ((luma + (far >> POINT) as i32 + (1 << (POINT - 1))) >> POINT).clamp(0, 255) as u8;
        }
    }
}
