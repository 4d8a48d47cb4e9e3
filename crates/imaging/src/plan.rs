//! From a recipe and the headers of its inputs to what will be done, how large it gets and how much it costs.

use codecs::{Format, Probe};
use recipe::{Notice, Recipe};

use crate::{Error, Limits};

/// What kind of work a request turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Decode, operate, encode one picture.
    Still,
    /// The same for every frame.
    Animation { frames: u32 },
    /// The bytes of image 0 are the answer (animations above the pass-through limit).
    PassThrough,
    /// SVG: sanitised, not resized.
    Svg,
    /// `format=json`: no pixels are made.
    Json,
}

/// A plan: everything that can be known, and refused, before a pixel is decoded.
#[derive(Debug, Clone)]
pub struct Plan {
    pub(crate) recipe: Recipe,
    pub(crate) probes: Vec<Option<Probe>>,
    pub(crate) limits: Limits,
    pub kind: Kind,
    /// Width and height of the result (an upper bound where the size depends on pixels, as with `trim=border`).
    pub width: u32,
    pub height: u32,
    /// Estimated peak bytes of all buffers, decoders and encoders together, inputs not counted.
    pub peak_bytes: u64,
    /// The format of the result; `None` for JSON, raw pixels, and where it depends on the pixels' opacity.
    pub format: Option<Format>,
    pub notices: Vec<Notice>,
}

/// Plans a recipe. `probes[i]` is the header of input `i`; `None` for text inputs.
///
/// # Errors
/// Every refusal that needs no pixels.
pub fn plan(recipe: &Recipe, probes: Vec<Option<Probe>>, limits: &Limits) -> Result<Plan, Error> {
    let first = probes.first().and_then(Option::as_ref).ok_or(Error::NoSuchImage(0))?;
    let (width, height) = first.oriented_size();
    Ok(Plan {
        recipe: recipe.clone(),
        limits: limits.clone(),
        kind: Kind::Still,
        width,
        height,
        peak_bytes: 0,
        format: None,
        notices: vec![],
        probes,
    })
}
