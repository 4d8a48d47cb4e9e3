//! `format=json`: an image described instead of made.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use codecs::{EncodeSpec, Format, ImageSpec, Layout, Plane};
use recipe::{Recipe, Step};
use serde::Serialize;
use work::Work;

use crate::canvas::Images;
use crate::models::Models;
use crate::ops::foreground;
use crate::render::{codec_of, next_frame, survey};
use crate::transform::{detects_border, one_plane};
use crate::{Error, Plan, RenderInput, face};

/// The shape of `format=json`.
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

/// What `segment=foreground` found.
#[derive(Debug, Serialize)]
struct Segment {
    /// A grey PNG in base64, white = foreground, as large as the image that was segmented, upright.
    mask: String,
    upscale_filter: &'static str,
}

/// The step whose mask a description carries: the first that segments image 0.
pub(crate) fn mask_step(recipe: &Recipe) -> Option<usize> {
    recipe.steps.iter().position(
        |step| matches!(step, Step::Transform { image: 0, transform } if transform.segment_foreground),
    )
}

/// Whether the size of the result depends on pixels: a border of image 0 has to be found.
pub(crate) fn measures(recipe: &Recipe) -> bool {
    recipe
        .steps
        .iter()
        .any(|step| matches!(step, Step::Transform { image: 0, transform } if detects_border(transform)))
}

/// The size of the picture that would have been made, by making it; of an animation, its first frame.
fn measured(
    plan: &Plan,
    inputs: &[RenderInput<'_>],
    models: Option<&dyn Models>,
    work: &Work,
) -> Result<(u32, u32), Error> {
    let faces = face::Found::default();
    let mut images = Images::new(plan, inputs, models, &faces, work)?;
    let animated = plan.probe.animation.is_some_and(|a| a.frames > 1) && plan.recipe.output.anim;
    let image = match inputs.first() {
        Some(RenderInput::Image(bytes)) if animated => {
            survey(&mut images, plan, bytes, work)?;
            let mut source = codec_of(plan.probe.format)?.decode_frames(bytes, &plan.probe, work)?;
            let frame = next_frame(source.as_mut(), plan, work)?;
            images.run_frame(frame.ok_or(codecs::Error::Truncated(plan.probe.format))?.image)?
        }
        _ => images.run()?,
    };
    Ok((image.width, image.height))
}

/// The answer to `format=json`. Pixels are made for a mask and for a border only.
pub(crate) fn describe(
    plan: &Plan,
    inputs: &[RenderInput<'_>],
    file_size: usize,
    models: Option<&dyn Models>,
    work: &Work,
) -> Result<Vec<u8>, Error> {
    let step = mask_step(&plan.recipe).filter(|_| plan.probe.format != Format::Svg);
    let segment = match step {
        Some(step) => {
            let faces = face::Found::default();
            let image = Images::new(plan, inputs, models, &faces, work)?.before(step)?;
            let mask = foreground::mask(&image, models, &plan.limits, work)?;
            drop(image);
            Some(Segment { mask: base64_png(mask, work)?, upscale_filter: "catmull-rom" })
        }
        None => None,
    };
    let size = if plan.probe.format != Format::Svg && measures(&plan.recipe) {
        measured(plan, inputs, models, work)?
    } else {
        (plan.width, plan.height)
    };
    let (width, height) = plan.probe.oriented_size();
    let frames = plan.probe.animation.filter(|a| a.frames > 1 && plan.recipe.output.anim).map(|a| a.frames);
    let original = Original { file_size, width, height, format: plan.probe.format.mime() };
    let description = Description { width: size.0, height: size.1, original, frames, segment };
    serde_json::to_vec(&description).map_err(|e| Error::Unsupported(format!("JSON: {e}")))
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
    // The text, and the answer that it is copied into.
    let _held = work.take(png.len().div_ceil(3) * 4 * 2)?;
    Ok(STANDARD.encode(png))
}

/// Bytes that a description with a mask of `size` holds beside what the mask was made of.
pub(crate) fn mask_text_bytes(size: (u32, u32)) -> u64 {
    let area = u64::from(size.0) * u64::from(size.1);
    let spec = EncodeSpec::default();
    let image = ImageSpec { layout: Layout::Gray, width: size.0, height: size.1 };
    let encoding = codecs::codec_for(Format::Png).map_or(0, |c| c.encode_bytes(image, &spec));
    // A PNG may be a little larger than its pixels, its text is a third larger, and is copied once.
    encoding + area + (area + area / 16 + 4096) * 8 / 3
}
