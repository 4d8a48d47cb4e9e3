//! Does what a plan says: decode at scale, resample while rows arrive, turn, pad, apply effects, encode.

use std::time::{Duration, Instant};

use codecs::{
    AnimationSpec, Codec, DecodeSpec, Format, Frame, ImageSpec, Layout, Plane, Raster, RowSource, Work,
    codec_for,
};
use recipe::{Color, FormatChoice, Notice, Transform};
use serde::Serialize;

use crate::geometry::{self, Area, Window};
use crate::ops::resample::Resampler;
use crate::ops::turn::{Turn, turn};
use crate::ops::{flatten, tone};
use crate::plan::{bordered, decode_scale, encode_spec};
use crate::{Error, Kind, Plan};

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
    let Some(Supply::Image(bytes)) = inputs.first() else { return Err(Error::NoSuchImage(0)) };
    work.check()?;
    match plan.kind {
        Kind::PassThrough => {
            let format = plan.probe.format;
            Ok(rendered(plan, Body::Input, format.mime(), Some(format)))
        }
        Kind::Svg => {
            let clean = codecs::codec::svg::sanitise(bytes, work)?;
            Ok(rendered(plan, Body::Bytes(clean), Format::Svg.mime(), Some(Format::Svg)))
        }
        Kind::Json => {
            let json = serde_json::to_vec(&describe(plan, bytes.len()))
                .map_err(|e| Error::Unsupported(format!("JSON: {e}")))?;
            Ok(rendered(plan, Body::Bytes(json), "application/json", None))
        }
        Kind::Still => still(plan, bytes, work),
        Kind::Animation { frames } => animation(plan, bytes, frames, work),
    }
}

fn rendered(plan: &Plan, body: Body, content_type: &'static str, format: Option<Format>) -> Rendered {
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

/// The shape of `format=json`.
#[derive(Debug, Serialize)]
struct Description {
    width: u32,
    height: u32,
    original: Original,
    #[serde(skip_serializing_if = "Option::is_none")]
    frames: Option<u32>,
}

#[derive(Debug, Serialize)]
struct Original {
    file_size: usize,
    width: u32,
    height: u32,
    format: &'static str,
}

fn describe(plan: &Plan, file_size: usize) -> Description {
    let (width, height) = plan.probe.oriented_size();
    let frames = plan.probe.animation.filter(|a| a.frames > 1 && plan.recipe.output.anim).map(|a| a.frames);
    let original = Original { file_size, width, height, format: plan.probe.format.mime() };
    Description { width: plan.width, height: plan.height, original, frames }
}

fn still(plan: &Plan, bytes: &[u8], work: &Work) -> Result<Rendered, Error> {
    let began = Instant::now();
    let codec = codec_of(plan.probe.format)?;
    let none = Transform::default();
    let (first, rest) = plan.transforms.split_first().unwrap_or((&none, &[]));
    let mut image = load(plan, codec, bytes, first, work)?;
    let decode = began.elapsed();
    for transform in rest {
        image = step(image, transform, plan, work)?;
    }
    let operate = began.elapsed().saturating_sub(decode);
    let mut out = encode(plan, image, work)?;
    out.timings = Timings { decode, operate, encode: began.elapsed().saturating_sub(decode + operate) };
    Ok(out)
}

fn codec_of(format: Format) -> Result<&'static dyn Codec, Error> {
    Ok(codec_for(format)
        .ok_or_else(|| codecs::Error::Unsupported(format!("{format} images are not accepted")))?)
}

/// Decodes image 0 and does the first transform on the way: the resampler sees rows as they are decoded.
fn load(
    plan: &Plan,
    codec: &dyn Codec,
    bytes: &[u8],
    transform: &Transform,
    work: &Work,
) -> Result<Raster, Error> {
    let probe = &plan.probe;
    let oriented = probe.oriented_size();
    let g = geometry::resolve(transform, oriented, oriented, &plan.limits)?;
    let upright = Turn::from_orientation(probe.orientation);
    let own = own_turn(transform);

    // Everything is mapped back to stored coordinates, and the turn is done on the small result.
    let window = area_of(g.window);
    let turned_size =
        if own.swaps_axes() { (window.height, window.width) } else { (window.width, window.height) };
    let inner = own.inverse().map_rect(g.area, turned_size);
    let in_oriented = Area { x: inner.x + window.x, y: inner.y + window.y, ..inner };
    let full = (f64::from(oriented.0), f64::from(oriented.1));
    let area = upright.inverse().map_rect(in_oriented, full);
    let bounds = upright.inverse().map_rect(window, full);
    let total = upright.then(own);
    let size = if total.swaps_axes() { (g.scaled.1, g.scaled.0) } else { g.scaled };

    let scale = decode_scale(probe, transform, (area.width, area.height), size);
    let mut source = codec.decode(bytes, probe, DecodeSpec { scale, planar: false }, work)?;
    let raster = resample(source.as_mut(), bounds, area, size, (probe.width, probe.height), plan, work)?;
    finish_step(turn(raster, total, work)?, &g, transform, work)
}

fn own_turn(transform: &Transform) -> Turn {
    transform.flip.map_or(Turn::default(), Turn::from_flip).then(Turn::from_rotate(transform.rotate))
}

fn area_of(w: Window) -> Area {
    Area { x: w.x.into(), y: w.y.into(), width: w.width.into(), height: w.height.into() }
}

/// Pulls rows and resamples them; colours become sRGB RGB, RGBA or grey on the way.
fn resample(
    source: &mut dyn RowSource,
    bounds: Area,
    area: Area,
    size: (u32, u32),
    stored: (u32, u32),
    plan: &Plan,
    work: &Work,
) -> Result<Raster, Error> {
    let (dw, dh) = source.size();
    let (kx, ky) = (f64::from(dw) / f64::from(stored.0), f64::from(dh) / f64::from(stored.1));
    let area = Area { x: area.x * kx, y: area.y * ky, width: area.width * kx, height: area.height * ky };
    let (x, y) = ((bounds.x * kx).floor() as u32, (bounds.y * ky).floor() as u32);
    let window = Window {
        x,
        y,
        width: (((bounds.x + bounds.width) * kx).ceil() as u32).min(dw) - x,
        height: (((bounds.y + bounds.height) * ky).ceil() as u32).min(dh) - y,
    };
    let layout = source.layout();
    let mut colours = crate::ops::to_srgb::ToSrgb::new(&plan.probe.colour, layout)?;
    let target = colours.layout();
    let channels = target.channels(0);
    let mut resampler = Resampler::new(window, area, size, channels, work)?;
    let stride = dw as usize * channels;
    while let Some(rows) = source.next_rows()? {
        work.check()?;
        let Some(part) = rows.planes.first().filter(|p| p.count > 0) else { continue };
        resampler.push(part.first, colours.rows(part.data), stride, work)?;
    }
    Ok(one_plane(target, resampler.finish()?))
}

fn one_plane(layout: Layout, plane: Plane) -> Raster {
    Raster { layout, width: plane.width, height: plane.height, planes: vec![plane] }
}

/// A transform of an image that is already in memory.
fn step(image: Raster, transform: &Transform, plan: &Plan, work: &Work) -> Result<Raster, Error> {
    let size = (image.width, image.height);
    let g = geometry::resolve(transform, size, size, &plan.limits)?;
    let own = own_turn(transform);
    let window = area_of(g.window);
    let turned_size =
        if own.swaps_axes() { (window.height, window.width) } else { (window.width, window.height) };
    let inner = own.inverse().map_rect(g.area, turned_size);
    let area = Area { x: inner.x + window.x, y: inner.y + window.y, ..inner };
    let scaled = if own.swaps_axes() { (g.scaled.1, g.scaled.0) } else { g.scaled };
    let unchanged =
        area == (Area { x: 0.0, y: 0.0, width: size.0.into(), height: size.1.into() }) && scaled == size;
    let image = if unchanged {
        image
    } else {
        let plane = &image.planes[0];
        let mut resampler = Resampler::new(g.window, area, scaled, plane.channels, work)?;
        resampler.push(0, &plane.data, plane.stride(), work)?;
        one_plane(image.layout, resampler.finish()?)
    };
    finish_step(turn(image, own, work)?, &g, transform, work)
}

/// Padding, background and effects: what comes after the resize.
fn finish_step(
    mut image: Raster,
    g: &geometry::Geometry,
    transform: &Transform,
    work: &Work,
) -> Result<Raster, Error> {
    if let Some(pad) = g.pad.filter(|p| (p.width, p.height) != (image.width, image.height)) {
        image = flatten::pad(&image, pad, transform.background.unwrap_or(Color::WHITE), work)?;
    }
    if let Some(background) = transform.background {
        image = flatten::onto(image, background, work)?;
    }
    image = tone::apply(image, transform, work)?;
    debug_assert_eq!((image.width, image.height), bordered(g, transform));
    Ok(image)
}

/// Chooses the format where opacity decides, flattens where needed, and encodes.
fn encode(plan: &Plan, image: Raster, work: &Work) -> Result<Rendered, Error> {
    let output = &plan.recipe.output;
    let mut image = image;
    if let Some(background) = output.background {
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
            let image = flatten::to_rgb(image, Color::WHITE, work)?;
            return Ok(finish(take_data(image), "application/octet-stream", None));
        }
        FormatChoice::Rgba => {
            let image = flatten::to_rgba(image, work)?;
            return Ok(finish(take_data(image), "application/octet-stream", None));
        }
        _ => {}
    }
    let format = plan.format.unwrap_or_else(|| {
        if plan.probe.palette || !flatten::is_opaque(&image) { Format::Png } else { Format::Jpeg }
    });
    let codec = codec_of(format)?;
    let spec = encode_spec(plan, format);
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
fn animation(plan: &Plan, bytes: &[u8], frames: u32, work: &Work) -> Result<Rendered, Error> {
    let began = Instant::now();
    let codec = codec_of(plan.probe.format)?;
    let format = plan.format.unwrap_or(Format::Gif);
    let encoder = codec_of(format)?;
    let spec = AnimationSpec {
        width: plan.width,
        height: plan.height,
        loops: plan.probe.animation.map_or(0, |a| a.loops),
        frames,
        encode: encode_spec(plan, format),
    };
    let mut source = codec.decode_frames(bytes, &plan.probe, work)?;
    let mut sink = encoder.encode_frames(&spec, work)?;
    let mut made = 0;
    while let Some(frame) = source.next_frame()? {
        work.check()?;
        let mut image = turn(frame.image, Turn::from_orientation(plan.probe.orientation), work)?;
        for transform in &plan.transforms {
            image = step(image, transform, plan, work)?;
        }
        if let Some(background) = plan.recipe.output.background {
            image = flatten::onto(image, background, work)?;
        }
        sink.push(&Frame { image: flatten::to_rgba(image, work)?, delay_ms: frame.delay_ms })?;
        made += 1;
    }
    let body = sink.finish()?;
    let timings = Timings { decode: began.elapsed(), ..Timings::default() };
    Ok(Rendered { frames: made, timings, ..rendered(plan, Body::Bytes(body), format.mime(), Some(format)) })
}
