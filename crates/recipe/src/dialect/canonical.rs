//! A recipe as text: equal for equal recipes, different for different ones. Cache keys and entity tags are made of it.

use std::fmt;

use percent_encoding::utf8_percent_encode;

use super::{
    given::word,
    layer::{COMPOSITES, REPEATS},
    request::{ESCAPED, RequestOptions},
};
use crate::{Draw, Input, Offsets, Recipe, Repeat, Step, TextSource};

/// One line for every input, step and the output, in their order: `2=text:…`, `1:width=50,fit=cover`, `1>0:opacity=0.5`, `format=webp`.
/// Supplied inputs say only that they are; what their bytes are is for the key's maker to add.
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
        write!(f, ",repeat={}", word(REPEATS, repeat))?;
    }
    write!(f, ",composite={}", word(COMPOSITES, composite))?;
    for (name, offset) in [("top", top), ("left", left), ("bottom", bottom), ("right", right)] {
        if let Some(offset) = offset {
            write!(f, ",{name}={offset}")?;
        }
    }
    writeln!(f)
}
