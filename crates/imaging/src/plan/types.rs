//! The types of a plan: everything that is known before a pixel is decoded.

use std::sync::Arc;

use recipe::{Recipe, Warnings};

use super::cost::Cost;
use super::image::PlannedImage;
use super::output::PlannedOutput;
use super::rows::RowPipeline;
use super::step::PlannedStep;
use crate::Limits;

/// The kind of work of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlanKind {
    /// Decode, transform and encode one image.
    Still,
    /// The same for every frame.
    Animation { frames: u32 },
    /// The bytes of image 0 are the result (animations above the pass-through limit).
    PassThrough,
    /// SVG: sanitised, not resized.
    Svg,
    /// `format=json`: pixels are rendered only for the mask of `segment=foreground` and to find a border.
    Json,
}

/// The instructions for [`crate::render`], as data. Made by [`crate::plan()`].
#[derive(Debug, Clone)]
pub struct Plan {
    pub kind: PlanKind,
    /// One for each input of the recipe.
    pub images: Vec<PlannedImage>,
    /// Without the steps that do not change the result.
    pub steps: Vec<PlannedStep>,
    pub path: Path,
    /// The plan of `format=json`; `None` for all other outputs.
    pub description: Option<PlannedDescription>,
    pub output: PlannedOutput,
    pub cost: Cost,
    pub warnings: Warnings,
    /// The source of the texts that are painted.
    pub(crate) recipe: Arc<Recipe>,
    pub(crate) limits: Arc<Limits>,
}

/// The path of pixels from the decoder to the encoder.
#[derive(Debug, Clone, PartialEq)]
pub enum Path {
    /// Rows flow through; a bitmap is held only for a turn.
    Rows(RowPipeline),
    Bitmap,
}

/// The pixels that a description needs, and the frames that it reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlannedDescription {
    /// The step before which the mask of `segment=foreground` is made.
    pub mask_before: Option<usize>,
    /// Whether the size depends on a border.
    pub measures: bool,
    /// Frames of the source, if the result is animated.
    pub frames: Option<u32>,
}

impl Plan {
    /// Whether each input is needed, by number.
    #[must_use]
    pub fn needed(&self) -> Vec<bool> {
        self.images.iter().map(|image| image.source != super::image::ImageSource::Unused).collect()
    }
}
