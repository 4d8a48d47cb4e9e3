//! The planner: from a recipe and the headers of its inputs to a plan, without reading a pixel.

use std::sync::Arc;

use codecs::{Format, Probe};
use recipe::{FormatChoice, Input, Recipe, Step, Transform, Warnings};
use work::Work;

use super::bound::{self, Reduction};
use super::cost::{Cost, DecodeCost, StepCost};
use super::estimate;
use super::geometry::Geometry;
use super::image::{ImageSource, PlannedImage};
use super::maxima;
use super::output::{self, FormatInput, PlannedOutput};
use super::rows::RowPipeline;
use super::sizes::{self, ImageSize, Sizes, StepSizes};
use super::step::{
    Answers, Next, PixelSource, PlannedDraw, PlannedStep, PlannedTransform, Question, border_question,
    needs_bitmap,
};
use super::types::{Path, Plan, PlanKind, PlannedDescription};
use crate::{Error, Limits};

/// Plans a recipe. `probes[i]` is the header of input `i`, by [`crate::probe`] or [`crate::probe_text`]; `None` for
/// images that are not needed according to [`Recipe::used_images`].
///
/// # Errors
/// Everything that can be refused without reading pixels; the deadline and cancellation of `work`.
pub fn plan(
    recipe: &Arc<Recipe>,
    probes: &[Option<Arc<Probe>>],
    limits: &Arc<Limits>,
    work: &Work,
) -> Result<Plan, Error> {
    work.check()?;
    let probe = probes.first().and_then(Option::as_ref).ok_or(Error::NoSuchImage(0))?;
    if recipe.steps.len() > limits.max_steps || recipe.inputs.len() > limits.max_inputs {
        return Err(Error::TooLarge(format!(
            "The request is too large: at most {} steps and {} images are possible",
            limits.max_steps, limits.max_inputs
        )));
    }
    let mut warnings = Warnings::default();
    // Assumptions that the decoder will make about faulty files.
    for probe in probes.iter().flatten() {
        probe.warnings.iter().for_each(|warning| warnings.push(*warning));
    }
    for step in &recipe.steps {
        if let Step::Transform { transform, .. } = step {
            check_models(transform, limits)?;
        }
    }
    if probe.format == Format::Svg {
        return svg(recipe, probe, limits, warnings);
    }
    if recipe.output.format == FormatChoice::Svg {
        return Err(Error::Unsupported("Bitmap images can't be converted to SVG".to_owned()));
    }
    let mut pruned = Recipe::clone(recipe);
    pruned.prune();
    let mut sizes = sizes::follow(&mut pruned, probes, limits, false, work)?;
    match bound::shrink(&mut pruned, &sizes, &limits.output, &mut warnings) {
        Reduction::None => {}
        Reduction::Planned => sizes = sizes::follow(&mut pruned, probes, limits, false, work)?,
        Reduction::LastStep => sizes = sizes::follow(&mut pruned, probes, limits, true, work)?,
    }
    if sizes.lacks_models {
        warnings.push("upscale=generate is not available, bicubic interpolation was used");
    }
    if sizes.beyond_models {
        warnings
            .push("upscale=generate: the image is too large for the model, bicubic interpolation was used");
    }
    let planner = Planner { recipe: Arc::new(pruned), probes, probe, limits };
    if planner.recipe.output.format == FormatChoice::Json {
        return planner.json(&sizes, warnings);
    }
    planner.picture(&sizes, warnings)
}

/// Refuses `segment` without a model.
fn check_models(transform: &Transform, limits: &Limits) -> Result<(), Error> {
    if transform.segment_foreground && limits.models.segment.is_none() {
        let text = "segment: no segmentation model is configured; the setting segment-model names its file";
        return Err(Error::Option(text.to_owned()));
    }
    Ok(())
}

fn svg(
    recipe: &Arc<Recipe>,
    probe: &Arc<Probe>,
    limits: &Arc<Limits>,
    warnings: Warnings,
) -> Result<Plan, Error> {
    let (width, height) = probe.oriented_size();
    if recipe.output.format != FormatChoice::Json {
        output::check_allowed(Format::Svg, limits)?;
    }
    let (kind, format, description, peak_bytes) = match recipe.output.format {
        FormatChoice::Standard | FormatChoice::Auto { .. } | FormatChoice::Svg => {
            (PlanKind::Svg, Some(Format::Svg), None, codecs::codec::svg::peak_bytes(probe))
        }
        FormatChoice::Json => {
            let description = PlannedDescription { mask_before: None, measures: false, frames: None };
            (PlanKind::Json, None, Some(description), 0)
        }
        _ => return Err(Error::Unsupported("SVG images can't be converted to other formats".to_owned())),
    };
    let mut images = vec![unused(); recipe.inputs.len()];
    // The text is parsed several times.
    let cost = DecodeCost { cpu_ns: probe.file_size.saturating_mul(100), ..DecodeCost::default() };
    if let Some(image) = images.first_mut() {
        *image = PlannedImage { source: ImageSource::File(Arc::clone(probe)), load: None, cost };
    }
    let cpu_ns = if kind == PlanKind::Svg { cost.cpu_ns } else { 0 };
    let encoding = output::encoding(&recipe.output, probe);
    Ok(Plan {
        kind,
        images,
        steps: vec![],
        path: Path::Bitmap,
        description,
        output: PlannedOutput { width, height, format, encoding, background: None, unchanged: false },
        cost: Cost { peak_bytes, cpu_ns },
        warnings,
        recipe: Arc::clone(recipe),
        limits: Arc::clone(limits),
    })
}

fn unused() -> PlannedImage {
    PlannedImage { source: ImageSource::Unused, load: None, cost: DecodeCost::default() }
}

/// The inputs of all parts of a plan.
struct Planner<'a> {
    /// Without the steps that do not change the result.
    recipe: Arc<Recipe>,
    probes: &'a [Option<Arc<Probe>>],
    /// The header of image 0.
    probe: &'a Arc<Probe>,
    limits: &'a Arc<Limits>,
}

impl Planner<'_> {
    /// The number of frames of an animated canvas that the result needs.
    fn frames(&self) -> Option<u32> {
        self.probe.animation.filter(|a| a.frames > 1 && self.recipe.output.anim).map(|a| a.frames)
    }

    fn picture(self, sizes: &Sizes, mut warnings: Warnings) -> Result<Plan, Error> {
        let size = sizes.result.expected;
        let frames = self.frames();
        if self.probe.first_of_many && self.recipe.output.anim {
            let format = self.probe.format;
            warnings.push(format!("animated {format} images are not supported, the first frame was used"));
        }
        let input = FormatInput {
            recipe: &self.recipe,
            probe: self.probe,
            limits: self.limits,
            size,
            animated: frames.is_some(),
        };
        let format = output::output_format(input, &mut warnings)?;
        let animates = matches!(format, Some(Format::Gif | Format::WebP));
        let frames = match (frames, format) {
            (Some(frames), _) if animates => Some(frames),
            (Some(_), Some(format)) => {
                warnings.push(format!("{format} images are not animated, the first frame was used"));
                None
            }
            _ => None,
        };
        let output = PlannedOutput {
            width: size.0,
            height: size.1,
            format,
            encoding: output::encoding(&self.recipe.output, self.probe),
            background: self.recipe.output.background,
            unchanged: false,
        };
        let Some(frames) = frames else { return self.still(sizes, output, warnings) };
        let kept = bound::frames(frames, &self.limits.output, &mut warnings);
        if self.passes_through(frames)?
            && kept == frames
            && !maxima::is_above(self.probe.oriented_size(), &self.limits.output)
        {
            if !self.recipe.steps.is_empty() || format != Some(self.probe.format) {
                warnings.push("the animation is too large to be transformed, it was passed through as it is");
            }
            return Ok(self.pass_through(output, warnings));
        }
        // Frames may keep their size through all steps.
        self.limits.check(size, self.probe.oriented_size())?;
        let (images, steps) = self.build(sizes, Some(kept), true)?;
        let encode = estimate::encoding(&output, sizes.result.largest, self.limits.max_pixels);
        let cost = estimate::sum_of_bitmaps(&images, &steps, encode, Some((kept, sizes.result.largest)));
        Ok(self.finish(PlanKind::Animation { frames: kept }, images, steps, output, cost, warnings))
    }

    fn still(self, sizes: &Sizes, mut output: PlannedOutput, warnings: Warnings) -> Result<Plan, Error> {
        let (images, steps) = self.build(sizes, None, true)?;
        output.unchanged = self.is_unchanged(&steps);
        let only = match steps.as_slice() {
            [] => images.first().and_then(|image| image.load.as_ref()),
            [PlannedStep::Transform(step)] if step.image == 0 => Some(step),
            _ => None,
        };
        let rows = only.and_then(|step| Some((step, RowPipeline::new(step, &output)?)));
        let (path, cost) = match (rows, images.first()) {
            (Some((step, rows)), Some(image)) => {
                let cost = estimate::sum_of_rows(image, step, rows.cost);
                (Path::Rows(rows), cost)
            }
            _ => {
                let encode = estimate::encoding(&output, sizes.result.largest, self.limits.max_pixels);
                (Path::Bitmap, estimate::sum_of_bitmaps(&images, &steps, encode, None))
            }
        };
        // The source without its metadata is held beside the result.
        let kept = if output.unchanged { self.probe.file_size } else { 0 };
        let cost = Cost { peak_bytes: cost.peak_bytes + kept, ..cost };
        Ok(Plan { path, ..self.finish(PlanKind::Still, images, steps, output, cost, warnings) })
    }

    /// Whether every pixel of the result equals that of the source.
    fn is_unchanged(&self, steps: &[PlannedStep]) -> bool {
        let flattens = |background: Option<recipe::Color>| background.is_some() && self.probe.alpha;
        let keeps = match steps {
            [] => true,
            [PlannedStep::Transform(step)] => step.is_identity() && !flattens(step.options.background),
            _ => false,
        };
        let is_file = matches!(self.recipe.inputs.first(), Some(Input::Supplied | Input::Url(_)));
        keeps
            && is_file
            && !flattens(self.recipe.output.background)
            && self.probe.animation.is_none()
            && output::shows_as_stored(self.probe)
    }

    fn json(self, sizes: &Sizes, warnings: Warnings) -> Result<Plan, Error> {
        let frames = self.frames();
        // The source would be delivered, so the source is described.
        let is_source = match frames {
            Some(frames) => {
                self.passes_through(frames)?
                    && !maxima::is_above(self.probe.oriented_size(), &self.limits.output)
            }
            None => false,
        };
        let of_canvas = |found: fn(&Transform) -> bool| {
            let is_found =
                |step: &Step| matches!(step, Step::Transform { image: 0, transform } if found(transform));
            self.recipe.steps.iter().position(is_found).filter(|_| !is_source)
        };
        let mask_before = of_canvas(|transform| transform.segment_foreground);
        let measures = of_canvas(|transform| border_question(transform).is_some()).is_some();
        let description = PlannedDescription { mask_before, measures, frames };
        let size = if is_source { self.probe.oriented_size() } else { sizes.result.expected };
        let output = PlannedOutput {
            width: size.0,
            height: size.1,
            format: None,
            encoding: output::encoding(&self.recipe.output, self.probe),
            background: None,
            unchanged: false,
        };
        let (images, steps) =
            if is_source { (self.sources(), vec![]) } else { self.build(sizes, frames, false)? };
        let cost = if mask_before.is_some() || measures {
            let encode = estimate::encoding(&output, sizes.result.largest, self.limits.max_pixels);
            let mut cost = estimate::sum_of_bitmaps(&images, &steps, encode, Some((1, sizes.result.largest)));
            cost.peak_bytes +=
                mask_before.map_or(0, |_| estimate::mask_text_bytes(self.probe.oriented_size()));
            cost
        } else {
            Cost::default()
        };
        let plan = self.finish(PlanKind::Json, images, steps, output, cost, warnings);
        Ok(Plan { description: Some(description), ..plan })
    }

    fn pass_through(self, output: PlannedOutput, warnings: Warnings) -> Plan {
        let (width, height) = self.probe.oriented_size();
        let output = PlannedOutput { width, height, format: Some(self.probe.format), ..output };
        let images = self.sources();
        self.finish(PlanKind::PassThrough, images, vec![], output, Cost::default(), warnings)
    }

    /// The images of a plan that renders no pixels.
    fn sources(&self) -> Vec<PlannedImage> {
        let mut images = vec![unused(); self.recipe.inputs.len()];
        if let Some(image) = images.first_mut() {
            image.source = ImageSource::File(Arc::clone(self.probe));
        }
        images
    }

    fn finish(
        self,
        kind: PlanKind,
        images: Vec<PlannedImage>,
        steps: Vec<PlannedStep>,
        output: PlannedOutput,
        cost: Cost,
        warnings: Warnings,
    ) -> Plan {
        Plan {
            kind,
            images,
            steps,
            path: Path::Bitmap,
            description: None,
            output,
            cost,
            warnings,
            recipe: self.recipe,
            limits: Arc::clone(self.limits),
        }
    }

    /// Whether an animation is passed through because of its size.
    ///
    /// # Errors
    /// [`Error::TooLarge`] above the limit of animations.
    fn passes_through(&self, frames: u32) -> Result<bool, Error> {
        let Probe { width, height, .. } = **self.probe;
        let area = u64::from(width) * u64::from(height);
        let total = area.saturating_mul(frames.into());
        if total > self.limits.max_animation_pixels {
            let most = self.limits.max_animation_pixels / area.max(1);
            return Err(Error::TooLarge(format!(
                "The animation is too large: {width}×{height} with {frames} frames; at this size at most {most} frames are allowed"
            )));
        }
        Ok(total > self.limits.passthrough_animation_pixels)
    }

    /// Images and steps with everything that depends on sizes. With `renders` the canvas is needed as pixels at the end.
    fn build(
        &self,
        sizes: &Sizes,
        frames: Option<u32>,
        renders: bool,
    ) -> Result<(Vec<PlannedImage>, Vec<PlannedStep>), Error> {
        let mut images = self.images(frames)?;
        let mut steps = Vec::with_capacity(self.recipe.steps.len());
        for (index, (step, sizes)) in self.recipe.steps.iter().zip(&sizes.steps).enumerate() {
            steps.push(match (step, sizes) {
                (
                    Step::Transform { image, transform },
                    StepSizes::Transform { base, before, geometry, largest, reduces },
                ) => {
                    let sizes = TransformSizes {
                        base: *base,
                        before: *before,
                        geometry,
                        largest: *largest,
                        reduces: *reduces,
                    };
                    PlannedStep::Transform(self.transform(&mut images, *image, transform, sizes)?)
                }
                (Step::Draw { image, onto, draw }, StepSizes::Draw { base, overlay }) => {
                    self.load(&mut images, *onto)?;
                    self.load(&mut images, *image)?;
                    let tiled = draw.repeat != recipe::Repeat::None;
                    PlannedStep::Draw(PlannedDraw {
                        image: *image,
                        onto: *onto,
                        draw: *draw,
                        used_again: self.is_used_after(index, *image),
                        base: base.if_known(),
                        overlay: overlay.if_known(),
                        cost: estimate::draw(base.largest, overlay.largest, tiled),
                    })
                }
                _ => return Err(Error::Internal("the sizes belong to another step".to_owned())),
            });
        }
        if renders {
            self.load(&mut images, 0)?;
        }
        let images = images.into_iter().map(|state| state.image).collect();
        Ok((images, steps))
    }

    fn images(&self, frames: Option<u32>) -> Result<Vec<ImageState>, Error> {
        let used = self.recipe.used_images();
        let state = |(i, input): (usize, &Input)| {
            if !used.get(i).copied().unwrap_or(false) {
                return Ok(ImageState { image: unused(), is_bitmap: true });
            }
            let probe = self.probes.get(i).and_then(Option::as_ref).ok_or(Error::NoSuchImage(i))?;
            let (width, height) = probe.oriented_size();
            let bitmap_bytes = codecs::Layout::Rgba.bytes(width, height);
            Ok(match (input, frames) {
                (Input::Text(_), _) => {
                    let pixels = u64::from(width) * u64::from(height);
                    // Shaping, and painting each glyph.
                    let cost = DecodeCost { decoder_bytes: 0, bitmap_bytes, cpu_ns: 1_000_000 + pixels * 20 };
                    let source = ImageSource::Text { width, height };
                    ImageState { image: PlannedImage { source, load: None, cost }, is_bitmap: true }
                }
                (_, Some(frames)) if i == 0 => {
                    let decode = estimate::decoding(probe, None);
                    let cpu_ns = decode.cpu_ns * u64::from(frames);
                    let cost = DecodeCost { bitmap_bytes, cpu_ns, ..decode };
                    let source = ImageSource::Frames(Arc::clone(probe));
                    ImageState { image: PlannedImage { source, load: None, cost }, is_bitmap: true }
                }
                _ => {
                    let source = ImageSource::File(Arc::clone(probe));
                    let image = PlannedImage { source, load: None, cost: DecodeCost::default() };
                    ImageState { image, is_bitmap: false }
                }
            })
        };
        self.recipe.inputs.iter().enumerate().map(state).collect()
    }

    fn transform(
        &self,
        images: &mut [ImageState],
        image: usize,
        options: &Transform,
        sizes: TransformSizes<'_>,
    ) -> Result<PlannedTransform, Error> {
        let TransformSizes { base, before, geometry, largest, reduces } = sizes;
        let source = match images.get(image) {
            Some(ImageState {
                image: PlannedImage { source: ImageSource::File(probe), .. },
                is_bitmap: false,
            }) if !needs_bitmap(options, geometry, before.expected, self.limits) => {
                PixelSource::Rows(Arc::clone(probe))
            }
            _ => {
                self.load(images, image)?;
                PixelSource::Bitmap
            }
        };
        let segment = self.limits.models.segment.filter(|_| options.segment_foreground);
        let mut step = PlannedTransform {
            image,
            options: options.clone(),
            base,
            before: before.if_known(),
            source,
            segment,
            geometry: *geometry,
            next: Next::Ask(Question::Size),
            largest,
            reduces,
            cost: StepCost::default(),
        };
        step.next = step.complete(&Answers::default(), self.limits)?;
        step.cost = estimate::transform(options, &step, before.largest, segment, self.limits);
        if let (PixelSource::Rows(probe), Some(state)) = (&step.source, images.get_mut(image)) {
            state.image.cost = estimate::decoding(probe, Some(&step));
            state.is_bitmap = true;
        }
        Ok(step)
    }

    /// Plans to decode the whole file of an image that no step has decoded yet.
    fn load(&self, images: &mut [ImageState], index: usize) -> Result<(), Error> {
        let state = images.get_mut(index).ok_or(Error::NoSuchImage(index))?;
        let probe = match &state.image.source {
            ImageSource::File(probe) if !state.is_bitmap => Arc::clone(probe),
            _ => return Ok(()),
        };
        let size = probe.oriented_size();
        let options = Transform::default();
        let mut step = PlannedTransform {
            image: index,
            base: size,
            before: Some(size),
            source: PixelSource::Rows(Arc::clone(&probe)),
            segment: None,
            geometry: super::geometry::resolve(&options, size, size, self.limits)?,
            next: Next::Ask(Question::Size),
            largest: size,
            reduces: false,
            cost: StepCost::default(),
            options,
        };
        step.next = step.complete(&Answers::default(), self.limits)?;
        let bitmap_bytes = codecs::Layout::Rgba.bytes(size.0, size.1);
        state.image.cost = DecodeCost { bitmap_bytes, ..estimate::decoding(&probe, Some(&step)) };
        state.image.load = Some(step);
        state.is_bitmap = true;
        Ok(())
    }

    fn is_used_after(&self, index: usize, image: usize) -> bool {
        let later = self.recipe.steps.get(index + 1..).unwrap_or_default();
        later.iter().any(|step| match step {
            Step::Draw { image: i, onto, .. } => *i == image || *onto == image,
            Step::Transform { image: i, .. } => *i == image,
        })
    }
}

/// The sizes around one transform.
#[derive(Debug, Clone, Copy)]
struct TransformSizes<'a> {
    base: (u32, u32),
    before: ImageSize,
    geometry: &'a Geometry,
    largest: (u32, u32),
    reduces: bool,
}

/// The state of an image while the steps are planned.
#[derive(Debug)]
struct ImageState {
    image: PlannedImage,
    /// Whether it is a bitmap at this point.
    is_bitmap: bool,
}
