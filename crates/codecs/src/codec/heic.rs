//! HEIC, input only, through `heic-rs`: one coded picture, or a grid of them as phones write it, with its alpha plane.
//!
//! Container, HEVC and conversion are the library's. What it leaves open is decided here: how large the coded pictures may
//! be (`file.rs`), and how colours are to be read where the container does not say (`sps.rs`). Tiles are decoded one at a
//! time, so that the request's clock is looked at between them. Pixels come upright: `irot` and `imir` count, EXIF does not.

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

/// More pixels than any file may have; a request's own limit is lower, and checked before.
const MOST_PIXELS: u64 = 1 << 28;

fn damaged(reason: impl Into<String>) -> Error {
    Error::Malformed { format: Format::Heic, reason: reason.into() }
}

fn failed(error: heic_rs::Error) -> Error {
    use heic_rs::Error as E;
    match error {
        E::Truncated(_) => Error::Truncated(Format::Heic),
        // An item without it is coded by something else than HEVC.
        E::MissingBox("hvcC") => Error::Unsupported("HEIC: a picture that is not HEVC".to_owned()),
        E::Unsupported(what) => Error::Unsupported(format!("HEIC: {what}")),
        E::PixelLimit { .. } | E::BoxTooLarge { .. } => Error::TooLarge(error.to_string()),
        other => damaged(other.to_string()),
    }
}

/// The smallest multiple of 1024 in both directions: the most that tiles may add.
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
        let said = file.said;
        probe.colour = match file.props.icc {
            Some(profile) => {
                let samples = if probe.gray { icc::Space::Gray } else { icc::Space::Rgb };
                icc::colour(profile, samples, &mut probe.warnings, work)?
            }
            None if matches!(said.primaries, 1 | 2) && matches!(said.transfer, 1 | 2 | 6 | 13) => {
                Colour::Srgb
            }
            None => Colour::Cicp { primaries: said.primaries as u8, transfer: said.transfer as u8 },
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
        // Without knowing whether it is one coded picture: as much as it can be, two bytes a sample of 4:2:0.
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
            return Err(damaged("not the file that was looked at before"));
        }
        let target = match layout {
            Layout::Rgba => PixelLayout::Rgba8,
            Layout::Gray => PixelLayout::Gray8,
            _ => PixelLayout::Rgb8,
        };
        // The pixels as they come, and turned.
        let out = layout.bytes(probe.width, probe.height);
        let planes = file.bytes().saturating_add(2 * out).saturating_add(2 * bytes.len() as u64);
        let held = work.take(usize::try_from(planes).unwrap_or(usize::MAX))?;
        let colour = frame(&file, &file.colour, work)?;
        let alpha = file.alpha.as_ref().map(|alpha| frame(&file, alpha, work)).transpose()?;
        if alpha.as_ref().is_some_and(|a| (a.width, a.height) != (colour.width, colour.height)) {
            return Err(Error::Unsupported("HEIC: an alpha plane of another size".to_owned()));
        }
        let image =
            convert(&colour, alpha.as_ref(), file.said, target, MOST_PIXELS, Some(1)).map_err(failed)?;
        drop((colour, alpha));
        work.check()?;
        let image = transform::apply_all(image, &file.props.transforms).map_err(failed)?;
        let raster = taken(&image, layout, probe, work)?;
        drop((image, held));
        Ok(Box::new(RasterRows::new(raster)))
    }
}

/// The samples of a picture: of its one coded picture, or of its tiles put together.
fn frame(file: &Heic<'_>, picture: &Picture, work: &Work) -> Result<Frame, Error> {
    let mut frames = Vec::with_capacity(picture.tiles.len());
    for &item in &picture.tiles {
        work.check()?;
        let props = file.context.props(item).map_err(failed)?;
        let config = props.hvcc.ok_or_else(|| damaged("a tile without its configuration"))?;
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

fn taken(image: &Image, layout: Layout, probe: &Probe, work: &Work) -> Result<Raster, Error> {
    let mut raster = Raster::new(layout, probe.width, probe.height, work)?;
    if (image.width, image.height) != (probe.width, probe.height) || image.data.len() != raster.data().len() {
        return Err(damaged("a picture of another size"));
    }
    raster.data_mut().copy_from_slice(&image.data);
    Ok(raster)
}
