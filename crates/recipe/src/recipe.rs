//! The recipe itself: numbered inputs, ordered steps, one output.

use crate::{Color, Draw, Output, Transform};

/// Everything a request asks for. Image 0 is the canvas and the final image.
#[derive(Debug, Clone, PartialEq)]
pub struct Recipe {
    /// The numbered images; index 0 is the canvas, overlays follow in the order in which they were named.
    pub inputs: Vec<Input>,
    /// Executed first to last.
    pub steps: Vec<Step>,
    pub output: Output,
}

impl Recipe {
    /// A recipe over one image whose bytes the door supplies.
    #[must_use]
    pub fn single(transform: Transform, output: Output) -> Self {
        let steps = if transform.is_identity() { vec![] } else { vec![Step::Transform { image: 0, transform }] };
        Self { inputs: vec![Input::Supplied], steps, output }
    }
}

/// Where the bytes of one numbered image come from.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    /// The door has the bytes (the URL's source, a multipart part, a file on the command line).
    Supplied,
    /// An absolute URL that the service fetches (an overlay of `cf.image`).
    Url(String),
    /// Rendered by the service.
    Text(TextSource),
}

/// Text to be rendered as an image with a transparent background.
#[derive(Debug, Clone, PartialEq)]
pub struct TextSource {
    /// At most [`crate::choices::TEXT_MAX_CHARS`] characters.
    pub content: String,
    /// Absolute URL of a TTF, OTF, WOFF or WOFF2 font.
    pub font_url: String,
    /// Size of the em square in pixels (see [`crate::choices`] for the unit question).
    pub size: f32,
    pub color: Color,
}

/// One step. All steps of a child image come before the draw that uses it.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// Transform one numbered image in place.
    Transform { image: usize, transform: Transform },
    /// Paint image `image`, in its current state, onto image `onto`.
    Draw { image: usize, onto: usize, draw: Draw },
}
