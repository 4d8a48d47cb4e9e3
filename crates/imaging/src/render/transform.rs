//! Executes one planned transform: answers its questions, scales the pixels, and applies the effects.

use codecs::Raster;
use recipe::{Color, Transform};
use work::Work;

use super::scale::{EncodedImage, from_bitmap, from_file, of_bitmap};
use crate::analysis;
use crate::models::Models;
use crate::ops::{border, crop, effects, flatten, mask};
use crate::plan::{
    Answers, Next, Placement, PlannedTransform, Question, Scaling, border_question, border_widths,
};
use crate::{Error, Limits};

/// The context shared by all steps of a request.
#[derive(Debug, Clone, Copy)]
pub(super) struct StepContext<'a> {
    pub(super) limits: &'a Limits,
    /// The models whose capabilities are in the limits.
    pub(super) models: Option<&'a dyn Models>,
    pub(super) work: &'a Work,
}

/// The input pixels of a transform.
#[derive(Debug)]
pub(super) enum Pixels<'a> {
    Encoded(EncodedImage<'a>),
    Bitmap(Raster),
}

impl Pixels<'_> {
    /// A scaled copy for analysis.
    fn thumbnail(&self, scaling: &Scaling, work: &Work) -> Result<Raster, Error> {
        match self {
            Self::Encoded(image) => from_file(*image, scaling, work),
            Self::Bitmap(image) => from_bitmap(image, &scaling.mapping, work),
        }
    }

    fn scaled(self, scaling: &Scaling, context: StepContext<'_>) -> Result<Raster, Error> {
        match self {
            Self::Encoded(image) => from_file(image, scaling, context.work),
            Self::Bitmap(image) => of_bitmap(image, scaling, context.models, context.work),
        }
    }

    fn size(&self) -> (u32, u32) {
        match self {
            Self::Encoded(image) => image.probe.oriented_size(),
            Self::Bitmap(image) => (image.width, image.height),
        }
    }
}

/// Executes a transform. Questions answered in `answers` are not asked again; new answers are added to it.
pub(super) fn run(
    step: &PlannedTransform,
    pixels: Pixels<'_>,
    answers: &mut Answers,
    context: StepContext<'_>,
) -> Result<Raster, Error> {
    let work = context.work;
    let mut pixels = Some(segmented(step, pixels, context)?);
    // The scaled whole image, if its subject has been measured.
    let mut whole = None;
    let placement = loop {
        match step.complete(answers, context.limits)? {
            Next::Scale(placement) => break placement,
            Next::Ask(Question::Subject { whole: scaling, thumbnail, window, measure }) => {
                let image = pixels.take().ok_or_else(taken_twice)?.scaled(&scaling, context)?;
                answers.subject = Some(analysis::subject::find(&image, thumbnail, window, measure, work)?);
                whole = Some(image);
            }
            Next::Ask(question) => {
                answer(&question, pixels.as_ref().ok_or_else(taken_twice)?, answers, work)?;
            }
        }
    };
    let image = match whole {
        Some(image) => image,
        None => pixels.ok_or_else(taken_twice)?.scaled(&placement.scaling, context)?,
    };
    let image = match &placement.crop {
        None => image,
        Some(cut) => {
            let part = crop::crop(&image, cut.window, work)?;
            drop(image);
            of_bitmap(part, &cut.then, context.models, work)?
        }
    };
    after_resize(image, &placement, &step.options, work)
}

fn taken_twice() -> Error {
    Error::Internal("the pixels of the step were already consumed".to_owned())
}

/// Answers a question without changing the pixels.
pub(super) fn answer(
    question: &Question,
    pixels: &Pixels<'_>,
    answers: &mut Answers,
    work: &Work,
) -> Result<(), Error> {
    match question {
        Question::Size => answers.size = Some(pixels.size()),
        Question::Border(trim) => {
            let Pixels::Bitmap(image) = pixels else {
                return Err(Error::Internal(
                    "a border question was planned for an undecoded file".to_owned(),
                ));
            };
            let _trim = work.stage("trim");
            answers.border = Some(analysis::border::find(image, trim, work)?.ok_or(Error::Empty)?);
        }
        Question::Faces { thumbnail } => {
            let thumbnail = pixels.thumbnail(thumbnail, work)?;
            answers.faces = Some(analysis::faces::find(thumbnail, work)?);
        }
        Question::Subject { .. } => {
            return Err(Error::Internal("a subject question reached the wrong function".to_owned()));
        }
    }
    Ok(())
}

/// Searches one frame for the border that a step trims. The window grows to contain what any frame shows.
pub(super) fn survey_border(
    step: &PlannedTransform,
    image: &Raster,
    answers: &mut Answers,
    work: &Work,
) -> Result<(), Error> {
    let Some(trim) = border_question(&step.options) else { return Ok(()) };
    let _trim = work.stage("trim");
    if let Some(window) = analysis::border::find(image, &trim, work)? {
        answers.border = Some(answers.border.map_or(window, |before| before.around(window)));
    }
    Ok(())
}

fn segmented<'a>(
    step: &PlannedTransform,
    pixels: Pixels<'a>,
    context: StepContext<'_>,
) -> Result<Pixels<'a>, Error> {
    let Some(model) = step.segment else { return Ok(pixels) };
    let Pixels::Bitmap(image) = pixels else {
        return Err(Error::Internal("segmentation was planned for an undecoded file".to_owned()));
    };
    let mask = analysis::foreground::mask(&image, context.models, model, context.work)?;
    mask::apply(image, &mask, context.work).map(Pixels::Bitmap)
}

/// Padding, effects, border and background, after the resize, in the order of the specification. Padding is filled with
/// the background before the effects; without padding the finished image is flattened onto the background.
fn after_resize(
    mut image: Raster,
    placement: &Placement,
    options: &Transform,
    work: &Work,
) -> Result<Raster, Error> {
    if let Some(pad) = placement.pad {
        let _pad = work.stage("pad");
        if let Some(background) = options.background {
            image = flatten::onto(image, background, work)?;
        }
        image = flatten::pad(&image, pad, options.background.unwrap_or(Color::WHITE), work)?;
    }
    image = effects::apply(image, options, work)?;
    if let Some(frame) = options.border {
        let _border = work.stage("border");
        image = border::add(image, border_widths(options), frame.color, work)?;
    }
    if let Some(background) = options.background.filter(|_| placement.pad.is_none()) {
        let _background = work.stage("background");
        image = flatten::onto(image, background, work)?;
    }
    debug_assert_eq!((image.width, image.height), placement.size);
    Ok(image)
}
