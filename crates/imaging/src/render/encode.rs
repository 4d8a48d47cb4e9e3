//! The last steps of a still image: background, format by opacity, encoder.

use codecs::{ImageSpec, Layout, Raster};
use recipe::{Color, FormatChoice};
use work::Work;

use super::result::{Body, Rendered};
use super::scale::codec_of;
use crate::Error;
use crate::ops::flatten;
use crate::plan::Plan;

/// Encodes the finished image.
pub(super) fn encode(plan: &Plan, image: Raster, work: &Work) -> Result<Rendered, Error> {
    let mut image = image;
    work.stages.at_step(None);
    if let Some(background) = plan.output.background {
        let _background = work.stage("background");
        image = flatten::onto(image, background, work)?;
    }
    let (width, height) = (image.width, image.height);
    let finish = |body: Vec<u8>, mime, format| Rendered {
        width,
        height,
        frames: 1,
        ..Rendered::new(plan, Body::Bytes(body), mime, format)
    };
    let _encode = work.stage("encode");
    match plan.output.encoding.choice {
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
    let format = match plan.output.format {
        Some(format) => format,
        None => plan.output.format_of(flatten::is_opaque(&image)),
    };
    let codec = codec_of(format)?;
    let spec = plan.output.encode_spec(format, (width, height));
    let wanted = codec.encoded_layout(image.layout, &spec);
    image = match wanted {
        l if l == image.layout => image,
        Layout::Rgb => flatten::to_rgb(image, Color::WHITE, work)?,
        Layout::Rgba => flatten::to_rgba(image, work)?,
        _ => {
            let reason = format!("no conversion to {wanted:?}");
            return Err(codecs::Error::Encode { format, reason }.into());
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
