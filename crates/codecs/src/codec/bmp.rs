//! BMP, input only, through the `image` crate: the whole bitmap, since its rows are stored upside down.

use std::io::{Cursor, ErrorKind};

use image::codecs::bmp::BmpDecoder;
use image::{ColorType, ImageDecoder, ImageError};

use crate::canvas::RasterRows;
use crate::{Codec, DecodeSpec, Error, Format, Layout, Probe, Raster, RowSource};
use work::Work;

/// The BMP codec.
#[derive(Debug)]
pub(crate) struct Bmp;

/// Tables, and the library's row buffer.
const TABLES: u64 = 64 << 10;

fn damaged(reason: impl Into<String>) -> Error {
    Error::Malformed { format: Format::Bmp, reason: reason.into() }
}

fn failed(error: ImageError) -> Error {
    match error {
        ImageError::IoError(e) if e.kind() == ErrorKind::UnexpectedEof => Error::Truncated(Format::Bmp),
        ImageError::Unsupported(e) => Error::Unsupported(format!("BMP: {e}")),
        ImageError::Limits(e) => Error::TooLarge(format!("BMP: {e}")),
        other => damaged(other.to_string()),
    }
}

type Decoder<'a> = BmpDecoder<Cursor<&'a [u8]>>;

fn open(bytes: &[u8]) -> Result<(Decoder<'_>, Layout), Error> {
    let decoder = BmpDecoder::new(Cursor::new(bytes)).map_err(failed)?;
    let layout = match decoder.color_type() {
        ColorType::Rgb8 => Layout::Rgb,
        ColorType::Rgba8 => Layout::Rgba,
        other => return Err(Error::Unsupported(format!("BMP: {other:?} pixels"))),
    };
    Ok((decoder, layout))
}

impl Codec for Bmp {
    fn format(&self) -> Format {
        Format::Bmp
    }

    fn probe(&self, bytes: &[u8], _work: &Work) -> Result<Probe, Error> {
        let (decoder, layout) = open(bytes)?;
        let (width, height) = decoder.dimensions();
        if width == 0 || height == 0 {
            return Err(damaged("the width or height is 0"));
        }
        let mut probe = Probe::new(Format::Bmp, width, height, bytes.len());
        probe.alpha = layout.has_alpha();
        probe.palette = decoder.get_palette().is_some();
        probe.whole_bitmap = true;
        Ok(probe)
    }

    fn decoded_layout(&self, probe: &Probe, _spec: DecodeSpec) -> Layout {
        if probe.alpha { Layout::Rgba } else { Layout::Rgb }
    }

    fn decode_bytes(&self, probe: &Probe, spec: DecodeSpec) -> u64 {
        let row = u64::from(probe.width) * 4;
        self.decoded_layout(probe, spec).bytes(probe.width, probe.height) + row + TABLES
    }

    fn decode_pixel_ns(&self, _spec: DecodeSpec) -> u64 {
        3
    }

    fn decode<'a>(
        &self,
        bytes: &'a [u8],
        probe: &Probe,
        spec: DecodeSpec,
        work: &'a Work,
    ) -> Result<Box<dyn RowSource + 'a>, Error> {
        let (decoder, layout) = open(bytes)?;
        if decoder.dimensions() != (probe.width, probe.height) || layout != self.decoded_layout(probe, spec) {
            return Err(damaged("the file differs from the probed one"));
        }
        let _tables =
            work.take(usize::try_from(u64::from(probe.width) * 4 + TABLES).unwrap_or(usize::MAX))?;
        let mut raster = Raster::new(layout, probe.width, probe.height, work)?;
        work.check()?;
        decoder.read_image(raster.data_mut()).map_err(failed)?;
        Ok(Box::new(RasterRows::new(raster)))
    }
}
