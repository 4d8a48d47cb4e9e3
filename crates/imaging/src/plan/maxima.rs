//! The largest sizes that the operator allows (OPS-022).

use recipe::{Extent, Fit, Transform};

use crate::OutputLimits;

/// Whether a result of this size is above a limit.
pub(super) fn is_above(size: (u32, u32), limits: &OutputLimits) -> bool {
    bounded(size, limits) != size
}

/// The largest size of the same ratio that is within the limits, rounded to the nearest pixel.
pub(super) fn bounded((width, height): (u32, u32), limits: &OutputLimits) -> (u32, u32) {
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

/// The transform that moves an image of any size down to the limits.
pub(super) fn to_limits(size: (u32, u32), limits: &OutputLimits) -> Transform {
    resize(Fit::Squeeze, bounded(size, limits))
}

/// Makes exactly this size, or by `fit` one that fits it.
pub(super) fn resize(fit: Fit, (width, height): (u32, u32)) -> Transform {
    let (width, height) = (Some(Extent::Pixels(width)), Some(Extent::Pixels(height)));
    Transform { fit: Some(fit), width, height, ..Transform::default() }
}

/// The warning about an image of this size that a step with `reduces` found.
pub(crate) fn reduction(size: (u32, u32), limits: &OutputLimits) -> Option<String> {
    let to = bounded(size, limits);
    (to != size).then(|| warning(size, to))
}

pub(super) fn warning(from: (u32, u32), to: (u32, u32)) -> String {
    format!(
        "the result was reduced from {}x{} to {}x{}, the largest that is allowed here",
        from.0, from.1, to.0, to.1
    )
}
