//! The Workers binding: the parts of a `/transform` request without the image bytes.
//!
//! Tolerant, since JavaScript programs write these parts: `null` is absent, numbers may be strings,
//! fractions of pixels are rounded, unknown keys are ignored. Indices have to be whole JSON numbers.

use serde_json::{Map, Value as Json};

use super::{
    json,
    overlay::{TextReader, check_offsets, of_option, read_draw},
    reader::{OptionReader, ParseMode, Parsed},
    value::{Dialect, OptionValue, RawValue, printable},
};
use crate::{
    Draw, FormatChoice, Input, OptionError, Output, Recipe, Step, TextSource, Warnings,
    choices::{MAX_DRAW_DEPTH, MAX_IMAGES, MAX_JSON_BYTES, MAX_STEPS},
    words,
};

/// The parts of a request, besides the image bytes.
#[derive(Debug, Clone, Default)]
pub struct BindingRequest<'a> {
    /// The canvas, then the `draw_image` and `draw_text` parts in the order of the form.
    pub inputs: Vec<BindingInput<'a>>,
    /// JSON text.
    pub transforms: Option<&'a str>,
    pub output_format: Option<&'a str>,
    pub output_quality: Option<&'a str>,
    pub background: Option<&'a str>,
    pub anim: Option<&'a str>,
}

/// One input part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BindingInput<'a> {
    /// `image` or `draw_image`: the caller has its bytes.
    Image,
    /// `text_input` or `draw_text`: JSON text.
    Text(&'a str),
}

impl BindingRequest<'_> {
    /// The recipe of this request, unpruned.
    ///
    /// # Errors
    /// [`OptionError::OutputFormat`] when the format is missing or unknown; [`OptionError::Steps`] when `transforms` is
    /// missing, not JSON, not an array, too long, or names an image that does not exist; [`OptionError::Invalid`] for
    /// single options, named as `transforms[0].width`, and for text sources and output options.
    pub fn parse(&self) -> Result<Parsed<Recipe>, OptionError> {
        let Parsed { value: output, mut warnings } = self.read_output()?;
        if self.inputs.is_empty() {
            return Err(OptionError::Steps("no input image".into()));
        }
        if self.inputs.len() > MAX_IMAGES {
            return Err(OptionError::Steps(format!("more than {MAX_IMAGES} images")));
        }
        let inputs = self.inputs.iter().map(read_input).collect::<Result<Vec<_>, _>>()?;
        let steps = read_steps(self.transforms, inputs.len(), &mut warnings)?;
        let recipe = Recipe { inputs, steps, output };
        warnings.extend(recipe.warnings());
        Ok(Parsed { value: recipe, warnings })
    }

    fn read_output(&self) -> Result<Parsed<Output>, OptionError> {
        let named = |(name, _): &&(&str, FormatChoice)| self.output_format == Some(*name);
        let (_, format) = *words::BINDING_FORMATS.iter().find(named).ok_or(OptionError::OutputFormat)?;
        let mut reader = OptionReader::new(Dialect::BindingOutput, ParseMode::default());
        let options =
            [("quality", self.output_quality), ("background", self.background), ("anim", self.anim)];
        for (name, text) in options {
            match text {
                // As in JSON, where `transforms` has null for such numbers.
                Some(text @ ("NaN" | "Infinity" | "-Infinity")) => {
                    reader.warn(name, &format!("'{text}' is not a number"))?;
                }
                Some(text) => reader.read(name, RawValue::Text(text))?,
                None => {}
            }
        }
        let Parsed { value, warnings } = reader.finish();
        Ok(Parsed { value: Output { format, ..value.output }, warnings })
    }
}

fn read_input(input: &BindingInput<'_>) -> Result<Input, OptionError> {
    match input {
        BindingInput::Image => Ok(Input::Supplied),
        BindingInput::Text(json) => parse_text(json).map(Input::Text),
    }
}

/// Parses the JSON of a text source: `{"text", "font": {"url"}, "size"?, "color"?}`.
///
/// # Errors
/// [`OptionError::Invalid`] when it is not such an object, or the text is too long.
pub fn parse_text(json: &str) -> Result<TextSource, OptionError> {
    let fail = |problem: &str| OptionError::Invalid { option: "text".into(), problem: problem.into() };
    if json.len() > MAX_JSON_BYTES {
        return Err(fail("too long"));
    }
    let json: Json = json::parse(json.as_bytes()).map_err(|_| fail("not JSON"))?;
    let value = OptionValue::from_json(&json, Dialect::BindingStep);
    let mut text = TextReader::default();
    for (name, member) in value.members().ok_or_else(|| fail("not an object"))? {
        if let Some(read) = text.read(name, member) {
            of_option(name, read)?;
        }
    }
    of_option("text", text.finish())
}

fn read_steps(
    transforms: Option<&str>,
    images: usize,
    warnings: &mut Warnings,
) -> Result<Vec<Step>, OptionError> {
    let fail = |problem: String| Err(OptionError::Steps(problem));
    let Some(text) = transforms else { return fail("transforms is missing".into()) };
    if text.len() > MAX_JSON_BYTES {
        return fail("transforms is too long".into());
    }
    let elements = match json::parse(text.as_bytes()) {
        Ok(Json::Array(elements)) => elements,
        Ok(_) => return fail("transforms is not an array".into()),
        Err(_) => return fail("transforms is not JSON".into()),
    };
    if elements.len() > MAX_STEPS {
        return fail(format!("more than {MAX_STEPS} transforms"));
    }
    let mut steps = vec![];
    // The depth of draws in each image so far.
    let mut depths = vec![0_usize; images];
    for (position, element) in elements.iter().enumerate() {
        let place = format!("transforms[{position}]");
        let Json::Object(element) = element else { return fail(format!("{place} is not an object")) };
        let index = |name: &str| read_index(element, name, images, &place);
        if let (Some(image), Some(onto)) = (index("drawImageIndex")?, index("targetImageIndex")?) {
            if image == onto {
                return fail(format!("{place} draws an image onto itself"));
            }
            depths[onto] = depths[onto].max(depths[image] + 1);
            if depths[onto] > MAX_DRAW_DEPTH {
                return fail(format!("draws are nested more than {MAX_DRAW_DEPTH} deep"));
            }
            let draw = read_drawing(element, warnings).map_err(|error| error.within(&place))?;
            steps.push(Step::Draw { image, onto, draw });
        } else if let Some(image) = index("imageIndex")? {
            let transform = read_transform(element, warnings).map_err(|error| error.within(&place))?;
            if !transform.is_identity() {
                steps.push(Step::Transform { image, transform });
            }
        } else {
            return fail(format!("{place} has neither imageIndex nor drawImageIndex and targetImageIndex"));
        }
    }
    Ok(steps)
}

const INDICES: [&str; 3] = ["imageIndex", "drawImageIndex", "targetImageIndex"];

/// The number of an existing image; `None` when the key is absent.
fn read_index(
    element: &Map<String, Json>,
    name: &str,
    images: usize,
    place: &str,
) -> Result<Option<usize>, OptionError> {
    let index = match element.get(name) {
        None | Some(Json::Null) => return Ok(None),
        Some(Json::Number(number)) => number.as_u64().and_then(|index| usize::try_from(index).ok()),
        Some(_) => None,
    };
    match index {
        Some(index) if index < images => Ok(Some(index)),
        _ => Err(OptionError::Steps(format!("{place}.{name} is not the number of an image"))),
    }
}

fn options<'a>(element: &'a Map<String, Json>) -> impl Iterator<Item = (&'a str, OptionValue<'a>)> {
    element
        .iter()
        .filter(|(name, value)| !value.is_null() && !INDICES.contains(&name.as_str()))
        .map(|(name, value)| (name.as_str(), OptionValue::from_json(value, Dialect::BindingStep)))
}

fn read_drawing(element: &Map<String, Json>, warnings: &mut Warnings) -> Result<Draw, OptionError> {
    let mut draw = Draw::default();
    for (name, value) in options(element) {
        match read_draw(&mut draw, name, value) {
            Some(read) => of_option(name, read)?,
            None => warnings.push(format!("{}: unknown option, ignored", printable(name))),
        }
    }
    check_offsets(&draw)?;
    Ok(draw)
}

fn read_transform(
    element: &Map<String, Json>,
    warnings: &mut Warnings,
) -> Result<crate::Transform, OptionError> {
    let mut reader = OptionReader::new(Dialect::BindingStep, ParseMode::default());
    for (name, value) in options(element) {
        reader.read(name, value.raw)?;
    }
    let parsed = reader.finish();
    warnings.extend(parsed.warnings);
    Ok(parsed.value.transform)
}
