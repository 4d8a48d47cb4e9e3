//! The mapping from stored pixels to scaled pixels.

use codecs::{Codec, Probe, codec_for};
use recipe::Transform;

use super::geometry::Geometry;
use crate::choices::SCALED_DECODING_MARGIN;
use crate::ops::turn::Turn;
use crate::rect::{Area, Window};

/// From the pixels of a file or a bitmap to those of a step, before padding.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Mapping {
    /// The part that the resampler may read, in stored pixels.
    pub bounds: Area,
    /// The part that is scaled to `size`, in stored pixels.
    pub area: Area,
    /// Size after scaling, before the turn.
    pub size: (u32, u32),
    /// The turn of the scaled pixels.
    pub turn: Turn,
}

impl Mapping {
    /// Maps the geometry back to stored coordinates, so that the turn is done on the small result. `upright` is the turn
    /// that makes the stored pixels upright, `oriented` their upright size.
    pub(crate) fn new(g: &Geometry, transform: &Transform, upright: Turn, oriented: (u32, u32)) -> Self {
        let own = own_turn(transform);
        let window = Area::from(g.window);
        let turned =
            if own.swaps_axes() { (window.height, window.width) } else { (window.width, window.height) };
        let inner = own.inverse().map_rect(g.area, turned);
        let in_oriented = Area { x: inner.x + window.x, y: inner.y + window.y, ..inner };
        let full = (f64::from(oriented.0), f64::from(oriented.1));
        let total = upright.then(own);
        Self {
            area: upright.inverse().map_rect(in_oriented, full),
            bounds: upright.inverse().map_rect(window, full),
            size: if total.swaps_axes() { (g.scaled.1, g.scaled.0) } else { g.scaled },
            turn: total,
        }
    }

    /// Scales all of an image of size `from`, without a turn.
    pub(crate) fn of_all(from: (u32, u32), size: (u32, u32)) -> Self {
        let all = Area::whole(from);
        Self { bounds: all, area: all, size, turn: Turn::default() }
    }

    /// Width and height after the turn.
    pub(crate) fn turned_size(&self) -> (u32, u32) {
        if self.turn.swaps_axes() { (self.size.1, self.size.0) } else { self.size }
    }

    /// Whether a bitmap of size `from` is neither cropped nor scaled.
    pub(crate) fn takes_all_of(&self, from: (u32, u32)) -> bool {
        self.area == Area::whole(from) && self.size == from
    }

    /// The readable part in whole pixels.
    pub(crate) fn window(&self) -> Window {
        let a = self.bounds;
        Window { x: a.x as u32, y: a.y as u32, width: a.width as u32, height: a.height as u32 }
    }

    /// The mapping in samples of a decoded plane of `size` samples, with `k` samples for each stored pixel along each axis.
    pub(crate) fn in_plane(&self, k: (f64, f64), size: (u32, u32)) -> (Window, Area) {
        let Self { bounds, area, .. } = self;
        let (kx, ky) = k;
        let area = Area { x: area.x * kx, y: area.y * ky, width: area.width * kx, height: area.height * ky };
        let x = ((bounds.x * kx).floor() as u32).min(size.0.saturating_sub(1));
        let y = ((bounds.y * ky).floor() as u32).min(size.1.saturating_sub(1));
        let window = Window {
            x,
            y,
            width: (((bounds.x + bounds.width) * kx).ceil() as u32).clamp(x + 1, size.0) - x,
            height: (((bounds.y + bounds.height) * ky).ceil() as u32).clamp(y + 1, size.1) - y,
        };
        (window, area)
    }
}

fn own_turn(transform: &Transform) -> Turn {
    transform.flip.map_or(Turn::default(), Turn::from_flip).then(Turn::from_rotate(transform.rotate))
}

/// The decode scale that keeps the pixels that the mapping needs, and a margin for the resampler.
pub(crate) fn decode_scale(probe: &Probe, map: &Mapping) -> u32 {
    // A trimmed window starts on whole pixels, which a coarser grid may not have.
    let whole = map.bounds == Area::whole((probe.width, probe.height));
    if !whole || !codec_for(probe.format).is_some_and(Codec::scales) {
        return 1;
    }
    let enough = |s: f64, area: f64, size: u32| area / s >= f64::from(size) * SCALED_DECODING_MARGIN;
    [8u32, 4, 2]
        .into_iter()
        .find(|&s| {
            let s = f64::from(s);
            enough(s, map.area.width, map.size.0) && enough(s, map.area.height, map.size.1)
        })
        .unwrap_or(1)
}

/// Decoded pixels for each stored pixel. The size of a scaled image is rounded up, so that its last pixel may lie partly
/// outside; a ratio of the two sizes would shift the image by up to a pixel.
pub(crate) fn decoded_scale(scale: u32) -> f64 {
    1.0 / f64::from(scale)
}
