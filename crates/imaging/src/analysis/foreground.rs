//! The foreground of an image, by a model.

use codecs::{Plane, Raster};
use recipe::Color;
use resample::{Convolution, FilterType, Spec};
use work::Work;

use crate::Error;
use crate::models::{Models, SegmentModel};
use crate::ops::flatten;
use crate::ops::resample::{Resampler, one_plane};
use crate::rect::{Area, Window};

/// The foreground of an upright image as one channel of its own size, 255 = foreground. The model's input is the
/// image scaled to a square, over white.
///
/// # Errors
/// [`Error::Model`]; budget, deadline and cancellation.
pub(crate) fn mask(
    image: &Raster,
    models: Option<&dyn Models>,
    model: SegmentModel,
    work: &Work,
) -> Result<Plane, Error> {
    let _segment = work.stage("segment");
    let models = models
        .ok_or_else(|| Error::Internal("a plan with segment was rendered without a model".to_owned()))?;
    let side = model.side;
    let found = {
        let size = (image.width, image.height);
        let plane = &image.planes[0];
        let mut resampler =
            Resampler::new(Window::whole(size), Area::whole(size), (side, side), plane.channels, work)?;
        resampler.push(0, &plane.data, plane.stride(), work)?;
        let small = one_plane(image.layout, resampler.finish()?);
        let small = flatten::to_rgb(small, Color::WHITE, work)?;
        models.segment(&small, work)?
    };
    if (found.width, found.height, found.channels) != (side, side, 1) {
        return Err(Error::Internal("the size of the mask differs from the model's capabilities".to_owned()));
    }
    resized(&found, (image.width, image.height), work)
}

/// Resizes with Catmull-Rom in both directions, also where it shrinks.
fn resized(mask: &Plane, (width, height): (u32, u32), work: &Work) -> Result<Plane, Error> {
    work.check()?;
    let mut out = Plane::new(width, height, 1, work)?;
    // The intermediate rows between the two directions.
    let _held = work.take(resize_bytes(mask.width, (width, height)))?;
    let spec = Spec { channels: 1, filter: FilterType::CatmullRom, crop: None, use_alpha: true };
    Convolution::new()
        .resize(&mask.data, (mask.width, mask.height), &mut out.data, (width, height), &spec)
        .map_err(|e| Error::Internal(format!("mask: {e}")))?;
    work.check()?;
    Ok(out)
}

/// Bytes of the intermediate rows when a mask of `side` × `side` is resized to `size`.
fn resize_bytes(side: u32, size: (u32, u32)) -> usize {
    side.max(size.0) as usize * side.max(size.1) as usize
}

/// Peak memory of [`mask`] in bytes, including its result, for an image of `size`.
pub(crate) fn mask_bytes(model: &SegmentModel, size: (u32, u32)) -> u64 {
    let square = u64::from(model.side) * u64::from(model.side);
    let out = u64::from(size.0) * u64::from(size.1);
    // The square with and without alpha, its mask, and the source rows buffered in the resampler.
    let small = square * (4 + 3 + 1) + u64::from(size.0) * 4 * u64::from(size.1.min(1024));
    model.bytes + small + out + resize_bytes(model.side, size) as u64
}
