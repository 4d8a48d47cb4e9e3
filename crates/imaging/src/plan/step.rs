//! The planned steps: the operations on each image, in order, and the questions about pixels that come first.

use std::sync::Arc;

use codecs::Probe;
use recipe::{BorderTrim, Draw, Transform};

use super::enlarge::{self, EnlargePass};
use super::geometry::{self, Geometry};
use super::mapping::{Mapping, decode_scale};
use super::maxima;
use super::subject;
use super::{cost::StepCost, faces};
use crate::analysis::subject::SubjectMeasure;
use crate::models::SegmentModel;
use crate::ops::effects;
use crate::ops::turn::Turn;
use crate::rect::{Area, Pad, Window};
use crate::{Error, Limits};

/// One step of a plan.
#[derive(Debug, Clone, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "a plan has few steps, and most are the large variant")]
pub enum PlannedStep {
    Transform(PlannedTransform),
    Draw(PlannedDraw),
}

/// A transform of one image in place.
#[derive(Debug, Clone, PartialEq)]
pub struct PlannedTransform {
    /// Number of the image.
    pub image: usize,
    /// The requested options: effects, border, background, and the sizes that are completed after a question.
    pub options: Transform,
    /// The size that fractional dimensions refer to.
    pub base: (u32, u32),
    /// Upright size of the image before the step; `None` if it depends on a border found earlier.
    pub before: Option<(u32, u32)>,
    pub source: PixelSource,
    /// The model that finds the foreground, if the background is removed first.
    pub segment: Option<SegmentModel>,
    /// Sizes and windows; for questions, with the answer that changes nothing.
    pub geometry: Geometry,
    /// The first question, or the placement if there is no question.
    pub next: Next,
    /// The result is never larger than this.
    pub largest: (u32, u32),
    /// Whether the step moves what it finds down to the operator's limits: the last step of a result whose size
    /// depends on pixels.
    pub reduces: bool,
    pub cost: StepCost,
}

/// The source of the pixels of a transform.
#[derive(Debug, Clone, PartialEq)]
pub enum PixelSource {
    /// Rows of a file flow through the resampler while they are decoded.
    Rows(Arc<Probe>),
    /// A bitmap.
    Bitmap,
}

/// A draw of one image onto another.
#[derive(Debug, Clone, PartialEq)]
pub struct PlannedDraw {
    pub image: usize,
    pub onto: usize,
    pub draw: Draw,
    /// Whether a later step uses the drawn image again.
    pub used_again: bool,
    /// Sizes of base and overlay; `None` if they depend on a border found earlier.
    pub base: Option<(u32, u32)>,
    pub overlay: Option<(u32, u32)>,
    pub cost: StepCost,
}

/// The next action of a step.
#[derive(Debug, Clone, Copy, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "plain data that is copied a few times for each step")]
pub enum Next {
    Ask(Question),
    Scale(Placement),
}

/// A fact about pixels that a step depends on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Question {
    /// The size of the image, after a border that was found in an earlier step.
    Size,
    /// The window inside a uniform border.
    Border(BorderTrim),
    /// The box around all faces, on a thumbnail.
    Faces { thumbnail: Scaling },
    /// The position of a window (`window`: fractions of width and height), on a thumbnail of the scaled whole.
    Subject { whole: Scaling, thumbnail: (u32, u32), window: (f64, f64), measure: SubjectMeasure },
}

/// The answers to the questions of one step. All frames of an animation share them.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Answers {
    pub size: Option<(u32, u32)>,
    pub border: Option<Window>,
    /// As fractions of width and height; `Some(None)`: there is no face.
    pub faces: Option<Option<Area>>,
    /// Left and top edge, as fractions of width and height.
    pub subject: Option<(f64, f64)>,
}

/// How the pixels of a step are made when all questions are answered.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Placement {
    pub scaling: Scaling,
    /// A window that is cropped after the scaling, and scaled again.
    pub crop: Option<Crop>,
    /// The padding canvas, where it is larger than the scaled image.
    pub pad: Option<Pad>,
    /// Size of the result, with its border.
    pub size: (u32, u32),
}

/// A pass of the resampler, or of a model and the resampler.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scaling {
    pub mapping: Mapping,
    /// Denominator of the scale at which a file is decoded.
    pub decode_scale: u32,
    /// A model enlarges first; the pass has its own mapping to the result.
    pub enlarge: Option<EnlargePass>,
}

/// A window of whole pixels that is cropped and then scaled.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Crop {
    pub window: Window,
    pub then: Scaling,
}

impl PlannedTransform {
    /// The next question of the step, or its placement if `answers` is complete. Pure.
    ///
    /// # Errors
    /// [`Error::Enlarged`], [`Error::TooLarge`] and [`Error::Empty`], as [`geometry::resolve`].
    pub fn complete(&self, answers: &Answers, limits: &Limits) -> Result<Next, Error> {
        let options = &self.options;
        let Some(size) = self.before.or(answers.size) else { return Ok(Next::Ask(Question::Size)) };
        let g = match border_question(options) {
            None if self.reduces => {
                geometry::resolve(&maxima::to_limits(size, &limits.output), size, self.base, limits)?
            }
            None => geometry::resolve(options, size, self.base, limits)?,
            Some(question) => match answers.border {
                None => return Ok(Next::Ask(Question::Border(question))),
                Some(window) => geometry::resolve_in(window, options, self.base, limits)?,
            },
        };
        let turned = geometry::turned(options, (g.window.width, g.window.height));
        let g = if faces::needed(options, &g, turned) {
            match answers.faces {
                None => {
                    let small = g.of_all(turned, faces::thumbnail(turned));
                    let thumbnail = self.scaling(&small, size, limits);
                    return Ok(Next::Ask(Question::Faces { thumbnail }));
                }
                Some(found) => found.map_or(g, |part| faces::with_faces(g, options, turned, part)),
            }
        } else {
            g
        };
        let pad = g.pad.filter(|_| g.pads());
        let Some(measure) = subject::needed(options, &g, turned) else {
            let scaling = self.scaling(&g, size, limits);
            return Ok(Next::Scale(Placement { scaling, crop: None, pad, size: g.bordered }));
        };
        let all = subject::whole_size(&g, turned);
        limits.check(all, turned)?;
        let whole = self.scaling(&g.of_all(turned, all), size, limits);
        let crop = subject::crop_size(&g, turned, all);
        let Some(at) = answers.subject else {
            let part = |crop: u32, all: u32| f64::from(crop) / f64::from(all);
            let window = (part(crop.0, all.0), part(crop.1, all.1));
            let thumbnail = subject::thumbnail(all);
            return Ok(Next::Ask(Question::Subject { whole, thumbnail, window, measure }));
        };
        let window = subject::window(at, crop, all);
        let mapping = Mapping::of_all((window.width, window.height), g.scaled);
        let enlarge = EnlargePass::of(options, &mapping, limits);
        let crop = Crop { window, then: Scaling { mapping, decode_scale: 1, enlarge } };
        Ok(Next::Scale(Placement { scaling: whole, crop: Some(crop), pad, size: g.bordered }))
    }

    fn scaling(&self, g: &Geometry, size: (u32, u32), limits: &Limits) -> Scaling {
        match &self.source {
            PixelSource::Rows(probe) => {
                let upright = Turn::from_orientation(probe.orientation);
                let mapping = Mapping::new(g, &self.options, upright, size);
                Scaling { mapping, decode_scale: decode_scale(probe, &mapping), enlarge: None }
            }
            PixelSource::Bitmap => {
                let mapping = Mapping::new(g, &self.options, Turn::default(), size);
                let enlarge = EnlargePass::of(&self.options, &mapping, limits);
                Scaling { mapping, decode_scale: 1, enlarge }
            }
        }
    }

    /// The mapping of the geometry to the stored pixels of `probe`.
    pub(super) fn mapping_of_geometry(&self, probe: &Probe) -> Mapping {
        let upright = Turn::from_orientation(probe.orientation);
        Mapping::new(&self.geometry, &self.options, upright, probe.oriented_size())
    }

    /// Whether the step changes no pixel, apart from a background.
    pub(super) fn is_identity(&self) -> bool {
        let t = &self.options;
        let size = self.geometry.bordered;
        let before = Some(size) == self.before;
        let same = matches!(self.next, Next::Scale(p) if p.scaling.mapping == Mapping::of_all(size, size) && p.pad.is_none());
        before && same && only_resizes(t) && self.segment.is_none()
    }

    /// Whether the size of the result depends on pixels.
    #[must_use]
    pub fn measures(&self) -> bool {
        self.before.is_none() || border_question(&self.options).is_some()
    }
}

/// The border that the transform has to find, with `keep` in pixels of the image.
pub(crate) fn border_question(transform: &Transform) -> Option<BorderTrim> {
    let detect = transform.trim.and_then(|t| t.border)?;
    let keep = (f64::from(detect.keep) * transform.dpr.unwrap_or(1.0)).round() as u32;
    Some(BorderTrim { keep, ..detect })
}

/// Whether the transform needs the whole image as a bitmap before it can scale any of it.
pub(crate) fn needs_bitmap(transform: &Transform, g: &Geometry, size: (u32, u32), limits: &Limits) -> bool {
    border_question(transform).is_some()
        || transform.segment_foreground
        || enlarge::needs_bitmap(transform, g, size, limits)
}

/// Whether the transform only scales, turns and pads.
pub(crate) fn only_resizes(transform: &Transform) -> bool {
    effects::of(transform).next().is_none() && transform.border.is_none()
}
