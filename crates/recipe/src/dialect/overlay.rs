//! Overlays in both JSON dialects: how one is painted, and text as an image.

use super::value::{OptionValue, ValueError, ValueResult, invalid};
use crate::{
    Color, Draw, OptionError, Repeat, TextSource,
    choices::{MAX_OFFSET, MAX_TEXT_SIZE, TEXT_DEFAULT_SIZE, TEXT_MAX_CHARS},
    words::{COMPOSITES, REPEATS},
};

/// Reads one draw option; `None` when the name is not one.
pub(super) fn read_draw(draw: &mut Draw, name: &str, value: OptionValue<'_>) -> Option<ValueResult<()>> {
    let read = match name {
        #[expect(clippy::cast_possible_truncation, reason = "0 to 1")]
        "opacity" => value.within(0.0, 1.0).map(|opacity| draw.opacity = opacity as f32),
        "repeat" => value
            .flag()
            .map(|both| if both { Repeat::Both } else { Repeat::None })
            .or_else(|_| value.keyword(REPEATS))
            .map(|repeat| draw.repeat = repeat),
        "composite" => value.keyword(COMPOSITES).map(|composite| draw.composite = composite),
        "top" => offset(value).map(|offset| draw.offsets.top = Some(offset)),
        "left" => offset(value).map(|offset| draw.offsets.left = Some(offset)),
        "bottom" => offset(value).map(|offset| draw.offsets.bottom = Some(offset)),
        "right" => offset(value).map(|offset| draw.offsets.right = Some(offset)),
        _ => return None,
    };
    Some(read)
}

/// An offset in pixels. Negative ones move the overlay beyond the edge; fractions are rounded.
fn offset(value: OptionValue<'_>) -> ValueResult<i32> {
    let most = f64::from(MAX_OFFSET);
    #[expect(clippy::cast_possible_truncation, reason = "within i32 by the range")]
    value.within(-most, most).map(|offset| offset.round() as i32)
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

/// A text source, read member by member.
#[derive(Default)]
pub(super) struct TextReader {
    content: Option<String>,
    font_url: Option<String>,
    size: Option<f32>,
    color: Option<Color>,
}

impl TextReader {
    /// Reads one member; `content` is another name of `text`. `None` when the name is not a member of a text.
    pub(super) fn read(&mut self, name: &str, value: OptionValue<'_>) -> Option<ValueResult<()>> {
        let read = match name {
            "text" | "content" => match value.text() {
                // A character is a Unicode scalar value.
                Some(text) if text.chars().nth(TEXT_MAX_CHARS).is_some() => {
                    invalid(format!("longer than {TEXT_MAX_CHARS} characters"))
                }
                Some(text) => {
                    self.content = Some(text.to_owned());
                    Ok(())
                }
                None => invalid("not a text"),
            },
            "font" => value
                .members()
                .and_then(|mut members| members.find(|(name, _)| *name == "url"))
                .map_or_else(
                    || invalid("has no url"),
                    |(_, url)| http_url(url).map_err(|_| ValueError::FontUrl(url.printable())),
                )
                .map(|url| self.font_url = Some(url)),
            #[expect(clippy::cast_possible_truncation, reason = "within f32 by the range")]
            "size" => match value.within(0.0, f64::from(MAX_TEXT_SIZE)) {
                Ok(size) if size as f32 > 0.0 => {
                    self.size = Some(size as f32);
                    Ok(())
                }
                Ok(_) => invalid("not above 0"),
                Err(error) => Err(error),
            },
            "color" => value.color().map(|color| self.color = Some(color)),
            _ => return None,
        };
        Some(read)
    }

    pub(super) fn finish(self) -> ValueResult<TextSource> {
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

/// An absolute `http` or `https` URL. The fetch policy decides whether it may be fetched.
pub(super) fn http_url(value: OptionValue<'_>) -> ValueResult<String> {
    let text = value.text().unwrap_or_default();
    match text.split_once("://") {
        Some((scheme, rest))
            if !rest.is_empty()
                && (scheme.eq_ignore_ascii_case("https") || scheme.eq_ignore_ascii_case("http")) =>
        {
            Ok(text.to_owned())
        }
        _ => invalid(format!("'{}' is not an absolute http or https URL", value.printable())),
    }
}

/// The result with its error assigned to an option.
pub(super) fn of_option<T>(option: &str, result: ValueResult<T>) -> Result<T, OptionError> {
    result.map_err(|error| match error {
        ValueError::Invalid(problem) | ValueError::Ignored(problem) => {
            OptionError::Invalid { option: option.into(), problem }
        }
        ValueError::Format(given) => OptionError::Format { given },
        ValueError::FontUrl(given) => OptionError::FontUrl { option: option.into(), given },
    })
}
