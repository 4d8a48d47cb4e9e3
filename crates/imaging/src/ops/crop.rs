//! Cutting a window out of an image.

use codecs::Raster;
use work::Work;

use crate::Error;
use crate::rect::Window;

/// The pixels inside `window`, which lies inside the image.
///
/// # Errors
/// Budget.
pub fn crop(image: &Raster, window: Window, work: &Work) -> Result<Raster, Error> {
    let mut out = Raster::new(image.layout, window.width, window.height, work)?;
    let n = image.layout.channels(0);
    let (from, take) = (window.x as usize * n, window.width as usize * n);
    for y in 0..window.height {
        let row = &image.planes[0].row(window.y + y)[from..from + take];
        out.planes[0].row_mut(y).copy_from_slice(row);
    }
    Ok(out)
}
