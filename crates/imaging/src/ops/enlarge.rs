//! `upscale=generate`: one pass of a model before the exact resize.

use codecs::{Layout, Raster};
use recipe::Transform;
use work::Work;

use crate::Error;
use crate::geometry::{Area, Window};
use crate::models::Pass;
use crate::ops::resample::Resampler;
use crate::transform::{Mapping, Means};

/// Enlarges what the mapping looks at, if the transform asks for that and there is a model: the enlarged image and
/// its mapping. Colours come from the model, alpha is enlarged bicubically.
///
/// # Errors
/// [`Error::Model`]; budget, deadline and cancellation.
pub(crate) fn before_resize(
    image: &Raster,
    map: &Mapping,
    transform: &Transform,
    means: Means<'_>,
) -> Result<Option<(Raster, Mapping)>, Error> {
    let work = means.work;
    let Some(pass) = Pass::of(transform, map, means.limits) else { return Ok(None) };
    let Some(models) = means.models else {
        return Err(Error::Internal("a plan with upscale was rendered without a model".to_owned()));
    };
    let _enlarge = work.stage("enlarge");
    let scale = pass.model.scale;
    let w = pass.window;
    let window = Window { x: w.x as u32, y: w.y as u32, width: w.width as u32, height: w.height as u32 };
    let colours = colours(image, window, work)?;
    let large = models.enlarge(&colours, scale, work)?;
    drop(colours);
    if (large.layout, large.width, large.height) != (Layout::Rgb, window.width * scale, window.height * scale)
    {
        return Err(Error::Internal("the enlargement has another size than asked for".to_owned()));
    }
    let large = if image.layout.has_alpha() { with_alpha(&large, image, window, work)? } else { large };
    let k = f64::from(scale);
    let area = Area {
        x: (map.area.x - w.x) * k,
        y: (map.area.y - w.y) * k,
        width: map.area.width * k,
        height: map.area.height * k,
    };
    let bounds = Area { x: 0.0, y: 0.0, width: large.width.into(), height: large.height.into() };
    Ok(Some((large, Mapping { area, bounds, ..*map })))
}

/// A part of an image without its alpha.
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
    let area = Area {
        x: window.x.into(),
        y: window.y.into(),
        width: window.width.into(),
        height: window.height.into(),
    };
    let mut resampler = Resampler::new(window, area, (large.width, large.height), 1, work)?;
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

/// Bytes that a pass holds at most, its result included, for an image of `size`.
pub(crate) fn pass_bytes(pass: &Pass, size: (u32, u32)) -> u64 {
    let window = pass.window.width * pass.window.height;
    let scale = f64::from(pass.model.scale);
    // Colours before and after; alpha before and after; both together.
    let large = window * scale * scale * (3.0 + 1.0 + 4.0);
    let image = u64::from(size.0) * u64::from(size.1);
    // The rows that wait in the resamplers of alpha and of the enlarged image.
    let rows = pass.window.width * scale * 4.0 * 1024.0 + f64::from(size.0) * 1024.0;
    pass.model.bytes + (window * 3.0 + large + rows) as u64 + image
}
