//! One pass of an enlarging model.

use codecs::{Layout, Raster};
use work::Work;

use crate::Error;
use crate::models::{EnlargeModel, Models};
use crate::ops::resample::Resampler;
use crate::rect::{Area, Window};

/// The enlarged pixels of `window`, with both sides `scale` times as long. Colours come from the model, alpha is enlarged
/// bicubically.
///
/// # Errors
/// [`Error::Model`]; budget, deadline and cancellation.
pub(crate) fn enlarge(
    image: &Raster,
    window: Window,
    scale: u32,
    models: Option<&dyn Models>,
    work: &Work,
) -> Result<Raster, Error> {
    let models = models
        .ok_or_else(|| Error::Internal("a plan with upscale was rendered without a model".to_owned()))?;
    let _enlarge = work.stage("enlarge");
    let colours = colours(image, window, work)?;
    let large = models.enlarge(&colours, scale, work)?;
    drop(colours);
    if (large.layout, large.width, large.height) != (Layout::Rgb, window.width * scale, window.height * scale)
    {
        return Err(Error::Internal("the enlargement has an unexpected size".to_owned()));
    }
    if image.layout.has_alpha() { with_alpha(&large, image, window, work) } else { Ok(large) }
}

/// The colours of a window, without alpha.
fn colours(image: &Raster, window: Window, work: &Work) -> Result<Raster, Error> {
    let mut out = Raster::new(Layout::Rgb, window.width, window.height, work)?;
    let n = image.layout.channels(0);
    for y in 0..window.height {
        let from = &image.planes[0].row(window.y + y)[window.x as usize * n..];
        let to = out.planes[0].row_mut(y);
        for (t, p) in to.chunks_exact_mut(3).zip(from.chunks_exact(n)) {
            match p {
                [g] => t.fill(*g),
                _ => t.copy_from_slice(&p[..3]),
            }
        }
    }
    Ok(out)
}

/// Gives the enlarged colours the alpha of `image`.
fn with_alpha(large: &Raster, image: &Raster, window: Window, work: &Work) -> Result<Raster, Error> {
    let mut alpha = Raster::new(Layout::Gray, image.width, image.height, work)?;
    for (a, p) in alpha.data_mut().iter_mut().zip(image.data().chunks_exact(4)) {
        *a = p[3];
    }
    let mut resampler = Resampler::new(window, Area::from(window), (large.width, large.height), 1, work)?;
    resampler.push(0, alpha.data(), image.width as usize, work)?;
    let alpha = resampler.finish()?;
    let mut out = Raster::new(Layout::Rgba, large.width, large.height, work)?;
    let colours = large.data().chunks_exact(3);
    for ((t, c), a) in out.data_mut().chunks_exact_mut(4).zip(colours).zip(&alpha.data) {
        t[..3].copy_from_slice(c);
        t[3] = *a;
    }
    Ok(out)
}

/// Peak memory in bytes of an enlargement of `window` pixels of an image of `size`, including its result of at most
/// `max_pixels` pixels.
pub(crate) fn pass_bytes(model: &EnlargeModel, window: (u32, u32), size: (u32, u32), max_pixels: u64) -> u64 {
    let area = |size: (u32, u32)| u64::from(size.0) * u64::from(size.1);
    let scale = u64::from(model.scale);
    // Colours and alpha before and after, and the merged result.
    let large = area(window).saturating_mul(scale * scale).min(max_pixels) * (3 + 1 + 4);
    // The rows buffered in the resamplers of alpha and of the enlarged image.
    let rows = u64::from(window.0) * scale * 4 * 1024 + u64::from(size.0) * 1024;
    model.bytes + area(window) * 3 + large + rows + area(size)
}
