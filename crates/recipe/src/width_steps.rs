//! Widths allowed by the operator, which bound the number of results of a source.

use crate::{Extent, Length, Transform};

impl Transform {
    /// Rounds the width up to the next of `allowed`, which is sorted, or down to the largest. Returns whether that changed the
    /// size. The height keeps its ratio to the width. `dpr` is multiplied into the sizes, since it would otherwise turn each
    /// allowed width into many.
    pub fn limit_width(&mut self, allowed: &[u32]) -> bool {
        let (Some(Extent::Pixels(width)), Some(largest)) = (self.width, allowed.last()) else { return false };
        let dpr = self.dpr.unwrap_or(1.0);
        let wanted = pixels(f64::from(width) * dpr);
        let moved = allowed.iter().copied().find(|allowed| *allowed >= wanted).unwrap_or(*largest);
        let ratio = dpr * f64::from(moved) / f64::from(wanted);
        if self.dpr.take().is_some() {
            self.scale_lengths(dpr);
        }
        if let Some(Extent::Pixels(height)) = &mut self.height {
            *height = pixels(f64::from(*height) * ratio);
        }
        self.width = Some(Extent::Pixels(moved));
        moved != wanted
    }

    /// Multiplies the other lengths that `dpr` applies to.
    fn scale_lengths(&mut self, dpr: f64) {
        if let Some(border) = &mut self.border {
            for side in [&mut border.top, &mut border.right, &mut border.bottom, &mut border.left] {
                *side = scaled(*side, dpr);
            }
        }
        let Some(trim) = &mut self.trim else { return };
        for side in [
            &mut trim.top,
            &mut trim.right,
            &mut trim.bottom,
            &mut trim.left,
            &mut trim.width,
            &mut trim.height,
        ] {
            if let Some(Length::Pixels(pixels)) = side {
                *pixels = scaled(*pixels, dpr);
            }
        }
        if let Some(border) = &mut trim.border {
            border.keep = scaled(border.keep, dpr);
        }
    }
}

/// The nearest number of pixels, at least 1.
fn pixels(number: f64) -> u32 {
    scaled_to(number).max(1)
}

fn scaled(pixels: u32, factor: f64) -> u32 {
    scaled_to(f64::from(pixels) * factor)
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to u32")]
fn scaled_to(number: f64) -> u32 {
    number.round().clamp(0.0, f64::from(u32::MAX)) as u32
}

#[cfg(test)]
mod tests {
    use crate::{Extent, Length, Transform, Trim};

    fn limited(width: u32, height: Option<u32>, dpr: Option<f64>) -> (Transform, bool) {
        let mut transform = Transform {
            width: Some(Extent::Pixels(width)),
            height: height.map(Extent::Pixels),
            dpr,
            trim: Some(Trim { left: Some(Length::Pixels(10)), ..Trim::default() }),
            ..Transform::default()
        };
        let moved = transform.limit_width(&[320, 640, 1280]);
        (transform, moved)
    }

    // OPS-022
    #[test]
    fn a_width_is_rounded_up_to_an_allowed_one() {
        for (width, height, dpr, to, moved) in [
            (320, None, None, (320, None), false),
            (300, Some(150), None, (320, Some(160)), true),
            (321, Some(321), None, (640, Some(640)), true),
            (5000, Some(2500), None, (1280, Some(640)), true),
            (320, Some(100), Some(2.0), (640, Some(200)), false),
            (310, Some(100), Some(2.0), (640, Some(206)), true),
        ] {
            let (transform, changed) = limited(width, height, dpr);
            let (w, h) = to;
            assert_eq!(transform.width, Some(Extent::Pixels(w)));
            assert_eq!(transform.height, h.map(Extent::Pixels), "{width} {dpr:?}");
            assert_eq!((transform.dpr, changed), (None, moved));
            let left = if dpr.is_some() { 20 } else { 10 };
            assert_eq!(transform.trim.unwrap().left, Some(Length::Pixels(left)));
        }
    }

    #[test]
    fn without_a_width_or_a_list_nothing_changes() {
        let mut without =
            Transform { height: Some(Extent::Pixels(7)), dpr: Some(2.0), ..Transform::default() };
        let before = without.clone();
        assert!(!without.limit_width(&[320]) && without == before);
        let mut any = Transform { width: Some(Extent::Pixels(7)), ..Transform::default() };
        assert!(!any.limit_width(&[]) && any.width == Some(Extent::Pixels(7)));
    }
}
