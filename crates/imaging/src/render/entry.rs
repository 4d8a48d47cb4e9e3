//! The entry points of rendering.

use std::time::Instant;

use codecs::Format;
use work::Work;

use super::describe::describe;
use super::image_set::ImageSet;
use super::result::{Body, RenderInput, Rendered, Timings};
use super::{animation, encode, rows};
use crate::Error;
use crate::models::Models;
use crate::plan::{Path, Plan, PlanKind};

/// Renders a plan that was made without models. `inputs[i]` belongs to input `i` of the recipe.
///
/// # Errors
/// Codec errors, budget, deadline, cancellation.
pub fn render(plan: &Plan, inputs: &[RenderInput<'_>], work: &Work) -> Result<Rendered, Error> {
    render_with(plan, inputs, None, work)
}

/// Renders a plan with the models whose capabilities were in its limits.
///
/// # Errors
/// Codec errors, failures of a model, budget, deadline, cancellation.
pub fn render_with(
    plan: &Plan,
    inputs: &[RenderInput<'_>],
    models: Option<&dyn Models>,
    work: &Work,
) -> Result<Rendered, Error> {
    work.check()?;
    let bytes = match inputs.first() {
        Some(RenderInput::Image(bytes)) => *bytes,
        // A text has no file; it is painted by its first step.
        Some(RenderInput::Font(_)) => &[],
        _ => return Err(Error::NoSuchImage(0)),
    };
    match plan.kind {
        PlanKind::PassThrough => {
            let format = plan.output.encoding.source.format;
            Ok(Rendered::new(plan, Body::Input, format.mime(), Some(format)))
        }
        PlanKind::Svg => {
            let _sanitise = work.stage("sanitise");
            let clean = codecs::codec::svg::sanitise(bytes, work)?;
            Ok(Rendered::new(plan, Body::Bytes(clean), Format::Svg.mime(), Some(Format::Svg)))
        }
        PlanKind::Json => {
            let (json, warnings) = describe(plan, inputs, bytes.len(), models, work)?;
            let done = Rendered::new(plan, Body::Bytes(json), "application/json", None);
            Ok(Rendered { warnings, ..done })
        }
        PlanKind::Still => match &plan.path {
            Path::Rows(pipeline) => smaller(plan, rows::render(plan, pipeline, bytes, work)?, bytes, work),
            Path::Bitmap => smaller(plan, still(plan, inputs, models, work)?, bytes, work),
        },
        PlanKind::Animation { frames } => animation::render(plan, inputs, (frames, models), work),
    }
}

/// The source without its metadata, if nothing visible has changed and the result is larger.
fn smaller(plan: &Plan, done: Rendered, source: &[u8], work: &Work) -> Result<Rendered, Error> {
    let (Body::Bytes(body), Some(format)) = (&done.body, done.format) else { return Ok(done) };
    if body.len() <= source.len() || !plan.output.may_keep_source(format) {
        return Ok(done);
    }
    let exif = plan.output.encode_spec(format, (done.width, done.height)).exif;
    match codecs::strip::strip(format, source, exif.as_deref(), work)? {
        Some(kept) if kept.len() < body.len() => {
            let mut warnings = done.warnings;
            warnings.push("original is smaller");
            Ok(Rendered { body: Body::Bytes(kept), warnings, ..done })
        }
        _ => Ok(done),
    }
}

fn still(
    plan: &Plan,
    inputs: &[RenderInput<'_>],
    models: Option<&dyn Models>,
    work: &Work,
) -> Result<Rendered, Error> {
    let began = Instant::now();
    let mut images = ImageSet::new(plan, inputs, models, work)?;
    let image = images.run()?;
    let warnings = images.warnings();
    drop(images);
    let decode = began.elapsed();
    let done = encode::encode(plan, image, work)?;
    let timings = Timings { decode, encode: began.elapsed().saturating_sub(decode) };
    Ok(Rendered { timings, warnings, ..done })
}
