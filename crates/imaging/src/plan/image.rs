//! The planned images: where the pixels of each numbered image come from.

use std::sync::Arc;

use codecs::Probe;

use super::cost::DecodeCost;
use super::step::PlannedTransform;

/// One numbered image.
#[derive(Debug, Clone, PartialEq)]
pub struct PlannedImage {
    pub source: ImageSource,
    /// How a file is decoded that is needed as a bitmap before its first step, or has none.
    pub load: Option<PlannedTransform>,
    pub cost: DecodeCost,
}

/// Where the pixels of an image come from.
#[derive(Debug, Clone, PartialEq)]
pub enum ImageSource {
    /// Nothing needs the image.
    Unused,
    /// A file with this header.
    File(Arc<Probe>),
    /// The frames of an animated file with this header, one after the other.
    Frames(Arc<Probe>),
    /// A text that takes this much room.
    Text { width: u32, height: u32 },
}
