//! The rows path: rows flow from the decoder through the resampler into the encoder, as Y Cb Cr planes
//! where both ends support them.

use std::time::{Duration, Instant};

use codecs::{DecodeSpec, ImageSpec, Layout, PlaneRows, Raster, RowSource, Rows};
use work::Work;

use super::result::{Body, Rendered, Timings};
use super::scale::{EncodedImage, codec_of};
use super::transform::{Pixels, answer};
use crate::Error;
use crate::ops::resample::Resampler;
use crate::ops::to_srgb::ToSrgb;
use crate::ops::turn::turn;
use crate::plan::{
    Answers, ImageSource, Next, Plan, PlannedStep, PlannedTransform, RowPipeline, Scaling, decoded_scale,
};
use crate::rect::Area;

/// Renders a plan whose rows flow through `pipeline`.
pub(super) fn render(
    plan: &Plan,
    pipeline: &RowPipeline,
    bytes: &[u8],
    work: &Work,
) -> Result<Rendered, Error> {
    let began = Instant::now();
    let (step, probe) = match (plan.steps.first(), plan.images.first()) {
        (Some(PlannedStep::Transform(step)), Some(image)) => (step, &image.source),
        (None, Some(image)) => (image.load.as_ref().ok_or(Error::NoSuchImage(0))?, &image.source),
        _ => return Err(Error::NoSuchImage(0)),
    };
    let ImageSource::File(probe) = probe else { return Err(Error::NoSuchImage(0)) };
    let image = EncodedImage { bytes, probe };
    let scaling = scaling(step, image, plan, work)?;
    let decode = work.stage("decode");
    let spec = DecodeSpec { scale: scaling.decode_scale, planar: pipeline.planar };
    let mut source = codec_of(probe.format)?.decode(bytes, probe, spec, work)?;
    drop(decode);
    let mut rows = RowResampler::new(source.as_mut(), image, &scaling, pipeline.layout, work)?;
    let (width, height) = scaling.mapping.turned_size();
    let encoder = codec_of(pipeline.format)?;
    let image = ImageSpec { layout: pipeline.layout, width, height };
    let mut encoding = Duration::ZERO;
    let bytes = if scaling.mapping.turn.is_identity() {
        let mut sink = {
            let _encode = work.stage("encode");
            encoder.encode(image, &pipeline.spec, work)?
        };
        while rows.pull(source.as_mut(), work)? {
            let _encode = work.stage("encode");
            let from = Instant::now();
            rows.give(|rows| Ok(sink.push(rows)?))?;
            encoding += from.elapsed();
        }
        rows.is_complete()?;
        let _encode = work.stage("encode");
        let from = Instant::now();
        let bytes = sink.finish()?;
        encoding += from.elapsed();
        bytes
    } else {
        let raster = rows.collect(source.as_mut(), &scaling, pipeline.layout, work)?;
        drop(source);
        let raster = turn(raster, scaling.mapping.turn, work)?;
        let _encode = work.stage("encode");
        let from = Instant::now();
        let image = ImageSpec { layout: raster.layout, ..image };
        let mut sink = encoder.encode(image, &pipeline.spec, work)?;
        raster.push_into(sink.as_mut(), 16)?;
        let bytes = sink.finish()?;
        encoding = from.elapsed();
        bytes
    };
    let timings = Timings { decode: began.elapsed().saturating_sub(encoding), encode: encoding };
    let format = pipeline.format;
    let done = Rendered::new(plan, Body::Bytes(bytes), format.mime(), Some(format));
    Ok(Rendered { width, height, frames: 1, timings, ..done })
}

/// The scaling of the step, after its questions are answered.
fn scaling(
    step: &PlannedTransform,
    image: EncodedImage<'_>,
    plan: &Plan,
    work: &Work,
) -> Result<Scaling, Error> {
    let mut answers = Answers::default();
    loop {
        match step.complete(&answers, &plan.limits)? {
            Next::Scale(placement) => return Ok(placement.scaling),
            Next::Ask(question) => answer(&question, &Pixels::Encoded(image), &mut answers, work)?,
        }
    }
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

/// A resampler for each plane, fed by the decoder.
struct RowResampler {
    /// `None` for planar rows, which are sRGB already.
    colours: Option<ToSrgb>,
    planes: Vec<Resampler>,
    /// Bytes of a row of each plane of the decoder.
    strides: Vec<usize>,
}

impl RowResampler {
    fn new(
        source: &mut dyn RowSource,
        image: EncodedImage<'_>,
        scaling: &Scaling,
        layout: Layout,
        work: &Work,
    ) -> Result<Self, Error> {
        let from = source.layout();
        let map = &scaling.mapping;
        let k = decoded_scale(scaling.decode_scale);
        let colours = match from {
            Layout::Ycc(_) => None,
            _ => Some(ToSrgb::new(&image.probe.colour, from)?),
        };
        let middle = colours.as_ref().map_or(from, ToSrgb::layout);
        let mut planes = Vec::with_capacity(middle.planes());
        let mut strides = Vec::with_capacity(middle.planes());
        for i in 0..middle.planes() {
            let size = source.plane_size(i);
            let (from_h, from_v) = factors(from, i);
            let (h, v) = factors(layout, i);
            let (window, area) = map.in_plane((k / from_h, k / from_v), size);
            let target = layout.plane_size(i, map.size.0, map.size.1);
            // A chroma plane ends on a whole sample; the last one may lie beyond the image.
            let grow = |length: f64, samples: u32, factor: f64, whole: u32| {
                length * f64::from(samples) * factor / f64::from(whole)
            };
            let area = Area {
                width: grow(area.width, target.0, h, map.size.0),
                height: grow(area.height, target.1, v, map.size.1),
                ..area
            };
            let channels = middle.channels(i);
            strides.push(size.0 as usize * channels);
            planes.push(Resampler::streaming(window, area, target, channels, work)?);
        }
        Ok(Self { colours, planes, strides })
    }

    /// Decodes the next rows; false after the last.
    fn pull(&mut self, source: &mut dyn RowSource, work: &Work) -> Result<bool, Error> {
        let decode = work.stage("decode");
        let Some(rows) = source.next_rows()? else { return Ok(false) };
        drop(decode);
        work.check()?;
        let _resize = work.stage("resize");
        for (i, (plane, part)) in self.planes.iter_mut().zip(rows.planes()).enumerate() {
            if part.count > 0 {
                let data = match &mut self.colours {
                    Some(colours) => colours.rows(part.data),
                    None => part.data,
                };
                plane.push(part.first, data, self.strides[i], work)?;
            }
        }
        Ok(true)
    }

    /// Passes the finished rows to `take`.
    fn give(&mut self, take: impl FnOnce(Rows<'_>) -> Result<(), Error>) -> Result<(), Error> {
        let planes: Vec<PlaneRows<'_>> = self.planes.iter().map(Resampler::ready).collect();
        if planes.iter().any(|p| p.count > 0) {
            take(planes.into_iter().collect())?;
        }
        self.planes.iter_mut().for_each(Resampler::forget);
        Ok(())
    }

    /// Collects all rows in a bitmap.
    fn collect(
        mut self,
        source: &mut dyn RowSource,
        scaling: &Scaling,
        layout: Layout,
        work: &Work,
    ) -> Result<Raster, Error> {
        let mut raster = Raster::new(layout, scaling.mapping.size.0, scaling.mapping.size.1, work)?;
        while self.pull(source, work)? {
            self.give(|rows| {
                for (plane, part) in raster.planes.iter_mut().zip(rows.planes()) {
                    let at = part.first as usize * plane.stride();
                    plane.data[at..at + part.data.len()].copy_from_slice(part.data);
                }
                Ok(())
            })?;
        }
        self.is_complete()?;
        Ok(raster)
    }

    fn is_complete(&self) -> Result<(), Error> {
        self.planes.iter().try_for_each(Resampler::is_complete)
    }
}
