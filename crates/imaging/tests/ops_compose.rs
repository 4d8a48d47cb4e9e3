//! Drawing an overlay: each operator and placement is compared, pixel by pixel, with the formulae of Porter and Duff in
//! double precision.

use codecs::{Layout, Raster};
use imaging::ops::compose::{draw, touches};
use proptest::prelude::*;
use recipe::{Composite, Draw, Offsets, Repeat};
use work::{Budget, Work};

fn work() -> Work {
    Work::new(Budget::new(1 << 30))
}

fn raster(layout: Layout, width: u32, height: u32, bytes: &[u8]) -> Raster {
    let mut image = Raster::new(layout, width, height, &work()).unwrap();
    let length = image.data().len();
    image.data_mut().copy_from_slice(&bytes[..length]);
    image
}

/// A pixel as colour from 0 to 255, not premultiplied, and alpha from 0 to 1.
fn pixel(image: &Raster, x: u32, y: u32) -> ([f64; 3], f64) {
    let n = image.layout.channels(0);
    let p = &image.planes[0].row(y)[x as usize * n..][..n];
    let f = f64::from;
    match *p {
        [g] => ([f(g); 3], 1.0),
        [r, g, b] => ([f(r), f(g), f(b)], 1.0),
        [r, g, b, a] => ([f(r), f(g), f(b)], f(a) / 255.0),
        _ => unreachable!(),
    }
}

/// The overlay's column (or row) over `at`, as the documentation defines it.
fn over(at: i64, base: u32, part: u32, near: Option<i32>, far: Option<i32>, tiled: bool) -> Option<u32> {
    let start = match (near, far) {
        (Some(near), _) => i64::from(near),
        (_, Some(far)) => i64::from(base) - i64::from(far) - i64::from(part),
        _ => ((i64::from(base) - i64::from(part)) as f64 / 2.0).floor() as i64,
    };
    let inside = at - start;
    let part = i64::from(part);
    let inside = if tiled { ((inside % part) + part) % part } else { inside };
    (0..part).contains(&inside).then_some(inside as u32)
}

fn compose(mode: Composite, (fc, f): ([f64; 3], f64), (bc, b): ([f64; 3], f64)) -> ([f64; 3], f64) {
    let (front, back) = (fc.map(|c| c / 255.0 * f), bc.map(|c| c / 255.0 * b));
    let mix = |ff: f64, fb: f64| {
        let colour: [f64; 3] = std::array::from_fn(|i| (front[i] * ff + back[i] * fb).min(1.0));
        (colour, (f * ff + b * fb).min(1.0))
    };
    let (colour, alpha) = match mode {
        Composite::Over => mix(1.0, 1.0 - f),
        Composite::In => mix(b, 0.0),
        Composite::Atop => mix(b, 1.0 - f),
        Composite::Out => mix(1.0 - b, 0.0),
        Composite::Xor => mix(1.0 - b, 1.0 - f),
        Composite::Lighter => mix(1.0, 1.0),
    };
    (colour.map(|c| if alpha > 0.0 { c / alpha * 255.0 } else { 0.0 }), alpha)
}

fn any_layout() -> impl Strategy<Value = Layout> {
    prop::sample::select(vec![Layout::Gray, Layout::Rgb, Layout::Rgba])
}

/// Bytes, often 0 or 255, where alpha has special cases.
fn any_bytes(length: usize) -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(prop_oneof![Just(0u8), Just(255u8), any::<u8>()], length)
}

fn any_draw() -> impl Strategy<Value = Draw> {
    use Composite::{Atop, In, Lighter, Out, Over, Xor};
    let composite = prop::sample::select(vec![Over, In, Atop, Out, Xor, Lighter]);
    let repeat = prop::sample::select(vec![Repeat::None, Repeat::Both, Repeat::X, Repeat::Y]);
    let opacity = prop_oneof![2 => Just(1.0f32), 1 => Just(0.0f32), 2 => 0.0f32..=1.0];
    let axis = || {
        prop_oneof![
            Just((None, None)),
            (-12i32..16).prop_map(|v| (Some(v), None)),
            (-12i32..16).prop_map(|v| (None, Some(v))),
        ]
    };
    (composite, repeat, opacity, axis(), axis()).prop_map(|(composite, repeat, opacity, x, y)| Draw {
        opacity,
        repeat,
        composite,
        offsets: Offsets { left: x.0, right: x.1, top: y.0, bottom: y.1 },
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    // URL-190 … URL-195, URL-197, URL-199, BND-039, BND-041 … BND-043, BND-045
    #[test]
    fn every_operator_and_placement_matches_its_formula(
        base_layout in any_layout(), over_layout in any_layout(),
        (bw, bh, ow, oh) in (1u32..14, 1u32..10, 1u32..9, 1u32..9),
        base_bytes in any_bytes(14 * 10 * 4), over_bytes in any_bytes(9 * 9 * 4),
        how in any_draw(),
    ) {
        let base = raster(base_layout, bw, bh, &base_bytes);
        let overlay = raster(over_layout, ow, oh, &over_bytes);
        let before = raster(base_layout, bw, bh, &base_bytes);
        let result = draw(base, &overlay, &how, &work()).unwrap();
        prop_assert_eq!((result.width, result.height), (bw, bh));
        let Offsets { left, right, top, bottom } = how.offsets;
        let tiled_x = matches!(how.repeat, Repeat::Both | Repeat::X);
        let tiled_y = matches!(how.repeat, Repeat::Both | Repeat::Y);
        let mut painted = false;
        for y in 0..bh {
            for x in 0..bw {
                let u = over(x.into(), bw, ow, left, right, tiled_x);
                let v = over(y.into(), bh, oh, top, bottom, tiled_y);
                let old = pixel(&before, x, y);
                let expected = match (u, v) {
                    (Some(u), Some(v)) => {
                        painted = true;
                        let (colour, alpha) = pixel(&overlay, u, v);
                        compose(how.composite, (colour, alpha * f64::from(how.opacity)), old)
                    }
                    _ => old,
                };
                let found = pixel(&result, x, y);
                prop_assert!((found.1 - expected.1).abs() * 255.0 <= 0.51, "alpha {found:?} {expected:?}");
                // The colour of a transparent pixel is invisible, so it is not compared.
                if expected.1 * 255.0 > 0.5 {
                    for i in 0..3 {
                        prop_assert!((found.0[i] - expected.0[i]).abs() <= 1.0, "{found:?} {expected:?}");
                    }
                }
            }
        }
        prop_assert_eq!(touches((bw, bh), (ow, oh), &how), painted);
    }

    #[test]
    fn placements_far_outside_draw_nothing(
        left in prop::sample::select(vec![i32::MIN, -1_000_000, 1_000_000, i32::MAX]),
        bottom in prop::sample::select(vec![i32::MIN, 0, i32::MAX]),
        base_bytes in any_bytes(7 * 5 * 3),
    ) {
        let how = Draw { offsets: Offsets { left: Some(left), bottom: Some(bottom), ..Offsets::default() }, ..Draw::default() };
        let overlay = raster(Layout::Rgb, 3, 3, &[9; 27]);
        let result = draw(raster(Layout::Rgb, 7, 5, &base_bytes), &overlay, &how, &work()).unwrap();
        prop_assert_eq!(result.data(), &base_bytes[..]);
    }
}

fn how(composite: Composite) -> Draw {
    Draw { composite, ..Draw::default() }
}

#[test]
fn an_opaque_base_stays_rgb_if_the_operator_keeps_it_opaque() {
    let grey = [100u8; 4 * 4 * 4];
    let layout = |composite, over: Layout| {
        let overlay = raster(over, 2, 2, &grey);
        draw(raster(Layout::Rgb, 4, 4, &grey), &overlay, &how(composite), &work()).unwrap().layout
    };
    for composite in [Composite::Over, Composite::Atop, Composite::Lighter] {
        assert_eq!(layout(composite, Layout::Rgba), Layout::Rgb, "{composite:?}");
    }
    assert_eq!(layout(Composite::In, Layout::Rgb), Layout::Rgb);
    for composite in [Composite::In, Composite::Out, Composite::Xor] {
        assert_eq!(layout(composite, Layout::Rgba), Layout::Rgba, "{composite:?}");
    }
}

// BND-044: one corner mask, rotated for each corner and drawn with `xor`, rounds the corners.
#[test]
fn four_xor_corner_masks_round_the_corners() {
    const R: u32 = 8;
    let mask = |turns: u32| {
        let mut bytes = vec![0u8; (R * R * 4) as usize];
        for y in 0..R {
            for x in 0..R {
                let (mut u, mut v) = (x, y);
                for _ in 0..turns {
                    (u, v) = (v, R - 1 - u);
                }
                // Outside the circle around the mask's inner corner.
                let outside = (R - u).pow(2) + (R - v).pow(2) > R * R;
                bytes[((y * R + x) * 4 + 3) as usize] = if outside { 255 } else { 0 };
            }
        }
        raster(Layout::Rgba, R, R, &bytes)
    };
    let mut image = raster(Layout::Rgb, 30, 20, &[200; 30 * 20 * 3]);
    let corner = |top, left, bottom, right| Offsets { top, left, bottom, right };
    let z = Some(0);
    let corners = [
        corner(z, z, None, None),
        corner(z, None, None, z),
        corner(None, None, z, z),
        corner(None, z, z, None),
    ];
    for (turns, offsets) in corners.into_iter().enumerate() {
        let how = Draw { composite: Composite::Xor, offsets, ..Draw::default() };
        image = draw(image, &mask(turns as u32), &how, &work()).unwrap();
    }
    for (x, y) in [(0, 0), (29, 0), (0, 19), (29, 19)] {
        assert!(pixel(&image, x, y).1 == 0.0, "corner {x} {y}");
    }
    for (x, y) in [(R, 0), (0, R), (15, 10), (R / 2, R / 2), (29 - R, 19)] {
        assert_eq!(pixel(&image, x, y), ([200.0; 3], 1.0), "kept {x} {y}");
    }
}

// The dialects test URL-193. Here the smallest tile must fill a wide base.
#[test]
fn a_single_pixel_tiles_a_wide_base() {
    let how = Draw { repeat: Repeat::Both, ..Draw::default() };
    let tile = raster(Layout::Rgba, 1, 1, &[1, 2, 3, 255]);
    let result = draw(raster(Layout::Rgb, 5000, 3, &vec![0; 45_000]), &tile, &how, &work()).unwrap();
    assert!(result.data().chunks_exact(3).all(|p| p == [1, 2, 3]));
}

#[test]
fn drawing_reserves_memory_in_the_budget() {
    let small = Work::new(Budget::new(64));
    let base = raster(Layout::Rgb, 100, 100, &vec![0; 30_000]);
    let overlay = raster(Layout::Rgba, 50, 50, &[7; 10_000]);
    let error = draw(base, &overlay, &how(Composite::Xor), &small).unwrap_err();
    assert!(matches!(error, imaging::Error::Work(work::Error::MemoryBudget { .. })), "{error}");
}
