//! Where the faces in a picture are: YuNet (W. Wu, H. Peng, S. Yu, "YuNet: A Tiny Millisecond-level Face Detector",
//! Machine Intelligence Research 20, 2023), a net of 50,000 weights.
//!
//! The weights are those that the authors' libfacedetection publishes under the 3-clause BSD licence; see `data/`. The
//! landmarks that the net could find as well are left out. Everything is plain arithmetic on slices: the time depends on
//! the picture's size alone, and no picture can make it panic.

#![forbid(unsafe_code)]

mod boxes;
mod net;
mod planes;
mod weights;

use codecs::Error;
use work::Work;

/// The longest side, in pixels, for which the net is made: faces of some 10 to 300 pixels are found.
pub const LONGEST: u32 = 320;

/// The net halves its planes five times: they have to be whole.
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
    /// How sure the net is: 0 to 1.
    pub score: f32,
}

/// The faces whose score is `least` or more, the surest first; at most [`MOST`].
///
/// `rgb` holds `height` rows of `width` pixels, three bytes each, sRGB; both sides at most [`LONGEST`], else (and
/// for a picture without pixels) nothing is found.
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
    Ok(boxes::distinct(found))
}

/// The most faces that [`find`] tells of.
pub const MOST: usize = 200;

/// Bytes that [`find`] holds at most, for a picture of this size.
#[must_use]
pub fn bytes(width: u32, height: u32) -> usize {
    let padded = |side: u32| (side.min(LONGEST) as usize).next_multiple_of(GRAIN);
    // Three planes of sixteen channels on a quarter of the pixels, the levels that wait (64 channels on 1/64, 1/256 and
    // 1/1024 of them), the weights, and a row of taps.
    padded(width) * padded(height) * 4 * (3 * 16 / 4 + 3) + weights::BYTES + 27 * LONGEST as usize * 4
}
