//! The operator's limits on results (OPS-022): a larger result is reduced, with a warning.

use recipe::{Extent, Fit, Recipe, Step, Transform, Warnings};

use super::geometry;
use super::sizes::{Sizes, StepSizes};
use crate::OutputLimits;

/// Whether a result of this size is above a limit.
pub(super) fn is_above(size: (u32, u32), limits: &OutputLimits) -> bool {
    bounded(size, limits) != size
}

/// The largest size of the same ratio that is within the limits, rounded to the nearest pixel.
fn bounded((width, height): (u32, u32), limits: &OutputLimits) -> (u32, u32) {
    let (w, h) = (u64::from(width.max(1)), u64::from(height.max(1)));
    let side = |most: Option<u32>, full: u64| most.map_or(full, |most| full.min(most.max(1).into()));
    let (most_w, most_h) = (side(limits.max_width, w), side(limits.max_height, h));
    // The limit that is reached first is exact, the other side follows it.
    let size = if most_w * h <= most_h * w {
        (most_w, nearest(h * most_w, w))
    } else {
        (nearest(w * most_h, h), most_h)
    };
    let most = limits.max_pixels.map_or(u64::MAX, |most| most.max(1));
    let size = if size.0 * size.1 <= most {
        size
    } else if w >= h {
        within_area((w, h), size.0, most)
    } else {
        let (height, width) = within_area((h, w), size.1, most);
        (width, height)
    };
    let pixels = |side: u64| u32::try_from(side).unwrap_or(u32::MAX);
    (pixels(size.0), pixels(size.1))
}

/// The largest proportional size whose area is within `most`, where the longer side has to be less than `beyond`.
fn within_area((long, short): (u64, u64), mut beyond: u64, most: u64) -> (u64, u64) {
    let other = |side: u64| nearest(short * side, long);
    let mut least = 1;
    // The area grows with the side.
    while beyond - least > 1 {
        let middle = least.midpoint(beyond);
        if middle * other(middle) <= most { least = middle } else { beyond = middle }
    }
    (least, other(least))
}

/// The nearest integer to a quotient, at least one pixel.
fn nearest(dividend: u64, divisor: u64) -> u64 {
    ((dividend + divisor / 2) / divisor).max(1)
}

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

/// The transform that moves an image of any size down to the limits.
pub(super) fn to_limits(size: (u32, u32), limits: &OutputLimits) -> Transform {
    resize(Fit::Squeeze, bounded(size, limits))
}

fn resize(fit: Fit, (width, height): (u32, u32)) -> Transform {
    let (width, height) = (Some(Extent::Pixels(width)), Some(Extent::Pixels(height)));
    Transform { fit: Some(fit), width, height, ..Transform::default() }
}

/// The warning about an image of this size that a step with `reduces` found.
pub(crate) fn reduction(size: (u32, u32), limits: &OutputLimits) -> Option<String> {
    let to = bounded(size, limits);
    (to != size).then(|| warning(size, to))
}

fn warning(from: (u32, u32), to: (u32, u32)) -> String {
    format!(
        "the result was reduced from {}x{} to {}x{}, the largest that is allowed here",
        from.0, from.1, to.0, to.1
    )
}

/// The number of frames of the result.
pub(super) fn frames(frames: u32, limits: &OutputLimits, warnings: &mut Warnings) -> u32 {
    let kept = limits.max_animation_frames.map_or(frames, |most| frames.min(most.max(1)));
    if kept < frames {
        warnings.push(format!("the animation was cut to its first {kept} of {frames} frames"));
    }
    kept
}
