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
/// Bits behind the point of a saturated value: 255 · 255 still has room in 31 bits.
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
        let _sharpen = work.stage("sharpen");
        gaussian::unsharp(&mut image, SHARPEN_SIGMA, amount * SHARPEN_STRENGTH, work)?;
    }
    if let Some(radius) = transform.blur.filter(|radius| *radius >= LEAST_BLUR_RADIUS) {
        let _blur = work.stage("blur");
        gaussian::blur(&mut image, radius * BLUR_SIGMA_PER_RADIUS, work)?;
    }
    Ok(image)
}

/// A curve for each value, then saturation as a distance from the luma (Rec. 601 weights), which is
/// `s · value + (1 − s) · luma`: both from tables of the unbent value.
fn colour(image: &mut Raster, transform: &Transform, work: &Work) -> Result<(), Error> {
    let Transform { brightness, contrast, gamma, .. } = *transform;
    let bends = brightness.is_some() || contrast.is_some() || gamma.is_some();
    let saturation = transform.saturation.filter(|_| image.layout != Layout::Gray);
    if !bends && saturation.is_none() {
        return Ok(());
    }
    let _colour = work.stage("colour");
    let curve = curve(brightness.unwrap_or(1.0), contrast.unwrap_or(1.0), gamma.unwrap_or(1.0));
    let tables = saturation.map(|s| Tables::new(&curve, s));
    let n = image.layout.channels(0);
    for part in image.data_mut().chunks_mut(CHECKED * n) {
        work.check()?;
        match (&tables, n) {
            (Some(tables), 3) => part.chunks_exact_mut(3).for_each(|p| tables.saturate(p)),
            (Some(tables), _) => part.chunks_exact_mut(4).for_each(|p| tables.saturate(p)),
            (None, 4) => part.chunks_exact_mut(4).for_each(|p| bend(&mut p[..3], &curve)),
            (None, _) => bend(part, &curve),
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

fn bend(colours: &mut [u8], curve: &[u8; 256]) {
    colours.iter_mut().for_each(|c| *c = curve[usize::from(*c)]);
}

/// What a value adds to its own channel and, as red, green and blue, to the grey that all channels share.
#[derive(Debug)]
struct Tables {
    own: [i32; 256],
    grey: [[i32; 256]; 3],
}

impl Tables {
    fn new(curve: &[u8; 256], saturation: f64) -> Self {
        let table =
            |factor: f64| curve.map(|v| (f64::from(v) * factor * f64::from(1 << POINT)).round() as i32);
        Self {
            own: table(saturation),
            grey: [0.299, 0.587, 0.114].map(|weight| table((1.0 - saturation) * weight)),
        }
    }

    #[inline(always)]
    fn saturate(&self, p: &mut [u8]) {
        let [r, g, b] = [p[0], p[1], p[2]].map(usize::from);
        let grey = self.grey[0][r] + self.grey[1][g] + self.grey[2][b] + (1 << (POINT - 1));
        for c in &mut p[..3] {
            *c = ((self.own[usize::from(*c)] + grey) >> POINT).clamp(0, 255) as u8;
        }
    }
}
