//! The table of effects, which change pixels after the resize, in the order of their application. A new effect is one row.

use codecs::Raster;
use recipe::Transform;
use work::Work;

use super::{gaussian, tone};
use crate::Error;
use crate::choices::{BLUR_SIGMA_PER_RADIUS, LEAST_BLUR_RADIUS, SHARPEN_SIGMA, SHARPEN_STRENGTH};

/// The name of an option, and its value in a transform; `None` if it is not set.
type EffectOption = (&'static str, fn(&Transform) -> Option<f64>);

/// One pass over the pixels. The planner reads its options and its cost; `render` applies it.
#[derive(Debug)]
pub struct Effect {
    /// The name of its stage in timings.
    stage: &'static str,
    /// The options that enable it, with their values. It is applied if one of them is set.
    options: &'static [EffectOption],
    /// Nanoseconds for each pixel.
    pub(crate) pixel_ns: u64,
    apply: fn(&mut Raster, &Transform, &Work) -> Result<(), Error>,
}

/// All effects, in the order of the specification.
static EFFECTS: [Effect; 3] = [
    Effect {
        stage: "colour",
        options: &[
            ("brightness", |t| t.brightness),
            ("contrast", |t| t.contrast),
            ("gamma", |t| t.gamma),
            ("saturation", |t| t.saturation),
        ],
        pixel_ns: 4,
        apply: tone::apply,
    },
    Effect {
        stage: "sharpen",
        options: &[("sharpen", |t| t.sharpen)],
        pixel_ns: 12,
        apply: |image, t, work| match t.sharpen {
            Some(amount) => gaussian::unsharp(image, SHARPEN_SIGMA, amount * SHARPEN_STRENGTH, work),
            None => Ok(()),
        },
    },
    Effect {
        stage: "blur",
        options: &[("blur", blur_radius)],
        pixel_ns: 12,
        apply: |image, t, work| match blur_radius(t) {
            Some(radius) => gaussian::blur(image, radius * BLUR_SIGMA_PER_RADIUS, work),
            None => Ok(()),
        },
    },
];

/// The radius; smaller ones have no effect.
fn blur_radius(transform: &Transform) -> Option<f64> {
    transform.blur.filter(|radius| *radius >= LEAST_BLUR_RADIUS)
}

/// The effects of a transform, in order.
pub(crate) fn of(transform: &Transform) -> impl Iterator<Item = &'static Effect> {
    EFFECTS.iter().filter(|effect| effect.values(transform).next().is_some())
}

impl Effect {
    /// The options that are set, with their values.
    pub(crate) fn values(&self, transform: &Transform) -> impl Iterator<Item = (&'static str, f64)> {
        self.options.iter().filter_map(move |(name, value)| Some((*name, value(transform)?)))
    }
}

/// Applies the effects of a transform. A grey image stays grey.
///
/// # Errors
/// Budget, deadline, cancellation.
pub fn apply(mut image: Raster, transform: &Transform, work: &Work) -> Result<Raster, Error> {
    for effect in of(transform) {
        let _stage = work.stage(effect.stage);
        (effect.apply)(&mut image, transform, work)?;
    }
    Ok(image)
}
