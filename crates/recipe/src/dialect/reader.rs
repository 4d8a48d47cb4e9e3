//! Reads options one by one, from text or JSON members, into [`RequestOptions`].

use super::{
    pairs::{Pair, parts},
    presets::{PRESET, Presets},
    request_options::RequestOptions,
    table,
    value::{Dialect, OptionValue, RawValue, ValueError, printable},
};
use crate::{OptionError, PresetError, Warnings, choices::MAX_DPR};

/// How strictly options are read.
#[derive(Debug, Clone, Copy, Default)]
pub struct ParseMode<'a> {
    /// Unknown options and non-numeric widths are errors instead of warnings.
    pub strict: bool,
    /// The presets that `preset=NAME` of a URL may name.
    pub presets: Option<&'a Presets>,
    /// A URL's options are exactly one `preset=NAME`.
    pub only_presets: bool,
}

impl ParseMode<'_> {
    /// Without presets.
    #[must_use]
    pub const fn new(strict: bool) -> Self {
        Self { strict, presets: None, only_presets: false }
    }
}

/// A parsed value and the warnings for the client.
#[derive(Debug, Clone, PartialEq)]
pub struct Parsed<T> {
    pub value: T,
    pub warnings: Warnings,
}

/// Parses options text: `name=value` pairs joined by `,`, percent-decoded once. [`super::pairs`] defines
/// the meaning of escaped commas and commas in brackets. The last one of a repeated name (or alias) counts.
///
/// # Errors
/// [`OptionError::Empty`] without any pair; [`OptionError::Invalid`] and [`OptionError::Format`] for values
/// that do not have their option's form or range, in strict mode also for problems that are otherwise warnings;
/// [`OptionError::Preset`] for presets.
pub fn parse_options(
    text: &str,
    dialect: Dialect,
    mode: ParseMode<'_>,
) -> Result<Parsed<RequestOptions>, OptionError> {
    let mut reader = OptionReader::new(dialect, mode);
    let only_preset = mode.only_presets && dialect == Dialect::Url;
    // Exactly `preset=NAME`: an empty option is one too many.
    if only_preset && text.contains(',') {
        return Err(OptionError::Preset(PresetError::Required));
    }
    let mut is_empty = true;
    for part in parts(text) {
        let part = part?;
        for pair in part.pairs() {
            match pair {
                Pair::Option { name, value } => {
                    if only_preset && (name != PRESET || !is_empty) {
                        return Err(OptionError::Preset(PresetError::Required));
                    }
                    is_empty = false;
                    if table::row(name, dialect).is_none() && name != PRESET {
                        reader.warn(part.raw_name(name), "unknown option")?;
                    } else {
                        reader.read(name, RawValue::Text(value))?;
                    }
                }
                Pair::Malformed(text) => {
                    is_empty &= !text.contains('=');
                    reader.warn(text, "not of the form name=value")?;
                }
            }
        }
    }
    if is_empty { Err(OptionError::Empty) } else { Ok(reader.finish()) }
}

/// Makes presets from their names and option texts, read strictly as a URL's.
///
/// # Errors
/// [`PresetError::Name`] and [`PresetError::Options`] name the preset.
pub fn parse_presets<'a>(
    presets: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Result<Presets, PresetError> {
    let mut all = Presets::default();
    for (name, text) in presets {
        let is_plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
        if name.is_empty() || !name.bytes().all(is_plain) {
            return Err(PresetError::Name { name: printable(name) });
        }
        let of_preset =
            |error: OptionError| PresetError::Options { name: name.to_owned(), error: Box::new(error) };
        // Without presets in the mode, a preset that names another one is refused.
        parse_options(text, Dialect::Url, ParseMode::new(true)).map_err(of_preset)?;
        let mut pairs = vec![];
        for part in parts(text) {
            pairs.extend(part.map_err(of_preset)?.pairs().filter_map(|pair| match pair {
                Pair::Option { name, value } => Some((name.to_owned(), value.to_owned())),
                Pair::Malformed(_) => None,
            }));
        }
        all.insert(name.to_owned(), pairs);
    }
    Ok(all)
}

/// Whether `onerror=redirect` is among the options, even if others are invalid.
pub(super) fn redirects_on_error(text: &str) -> bool {
    let mut redirects = false;
    for part in parts(text).filter_map(Result::ok) {
        for pair in part.pairs() {
            if let Pair::Option { name: "onerror", value } = pair {
                redirects = value == "redirect";
            }
        }
    }
    redirects
}

/// Reads options one by one, from text or JSON.
pub(super) struct OptionReader<'a> {
    dialect: Dialect,
    mode: ParseMode<'a>,
    options: RequestOptions,
    warnings: Warnings,
}

impl<'a> OptionReader<'a> {
    pub(super) fn new(dialect: Dialect, mode: ParseMode<'a>) -> Self {
        Self { dialect, mode, options: RequestOptions::default(), warnings: Warnings::default() }
    }

    pub(super) fn read(&mut self, name: &str, raw: RawValue<'_>) -> Result<(), OptionError> {
        let Some(row) = table::row(name, self.dialect) else {
            return match raw {
                RawValue::Text(preset) if name == PRESET && self.dialect == Dialect::Url => {
                    self.read_preset(preset)
                }
                _ => self.warn(name, "unknown option"),
            };
        };
        match row.read(&mut self.options, OptionValue { raw, dialect: self.dialect }) {
            Ok(()) => Ok(()),
            Err(ValueError::Invalid(problem)) => {
                Err(OptionError::Invalid { option: row.name.into(), problem })
            }
            Err(ValueError::Format(given)) => Err(OptionError::Format { given }),
            Err(ValueError::FontUrl(given)) => Err(OptionError::FontUrl { option: row.name.into(), given }),
            Err(ValueError::Ignored(problem)) => self.warn(row.name, &problem),
        }
    }

    /// Reads the options of a preset. Later options override them.
    fn read_preset(&mut self, name: &str) -> Result<(), OptionError> {
        let preset = self.mode.presets.and_then(|presets| presets.get(name));
        let unknown = || OptionError::Preset(PresetError::Unknown { name: printable(name) });
        for (name, value) in preset.ok_or_else(unknown)? {
            self.read(name, RawValue::Text(value))?;
        }
        Ok(())
    }

    /// A warning, or an error in strict mode.
    pub(super) fn warn(&mut self, option: &str, problem: &str) -> Result<(), OptionError> {
        let option = printable(option);
        if self.mode.strict {
            return Err(OptionError::Invalid { option, problem: problem.into() });
        }
        self.warnings.push(format!("{option}: {problem}, ignored"));
        Ok(())
    }

    pub(super) fn finish(mut self) -> Parsed<RequestOptions> {
        if let Some(dpr) = self.options.transform.dpr.as_mut().filter(|dpr| **dpr > MAX_DPR) {
            *dpr = MAX_DPR;
            self.warnings.push("dpr > 3 should never be used");
        }
        self.options.transform.normalize();
        Parsed { value: self.options, warnings: self.warnings }
    }
}
