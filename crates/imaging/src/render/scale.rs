//! Scales the pixels of a file or a bitmap by a planned mapping.

use codecs::{Codec, DecodeSpec, Format, Probe, Raster, RowSource, codec_for};
use work::Work;

use crate::Error;
use crate::models::Models;
use crate::ops::enlarge;
use crate::ops::resample::{Resampler, one_plane};
use crate::ops::to_srgb::ToSrgb;
use crate::ops::turn::turn;
use crate::plan::{Mapping, Scaling, decoded_scale};

/// An encoded image and its header.
#[derive(Debug, Clone, Copy)]
pub(super) struct EncodedImage<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) probe: &'a Probe,
}

/// The codec of a planned format.
pub(super) fn codec_of(format: Format) -> Result<&'static dyn Codec, Error> {
    Ok(codec_for(format)
        .ok_or_else(|| codecs::Error::Unsupported(format!("{format} is not in this build")))?)
}

/// Decodes an image and scales its rows; colours become sRGB.
pub(super) fn from_file(image: EncodedImage<'_>, scaling: &Scaling, work: &Work) -> Result<Raster, Error> {
    let spec = DecodeSpec { scale: scaling.decode_scale, planar: false };
    let decode = work.stage("decode");
    let mut source = codec_of(image.probe.format)?.decode(image.bytes, image.probe, spec, work)?;
    drop(decode);
    let raster = resampled_rows(source.as_mut(), image.probe, scaling, work)?;
    turn(raster, scaling.mapping.turn, work)
}

/// Scales a bitmap that is kept.
pub(super) fn from_bitmap(image: &Raster, mapping: &Mapping, work: &Work) -> Result<Raster, Error> {
    let resize = work.stage("resize");
    let plane = &image.planes[0];
    let mut resampler = Resampler::new(mapping.window(), mapping.area, mapping.size, plane.channels, work)?;
    resampler.push(0, &plane.data, plane.stride(), work)?;
    let raster = one_plane(image.layout, resampler.finish()?);
    drop(resize);
    turn(raster, mapping.turn, work)
}

/// Scales a bitmap that is consumed; a model enlarges it first if planned.
pub(super) fn of_bitmap(
    image: Raster,
    scaling: &Scaling,
    models: Option<&dyn Models>,
    work: &Work,
) -> Result<Raster, Error> {
    let Some(pass) = &scaling.enlarge else { return resized(image, &scaling.mapping, work) };
    let large = enlarge::enlarge(&image, pass.window, pass.model.scale, models, work)?;
    drop(image);
    resized(large, &pass.then, work)
}

fn resized(image: Raster, mapping: &Mapping, work: &Work) -> Result<Raster, Error> {
    if mapping.takes_all_of((image.width, image.height)) {
        return turn(image, mapping.turn, work);
    }
    from_bitmap(&image, mapping, work)
}

/// Pulls rows, converts them to sRGB (RGB, RGBA or grey) and resamples them.
fn resampled_rows(
    source: &mut dyn RowSource,
    probe: &Probe,
    scaling: &Scaling,
    work: &Work,
) -> Result<Raster, Error> {
    let (width, height) = source.size();
    let k = decoded_scale(scaling.decode_scale);
    let (window, area) = scaling.mapping.in_plane((k, k), (width, height));
    let mut colours = ToSrgb::new(&probe.colour, source.layout())?;
    let target = colours.layout();
    let channels = target.channels(0);
    let mut resampler = Resampler::new(window, area, scaling.mapping.size, channels, work)?;
    let stride = width as usize * channels;
    loop {
        let decode = work.stage("decode");
        let Some(rows) = source.next_rows()? else { break };
        drop(decode);
        work.check()?;
        let Some(part) = rows.planes().first().filter(|p| p.count > 0) else { continue };
        let _resize = work.stage("resize");
        resampler.push(part.first, colours.rows(part.data), stride, work)?;
    }
    let _resize = work.stage("resize");
    Ok(one_plane(target, resampler.finish()?))
}
