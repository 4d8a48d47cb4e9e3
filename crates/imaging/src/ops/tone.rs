//! Colour effects in one pass over the pixels.

use codecs::{Layout, Raster};
use recipe::Transform;
use work::Work;

use crate::Error;
use crate::choices::{COLOUR_ORDER, ColourEffect, GAMMA_BELOW_ONE_LIGHTENS};

/// Samples processed between two checks of the deadline.
const CHECKED: usize = 1 << 20;
/// Fractional bits of a saturated value: 255 · 255 still fits 31 bits.
const POINT: u32 = 12;

/// Applies the colour effects in the order of [`COLOUR_ORDER`], in one pass. A grey image stays grey.
///
/// # Errors
/// Deadline, cancellation.
pub(super) fn apply(image: &mut Raster, transform: &Transform, work: &Work) -> Result<(), Error> {
    colour(image, transform, &COLOUR_ORDER, work)
}

/// A curve for each value, then saturation as the distance from the luma (Rec. 601 weights), which is
/// `s · value + (1 − s) · luma`. Both come from tables over the original value. Effects after saturation form another curve.
fn colour(
    image: &mut Raster,
    transform: &Transform,
    order: &[ColourEffect],
    work: &Work,
) -> Result<(), Error> {
    let saturation = transform.saturation.filter(|_| image.layout != Layout::Gray);
    let at = order.iter().position(|effect| *effect == ColourEffect::Saturation && saturation.is_some());
    let (before, after) = order.split_at(at.unwrap_or(order.len()));
    let bends = |effects: &[ColourEffect]| effects.iter().any(|effect| factor(transform, *effect).is_some());
    let last = bends(after).then(|| curve(transform, after));
    if !bends(before) && saturation.is_none() {
        return Ok(());
    }
    let curve = curve(transform, before);
    let tables = saturation.map(|s| Tables::new(&curve, s));
    let n = image.layout.channels(0);
    for part in image.data_mut().chunks_mut(CHECKED * n) {
        work.check()?;
        match (&tables, n) {
            (Some(tables), 3) => part.chunks_exact_mut(3).for_each(|p| tables.saturate(p)),
            (Some(tables), _) => part.chunks_exact_mut(4).for_each(|p| tables.saturate(p)),
            (None, _) => apply_curve(part, n, &curve),
        }
        if let Some(curve) = &last {
            apply_curve(part, n, curve);
        }
    }
    Ok(())
}

/// The factor of an effect that is a curve; `None` if it is not requested.
fn factor(transform: &Transform, effect: ColourEffect) -> Option<f64> {
    match effect {
        ColourEffect::Brightness => transform.brightness,
        ColourEffect::Contrast => transform.contrast,
        ColourEffect::Gamma => transform.gamma,
        ColourEffect::Saturation => None,
    }
}

/// Brightness is a factor, contrast a factor on the distance from the middle, gamma a power.
fn curve(transform: &Transform, order: &[ColourEffect]) -> [u8; 256] {
    std::array::from_fn(|v| {
        let bent =
            order.iter().fold(v as f64 / 255.0, |v, &effect| match (effect, factor(transform, effect)) {
                (ColourEffect::Brightness, Some(factor)) => v * factor,
                (ColourEffect::Contrast, Some(factor)) => (v - 0.5) * factor + 0.5,
                (ColourEffect::Gamma, Some(gamma)) => {
                    let power = if GAMMA_BELOW_ONE_LIGHTENS { gamma } else { 1.0 / gamma };
                    v.clamp(0.0, 1.0).powf(power)
                }
                _ => v,
            });
        (bent.clamp(0.0, 1.0) * 255.0).round() as u8
    })
}

/// Applies a curve to all channels but alpha.
fn apply_curve(pixels: &mut [u8], channels: usize, curve: &[u8; 256]) {
    let apply = |colours: &mut [u8]| colours.iter_mut().for_each(|c| *c = curve[usize::from(*c)]);
    if channels == 4 { pixels.chunks_exact_mut(4).for_each(|p| apply(&mut p[..3])) } else { apply(pixels) }
}

/// The contribution of a value to its own channel and, as red, green and blue, to the luma of all channels.
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

#[cfg(test)]
mod tests {
    use codecs::{Layout, Raster};
    use recipe::Transform;
    use work::{Budget, Work};

    use super::colour;
    use crate::choices::COLOUR_ORDER;
    use crate::choices::ColourEffect::{Brightness, Contrast, Gamma, Saturation};

    // All effects together equal the single effects, one after the other, in that order.
    #[test]
    fn effects_are_applied_in_the_given_order() {
        let work = Work::new(Budget::new(1 << 20));
        let all = Transform {
            brightness: Some(1.4),
            contrast: Some(0.6),
            gamma: Some(0.7),
            saturation: Some(1.5),
            ..Transform::default()
        };
        let none = Transform::default();
        for order in [
            COLOUR_ORDER,
            [Saturation, Gamma, Contrast, Brightness],
            [Gamma, Brightness, Saturation, Contrast],
            [Contrast, Saturation, Brightness, Gamma],
        ] {
            let picture = || {
                let mut image = Raster::new(Layout::Rgba, 16, 16, &work).unwrap();
                for (i, v) in image.data_mut().iter_mut().enumerate() {
                    // Values that do not clip in the intermediate results.
                    *v = (90 + i * 7 % 61) as u8;
                }
                image
            };
            let mut together = picture();
            colour(&mut together, &all, &order, &work).unwrap();
            let mut single = picture();
            for effect in order {
                let one = match effect {
                    Brightness => Transform { brightness: all.brightness, ..none.clone() },
                    Contrast => Transform { contrast: all.contrast, ..none.clone() },
                    Gamma => Transform { gamma: all.gamma, ..none.clone() },
                    Saturation => Transform { saturation: all.saturation, ..none.clone() },
                };
                colour(&mut single, &one, &order, &work).unwrap();
            }
            // Each single effect rounds.
            for (a, b) in together.data().iter().zip(single.data()) {
                assert!(a.abs_diff(*b) <= 3, "{order:?}: {a} {b}");
            }
        }
    }
}
