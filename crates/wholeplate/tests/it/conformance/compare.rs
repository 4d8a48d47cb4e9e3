//! The difference of two pictures, and a picture of it.

use codecs::Format;

use crate::support::{Pixels, encode, raster};

/// The difference of a picture from the expected one, in 1/255 of a premultiplied sample.
#[derive(Debug)]
pub(crate) struct Difference {
    pub(crate) mean: f64,
    pub(crate) max: u8,
    /// The position of the largest difference.
    pub(crate) at: (u32, u32),
}

pub(crate) fn difference(expected: &Pixels, actual: &Pixels) -> Result<Difference, String> {
    if (expected.width, expected.height) != (actual.width, actual.height) {
        return Err(format!(
            "is {}×{} and should be {}×{}",
            actual.width, actual.height, expected.width, expected.height
        ));
    }
    let mut sum = 0u64;
    let (mut max, mut place) = (0, 0);
    for (i, (a, b)) in expected.rgba.iter().zip(&actual.rgba).enumerate() {
        for (a, b) in premultiplied(*a).into_iter().zip(premultiplied(*b)) {
            let apart = a.abs_diff(b);
            sum += u64::from(apart);
            if apart > max {
                (max, place) = (apart, i as u32);
            }
        }
    }
    let mean = sum as f64 / (expected.rgba.len() * 4) as f64;
    Ok(Difference { mean, max, at: (place % expected.width, place / expected.width) })
}

/// Premultiplies, because a transparent colour is invisible.
fn premultiplied([r, g, b, a]: [u8; 4]) -> [u8; 4] {
    let seen = |c: u8| ((u32::from(c) * u32::from(a) + 127) / 255) as u8;
    [seen(r), seen(g), seen(b), a]
}

/// Expected, actual, and eight times the difference on black, side by side, as PNG.
pub(crate) fn side_by_side(expected: &Pixels, actual: &Pixels) -> Vec<u8> {
    const GAP: u32 = 8;
    let width = expected.width.max(actual.width);
    let height = expected.height.max(actual.height);
    let get = |p: &Pixels, x: u32, y: u32| (x < p.width && y < p.height).then(|| p.at(x, y));
    let image = raster(3 * width + 2 * GAP, height, |x, y| {
        let (part, x) = (x / (width + GAP), x % (width + GAP));
        let (a, b) = (get(expected, x, y), get(actual, x, y));
        let gap = [128, 128, 128, 255];
        match part {
            0 => a.unwrap_or(gap),
            1 => b.unwrap_or(gap),
            _ => match (a, b) {
                (Some(a), Some(b)) => {
                    let (a, b) = (premultiplied(a), premultiplied(b));
                    let far = |i: usize| a[i].abs_diff(b[i]).saturating_mul(8);
                    [far(0).max(far(3)), far(1).max(far(3)), far(2).max(far(3)), 255]
                }
                _ => gap,
            },
        }
    });
    encode(&image, Format::Png)
}
