//! SVG: recognised, measured and made harmless, never drawn.
//!
//! [`sanitise`] is what a server sends instead of the file: scripts, event handlers, links to other documents and
//! references to other origins are gone (by `svg-hush`), and a file that grows by its own entities is refused.

use crate::{Codec, DecodeSpec, Error, Format, Layout, Probe, RowSource, Work};

/// The SVG "codec": it can only probe.
#[derive(Debug)]
pub(crate) struct Svg;

/// The largest file that is looked into. A drawing beyond this is a bitmap in disguise.
pub const MAX_BYTES: usize = 16 << 20;
/// How deep elements may be nested.
const MAX_DEPTH: u32 = 1024;

fn damaged(reason: impl Into<String>) -> Error {
    Error::Malformed { format: Format::Svg, reason: reason.into() }
}

impl Codec for Svg {
    fn format(&self) -> Format {
        Format::Svg
    }

    /// Width and height in CSS pixels from the root element: its `width` and `height`, else those of
    /// its `viewBox`; a size that the file does not say is 0.
    fn probe(&self, bytes: &[u8]) -> Result<Probe, Error> {
        check(bytes)?;
        let (width, height) = size(bytes)?;
        let mut probe = Probe::new(Format::Svg, width, height, bytes.len());
        probe.alpha = true;
        Ok(probe)
    }

    fn decoded_layout(&self, _probe: &Probe, _spec: DecodeSpec) -> Layout {
        Layout::Rgba
    }

    fn decode_bytes(&self, _probe: &Probe, _spec: DecodeSpec) -> u64 {
        0
    }

    fn decode<'a>(
        &self,
        _bytes: &'a [u8],
        _probe: &Probe,
        _spec: DecodeSpec,
        _work: &'a Work,
    ) -> Result<Box<dyn RowSource + 'a>, Error> {
        Err(Error::Unsupported("SVG is passed through, not drawn".to_owned()))
    }
}

/// Gives the file without what can act or call home.
///
/// # Errors
/// [`Error::TooLarge`] beyond [`MAX_BYTES`]; [`Error::Malformed`] when it is no well-formed SVG, declares
/// entities, or nests too deep; budget, deadline.
pub fn sanitise(bytes: &[u8], work: &Work) -> Result<Vec<u8>, Error> {
    check(bytes)?;
    work.check()?;
    // The filter streams; its output is about as large as its input.
    let mut out = Bounded {
        bytes: Vec::new(),
        held: work.take(0)?,
        limit: bytes.len() * 2 + 4096,
        failure: None,
        work,
    };
    let mut filter = svg_hush::Filter::new();
    filter.set_data_url_filter(svg_hush::data_url_filter::allow_standard_images);
    let result = filter.filter(bytes, &mut out);
    if let Some(error) = out.failure {
        return Err(error);
    }
    result.map_err(|e| damaged(e.to_string()))?;
    if out.bytes.is_empty() {
        return Err(damaged("nothing is left"));
    }
    Ok(out.bytes)
}

/// Takes what the filter writes, within the budget.
struct Bounded<'a> {
    bytes: Vec<u8>,
    held: crate::Reservation,
    limit: usize,
    failure: Option<Error>,
    work: &'a Work,
}

impl std::io::Write for Bounded<'_> {
    fn write(&mut self, part: &[u8]) -> std::io::Result<usize> {
        let needed = self.bytes.len() + part.len();
        let mut allowed = self.work.check();
        if needed > self.limit {
            allowed = Err(damaged("the file grows beyond twice its size"));
        }
        if allowed.is_ok() && needed > self.bytes.capacity() {
            let capacity = needed.max(self.bytes.capacity() * 2).max(4096);
            allowed = self.held.grow_to(capacity);
            if allowed.is_ok() {
                self.bytes.reserve_exact(capacity - self.bytes.len());
            }
        }
        if let Err(error) = allowed {
            self.failure = Some(error);
            return Err(std::io::ErrorKind::Other.into());
        }
        self.bytes.extend_from_slice(part);
        Ok(part.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Refuses, before any XML parser sees it, what could make one work or grow without bounds.
fn check(bytes: &[u8]) -> Result<(), Error> {
    if bytes.len() > MAX_BYTES {
        return Err(Error::TooLarge(format!(
            "the SVG file has {} bytes, more than {MAX_BYTES}",
            bytes.len()
        )));
    }
    if Format::sniff(bytes) != Some(Format::Svg) {
        return Err(Error::NotAnImage);
    }
    // One declaration of an entity is one too many: drawing programs write none that matter.
    if bytes.windows(8).any(|w| w.eq_ignore_ascii_case(b"<!ENTITY")) {
        return Err(damaged("entities are declared"));
    }
    let (mut depth, mut rest) = (0_u32, bytes);
    while let Some(at) = rest.iter().position(|&b| b == b'<') {
        rest = &rest[at + 1..];
        match rest.first() {
            Some(b'/') => depth = depth.saturating_sub(1),
            Some(b'!' | b'?') | None => {}
            Some(_) => {
                let end = rest.iter().position(|&b| b == b'>').ok_or(Error::Truncated(Format::Svg))?;
                if end == 0 || rest[end - 1] != b'/' {
                    depth += 1;
                }
                if depth > MAX_DEPTH {
                    return Err(damaged("elements are nested too deep"));
                }
            }
        }
    }
    if depth > 0 && !bytes.trim_ascii_end().ends_with(b">") {
        return Err(Error::Truncated(Format::Svg));
    }
    Ok(())
}

/// Width and height of the root element in CSS pixels, 0 where it does not say.
fn size(bytes: &[u8]) -> Result<(u32, u32), Error> {
    let tag = root(bytes).ok_or(damaged("no root element"))?;
    let length = |name: &str| attribute(tag, name).and_then(pixels);
    let (mut width, mut height) = (length("width"), length("height"));
    if let Some((w, h)) = attribute(tag, "viewBox").and_then(view_box) {
        match (width, height) {
            (None, None) => (width, height) = (Some(w), Some(h)),
            // One side said: the other follows from the shape of the view.
            (Some(given), None) => height = Some(given * h / w),
            (None, Some(given)) => width = Some(given * w / h),
            (Some(_), Some(_)) => {}
        }
    }
    let whole = |v: Option<f64>| v.map_or(0, |v| v.round().clamp(0.0, f64::from(u32::MAX)) as u32);
    Ok((whole(width), whole(height)))
}

/// The text between `<svg` and `>` of the root element.
fn root(bytes: &[u8]) -> Option<&str> {
    let text = bytes;
    let mut from = 0;
    loop {
        let start = from + text[from..].iter().position(|&b| b == b'<')?;
        let rest = &text[start..];
        let end: &[u8] = match rest {
            [b'<', b'?', ..] => b"?>",
            [b'<', b'!', b'-', b'-', ..] => b"-->",
            [b'<', b'!', ..] => b">",
            _ => {
                // A `>` may stand within quotes.
                let mut quote = None;
                for (i, &b) in rest.iter().enumerate() {
                    match (quote, b) {
                        (None, b'"' | b'\'') => quote = Some(b),
                        (Some(q), _) if q == b => quote = None,
                        (None, b'>') => return std::str::from_utf8(&rest[1..i]).ok(),
                        _ => {}
                    }
                }
                return None;
            }
        };
        from = start + rest.windows(end.len()).position(|w| w == end)? + end.len();
    }
}

/// The value of an attribute of a start tag.
fn attribute<'a>(tag: &'a str, name: &str) -> Option<&'a str> {
    let mut rest = tag;
    loop {
        let equals = rest.find('=')?;
        let key = rest[..equals].trim_end().rsplit(|c: char| c.is_ascii_whitespace()).next()?;
        let after = rest[equals + 1..].trim_start();
        let quote = after.chars().next().filter(|c| matches!(c, '"' | '\''))?;
        let value = &after[1..];
        let end = value.find(quote)?;
        if key == name {
            return Some(value[..end].trim());
        }
        rest = &value[end + 1..];
    }
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
