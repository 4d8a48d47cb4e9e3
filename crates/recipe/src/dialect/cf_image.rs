//! The options object of a Worker's subrequest, `fetch(url, { cf: { image: {…} } })`.
//!
//! The base image is number 0, and the caller supplies it. The members of `draw` follow as 1, 2, … and are
//! URLs or texts. `format: "auto"` is not negotiated: the Worker reads `Accept` itself.

use serde_json::Value as Json;

use super::{
    hints::ClientHints,
    json,
    overlay::{TextReader, check_offsets, http_url, of_option, read_draw},
    reader::{OptionReader, ParseMode},
    value::{Dialect, OptionValue, RawValue},
};
use crate::{
    Draw, Fit, Input, OptionError, Recipe, Step, Warnings,
    choices::{MAX_IMAGES, MAX_JSON_BYTES},
};

/// A parsed `cf.image` object.
#[derive(Debug, Clone, PartialEq)]
pub struct CfImage {
    pub recipe: Recipe,
    /// Warnings for the client, including [`Recipe::warnings`].
    pub warnings: Warnings,
    /// `origin-auth: "share-publicly"`: the documented credentials headers are sent to the source.
    pub origin_auth: bool,
    /// Request header names for `vary`.
    pub varies_on: Vec<&'static str>,
}

/// Parses the member `image` of `request.cf`, the JSON text that the runtime sends.
/// `None` when it is missing or empty: the request is not transformed.
///
/// # Errors
/// [`OptionError::Invalid`] when the text is not a JSON object; else as [`parse_image`].
pub fn parse(
    cf: &[u8],
    hints: &ClientHints<'_>,
    mode: ParseMode<'_>,
) -> Result<Option<CfImage>, OptionError> {
    let problem = |problem: &str| OptionError::Invalid { option: "cf".into(), problem: problem.into() };
    if cf.len() > MAX_JSON_BYTES {
        return Err(problem("too long"));
    }
    match json::parse(cf) {
        Ok(Json::Object(cf)) => cf.get("image").map_or(Ok(None), |image| parse_image(image, hints, mode)),
        Ok(_) => Err(problem("not an object")),
        Err(_) => Err(problem("not JSON")),
    }
}

/// Parses the object `cf.image`. The hint `accept` is not used.
///
/// # Errors
/// As [`super::parse_options`]; a problem in a member of `draw` names it as `draw[0].width`.
pub fn parse_image(
    image: &Json,
    hints: &ClientHints<'_>,
    mode: ParseMode<'_>,
) -> Result<Option<CfImage>, OptionError> {
    if image.is_null() {
        return Ok(None);
    }
    let Some(members) = OptionValue::from_json(image, Dialect::CfImage).members() else {
        return Err(OptionError::Invalid { option: "image".into(), problem: "not an object".into() });
    };
    let mut reader = OptionReader::new(Dialect::CfImage, mode);
    let mut draw = None;
    let mut empty = true;
    for (name, value) in members {
        empty = false;
        match name {
            "draw" => draw = Some(value),
            _ => reader.read(name, value.raw)?,
        }
    }
    if empty {
        return Ok(None);
    }
    let parsed = reader.finish();
    let origin_auth = parsed.value.origin_auth;
    let mut resolved = parsed.value.resolve(&ClientHints { accept: None, ..*hints });
    let mut warnings = parsed.warnings;
    if let Some(draw) = draw {
        read_overlays(draw, mode, &mut resolved.recipe, &mut warnings)?;
        background_below_overlays(&mut resolved.recipe);
    }
    warnings.extend(resolved.recipe.warnings());
    Ok(Some(CfImage { recipe: resolved.recipe, warnings, origin_auth, varies_on: resolved.varies_on }))
}

/// With overlays the background comes last: a composite mode sees the transparency of the base, and what it makes
/// transparent shows the background too. The bars of `fit=pad` are filled with it before the effects.
fn background_below_overlays(recipe: &mut Recipe) {
    if recipe.inputs.len() > 1
        && let Some(Step::Transform { image: 0, transform }) = recipe.steps.first_mut()
    {
        recipe.output.background = transform.background;
        if transform.fit != Some(Fit::Pad) {
            transform.background = None;
        }
    }
}

fn read_overlays(
    draw: OptionValue<'_>,
    mode: ParseMode<'_>,
    recipe: &mut Recipe,
    warnings: &mut Warnings,
) -> Result<(), OptionError> {
    let invalid = |problem: &str| OptionError::Invalid { option: "draw".into(), problem: problem.into() };
    let RawValue::Json(Json::Array(overlays)) = draw.raw else { return Err(invalid("not a list")) };
    if overlays.len() >= MAX_IMAGES {
        return Err(invalid("too many overlays"));
    }
    for (position, overlay) in overlays.iter().enumerate() {
        let read = read_overlay(OptionValue::from_json(overlay, Dialect::Overlay), mode);
        let overlay = read.map_err(|error| error.within(&format!("draw[{position}]")))?;
        let image = recipe.inputs.len();
        recipe.inputs.push(overlay.input);
        recipe.steps.extend(overlay.transform.map(|transform| Step::Transform { image, transform }));
        recipe.steps.push(Step::Draw { image, onto: 0, draw: overlay.draw });
        warnings.extend(overlay.warnings);
    }
    Ok(())
}

struct Overlay {
    input: Input,
    transform: Option<crate::Transform>,
    draw: Draw,
    warnings: Warnings,
}

/// The nesting of `text` is not documented. Both `text: {content, font, size, color}` and a `text` string with
/// `font`, `size` and `color` beside it are read.
fn read_overlay(overlay: OptionValue<'_>, mode: ParseMode<'_>) -> Result<Overlay, OptionError> {
    let fail =
        |option: &str, problem: &str| OptionError::Invalid { option: option.into(), problem: problem.into() };
    let Some(members) = overlay.members() else { return Err(fail("", "not an object")) };
    let mut reader = OptionReader::new(Dialect::Overlay, mode);
    let mut draw = Draw::default();
    let mut url = None;
    let mut text: Option<TextReader> = None;
    let is_text = overlay.members().is_some_and(|mut members| members.any(|(name, _)| name == "text"));
    for (name, value) in members {
        if name == "url" {
            url = Some(of_option(name, http_url(value))?);
        } else if let Some(read) = read_draw(&mut draw, name, value) {
            of_option(name, read)?;
        } else if name == "text" && value.members().is_some() {
            let text = text.get_or_insert_default();
            for (name, value) in value.members().into_iter().flatten() {
                if let Some(read) = text.read(name, value) {
                    of_option(&format!("text.{name}"), read)?;
                }
            }
        } else if is_text && let Some(read) = text.get_or_insert_default().read(name, value) {
            of_option(name, read)?;
        } else {
            reader.read(name, value.raw)?;
        }
    }
    check_offsets(&draw)?;
    let input = match (url, text) {
        (Some(url), None) => Input::Url(url),
        (None, Some(text)) => Input::Text(of_option("text", text.finish())?),
        (None, None) => return Err(fail("url", "missing")),
        (Some(_), Some(_)) => return Err(fail("url", "cannot be combined with text")),
    };
    let parsed = reader.finish();
    let transform = Some(parsed.value.transform).filter(|transform| !transform.is_identity());
    Ok(Overlay { input, transform, draw, warnings: parsed.warnings })
}
