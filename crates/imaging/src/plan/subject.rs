//! `gravity=auto` and `gravity=entropy`: the whole image is scaled first and cropped when its subject is known, so that a file
//! is decoded once. Only enlargements are done after the crop.

use recipe::{Gravity, Transform};

use super::geometry::Geometry;
use crate::analysis::subject::SubjectMeasure;
use crate::choices::FOCUS_THUMBNAIL;
use crate::rect::Window;

/// The measure of the subject, if the crop depends on it. `turned` is the upright size of the image before the crop.
pub(crate) fn needed(transform: &Transform, g: &Geometry, turned: (u32, u32)) -> Option<SubjectMeasure> {
    let measure = match transform.gravity {
        Some(Gravity::Auto) => SubjectMeasure::Saliency,
        Some(Gravity::Entropy) => SubjectMeasure::Entropy,
        _ => return None,
    };
    let crops = g.area.width < f64::from(turned.0) - 0.5 || g.area.height < f64::from(turned.1) - 0.5;
    crops.then_some(measure)
}

/// The size of the whole image before the crop: reduced if the crop needs fewer pixels, else
/// unchanged.
pub(crate) fn whole_size(g: &Geometry, (tw, th): (u32, u32)) -> (u32, u32) {
    let scale = |scaled: u32, part: f64| (f64::from(scaled) / part.max(1e-6)).min(1.0);
    let (kx, ky) = (scale(g.scaled.0, g.area.width), scale(g.scaled.1, g.area.height));
    let size =
        |full: u32, k: f64, least: u32| ((f64::from(full) * k).round() as u32).max(least.min(full)).max(1);
    (size(tw, kx, g.scaled.0), size(th, ky, g.scaled.1))
}

/// The size of the crop window in the scaled whole image.
pub(crate) fn crop_size(g: &Geometry, turned: (u32, u32), whole: (u32, u32)) -> (u32, u32) {
    let part = |part: f64, full: u32, whole: u32| {
        ((part / f64::from(full) * f64::from(whole)).round() as u32).clamp(1, whole)
    };
    let enlarges = f64::from(g.scaled.0) > g.area.width + 0.5 || f64::from(g.scaled.1) > g.area.height + 0.5;
    if enlarges {
        (part(g.area.width, turned.0, whole.0), part(g.area.height, turned.1, whole.1))
    } else {
        (g.scaled.0.min(whole.0), g.scaled.1.min(whole.1))
    }
}

/// Size of the thumbnail on which the subject is measured.
pub(crate) fn thumbnail(whole: (u32, u32)) -> (u32, u32) {
    let k = (f64::from(FOCUS_THUMBNAIL) / f64::from(whole.0.max(whole.1))).min(1.0);
    let side = |v: u32| ((f64::from(v) * k).round() as u32).max(1);
    (side(whole.0), side(whole.1))
}

/// The crop window whose left and top edges are at `at`, as fractions of width and height of the whole.
pub(crate) fn window(at: (f64, f64), crop: (u32, u32), whole: (u32, u32)) -> Window {
    let edge = |v: f64, full: u32, part: u32| {
        ((v * f64::from(full)).round().max(0.0) as u32).min(full.saturating_sub(part))
    };
    let (width, height) = (crop.0.min(whole.0), crop.1.min(whole.1));
    Window { x: edge(at.0, whole.0, crop.0), y: edge(at.1, whole.1, crop.1), width, height }
}
