//! The recipe: numbered inputs, ordered steps, one output.

use crate::{Color, Draw, Output, Transform, Warnings};

/// All requested operations. Image 0 is the canvas and the final image.
#[derive(Debug, Clone, PartialEq)]
pub struct Recipe {
    /// The numbered images; index 0 is the canvas, overlays follow in the order of the request.
    pub inputs: Vec<Input>,
    /// Executed first to last.
    pub steps: Vec<Step>,
    pub output: Output,
}

impl Recipe {
    /// A recipe over one image, whose bytes the caller supplies.
    #[must_use]
    pub fn single(transform: Transform, output: Output) -> Self {
        let steps =
            if transform.is_identity() { vec![] } else { vec![Step::Transform { image: 0, transform }] };
        Self { inputs: vec![Input::Supplied], steps, output }
    }

    /// The warnings of all steps ([`Transform::warnings`]).
    #[must_use]
    pub fn warnings(&self) -> Warnings {
        let transforms = self.steps.iter().filter_map(|step| match step {
            Step::Transform { transform, .. } => Some(transform),
            Step::Draw { .. } => None,
        });
        transforms.flat_map(Transform::warnings).collect()
    }
}

impl Recipe {
    /// Removes steps that do not change the result: those on images that are not drawn afterwards,
    /// steps that change nothing, and draws without effect. Inputs keep their numbers;
    /// [`Recipe::used_images`] returns those still needed.
    pub fn prune(&mut self) {
        let mut visible = vec![false; self.inputs.len().max(1)];
        visible[0] = true;
        let is_visible = |visible: &[bool], image: usize| visible.get(image).copied().unwrap_or(false);
        // Backwards: an image is visible before the step that draws it onto a visible one.
        let mut kept: Vec<Step> = vec![];
        for step in self.steps.drain(..).rev() {
            match &step {
                Step::Transform { image, transform } => {
                    if is_visible(&visible, *image) && !transform.is_identity() {
                        kept.push(step);
                    }
                }
                Step::Draw { image, onto, draw } => {
                    if is_visible(&visible, *onto) && !draw.is_identity() {
                        if let Some(visible) = visible.get_mut(*image) {
                            *visible = true;
                        }
                        kept.push(step);
                    }
                }
            }
        }
        kept.reverse();
        self.steps = kept;
    }

    /// For each input, whether the canvas or a draw needs it. Exact after [`Recipe::prune`].
    #[must_use]
    pub fn used_images(&self) -> Vec<bool> {
        let mut used = vec![false; self.inputs.len()];
        let drawn = self.steps.iter().filter_map(|step| match step {
            Step::Draw { image, .. } => Some(*image),
            Step::Transform { .. } => None,
        });
        for image in drawn.chain([0]) {
            if let Some(used) = used.get_mut(image) {
                *used = true;
            }
        }
        used
    }
}

/// The origin of one numbered image's bytes.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    /// The caller has the bytes (the URL's source, a multipart part, a file on the command line).
    Supplied,
    /// An absolute URL that the service fetches (an overlay of `cf.image`).
    Url(String),
    /// A text rendered by the service.
    Text(TextSource),
}

/// Text to be rendered as an image with a transparent background.
#[derive(Debug, Clone, PartialEq)]
pub struct TextSource {
    /// At most [`crate::choices::TEXT_MAX_CHARS`] characters.
    pub content: String,
    /// Absolute URL of a TTF, OTF, WOFF or WOFF2 font.
    pub font_url: String,
    /// Size of the em square, in units of [`crate::choices::TEXT_PIXELS_PER_UNIT`].
    pub size: f32,
    pub color: Color,
}

/// One step. All steps of a child image come before the draw that uses it.
#[derive(Debug, Clone, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "a recipe has few steps, and most are the large variant")]
pub enum Step {
    /// Transform one numbered image in place.
    Transform { image: usize, transform: Transform },
    /// Paint image `image`, in its current state, onto image `onto`.
    Draw { image: usize, onto: usize, draw: Draw },
}
