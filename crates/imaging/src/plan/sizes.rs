//! The sizes of all images through the steps; draws outside of their base are removed.

use std::sync::Arc;

use codecs::{Format, Probe};
use recipe::{Recipe, Step, Transform};
use work::Work;

use super::enlarge;
use super::geometry::{self, Geometry};
use super::maxima;
use super::step::border_question;
use crate::ops::compose;
use crate::{Error, Limits};

/// The size of an image at one point of a recipe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ImageSize {
    /// The size, if no border is found in earlier steps.
    pub(super) expected: (u32, u32),
    /// The largest possible size.
    pub(super) largest: (u32, u32),
    /// Whether `expected` does not depend on pixels.
    pub(super) is_known: bool,
}

impl ImageSize {
    fn known(size: (u32, u32)) -> Self {
        Self { expected: size, largest: size, is_known: true }
    }

    pub(super) fn if_known(self) -> Option<(u32, u32)> {
        self.is_known.then_some(self.expected)
    }
}

/// The sizes around one step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum StepSizes {
    Transform { base: (u32, u32), before: ImageSize, geometry: Geometry, largest: (u32, u32), reduces: bool },
    Draw { base: ImageSize, overlay: ImageSize },
}

/// The sizes of a recipe.
#[derive(Debug)]
pub(super) struct Sizes {
    pub(super) steps: Vec<StepSizes>,
    /// Image 0 after all steps.
    pub(super) result: ImageSize,
    /// Whether a model is requested and available, but its result would be above the limits.
    pub(super) beyond_models: bool,
    /// Whether a model is requested for an enlargement, and there is none.
    pub(super) lacks_models: bool,
}

/// Computes the sizes of all images through the steps, refuses images that are too large, and removes draws that
/// lie outside of their base, with the steps that served only them. With `reduces`, the last step moves what it finds
/// down to the operator's limits.
///
/// # Errors
/// Sizes that are refused.
pub(super) fn follow(
    recipe: &mut Recipe,
    probes: &[Option<Arc<Probe>>],
    limits: &Limits,
    reduces: bool,
    work: &Work,
) -> Result<Sizes, Error> {
    loop {
        let (sizes, visible) = once(recipe, probes, limits, reduces, work)?;
        if !visible.contains(&false) {
            return Ok(sizes);
        }
        let mut visible = visible.iter();
        recipe.steps.retain(|_| visible.next().copied().unwrap_or(true));
        recipe.prune();
    }
}

fn once(
    recipe: &Recipe,
    probes: &[Option<Arc<Probe>>],
    limits: &Limits,
    reduces: bool,
    work: &Work,
) -> Result<(Sizes, Vec<bool>), Error> {
    let mut images = sources(recipe, probes, limits)?;
    let parents = parents(recipe);
    let mut steps = Vec::with_capacity(recipe.steps.len());
    let mut visible = Vec::with_capacity(recipe.steps.len());
    let (mut beyond_models, mut lacks_models) = (false, false);
    let find = |images: &[Option<ImageSize>], i: usize| {
        images.get(i).copied().flatten().ok_or(Error::NoSuchImage(i))
    };
    for (index, step) in recipe.steps.iter().enumerate() {
        work.check()?;
        let (sizes, is_visible) = match step {
            Step::Transform { image, transform } => {
                let before = find(&images, *image)?;
                let parent = parents.get(*image).copied().flatten().unwrap_or(*image);
                let base = find(&images, parent)?.expected;
                let reduces = reduces && index + 1 == recipe.steps.len();
                let geometry = if reduces {
                    let reduced = maxima::to_limits(before.expected, &limits.output);
                    geometry::resolve(&reduced, before.expected, base, limits)?
                } else {
                    geometry::resolve(transform, before.expected, base, limits)?
                };
                beyond_models |= enlarge::is_beyond(transform, &geometry, before.expected, limits);
                lacks_models |= enlarge::is_missing(transform, &geometry, before.expected, limits);
                let after = after(transform, base, before, &geometry, limits);
                if let Some(size) = images.get_mut(*image) {
                    *size = Some(after);
                }
                (StepSizes::Transform { base, before, geometry, largest: after.largest, reduces }, true)
            }
            Step::Draw { image, onto, draw } => {
                let (base, overlay) = (find(&images, *onto)?, find(&images, *image)?);
                let is_known = base.is_known && overlay.is_known;
                let visible = !is_known || compose::touches(base.expected, overlay.expected, draw);
                (StepSizes::Draw { base, overlay }, visible)
            }
        };
        steps.push(sizes);
        visible.push(is_visible);
    }
    Ok((Sizes { steps, result: find(&images, 0)?, beyond_models, lacks_models }, visible))
}

/// The upright sizes of the inputs that are used.
fn sources(
    recipe: &Recipe,
    probes: &[Option<Arc<Probe>>],
    limits: &Limits,
) -> Result<Vec<Option<ImageSize>>, Error> {
    let source = |(i, used): (usize, bool)| {
        if !used {
            return Ok(None);
        }
        let probe = probes.get(i).and_then(Option::as_ref).ok_or(Error::NoSuchImage(i))?;
        if probe.format == Format::Svg {
            return Err(Error::Unsupported("SVG images can't be drawn onto other images".to_owned()));
        }
        limits.check_area((probe.width, probe.height))?;
        Ok(Some(ImageSize::known(probe.oriented_size())))
    };
    recipe.used_images().into_iter().enumerate().map(source).collect()
}

fn after(
    transform: &Transform,
    base: (u32, u32),
    before: ImageSize,
    geometry: &Geometry,
    limits: &Limits,
) -> ImageSize {
    if before.is_known && border_question(transform).is_none() {
        return ImageSize::known(geometry.bordered);
    }
    let largest = geometry::largest(transform, before.largest, base, limits);
    ImageSize { expected: geometry.bordered, largest, is_known: false }
}

/// The image onto which each image is drawn first.
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
