//! Does what a plan says.

use std::time::Duration;

use codecs::{Format, Work};
use recipe::Notice;

use crate::{Error, Plan};

/// The bytes of one input. They stay the caller's.
#[derive(Debug, Clone, Copy)]
pub enum Supply<'a> {
    /// A whole image file.
    Image(&'a [u8]),
    /// The font file of a text input.
    Font(&'a [u8]),
}

/// What came out.
#[derive(Debug)]
pub struct Rendered {
    pub body: Body,
    /// MIME type.
    pub content_type: &'static str,
    /// `None` for JSON and raw pixels.
    pub format: Option<Format>,
    pub width: u32,
    pub height: u32,
    pub frames: u32,
    pub notices: Vec<Notice>,
    pub timings: Timings,
}

/// The answer's bytes.
#[derive(Debug)]
pub enum Body {
    Bytes(Vec<u8>),
    /// The bytes of input 0, unchanged.
    Input,
}

/// Where the time went.
#[derive(Debug, Clone, Copy, Default)]
pub struct Timings {
    pub decode: Duration,
    pub operate: Duration,
    pub encode: Duration,
}

/// Renders a plan. `inputs[i]` belongs to input `i` of the recipe.
///
/// # Errors
/// Codec errors, budget, deadline, cancellation.
pub fn render(plan: &Plan, inputs: &[Supply<'_>], work: &Work) -> Result<Rendered, Error> {
    let _ = inputs;
    work.check()?;
    Ok(Rendered {
        body: Body::Input,
        content_type: "application/octet-stream",
        format: None,
        width: plan.width,
        height: plan.height,
        frames: 1,
        notices: vec![],
        timings: Timings::default(),
    })
}
