//! `gravity=face` and `zoom`: the crop window that contains the faces of an image.
//!
//! Faces are detected on a thumbnail, before the crop. An image without a face is cropped at its centre: its result is the
//! same as with `gravity=center`, byte for byte.

use recipe::{Fit, Gravity, Transform};

use super::geometry::Geometry;
use crate::rect::Area;

/// Whether the transform depends on the faces. `turned` is the upright size of the image before the crop.
pub(crate) fn needed(transform: &Transform, g: &Geometry, turned: (u32, u32)) -> bool {
    let sized = transform.width.is_some() && transform.height.is_some();
    let cuts = |full: u32, part: f64| part < f64::from(full) - 0.5;
    let crops = cuts(turned.0, g.area.width) || cuts(turned.1, g.area.height);
    let zooms = transform.zoom.is_some_and(|zoom| zoom > 0.0);
    let may_zoom = match transform.fit {
        Some(Fit::Cover | Fit::AspectCrop) => true,
        // An image smaller than the requested size is not cropped.
        Some(Fit::Crop) => g.scaled != turned,
        _ => return false,
    };
    transform.gravity == Some(Gravity::Face) && sized && (crops || zooms && may_zoom)
}

/// Size of the thumbnail of an image.
pub(crate) fn thumbnail(turned: (u32, u32)) -> (u32, u32) {
    let k = (f64::from(faces::LONGEST) / f64::from(turned.0.max(turned.1))).min(1.0);
    let side = |full: u32| ((f64::from(full) * k).round() as u32).max(1);
    (side(turned.0), side(turned.1))
}

/// `g` with its window around the faces. `part` is the smallest box around all faces, as fractions of width and height.
pub(crate) fn with_faces(g: Geometry, transform: &Transform, turned: (u32, u32), part: Area) -> Geometry {
    let (w, h) = (f64::from(turned.0), f64::from(turned.1));
    let faces = Area { x: part.x * w, y: part.y * h, width: part.width * w, height: part.height * h };
    let zoom = transform.zoom.unwrap_or(0.0);
    let area = window((w, h), (g.area.width, g.area.height), faces, zoom);
    Geometry { area: on_pixels(area, g.scaled, (w, h)), ..g }
}

/// The window around `faces` inside an image of size `full`. `zoom` interpolates its size from `largest` (0) to the smallest
/// of the same ratio that contains the faces (1), or `largest` if that is too small for them. It is centred on the faces,
/// but does not leave the image.
fn window(full: (f64, f64), largest: (f64, f64), faces: Area, zoom: f64) -> Area {
    let closest = (faces.width / largest.0).max(faces.height / largest.1).min(1.0);
    let k = 1.0 + (closest - 1.0) * zoom.clamp(0.0, 1.0);
    let (width, height) = (largest.0 * k, largest.1 * k);
    let at = |start: f64, length: f64, window: f64, full: f64| {
        (start + (length - window) / 2.0).clamp(0.0, (full - window).max(0.0))
    };
    Area {
        x: at(faces.x, faces.width, width, full.0),
        y: at(faces.y, faces.height, height, full.1),
        width,
        height,
    }
}

/// The window begins on a whole pixel of the scaled image, as every crop does, so that without scaling no pixel changes.
fn on_pixels(area: Area, scaled: (u32, u32), full: (f64, f64)) -> Area {
    let at = |at: f64, length: f64, scaled: u32, full: f64| {
        let k = f64::from(scaled) / length;
        ((at * k).round() / k).clamp(0.0, (full - length).max(0.0))
    };
    Area { x: at(area.x, area.width, scaled.0, full.0), y: at(area.y, area.height, scaled.1, full.1), ..area }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::window;
    use crate::rect::Area;

    fn holds(a: &Area, b: &Area) -> bool {
        a.x <= b.x + 1e-6
            && a.y <= b.y + 1e-6
            && a.x + a.width >= b.x + b.width - 1e-6
            && a.y + a.height >= b.y + b.height - 1e-6
    }

    proptest! {
        /// The window stays inside the image, keeps its ratio, contains the faces if it can, and lies inside that of a smaller zoom.
        #[test]
        fn more_zoom_is_a_smaller_window_inside_the_larger(
            fw in 1.0f64..4000.0, fh in 1.0f64..4000.0, ratio in 0.1f64..10.0,
            left in 0.0f64..0.98, top in 0.0f64..0.98, w in 0.01f64..1.0, h in 0.01f64..1.0,
            a in 0.0f64..=1.0, b in 0.0f64..=1.0,
        ) {
            let largest = if fw / fh > ratio { (fh * ratio, fh) } else { (fw, fw / ratio) };
            let (width, height) = (fw * w.min(1.0 - left), fh * h.min(1.0 - top));
            let faces = Area { x: fw * left, y: fh * top, width, height };
            let (far, near) = (a.min(b), a.max(b));
            let of = |zoom| window((fw, fh), largest, faces, zoom);
            let picture = Area { x: 0.0, y: 0.0, width: fw, height: fh };
            for zoom in [0.0, far, near, 1.0] {
                let window = of(zoom);
                prop_assert!(holds(&picture, &window), "{window:?}");
                prop_assert!((window.width / window.height / ratio - 1.0).abs() < 1e-9);
                if width <= largest.0 && height <= largest.1 {
                    prop_assert!(holds(&window, &faces), "{window:?} {faces:?}");
                }
            }
            prop_assert!(holds(&of(far), &of(near)), "{far} {near}");
            prop_assert!((of(0.0).width - largest.0).abs() < 1e-9);
            let tight = of(1.0);
            let touches = (tight.width - width).abs() < 1e-6 || (tight.height - height).abs() < 1e-6;
            prop_assert!(touches || tight.width >= largest.0 - 1e-6);
        }
    }
}
