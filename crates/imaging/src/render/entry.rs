//! Does what a plan says.

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
        // A text has no file: it is made when its first step comes.
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
            let json = describe(plan, inputs, bytes.len(), models, work)?;
            Ok(Rendered::new(plan, Body::Bytes(json), "application/json", None))
        }
        PlanKind::Still => match &plan.path {
            Path::Rows(pipeline) => rows::render(plan, pipeline, bytes, work),
            Path::Bitmap => still(plan, inputs, models, work),
        },
        PlanKind::Animation { frames } => animation::render(plan, inputs, (frames, models), work),
    }
}

fn still(
    plan: &Plan,
    inputs: &[RenderInput<'_>],
    models: Option<&dyn Models>,
    work: &Work,
) -> Result<Rendered, Error> {
    let began = Instant::now();
    let image = ImageSet::new(plan, inputs, models, work)?.run()?;
    let decode = began.elapsed();
    let done = encode::encode(plan, image, work)?;
    Ok(Rendered { timings: Timings { decode, encode: began.elapsed().saturating_sub(decode) }, ..done })
}
