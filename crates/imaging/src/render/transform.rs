//! One planned transform: questions are answered, pixels scaled, and what comes after the resize is done.

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

/// What every step of a request shares.
#[derive(Debug, Clone, Copy)]
pub(super) struct StepContext<'a> {
    pub(super) limits: &'a Limits,
    /// The models that the limits describe.
    pub(super) models: Option<&'a dyn Models>,
    pub(super) work: &'a Work,
}

/// The pixels that a transform starts with.
#[derive(Debug)]
pub(super) enum Pixels<'a> {
    Encoded(EncodedImage<'a>),
    Bitmap(Raster),
}

impl Pixels<'_> {
    /// Scales a copy, for a look at it.
    fn look(&self, scaling: &Scaling, work: &Work) -> Result<Raster, Error> {
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

/// Does a transform. Questions that `answers` already answers are not asked again; new answers are added to it.
pub(super) fn run(
    step: &PlannedTransform,
    pixels: Pixels<'_>,
    answers: &mut Answers,
    context: StepContext<'_>,
) -> Result<Raster, Error> {
    let work = context.work;
    let mut pixels = Some(segmented(step, pixels, context)?);
    // The whole picture, scaled for a look at its subject.
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
    Error::Internal("a step needs its pixels twice".to_owned())
}

/// Answers a question that leaves the pixels as they are.
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
                return Err(Error::Internal("a border is looked for in a file".to_owned()));
            };
            let _trim = work.stage("trim");
            answers.border = Some(analysis::border::find(image, trim, work)?.ok_or(Error::Empty)?);
        }
        Question::Faces { thumbnail } => {
            let thumbnail = pixels.look(thumbnail, work)?;
            answers.faces = Some(analysis::faces::find(thumbnail, work)?);
        }
        Question::Subject { .. } => {
            return Err(Error::Internal("a subject is looked for after scaling".to_owned()));
        }
    }
    Ok(())
}

/// Looks for the border that a step trims in one frame: what any frame shows is kept in all of them.
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
        return Err(Error::Internal("the foreground is looked for in a file".to_owned()));
    };
    let mask = analysis::foreground::mask(&image, context.models, model, context.work)?;
    mask::apply(image, &mask, context.work).map(Pixels::Bitmap)
}

/// Padding, effects, border and background: what comes after the resize, in the order of the specification. Padding
/// is a canvas of the background under the image, and takes part in the effects; without it the background is what the
/// finished picture is flattened on.
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
