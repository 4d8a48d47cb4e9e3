//! A mask on an image's alpha.

use codecs::{Plane, Raster};
use work::Work;

use super::flatten;
use crate::Error;

/// Multiplies the image's alpha by a mask of its size.
///
/// # Errors
/// Budget.
pub fn apply(image: Raster, mask: &Plane, work: &Work) -> Result<Raster, Error> {
    let mut image = flatten::to_rgba(image, work)?;
    for (pixel, &m) in image.data_mut().chunks_exact_mut(4).zip(&mask.data) {
        pixel[3] = ((u32::from(pixel[3]) * u32::from(m) + 127) / 255) as u8;
    }
    Ok(image)
}
