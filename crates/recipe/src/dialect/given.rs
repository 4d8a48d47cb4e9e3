//! One option's value as a client gave it, text or JSON, and the readings that options need.

use serde_json::Value as Json;

use super::table::Door;
use crate::{Color, Length, Quality, QualityWord};

/// A value: text from a URL or a command line, or JSON from a Worker. JSON strings read like text,
/// since JavaScript programs pass `"50"` where they mean `50`.
#[derive(Clone, Copy)]
pub(crate) enum Value<'a> {
    Text(&'a str),
    Json(&'a Json),
}

/// A value, and the door it came through (some doors allow more than others).
#[derive(Clone, Copy)]
pub(crate) struct Given<'a> {
    pub(crate) value: Value<'a>,
    pub(crate) door: Door,
}

/// Why a value cannot be taken.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// The request fails.
    Invalid(String),
    /// The option is left out with a warning; an error only in strict mode.
    Lenient(String),
    /// An output format that does not exist.
    Format(String),
}

pub(crate) type Read<T> = Result<T, Refusal>;

pub(crate) fn invalid<T>(problem: impl Into<String>) -> Read<T> {
    Err(Refusal::Invalid(problem.into()))
}

/// A client's own text made fit for a message: short, printable ASCII, no double quotes
/// (messages become `warning` header values and error bodies).
pub(crate) fn shown(text: &str) -> String {
    const LONGEST: usize = 40;
    let mut shown: String = text
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
        shown.push_str("...");
    }
    shown
}

impl<'a> Given<'a> {
    pub(crate) const fn json(value: &'a Json, door: Door) -> Self {
        Self { value: Value::Json(value), door }
    }

    /// The text of a text value or a JSON string.
    pub(crate) fn text(&self) -> Option<&'a str> {
        match self.value {
            Value::Text(text) => Some(text),
            Value::Json(json) => json.as_str(),
        }
    }

    /// A JSON object's members without those that are `null` (which count as absent).
    pub(crate) fn members(&self) -> Option<impl Iterator<Item = (&'a str, Given<'a>)> + use<'a>> {
        let Value::Json(Json::Object(map)) = self.value else { return None };
        let door = self.door;
        Some(
            map.iter()
                .filter(|(_, value)| !value.is_null())
                .map(move |(name, value)| (name.as_str(), Given::json(value, door))),
        )
    }

    /// The value for a message.
    pub(crate) fn shown(&self) -> String {
        match self.value {
            Value::Text(text) => shown(text),
            Value::Json(Json::String(text)) => shown(text),
            Value::Json(Json::Array(_)) => "a list".into(),
            Value::Json(Json::Object(_)) => "an object".into(),
            Value::Json(json) => shown(&json.to_string()),
        }
    }

    /// Any finite number.
    pub(crate) fn number(&self) -> Read<f64> {
        let number = match self.value {
            Value::Json(Json::Number(number)) => number.as_f64(),
            // Rust also reads "inf", "NaN" and their like; options do not.
            _ => self
                .text()
                .filter(|text| {
                    text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'.' | b'-' | b'+' | b'e' | b'E'))
                })
                .and_then(|text| text.parse().ok()),
        };
        match number {
            Some(number) if f64::is_finite(number) => Ok(number),
            _ => invalid(format!("'{}' is not a number", self.shown())),
        }
    }

    /// A number within a closed range.
    pub(crate) fn within(&self, least: f64, most: f64) -> Read<f64> {
        let number = self.number()?;
        if (least..=most).contains(&number) {
            // `-0` and `0` mean the same and have to print the same.
            Ok(number + 0.0)
        } else {
            invalid(format!("{} is not between {least} and {most}", self.shown()))
        }
    }

    /// A whole number within a range; fractions, which computed values bring, are rounded.
    pub(crate) fn whole(&self, least: u32, most: u32) -> Read<u32> {
        let number = self.within(f64::from(least), f64::from(most))?.round();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "within u32 by the range"
        )]
        Ok(number as u32)
    }

    /// One of a table's words.
    pub(crate) fn keyword<T: Copy>(&self, words: &[(&str, T)]) -> Read<T> {
        let found = self.text().and_then(|text| words.iter().find(|(word, _)| *word == text));
        match found {
            Some((_, meaning)) => Ok(*meaning),
            None => {
                let known: Vec<_> = words.iter().map(|(word, _)| *word).collect();
                invalid(format!("'{}' is not one of {}", self.shown(), known.join(", ")))
            }
        }
    }

    /// `true` or `false`, as JSON or as text.
    pub(crate) fn flag(&self) -> Read<bool> {
        match self.value {
            Value::Json(Json::Bool(flag)) => Ok(*flag),
            _ => self.keyword(&[("true", true), ("false", false)]),
        }
    }

    pub(crate) fn color(&self) -> Read<Color> {
        match self.text().and_then(Color::parse) {
            Some(color) => Ok(color),
            None => invalid(format!("'{}' is not a colour", self.shown())),
        }
    }

    /// Pixels, or a fraction when written with decimals and at most 1. `1` is a pixel, `1.0` the whole.
    pub(crate) fn length(&self) -> Read<Length> {
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
            self.shown()
        ))
    }

    pub(crate) fn quality(&self) -> Read<Quality> {
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

pub(crate) const QUALITY_WORDS: &[(&str, QualityWord)] = &[
    ("high", QualityWord::High),
    ("medium-high", QualityWord::MediumHigh),
    ("medium-low", QualityWord::MediumLow),
    ("low", QualityWord::Low),
];

/// The word that a table has for a meaning; every meaning is in its table.
pub(crate) fn word<T: PartialEq>(words: &[(&'static str, T)], meaning: &T) -> String {
    words.iter().find(|(_, known)| known == meaning).map_or_else(String::new, |(word, _)| (*word).to_owned())
}
