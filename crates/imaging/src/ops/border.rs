//! A frame around an image.

use codecs::Raster;
use work::Work;

use super::flatten;
use crate::Error;
use crate::rect::Pad;

/// Adds a frame; `widths` = top, right, bottom, left, in pixels of the result. A translucent colour makes
/// the result translucent (RGBA); the image itself does not change.
///
/// # Errors
/// Budget; [`Error::TooLarge`] if a side overflows.
pub fn add(image: Raster, widths: [u32; 4], color: recipe::Color, work: &Work) -> Result<Raster, Error> {
    if widths == [0; 4] {
        return Ok(image);
    }
    let [top, right, bottom, left] = widths;
    let grown = |size: u32, near: u32, far: u32| {
        size.checked_add(near)
            .and_then(|size| size.checked_add(far))
            .ok_or_else(|| Error::TooLarge("the border is too wide".to_owned()))
    };
    let (width, height) = (grown(image.width, left, right)?, grown(image.height, top, bottom)?);
    flatten::pad(&image, Pad { width, height, x: left, y: top }, color, work)
}
