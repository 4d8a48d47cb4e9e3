//! Width and height of an SVG image, from its root element.

use std::str::FromStr;

use svgtypes::{Length, LengthUnit, ViewBox};
use xml::attribute::OwnedAttribute;

/// Width and height in CSS pixels; 0 if the root element does not give them.
pub(super) fn of(root: &[OwnedAttribute]) -> (u32, u32) {
    let attribute = |name: &str| {
        root.iter().find(|a| a.name.namespace.is_none() && a.name.local_name == name).map(|a| a.value.trim())
    };
    let length = |name: &str| attribute(name).and_then(pixels);
    let (mut width, mut height) = (length("width"), length("height"));
    if let Some(view) = attribute("viewBox").and_then(|v| ViewBox::from_str(v).ok()) {
        match (width, height) {
            (None, None) => (width, height) = (Some(view.w), Some(view.h)),
            // One side is given; the view box gives the aspect ratio.
            (Some(given), None) => height = Some(given * view.h / view.w),
            (None, Some(given)) => width = Some(given * view.w / view.h),
            (Some(_), Some(_)) => {}
        }
    }
    let rounded = |v: Option<f64>| v.map_or(0, |v| v.round().clamp(0.0, f64::from(u32::MAX)) as u32);
    (rounded(width), rounded(height))
}

/// A length in CSS pixels. Percentages and font sizes have no meaning without a page.
fn pixels(value: &str) -> Option<f64> {
    // `svgtypes` supports the units of SVG 1.1; SVG 2 added the quarter millimetre.
    if let Some(number) = value.strip_suffix('Q') {
        return positive(svgtypes::Number::from_str(number).ok()?.0 * 96.0 / 101.6);
    }
    let length = Length::from_str(value).ok()?;
    let scale = match length.unit {
        LengthUnit::None | LengthUnit::Px => 1.0,
        LengthUnit::Pt => 96.0 / 72.0,
        LengthUnit::Pc => 16.0,
        LengthUnit::In => 96.0,
        LengthUnit::Cm => 96.0 / 2.54,
        LengthUnit::Mm => 96.0 / 25.4,
        LengthUnit::Em | LengthUnit::Ex | LengthUnit::Percent => return None,
    };
    positive(length.number * scale)
}

fn positive(pixels: f64) -> Option<f64> {
    Some(pixels).filter(|v| v.is_finite() && *v > 0.0)
}
