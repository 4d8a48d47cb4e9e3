//! The operator's limits on results (OPS-022): a larger result is reduced, with a warning.

use recipe::{Extent, Fit, Recipe, Step, Transform, Warnings};

use super::sizes::Sizes;
use crate::OutputLimits;

/// Whether a result of this size is above a limit.
pub(super) fn is_above(size: (u32, u32), limits: &OutputLimits) -> bool {
    bounded(size, limits) != size
}

/// The largest size of the same ratio that is within the limits.
fn bounded((width, height): (u32, u32), limits: &OutputLimits) -> (u32, u32) {
    let (w, h) = (f64::from(width.max(1)), f64::from(height.max(1)));
    let side = |most: Option<u32>, full: f64| most.map_or(1.0, |most| f64::from(most.max(1)) / full);
    let area = limits.max_pixels.map_or(1.0, |most| (most.max(1) as f64 / (w * h)).sqrt());
    let k = side(limits.max_width, w).min(side(limits.max_height, h)).min(area);
    if k >= 1.0 {
        return (width, height);
    }
    // Rounded down, so that the area is never too large.
    let side = |full: f64| ((full * k + 1e-9).floor() as u32).max(1);
    (side(w), side(h))
}

/// Changes the recipe so that its result is within the limits. True if it was changed.
pub(super) fn shrink(
    recipe: &mut Recipe,
    sizes: &Sizes,
    limits: &OutputLimits,
    warnings: &mut Warnings,
) -> bool {
    let result = sizes.result;
    if !is_above(result.expected, limits) {
        if result.is_known || !is_above(result.largest, limits) {
            return false;
        }
        // The size depends on a border that is not yet known: a box that fits every possible size.
        recipe.steps.push(resize(Fit::ScaleDown, largest_box(result.largest, limits)));
        return true;
    }
    let (from, to) = (result.expected, bounded(result.expected, limits));
    warnings.push(format!(
        "the result was reduced from {}x{} to {}x{}, the largest that is allowed here",
        from.0, from.1, to.0, to.1
    ));
    match recipe.steps.as_mut_slice() {
        [Step::Transform { image: 0, transform }]
            if transform.trim.is_none() && transform.border.is_none() =>
        {
            let sized = transform.width.is_some() && transform.height.is_some();
            transform.fit = Some(match transform.fit {
                Some(fit @ (Fit::Squeeze | Fit::Cover | Fit::Pad)) if sized => fit,
                Some(Fit::Crop | Fit::AspectCrop) if sized => Fit::Cover,
                _ => Fit::Contain,
            });
            transform.dpr = None;
            (transform.width, transform.height) = (Some(Extent::Pixels(to.0)), Some(Extent::Pixels(to.1)));
        }
        _ => recipe.steps.push(resize(if result.is_known { Fit::Contain } else { Fit::ScaleDown }, to)),
    }
    true
}

fn resize(fit: Fit, (width, height): (u32, u32)) -> Step {
    let (width, height) = (Some(Extent::Pixels(width)), Some(Extent::Pixels(height)));
    Step::Transform {
        image: 0,
        transform: Transform { fit: Some(fit), width, height, ..Transform::default() },
    }
}

fn largest_box((width, height): (u32, u32), limits: &OutputLimits) -> (u32, u32) {
    let width = limits.max_width.map_or(width, |most| width.min(most)).max(1);
    let height = limits.max_height.map_or(height, |most| height.min(most));
    let by_area = limits.max_pixels.map_or(u64::MAX, |most| most / u64::from(width));
    (width, u64::from(height).min(by_area).max(1) as u32)
}

/// The number of frames of the result.
pub(super) fn frames(frames: u32, limits: &OutputLimits, warnings: &mut Warnings) -> u32 {
    let kept = limits.max_animation_frames.map_or(frames, |most| frames.min(most.max(1)));
    if kept < frames {
        warnings.push(format!("the animation was cut to its first {kept} of {frames} frames"));
    }
    kept
}
