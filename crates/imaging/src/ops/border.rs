//! A frame around an image.

use codecs::{Raster, Work};

use super::flatten;
use crate::Error;
use crate::geometry::Pad;

/// Adds a frame of `color` outside the image; `widths` = top, right, bottom, left in pixels.
///
/// # Errors
/// Budget.
pub fn add(image: &Raster, widths: [u32; 4], color: recipe::Color, work: &Work) -> Result<Raster, Error> {
    let [top, right, bottom, left] = widths;
    let pad = Pad { width: image.width + left + right, height: image.height + top + bottom, x: left, y: top };
    flatten::pad(image, pad, color, work)
}
