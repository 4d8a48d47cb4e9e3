//! What a plan will hold in memory at its worst moment, as arithmetic.

use codecs::{DecodeSpec, Format, ImageSpec, Layout, Probe, codec_for};
use recipe::{Gravity, Input, Step, Upscale};

use crate::describe::{mask_step, mask_text_bytes, measures};
use crate::models;
use crate::ops::resample::waiting_rows;
use crate::ops::turn::Turn;
use crate::ops::{enlarge, foreground};
use crate::output::encode_spec;
use crate::stream::flow;
use crate::transform::{Mapping, detects_focus, whole_size};
use crate::{Plan, PlanKind, face, geometry};

/// A text is at most 4096 × 4096 pixels.
const TEXT_BYTES: u64 = 4096 * 4096 * 4;
/// Rows that a decoder hands over at once, and their conversion to sRGB.
const DECODED_ROWS: u64 = 128;

/// An upper estimate of the buffers, decoders and encoders that are held at once, inputs not counted.
pub(crate) fn peak_bytes(plan: &Plan) -> u64 {
    let looking = if looks_for_faces(plan) { face::bytes() } else { 0 };
    if plan.kind == PlanKind::Still
        && plan.recipe.inputs.first().is_some_and(|input| !matches!(input, Input::Text(_)))
        && let Ok(Some(flow)) = flow(plan)
    {
        // No bitmap is held; the file grows by doubling, and is seldom larger than its pixels in planes.
        let file = Layout::Rgb.bytes(plan.width.max(1), plan.height.max(1)) / 2;
        return decode(plan, 0, &plan.probe) + flow.bytes(plan) + file + looking;
    }
    let needed = plan.needed();
    let mut decoding = 0;
    let mut held = 0;
    let mut modelled = 0;
    for (i, input) in plan.recipe.inputs.iter().enumerate() {
        if !needed.get(i).copied().unwrap_or(false) {
            continue;
        }
        let probe = plan.probes.get(i).and_then(Option::as_ref);
        match (input, probe) {
            // Shaped and painted once more than it is held.
            (Input::Text(_), None) => held += 2 * TEXT_BYTES,
            (Input::Text(_), Some(probe)) => {
                held += 2 * largest(plan, i, probe);
                modelled = modelled.max(by_models(plan, i, probe));
            }
            (_, Some(probe)) => {
                decoding = decoding.max(decode(plan, i, probe));
                held += largest(plan, i, probe);
                modelled = modelled.max(by_models(plan, i, probe));
            }
            (_, None) => {}
        }
    }
    let layout = Layout::Rgba;
    let target = layout.bytes(plan.width.max(1), plan.height.max(1));
    let format = plan.format.unwrap_or(Format::Png);
    let encoding = codec_for(format).map_or(0, |c| {
        let spec = encode_spec(plan, format, (plan.width, plan.height));
        let layout = c.encoded_layout(layout, &spec);
        c.encode_bytes(ImageSpec { layout, width: plan.width, height: plan.height }, &spec)
    });
    // An animation's decoder stays open while its frames are encoded; a frame is copied for each draw.
    let frames = if matches!(plan.kind, PlanKind::Animation { .. }) { 2 * target } else { 0 };
    decoding + held + target + encoding + frames + looking + modelled
}

fn looks_for_faces(plan: &Plan) -> bool {
    let by_face =
        |s: &Step| matches!(s, Step::Transform { transform, .. } if transform.gravity == Some(Gravity::Face));
    plan.recipe.steps.iter().any(by_face)
}

/// What decoding holds, with the rows that wait for the resampler of the first transform.
fn decode(plan: &Plan, image: usize, probe: &Probe) -> u64 {
    let spec = DecodeSpec { scale: 1, planar: false };
    let first = plan.recipe.steps.iter().zip(&plan.bases).find_map(|(step, base)| match step {
        Step::Transform { image: i, transform } if *i == image => Some((transform, *base)),
        _ => None,
    });
    let oriented = probe.oriented_size();
    let waiting = first.and_then(|(transform, base)| {
        let g = geometry::resolve(transform, oriented, base, &plan.limits).ok()?;
        let map = Mapping::new(&g, transform, Turn::from_orientation(probe.orientation), oriented);
        Some(waiting_rows(map.area.height, map.size.1, probe.height))
    });
    // A group of rows is handed over whatever becomes of it.
    let rows = u64::from(waiting.unwrap_or(0)) + DECODED_ROWS;
    codec_for(probe.format).map_or(0, |c| c.decode_bytes(probe, spec)) + u64::from(probe.width) * 4 * rows
}

/// The largest that image `image` gets between its steps, with the copy that an operation works on.
fn largest(plan: &Plan, image: usize, probe: &Probe) -> u64 {
    let mut size = probe.oriented_size();
    let mut most = 0;
    let mut steps = 0;
    for (step, base) in plan.recipe.steps.iter().zip(&plan.bases) {
        let Step::Transform { image: i, transform } = step else { continue };
        if *i != image {
            continue;
        }
        let detects = transform.trim.is_some_and(|t| t.border.is_some());
        let generates =
            transform.upscale == Some(Upscale::Generate) && !plan.limits.models.enlarge.is_empty();
        if detects || generates || transform.segment_foreground {
            most = most.max(Layout::Rgba.bytes(size.0, size.1));
        }
        if let Ok(g) = geometry::resolve(transform, size, *base, &plan.limits) {
            if detects_focus(transform, &g) {
                let (width, height) = whole_size(&g, transform);
                most = most.max(Layout::Rgba.bytes(width, height));
            }
            size = g.size;
        }
        most = most.max(Layout::Rgba.bytes(size.0, size.1));
        steps += 1;
    }
    if steps == 0 {
        most = Layout::Rgba.bytes(size.0, size.1);
    }
    2 * most
}

/// The most that a model, and what goes in and comes out, holds for one step of image `image`.
fn by_models(plan: &Plan, image: usize, probe: &Probe) -> u64 {
    let mut size = probe.oriented_size();
    let mut most = 0;
    for (step, base) in plan.recipe.steps.iter().zip(&plan.bases) {
        let Step::Transform { image: i, transform } = step else { continue };
        if *i != image {
            continue;
        }
        if transform.segment_foreground {
            most = most.max(foreground::mask_bytes(&plan.limits, size));
        }
        let Ok(g) = geometry::resolve(transform, size, *base, &plan.limits) else { continue };
        if let Some(pass) = models::planned(transform, &g, size, &plan.limits) {
            most = most.max(enlarge::pass_bytes(&pass, size));
        }
        size = g.size;
    }
    most
}

/// The same for a description; 0 where the headers tell all.
pub(crate) fn describe_peak_bytes(plan: &Plan) -> u64 {
    let mask = mask_step(&plan.recipe).map_or(0, |_| mask_text_bytes(plan.probe.oriented_size()));
    let frames = 2 * Layout::Rgba.bytes(plan.width.max(1), plan.height.max(1));
    if mask > 0 || measures(&plan.recipe) { peak_bytes(plan) + frames + mask } else { 0 }
}
