//! Crop windows that follow the subject.

use codecs::{Layout, Raster};
use imaging::analysis::subject::{entropy, saliency};
use proptest::prelude::*;
use work::{Budget, Work};

fn work() -> Work {
    Work::new(Budget::new(1 << 28))
}

/// Deterministic noise from −`reach` to `reach`.
fn noise(x: u32, y: u32, reach: i32) -> i32 {
    let mut v = x.wrapping_mul(0x9E37_79B9) ^ y.wrapping_mul(0x85EB_CA6B);
    v ^= v >> 15;
    v = v.wrapping_mul(0x2C1B_3C6D);
    v ^= v >> 13;
    (v % (2 * reach as u32 + 1)) as i32 - reach
}

fn paint(width: u32, height: u32, f: impl Fn(u32, u32) -> [i32; 3]) -> Raster {
    let mut image = Raster::new(Layout::Rgb, width, height, &work()).unwrap();
    for (i, p) in image.data_mut().chunks_exact_mut(3).enumerate() {
        let (x, y) = (i as u32 % width, i as u32 / width);
        for (c, v) in p.iter_mut().zip(f(x, y)) {
            *c = (v + noise(x, y, 6)).clamp(0, 255) as u8;
        }
    }
    image
}

/// A background, the box of a subject (x, y, width, height) and its colours.
struct Composition {
    name: &'static str,
    image: Raster,
    subject: (u32, u32, u32, u32),
}

/// Ten images with the subject far from the centre.
fn compositions() -> Vec<Composition> {
    let sky = |_: u32, y: u32| [110 + y as i32 / 2, 160 + y as i32 / 3, 230];
    let grass = |x: u32, y: u32| [60 + noise(x / 2, y / 2, 18), 130 + noise(x / 2, y, 22), 50];
    let wall = |x: u32, y: u32| {
        if x.is_multiple_of(16) || y.is_multiple_of(10) { [150, 140, 132] } else { [172, 128, 110] }
    };
    let dusk = |x: u32, y: u32| [40 + x as i32 / 3, 30 + y as i32 / 4, 70];
    let grey = |x: u32, y: u32| [128 + noise(x / 3, y / 3, 14); 3];
    let beach = |_: u32, y: u32| if y < 40 { [140, 190, 235] } else { [222, 204, 160] };
    let inside = |(sx, sy, w, h): (u32, u32, u32, u32), x: u32, y: u32| {
        let (dx, dy) = (f64::from(x) + 0.5 - f64::from(sx), f64::from(y) + 0.5 - f64::from(sy));
        let (u, v) = (2.0 * dx / f64::from(w) - 1.0, 2.0 * dy / f64::from(h) - 1.0);
        u * u + v * v <= 1.0
    };
    let stripes = |x: u32, y: u32| if (x + y) % 6 < 3 { [240, 240, 240] } else { [20, 20, 20] };
    type Paint<'a> = &'a dyn Fn(u32, u32) -> [i32; 3];
    /// Name, size, background, the box of the subject (x, y, width, height), subject.
    type Scene<'a> = (&'static str, (u32, u32), Paint<'a>, (u32, u32, u32, u32), Paint<'a>);
    let red: Paint<'_> = &|_, _| [215, 40, 35];
    let dark: Paint<'_> = &|_, _| [25, 25, 30];
    let light: Paint<'_> = &|_, _| [245, 240, 225];
    let yellow: Paint<'_> = &|_, _| [250, 210, 30];
    let list: [Scene<'_>; 10] = [
        ("red balloon in the sky", (160, 107), &sky, (118, 20, 30, 34), red),
        ("dark dog on grass", (160, 107), &grass, (8, 55, 40, 30), dark),
        ("yellow door in a wall", (160, 120), &wall, (122, 60, 24, 50), yellow),
        ("light figure at dusk", (160, 90), &dusk, (16, 30, 22, 50), light),
        ("striped shirt before grey", (160, 107), &grey, (105, 30, 40, 50), &stripes),
        ("red parasol on the beach", (160, 100), &beach, (10, 34, 36, 30), red),
        ("tall: kite above grass", (100, 160), &grass, (30, 12, 34, 30), yellow),
        ("tall: boat below the sky", (100, 160), &sky, (20, 120, 44, 26), dark),
        ("tall: striped ball on the beach", (90, 160), &beach, (40, 118, 30, 30), &stripes),
        ("wide: figure at the far right", (180, 60), &dusk, (150, 12, 20, 40), light),
    ];
    list.into_iter()
        .map(|(name, (w, h), back, subject, front)| {
            let image = paint(w, h, |x, y| if inside(subject, x, y) { front(x, y) } else { back(x, y) });
            Composition { name, image, subject }
        })
        .collect()
}

/// The position of a square crop as large as the shorter side.
fn square(image: &Raster) -> (f64, f64) {
    let (w, h) = (f64::from(image.width), f64::from(image.height));
    let side = w.min(h);
    (side / w, side / h)
}

fn holds(c: &Composition, window: (f64, f64), (x, y): (f64, f64)) -> bool {
    let (w, h) = (f64::from(c.image.width), f64::from(c.image.height));
    let (sx, sy, sw, sh) = c.subject;
    let axis = |at: f64, part: f64, full: f64, start: u32, length: u32| {
        at * full <= f64::from(start) + 0.5 && (at + part) * full >= f64::from(start + length) - 0.5
    };
    axis(x, window.0, w, sx, sw) && axis(y, window.1, h, sy, sh)
}

#[test]
fn saliency_keeps_the_subject_in_at_least_nine_of_ten_images() {
    let mut missed = vec![];
    for c in compositions() {
        let window = square(&c.image);
        assert!(
            !holds(&c, window, ((1.0 - window.0) / 2.0, (1.0 - window.1) / 2.0)),
            "{} is no test",
            c.name
        );
        let found = saliency(&c.image, window, &work()).unwrap();
        if !holds(&c, window, found) {
            missed.push((c.name, found));
        }
    }
    assert!(missed.len() <= 1, "missed {missed:?}");
}

#[test]
fn a_small_window_covers_the_subject_on_both_axes() {
    for c in compositions() {
        let (w, h) = (f64::from(c.image.width), f64::from(c.image.height));
        let (sx, sy, sw, sh) = c.subject;
        let window = (f64::from(sw + 8) / w, f64::from(sh + 8) / h);
        let (x, y) = saliency(&c.image, window, &work()).unwrap();
        let overlap = |at: f64, part: f64, full: f64, start: u32, length: u32| {
            let end = ((at + part) * full).min(f64::from(start + length));
            (end - (at * full).max(f64::from(start))).max(0.0) / f64::from(length)
        };
        let covered = overlap(x, window.0, w, sx, sw) * overlap(y, window.1, h, sy, sh);
        assert!(covered > 0.7, "{}: {covered}", c.name);
    }
}

#[test]
fn entropy_prefers_detail_to_a_flat_area() {
    let image = paint(160, 100, |x, y| if x >= 100 { [128 + noise(x, y, 120); 3] } else { [200; 3] });
    let (x, y) = entropy(&image, (0.4, 1.0), &work()).unwrap();
    assert!(x > 0.55 && y == 0.0, "{x} {y}");
    let tall = paint(100, 160, |x, y| if y < 60 { [128 + noise(x, y, 120); 3] } else { [200; 3] });
    let (x, y) = entropy(&tall, (1.0, 0.4), &work()).unwrap();
    assert!(y < 0.05 && x == 0.0, "{x} {y}");
}

// URL-053, for images without a subject.
#[test]
fn a_flat_image_is_cropped_at_its_centre() {
    for layout in [Layout::Gray, Layout::Rgb, Layout::Rgba] {
        let mut flat = Raster::new(layout, 120, 80, &work()).unwrap();
        flat.data_mut().fill(90);
        for find in [saliency, entropy] {
            let (x, y) = find(&flat, (0.5, 1.0), &work()).unwrap();
            assert!((x - 0.25).abs() < 0.01 && y == 0.0, "{layout:?} {x} {y}");
        }
    }
}

#[test]
fn transparent_pixels_are_no_subject() {
    let mut image = Raster::new(Layout::Rgba, 120, 60, &work()).unwrap();
    for (i, p) in image.data_mut().chunks_exact_mut(4).enumerate() {
        let (x, y) = (i % 120, i / 120);
        let visible = (8..32).contains(&x) && (20..44).contains(&y);
        // An invisible saturated colour on the right.
        let colour = if x > 80 { [255, 0, 0] } else { [10, 120, 30] };
        p[..3].copy_from_slice(&colour);
        p[3] = if visible { 255 } else { 0 };
    }
    let (x, _) = saliency(&image, (0.5, 1.0), &work()).unwrap();
    assert!(x * 120.0 <= 8.0, "{x}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn windows_lie_inside(
        (w, h) in (1u32..60, 1u32..60), window in (0.001f64..=1.0, 0.001f64..=1.0), seed in any::<u32>(),
    ) {
        let image = paint(w, h, |x, y| [128 + noise(x ^ seed, y, 127); 3]);
        for find in [saliency, entropy] {
            let (x, y) = find(&image, window, &work()).unwrap();
            prop_assert!(x >= 0.0 && y >= 0.0 && x + window.0 <= 1.0 + 1e-9 && y + window.1 <= 1.0 + 1e-9);
        }
    }
}
