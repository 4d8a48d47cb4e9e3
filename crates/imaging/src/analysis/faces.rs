//! The box around all faces of a thumbnail.

use codecs::Raster;
use work::Work;

use super::subject::rgb;
use crate::Error;
use crate::choices::LEAST_FACE_SCORE;
use crate::rect::Area;

/// The smallest box around all faces, as fractions of width and height.
///
/// # Errors
/// Budget, deadline, cancellation.
pub(crate) fn find(thumbnail: Raster, work: &Work) -> Result<Option<Area>, Error> {
    let _stage = work.stage("focus");
    let (w, h) = (thumbnail.width, thumbnail.height);
    let _held = work.take(w as usize * h as usize * 3)?;
    let pixels: Vec<u8> = rgb(&thumbnail).flatten().collect();
    drop(thumbnail);
    let faces = faces::find(&pixels, w, h, LEAST_FACE_SCORE, work)?;
    let around = faces
        .iter()
        .map(|f| [f.x, f.y, f.x + f.width, f.y + f.height].map(f64::from))
        .reduce(|a, b| [a[0].min(b[0]), a[1].min(b[1]), a[2].max(b[2]), a[3].max(b[3])]);
    Ok(around.map(|[x0, y0, x1, y1]| {
        let (w, h) = (f64::from(w), f64::from(h));
        Area { x: x0 / w, y: y0 / h, width: (x1 - x0) / w, height: (y1 - y0) / h }
    }))
}

/// Peak memory of the face detection in bytes, without the decoder of the image.
pub(crate) fn bytes() -> u64 {
    // The thumbnail before and after the turn, and as RGB.
    let pixels = u64::from(faces::LONGEST) * u64::from(faces::LONGEST);
    faces::bytes(faces::LONGEST, faces::LONGEST) as u64 + pixels * (4 + 4 + 3)
}
