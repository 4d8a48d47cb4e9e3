//! `format=json`: an image is described instead of rendered.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use codecs::{EncodeSpec, Format, ImageSpec, Layout, Plane, Raster};
use recipe::Warnings;
use serde::Serialize;
use work::Work;

use super::animation::Canvas;
use super::image_set::ImageSet;
use super::result::RenderInput;
use super::scale::codec_of;
use crate::models::Models;
use crate::ops::resample::one_plane;
use crate::plan::{Plan, PlannedStep};
use crate::{Error, analysis};

/// The JSON object of `format=json`.
#[derive(Debug, Serialize)]
struct Description {
    width: u32,
    height: u32,
    original: Original,
    #[serde(skip_serializing_if = "Option::is_none")]
    frames: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    segment: Option<Segment>,
}

#[derive(Debug, Serialize)]
struct Original {
    file_size: usize,
    width: u32,
    height: u32,
    format: &'static str,
}

/// The result of `segment=foreground`.
#[derive(Debug, Serialize)]
struct Segment {
    /// A grey PNG in base64, white = foreground, of the upright size of the segmented image.
    mask: String,
    upscale_filter: &'static str,
}

/// The result of `format=json`. Pixels are rendered only for a mask and a border.
pub(super) fn describe(
    plan: &Plan,
    inputs: &[RenderInput<'_>],
    file_size: usize,
    models: Option<&dyn Models>,
    work: &Work,
) -> Result<(Vec<u8>, Warnings), Error> {
    let planned = plan.description.ok_or_else(|| Error::Internal("no description was planned".to_owned()))?;
    let segment = match planned.mask_before {
        Some(step) => Some(segment(plan, inputs, step, models, work)?),
        None => None,
    };
    let (size, warnings) = if planned.measures {
        let (image, warnings) = before(plan, inputs, plan.steps.len(), models, work)?;
        ((image.width, image.height), warnings)
    } else {
        ((plan.output.width, plan.output.height), Warnings::default())
    };
    let source = &plan.output.encoding.source;
    let (width, height) = source.oriented_size();
    let original = Original { file_size, width, height, format: source.format.mime() };
    let frames = planned.frames;
    let description = Description { width: size.0, height: size.1, original, frames, segment };
    let json = serde_json::to_vec(&description).map_err(|e| Error::Internal(format!("JSON: {e}")))?;
    Ok((json, warnings))
}

fn segment(
    plan: &Plan,
    inputs: &[RenderInput<'_>],
    step: usize,
    models: Option<&dyn Models>,
    work: &Work,
) -> Result<Segment, Error> {
    let model = match plan.steps.get(step) {
        Some(PlannedStep::Transform(step)) => step.segment,
        _ => None,
    };
    let model = model.ok_or_else(|| Error::Internal(format!("step {step} segments nothing")))?;
    let (image, _) = before(plan, inputs, step, models, work)?;
    let mask = analysis::foreground::mask(&image, models, model, work)?;
    drop(image);
    Ok(Segment { mask: base64_png(mask, work)?, upscale_filter: "catmull-rom" })
}

/// Image 0 before step `end`, with the warnings of the steps; of an animation, its first frame.
fn before(
    plan: &Plan,
    inputs: &[RenderInput<'_>],
    end: usize,
    models: Option<&dyn Models>,
    work: &Work,
) -> Result<(Raster, Warnings), Error> {
    let mut images = ImageSet::new(plan, inputs, models, work)?;
    let image = match Canvas::of(plan, inputs) {
        None => images.run_to(end)?,
        Some(canvas) => {
            canvas.prepare(&mut images, u32::MAX, work)?;
            let frame = canvas.frames(work)?.next()?.ok_or_else(|| canvas.truncated())?;
            images.run_frame_to(frame.image, end)?
        }
    };
    Ok((image, images.warnings()))
}

fn base64_png(mask: Plane, work: &Work) -> Result<String, Error> {
    let _encode = work.stage("encode");
    let mask = one_plane(Layout::Gray, mask);
    let spec = EncodeSpec::default();
    let image = ImageSpec { layout: mask.layout, width: mask.width, height: mask.height };
    let mut sink = codec_of(Format::Png)?.encode(image, &spec, work)?;
    mask.push_into(sink.as_mut(), 16)?;
    let png = sink.finish()?;
    drop(mask);
    // The text, and its copy in the response.
    let _held = work.take(png.len().div_ceil(3) * 4 * 2)?;
    Ok(STANDARD.encode(png))
}
