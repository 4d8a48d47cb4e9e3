//! How large a drawing says it is.

use xml::attribute::OwnedAttribute;

/// Width and height of the root element in CSS pixels, 0 where it does not say.
pub(super) fn of(root: &[OwnedAttribute]) -> (u32, u32) {
    let attribute = |name: &str| {
        root.iter().find(|a| a.name.namespace.is_none() && a.name.local_name == name).map(|a| a.value.trim())
    };
    let length = |name: &str| attribute(name).and_then(pixels);
    let (mut width, mut height) = (length("width"), length("height"));
    if let Some((w, h)) = attribute("viewBox").and_then(view_box) {
        match (width, height) {
            (None, None) => (width, height) = (Some(w), Some(h)),
            // One side said: the other follows from the shape of the view.
            (Some(given), None) => height = Some(given * h / w),
            (None, Some(given)) => width = Some(given * w / h),
            (Some(_), Some(_)) => {}
        }
    }
    let whole = |v: Option<f64>| v.map_or(0, |v| v.round().clamp(0.0, f64::from(u32::MAX)) as u32);
    (whole(width), whole(height))
}

/// A length in CSS pixels; percentages and font sizes say nothing without a page.
fn pixels(value: &str) -> Option<f64> {
    let digits = value
        .find(|c: char| !(c.is_ascii_digit() || matches!(c, '.' | '+' | '-' | 'e' | 'E')))
        .unwrap_or(value.len());
    // The e of `1em` is no exponent.
    let (number, unit) = match value[..digits].parse::<f64>() {
        Ok(v) => (v, &value[digits..]),
        Err(_) => {
            let cut = value[..digits].find(['e', 'E'])?;
            (value[..cut].parse().ok()?, &value[cut..])
        }
    };
    let scale = match unit {
        "" | "px" => 1.0,
        "pt" => 96.0 / 72.0,
        "pc" => 16.0,
        "in" => 96.0,
        "cm" => 96.0 / 2.54,
        "mm" => 96.0 / 25.4,
        "Q" => 96.0 / 101.6,
        _ => return None,
    };
    Some(number * scale).filter(|v| v.is_finite() && *v > 0.0)
}

/// Width and height of a view box.
fn view_box(value: &str) -> Option<(f64, f64)> {
    let mut numbers =
        value.split([' ', ',', '\t', '\n', '\r']).filter(|s| !s.is_empty()).map(str::parse::<f64>);
    let mut next = || numbers.next().and_then(Result::ok).filter(|v| v.is_finite());
    let (_, _, w, h) = (next()?, next()?, next()?, next()?);
    (w > 0.0 && h > 0.0).then_some((w, h))
}
