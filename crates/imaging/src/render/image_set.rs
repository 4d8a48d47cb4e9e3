//! The numbered images of one request, and the steps over them. An image is decoded by its first step, and
//! dropped after the last draw that uses it.

use codecs::Raster;
use recipe::{Input, TextSource, Warnings};
use work::Work;

use super::result::RenderInput;
use super::scale::EncodedImage;
use super::transform::{self, Pixels, StepContext};
use crate::Error;
use crate::models::Models;
use crate::ops::{compose, text};
use crate::plan::{
    Answers, ImageSource, Plan, PlannedDraw, PlannedStep, PlannedTransform, border_question, reduction,
};

/// The state of an image between two steps.
enum ImageState<'a> {
    Encoded(EncodedImage<'a>),
    Text {
        font: &'a [u8],
        source: &'a TextSource,
    },
    Bitmap(Raster),
    /// Not supplied, not decoded yet, or no longer needed.
    Absent,
}

/// The numbered images of one request.
pub(super) struct ImageSet<'a> {
    plan: &'a Plan,
    context: StepContext<'a>,
    states: Vec<ImageState<'a>>,
    /// The answers to the questions of each step.
    answers: Vec<Answers>,
    font: text::LastFont<&'a [u8]>,
}

impl<'a> ImageSet<'a> {
    pub(super) fn new(
        plan: &'a Plan,
        inputs: &[RenderInput<'a>],
        models: Option<&'a dyn Models>,
        work: &'a Work,
    ) -> Result<Self, Error> {
        let context = StepContext { limits: &plan.limits, models, work };
        let state = |(i, image): (usize, &'a crate::plan::PlannedImage)| {
            let input = (&image.source, inputs.get(i), plan.recipe.inputs.get(i));
            Ok(match input {
                (ImageSource::Unused | ImageSource::Frames(_), _, _) => ImageState::Absent,
                (ImageSource::Text { .. }, Some(RenderInput::Font(font)), Some(Input::Text(source))) => {
                    ImageState::Text { font, source }
                }
                (ImageSource::File(probe), Some(RenderInput::Image(bytes)), _) => {
                    ImageState::Encoded(EncodedImage { bytes, probe })
                }
                _ => return Err(Error::NoSuchImage(i)),
            })
        };
        let states = plan.images.iter().enumerate().map(state).collect::<Result<_, Error>>()?;
        let answers = vec![Answers::default(); plan.steps.len()];
        Ok(Self { plan, context, states, answers, font: text::LastFont::default() })
    }

    /// All steps, first to last.
    pub(super) fn run(&mut self) -> Result<Raster, Error> {
        self.run_to(self.plan.steps.len())
    }

    /// Image 0 before step `end`.
    pub(super) fn run_to(&mut self, end: usize) -> Result<Raster, Error> {
        for index in 0..end {
            self.step(index, false)?;
        }
        self.take(0)
    }

    /// All steps on other images than the canvas, before the first frame of an animation.
    pub(super) fn run_overlays(&mut self) -> Result<(), Error> {
        for (index, step) in self.plan.steps.iter().enumerate() {
            if !is_on_canvas(step) {
                self.step(index, true)?;
            }
        }
        for index in 1..self.states.len() {
            if !matches!(self.states[index], ImageState::Absent) {
                self.load(index)?;
            }
        }
        Ok(())
    }

    /// The steps of the canvas on one frame; overlays are kept for the next frame.
    pub(super) fn run_frame(&mut self, frame: Raster) -> Result<Raster, Error> {
        self.run_frame_to(frame, self.plan.steps.len())
    }

    /// The steps of the canvas before step `end`.
    pub(super) fn run_frame_to(&mut self, frame: Raster, end: usize) -> Result<Raster, Error> {
        *self.state(0)? = ImageState::Bitmap(frame);
        for (index, step) in self.plan.steps.iter().enumerate().take(end) {
            if is_on_canvas(step) {
                self.step(index, true)?;
            }
        }
        self.take(0)
    }

    /// What the steps found out and the client has to know.
    pub(super) fn warnings(&self) -> Warnings {
        let mut warnings = Warnings::default();
        if let (Some(PlannedStep::Transform(step)), Some(answers)) =
            (self.plan.steps.last(), self.answers.last())
            && let Some(size) = answers.size.filter(|_| step.reduces)
            && let Some(text) = reduction(size, &self.plan.limits.output)
        {
            warnings.push(text);
        }
        warnings
    }

    /// The first step of the canvas with an unanswered question about a border.
    pub(super) fn step_to_survey(&self) -> Option<usize> {
        self.plan.steps.iter().zip(&self.answers).position(|(step, answers)| match step {
            PlannedStep::Transform(step) => {
                step.image == 0 && border_question(&step.options).is_some() && answers.border.is_none()
            }
            PlannedStep::Draw(_) => false,
        })
    }

    /// Searches one more frame for the border that step `index` trims.
    pub(super) fn survey(&mut self, index: usize, frame: Raster) -> Result<(), Error> {
        let image = self.run_frame_to(frame, index)?;
        let PlannedStep::Transform(step) = &self.plan.steps[index] else { return Ok(()) };
        transform::survey_border(step, &image, &mut self.answers[index], self.context.work)
    }

    fn step(&mut self, index: usize, keep: bool) -> Result<(), Error> {
        self.context.work.check()?;
        self.context.work.stages.at_step(Some(index));
        let plan = self.plan;
        match &plan.steps[index] {
            PlannedStep::Transform(step) => self.transform(index, step),
            PlannedStep::Draw(step) => self.draw(step, keep),
        }
    }

    fn transform(&mut self, index: usize, step: &PlannedTransform) -> Result<(), Error> {
        if step.source == crate::plan::PixelSource::Bitmap {
            self.load(step.image)?;
        }
        let pixels = match std::mem::replace(self.state(step.image)?, ImageState::Absent) {
            ImageState::Encoded(image) => Pixels::Encoded(image),
            ImageState::Bitmap(image) => Pixels::Bitmap(image),
            ImageState::Text { .. } | ImageState::Absent => return Err(Error::NoSuchImage(step.image)),
        };
        let done = transform::run(step, pixels, &mut self.answers[index], self.context)?;
        *self.state(step.image)? = ImageState::Bitmap(done);
        Ok(())
    }

    fn draw(&mut self, step: &PlannedDraw, keep: bool) -> Result<(), Error> {
        self.load(step.onto)?;
        self.load(step.image)?;
        let base = self.take(step.onto)?;
        let overlay = self.take(step.image)?;
        let _draw = self.context.work.stage("draw");
        let done = compose::draw(base, &overlay, &step.draw, self.context.work)?;
        *self.state(step.onto)? = ImageState::Bitmap(done);
        if keep || step.used_again {
            *self.state(step.image)? = ImageState::Bitmap(overlay);
        }
        Ok(())
    }

    /// Decodes or paints an image that no step has made pixels of yet.
    fn load(&mut self, index: usize) -> Result<(), Error> {
        let (plan, context) = (self.plan, self.context);
        let state = self.states.get_mut(index).ok_or(Error::NoSuchImage(index))?;
        let pixels = match state {
            ImageState::Bitmap(_) => return Ok(()),
            ImageState::Encoded(image) => {
                let load = plan.images.get(index).and_then(|image| image.load.as_ref());
                let load =
                    load.ok_or_else(|| Error::Internal(format!("image {index} has no decoding plan")))?;
                transform::run(load, Pixels::Encoded(*image), &mut Answers::default(), context)?
            }
            ImageState::Text { font, source } => {
                let _text = context.work.stage("text");
                text::render(source, *font, &mut self.font, context.work)?
            }
            ImageState::Absent => return Err(Error::NoSuchImage(index)),
        };
        *state = ImageState::Bitmap(pixels);
        Ok(())
    }

    fn take(&mut self, index: usize) -> Result<Raster, Error> {
        self.load(index)?;
        match std::mem::replace(self.state(index)?, ImageState::Absent) {
            ImageState::Bitmap(image) => Ok(image),
            _ => Err(Error::NoSuchImage(index)),
        }
    }

    fn state(&mut self, index: usize) -> Result<&mut ImageState<'a>, Error> {
        self.states.get_mut(index).ok_or(Error::NoSuchImage(index))
    }
}

fn is_on_canvas(step: &PlannedStep) -> bool {
    match step {
        PlannedStep::Transform(step) => step.image == 0,
        PlannedStep::Draw(step) => step.onto == 0,
    }
}
