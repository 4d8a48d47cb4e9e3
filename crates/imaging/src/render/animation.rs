//! Animations frame by frame. Memory: one decoded canvas, one result, and the encoder's state.

use std::time::{Duration, Instant};

use codecs::{AnimationSpec, Format, Frame, FrameSink, FrameSource, Probe};
use work::Work;

use super::image_set::ImageSet;
use super::result::{Body, RenderInput, Rendered, Timings};
use super::scale::codec_of;
use crate::Error;
use crate::models::Models;
use crate::ops::flatten;
use crate::ops::turn::{Turn, turn};
use crate::plan::{ImageSource, Plan};

/// The frames of image 0.
pub(super) struct Canvas<'a> {
    bytes: &'a [u8],
    probe: &'a Probe,
}

impl<'a> Canvas<'a> {
    /// Image 0 of a plan, if it is an animation.
    pub(super) fn of(plan: &'a Plan, inputs: &[RenderInput<'a>]) -> Option<Self> {
        match (plan.images.first().map(|image| &image.source), inputs.first()) {
            (Some(ImageSource::Frames(probe)), Some(RenderInput::Image(bytes))) => {
                Some(Self { bytes, probe })
            }
            _ => None,
        }
    }

    pub(super) fn frames(&self, work: &'a Work) -> Result<Frames<'a>, Error> {
        let source = codec_of(self.probe.format)?.decode_frames(self.bytes, self.probe, work)?;
        Ok(Frames { source, probe: self.probe, work })
    }

    /// Work before the first frame: the overlays, and the search of all frames for borders to be trimmed.
    ///
    /// # Errors
    /// [`Error::Empty`] if all frames consist of border only.
    pub(super) fn prepare(&self, images: &mut ImageSet<'_>, most: u32, work: &'a Work) -> Result<(), Error> {
        images.run_overlays()?;
        while let Some(step) = images.step_to_survey() {
            let mut frames = self.frames(work)?;
            for _ in 0..most {
                let Some(frame) = frames.next()? else { break };
                images.survey(step, frame.image)?;
            }
            if images.step_to_survey() == Some(step) {
                return Err(Error::Empty);
            }
        }
        Ok(())
    }

    pub(super) fn truncated(&self) -> Error {
        codecs::Error::Truncated(self.probe.format).into()
    }
}

/// Decoded frames, upright.
pub(super) struct Frames<'a> {
    source: Box<dyn FrameSource + 'a>,
    probe: &'a Probe,
    work: &'a Work,
}

impl Frames<'_> {
    pub(super) fn next(&mut self) -> Result<Option<Frame>, Error> {
        let work = self.work;
        work.stages.at_step(None);
        let decode = work.stage("decode");
        let Some(frame) = self.source.next_frame()? else { return Ok(None) };
        drop(decode);
        work.check()?;
        let image = turn(frame.image, Turn::from_orientation(self.probe.orientation), work)?;
        Ok(Some(Frame { image, ..frame }))
    }
}

/// Renders the first `count` frames.
pub(super) fn render(
    plan: &Plan,
    inputs: &[RenderInput<'_>],
    (count, models): (u32, Option<&dyn Models>),
    work: &Work,
) -> Result<Rendered, Error> {
    let began = Instant::now();
    let canvas = Canvas::of(plan, inputs).ok_or(Error::NoSuchImage(0))?;
    let format = plan.output.format.unwrap_or(Format::Gif);
    let encoder = codec_of(format)?;
    let mut images = ImageSet::new(plan, inputs, models, work)?;
    canvas.prepare(&mut images, count, work)?;
    let mut frames = canvas.frames(work)?;
    // The size may depend on pixels; the first result has it.
    let mut sink: Option<Box<dyn FrameSink>> = None;
    let mut size = (plan.output.width, plan.output.height);
    let mut made = 0;
    let mut encoding = Duration::ZERO;
    while made < count {
        let Some(Frame { image, delay_ms }) = frames.next()? else { break };
        let mut image = images.run_frame(image)?;
        if let Some(background) = plan.output.background {
            image = flatten::onto(image, background, work)?;
        }
        work.stages.at_step(None);
        let _encode = work.stage("encode");
        let from = Instant::now();
        let sink = match &mut sink {
            Some(sink) => sink,
            none => {
                size = (image.width, image.height);
                let spec = AnimationSpec {
                    width: size.0,
                    height: size.1,
                    loops: canvas.probe.animation.map_or(0, |a| a.loops),
                    frames: count,
                    encode: plan.output.encode_spec(format, size),
                };
                none.insert(encoder.encode_frames(&spec, work)?)
            }
        };
        let delay_ms = plan.output.delay_ms(delay_ms);
        sink.push(&Frame { image: flatten::to_rgba(image, work)?, delay_ms })?;
        encoding += from.elapsed();
        made += 1;
    }
    let encode = work.stage("encode");
    let body = sink.ok_or_else(|| canvas.truncated())?.finish()?;
    drop(encode);
    let timings = Timings { decode: began.elapsed().saturating_sub(encoding), encode: encoding };
    let done = Rendered::new(plan, Body::Bytes(body), format.mime(), Some(format));
    let (width, height) = size;
    Ok(Rendered { frames: made, timings, width, height, warnings: images.warnings(), ..done })
}
