//! From a recipe and the headers of its inputs to what will be done, how large it gets and how much it costs.

use std::sync::Arc;

use codecs::{Format, Probe};
use recipe::{FormatChoice, Input, Recipe, Step, Transform, Warning};
use work::Work;

use crate::cost::{describe_peak_bytes, peak_bytes};
use crate::geometry::{self, Geometry};
use crate::models;
use crate::ops::compose;
use crate::output::output_format;
use crate::{Error, Limits};

/// What kind of work a request turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlanKind {
    /// Decode, operate, encode one picture.
    Still,
    /// The same for every frame.
    Animation { frames: u32 },
    /// The bytes of image 0 are the answer (animations above the pass-through limit).
    PassThrough,
    /// SVG: sanitised, not resized.
    Svg,
    /// `format=json`: no pixels are made, but for the mask of `segment=foreground` and for a border that has to be found.
    Json,
}

/// A plan: everything that can be known, and refused, before a pixel is decoded.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Without the steps that cannot be seen in the result.
    pub(crate) recipe: Recipe,
    /// The header of image 0.
    pub(crate) probe: Arc<Probe>,
    /// The headers of all inputs; `None` for those that nothing needs.
    pub(crate) probes: Vec<Option<Arc<Probe>>>,
    /// For each step, the size that fractions of a dimension are taken of.
    pub(crate) bases: Vec<(u32, u32)>,
    pub(crate) limits: Arc<Limits>,
    pub kind: PlanKind,
    /// Width and height of the result (an upper bound where the size depends on pixels, as with `trim=border`).
    pub width: u32,
    pub height: u32,
    /// Estimated peak bytes of all buffers, decoders and encoders together, inputs not counted.
    pub peak_bytes: u64,
    /// The format of the result; `None` for JSON, raw pixels, and where it depends on the pixels' opacity.
    pub format: Option<Format>,
    pub notices: Vec<Warning>,
}

impl Plan {
    /// Which inputs are needed, by number.
    #[must_use]
    pub fn needed(&self) -> Vec<bool> {
        self.recipe.used_images()
    }
}

/// Plans a recipe. `probes[i]` is the header of input `i`, by [`crate::probe`] or [`crate::probe_text`]; `None` for
/// images that [`Recipe::used_images`] says are not needed.
///
/// # Errors
/// Every refusal that needs no pixels; the deadline and cancellation of `work`.
pub fn plan(
    recipe: &Arc<Recipe>,
    probes: &[Option<Arc<Probe>>],
    limits: &Arc<Limits>,
    work: &Work,
) -> Result<Plan, Error> {
    work.check()?;
    let probe = Arc::clone(probes.first().and_then(Option::as_ref).ok_or(Error::NoSuchImage(0))?);
    let mut notices = Vec::new();
    if recipe.steps.len() > limits.max_steps || recipe.inputs.len() > limits.max_inputs {
        return Err(Error::TooLarge(format!(
            "The request is too large: at most {} steps and {} images are possible",
            limits.max_steps, limits.max_inputs
        )));
    }
    for step in &recipe.steps {
        if let Step::Transform { transform, .. } = step {
            refuse_unbuilt(transform, limits, &mut notices)?;
        }
    }
    let mut plan = Plan {
        recipe: Recipe::clone(recipe),
        limits: Arc::clone(limits),
        kind: PlanKind::Still,
        width: probe.oriented_size().0,
        height: probe.oriented_size().1,
        peak_bytes: 0,
        format: None,
        notices,
        probes: probes.to_vec(),
        bases: Vec::new(),
        probe,
    };
    if plan.probe.format == Format::Svg {
        return svg(plan);
    }
    if recipe.output.format == FormatChoice::Svg {
        return Err(Error::Unsupported("Bitmap images can't be converted to SVG".to_owned()));
    }
    plan.recipe.prune();
    sizes(&mut plan)?;
    let animated = plan.probe.animation.filter(|a| a.frames > 1 && recipe.output.anim);
    if recipe.output.format == FormatChoice::Json {
        plan.kind = PlanKind::Json;
        if let Some(animation) = animated
            && passes_through(&plan, animation.frames)?
        {
            // What would be delivered is the source, so that is what is described.
            plan.recipe.steps.clear();
            plan.bases.clear();
            (plan.width, plan.height) = plan.probe.oriented_size();
        }
        plan.peak_bytes = describe_peak_bytes(&plan);
        return Ok(plan);
    }
    if plan.probe.first_of_many && recipe.output.anim {
        let format = plan.probe.format;
        plan.notices
            .push(Warning(format!("animated {format} images are not supported, the first frame was used")));
    }
    plan.format = output_format(&mut plan, animated.is_some());
    if animated.is_some()
        && let Some(format) = plan.format.filter(|f| !matches!(f, Format::Gif | Format::WebP))
    {
        plan.notices.push(Warning(format!("{format} images are not animated, the first frame was used")));
    }
    if let Some(animation) = animated
        && matches!(plan.format, Some(Format::Gif | Format::WebP))
    {
        if passes_through(&plan, animation.frames)? {
            if !plan.recipe.steps.is_empty() || plan.format != Some(plan.probe.format) {
                let text = "the animation is too large to be transformed, it was passed through as it is";
                plan.notices.push(Warning(text.to_owned()));
            }
            plan.kind = PlanKind::PassThrough;
            return Ok(plan);
        }
        plan.kind = PlanKind::Animation { frames: animation.frames };
    }
    plan.peak_bytes = peak_bytes(&plan);
    Ok(plan)
}

/// Whether an animation is delivered as it is, for its size.
///
/// # Errors
/// [`Error::TooLarge`] where it is not delivered at all.
fn passes_through(plan: &Plan, frames: u32) -> Result<bool, Error> {
    let Probe { width, height, .. } = *plan.probe;
    let area = u64::from(width) * u64::from(height);
    let total = area * u64::from(frames);
    if total > plan.limits.max_animation_pixels {
        let most = plan.limits.max_animation_pixels / area.max(1);
        return Err(Error::TooLarge(format!(
            "The animation is too large: {width}×{height} with {frames} frames; at this size at most {most} frames are allowed"
        )));
    }
    Ok(total > plan.limits.passthrough_animation_pixels)
}

/// Follows the sizes of all images through the steps, refuses what is too large, and removes draws that
/// fall outside their base, with all that was only made for them.
fn sizes(plan: &mut Plan) -> Result<(), Error> {
    let limits = &plan.limits;
    let used = plan.recipe.used_images();
    let mut sizes: Vec<Option<(u32, u32)>> = Vec::with_capacity(plan.recipe.inputs.len());
    for (i, input) in plan.recipe.inputs.iter().enumerate() {
        let probe = plan.probes.get(i).and_then(Option::as_ref);
        let size = match (input, probe) {
            _ if !used.get(i).copied().unwrap_or(false) => None,
            // How large a text becomes is known only to those who have its font.
            (Input::Text(_), None) => None,
            (_, None) => return Err(Error::NoSuchImage(i)),
            (_, Some(probe)) if probe.format == Format::Svg => {
                return Err(Error::Unsupported("SVG images can't be drawn onto other images".to_owned()));
            }
            (_, Some(probe)) => {
                if u64::from(probe.width) * u64::from(probe.height) > limits.max_pixels {
                    return Err(Error::TooLarge(format!(
                        "The image is too large: {}×{} is more than {} pixels",
                        probe.width, probe.height, limits.max_pixels
                    )));
                }
                Some(probe.oriented_size())
            }
        };
        sizes.push(size);
    }
    let parents = parents(&plan.recipe);
    let mut bases = Vec::with_capacity(plan.recipe.steps.len());
    let mut seen = Vec::with_capacity(plan.recipe.steps.len());
    let mut beyond_models = false;
    for step in &plan.recipe.steps {
        let mut base = (0, 0);
        let mut visible = true;
        match step {
            Step::Transform { image, transform } => {
                let parent = parents.get(*image).copied().flatten().unwrap_or(*image);
                base = sizes.get(parent).copied().flatten().unwrap_or_default();
                if let Some(size) = sizes.get_mut(*image)
                    && let Some(before) = *size
                {
                    let base = if base == (0, 0) { before } else { base };
                    let g = geometry::resolve(transform, before, base, limits)?;
                    beyond_models |= models::is_beyond(transform, &g, before, limits);
                    *size = Some(bordered(&g, transform));
                }
            }
            Step::Draw { image, onto, draw } => {
                let size = |i: &usize| sizes.get(*i).copied().flatten();
                if let (Some(base), Some(overlay)) = (size(onto), size(image)) {
                    visible = compose::touches(base, overlay, draw);
                }
            }
        }
        bases.push(base);
        seen.push(visible);
    }
    if let Some((width, height)) = sizes.first().copied().flatten() {
        (plan.width, plan.height) = (width, height);
    }
    if seen.contains(&false) {
        let mut visible = seen.iter();
        plan.recipe.steps.retain(|_| visible.next().copied().unwrap_or(true));
        plan.recipe.prune();
        return self::sizes(plan);
    }
    if beyond_models {
        let text = "upscale=generate: the image is too large for the model, bicubic interpolation was used";
        plan.notices.push(Warning(text.to_owned()));
    }
    plan.bases = bases;
    Ok(())
}

/// Onto which image each image is drawn first.
fn parents(recipe: &Recipe) -> Vec<Option<usize>> {
    let mut parents = vec![None; recipe.inputs.len()];
    for step in &recipe.steps {
        if let Step::Draw { image, onto, .. } = step
            && let Some(parent) = parents.get_mut(*image)
        {
            parent.get_or_insert(*onto);
        }
    }
    parents
}

/// The size of an image after a transform, its border included.
pub(crate) fn bordered(g: &Geometry, transform: &Transform) -> (u32, u32) {
    border_widths(transform)
        .map_or(g.size, |[top, right, bottom, left]| (g.size.0 + left + right, g.size.1 + top + bottom))
}

/// Widths of the border in output pixels: top, right, bottom, left.
pub(crate) fn border_widths(transform: &Transform) -> Option<[u32; 4]> {
    let dpr = transform.dpr.unwrap_or(1.0);
    let px = |w: u32| (f64::from(w) * dpr).round() as u32;
    transform.border.map(|b| [px(b.top), px(b.right), px(b.bottom), px(b.left)])
}

/// What needs a model that is not there answers with its number or a notice, never with silence.
fn refuse_unbuilt(transform: &Transform, limits: &Limits, notices: &mut Vec<Warning>) -> Result<(), Error> {
    if transform.segment_foreground && limits.models.segment.is_none() {
        let text = "segment: no segmentation model is configured; the setting segment-model names its file";
        return Err(Error::Option(text.to_owned()));
    }
    if transform.upscale == Some(recipe::Upscale::Generate) && limits.models.enlarge.is_empty() {
        notices.push(Warning("upscale=generate is not available, bicubic interpolation was used".to_owned()));
    }
    Ok(())
}

fn svg(mut plan: Plan) -> Result<Plan, Error> {
    match plan.recipe.output.format {
        FormatChoice::Standard | FormatChoice::Auto { .. } | FormatChoice::Svg => {
            plan.kind = PlanKind::Svg;
            plan.peak_bytes = codecs::codec::svg::peak_bytes(&plan.probe);
            plan.format = Some(Format::Svg);
        }
        FormatChoice::Json => plan.kind = PlanKind::Json,
        _ => return Err(Error::Unsupported("SVG images can't be converted to other formats".to_owned())),
    }
    Ok(plan)
}
