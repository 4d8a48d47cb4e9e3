//! Colour effects, blur and sharpening against double-precision references.

use codecs::{Layout, Raster};
use imaging::choices::{BLUR_SIGMA_PER_RADIUS, SHARPEN_SIGMA, SHARPEN_STRENGTH};
use imaging::ops::effects;
use proptest::prelude::*;
use recipe::Transform;
use work::{Budget, Work};

fn work() -> Work {
    Work::new(Budget::new(1 << 28))
}

fn noise(x: u32, y: u32) -> u8 {
    let mut v = x.wrapping_mul(0x9E37_79B9) ^ y.wrapping_mul(0x85EB_CA6B);
    v ^= v >> 15;
    v = v.wrapping_mul(0x2C1B_3C6D);
    (v >> 19) as u8
}

/// Blocks, noise and a gradient: edges and flat parts.
fn picture(layout: Layout, width: u32, height: u32) -> Raster {
    let mut image = Raster::new(layout, width, height, &work()).unwrap();
    let n = layout.channels(0);
    for (i, p) in image.data_mut().chunks_exact_mut(n).enumerate() {
        let (x, y) = (i as u32 % width, i as u32 / width);
        for (c, v) in p.iter_mut().enumerate() {
            let c = c as u32;
            *v = match (x / 13 + y / 9 + c) % 4 {
                0 => 255,
                1 => 0,
                2 => noise(x + 31 * c, y),
                _ => (x * 255 / width) as u8,
            };
        }
    }
    image
}

fn apply(image: Raster, t: &Transform) -> Raster {
    effects::apply(image, t, &work()).unwrap()
}

fn blurred(image: Raster, radius: f64) -> Raster {
    apply(image, &Transform { blur: Some(radius), ..Transform::default() })
}

/// A sampled Gaussian of six standard deviations with extended edges. Returns the premultiplied channels (0 to 255) of
/// each pixel; alpha, if there is one, is the last.
fn gaussian(image: &Raster, sigma: f64) -> Vec<Vec<f64>> {
    let (w, h, n) = (i64::from(image.width), i64::from(image.height), image.layout.channels(0));
    let reach = (6.0 * sigma).ceil() as i64;
    let kernel: Vec<f64> = (-reach..=reach).map(|i| (-0.5 * (i as f64 / sigma).powi(2)).exp()).collect();
    let sum: f64 = kernel.iter().sum();
    let pixels: Vec<Vec<f64>> = image
        .data()
        .chunks_exact(n)
        .map(|p| {
            let a = if n == 4 { f64::from(p[3]) / 255.0 } else { 1.0 };
            p.iter().enumerate().map(|(c, v)| f64::from(*v) * if c < 3 { a } else { 1.0 }).collect()
        })
        .collect();
    let pass = |from: &[Vec<f64>], along_x: bool| -> Vec<Vec<f64>> {
        (0..w * h)
            .map(|i| {
                let (x, y) = (i % w, i / w);
                let mut out = vec![0.0; n];
                for (k, weight) in (-reach..=reach).zip(&kernel) {
                    let at = if along_x {
                        y * w + (x + k).clamp(0, w - 1)
                    } else {
                        (y + k).clamp(0, h - 1) * w + x
                    };
                    out.iter_mut().zip(&from[at as usize]).for_each(|(o, v)| *o += v * weight / sum);
                }
                out
            })
            .collect()
    };
    pass(&pass(&pixels, true), false)
}

/// Largest and mean difference of premultiplied channels, over the pixels `margin` away from the edges.
fn differences(image: &Raster, exact: &[Vec<f64>], margin: u32) -> (f64, f64) {
    let n = image.layout.channels(0);
    let (mut largest, mut sum, mut count) = (0f64, 0.0, 0.0);
    for (i, (p, exact)) in image.data().chunks_exact(n).zip(exact).enumerate() {
        let (x, y) = (i as u32 % image.width, i as u32 / image.width);
        if x < margin || y < margin || x + margin >= image.width || y + margin >= image.height {
            continue;
        }
        let a = if n == 4 { f64::from(p[3]) / 255.0 } else { 1.0 };
        for (c, (v, e)) in p.iter().zip(exact).enumerate() {
            let d = (f64::from(*v) * if c < 3 { a } else { 1.0 } - e).abs();
            largest = largest.max(d);
            sum += d;
            count += 1.0;
        }
    }
    (largest, sum / count)
}

#[test]
fn small_blurs_are_gaussian_within_two_levels() {
    for layout in [Layout::Gray, Layout::Rgb, Layout::Rgba] {
        for radius in [1.0, 1.7, 3.0, 5.0, 7.9] {
            let exact = gaussian(&picture(layout, 120, 70), radius * BLUR_SIGMA_PER_RADIUS);
            let (largest, mean) = differences(&blurred(picture(layout, 120, 70), radius), &exact, 0);
            assert!(largest <= 2.0 && mean <= 0.5, "{layout:?} {radius}: {largest} {mean}");
        }
    }
}

#[test]
fn wide_blurs_are_gaussian_within_three_levels() {
    for layout in [Layout::Gray, Layout::Rgb, Layout::Rgba] {
        for radius in [8.0, 11.3, 24.0, 60.0] {
            let sigma = radius * BLUR_SIGMA_PER_RADIUS;
            let exact = gaussian(&picture(layout, 260, 180), sigma);
            let done = blurred(picture(layout, 260, 180), radius);
            let (largest, mean) = differences(&done, &exact, (2.0 * sigma).ceil() as u32);
            assert!(largest <= 3.0 && mean <= 0.8, "{layout:?} {radius}: {largest} {mean}");
            // At the edges the blur extends the pixels of a reduced copy, which are means of several.
            let (_, mean) = differences(&done, &exact, 0);
            assert!(mean <= 4.0, "{layout:?} {radius} with the edges: {mean}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn a_flat_image_is_not_changed(
        (w, h) in (1u32..50, 1u32..50), radius in 0.0f64..=250.0, sharpen in 0.0f64..=10.0, value in any::<u8>(),
    ) {
        for layout in [Layout::Gray, Layout::Rgb] {
            let mut image = Raster::new(layout, w, h, &work()).unwrap();
            image.data_mut().fill(value);
            let t = Transform { blur: Some(radius), sharpen: Some(sharpen), ..Transform::default() };
            let done = apply(image, &t);
            prop_assert_eq!(done.layout, layout);
            prop_assert!(done.data().iter().all(|v| *v == value));
        }
    }
}

// URL-080
#[test]
fn a_radius_below_one_changes_nothing() {
    for radius in [0.0, 0.5, 0.99] {
        assert_eq!(
            blurred(picture(Layout::Rgba, 40, 30), radius).data(),
            picture(Layout::Rgba, 40, 30).data()
        );
    }
    assert_ne!(blurred(picture(Layout::Rgba, 40, 30), 1.0).data(), picture(Layout::Rgba, 40, 30).data());
}

#[test]
fn transparent_colours_do_not_bleed() {
    // Red with alpha 0, next to opaque blue.
    let half = |t: &Transform| {
        let mut image = Raster::new(Layout::Rgba, 64, 64, &work()).unwrap();
        for (i, p) in image.data_mut().chunks_exact_mut(4).enumerate() {
            p.copy_from_slice(&if i % 64 < 32 { [255, 0, 0, 0] } else { [0, 0, 255, 255] });
        }
        apply(image, t)
    };
    for radius in [2.0, 5.0, 30.0] {
        let done = half(&Transform { blur: Some(radius), ..Transform::default() });
        for p in done.data().chunks_exact(4).filter(|p| p[3] > 8) {
            assert!(p[0] <= 1 && p[2] >= 250, "{radius}: {p:?}");
        }
        let row = &done.data()[64 * 4 * 32..64 * 4 * 33];
        let middle = row[31 * 4 + 3] / 2 + row[32 * 4 + 3] / 2;
        assert!(middle.abs_diff(127) <= 3, "{radius}: {middle}");
    }
    let done = half(&Transform { sharpen: Some(10.0), ..Transform::default() });
    assert!(done.data().chunks_exact(4).all(|p| p[3] == 0 || (p[0] == 0 && p[2] == 255)));
}

// URL-082
#[test]
fn sharpening_adds_the_difference_from_a_blurred_copy() {
    for amount in [0.3, 1.0, 10.0] {
        let image = picture(Layout::Rgb, 90, 60);
        let soft = gaussian(&image, SHARPEN_SIGMA);
        let done =
            apply(picture(Layout::Rgb, 90, 60), &Transform { sharpen: Some(amount), ..Transform::default() });
        let strength = amount * SHARPEN_STRENGTH;
        let tolerance = 0.6 + strength * 0.5;
        for ((p, was), soft) in done.data().chunks_exact(3).zip(image.data().chunks_exact(3)).zip(&soft) {
            for c in 0..3 {
                let v = f64::from(was[c]);
                let exact = (v + (v - soft[c]) * strength).clamp(0.0, 255.0);
                assert!((f64::from(p[c]) - exact).abs() <= tolerance, "{amount}: {} {exact}", p[c]);
            }
        }
    }
}

// URL-083 … URL-086
#[test]
fn colour_effects_match_their_formulae() {
    let factors = [None, Some(0.5), Some(1.3), Some(2.0), Some(200.0)];
    for (i, &brightness) in factors.iter().enumerate() {
        for (j, &contrast) in factors.iter().enumerate() {
            let gamma = [None, Some(0.5), Some(2.0)][(i + j) % 3];
            let saturation = [None, Some(0.0), Some(0.4), Some(3.0)][(i * 5 + j) % 4];
            let t = Transform { brightness, contrast, gamma, saturation, ..Transform::default() };
            for layout in [Layout::Gray, Layout::Rgb, Layout::Rgba] {
                let image = picture(layout, 60, 40);
                let done = apply(picture(layout, 60, 40), &t);
                assert_eq!(done.layout, layout);
                let n = layout.channels(0);
                for (p, was) in done.data().chunks_exact(n).zip(image.data().chunks_exact(n)) {
                    check(p, was, &t);
                }
            }
        }
    }
}

fn check(p: &[u8], was: &[u8], t: &Transform) {
    let curve = |v: u8| {
        let v = f64::from(v) / 255.0 * t.brightness.unwrap_or(1.0);
        let v = (v - 0.5) * t.contrast.unwrap_or(1.0) + 0.5;
        (v.clamp(0.0, 1.0).powf(t.gamma.unwrap_or(1.0)) * 255.0).round()
    };
    if let [g] = was {
        assert_eq!(f64::from(p[0]), curve(*g));
        return;
    }
    let bent = [curve(was[0]), curve(was[1]), curve(was[2])];
    let luma = 0.299 * bent[0] + 0.587 * bent[1] + 0.114 * bent[2];
    for c in 0..3 {
        let exact = (luma + (bent[c] - luma) * t.saturation.unwrap_or(1.0)).clamp(0.0, 255.0);
        assert!((f64::from(p[c]) - exact).abs() <= 0.55, "{t:?} {was:?} {p:?} {exact}");
    }
    assert_eq!(p.get(3), was.get(3));
}

#[test]
fn gamma_keeps_black_and_white() {
    for gamma in [0.5, 2.0] {
        let mut image = Raster::new(Layout::Gray, 3, 1, &work()).unwrap();
        image.data_mut().copy_from_slice(&[0, 128, 255]);
        let done = apply(image, &Transform { gamma: Some(gamma), ..Transform::default() });
        assert_eq!((done.data()[0], done.data()[2]), (0, 255));
        assert_eq!(done.data()[1] > 128, gamma < 1.0);
    }
}

#[test]
fn blurring_keeps_only_a_few_rows() {
    let mut image = Raster::new(Layout::Rgb, 500, 400, &work()).unwrap();
    image.data_mut().fill(3);
    for radius in [7.0, 80.0] {
        let work = Work::new(Budget::new(1 << 28));
        image =
            effects::apply(image, &Transform { blur: Some(radius), ..Transform::default() }, &work).unwrap();
        assert!(work.budget.peak() < 500 * 400 * 3 / 4, "{radius}: {}", work.budget.peak());
    }
}
