//! Does what a plan says, and finishes: format, flattening, encoding.

use std::time::{Duration, Instant};

use codecs::{
    AnimationSpec, Codec, Format, Frame, FrameSink, FrameSource, ImageSpec, Layout, Raster, codec_for,
};
use recipe::{Color, FormatChoice, Warning};
use work::Work;

use crate::canvas::Images;
use crate::describe::describe;
use crate::models::Models;
use crate::ops::flatten;
use crate::ops::turn::{Turn, turn};
use crate::output::encode_spec;
use crate::stream::short_way;
use crate::transform::File;
use crate::{Error, Plan, PlanKind, face};

/// The bytes of one input. They stay the caller's.
#[derive(Debug, Clone, Copy)]
pub enum RenderInput<'a> {
    /// A whole image file.
    Image(&'a [u8]),
    /// The font file of a text input.
    Font(&'a [u8]),
    /// Nothing: the plan does not need this input.
    Nothing,
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
    pub notices: Vec<Warning>,
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

/// Renders a plan that was made without models. `inputs[i]` belongs to input `i` of the recipe.
///
/// # Errors
/// Codec errors, budget, deadline, cancellation.
pub fn render(plan: &Plan, inputs: &[RenderInput<'_>], work: &Work) -> Result<Rendered, Error> {
    render_with(plan, inputs, None, work)
}

/// Renders a plan with the models whose capabilities stood in its limits.
///
/// # Errors
/// Codec errors, failures of a model, budget, deadline, cancellation.
pub fn render_with(
    plan: &Plan,
    inputs: &[RenderInput<'_>],
    models: Option<&dyn Models>,
    work: &Work,
) -> Result<Rendered, Error> {
    work.check()?;
    let bytes = match inputs.first() {
        Some(RenderInput::Image(bytes)) => *bytes,
        // A text has no file: it is made when its first step comes.
        Some(RenderInput::Font(_)) => &[],
        _ => return Err(Error::NoSuchImage(0)),
    };
    match plan.kind {
        PlanKind::PassThrough => {
            let format = plan.probe.format;
            Ok(rendered(plan, Body::Input, format.mime(), Some(format)))
        }
        PlanKind::Svg => {
            let _sanitise = work.stage("sanitise");
            let clean = codecs::codec::svg::sanitise(bytes, work)?;
            Ok(rendered(plan, Body::Bytes(clean), Format::Svg.mime(), Some(Format::Svg)))
        }
        PlanKind::Json => {
            let json = describe(plan, inputs, bytes.len(), models, work)?;
            Ok(rendered(plan, Body::Bytes(json), "application/json", None))
        }
        PlanKind::Still => still(plan, inputs, bytes, models, work),
        PlanKind::Animation { frames } => animation(plan, inputs, bytes, (frames, models), work),
    }
}

pub(crate) fn rendered(
    plan: &Plan,
    body: Body,
    content_type: &'static str,
    format: Option<Format>,
) -> Rendered {
    Rendered {
        body,
        content_type,
        format,
        width: plan.width,
        height: plan.height,
        frames: plan.probe.animation.map_or(1, |a| a.frames),
        notices: Vec::new(),
        timings: Timings::default(),
    }
}

fn still(
    plan: &Plan,
    inputs: &[RenderInput<'_>],
    bytes: &[u8],
    models: Option<&dyn Models>,
    work: &Work,
) -> Result<Rendered, Error> {
    let is_file = matches!(inputs.first(), Some(RenderInput::Image(_)));
    let file = File { bytes, probe: &plan.probe };
    let faces = face::Found::default();
    if is_file && let Some(done) = short_way(plan, file, &faces, work)? {
        return Ok(done);
    }
    let began = Instant::now();
    let image = Images::new(plan, inputs, models, &faces, work)?.run()?;
    let decode = began.elapsed();
    let mut out = encode(plan, image, work)?;
    out.timings = Timings { decode, encode: began.elapsed().saturating_sub(decode), ..Timings::default() };
    Ok(out)
}

pub(crate) fn codec_of(format: Format) -> Result<&'static dyn Codec, Error> {
    Ok(codec_for(format)
        .ok_or_else(|| codecs::Error::Unsupported(format!("{format} images can't be made")))?)
}

/// Chooses the format where opacity decides, flattens where needed, and encodes.
fn encode(plan: &Plan, image: Raster, work: &Work) -> Result<Rendered, Error> {
    let output = &plan.recipe.output;
    let mut image = image;
    work.stages.at_step(None);
    if let Some(background) = output.background {
        let _background = work.stage("background");
        image = flatten::onto(image, background, work)?;
    }
    let (width, height) = (image.width, image.height);
    let finish = |body: Vec<u8>, mime, format| Rendered {
        width,
        height,
        frames: 1,
        ..rendered(plan, Body::Bytes(body), mime, format)
    };
    match output.format {
        FormatChoice::Rgb => {
            let _encode = work.stage("encode");
            let image = flatten::to_rgb(image, Color::WHITE, work)?;
            return Ok(finish(take_data(image), "application/octet-stream", None));
        }
        FormatChoice::Rgba => {
            let _encode = work.stage("encode");
            let image = flatten::to_rgba(image, work)?;
            return Ok(finish(take_data(image), "application/octet-stream", None));
        }
        _ => {}
    }
    let _encode = work.stage("encode");
    let format = plan.format.unwrap_or_else(|| {
        if plan.probe.palette || !flatten::is_opaque(&image) { Format::Png } else { Format::Jpeg }
    });
    let codec = codec_of(format)?;
    let spec = encode_spec(plan, format, (width, height));
    let wanted = codec.encoded_layout(image.layout, &spec);
    image = match wanted {
        l if l == image.layout => image,
        Layout::Rgb => flatten::to_rgb(image, Color::WHITE, work)?,
        Layout::Rgba => flatten::to_rgba(image, work)?,
        _ => {
            return Err(
                codecs::Error::Encode { format, reason: "no way to its pixel layout".to_owned() }.into()
            );
        }
    };
    let mut sink = codec.encode(ImageSpec { layout: image.layout, width, height }, &spec, work)?;
    image.push_into(sink.as_mut(), 16)?;
    let bytes = sink.finish()?;
    Ok(finish(bytes, format.mime(), Some(format)))
}

fn take_data(mut image: Raster) -> Vec<u8> {
    std::mem::take(&mut image.planes[0].data)
}

/// Frame by frame: one canvas decoded, one result, and what the encoder holds.
fn animation(
    plan: &Plan,
    inputs: &[RenderInput<'_>],
    bytes: &[u8],
    (frames, models): (u32, Option<&dyn Models>),
    work: &Work,
) -> Result<Rendered, Error> {
    let began = Instant::now();
    let codec = codec_of(plan.probe.format)?;
    let format = plan.format.unwrap_or(Format::Gif);
    let encoder = codec_of(format)?;
    let faces = face::Found::default();
    let mut images = Images::new(plan, inputs, models, &faces, work)?;
    survey(&mut images, plan, bytes, work)?;
    let mut source = codec.decode_frames(bytes, &plan.probe, work)?;
    // The first result tells the size, which may depend on pixels.
    let mut sink: Option<Box<dyn FrameSink>> = None;
    let mut size = (plan.width, plan.height);
    let mut made = 0;
    let mut encoding = Duration::ZERO;
    while let Some(Frame { image, delay_ms }) = next_frame(source.as_mut(), plan, work)? {
        let mut image = images.run_frame(image)?;
        if let Some(background) = plan.recipe.output.background {
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
                    loops: plan.probe.animation.map_or(0, |a| a.loops),
                    frames,
                    encode: encode_spec(plan, format, size),
                };
                none.insert(encoder.encode_frames(&spec, work)?)
            }
        };
        sink.push(&Frame { image: flatten::to_rgba(image, work)?, delay_ms })?;
        encoding += from.elapsed();
        made += 1;
    }
    let encode = work.stage("encode");
    let sink = sink.ok_or(codecs::Error::Truncated(plan.probe.format))?;
    let body = sink.finish()?;
    drop(encode);
    let timings =
        Timings { decode: began.elapsed().saturating_sub(encoding), encode: encoding, ..Timings::default() };
    let done = rendered(plan, Body::Bytes(body), format.mime(), Some(format));
    Ok(Rendered { frames: made, timings, width: size.0, height: size.1, ..done })
}

/// What is done before the first frame of an animation: its overlays, and a look at all frames for borders to be trimmed.
///
/// # Errors
/// [`Error::Empty`] where all frames are nothing but border.
pub(crate) fn survey(images: &mut Images<'_>, plan: &Plan, bytes: &[u8], work: &Work) -> Result<(), Error> {
    images.run_overlays()?;
    while let Some(step) = images.step_to_survey() {
        let mut source = codec_of(plan.probe.format)?.decode_frames(bytes, &plan.probe, work)?;
        while let Some(frame) = next_frame(source.as_mut(), plan, work)? {
            images.survey(step, frame.image)?;
        }
        if images.step_to_survey() == Some(step) {
            return Err(Error::Empty);
        }
    }
    Ok(())
}

/// The next frame of an animation, upright.
pub(crate) fn next_frame(
    source: &mut dyn FrameSource,
    plan: &Plan,
    work: &Work,
) -> Result<Option<Frame>, Error> {
    work.stages.at_step(None);
    let decode = work.stage("decode");
    let Some(frame) = source.next_frame()? else { return Ok(None) };
    drop(decode);
    work.check()?;
    let image = turn(frame.image, Turn::from_orientation(plan.probe.orientation), work)?;
    Ok(Some(Frame { image, ..frame }))
}
