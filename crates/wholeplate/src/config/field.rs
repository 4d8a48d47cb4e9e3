//! How a setting is read: from texts of flags, variables and TOML values to a typed field of the configuration.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::path::PathBuf;

/// A setting as given, before its type is known.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Raw {
    Text(String),
    List(Vec<String>),
    Table(toml::Table),
}

impl Raw {
    /// # Errors
    /// For values that no setting has.
    pub(super) fn from_toml(value: toml::Value) -> Result<Self, String> {
        let text = |value: toml::Value| match value {
            toml::Value::String(text) => Ok(text),
            toml::Value::Integer(number) => Ok(number.to_string()),
            // With its point: what takes whole numbers refuses 1.0 and 1e9.
            toml::Value::Float(number) => Ok(format!("{number:?}")),
            toml::Value::Boolean(on) => Ok(on.to_string()),
            other => Err(format!("unexpected {}", other.type_str())),
        };
        match value {
            toml::Value::Array(values) => {
                values.into_iter().map(text).collect::<Result<_, _>>().map(Self::List)
            }
            toml::Value::Table(table) => Ok(Self::Table(table)),
            value => text(value).map(Self::Text),
        }
    }
}

/// What values a setting takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// One text.
    Single,
    /// One number, or a text with a unit.
    Number,
    /// On or off; the flag needs no value.
    Switch,
    /// Several texts: the flag is repeated, the variable and the flag separate them by commas.
    List,
    /// A table of the file. There is no flag and no variable.
    Table,
}

/// One value, read from a text.
pub(crate) trait Value: Sized {
    const FORM: Form = Form::Single;

    /// # Errors
    /// What is wrong, and what is expected. The name of the setting is added by the caller.
    fn parse(text: &str) -> Result<Self, String>;
}

/// The type of a setting: a value, an optional one, or a list.
pub(crate) trait Field: Sized {
    const FORM: Form;

    /// # Errors
    /// What is wrong, and what is expected.
    fn read(raw: &Raw) -> Result<Self, String>;

    /// The setting when nothing gives it and it has no default.
    ///
    /// # Errors
    /// If it is required.
    fn absent() -> Result<Self, String> {
        Err("required".to_owned())
    }
}

impl<T: Value> Field for T {
    const FORM: Form = T::FORM;

    fn read(raw: &Raw) -> Result<Self, String> {
        match raw {
            Raw::Text(text) => T::parse(text),
            Raw::List(_) => Err("expected one value, found a list".to_owned()),
            Raw::Table(_) => Err("expected one value, found a table".to_owned()),
        }
    }
}

impl<T: Value> Field for Option<T> {
    const FORM: Form = T::FORM;

    fn read(raw: &Raw) -> Result<Self, String> {
        <T as Field>::read(raw).map(Some)
    }

    fn absent() -> Result<Self, String> {
        Ok(None)
    }
}

impl<T: Value> Field for Vec<T> {
    const FORM: Form = Form::List;

    fn read(raw: &Raw) -> Result<Self, String> {
        match raw {
            Raw::Text(text) => Ok(vec![T::parse(text)?]),
            Raw::List(texts) => texts.iter().map(|text| T::parse(text)).collect(),
            Raw::Table(_) => Err("expected a list, found a table".to_owned()),
        }
    }

    fn absent() -> Result<Self, String> {
        Ok(Self::new())
    }
}

/// Least and largest value of a setting, as its user writes them.
#[derive(Debug, Clone)]
pub(crate) struct Bounds(pub(crate) String, pub(crate) String);

impl Bounds {
    pub(super) fn of<T: Display>(range: &RangeInclusive<T>) -> Self {
        Self(range.start().to_string(), range.end().to_string())
    }
}

/// # Errors
/// If the value lies outside.
pub(super) fn within<T: PartialOrd + Display>(value: T, range: &RangeInclusive<T>) -> Result<T, String> {
    if range.contains(&value) {
        return Ok(value);
    }
    Err(format!("{value} is not between {} and {}", range.start(), range.end()))
}

impl Value for bool {
    const FORM: Form = Form::Switch;

    fn parse(text: &str) -> Result<Self, String> {
        match text {
            "true" | "1" => Ok(true),
            "false" | "0" => Ok(false),
            _ => Err(format!("'{text}' is not true or false")),
        }
    }
}

macro_rules! integers {
    ($($type:ty),*) => {$(
        impl Value for $type {
            const FORM: Form = Form::Number;

            fn parse(text: &str) -> Result<Self, String> {
                text.parse().map_err(|e: std::num::ParseIntError| match e.kind() {
                    std::num::IntErrorKind::PosOverflow => format!("{text} is too large; at most {}", Self::MAX),
                    _ => format!("'{text}' is not a whole number from 0"),
                })
            }
        }
    )*};
}

integers!(u32, u64, usize);

impl Value for String {
    fn parse(text: &str) -> Result<Self, String> {
        Ok(text.to_owned())
    }
}

impl Value for PathBuf {
    fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() { Err("the path is empty".to_owned()) } else { Ok(text.into()) }
    }
}
