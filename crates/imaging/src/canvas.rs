//! Runs the steps of a recipe over its numbered images. An image is decoded by its first step, and
//! given up by the draw that uses it last.

use codecs::Raster;
use recipe::{Input, Step, TextSource, Transform};
use work::Work;

use crate::models::Models;
use crate::ops::{compose, lettering};
use crate::transform::{File, Found, Means, detects_border, inside_border, of_file, of_raster};
use crate::{Error, Plan, RenderInput, face};

/// An image between two steps.
enum State<'a> {
    File(File<'a>),
    Text {
        font: &'a [u8],
        source: &'a TextSource,
    },
    Pixels(Raster),
    /// Not supplied, or not needed any more.
    Gone,
}

fn lettered(source: &TextSource, font: &[u8], work: &Work) -> Result<Raster, Error> {
    let _text = work.stage("text");
    lettering::render(source, font, work)
}

/// The numbered images of one request.
pub(crate) struct Images<'a> {
    plan: &'a Plan,
    models: Option<&'a dyn Models>,
    work: &'a Work,
    faces: &'a face::Found,
    states: Vec<State<'a>>,
    /// For each step, what pixels have decided.
    found: Vec<Found>,
}

impl<'a> Images<'a> {
    pub(crate) fn new(
        plan: &'a Plan,
        inputs: &[RenderInput<'a>],
        models: Option<&'a dyn Models>,
        faces: &'a face::Found,
        work: &'a Work,
    ) -> Result<Self, Error> {
        let needed = plan.needed();
        let states = plan
            .recipe
            .inputs
            .iter()
            .enumerate()
            .map(|(i, input)| {
                let is_needed = needed.get(i).copied().unwrap_or(false);
                let probe = plan.probes.get(i).and_then(Option::as_ref);
                Ok(match (input, inputs.get(i), probe) {
                    _ if !is_needed => State::Gone,
                    (Input::Text(source), Some(RenderInput::Font(font)), _) => State::Text { font, source },
                    (Input::Supplied | Input::Url(_), Some(RenderInput::Image(bytes)), Some(probe)) => {
                        State::File(File { bytes, probe })
                    }
                    _ => return Err(Error::NoSuchImage(i)),
                })
            })
            .collect::<Result<_, Error>>()?;
        let found = vec![Found::default(); plan.recipe.steps.len()];
        Ok(Self { plan, models, work, faces, states, found })
    }

    /// All steps, first to last.
    pub(crate) fn run(&mut self) -> Result<Raster, Error> {
        self.before(self.plan.recipe.steps.len())
    }

    /// Image 0 as it is before step `end`.
    pub(crate) fn before(&mut self, end: usize) -> Result<Raster, Error> {
        for index in 0..end {
            self.step(index, false)?;
        }
        self.take(0)
    }

    /// What can be done before the first frame of an animated canvas: all that is not done on the canvas.
    pub(crate) fn run_overlays(&mut self) -> Result<(), Error> {
        for (index, step) in self.plan.recipe.steps.iter().enumerate() {
            let of_canvas = match step {
                Step::Transform { image, .. } => *image == 0,
                Step::Draw { onto, .. } => *onto == 0,
            };
            if !of_canvas {
                self.step(index, true)?;
            }
        }
        for index in 1..self.states.len() {
            if !matches!(self.states[index], State::Gone) {
                self.load(index)?;
            }
        }
        Ok(())
    }

    /// The steps of the canvas, on one frame; overlays stay for the next.
    pub(crate) fn run_frame(&mut self, frame: Raster) -> Result<Raster, Error> {
        self.run_frame_to(frame, self.plan.recipe.steps.len())
    }

    /// The first steps of the canvas whose border has to be found, that were not surveyed yet.
    pub(crate) fn step_to_survey(&self) -> Option<usize> {
        self.plan.recipe.steps.iter().zip(&self.found).position(|(step, found)| {
            matches!(step, Step::Transform { image: 0, transform } if detects_border(transform))
                && found.trim.is_none()
        })
    }

    /// Looks for the border that step `index` trims in one more frame: what any frame shows is kept in all of them.
    pub(crate) fn survey(&mut self, index: usize, frame: Raster) -> Result<(), Error> {
        let image = self.run_frame_to(frame, index)?;
        let Step::Transform { transform, .. } = &self.plan.recipe.steps[index] else { return Ok(()) };
        if let Some(window) = inside_border(&image, transform, self.work)? {
            let kept = &mut self.found[index].trim;
            *kept = Some(kept.map_or(window, |before| before.around(window)));
        }
        Ok(())
    }

    /// The steps of the canvas before step `end`.
    fn run_frame_to(&mut self, frame: Raster, end: usize) -> Result<Raster, Error> {
        *self.state(0)? = State::Pixels(frame);
        for (index, step) in self.plan.recipe.steps.iter().enumerate().take(end) {
            match step {
                Step::Transform { image: 0, .. } | Step::Draw { onto: 0, .. } => self.step(index, true)?,
                _ => {}
            }
        }
        self.take(0)
    }

    fn step(&mut self, index: usize, keep: bool) -> Result<(), Error> {
        self.work.check()?;
        self.work.stages.at_step(Some(index));
        match &self.plan.recipe.steps[index] {
            Step::Transform { image, transform } => {
                let means = self.means(index);
                let mut found = self.found[index];
                let done = match std::mem::replace(self.state(*image)?, State::Gone) {
                    State::File(file) => of_file(file, transform, means)?,
                    State::Text { font, source } => {
                        of_raster(lettered(source, font, self.work)?, transform, means, &mut found)?
                    }
                    State::Pixels(image) => of_raster(image, transform, means, &mut found)?,
                    State::Gone => return Err(Error::NoSuchImage(*image)),
                };
                self.found[index] = found;
                *self.state(*image)? = State::Pixels(done);
            }
            Step::Draw { image, onto, draw } => {
                self.load(*onto)?;
                self.load(*image)?;
                let base = self.take(*onto)?;
                let overlay = self.take(*image)?;
                let _draw = self.work.stage("draw");
                let done = compose::draw(base, &overlay, draw, self.work)?;
                *self.state(*onto)? = State::Pixels(done);
                if keep || self.drawn_again(*image, index) {
                    *self.state(*image)? = State::Pixels(overlay);
                }
            }
        }
        Ok(())
    }

    fn drawn_again(&self, image: usize, index: usize) -> bool {
        let later = self.plan.recipe.steps.get(index + 1..).unwrap_or_default();
        later.iter().any(|step| match step {
            Step::Draw { image: i, onto, .. } => *i == image || *onto == image,
            Step::Transform { image: i, .. } => *i == image,
        })
    }

    fn means(&self, index: usize) -> Means<'a> {
        let base = self.plan.bases.get(index).copied().unwrap_or_default();
        let (limits, faces) = (&self.plan.limits, (self.faces, index));
        Means { base, limits, models: self.models, work: self.work, faces }
    }

    /// Decodes an image that no step has decoded yet.
    fn load(&mut self, index: usize) -> Result<(), Error> {
        // Nothing is cropped here, so that no step is asked for faces.
        let faces = (self.faces, usize::MAX);
        let limits = &self.plan.limits;
        let means = Means { base: (0, 0), limits, models: self.models, work: self.work, faces };
        let work = self.work;
        let state = self.state(index)?;
        let pixels = match state {
            State::Pixels(_) => return Ok(()),
            State::File(file) => of_file(*file, &Transform::default(), means)?,
            State::Text { font, source } => lettered(source, font, work)?,
            State::Gone => return Err(Error::NoSuchImage(index)),
        };
        *state = State::Pixels(pixels);
        Ok(())
    }

    fn take(&mut self, index: usize) -> Result<Raster, Error> {
        self.load(index)?;
        match std::mem::replace(self.state(index)?, State::Gone) {
            State::Pixels(image) => Ok(image),
            _ => Err(Error::NoSuchImage(index)),
        }
    }

    fn state(&mut self, index: usize) -> Result<&mut State<'a>, Error> {
        self.states.get_mut(index).ok_or(Error::NoSuchImage(index))
    }
}
