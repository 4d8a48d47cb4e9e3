//! Face detection by YuNet (W. Wu, H. Peng, S. Yu, "YuNet: A Tiny Millisecond-level Face Detector",
//! Machine Intelligence Research 20, 2023), a network of 50,000 weights.
//!
//! The weights come from the authors' libfacedetection (3-clause BSD); see `data/`. Landmarks are omitted. Everything is
//! plain arithmetic on slices: the time depends on the picture's size alone, and no input can cause a panic.

#![forbid(unsafe_code)]

mod boxes;
mod net;
mod planes;
mod weights;

use codecs::Error;
use work::Work;

/// Longest side of the input in pixels. The network finds faces of about 10 to 300 pixels.
pub const LONGEST: u32 = 320;

/// Both sides of the input are padded to a multiple of this, because the network halves its planes five times.
const GRAIN: usize = 32;

/// A face: the upright box around brows, chin and ears, inside the picture.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Face {
    /// Pixels from the left edge.
    pub x: f32,
    /// Pixels from the top edge.
    pub y: f32,
    pub width: f32,
    pub height: f32,
    /// Confidence, 0 to 1.
    pub score: f32,
}

/// The faces with a score of at least `least`, highest first; at most [`MOST`].
///
/// `rgb` holds `height` rows of `width` pixels, three bytes each, sRGB; both sides at most [`LONGEST`]. The
/// result is empty for larger pictures and for pictures without pixels.
///
/// # Errors
/// Budget, deadline, cancellation.
pub fn find(rgb: &[u8], width: u32, height: u32, least: f32, work: &Work) -> Result<Vec<Face>, Error> {
    let fits = (1..=LONGEST).contains(&width) && (1..=LONGEST).contains(&height);
    let (w, h) = (width as usize, height as usize);
    if !fits || rgb.len() != w * h * 3 {
        return Ok(Vec::new());
    }
    let _held = work.take(bytes(width, height))?;
    let mut found = Vec::new();
    net::run(rgb, (w, h), work, |level| boxes::read(level, (w, h), least, &mut found))?;
    Ok(boxes::suppress_overlaps(found))
}

/// Most faces that [`find`] returns.
pub const MOST: usize = 200;

/// The peak memory of [`find`] in bytes, for a picture of this size.
#[must_use]
pub fn bytes(width: u32, height: u32) -> usize {
    let padded = |side: u32| (side.min(LONGEST) as usize).next_multiple_of(GRAIN);
    // Three planes of sixteen channels on a quarter of the pixels, the stored levels (64 channels on 1/64, 1/256 and
    // 1/1024 of them), the weights, and a row of taps.
    padded(width) * padded(height) * 4 * (3 * 16 / 4 + 3) + weights::BYTES + 27 * LONGEST as usize * 4
}
