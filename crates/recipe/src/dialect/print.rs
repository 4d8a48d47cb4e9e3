//! Options and recipes as text, which is equal if and only if they are equal.

use std::fmt;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::{request_options::RequestOptions, table::TABLE};
use crate::{
    Draw, Input, Offsets, Recipe, Repeat, Step, TextSource,
    words::{COMPOSITES, REPEATS, word_of},
};

/// Everything but unreserved characters and `;`, which separates the members of a value.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b';');

/// The canonical text: full names in the table's order, without defaults, values escaped.
/// [`super::parse_options`] reads it back to the same options.
impl fmt::Display for RequestOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let written = TABLE.iter().filter_map(|row| Some((row.name, row.write(self)?)));
        for (position, (name, value)) in written.enumerate() {
            let comma = if position == 0 { "" } else { "," };
            write!(f, "{comma}{name}={}", utf8_percent_encode(&value, ESCAPED))?;
        }
        Ok(())
    }
}

/// One line for each input, each step and the output, in their order: `2=text:…`, `1:width=50,fit=cover`, `1>0:opacity=0.5`, `format=webp`.
/// A supplied input prints without its bytes: a cache key adds their digest.
impl fmt::Display for Recipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (image, input) in self.inputs.iter().enumerate() {
            match input {
                Input::Supplied => writeln!(f, "{image}=supplied")?,
                Input::Url(url) => writeln!(f, "{image}=url:{}", utf8_percent_encode(url, ESCAPED))?,
                Input::Text(TextSource { content, font_url, size, color }) => writeln!(
                    f,
                    "{image}=text:{},{},{size},{color}",
                    utf8_percent_encode(content, ESCAPED),
                    utf8_percent_encode(font_url, ESCAPED),
                )?,
            }
        }
        for step in &self.steps {
            match step {
                Step::Transform { image, transform } => {
                    let options =
                        RequestOptions { transform: transform.clone(), ..RequestOptions::default() };
                    writeln!(f, "{image}:{options}")?;
                }
                Step::Draw { image, onto, draw } => {
                    write!(f, "{image}>{onto}:")?;
                    write_draw(draw, f)?;
                }
            }
        }
        let options = RequestOptions { output: self.output.clone(), ..RequestOptions::default() };
        write!(f, "{options}")?;
        self.output.background.map_or(Ok(()), |color| write!(f, "\nbackground={color}"))
    }
}

fn write_draw(draw: &Draw, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let Draw { opacity, repeat, composite, offsets: Offsets { top, left, bottom, right } } = draw;
    write!(f, "opacity={opacity}")?;
    if *repeat != Repeat::None {
        write!(f, ",repeat={}", word_of(REPEATS, repeat))?;
    }
    write!(f, ",composite={}", word_of(COMPOSITES, composite))?;
    for (name, offset) in [("top", top), ("left", left), ("bottom", bottom), ("right", right)] {
        if let Some(offset) = offset {
            write!(f, ",{name}={offset}")?;
        }
    }
    writeln!(f)
}
