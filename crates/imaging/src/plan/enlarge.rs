//! `upscale=generate`: which part of an image a model enlarges before the exact resize.

use recipe::{Gravity, Transform, Upscale};

use super::geometry::Geometry;
use super::mapping::Mapping;
use crate::Limits;
use crate::models::EnlargeModel;
use crate::ops::turn::Turn;
use crate::rect::{Area, Window};

/// Source pixels around a crop window that are part of a model's input.
const CONTEXT: f64 = 8.0;

/// One run of a model before the resize.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EnlargePass {
    pub model: EnlargeModel,
    /// The enlarged window, in whole pixels of the image before the turn.
    pub window: Window,
    /// The mapping from the enlarged pixels to those of the step.
    pub then: Mapping,
}

impl EnlargePass {
    /// The pass for a mapping. It needs `upscale=generate`, a model, a side that becomes longer, and an
    /// enlarged image within the limits.
    pub(crate) fn of(transform: &Transform, map: &Mapping, limits: &Limits) -> Option<Self> {
        let factor = wanted(transform, map)?;
        let model = nearest(&limits.models.enlarge, factor)?;
        let low = |at: f64, from: f64| (at - CONTEXT).max(from).floor();
        let high = |end: f64, until: f64| (end + CONTEXT).min(until).ceil();
        let (a, b) = (map.area, map.bounds);
        let (x, y) = (low(a.x, b.x), low(a.y, b.y));
        let width = high(a.x + a.width, b.x + b.width) - x;
        let height = high(a.y + a.height, b.y + b.height) - y;
        let window = Window { x: x as u32, y: y as u32, width: width as u32, height: height as u32 };
        let large = (window.width.checked_mul(model.scale)?, window.height.checked_mul(model.scale)?);
        if !limits.fits(large) {
            return None;
        }
        let k = f64::from(model.scale);
        let area = Area { x: (a.x - x) * k, y: (a.y - y) * k, width: a.width * k, height: a.height * k };
        let then = Mapping { area, bounds: Area::whole(large), ..*map };
        Some(Self { model, window, then })
    }
}

/// The enlargement factor of a transform with `upscale=generate`; `None` without one, or if no side becomes longer.
pub(crate) fn wanted(transform: &Transform, map: &Mapping) -> Option<f64> {
    let along = f64::from(map.size.0) / map.area.width;
    let across = f64::from(map.size.1) / map.area.height;
    let factor = along.max(across);
    (transform.upscale == Some(Upscale::Generate) && factor > 1.0 + 1e-6).then_some(factor)
}

/// The model whose scale is nearest to `factor` as a ratio, so that 3 is nearer to 4 than to 2. Of two equally near, the
/// larger.
fn nearest(models: &[EnlargeModel], factor: f64) -> Option<EnlargeModel> {
    let distance = |m: &EnlargeModel| (f64::from(m.scale) / factor).ln().abs();
    models
        .iter()
        .min_by(|a, b| distance(a).total_cmp(&distance(b)).then_with(|| b.scale.cmp(&a.scale)))
        .copied()
}

/// Whether a model is available and requested, but its result would be above the limits.
pub(crate) fn is_beyond(transform: &Transform, g: &Geometry, size: (u32, u32), limits: &Limits) -> bool {
    let map = Mapping::new(g, transform, Turn::default(), size);
    !limits.models.enlarge.is_empty()
        && wanted(transform, &map).is_some()
        && EnlargePass::of(transform, &map, limits).is_none()
}

/// Whether a step enlarges with `upscale=generate` and no model is available.
pub(crate) fn is_missing(transform: &Transform, g: &Geometry, size: (u32, u32), limits: &Limits) -> bool {
    let map = Mapping::new(g, transform, Turn::default(), size);
    limits.models.enlarge.is_empty()
        && transform.upscale == Some(Upscale::Generate)
        && (wanted(transform, &map).is_some() || zooms(transform))
}

/// Whether the size of the scaled window depends on pixels.
pub(crate) fn zooms(transform: &Transform) -> bool {
    transform.gravity == Some(Gravity::Face) && transform.zoom.is_some_and(|zoom| zoom > 0.0)
}

/// Whether the whole image has to be a bitmap for a model that enlarges it.
pub(crate) fn needs_bitmap(transform: &Transform, g: &Geometry, size: (u32, u32), limits: &Limits) -> bool {
    let map = Mapping::new(g, transform, Turn::default(), size);
    transform.upscale == Some(Upscale::Generate)
        && !limits.models.enlarge.is_empty()
        && (wanted(transform, &map).is_some() || zooms(transform))
}

/// The largest run of a model that a step can need for an image of at most `size`: the model, and the size of its
/// input. If the trim or crop depends on pixels, the whole image may be enlarged.
pub(crate) fn largest_run(
    transform: &Transform,
    g: Option<&Geometry>,
    size: (u32, u32),
    limits: &Limits,
) -> Option<(EnlargeModel, (u32, u32))> {
    let depends = transform.trim.is_some_and(|t| t.border.is_some()) || zooms(transform);
    if depends || g.is_none() {
        if transform.upscale != Some(Upscale::Generate) {
            return None;
        }
        let model = limits.models.enlarge.iter().max_by_key(|m| (m.scale, m.bytes))?;
        return Some((*model, size));
    }
    let map = Mapping::new(g?, transform, Turn::default(), size);
    let pass = EnlargePass::of(transform, &map, limits)?;
    let moves = matches!(transform.gravity, Some(Gravity::Auto | Gravity::Entropy | Gravity::Face));
    Some((pass.model, if moves { size } else { (pass.window.width, pass.window.height) }))
}

#[cfg(test)]
mod tests {
    use super::{EnlargeModel, nearest};

    // The single pass uses the nearest available scale.
    #[test]
    fn the_nearest_scale_is_taken() {
        let model = |scale| EnlargeModel { scale, bytes: 1 };
        let both = [model(2), model(4)];
        let chosen = |models: &[EnlargeModel], factor| nearest(models, factor).map(|m| m.scale);
        assert_eq!([1.1, 2.0, 2.8].map(|f| chosen(&both, f)), [Some(2); 3]);
        assert_eq!([2.9, 3.0, 4.0, 9.0].map(|f| chosen(&both, f)), [Some(4); 4]);
        assert_eq!(chosen(&both[..1], 9.0), Some(2));
        assert_eq!(chosen(&[], 2.0), None);
    }
}
