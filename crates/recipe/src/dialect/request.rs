//! Everything that one list of options can say, its text form, and how it is settled with the
//! asking client's hints.

use std::fmt;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use super::{
    given::{Given, Refusal, Value, shown},
    table::{self, Door, TABLE},
};
use crate::{
    Extent, FormatChoice, Notice, OptionError, Output, Quality, Recipe, Transform,
    choices::{
        DEFAULT_BREAKPOINTS, DEFAULT_WIDTH_DESKTOP, DEFAULT_WIDTH_MOBILE, MAX_DPR, MAX_NOTICES,
        WILDCARDS_ACCEPT_ALL,
    },
};

/// How to treat what the published behaviour leaves open.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ParseMode {
    /// Unknown options and non-numeric widths are errors instead of warnings.
    pub strict: bool,
}

/// One list of options, before the client's hints are known.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RequestOptions {
    /// Has no width when `auto_width` is set.
    pub transform: Transform,
    /// `format=auto` is here as [`FormatChoice::Auto`] that accepts nothing.
    pub output: Output,
    /// `width=auto`.
    pub auto_width: bool,
    /// Widths that `width=auto` chooses from; empty = the defaults.
    pub breakpoints: Vec<u32>,
    /// `width=auto` on phones that give no hint.
    pub mobile_width: Option<u32>,
    /// `width=auto` elsewhere without a hint.
    pub desktop_width: Option<u32>,
    /// Replaces the quality on slow connections.
    pub slow_quality: Option<Quality>,
    /// `onerror=redirect`; whether the source is on the same zone is the door's to see.
    pub onerror_redirect: bool,
    /// `origin-auth: "share-publicly"`.
    pub origin_auth: bool,
}

/// Something parsed, with what the client should be told about it.
#[derive(Debug, Clone, PartialEq)]
pub struct Parsed<T> {
    pub value: T,
    pub notices: Vec<Notice>,
}

/// The request headers by which a client lets the service choose, each as it came.
#[derive(Debug, Clone, Copy, Default)]
pub struct ClientHints<'a> {
    pub accept: Option<&'a str>,
    /// `sec-ch-viewport-width`.
    pub viewport_width: Option<&'a str>,
    pub user_agent: Option<&'a str>,
    pub rtt: Option<&'a str>,
    pub save_data: Option<&'a str>,
    pub ect: Option<&'a str>,
    pub downlink: Option<&'a str>,
}

/// Options settled for one client.
#[derive(Debug, Clone, PartialEq)]
pub struct Resolved {
    pub recipe: Recipe,
    /// Warnings for the client, those of [`Recipe::notices`] included.
    pub notices: Vec<Notice>,
    pub onerror_redirect: bool,
    /// Request header names for `vary`; `accept` is always among them.
    pub varies_on: Vec<&'static str>,
}

/// Parses options text: `name=value` pairs joined by `,`, each value percent-decoded once after the split.
/// A name given twice (or by its alias too) counts as given last.
///
/// # Errors
/// [`OptionError::Empty`] without any pair; [`OptionError::Invalid`] and [`OptionError::Format`] for values
/// that are not of their option's form or range, in strict mode also for what else becomes a notice.
pub fn parse_options(text: &str, door: Door, mode: ParseMode) -> Result<Parsed<RequestOptions>, OptionError> {
    let mut reader = Reader::new(door, mode);
    let mut pairs = 0;
    for pair in text.split(',').filter(|pair| !pair.is_empty()) {
        let halves = pair.split_once('=');
        pairs += usize::from(halves.is_some());
        let Some((name, value)) = halves.filter(|(name, _)| !name.is_empty()) else {
            reader.doubt(pair, "not of the form name=value")?;
            continue;
        };
        let Ok(value) = percent_decode_str(value).decode_utf8() else {
            return Err(OptionError::Invalid { option: shown(name), problem: "not UTF-8".into() });
        };
        reader.read(name, Value::Text(&value))?;
    }
    if pairs == 0 { Err(OptionError::Empty) } else { Ok(reader.finish()) }
}

/// Reads options one by one, whatever they come from.
pub(super) struct Reader {
    door: Door,
    mode: ParseMode,
    options: RequestOptions,
    notices: Vec<Notice>,
}

impl Reader {
    pub(super) fn new(door: Door, mode: ParseMode) -> Self {
        Self { door, mode, options: RequestOptions::default(), notices: vec![] }
    }

    pub(super) fn read(&mut self, name: &str, value: Value<'_>) -> Result<(), OptionError> {
        let Some(row) = table::row(name, self.door) else {
            return self.doubt(name, "unknown option");
        };
        match row.read(&mut self.options, Given { value, door: self.door }) {
            Ok(()) => Ok(()),
            Err(Refusal::Invalid(problem)) => Err(OptionError::Invalid { option: row.name.into(), problem }),
            Err(Refusal::Format(given)) => Err(OptionError::Format { given }),
            Err(Refusal::Lenient(problem)) => self.doubt(row.name, &problem),
        }
    }

    /// A warning, or an error in strict mode.
    fn doubt(&mut self, option: &str, problem: &str) -> Result<(), OptionError> {
        let option = shown(option);
        if self.mode.strict {
            return Err(OptionError::Invalid { option, problem: problem.into() });
        }
        notice(&mut self.notices, format!("{option}: {problem}, ignored"));
        Ok(())
    }

    pub(super) fn finish(mut self) -> Parsed<RequestOptions> {
        if let Some(dpr) = self.options.transform.dpr.as_mut().filter(|dpr| **dpr > MAX_DPR) {
            *dpr = MAX_DPR;
            notice(&mut self.notices, "dpr > 3 should never be used".into());
        }
        self.options.transform.normalize();
        Parsed { value: self.options, notices: self.notices }
    }
}

/// Adds a notice unless it is there already or there are enough (each becomes a response header).
pub(crate) fn notice(notices: &mut Vec<Notice>, text: String) {
    let notice = Notice(text);
    if notices.len() < MAX_NOTICES && !notices.contains(&notice) {
        notices.push(notice);
    }
}

impl RequestOptions {
    /// Settles what depends on the client: `width=auto`, `slow-connection-quality`, `format=auto`.
    #[must_use]
    pub fn resolve(&self, hints: &ClientHints<'_>) -> Resolved {
        let mut transform = self.transform.clone();
        let mut output = self.output.clone();
        let mut varies_on = vec!["accept"];
        if self.auto_width {
            varies_on.push("sec-ch-viewport-width");
            let width = match hints.viewport() {
                Some(viewport) => self.breakpoint(viewport),
                None => {
                    varies_on.push("user-agent");
                    self.width_by_device(hints.user_agent.unwrap_or_default())
                }
            };
            transform.width = Some(Extent::Pixels(width));
        }
        if let Some(quality) = self.slow_quality {
            varies_on.extend(["rtt", "save-data", "ect", "downlink"]);
            if hints.slow_connection() {
                output.quality = Some(quality);
            }
        }
        if let FormatChoice::Auto { .. } = output.format {
            output.format =
                FormatChoice::Auto { avif: hints.accepts("image/avif"), webp: hints.accepts("image/webp") };
        }
        let recipe = Recipe::single(transform, output);
        Resolved { notices: recipe.notices(), recipe, onerror_redirect: self.onerror_redirect, varies_on }
    }

    /// The smallest breakpoint that is wide enough, or the largest.
    fn breakpoint(&self, viewport: f64) -> u32 {
        let widths: &[u32] =
            if self.breakpoints.is_empty() { &DEFAULT_BREAKPOINTS } else { &self.breakpoints };
        let enough = widths.iter().copied().filter(|&width| f64::from(width) >= viewport).min();
        enough.or_else(|| widths.iter().copied().max()).unwrap_or(DEFAULT_WIDTH_DESKTOP)
    }

    fn width_by_device(&self, user_agent: &str) -> u32 {
        if user_agent.contains("iPhone") || user_agent.contains("Android") {
            self.mobile_width.unwrap_or(DEFAULT_WIDTH_MOBILE)
        } else {
            self.desktop_width.unwrap_or(DEFAULT_WIDTH_DESKTOP)
        }
    }
}

impl ClientHints<'_> {
    fn viewport(&self) -> Option<f64> {
        number(self.viewport_width).filter(|&width| width > 0.0)
    }

    /// Any one sign of a slow connection; a missing header is none.
    fn slow_connection(&self) -> bool {
        number(self.rtt).is_some_and(|rtt| rtt > 150.0)
            || number(self.downlink).is_some_and(|downlink| downlink < 5.0)
            || self.save_data.is_some_and(|on| on.trim().eq_ignore_ascii_case("on"))
            || self.ect.is_some_and(|ect| matches!(ect.trim(), "slow-2g" | "2g" | "3g"))
    }

    /// Whether the media type is listed by its name; wildcards say nothing about new formats, unless chosen otherwise.
    fn accepts(&self, media_type: &str) -> bool {
        self.accept.unwrap_or_default().split(',').any(|range| {
            let mut parts = range.split(';').map(str::trim);
            parts.next().is_some_and(|name| {
                name.eq_ignore_ascii_case(media_type)
                    || (WILDCARDS_ACCEPT_ALL && matches!(name, "image/*" | "*/*"))
            }) && !parts.any(|parameter| {
                parameter.split_once('=').is_some_and(|(name, weight)| {
                    name.trim().eq_ignore_ascii_case("q") && weight.trim().parse() == Ok(0.0)
                })
            })
        })
    }
}

fn number(header: Option<&str>) -> Option<f64> {
    Given { value: Value::Text(header?.trim()), door: Door::Url }.number().ok()
}

/// What need not be escaped in a value: everything unreserved, and the separators inside values.
pub(super) const ESCAPED: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b';');

/// The canonical text: full names in the table's order, defaults left out, values escaped.
/// [`parse_options`] reads it back to the same options.
impl fmt::Display for RequestOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let given = TABLE.iter().filter_map(|row| Some((row.name, row.write(self)?)));
        for (position, (name, value)) in given.enumerate() {
            let comma = if position == 0 { "" } else { "," };
            write!(f, "{comma}{name}={}", utf8_percent_encode(&value, ESCAPED))?;
        }
        Ok(())
    }
}
