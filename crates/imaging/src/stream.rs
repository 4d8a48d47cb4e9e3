//! The short way from a file to a file: rows flow from the decoder through the resampler into the
//! encoder, as Y Cb Cr planes where both ends speak them, and no bitmap is held unless it has to be turned.

use std::time::Instant;

use codecs::{Colour, DecodeSpec, EncodeSpec, Format, ImageSpec, Layout, Probe, Raster, RowSource, Rows};
use recipe::{FormatChoice, Step, Transform};
use work::Work;

use crate::geometry::Geometry;
use crate::ops::resample::{Resampler, ready_rows};
use crate::ops::to_srgb::ToSrgb;
use crate::ops::turn::{Turn, turn};
use crate::output::encode_spec;
use crate::render::{Body, Rendered, Timings, rendered};
use crate::transform::{
    File, Mapping, decode_scale, decoded_scale, detects_focus, in_plane, looks_at_all, only_resizes,
    scaled_file, turned_size,
};
use crate::{Error, Plan, face, geometry};

/// How the rows of a plan can flow.
struct Way {
    map: Mapping,
    format: Format,
    spec: EncodeSpec,
    decode: DecodeSpec,
    /// What the encoder takes.
    layout: Layout,
}

/// Renders a plan that needs no more than a decoder, a resampler and an encoder; `None` for all others.
pub(crate) fn short_way(
    plan: &Plan,
    file: File<'_>,
    faces: &face::Found,
    work: &Work,
) -> Result<Option<Rendered>, Error> {
    let began = Instant::now();
    let Some(way) = way(plan, file, faces, work)? else { return Ok(None) };
    let decode = work.stage("decode");
    let mut source = file.codec()?.decode(file.bytes, file.probe, way.decode, work)?;
    drop(decode);
    let mut pipe = Pipe::new(source.as_mut(), file, &way, work)?;
    let (width, height) =
        if way.map.turn.swaps_axes() { (way.map.size.1, way.map.size.0) } else { way.map.size };
    let encoder = codecs::codec_for(way.format)
        .ok_or_else(|| Error::Unsupported(format!("{} images can't be made", way.format)))?;
    let image = ImageSpec { layout: way.layout, width, height };
    let mut encoding = std::time::Duration::ZERO;
    let bytes = if way.map.turn.is_identity() {
        let mut sink = {
            let _encode = work.stage("encode");
            encoder.encode(image, &way.spec, work)?
        };
        while pipe.pull(source.as_mut(), work)? {
            let _encode = work.stage("encode");
            let from = Instant::now();
            pipe.give(|rows| Ok(sink.push(rows)?))?;
            encoding += from.elapsed();
        }
        pipe.is_complete()?;
        let _encode = work.stage("encode");
        let from = Instant::now();
        let bytes = sink.finish()?;
        encoding += from.elapsed();
        bytes
    } else {
        let mut raster = Raster::new(way.layout, way.map.size.0, way.map.size.1, work)?;
        while pipe.pull(source.as_mut(), work)? {
            pipe.give(|rows| {
                for (plane, part) in raster.planes.iter_mut().zip(rows.planes()) {
                    let at = part.first as usize * plane.stride();
                    plane.data[at..at + part.data.len()].copy_from_slice(part.data);
                }
                Ok(())
            })?;
        }
        pipe.is_complete()?;
        drop(pipe);
        drop(source);
        let raster = turn(raster, way.map.turn, work)?;
        let _encode = work.stage("encode");
        let from = Instant::now();
        let image = ImageSpec { layout: raster.layout, ..image };
        let mut sink = encoder.encode(image, &way.spec, work)?;
        raster.push_into(sink.as_mut(), 16)?;
        let bytes = sink.finish()?;
        encoding = from.elapsed();
        bytes
    };
    let timings =
        Timings { decode: began.elapsed().saturating_sub(encoding), encode: encoding, ..Timings::default() };
    let body = Body::Bytes(bytes);
    Ok(Some(Rendered {
        width,
        height,
        frames: 1,
        timings,
        ..rendered(plan, body, way.format.mime(), Some(way.format))
    }))
}

/// What the rows of a plan flow through, as far as headers tell.
pub(crate) struct Flow<'a> {
    /// The only transform, if there is one.
    transform: Option<&'a Transform>,
    geometry: Geometry,
    format: Format,
    spec: EncodeSpec,
    /// Y Cb Cr planes, rather than interleaved sRGB.
    planar: bool,
    /// What the encoder takes.
    layout: Layout,
}

impl Flow<'_> {
    fn mapping(&self, probe: &Probe, g: &Geometry) -> Mapping {
        let none = Transform::default();
        let transform = self.transform.unwrap_or(&none);
        Mapping::new(g, transform, Turn::from_orientation(probe.orientation), probe.oriented_size())
    }

    /// Bytes of the encoder, of the rows on their way to it, and of the bitmaps that a turn takes.
    pub(crate) fn bytes(&self, plan: &Plan) -> u64 {
        let (width, height) = self.geometry.scaled;
        let map = self.mapping(&plan.probe, &self.geometry);
        let turns = !map.turn.is_identity();
        let bitmaps = if turns { 2 * self.layout.bytes(width, height) } else { 0 };
        // They are resampled before they are turned.
        let ready = self.layout.bytes(map.size.0, ready_rows(map.area.height, map.size.1));
        let image = ImageSpec { layout: self.layout, width: plan.width, height: plan.height };
        codecs::codec_for(self.format).map_or(0, |c| c.encode_bytes(image, &self.spec)) + ready + bitmaps
    }
}

fn way(plan: &Plan, file: File<'_>, faces: &face::Found, work: &Work) -> Result<Option<Way>, Error> {
    let Some(flow) = flow(plan)? else { return Ok(None) };
    let none = Transform::default();
    let transform = flow.transform.unwrap_or(&none);
    let look = |g: &Geometry| scaled_file(file, g, transform, work);
    // The only step is the first.
    let turned = turned_size(&flow.geometry, transform);
    let g = face::aimed(flow.geometry, transform, turned, (faces, 0), work, look)?;
    let map = flow.mapping(file.probe, &g);
    let decode = DecodeSpec { scale: decode_scale(file.probe, &map), planar: flow.planar };
    let Flow { format, spec, layout, .. } = flow;
    Ok(Some(Way { map, format, spec, decode, layout }))
}

/// The short way of a plan; `None` where it needs a bitmap.
///
/// # Errors
/// What the geometry refuses.
pub(crate) fn flow(plan: &Plan) -> Result<Option<Flow<'_>>, Error> {
    let none = Transform::default();
    let (only, transform) = match plan.recipe.steps.as_slice() {
        [] => (None, &none),
        [Step::Transform { image: 0, transform }] => (Some(transform), transform),
        _ => return Ok(None),
    };
    let raw = matches!(plan.recipe.output.format, FormatChoice::Rgb | FormatChoice::Rgba);
    let Some(format) = plan.format.filter(|_| !raw && only_resizes(transform)) else {
        return Ok(None);
    };
    let probe = &plan.probe;
    let oriented = probe.oriented_size();
    let base = plan.bases.first().copied().unwrap_or_default();
    let g = geometry::resolve(transform, oriented, base, &plan.limits)?;
    if looks_at_all(transform, &g, oriented, &plan.limits) {
        return Ok(None);
    }
    let pads = g.pad.is_some_and(|p| (p.width, p.height) != g.scaled);
    if pads || detects_focus(transform, &g) {
        return Ok(None);
    }
    let (Some(codec), Some(encoder)) = (codecs::codec_for(probe.format), codecs::codec_for(format)) else {
        return Ok(None);
    };
    let spec = encode_spec(plan, format, (plan.width, plan.height));
    let flow = |planar, layout, spec| Flow { transform: only, geometry: g, format, spec, planar, layout };
    let is_srgb = match &probe.colour {
        Colour::Srgb => true,
        Colour::Icc(icc) => codecs::icc::is_srgb(icc),
        Colour::Cicp { .. } => false,
    };
    // The layout does not depend on the scale.
    let planes = codec.decoded_layout(probe, DecodeSpec { scale: 1, planar: true });
    if is_srgb && matches!(planes, Layout::Ycc(_) | Layout::Gray) {
        let offered = if planes == Layout::Gray { planes } else { Layout::Ycc(spec.subsampling) };
        let layout = encoder.encoded_layout(offered, &spec);
        if layout == offered {
            return Ok(Some(flow(true, layout, spec)));
        }
    }
    // Interleaved: nothing may be left between the resampler and the encoder.
    let stored = codec.decoded_layout(probe, DecodeSpec { scale: 1, planar: false });
    let Ok(layout) = ToSrgb::yields(stored) else { return Ok(None) };
    let flattens =
        layout.has_alpha() && (transform.background.is_some() || plan.recipe.output.background.is_some());
    if flattens || encoder.encoded_layout(layout, &spec) != layout {
        return Ok(None);
    }
    Ok(Some(flow(false, layout, spec)))
}

/// Pixels for each sample of plane `index`, along and across.
fn factors(layout: Layout, index: usize) -> (f64, f64) {
    match layout {
        Layout::Ycc(s) if index > 0 => {
            let (h, v) = s.factors();
            (f64::from(h), f64::from(v))
        }
        _ => (1.0, 1.0),
    }
}

/// A resampler for each plane, between the decoder and whatever takes the rows.
struct Pipe {
    /// For planar rows none are needed: they are sRGB already.
    colours: Option<ToSrgb>,
    lanes: Vec<Resampler>,
    /// Bytes of a row of each plane of the decoder.
    strides: Vec<usize>,
}

impl Pipe {
    fn new(source: &mut dyn RowSource, file: File<'_>, way: &Way, work: &Work) -> Result<Self, Error> {
        let from = source.layout();
        let probe = file.probe;
        let k = decoded_scale(way.decode.scale);
        let colours = match from {
            Layout::Ycc(_) => None,
            _ => Some(ToSrgb::new(&probe.colour, from)?),
        };
        let middle = colours.as_ref().map_or(from, ToSrgb::layout);
        let mut lanes = Vec::with_capacity(middle.planes());
        let mut strides = Vec::with_capacity(middle.planes());
        for i in 0..middle.planes() {
            let size = source.plane_size(i);
            let (from_h, from_v) = factors(from, i);
            let (h, v) = factors(way.layout, i);
            let k = (k / from_h, k / from_v);
            let (window, area) = in_plane(&way.map, k, size);
            let target = way.layout.plane_size(i, way.map.size.0, way.map.size.1);
            // A chroma plane ends on a whole sample; the last one may lie beyond the image.
            let grow = |length: f64, samples: u32, factor: f64, whole: u32| {
                length * f64::from(samples) * factor / f64::from(whole)
            };
            let area = geometry::Area {
                width: grow(area.width, target.0, h, way.map.size.0),
                height: grow(area.height, target.1, v, way.map.size.1),
                ..area
            };
            let channels = middle.channels(i);
            strides.push(size.0 as usize * channels);
            lanes.push(Resampler::streaming(window, area, target, channels, work)?);
        }
        Ok(Self { colours, lanes, strides })
    }

    /// Takes the next rows of the decoder; false after its last.
    fn pull(&mut self, source: &mut dyn RowSource, work: &Work) -> Result<bool, Error> {
        let decode = work.stage("decode");
        let Some(rows) = source.next_rows()? else { return Ok(false) };
        drop(decode);
        work.check()?;
        let _resize = work.stage("resize");
        for (i, (lane, part)) in self.lanes.iter_mut().zip(rows.planes()).enumerate() {
            if part.count > 0 {
                let data = match &mut self.colours {
                    Some(colours) => colours.rows(part.data),
                    None => part.data,
                };
                lane.push(part.first, data, self.strides[i], work)?;
            }
        }
        Ok(true)
    }

    /// Hands the rows that are ready to `take`.
    fn give(&mut self, take: impl FnOnce(Rows<'_>) -> Result<(), Error>) -> Result<(), Error> {
        let rows: Rows<'_> = self.lanes.iter().map(Resampler::ready).collect();
        if rows.planes().iter().any(|p| p.count > 0) {
            take(rows)?;
        }
        self.lanes.iter_mut().for_each(Resampler::forget);
        Ok(())
    }

    fn is_complete(&self) -> Result<(), Error> {
        self.lanes.iter().try_for_each(Resampler::is_complete)
    }
}
