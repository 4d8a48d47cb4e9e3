//! The operator's limits on results (OPS-022): a larger result is reduced, with a warning.

use recipe::{Extent, Fit, Recipe, Step, Warnings};

use super::geometry;
use super::maxima::{bounded, is_above, resize, warning};
use super::sizes::{Sizes, StepSizes};
use crate::OutputLimits;

/// How a result is moved down to the limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reduction {
    None,
    /// The recipe makes a smaller result.
    Planned,
    /// The size depends on a border that is not yet known: the last step reduces what it finds.
    LastStep,
}

/// Changes the recipe so that its result is within the limits.
pub(super) fn shrink(
    recipe: &mut Recipe,
    sizes: &Sizes,
    limits: &OutputLimits,
    warnings: &mut Warnings,
) -> Reduction {
    let result = sizes.result;
    if !result.is_known {
        if !is_above(result.largest, limits) {
            return Reduction::None;
        }
        // A box that every possible size is reduced into; the size in it is computed when the border is known.
        let (width, height) = result.largest;
        let side = |full: u32, most: Option<u32>| most.map_or(full, |most| full.min(most)).max(1);
        let most = (side(width, limits.max_width), side(height, limits.max_height));
        recipe.steps.push(Step::Transform { image: 0, transform: resize(Fit::ScaleDown, most) });
        return Reduction::LastStep;
    }
    if !is_above(result.expected, limits) {
        return Reduction::None;
    }
    let (from, to) = (result.expected, bounded(result.expected, limits));
    warnings.push(warning(from, to));
    match (recipe.steps.as_mut_slice(), sizes.steps.as_slice()) {
        ([Step::Transform { image: 0, transform }], [StepSizes::Transform { before, geometry, .. }])
            if transform.trim.is_none() && transform.border.is_none() =>
        {
            let sized = transform.width.is_some() && transform.height.is_some();
            let is_whole = geometry.scaled == geometry::turned(transform, before.expected);
            transform.fit = Some(match transform.fit {
                Some(fit @ (Fit::Cover | Fit::Pad)) if sized => fit,
                // A crop that has nothing to cut off shows all of the image.
                Some(Fit::Crop) if sized && !is_whole => Fit::Cover,
                Some(Fit::AspectCrop) if sized => Fit::Cover,
                // To exactly this size: by a ratio, the side that was rounded could decide.
                _ => Fit::Squeeze,
            });
            transform.dpr = None;
            (transform.width, transform.height) = (Some(Extent::Pixels(to.0)), Some(Extent::Pixels(to.1)));
        }
        _ => recipe.steps.push(Step::Transform { image: 0, transform: resize(Fit::Squeeze, to) }),
    }
    Reduction::Planned
}

/// The number of frames of the result.
pub(super) fn frames(frames: u32, limits: &OutputLimits, warnings: &mut Warnings) -> u32 {
    let kept = limits.max_animation_frames.map_or(frames, |most| frames.min(most.max(1)));
    if kept < frames {
        warnings.push(format!("the animation was cut to its first {kept} of {frames} frames"));
    }
    kept
}
