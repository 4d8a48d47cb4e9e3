//! What needs a trained model, as a trait: this crate says what goes in and what comes out, and knows no inference.

use std::fmt::Debug;

use codecs::{Plane, Raster};
use recipe::{Gravity, Transform, Upscale};
use work::Work;

use crate::Error;
use crate::geometry::{Area, Geometry};
use crate::limits::Limits;
use crate::ops::turn::Turn;
use crate::transform::{Mapping, detects_border};

/// Models that have been loaded. Handed to [`crate::render_with`]; what a plan has to know of them
/// stands in [`Limits::models`].
pub trait Models: Debug + Send + Sync {
    /// What can be asked for, and what it costs.
    fn capabilities(&self) -> ModelCapabilities;

    /// The foreground of `image`, which is [`codecs::Layout::Rgb`] with both sides [`SegmentModel::side`] long: one
    /// channel of the same size, 255 = foreground, 0 = background.
    ///
    /// # Errors
    /// [`Error::Model`]; budget, deadline and cancellation.
    fn segment(&self, image: &Raster, work: &Work) -> Result<Plane, Error>;

    /// `image` ([`codecs::Layout::Rgb`], of any size) with both sides exactly `scale` times as long. `scale` is one of
    /// [`ModelCapabilities::enlarge`].
    ///
    /// # Errors
    /// [`Error::Model`]; budget, deadline and cancellation.
    fn enlarge(&self, image: &Raster, scale: u32, work: &Work) -> Result<Raster, Error>;
}

/// What models there are. The default is none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ModelCapabilities {
    pub segment: Option<SegmentModel>,
    /// At most one for each scale.
    pub enlarge: Vec<EnlargeModel>,
}

/// A model that finds the foreground.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentModel {
    /// Pixels of each side of its input and of its mask.
    pub side: u32,
    /// Bytes that one run takes from the budget, input and output tensors included.
    pub bytes: u64,
}

/// A model that enlarges.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EnlargeModel {
    /// 2 or 4.
    pub scale: u32,
    /// Bytes that one tile takes from the budget, input and output tensors included.
    pub bytes: u64,
}

/// Source pixels around a crop window that an enlarging model sees too.
const CONTEXT: f64 = 8.0;

/// How an image is enlarged before its exact resize.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Pass {
    pub(crate) model: EnlargeModel,
    /// What is enlarged, in whole pixels of the image before it is turned.
    pub(crate) window: Area,
}

impl Pass {
    /// The pass that a mapping asks for, if any: `upscale=generate`, a model for it, a side that becomes longer, and a
    /// result of no more than [`Limits::max_pixels`].
    pub(crate) fn of(transform: &Transform, map: &Mapping, limits: &Limits) -> Option<Self> {
        let factor = wanted(transform, map)?;
        let model = nearest(&limits.models.enlarge, factor)?;
        let low = |at: f64, from: f64| (at - CONTEXT).max(from).floor();
        let high = |end: f64, until: f64| (end + CONTEXT).min(until).ceil();
        let (a, b) = (map.area, map.bounds);
        let (x, y) = (low(a.x, b.x), low(a.y, b.y));
        let width = high(a.x + a.width, b.x + b.width) - x;
        let height = high(a.y + a.height, b.y + b.height) - y;
        let scale = f64::from(model.scale);
        (width * scale * height * scale <= limits.max_pixels as f64)
            .then_some(Self { model, window: Area { x, y, width, height } })
    }
}

/// How many times longer a side becomes by a transform that asks for `upscale=generate`; `None` when none does.
pub(crate) fn wanted(transform: &Transform, map: &Mapping) -> Option<f64> {
    let along = f64::from(map.size.0) / map.area.width;
    let across = f64::from(map.size.1) / map.area.height;
    let factor = along.max(across);
    (transform.upscale == Some(Upscale::Generate) && factor > 1.0 + 1e-6).then_some(factor)
}

/// The model whose scale is nearest to `factor` as a ratio, so that 3 is nearer to 4 than to 2; of two as near, the
/// larger.
fn nearest(models: &[EnlargeModel], factor: f64) -> Option<EnlargeModel> {
    let distance = |m: &EnlargeModel| (f64::from(m.scale) / factor).ln().abs();
    models
        .iter()
        .min_by(|a, b| distance(a).total_cmp(&distance(b)).then_with(|| b.scale.cmp(&a.scale)))
        .copied()
}

/// Whether there is a model for what a transform asks for, but its result would be larger than
/// [`Limits::max_pixels`].
pub(crate) fn is_beyond(transform: &Transform, g: &Geometry, size: (u32, u32), limits: &Limits) -> bool {
    let map = Mapping::new(g, transform, Turn::default(), size);
    !limits.models.enlarge.is_empty()
        && wanted(transform, &map).is_some()
        && Pass::of(transform, &map, limits).is_none()
}

/// Whether pixels decide how small the window is that is scaled.
pub(crate) fn zooms(transform: &Transform) -> bool {
    transform.gravity == Some(Gravity::Face) && transform.zoom.is_some_and(|zoom| zoom > 0.0)
}

/// The largest pass that an image of `size` can need. Where pixels decide what is trimmed or cropped, all of it may be
/// enlarged.
pub(crate) fn planned(
    transform: &Transform,
    g: &Geometry,
    size: (u32, u32),
    limits: &Limits,
) -> Option<Pass> {
    let map = Mapping::new(g, transform, Turn::default(), size);
    let all = Area { x: 0.0, y: 0.0, width: size.0.into(), height: size.1.into() };
    if (detects_border(transform) || zooms(transform)) && transform.upscale == Some(Upscale::Generate) {
        let model = limits.models.enlarge.iter().max_by_key(|m| (m.scale, m.bytes))?;
        return Some(Pass { model: *model, window: all });
    }
    let pass = Pass::of(transform, &map, limits)?;
    let detects = matches!(transform.gravity, Some(Gravity::Auto | Gravity::Entropy | Gravity::Face));
    Some(if detects { Pass { window: all, ..pass } } else { pass })
}

#[cfg(test)]
mod tests {
    use super::{EnlargeModel, nearest};

    // The one pass is at the nearest of the scales that there are.
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
