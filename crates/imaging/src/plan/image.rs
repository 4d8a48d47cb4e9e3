//! The planned images: the source of the pixels of each numbered image.

use std::sync::Arc;

use codecs::Probe;

use super::cost::DecodeCost;
use super::step::PlannedTransform;

/// One numbered image.
#[derive(Debug, Clone, PartialEq)]
pub struct PlannedImage {
    pub source: ImageSource,
    /// How a file is decoded that is needed as a bitmap before its first step, or that has no step.
    pub load: Option<PlannedTransform>,
    pub cost: DecodeCost,
}

/// The source of the pixels of an image.
#[derive(Debug, Clone, PartialEq)]
pub enum ImageSource {
    /// The image is not needed.
    Unused,
    /// A file with this header.
    File(Arc<Probe>),
    /// The frames of an animated file with this header, one after the other.
    Frames(Arc<Probe>),
    /// A text of this size.
    Text { width: u32, height: u32 },
}
