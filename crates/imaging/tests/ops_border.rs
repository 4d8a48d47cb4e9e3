//! Adding borders to images, and detecting them.

use codecs::{Layout, Raster};
use imaging::analysis::border as trim_border;
use imaging::ops::border;
use imaging::rect::Window;
use proptest::prelude::*;
use recipe::{BorderTrim, Color};
use work::{Budget, Work};

fn work() -> Work {
    Work::new(Budget::new(1 << 30))
}

fn from_fn<const N: usize>(
    layout: Layout,
    width: u32,
    height: u32,
    f: impl Fn(u32, u32) -> [u8; N],
) -> Raster {
    let mut image = Raster::new(layout, width, height, &work()).unwrap();
    for (i, p) in image.data_mut().chunks_exact_mut(N).enumerate() {
        p.copy_from_slice(&f(i as u32 % width, i as u32 / width));
    }
    image
}

fn at(image: &Raster, x: u32, y: u32) -> &[u8] {
    let n = image.layout.channels(0);
    &image.planes[0].row(y)[x as usize * n..][..n]
}

fn trim(color: Option<Color>, tolerance: u8, keep: u32) -> BorderTrim {
    BorderTrim { color, tolerance, keep }
}

fn window(x: u32, y: u32, width: u32, height: u32) -> Option<Window> {
    Some(Window { x, y, width, height })
}

/// Deterministic noise from −`reach` to `reach`.
fn noise(x: u32, y: u32, reach: i32) -> i32 {
    let mut v = x.wrapping_mul(0x9E37_79B9) ^ y.wrapping_mul(0x85EB_CA6B);
    v ^= v >> 15;
    v = v.wrapping_mul(0x2C1B_3C6D);
    v ^= v >> 13;
    (v % (2 * reach as u32 + 1)) as i32 - reach
}

fn level(v: i32) -> u8 {
    v.clamp(0, 255) as u8
}

// URL-198: the border enlarges the image by its width on each side.
#[test]
fn a_border_is_added_on_each_side() {
    let red = Color { r: 255, g: 0, b: 0, a: 255 };
    let image = from_fn(Layout::Rgb, 4, 3, |x, y| [x as u8, y as u8, 7]);
    let framed = border::add(image, [1, 2, 3, 4], red, &work()).unwrap();
    assert_eq!((framed.layout, framed.width, framed.height), (Layout::Rgb, 10, 7));
    for y in 0..7 {
        for x in 0..10 {
            let inside = (4..8).contains(&x) && (1..4).contains(&y);
            let expected = if inside { [x as u8 - 4, y as u8 - 1, 7] } else { [255, 0, 0] };
            assert_eq!(at(&framed, x, y), expected, "{x} {y}");
        }
    }
}

#[test]
fn a_translucent_border_makes_the_result_translucent() {
    let faint = Color { r: 10, g: 20, b: 30, a: 40 };
    let framed = border::add(from_fn(Layout::Gray, 2, 2, |_, _| [99]), [1; 4], faint, &work()).unwrap();
    assert_eq!(framed.layout, Layout::Rgba);
    assert_eq!(at(&framed, 0, 0), [10, 20, 30, 40]);
    assert_eq!(at(&framed, 1, 1), [99, 99, 99, 255]);
    // An opaque border around a translucent image leaves the image translucent.
    let image = from_fn(Layout::Rgba, 2, 2, |_, _| [1, 2, 3, 4]);
    let framed = border::add(image, [0, 1, 0, 0], Color::BLACK, &work()).unwrap();
    assert_eq!((at(&framed, 1, 1), at(&framed, 2, 1)), (&[1, 2, 3, 4][..], &[0, 0, 0, 255][..]));
}

#[test]
fn grey_stays_grey_within_a_grey_border() {
    let framed =
        border::add(from_fn(Layout::Gray, 2, 2, |_, _| [99]), [1; 4], Color::WHITE, &work()).unwrap();
    assert_eq!((framed.layout, framed.data()[0], framed.data()[5]), (Layout::Gray, 255, 99));
}

#[test]
fn a_border_that_exceeds_the_limit_of_sizes_is_an_error() {
    let image = from_fn(Layout::Gray, 2, 2, |_, _| [99]);
    assert!(border::add(image, [0, u32::MAX, 0, 0], Color::WHITE, &work()).is_err());
}

proptest! {
    // URL-065: an added border is detected to the pixel.
    #[test]
    fn an_added_border_is_detected(
        (w, h) in (1u32..40, 1u32..40), widths in prop::array::uniform4(0u32..20), gray in any::<bool>(),
        seed in any::<u32>(),
    ) {
        prop_assume!(widths != [0; 4]);
        let frame = Color { r: 200, g: 200, b: 200, a: 255 };
        // The colours of the image differ much from that of the border.
        let v = |x: u32, y: u32| level(60 + noise(x ^ seed, y, 60));
        let image = if gray {
            from_fn(Layout::Gray, w, h, |x, y| [v(x, y)])
        } else {
            from_fn(Layout::Rgb, w, h, |x, y| [v(x, y), v(y, x), v(x, x)])
        };
        let framed = border::add(image, widths, frame, &work()).unwrap();
        let found = trim_border::find(&framed, &trim(Some(frame), 0, 0), &work()).unwrap();
        prop_assert_eq!(found, window(widths[3], widths[0], w, h));
        if widths.iter().all(|w| *w > 0) {
            let found = trim_border::find(&framed, &trim(None, 10, 0), &work()).unwrap();
            prop_assert_eq!(found, window(widths[3], widths[0], w, h));
        }
    }
}

/// A photo-like image of 300 × 200 with a border after lossy compression: noise of up to 8 levels, single pixels that
/// differ by 18, and ringing within four pixels of the image.
fn compressed() -> Raster {
    from_fn(Layout::Rgb, 300, 200, |x, y| -> [u8; 3] {
        let inside = (30..260).contains(&x) && (20..190).contains(&y);
        let near = (26..264).contains(&x) && (16..194).contains(&y);
        let base: [i32; 3] =
            if inside { [90 + (x as i32 % 50), 60, 120 - (y as i32 % 40)] } else { [240, 236, 228] };
        let reach = if near && !inside { 24 } else { 8 };
        let odd = if !inside && (x * 7 + y * 13) % 797 == 0 { 18 } else { 0 };
        std::array::from_fn::<u8, 3, _>(|c| level(base[c] + noise(x * 3 + c as u32, y, reach) - odd))
    })
}

#[test]
fn a_noisy_border_is_detected() {
    let found = trim_border::find(&compressed(), &trim(None, 10, 0), &work()).unwrap().unwrap();
    // The window contains the whole image, and of the border at most the ringing.
    assert!((26..=30).contains(&found.x) && (16..=20).contains(&found.y), "{found:?}");
    assert!((260..=264).contains(&(found.x + found.width)), "{found:?}");
    assert!((190..=194).contains(&(found.y + found.height)), "{found:?}");
}

#[test]
fn without_tolerance_the_border_must_have_one_colour() {
    let found = trim_border::find(&compressed(), &trim(None, 0, 0), &work()).unwrap();
    assert_eq!(found, window(0, 0, 300, 200));
}

#[test]
fn a_hairline_across_the_border_belongs_to_the_image() {
    let image = from_fn(Layout::Gray, 1000, 300, |x, y| {
        let inside = (400..600).contains(&x) && (100..200).contains(&y);
        if inside || (x == 500 && y >= 40) { [0] } else { [255] }
    });
    let found = trim_border::find(&image, &trim(None, 10, 0), &work()).unwrap();
    assert_eq!(found, window(400, 40, 200, 260));
}

// URL-066
#[test]
fn keep_leaves_part_of_the_border() {
    let image = border::add(from_fn(Layout::Gray, 20, 10, |_, _| [9]), [8, 3, 8, 8], Color::WHITE, &work());
    let found = trim_border::find(&image.unwrap(), &trim(None, 10, 5), &work()).unwrap();
    assert_eq!(found, window(3, 3, 5 + 20 + 3, 20));
}

// URL-067
#[test]
fn only_the_given_colour_is_removed() {
    let black =
        border::add(from_fn(Layout::Gray, 20, 10, |_, _| [99]), [5; 4], Color::BLACK, &work()).unwrap();
    let found = trim_border::find(&black, &trim(Some(Color::WHITE), 10, 0), &work()).unwrap();
    assert_eq!(found, window(0, 0, 30, 20));
    let found = trim_border::find(&black, &trim(Some(Color::BLACK), 10, 0), &work()).unwrap();
    assert_eq!(found, window(5, 5, 20, 10));
}

#[test]
fn bars_on_only_two_sides_are_detected() {
    let image = from_fn(Layout::Gray, 120, 90, |x, y| {
        if (15..70).contains(&y) { [level(128 + noise(x, y, 100))] } else { [0] }
    });
    let found = trim_border::find(&image, &trim(None, 10, 0), &work()).unwrap();
    assert_eq!(found, window(0, 15, 120, 55));
}

#[test]
fn transparent_pixels_are_border_whatever_their_colour() {
    let image = from_fn(Layout::Rgba, 60, 40, |x, y| {
        let inside = (10..50).contains(&x) && (5..30).contains(&y);
        // Noise in a very low alpha, over invisible colours.
        let hidden = level(128 + noise(x, y, 127));
        if inside {
            [200, 10, 10, 255]
        } else {
            [hidden, 255 - hidden, hidden / 2, (noise(y, x, 2) + 2) as u8]
        }
    });
    let found = trim_border::find(&image, &trim(None, 10, 0), &work()).unwrap();
    assert_eq!(found, window(10, 5, 40, 25));
    let given = trim_border::find(&image, &trim(Some(Color::TRANSPARENT), 10, 0), &work()).unwrap();
    assert_eq!(given, found);
    let white = trim_border::find(&image, &trim(Some(Color::WHITE), 10, 0), &work()).unwrap();
    assert_eq!(white, window(0, 0, 60, 40));
}

// URL-069: the program maps this to its numbered error.
#[test]
fn an_image_without_content_has_no_window() {
    let noisy = from_fn(Layout::Rgb, 64, 64, |x, y| [level(100 + noise(x, y, 4)); 3]);
    for keep in [0, 5] {
        assert_eq!(trim_border::find(&noisy, &trim(None, 10, keep), &work()).unwrap(), None);
    }
    let clear = from_fn(Layout::Rgba, 9, 1, |x, _| [x as u8, 0, 0, 0]);
    assert_eq!(trim_border::find(&clear, &trim(None, 0, 0), &work()).unwrap(), None);
}
