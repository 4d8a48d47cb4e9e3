//! A plan: everything that can be known, and refused, before a pixel is decoded.

use std::sync::Arc;

use recipe::{Recipe, Warnings};

use super::cost::Cost;
use super::image::PlannedImage;
use super::output::PlannedOutput;
use super::rows::RowPipeline;
use super::step::PlannedStep;
use crate::Limits;

/// What kind of work a request turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlanKind {
    /// Decode, operate, encode one picture.
    Still,
    /// The same for every frame.
    Animation { frames: u32 },
    /// The bytes of image 0 are the result (animations above the pass-through limit).
    PassThrough,
    /// SVG: sanitised, not resized.
    Svg,
    /// `format=json`: pixels are made only for the mask of `segment=foreground` and for a border that has to be found.
    Json,
}

/// What [`crate::render`] does, as data. Made by [`crate::plan()`].
#[derive(Debug, Clone)]
pub struct Plan {
    pub kind: PlanKind,
    /// One for each input of the recipe.
    pub images: Vec<PlannedImage>,
    /// Without the steps that do not change the result.
    pub steps: Vec<PlannedStep>,
    pub path: Path,
    /// What `format=json` looks at; `None` for all other outputs.
    pub description: Option<PlannedDescription>,
    pub output: PlannedOutput,
    pub cost: Cost,
    pub warnings: Warnings,
    /// Texts are painted from here.
    pub(crate) recipe: Arc<Recipe>,
    pub(crate) limits: Arc<Limits>,
}

/// How pixels get from the decoder to the encoder.
#[derive(Debug, Clone, PartialEq)]
pub enum Path {
    /// Rows flow through; no bitmap is held unless it has to be turned.
    Rows(RowPipeline),
    Bitmap,
}

/// What a description needs of the pixels, and what it says of the frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlannedDescription {
    /// The step before which the mask of `segment=foreground` is made.
    pub mask_before: Option<usize>,
    /// Whether a border has to be found to know the size.
    pub measures: bool,
    /// Frames of the source, if all are wanted.
    pub frames: Option<u32>,
}

impl Plan {
    /// Which inputs are needed, by number.
    #[must_use]
    pub fn needed(&self) -> Vec<bool> {
        self.images.iter().map(|image| image.source != super::image::ImageSource::Unused).collect()
    }
}
