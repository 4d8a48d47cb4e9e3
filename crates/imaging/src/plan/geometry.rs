//! Sizes and windows of one transform.

use recipe::choices::DEFAULT_FIT;
use recipe::{Extent, Fit, Gravity, GravityMode, Length, Rotate, Side, Transform, Trim};

use crate::rect::{Area, Pad, Window};
use crate::{Error, Limits};

/// Sizes and windows of a transform. `window` is measured on the image before the turn
/// (flip, then rotation); everything else is measured on the turned window.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Geometry {
    /// The window that trimming keeps.
    pub window: Window,
    /// The part of the turned window that is scaled to `scaled`.
    pub area: Area,
    /// Size after resampling.
    pub scaled: (u32, u32),
    /// The padding canvas.
    pub pad: Option<Pad>,
    /// Size after padding, before the border.
    pub size: (u32, u32),
    /// Size of the result, with its border.
    pub bordered: (u32, u32),
}

impl Geometry {
    /// The same transform, but it scales the whole turned window to `size`, without padding.
    #[must_use]
    pub(crate) fn of_all(self, turned: (u32, u32), size: (u32, u32)) -> Self {
        Self { area: Area::whole(turned), scaled: size, size, pad: None, ..self }
    }

    /// Whether padding adds any pixels.
    #[must_use]
    pub(crate) fn pads(&self) -> bool {
        self.pad.is_some_and(|p| (p.width, p.height) != self.scaled)
    }
}

/// Computes the geometry of `transform` for an image of `width` × `height`; `base` is the size that
/// [`Extent::OfBase`] is a fraction of. A border that `trim=border` would find is ignored.
///
/// # Errors
/// [`Error::Empty`] when trimming leaves nothing, [`Error::Enlarged`] and [`Error::TooLarge`] by the limits.
pub fn resolve(
    transform: &Transform,
    size: (u32, u32),
    base: (u32, u32),
    limits: &Limits,
) -> Result<Geometry, Error> {
    let dpr = transform.dpr.unwrap_or(1.0);
    let window = match &transform.trim {
        Some(trim) if trim.border.is_none() => trimmed(trim, size, dpr)?,
        _ => Window::whole(size),
    };
    resolve_in(window, transform, base, limits)
}

/// Computes the same with a known trim window, after a border was found.
///
/// # Errors
/// [`Error::Enlarged`] and [`Error::TooLarge`] by the limits.
pub(super) fn resolve_in(
    window: Window,
    transform: &Transform,
    base: (u32, u32),
    limits: &Limits,
) -> Result<Geometry, Error> {
    let turned = turned(transform, (window.width, window.height));
    let fitted = fit(transform, turned, target(transform, base));
    limits.check(fitted.size, turned)?;
    let [top, right, bottom, left] = border_widths(transform);
    let side = |size: u32, near: u32, far: u32| u64::from(size) + u64::from(near) + u64::from(far);
    let bordered = (side(fitted.size.0, left, right), side(fitted.size.1, top, bottom));
    let bordered = limits.check_bordered(bordered)?;
    Ok(Geometry { window, bordered, ..fitted })
}

/// The largest size that `transform` can give for any image of at most `size` and any trim. Used for costs where
/// the size depends on pixels; [`resolve_in`] still checks the limits.
#[must_use]
pub(crate) fn largest(
    transform: &Transform,
    size: (u32, u32),
    base: (u32, u32),
    limits: &Limits,
) -> (u32, u32) {
    let (width, height) = turned(transform, size);
    let most = limits.max_dimension;
    let (w, h) = match (target(transform, base), transform.fit.unwrap_or(DEFAULT_FIT)) {
        ((None, None), _) => (width, height),
        ((Some(w), Some(h)), Fit::ScaleDown | Fit::Crop | Fit::AspectCrop) => (w.min(width), h.min(height)),
        ((Some(w), Some(h)), Fit::ScaleUp) => (w.max(width), h.max(height)),
        ((Some(w), Some(h)), _) => (w, h),
        ((w, h), Fit::ScaleDown | Fit::Crop | Fit::AspectCrop) => {
            (w.unwrap_or(width).min(width), h.unwrap_or(height).min(height))
        }
        // A narrow strip scaled to the requested width may reach the height limit.
        ((w, h), Fit::ScaleUp) => (w.map_or(most, |w| w.max(width)), h.map_or(most, |h| h.max(height))),
        ((w, h), _) => (w.unwrap_or(most), h.unwrap_or(most)),
    };
    let [top, right, bottom, left] = border_widths(transform);
    let side =
        |size: u32, near: u32, far: u32| size.saturating_add(near).saturating_add(far).min(most.max(size));
    (side(w, left, right), side(h, top, bottom))
}

/// Widths of the border in output pixels: top, right, bottom, left.
#[must_use]
pub(crate) fn border_widths(transform: &Transform) -> [u32; 4] {
    let dpr = transform.dpr.unwrap_or(1.0);
    let px = |w: u32| (f64::from(w) * dpr).round() as u32;
    transform.border.map_or([0; 4], |b| [px(b.top), px(b.right), px(b.bottom), px(b.left)])
}

/// The size after the transform's rotation.
#[must_use]
pub(crate) fn turned(transform: &Transform, (width, height): (u32, u32)) -> (u32, u32) {
    let swaps = matches!(transform.rotate, Rotate::Quarter | Rotate::ThreeQuarters);
    if swaps { (height, width) } else { (width, height) }
}

/// The requested dimensions in pixels.
fn target(transform: &Transform, base: (u32, u32)) -> (Option<u32>, Option<u32>) {
    let dpr = transform.dpr.unwrap_or(1.0);
    let pixels = |extent: Option<Extent>, base: u32| {
        extent.map(|e| {
            let pixels = match e {
                Extent::Pixels(p) => f64::from(p),
                Extent::OfBase(f) => f * f64::from(base),
            };
            (pixels * dpr).round().clamp(1.0, f64::from(u32::MAX)) as u32
        })
    };
    (pixels(transform.width, base.0), pixels(transform.height, base.1))
}

fn trimmed(trim: &Trim, (width, height): (u32, u32), dpr: f64) -> Result<Window, Error> {
    let pixels = |length: Option<Length>, full: u32| {
        length.map(|l| match l {
            Length::Pixels(p) => f64::from(p) * dpr,
            Length::Fraction(f) => f * f64::from(full),
        })
    };
    let axis = |near: Option<Length>, far: Option<Length>, keep: Option<Length>, full: u32| {
        let start = pixels(near, full).unwrap_or(0.0).round();
        let mut end = (f64::from(full) - pixels(far, full).unwrap_or(0.0)).round();
        if let Some(keep) = pixels(keep, full) {
            end = end.min(start + keep.round());
        }
        (end > start).then_some((start as u32, (end - start) as u32)).ok_or(Error::Empty)
    };
    let (x, width) = axis(trim.left, trim.right, trim.width, width)?;
    let (y, height) = axis(trim.top, trim.bottom, trim.height, height)?;
    Ok(Window { x, y, width, height })
}

/// The resize table of the specification. The caller sets `window` and `bordered` of the result.
fn fit(transform: &Transform, source: (u32, u32), target: (Option<u32>, Option<u32>)) -> Geometry {
    let (sw, sh) = (f64::from(source.0), f64::from(source.1));
    let plain = |size: (u32, u32)| Geometry {
        window: Window::whole(source),
        area: Area::whole(source),
        scaled: size,
        pad: None,
        size,
        bordered: size,
    };
    // By a fraction: a product that ends in one half is exact, a factor is not.
    let scaled = |(to, from): (f64, f64)| (round(sw * to / from), round(sh * to / from));
    let at_most_whole = |(to, from)| if to < from { (to, from) } else { (1.0, 1.0) };
    let at_least_whole = |(to, from)| if to > from { (to, from) } else { (1.0, 1.0) };
    let fit = transform.fit.unwrap_or(DEFAULT_FIT);
    let (w, h) = match target {
        (None, None) => return plain(source),
        (Some(w), Some(h)) => (w, h),
        (w, h) => {
            // One dimension: proportional scaling; the given dimension is exact.
            let s = w.map_or_else(|| (f64::from(h.unwrap_or(1)), sh), |w| (f64::from(w), sw));
            let s = match fit {
                Fit::ScaleDown | Fit::Crop | Fit::AspectCrop => at_most_whole(s),
                Fit::ScaleUp => at_least_whole(s),
                Fit::Contain | Fit::Cover | Fit::Pad | Fit::Squeeze => s,
            };
            return plain(scaled(s));
        }
    };
    let (tw, th) = (f64::from(w), f64::from(h));
    let (inside, outside) = if tw * sh < th * sw { ((tw, sw), (th, sh)) } else { ((th, sh), (tw, sw)) };
    let gravity = transform.gravity.unwrap_or(Gravity::Center);
    // Scaled to whole pixels first, then cropped at pixel boundaries, so that without scaling no pixel changes.
    let cropped = |full: (u32, u32), size: (u32, u32)| {
        let full = (full.0.max(size.0), full.1.max(size.1));
        let (fw, fh) = (f64::from(full.0), f64::from(full.1));
        let (w, h) = (f64::from(size.0), f64::from(size.1));
        let (x, y) = place(gravity, (fw, fh), (w, h));
        let (kx, ky) = (sw / fw, sh / fh);
        let area = Area { x: x.round() * kx, y: y.round() * ky, width: w * kx, height: h * ky };
        Geometry { area, ..plain(size) }
    };
    match fit {
        Fit::ScaleDown => plain(scaled(at_most_whole(inside))),
        Fit::ScaleUp => plain(scaled(at_least_whole(inside))),
        Fit::Contain => plain(scaled(inside)),
        Fit::Squeeze => plain((w, h)),
        Fit::Cover => cropped(scaled(outside), (w, h)),
        Fit::Crop => {
            let full = scaled(at_most_whole(outside));
            if sw < tw && sh < th { plain(source) } else { cropped(full, (w.min(full.0), h.min(full.1))) }
        }
        Fit::AspectCrop => {
            let (to, from) = outside;
            let size = if to <= from {
                (w, h)
            } else {
                // The largest window of the requested ratio inside the image, without enlargement.
                (round(tw * from / to), round(th * from / to))
            };
            cropped(scaled(at_most_whole(outside)), size)
        }
        Fit::Pad => {
            let size = scaled(inside);
            let size = (size.0.min(w), size.1.min(h));
            let pad = Pad { width: w, height: h, x: (w - size.0) / 2, y: (h - size.1) / 2 };
            Geometry { pad: Some(pad), size: (w, h), ..plain(size) }
        }
    }
}

/// The offset of a crop window of size `crop` inside an image of size `full`.
fn place(gravity: Gravity, full: (f64, f64), crop: (f64, f64)) -> (f64, f64) {
    let (fx, fy) = ((full.0 - crop.0).max(0.0), (full.1 - crop.1).max(0.0));
    match gravity {
        Gravity::Side(Side::Left) => (0.0, fy / 2.0),
        Gravity::Side(Side::Right) => (fx, fy / 2.0),
        Gravity::Side(Side::Top) => (fx / 2.0, 0.0),
        Gravity::Side(Side::Bottom) => (fx / 2.0, fy),
        Gravity::Point { x, y, mode: GravityMode::Remainder } => (x * fx, y * fy),
        Gravity::Point { x, y, mode: GravityMode::BoxCenter } => {
            ((x * full.0 - crop.0 / 2.0).clamp(0.0, fx), (y * full.1 - crop.1 / 2.0).clamp(0.0, fy))
        }
        // The last three move the window when their question has been answered.
        Gravity::Center | Gravity::Auto | Gravity::Face | Gravity::Entropy => (fx / 2.0, fy / 2.0),
    }
}

/// Nearest integer, at least one pixel.
fn round(v: f64) -> u32 {
    v.round().max(1.0) as u32
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use recipe::{Extent, Fit, Gravity, GravityMode, Length, Rotate, Side, Transform, Trim};

    use super::resolve;
    use crate::{Error, Limits};

    fn sized(fit: Fit, w: u32, h: u32) -> Transform {
        Transform {
            width: Some(Extent::Pixels(w)),
            height: Some(Extent::Pixels(h)),
            fit: Some(fit),
            ..Transform::default()
        }
    }

    fn size(t: &Transform, source: (u32, u32)) -> (u32, u32) {
        resolve(t, source, source, &Limits::default()).unwrap().size
    }

    // A ratio as a factor made 100.5 to 100.49…
    #[test]
    fn a_half_pixel_is_rounded_up() {
        let one = |width: Option<u32>, height: Option<u32>, fit: Fit| Transform {
            width: width.map(Extent::Pixels),
            height: height.map(Extent::Pixels),
            fit: Some(fit),
            ..Transform::default()
        };
        for width in (1..=199).step_by(2) {
            let half = width / 2 + 1;
            assert_eq!(size(&one(Some(width), None, Fit::ScaleDown), (200, 100)), (width, half));
            assert_eq!(size(&sized(Fit::Contain, width, 500), (200, 100)), (width, half));
            assert_eq!(
                size(&one(Some(200 + width), None, Fit::ScaleUp), (200, 100)),
                (200 + width, 100 + half)
            );
        }
        for (height, width) in [(13, 20), (149, 224)] {
            assert_eq!(size(&one(None, Some(height), Fit::ScaleDown), (1080, 720)), (width, height));
        }
        // The largest window of 3:2 in 7 × 100 is 7 × 4.67 pixels.
        assert_eq!(size(&sized(Fit::AspectCrop, 300, 200), (7, 100)), (7, 5));
    }

    // URL-030 … URL-043: the documented worked examples.
    #[test]
    fn worked_examples_of_the_resize_table() {
        let photo = (1080, 720);
        let none = Transform { fit: None, ..sized(Fit::Cover, 500, 500) };
        assert_eq!(size(&none, photo), (500, 333)); // URL-030
        assert_eq!(size(&sized(Fit::ScaleDown, 2000, 2000), photo), photo); // URL-031
        assert_eq!(size(&sized(Fit::Contain, 400, 400), (200, 100)), (400, 200)); // URL-032
        assert_eq!(size(&sized(Fit::Cover, 500, 500), photo), (500, 500)); // URL-033
        assert_eq!(size(&sized(Fit::Cover, 400, 400), (100, 50)), (400, 400)); // URL-034
        assert_eq!(size(&sized(Fit::Crop, 1296, 1296), photo), photo); // URL-035
        assert_eq!(size(&sized(Fit::Crop, 500, 500), photo), (500, 500)); // URL-036
        assert_eq!(size(&sized(Fit::AspectCrop, 1920, 1120), (612, 613)), (612, 357)); // URL-037
        assert_eq!(size(&sized(Fit::AspectCrop, 500, 500), photo), (500, 500)); // URL-038
        assert_eq!(size(&sized(Fit::Pad, 1080, 1080), photo), (1080, 1080)); // URL-039
        assert_eq!(size(&sized(Fit::Squeeze, 1080, 540), photo), (1080, 540)); // URL-041
        assert_eq!(size(&sized(Fit::ScaleUp, 500, 500), photo), photo); // URL-042
        assert_eq!(size(&sized(Fit::ScaleUp, 400, 400), (200, 100)), (400, 200)); // URL-043
    }

    // URL-044, URL-045, URL-046
    #[test]
    fn one_dimension_scales_proportionally() {
        let wide =
            |fit, w| Transform { width: Some(Extent::Pixels(w)), fit: Some(fit), ..Transform::default() };
        assert_eq!(size(&wide(Fit::ScaleDown, 400), (200, 100)), (200, 100));
        assert_eq!(size(&wide(Fit::Contain, 400), (200, 100)), (400, 200));
        assert_eq!(size(&wide(Fit::Cover, 320), (1080, 720)), (320, 213));
    }

    // URL-047, URL-048
    #[test]
    fn dpr_multiplies_the_dimensions_only() {
        let double = Transform { dpr: Some(2.0), ..sized(Fit::ScaleDown, 300, 200) };
        assert_eq!(size(&double, (3000, 2000)), (600, 400));
        assert_eq!(size(&Transform { dpr: Some(2.0), ..Transform::default() }, (30, 20)), (30, 20));
    }

    // URL-050 … URL-053
    #[test]
    fn gravity_places_the_window() {
        let at = |g, source| {
            let t = Transform { gravity: Some(g), ..sized(Fit::Cover, 300, 900) };
            resolve(&t, source, source, &Limits::default()).unwrap().area
        };
        let point = |x, y| Gravity::Point { x, y, mode: GravityMode::Remainder };
        assert!((at(point(0.33, 0.5), (900, 900)).x - 198.0).abs() < 1e-9); // URL-051
        assert!((at(Gravity::Side(Side::Right), (900, 900)).x - 600.0).abs() < 1e-9);
        assert!((at(Gravity::Center, (900, 900)).x - 300.0).abs() < 1e-9); // URL-053
        let corner = at(point(0.0, 1.0), (900, 900)); // URL-052
        assert!(corner.x.abs() < 1e-9 && (corner.y + corner.height - 900.0).abs() < 1e-9);
    }

    // URL-060 … URL-064, URL-068, URL-069
    #[test]
    fn trim_comes_before_rotation_and_resize() {
        let px = |p| Some(Length::Pixels(p));
        let fr = |f| Some(Length::Fraction(f));
        let trim = |t: Trim| Transform { trim: Some(t), ..Transform::default() };
        let sides =
            trim(Trim { top: px(10), right: px(20), bottom: px(30), left: px(40), ..Trim::default() });
        assert_eq!(size(&sides, (200, 100)), (140, 60));
        assert_eq!(size(&trim(Trim { left: px(50), ..Trim::default() }), (200, 100)), (150, 100));
        let region =
            trim(Trim { left: px(10), top: px(10), width: px(50), height: px(40), ..Trim::default() });
        assert_eq!(size(&region, (200, 100)), (50, 40));
        let parts =
            trim(Trim { top: fr(0.1), right: fr(0.2), bottom: fr(0.1), left: fr(0.2), ..Trim::default() });
        assert_eq!(size(&parts, (200, 100)), (120, 80));
        assert_eq!(size(&trim(Trim { top: fr(0.25), ..Trim::default() }), (200, 100)), (200, 75));
        let turned = Transform { rotate: Rotate::Quarter, ..trim(Trim { top: px(10), ..Trim::default() }) };
        assert_eq!(size(&turned, (200, 100)), (90, 200));
        let nothing = trim(Trim { left: px(200), ..Trim::default() });
        assert_eq!(resolve(&nothing, (200, 100), (200, 100), &Limits::default()), Err(Error::Empty));
    }

    // The crop was centred on the unrounded height (522.57), one pixel off from the rounded one (523). The offsets are sharp's.
    #[test]
    fn the_window_is_cut_from_whole_scaled_pixels() {
        let window = |w, h, source: (u32, u32)| {
            let g = resolve(&sized(Fit::Cover, w, h), source, source, &Limits::default()).unwrap();
            let k = (f64::from(g.size.0) / g.area.width, f64::from(g.size.1) / g.area.height);
            (g.area.x * k.0, g.area.y * k.1, k.0 * f64::from(source.0), k.1 * f64::from(source.1))
        };
        let near = |a: (f64, f64, f64, f64), b: (f64, f64, f64, f64)| {
            [(a.0, b.0), (a.1, b.1), (a.2, b.2), (a.3, b.3)].iter().all(|(a, b)| (a - b).abs() < 1e-6)
        };
        assert!(near(window(640, 360, (2725, 2225)), (0.0, 82.0, 640.0, 523.0)));
        assert!(near(window(1080, 1080, (2725, 2225)), (122.0, 0.0, 1323.0, 1080.0)));
        assert!(near(window(578, 490, (612, 613)), (0.0, 45.0, 578.0, 579.0)));
    }

    fn any_fit() -> impl Strategy<Value = Fit> {
        use Fit::{AspectCrop, Contain, Cover, Crop, Pad, ScaleDown, ScaleUp, Squeeze};
        prop::sample::select(vec![ScaleDown, ScaleUp, Contain, Cover, Crop, AspectCrop, Pad, Squeeze])
    }

    proptest! {
        #[test]
        fn windows_stay_inside_and_sizes_keep_their_promise(
            fit in any_fit(), w in 1u32..3000, h in 1u32..3000, sw in 1u32..3000, sh in 1u32..3000,
            x in 0.0f64..=1.0, y in 0.0f64..=1.0,
        ) {
            let gravity = Some(Gravity::Point { x, y, mode: GravityMode::Remainder });
            let t = Transform { gravity, ..sized(fit, w, h) };
            let limits = Limits { max_dimension: 1 << 24, max_pixels: 1 << 48, ..Limits::default() };
            let g = resolve(&t, (sw, sh), (sw, sh), &limits).unwrap();
            let a = g.area;
            prop_assert!(a.x >= 0.0 && a.y >= 0.0 && a.width > 0.0 && a.height > 0.0);
            prop_assert!(a.x + a.width <= f64::from(sw) + 1e-6 && a.y + a.height <= f64::from(sh) + 1e-6);
            prop_assert!(g.size.0 >= 1 && g.size.1 >= 1);
            match fit {
                Fit::Cover | Fit::Pad | Fit::Squeeze => prop_assert_eq!(g.size, (w, h)),
                Fit::ScaleDown => prop_assert!(g.size.0 <= w.max(1) && g.size.1 <= h.max(1) && g.size.0 <= sw && g.size.1 <= sh),
                Fit::Crop | Fit::AspectCrop => prop_assert!(g.size.0 <= sw && g.size.1 <= sh),
                Fit::ScaleUp => prop_assert!(g.size.0 >= sw && g.size.1 >= sh),
                Fit::Contain => prop_assert!(g.size.0 <= w && g.size.1 <= h),
            }
        }
    }
}
