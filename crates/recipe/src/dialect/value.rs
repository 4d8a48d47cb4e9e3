//! One option's value as the client sent it, text or JSON, and its conversion to typed values.

use serde_json::Value as Json;

use crate::{Color, Length, Quality, words::QUALITY_WORDS};

/// The interface that an option came through. Some options exist in some dialects only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// `/cdn-cgi/image/<options>/…`
    Url,
    /// The command line: the URL's options without those that need a client, plus `border`.
    CommandLine,
    /// The object `cf.image`.
    CfImage,
    /// A member of `cf.image.draw`: widths and heights below 1 are fractions of the base.
    Overlay,
    /// A `transform()` of the Workers binding.
    BindingStep,
    /// The output part of the Workers binding.
    BindingOutput,
}

/// Text from a URL or a command line, or JSON from a Worker. JSON strings read like text,
/// since JavaScript programs pass `"50"` where they mean `50`.
#[derive(Clone, Copy)]
pub(crate) enum RawValue<'a> {
    Text(&'a str),
    Json(&'a Json),
}

/// A value and its dialect: some dialects allow more than others.
#[derive(Clone, Copy)]
pub(crate) struct OptionValue<'a> {
    pub(crate) raw: RawValue<'a>,
    pub(crate) dialect: Dialect,
}

/// Why a value is rejected.
#[derive(Debug)]
pub(crate) enum ValueError {
    /// The request fails.
    Invalid(String),
    /// The option is ignored with a warning; in strict mode the request fails.
    Ignored(String),
    /// An unknown output format.
    Format(String),
    /// A font's URL that is not an absolute http or https URL.
    FontUrl(String),
}

pub(crate) type ValueResult<T> = Result<T, ValueError>;

pub(crate) fn invalid<T>(problem: impl Into<String>) -> ValueResult<T> {
    Err(ValueError::Invalid(problem.into()))
}

/// A client's text for messages, which become `warning` header values and error bodies:
/// at most 40 characters, printable ASCII, no double quotes.
pub(crate) fn printable(text: &str) -> String {
    const LONGEST: usize = 40;
    let mut printable: String = text
        .chars()
        .take(LONGEST)
        .map(|c| match c {
            '"' => '\'',
            '\\' => '/',
            c if c == ' ' || c.is_ascii_graphic() => c,
            _ => '?',
        })
        .collect();
    if text.chars().nth(LONGEST).is_some() {
        printable.push_str("...");
    }
    printable
}

impl<'a> OptionValue<'a> {
    pub(crate) const fn from_text(text: &'a str, dialect: Dialect) -> Self {
        Self { raw: RawValue::Text(text), dialect }
    }

    pub(crate) const fn from_json(json: &'a Json, dialect: Dialect) -> Self {
        Self { raw: RawValue::Json(json), dialect }
    }

    /// The text of a text value or a JSON string.
    pub(crate) fn text(&self) -> Option<&'a str> {
        match self.raw {
            RawValue::Text(text) => Some(text),
            RawValue::Json(json) => json.as_str(),
        }
    }

    /// A JSON object's members. Those that are `null` count as absent.
    pub(crate) fn members(&self) -> Option<impl Iterator<Item = (&'a str, OptionValue<'a>)> + use<'a>> {
        let RawValue::Json(Json::Object(map)) = self.raw else { return None };
        let dialect = self.dialect;
        Some(
            map.iter()
                .filter(|(_, value)| !value.is_null())
                .map(move |(name, value)| (name.as_str(), OptionValue::from_json(value, dialect))),
        )
    }

    /// The value for a message.
    pub(crate) fn printable(&self) -> String {
        match self.raw {
            RawValue::Text(text) => printable(text),
            RawValue::Json(Json::String(text)) => printable(text),
            RawValue::Json(Json::Array(_)) => "a list".into(),
            RawValue::Json(Json::Object(_)) => "an object".into(),
            RawValue::Json(json) => printable(&json.to_string()),
        }
    }

    /// Any finite number.
    pub(crate) fn number(&self) -> ValueResult<f64> {
        let number = match self.raw {
            RawValue::Json(Json::Number(number)) => number.as_f64(),
            // Rust's parser also accepts "inf" and "NaN".
            _ => self
                .text()
                .filter(|text| {
                    text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'.' | b'-' | b'+' | b'e' | b'E'))
                })
                .and_then(|text| text.parse().ok()),
        };
        match number {
            Some(number) if f64::is_finite(number) => Ok(number),
            _ => invalid(format!("'{}' is not a number", self.printable())),
        }
    }

    /// A number within a closed range.
    pub(crate) fn within(&self, least: f64, most: f64) -> ValueResult<f64> {
        let number = self.number()?;
        if (least..=most).contains(&number) {
            // `-0` prints as `0`.
            Ok(number + 0.0)
        } else {
            invalid(format!("{} is not between {least} and {most}", self.printable()))
        }
    }

    /// A whole number within a range; fractions are rounded, since Workers pass computed numbers.
    pub(crate) fn whole(&self, least: u32, most: u32) -> ValueResult<u32> {
        let number = self.within(f64::from(least), f64::from(most))?.round();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "within u32 by the range"
        )]
        Ok(number as u32)
    }

    /// The meaning of a keyword in a table.
    pub(crate) fn keyword<T: Copy>(&self, words: &[(&str, T)]) -> ValueResult<T> {
        let found = self.text().and_then(|text| words.iter().find(|(word, _)| *word == text));
        match found {
            Some((_, meaning)) => Ok(*meaning),
            None => {
                let known: Vec<_> = words.iter().map(|(word, _)| *word).collect();
                invalid(format!("'{}' is not one of {}", self.printable(), known.join(", ")))
            }
        }
    }

    /// `true` or `false`, as JSON or as text.
    pub(crate) fn flag(&self) -> ValueResult<bool> {
        match self.raw {
            RawValue::Json(Json::Bool(flag)) => Ok(*flag),
            _ => self.keyword(&[("true", true), ("false", false)]),
        }
    }

    pub(crate) fn color(&self) -> ValueResult<Color> {
        let Some(text) = self.text() else {
            return invalid(format!("'{}' is not a colour", self.printable()));
        };
        // Clients write a space as `+`, as in forms.
        let color = Color::parse(text).or_else(|| Color::parse(&text.replace('+', " ")));
        color.map_or_else(
            || {
                let open = text.matches('(').count() > text.matches(')').count();
                let hint = if open { ": write its commas as %2C" } else { "" };
                invalid(format!("'{}' is not a colour{hint}", self.printable()))
            },
            Ok,
        )
    }

    /// Pixels, or a fraction when written with decimals and at most 1. `1` is a pixel, `1.0` the whole.
    pub(crate) fn length(&self) -> ValueResult<Length> {
        let number = self.number()?;
        let decimal = self.text().map_or(number.fract() != 0.0, |text| text.contains('.'));
        if !decimal {
            return self.whole(0, u32::MAX).map(Length::Pixels);
        }
        if (0.0..=1.0).contains(&number) {
            return Ok(Length::Fraction(number + 0.0));
        }
        invalid(format!(
            "{} is neither a whole number of pixels nor a fraction between 0 and 1",
            self.printable()
        ))
    }

    pub(crate) fn quality(&self) -> ValueResult<Quality> {
        if self.number().is_err()
            && let Ok(word) = self.keyword(QUALITY_WORDS)
        {
            return Ok(Quality::Word(word));
        }
        let number = self.whole(1, 100)?;
        #[expect(clippy::cast_possible_truncation, reason = "at most 100")]
        Ok(Quality::Number(number as u8))
    }
}
