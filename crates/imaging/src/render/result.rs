//! Inputs and results of a render.

use std::time::Duration;

use codecs::Format;
use recipe::Warnings;

use crate::plan::Plan;

/// The borrowed bytes of one input.
#[derive(Debug, Clone, Copy)]
pub enum RenderInput<'a> {
    /// A whole image file.
    Image(&'a [u8]),
    /// The font file of a text input.
    Font(&'a [u8]),
    /// The plan does not need this input.
    Nothing,
}

/// The result of a render.
#[derive(Debug)]
pub struct Rendered {
    pub body: Body,
    /// MIME type.
    pub content_type: &'static str,
    /// `None` for JSON and raw pixels.
    pub format: Option<Format>,
    /// Width and height of the result; for a description, the described size.
    pub width: u32,
    pub height: u32,
    /// Frames of the result; for a description or a passed-through file, those of the source.
    pub frames: u32,
    pub warnings: Warnings,
    pub timings: Timings,
}

/// The bytes of the result.
#[derive(Debug)]
pub enum Body {
    Bytes(Vec<u8>),
    /// The bytes of input 0, unchanged.
    Input,
}

/// Time spent on the pixels and on the encoder.
#[derive(Debug, Clone, Copy, Default)]
pub struct Timings {
    /// Decoding and all operations.
    pub decode: Duration,
    pub encode: Duration,
}

impl Rendered {
    /// A result of the planned size.
    pub(super) fn new(plan: &Plan, body: Body, content_type: &'static str, format: Option<Format>) -> Self {
        let source = plan.output.encoding.source.animation;
        Self {
            body,
            content_type,
            format,
            width: plan.output.width,
            height: plan.output.height,
            frames: source.map_or(1, |a| a.frames),
            warnings: Warnings::default(),
            timings: Timings::default(),
        }
    }
}
