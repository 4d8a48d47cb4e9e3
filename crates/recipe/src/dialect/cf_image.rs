//! The options object of a Worker's subrequest, `fetch(url, { cf: { image: {…} } })`.
//!
//! The base image is number 0 and supplied by the door; the members of `draw` follow as 1, 2, … and are
//! URLs or texts. `format: "auto"` is not negotiated, since the Worker speaks for its client.

use serde_json::Value as Json;

use super::{
    given::{Given, Value},
    layer::{TextReader, check_offsets, named, read_draw, web_url},
    request::{ClientHints, ParseMode, Reader, notice},
    table::Door,
    well_formed,
};
use crate::{
    Draw, Input, Notice, OptionError, Recipe, Step,
    choices::{MAX_IMAGES, MAX_JSON_BYTES},
};

/// What a `cf.image` object asks for.
#[derive(Debug, Clone, PartialEq)]
pub struct CfImage {
    pub recipe: Recipe,
    /// Warnings for the client, those of [`Recipe::notices`] included.
    pub notices: Vec<Notice>,
    /// `origin-auth: "share-publicly"`: the source may see the documented credentials headers.
    pub origin_auth: bool,
    /// Request header names for `vary`.
    pub varies_on: Vec<&'static str>,
}

/// Parses the whole JSON text of `request.cf`, as the runtime hands it on, and takes its `image`.
/// `None` when there is none or it is empty: the request is then not to be transformed.
///
/// # Errors
/// [`OptionError::Invalid`] when the text is not a JSON object; else as [`parse_image`].
pub fn parse(cf: &[u8], hints: &ClientHints<'_>, mode: ParseMode) -> Result<Option<CfImage>, OptionError> {
    let problem = |problem: &str| OptionError::Invalid { option: "cf".into(), problem: problem.into() };
    if cf.len() > MAX_JSON_BYTES {
        return Err(problem("too long"));
    }
    match well_formed::parse(cf) {
        Ok(Json::Object(cf)) => cf.get("image").map_or(Ok(None), |image| parse_image(image, hints, mode)),
        Ok(_) => Err(problem("not an object")),
        Err(_) => Err(problem("not JSON")),
    }
}

/// Parses the object `cf.image` itself. `accept` among the hints is not used.
///
/// # Errors
/// As [`super::parse_options`]; a problem in a member of `draw` names it as `draw[0].width`.
pub fn parse_image(
    image: &Json,
    hints: &ClientHints<'_>,
    mode: ParseMode,
) -> Result<Option<CfImage>, OptionError> {
    if image.is_null() {
        return Ok(None);
    }
    let Some(members) = Given::json(image, Door::CfImage).members() else {
        return Err(OptionError::Invalid { option: "image".into(), problem: "not an object".into() });
    };
    let mut reader = Reader::new(Door::CfImage, mode);
    let mut draw = None;
    let mut empty = true;
    for (name, given) in members {
        empty = false;
        match name {
            "draw" => draw = Some(given),
            _ => reader.read(name, given.value)?,
        }
    }
    if empty {
        return Ok(None);
    }
    let parsed = reader.finish();
    let origin_auth = parsed.value.origin_auth;
    let mut resolved = parsed.value.resolve(&ClientHints { accept: None, ..*hints });
    let mut notices = parsed.notices;
    if let Some(draw) = draw {
        read_overlays(draw, mode, &mut resolved.recipe, &mut notices)?;
    }
    for Notice(text) in resolved.recipe.notices() {
        notice(&mut notices, text);
    }
    Ok(Some(CfImage { recipe: resolved.recipe, notices, origin_auth, varies_on: resolved.varies_on }))
}

fn read_overlays(
    draw: Given<'_>,
    mode: ParseMode,
    recipe: &mut Recipe,
    notices: &mut Vec<Notice>,
) -> Result<(), OptionError> {
    let invalid = |problem: &str| OptionError::Invalid { option: "draw".into(), problem: problem.into() };
    let Value::Json(Json::Array(overlays)) = draw.value else { return Err(invalid("not a list")) };
    if overlays.len() >= MAX_IMAGES {
        return Err(invalid("too many overlays"));
    }
    for (position, overlay) in overlays.iter().enumerate() {
        let read = read_overlay(Given::json(overlay, Door::Overlay), mode);
        let overlay = read.map_err(|error| error.inside(&format!("draw[{position}]")))?;
        let image = recipe.inputs.len();
        recipe.inputs.push(overlay.input);
        recipe.steps.extend(overlay.transform.map(|transform| Step::Transform { image, transform }));
        recipe.steps.push(Step::Draw { image, onto: 0, draw: overlay.draw });
        for Notice(text) in overlay.notices {
            notice(notices, text);
        }
    }
    Ok(())
}

struct Overlay {
    input: Input,
    transform: Option<crate::Transform>,
    draw: Draw,
    notices: Vec<Notice>,
}

/// The nesting of `text` is not documented; taken are `text: {content, font, size, color}` and a `text`
/// string with `font`, `size` and `color` beside it.
fn read_overlay(overlay: Given<'_>, mode: ParseMode) -> Result<Overlay, OptionError> {
    let fail =
        |option: &str, problem: &str| OptionError::Invalid { option: option.into(), problem: problem.into() };
    let Some(members) = overlay.members() else { return Err(fail("", "not an object")) };
    let mut reader = Reader::new(Door::Overlay, mode);
    let mut draw = Draw::default();
    let mut url = None;
    let mut text: Option<TextReader> = None;
    let is_text = overlay.members().is_some_and(|mut members| members.any(|(name, _)| name == "text"));
    for (name, given) in members {
        if name == "url" {
            url = Some(named(name, web_url(given))?);
        } else if let Some(read) = read_draw(&mut draw, name, given) {
            named(name, read)?;
        } else if name == "text" && given.members().is_some() {
            let text = text.get_or_insert_default();
            for (name, given) in given.members().into_iter().flatten() {
                if let Some(read) = text.read(name, given) {
                    named(&format!("text.{name}"), read)?;
                }
            }
        } else if is_text && let Some(read) = text.get_or_insert_default().read(name, given) {
            named(name, read)?;
        } else {
            reader.read(name, given.value)?;
        }
    }
    check_offsets(&draw)?;
    let input = match (url, text) {
        (Some(url), None) => Input::Url(url),
        (None, Some(text)) => Input::Text(named("text", text.finish())?),
        (None, None) => return Err(fail("url", "missing")),
        (Some(_), Some(_)) => return Err(fail("url", "cannot be combined with text")),
    };
    let parsed = reader.finish();
    let transform = Some(parsed.value.transform).filter(|transform| !transform.is_identity());
    Ok(Overlay { input, transform, draw, notices: parsed.notices })
}
