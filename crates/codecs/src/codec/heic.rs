//! HEIC, input only, through `heic-rs`: one coded picture, or a grid of them as phones write it, with its alpha plane.
//!
//! The library parses the container, decodes HEVC and converts colours. This module limits the size of coded pictures
//! (`file.rs`) and reads the colour space if the container does not give it (`sps.rs`). Tiles are decoded one at a
//! time, with a check of the deadline in between. Pixels are upright: `irot` and `imir` are applied, EXIF is ignored.

mod file;
mod sps;

use heic_rs::color::convert;
use heic_rs::hevc::{Frame, decode_still};
use heic_rs::{Image, PixelLayout, transform};

use self::file::{Heic, Picture};
use crate::canvas::RasterRows;
use crate::icc;
use crate::{Codec, Colour, DecodeSpec, Error, Format, Layout, Probe, Raster, RowSource};
use work::Work;

/// The HEIC codec.
#[derive(Debug)]
pub(crate) struct HeicCodec;

/// A limit above that of any request, which is checked earlier.
const MOST_PIXELS: u64 = 1 << 28;

fn damaged(reason: impl Into<String>) -> Error {
    Error::Malformed { format: Format::Heic, reason: reason.into() }
}

fn failed(error: heic_rs::Error) -> Error {
    use heic_rs::Error as E;
    match error {
        E::Truncated(_) => Error::Truncated(Format::Heic),
        // An item without it is not HEVC.
        E::MissingBox("hvcC") => Error::Unsupported("HEIC: a picture that is not HEVC".to_owned()),
        E::Unsupported(what) => Error::Unsupported(format!("HEIC: {what}")),
        E::PixelLimit { .. } | E::BoxTooLarge { .. } => Error::TooLarge(error.to_string()),
        other => damaged(other.to_string()),
    }
}

/// The pixels with both sides rounded up to a multiple of 1024: the largest padding of tiles.
fn padded(width: u32, height: u32) -> u64 {
    let side = |v: u32| u64::from(v).next_multiple_of(1024);
    side(width) * side(height)
}

impl Codec for HeicCodec {
    fn format(&self) -> Format {
        Format::Heic
    }

    fn probe(&self, bytes: &[u8], work: &Work) -> Result<Probe, Error> {
        let file = Heic::parse(bytes, work)?;
        let (width, height) = file.size;
        let mut probe = Probe::new(Format::Heic, width, height, bytes.len());
        probe.alpha = file.alpha.is_some();
        probe.gray = file.colour.is_gray() && !probe.alpha;
        probe.bit_depth = file.colour.depth;
        probe.whole_bitmap = true;
        let nclx = file.nclx;
        probe.colour = match file.props.icc {
            Some(profile) => {
                let samples = if probe.gray { icc::Space::Gray } else { icc::Space::Rgb };
                icc::colour(profile, samples, &mut probe.warnings, work)?
            }
            None if matches!(nclx.primaries, 1 | 2) && matches!(nclx.transfer, 1 | 2 | 6 | 13) => {
                Colour::Srgb
            }
            None => Colour::Cicp { primaries: nclx.primaries as u8, transfer: nclx.transfer as u8 },
        };
        Ok(probe)
    }

    fn decoded_layout(&self, probe: &Probe, _spec: DecodeSpec) -> Layout {
        match (probe.alpha, probe.gray) {
            (true, _) => Layout::Rgba,
            (false, true) => Layout::Gray,
            (false, false) => Layout::Rgb,
        }
    }

    fn decode_bytes(&self, probe: &Probe, spec: DecodeSpec) -> u64 {
        // The probe does not say whether it is a grid: an upper bound, with two bytes for each sample of 4:2:0.
        let bytes = if probe.gray { 2 } else { 3 } + if probe.alpha { 3 } else { 0 };
        let coded = padded(probe.width, probe.height) * bytes;
        let out = self.decoded_layout(probe, spec).bytes(probe.width, probe.height);
        7 * coded / 2 + 3 * out + 2 * probe.file_size
    }

    fn decode_pixel_ns(&self, _spec: DecodeSpec) -> u64 {
        30
    }

    fn decode<'a>(
        &self,
        bytes: &'a [u8],
        probe: &Probe,
        spec: DecodeSpec,
        work: &'a Work,
    ) -> Result<Box<dyn RowSource + 'a>, Error> {
        let file = Heic::parse(bytes, work)?;
        let layout = self.decoded_layout(probe, spec);
        if file.size != (probe.width, probe.height) {
            return Err(damaged("the file differs from the probed one"));
        }
        let target = match layout {
            Layout::Rgba => PixelLayout::Rgba8,
            Layout::Gray => PixelLayout::Gray8,
            _ => PixelLayout::Rgb8,
        };
        // The decoded pixels, and the turned ones.
        let out = layout.bytes(probe.width, probe.height);
        let planes = file.bytes().saturating_add(2 * out).saturating_add(2 * bytes.len() as u64);
        let held = work.take(usize::try_from(planes).unwrap_or(usize::MAX))?;
        let colour = frame(&file, &file.colour, work)?;
        let alpha = file.alpha.as_ref().map(|alpha| frame(&file, alpha, work)).transpose()?;
        if alpha.as_ref().is_some_and(|a| (a.width, a.height) != (colour.width, colour.height)) {
            return Err(Error::Unsupported(
                "HEIC: an alpha plane whose size differs from the image".to_owned(),
            ));
        }
        let image =
            convert(&colour, alpha.as_ref(), file.nclx, target, MOST_PIXELS, Some(1)).map_err(failed)?;
        drop((colour, alpha));
        work.check()?;
        let image = transform::apply_all(image, &file.props.transforms).map_err(failed)?;
        let raster = copy_pixels(&image, layout, probe, work)?;
        drop((image, held));
        Ok(Box::new(RasterRows::new(raster)))
    }
}

/// The samples of a picture: of its coded picture, or of its assembled tiles.
fn frame(file: &Heic<'_>, picture: &Picture, work: &Work) -> Result<Frame, Error> {
    let mut frames = Vec::with_capacity(picture.tiles.len());
    for &item in &picture.tiles {
        work.check()?;
        let props = file.context.props(item).map_err(failed)?;
        let config = props.hvcc.ok_or_else(|| damaged("a tile has no configuration"))?;
        let data = file.context.item_data(item).map_err(failed)?;
        let units = config.split_nals(&data).map_err(failed)?;
        let frame = decode_still(&config.parameter_sets(), &units).map_err(failed)?;
        frame.validate().map_err(failed)?;
        frames.push(frame);
    }
    match &picture.grid {
        Some(grid) => heic_rs::grid::compose(grid, &frames, MOST_PIXELS).map_err(failed),
        None => frames.pop().ok_or_else(|| damaged("no picture")),
    }
}

fn copy_pixels(image: &Image, layout: Layout, probe: &Probe, work: &Work) -> Result<Raster, Error> {
    let mut raster = Raster::new(layout, probe.width, probe.height, work)?;
    if (image.width, image.height) != (probe.width, probe.height) || image.data.len() != raster.data().len() {
        return Err(damaged("the decoded size differs from the header"));
    }
    raster.data_mut().copy_from_slice(&image.data);
    Ok(raster)
}
