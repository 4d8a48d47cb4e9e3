//! Trained models as a trait. This crate defines their inputs and outputs, and knows no inference.

use std::fmt::Debug;

use codecs::{Plane, Raster};
use work::Work;

use crate::Error;

/// Loaded models, for [`crate::render_with`]. The planner uses their capabilities in
/// [`crate::Limits::models`].
pub trait Models: Debug + Send + Sync {
    /// The available models and their costs.
    fn capabilities(&self) -> ModelCapabilities;

    /// The foreground of `image`, which is [`codecs::Layout::Rgb`] with both sides [`SegmentModel::side`] long: one
    /// channel of the same size, 255 = foreground, 0 = background.
    ///
    /// # Errors
    /// [`Error::Model`]; budget, deadline and cancellation.
    fn segment(&self, image: &Raster, work: &Work) -> Result<Plane, Error>;

    /// `image` ([`codecs::Layout::Rgb`], of any size) with both sides exactly `scale` times as long. `scale` is one of
    /// [`ModelCapabilities::enlarge`].
    ///
    /// # Errors
    /// [`Error::Model`]; budget, deadline and cancellation.
    fn enlarge(&self, image: &Raster, scale: u32, work: &Work) -> Result<Raster, Error>;
}

/// The available models. The default is none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ModelCapabilities {
    pub segment: Option<SegmentModel>,
    /// At most one for each scale.
    pub enlarge: Vec<EnlargeModel>,
}

/// A model that finds the foreground.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentModel {
    /// Pixels of each side of its input and of its mask.
    pub side: u32,
    /// Bytes that one run takes from the budget, including input and output tensors.
    pub bytes: u64,
}

/// A model that enlarges.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EnlargeModel {
    /// 2 or 4.
    pub scale: u32,
    /// Bytes that one tile takes from the budget, including input and output tensors.
    pub bytes: u64,
}
