//! What both JSON dialects say about overlays: how one is painted, and text as an image.

use super::given::{Given, Read, Refusal, invalid};
use crate::{
    Color, Composite, Draw, OptionError, Repeat, TextSource,
    choices::{MAX_OFFSET, MAX_TEXT_SIZE, TEXT_DEFAULT_SIZE, TEXT_MAX_CHARS},
};

/// Names of the composite operators.
pub(super) const COMPOSITES: &[(&str, Composite)] = &[
    ("over", Composite::Over),
    ("in", Composite::In),
    ("atop", Composite::Atop),
    ("out", Composite::Out),
    ("xor", Composite::Xor),
    ("lighter", Composite::Lighter),
];

/// Names of the directions of tiling; `true` and `false` may also be JSON booleans.
pub(super) const REPEATS: &[(&str, Repeat)] =
    &[("true", Repeat::Both), ("x", Repeat::X), ("y", Repeat::Y), ("false", Repeat::None)];

/// Reads one draw option; `None` when the name is none of them.
pub(super) fn read_draw(draw: &mut Draw, name: &str, given: Given<'_>) -> Option<Read<()>> {
    let read = match name {
        #[expect(clippy::cast_possible_truncation, reason = "0 to 1")]
        "opacity" => given.within(0.0, 1.0).map(|opacity| draw.opacity = opacity as f32),
        "repeat" => given
            .flag()
            .map(|both| if both { Repeat::Both } else { Repeat::None })
            .or_else(|_| given.keyword(REPEATS))
            .map(|repeat| draw.repeat = repeat),
        "composite" => given.keyword(COMPOSITES).map(|composite| draw.composite = composite),
        "top" => offset(given).map(|offset| draw.offsets.top = Some(offset)),
        "left" => offset(given).map(|offset| draw.offsets.left = Some(offset)),
        "bottom" => offset(given).map(|offset| draw.offsets.bottom = Some(offset)),
        "right" => offset(given).map(|offset| draw.offsets.right = Some(offset)),
        _ => return None,
    };
    Some(read)
}

/// An offset in pixels; negative ones push the overlay over the edge, fractions are rounded.
fn offset(given: Given<'_>) -> Read<i32> {
    let most = f64::from(MAX_OFFSET);
    #[expect(clippy::cast_possible_truncation, reason = "within i32 by the range")]
    given.within(-most, most).map(|offset| offset.round() as i32)
}

/// Refuses two offsets on one axis.
pub(super) fn check_offsets(draw: &Draw) -> Result<(), OptionError> {
    let offsets = &draw.offsets;
    let both = |a: Option<i32>, b: Option<i32>| a.is_some() && b.is_some();
    let (option, problem) = if both(offsets.left, offsets.right) {
        ("left", "cannot be combined with right")
    } else if both(offsets.top, offsets.bottom) {
        ("top", "cannot be combined with bottom")
    } else {
        return Ok(());
    };
    Err(OptionError::Invalid { option: option.into(), problem: problem.into() })
}

/// A text source whose members come one by one.
#[derive(Default)]
pub(super) struct TextReader {
    content: Option<String>,
    font_url: Option<String>,
    size: Option<f32>,
    color: Option<Color>,
}

impl TextReader {
    /// Reads one member, `content` being another name of `text`; `None` when the name is none of a text's.
    pub(super) fn read(&mut self, name: &str, given: Given<'_>) -> Option<Read<()>> {
        let read = match name {
            "text" | "content" => match given.text() {
                // Characters are Unicode scalar values.
                Some(text) if text.chars().nth(TEXT_MAX_CHARS).is_some() => {
                    invalid(format!("longer than {TEXT_MAX_CHARS} characters"))
                }
                Some(text) => {
                    self.content = Some(text.to_owned());
                    Ok(())
                }
                None => invalid("not a text"),
            },
            "font" => given
                .members()
                .and_then(|mut members| members.find(|(name, _)| *name == "url"))
                .map_or_else(|| invalid("has no url"), |(_, url)| web_url(url))
                .map(|url| self.font_url = Some(url)),
            #[expect(clippy::cast_possible_truncation, reason = "within f32 by the range")]
            "size" => match given.within(0.0, f64::from(MAX_TEXT_SIZE)) {
                Ok(size) if size as f32 > 0.0 => {
                    self.size = Some(size as f32);
                    Ok(())
                }
                Ok(_) => invalid("not above 0"),
                Err(refusal) => Err(refusal),
            },
            "color" => given.color().map(|color| self.color = Some(color)),
            _ => return None,
        };
        Some(read)
    }

    pub(super) fn finish(self) -> Read<TextSource> {
        match (self.content, self.font_url) {
            (Some(content), Some(font_url)) => Ok(TextSource {
                content,
                font_url,
                size: self.size.unwrap_or(TEXT_DEFAULT_SIZE),
                color: self.color.unwrap_or(Color::BLACK),
            }),
            (None, _) => invalid("has no text"),
            (_, None) => invalid("has no font.url"),
        }
    }
}

/// An absolute `http` or `https` URL; whether it may be fetched is the fetcher's to say.
pub(super) fn web_url(given: Given<'_>) -> Read<String> {
    let text = given.text().unwrap_or_default();
    match text.split_once("://") {
        Some((scheme, rest))
            if !rest.is_empty()
                && (scheme.eq_ignore_ascii_case("https") || scheme.eq_ignore_ascii_case("http")) =>
        {
            Ok(text.to_owned())
        }
        _ => invalid(format!("'{}' is not an absolute http or https URL", given.shown())),
    }
}

/// A refusal as the error of a named option.
pub(super) fn named<T>(option: &str, read: Read<T>) -> Result<T, OptionError> {
    read.map_err(|refusal| match refusal {
        Refusal::Invalid(problem) | Refusal::Lenient(problem) => {
            OptionError::Invalid { option: option.into(), problem }
        }
        Refusal::Format(given) => OptionError::Format { given },
    })
}
