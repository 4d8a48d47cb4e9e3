//! The types of settings, and how their texts are read.

use std::fmt;
use std::time::Duration;

use http::{HeaderName, HeaderValue};

use recipe::dialect::{Presets, parse_presets};

use super::field::{Field, Form, Raw, Value};
use crate::access::Signing;
use crate::respond::Cors;
use crate::sources::{Origin, Pattern};

/// A host and a port. Whether the host exists is known when it is listened on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Address(String);

impl Address {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Value for Address {
    fn parse(text: &str) -> Result<Self, String> {
        let parts = text.rsplit_once(':');
        let good = parts.is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok());
        if !good {
            return Err(format!("'{text}' is not an address such as 127.0.0.1:8565"));
        }
        Ok(Self(text.to_owned()))
    }
}

/// The value of a `Host` field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HostField(pub(crate) HeaderValue);

impl Value for HostField {
    fn parse(text: &str) -> Result<Self, String> {
        let invalid = || match text.contains('@') {
            // It may be a secret.
            true => "expected a host such as example.com, without a user name or password".to_owned(),
            false => format!("'{text}' is not a host such as example.com or example.com:8080"),
        };
        let authority: http::uri::Authority = text.parse().map_err(|_| invalid())?;
        if authority.host().is_empty() || text.contains('@') {
            return Err(invalid());
        }
        HeaderValue::from_str(text).map(Self).map_err(|_| invalid())
    }
}

/// Where HTTP is served over TCP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Listen {
    /// Nowhere.
    None,
    At(Address),
}

impl Value for Listen {
    fn parse(text: &str) -> Result<Self, String> {
        if text == "none" { Ok(Self::None) } else { Address::parse(text).map(Self::At) }
    }
}

impl Value for Cors {
    fn parse(text: &str) -> Result<Self, String> {
        Self::parse(text)
    }
}

impl Value for Signing {
    fn parse(text: &str) -> Result<Self, String> {
        match text {
            "required" => Ok(Self::Required),
            "optional" => Ok(Self::Optional),
            "off" => Ok(Self::Off),
            _ => Err(format!("'{text}' is not required, optional or off")),
        }
    }
}

/// Events a second, above 0.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Rate(f64);

impl Rate {
    pub(crate) fn per_second(self) -> f64 {
        self.0
    }
}

impl Value for Rate {
    const FORM: Form = Form::Number;

    fn parse(text: &str) -> Result<Self, String> {
        let rate: Option<f64> = text.parse().ok();
        rate.filter(|rate| (0.001..=1e6).contains(rate))
            .map(Self)
            .ok_or_else(|| format!("'{text}' is not a number between 0.001 and 1000000"))
    }
}

/// The table `presets`: for each name a table with `options`.
#[derive(Debug, Clone, Default)]
pub(crate) struct PresetTable(pub(crate) Presets);

impl Field for PresetTable {
    const FORM: Form = Form::Table;

    fn read(raw: &Raw) -> Result<Self, String> {
        let Raw::Table(table) = raw else { return Err("expected tables such as [presets.hero]".to_owned()) };
        let mut presets = vec![];
        for (name, preset) in table {
            let options = preset.as_table().filter(|preset| preset.len() == 1);
            let Some(options) = options.and_then(|preset| preset.get("options")?.as_str()) else {
                return Err(format!("[presets.{name}] has to have one key, options, with a text"));
            };
            presets.push((name.as_str(), options));
        }
        parse_presets(presets).map(Self).map_err(|e| e.to_string())
    }

    fn absent() -> Result<Self, String> {
        Ok(Self::default())
    }
}

/// Permission bits of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mode(pub(crate) u32);

impl Value for Mode {
    fn parse(text: &str) -> Result<Self, String> {
        let mode = u32::from_str_radix(text, 8).ok().filter(|mode| *mode <= 0o777);
        mode.map(Self).ok_or_else(|| format!("'{text}' is not an octal mode such as 660"))
    }
}

/// A time: `30` and `30s` are seconds; `500ms`, `5m` and `2h` are understood too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Time(Duration);

impl Time {
    pub(crate) const ZERO: Self = Self(Duration::ZERO);
    pub(crate) const MILLISECOND: Self = Self(Duration::from_millis(1));
    pub(crate) const HOUR: Self = Self(Duration::from_hours(1));
    pub(crate) const DAY: Self = Self(Duration::from_hours(24));

    pub(crate) fn duration(self) -> Duration {
        self.0
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0.as_secs(), self.0.subsec_millis()) {
            (seconds, 0) if seconds > 0 && seconds.is_multiple_of(3600) => write!(f, "{}h", seconds / 3600),
            (seconds, 0) => write!(f, "{seconds}s"),
            _ => write!(f, "{}ms", self.0.as_millis()),
        }
    }
}

impl Value for Time {
    const FORM: Form = Form::Number;

    fn parse(text: &str) -> Result<Self, String> {
        let (number, unit) = split_unit(text);
        let milliseconds: u64 = match unit {
            "ms" => 1,
            "" | "s" => 1000,
            "m" => 60_000,
            "h" => 3_600_000,
            _ => return Err(not_a_time(text)),
        };
        let number: u64 = number.parse().map_err(|_| not_a_time(text))?;
        Ok(Self(Duration::from_millis(number.saturating_mul(milliseconds))))
    }
}

fn not_a_time(text: &str) -> String {
    format!("'{text}' is not a time such as 30, 30s, 500ms, 5m or 2h")
}

/// An amount of memory or disk. A number without a unit counts MiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Mebibytes(u64);

impl Mebibytes {
    pub(crate) const fn new(mebibytes: u64) -> Self {
        Self(mebibytes << 20)
    }

    pub(crate) fn bytes(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Mebibytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}MiB", self.0 >> 20)
    }
}

impl Value for Mebibytes {
    const FORM: Form = Form::Number;

    fn parse(text: &str) -> Result<Self, String> {
        size(text, 1 << 20).map(Self)
    }
}

/// The size of a file. A number without a unit counts bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Bytes(pub(crate) u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (unit, name) in [(1_000_000_000, "GB"), (1_000_000, "MB"), (1000, "kB")] {
            if self.0 > 0 && self.0.is_multiple_of(unit) {
                return write!(f, "{}{name}", self.0 / unit);
            }
        }
        write!(f, "{}", self.0)
    }
}

impl Value for Bytes {
    const FORM: Form = Form::Number;

    fn parse(text: &str) -> Result<Self, String> {
        size(text, 1).map(Self)
    }
}

fn size(text: &str, default_unit: u64) -> Result<u64, String> {
    let wrong = || format!("'{text}' is not a size such as 1048576, 20MB or 512MiB");
    let (number, unit) = split_unit(text);
    let unit = match unit {
        "" => default_unit,
        "B" => 1,
        "kB" | "KB" => 1000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return Err(wrong()),
    };
    let number: u64 = number.parse().map_err(|_| wrong())?;
    // What saturates lies above every upper bound.
    Ok(number.saturating_mul(unit))
}

fn split_unit(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    (number, unit.trim_start())
}

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LogFormat {
    Human,
    Json,
}

impl Value for LogFormat {
    fn parse(text: &str) -> Result<Self, String> {
        match text {
            "human" => Ok(Self::Human),
            "json" => Ok(Self::Json),
            _ => Err(format!("'{text}' is not a log format (expected human or json)")),
        }
    }
}

impl Value for HeaderName {
    fn parse(text: &str) -> Result<Self, String> {
        text.parse().map_err(|_| format!("'{text}' is not a header name"))
    }
}

impl Value for Origin {
    fn parse(text: &str) -> Result<Self, String> {
        Self::parse(text)
    }
}

impl Value for Pattern {
    fn parse(text: &str) -> Result<Self, String> {
        Self::parse(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_units() {
        let ms = |text| Time::parse(text).map(|t| t.duration().as_millis());
        assert_eq!(ms("30"), Ok(30_000));
        assert_eq!(ms("500ms"), Ok(500));
        assert_eq!((ms("5s"), ms("5 m"), ms("2h")), (Ok(5000), Ok(300_000), Ok(7_200_000)));
        assert!(ms("").is_err() && ms("-1").is_err() && ms("1d").is_err() && ms("s").is_err());
        // Saturated, so that an upper bound refuses it.
        assert!(Time::parse("18446744073709551615h").unwrap() > Time::DAY);
        assert_eq!(Time::parse("90s").unwrap().to_string(), "90s");
        assert_eq!(Time::DAY.to_string(), "24h");
    }

    #[test]
    fn sizes_have_units_and_memory_counts_mebibytes() {
        assert_eq!(Mebibytes::parse("256").unwrap().bytes(), 256 << 20);
        assert_eq!(Mebibytes::parse("2GiB").unwrap().bytes(), 2 << 30);
        assert_eq!(Bytes::parse("20000000"), Bytes::parse("20MB"));
        assert!(Bytes::parse("20 Mb").is_err() && Mebibytes::parse("many").is_err());
        assert_eq!(Bytes(100_000_000).to_string(), "100MB");
    }
}
