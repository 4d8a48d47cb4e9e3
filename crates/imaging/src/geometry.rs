//! Sizes and windows: pure arithmetic, no pixels. Coordinates have their origin at the top left.

use recipe::{Extent, Fit, Gravity, GravityMode, Length, Side, Transform, Trim, choices};

use crate::{Error, Limits};

/// A rectangle of whole pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    pub x: u32,
    pub y: u32,
    pub width: u32,
    pub height: u32,
}

impl Window {
    /// The smallest window that holds both.
    #[must_use]
    pub fn around(self, other: Self) -> Self {
        let (x, y) = (self.x.min(other.x), self.y.min(other.y));
        let right = (self.x + self.width).max(other.x + other.width);
        let bottom = (self.y + self.height).max(other.y + other.height);
        Self { x, y, width: right - x, height: bottom - y }
    }
}

/// A rectangle in fractional pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Area {
    pub x: f64,
    pub y: f64,
    pub width: f64,
    pub height: f64,
}

/// What a transform does to an image's size. `window` is measured on the image as it is; the turn
/// (flip, then rotation) comes next; everything after is measured on the turned window.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Geometry {
    /// What trimming leaves.
    pub window: Window,
    /// The part of the turned window that is scaled to `scaled`.
    pub area: Area,
    /// Size after resampling.
    pub scaled: (u32, u32),
    /// Size of the padding canvas and where the scaled image stands on it.
    pub pad: Option<Pad>,
    /// Final size, before any border.
    pub size: (u32, u32),
}

/// A canvas around the scaled image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pad {
    pub width: u32,
    pub height: u32,
    pub x: u32,
    pub y: u32,
}

/// Computes what `transform` does to an image of `width` × `height`; `base` is the size that
/// [`Extent::OfBase`] is a fraction of.
///
/// # Errors
/// [`Error::Empty`] when trimming leaves nothing, [`Error::Enlarged`] and [`Error::TooLarge`] by the limits.
pub fn resolve(
    transform: &Transform,
    (width, height): (u32, u32),
    base: (u32, u32),
    limits: &Limits,
) -> Result<Geometry, Error> {
    let dpr = transform.dpr.unwrap_or(1.0);
    let window = match &transform.trim {
        Some(trim) => trimmed(trim, width, height, dpr)?,
        None => Window { x: 0, y: 0, width, height },
    };
    resolve_in(window, transform, base, limits)
}

/// The same once it is known what trimming leaves: after a detected border.
///
/// # Errors
/// [`Error::Enlarged`] and [`Error::TooLarge`] by the limits.
pub fn resolve_in(
    window: Window,
    transform: &Transform,
    base: (u32, u32),
    limits: &Limits,
) -> Result<Geometry, Error> {
    let dpr = transform.dpr.unwrap_or(1.0);
    let swaps = matches!(transform.rotate, recipe::Rotate::Quarter | recipe::Rotate::ThreeQuarters);
    let turned = if swaps { (window.height, window.width) } else { (window.width, window.height) };
    let target = |extent: Option<Extent>, base: u32| {
        extent.map(|e| {
            let pixels = match e {
                Extent::Pixels(p) => f64::from(p),
                Extent::OfBase(f) => f * f64::from(base),
            };
            (pixels * dpr).round().clamp(1.0, f64::from(u32::MAX)) as u32
        })
    };
    let fitted = fit(transform, turned, (target(transform.width, base.0), target(transform.height, base.1)));
    let (w, h) = fitted.size;
    if w > limits.max_dimension || h > limits.max_dimension {
        let grown = w > turned.0 || h > turned.1;
        return Err(if grown {
            Error::Enlarged { width: w.into(), height: h.into(), limit: limits.max_dimension }
        } else {
            Error::TooLarge(format!(
                "The image is too large: {w}×{h}, but maximum dimension allowed is {}",
                limits.max_dimension
            ))
        });
    }
    if u64::from(w) * u64::from(h) > limits.max_pixels {
        return Err(Error::TooLarge(format!(
            "The image is too large: {w}×{h} is more than {} pixels",
            limits.max_pixels
        )));
    }
    Ok(Geometry { window, ..fitted })
}

fn trimmed(trim: &Trim, width: u32, height: u32, dpr: f64) -> Result<Window, Error> {
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

/// The resize table of the specification. `window` of the result is a placeholder for the caller's.
fn fit(transform: &Transform, source: (u32, u32), target: (Option<u32>, Option<u32>)) -> Geometry {
    let (sw, sh) = (f64::from(source.0), f64::from(source.1));
    let whole = Area { x: 0.0, y: 0.0, width: sw, height: sh };
    let plain = |size: (u32, u32)| Geometry {
        window: Window { x: 0, y: 0, width: source.0, height: source.1 },
        area: whole,
        scaled: size,
        pad: None,
        size,
    };
    let scaled = |s: f64| (round(sw * s), round(sh * s));
    let fit = transform.fit.unwrap_or(choices::DEFAULT_FIT);
    let (w, h) = match target {
        (None, None) => return plain(source),
        (Some(w), Some(h)) => (w, h),
        (w, h) => {
            // One dimension: plain proportional scaling; the given dimension is met exactly.
            let s = w.map_or_else(|| f64::from(h.unwrap_or(1)) / sh, |w| f64::from(w) / sw);
            let s = match fit {
                Fit::ScaleDown | Fit::Crop | Fit::AspectCrop => s.min(1.0),
                Fit::ScaleUp => s.max(1.0),
                Fit::Contain | Fit::Cover | Fit::Pad | Fit::Squeeze => s,
            };
            return plain(scaled(s));
        }
    };
    let (tw, th) = (f64::from(w), f64::from(h));
    let inside = (tw / sw).min(th / sh);
    let outside = (tw / sw).max(th / sh);
    let gravity = transform.gravity.unwrap_or(Gravity::Center);
    // The image is scaled to whole pixels, `full`, and cropped between pixels of that: without scaling the pixels are
    // then taken as they are.
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
        Fit::ScaleDown => plain(scaled(inside.min(1.0))),
        Fit::ScaleUp => plain(scaled(inside.max(1.0))),
        Fit::Contain => plain(scaled(inside)),
        Fit::Squeeze => plain((w, h)),
        Fit::Cover => cropped(scaled(outside), (w, h)),
        Fit::Crop => {
            let s = outside.min(1.0);
            let full = scaled(s);
            if sw < tw && sh < th { plain(source) } else { cropped(full, (w.min(full.0), h.min(full.1))) }
        }
        Fit::AspectCrop => {
            let s = outside.min(1.0);
            let size = if outside <= 1.0 {
                (w, h)
            } else {
                // The largest window of the asked ratio inside the image, nothing enlarged.
                let k = (sw / tw).min(sh / th);
                (round(tw * k), round(th * k))
            };
            cropped(scaled(s), size)
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
        // Where something else is found in the pixels, the window is moved then.
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

    // The picture was scaled to 640 × 522.57 pixels in thought, of which the middle is another than that of the 523 that there
    // are. The offsets are sharp's.
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
