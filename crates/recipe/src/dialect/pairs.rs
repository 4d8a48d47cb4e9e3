//! Splits options text into `name=value` pairs and decodes them.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

use super::{presets::PRESET, table, value::printable};
use crate::OptionError;

/// One part of options text, percent-decoded.
pub(super) struct Part<'a> {
    /// The part as received: for messages.
    raw: &'a str,
    pub(super) decoded: Cow<'a, str>,
}

/// One `name=value` pair, or text of another form.
#[derive(Debug)]
pub(super) enum Pair<'a> {
    Option { name: &'a str, value: &'a str },
    Malformed(&'a str),
}

/// The parts between the commas of the text as received. A comma inside brackets belongs to its part: clients write
/// `background=rgb(0,+255,+0)`.
pub(super) fn parts(text: &str) -> impl Iterator<Item = Result<Part<'_>, OptionError>> {
    split(text, |_| true).filter(|raw| !raw.is_empty()).map(|raw| {
        let decoded = percent_decode_str(raw).decode_utf8().map_err(|_| {
            let name = raw.split('=').next().unwrap_or(raw);
            OptionError::Invalid { option: printable(name), problem: "not UTF-8".into() }
        })?;
        Ok(Part { raw, decoded })
    })
}

impl Part<'_> {
    /// The pairs of this part: more than one if a tool escaped the commas of the list too. Only a comma before an
    /// option's name and `=` separates them: `rgb%28240%2C40%2C145%29` stays one value.
    pub(super) fn pairs(&self) -> impl Iterator<Item = Pair<'_>> {
        let names_an_option = |rest: &str| {
            rest.split_once('=').is_some_and(|(name, _)| name == PRESET || table::is_option_name(name))
        };
        split(&self.decoded, names_an_option).map(|text| match text.split_once('=') {
            Some((name, value)) if !name.is_empty() => Pair::Option { name, value },
            _ => Pair::Malformed(text),
        })
    }

    /// The name of an unknown option as the client wrote it.
    pub(super) fn raw_name<'a>(&'a self, name: &'a str) -> &'a str {
        match self.raw.split_once('=') {
            Some((raw, _)) if self.decoded.starts_with(name) => raw,
            _ => name,
        }
    }
}

/// Splits at each comma outside brackets whose rest `is_separator` accepts.
fn split(text: &str, is_separator: impl Fn(&str) -> bool) -> impl Iterator<Item = &str> {
    let mut brackets = closed_brackets(text).into_iter().peekable();
    let mut depth = 0_usize;
    let mut rest = Some(0);
    std::iter::from_fn(move || {
        let start = rest?;
        for (at, _) in text[start..].match_indices(',') {
            let at = start + at;
            while let Some(bracket) = brackets.next_if(|bracket| bracket.at < at) {
                depth = if bracket.opens { depth + 1 } else { depth.saturating_sub(1) };
            }
            if depth == 0 && is_separator(&text[at + 1..]) {
                rest = Some(at + 1);
                return Some(&text[start..at]);
            }
        }
        rest = None;
        Some(&text[start..])
    })
}

struct Bracket {
    at: usize,
    opens: bool,
}

/// The brackets of `text` that have a counterpart, including escaped ones. Unmatched brackets do not group.
fn closed_brackets(text: &str) -> Vec<Bracket> {
    let mut brackets: Vec<(Bracket, bool)> = vec![];
    let mut open: Vec<usize> = vec![];
    for (at, _) in text.match_indices(['(', ')', '%']) {
        let rest = &text[at..];
        if rest.starts_with('(') || rest.starts_with("%28") {
            open.push(brackets.len());
            brackets.push((Bracket { at, opens: true }, false));
        } else if (rest.starts_with(')') || rest.starts_with("%29"))
            && let Some(counterpart) = open.pop()
        {
            brackets[counterpart].1 = true;
            brackets.push((Bracket { at, opens: false }, true));
        }
    }
    brackets.into_iter().filter_map(|(bracket, closed)| closed.then_some(bracket)).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Pair, parts};

    fn pairs(text: &str) -> Vec<(String, String)> {
        let mut all = vec![];
        for part in parts(text) {
            let part = part.unwrap();
            all.extend(part.pairs().map(|pair| match pair {
                Pair::Option { name, value } => (name.to_owned(), value.to_owned()),
                Pair::Malformed(text) => (String::new(), text.to_owned()),
            }));
        }
        all
    }

    fn same(text: &str, expected: &[(&str, &str)]) {
        let expected: Vec<_> = expected.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
        assert_eq!(pairs(text), expected, "{text}");
    }

    #[test]
    fn commas_in_closed_brackets_belong_to_the_value() {
        same("a=rgb(0,1,2),b=3", &[("a", "rgb(0,1,2)"), ("b", "3")]);
        same("a=rgb%280,1,2%29,b=3", &[("a", "rgb(0,1,2)"), ("b", "3")]);
        same("a=f(g(0,1),2),b=3", &[("a", "f(g(0,1),2)"), ("b", "3")]);
        // An unmatched bracket does not group.
        same("a=rgb(0,b=3", &[("a", "rgb(0"), ("b", "3")]);
        same("a=0),b=3", &[("a", "0)"), ("b", "3")]);
        same("a=((1),b=2,c=(3,4)", &[("a", "((1)"), ("b", "2"), ("c", "(3,4)")]);
    }

    #[test]
    fn escaped_commas_separate_before_option_names_only() {
        same("width%3D80%2Cformat%3Dpng", &[("width", "80"), ("format", "png")]);
        same("width=80%2Cformat=png,fit=cover", &[("width", "80"), ("format", "png"), ("fit", "cover")]);
        same("width%3d80%2cfit%3Dcover%2Cq=5", &[("width", "80"), ("fit", "cover"), ("q", "5")]);
        same("background=rgb%28240%2C40%2C145%29", &[("background", "rgb(240,40,145)")]);
        same("background=rgb%280%2Cwidth=5%29", &[("background", "rgb(0,width=5)")]);
        same("width=80%2Cnothing=5", &[("width", "80,nothing=5")]);
        // Values are decoded once.
        same("width%253D80", &[("", "width%3D80")]);
    }

    proptest! {
        #[test]
        fn splitting_loses_nothing(text in "[a-c(),=%289w]{0,60}") {
            let parts: Vec<_> = super::split(&text, |_| true).collect();
            prop_assert_eq!(parts.join(","), text);
        }
    }

    // Work is linear in the length: with a scan for each bracket this would take minutes.
    #[test]
    fn many_brackets_are_split_in_linear_time() {
        for text in ["(,".repeat(300_000), "(".repeat(300_000) + &"),".repeat(300_000)] {
            assert!(parts(&text).count() >= 1);
        }
    }
}
