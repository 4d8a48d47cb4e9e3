//! PNG through the `png` crate: rows are yielded as they are inflated; interlaced files and palettes need the whole
//! bitmap. An animated PNG gives its default image.

mod decode;
mod encode;
mod exact;
mod header;
mod matrix;
mod still;

use crate::{Codec, DecodeSpec, EncodeSpec, Error, Format, ImageSpec, Layout, Probe, RowSink, RowSource};
use work::Work;

/// The PNG codec.
#[derive(Debug)]
pub(crate) struct Png;

impl Codec for Png {
    fn format(&self) -> Format {
        Format::Png
    }

    fn probe(&self, bytes: &[u8], work: &Work) -> Result<Probe, Error> {
        header::parse(bytes, work)?.into_probe(bytes.len(), work)
    }

    fn decoded_layout(&self, probe: &Probe, spec: DecodeSpec) -> Layout {
        if probe.alpha {
            Layout::Rgba
        } else if probe.gray && spec.planar {
            Layout::Gray
        } else {
            Layout::Rgb
        }
    }

    fn decode_bytes(&self, probe: &Probe, spec: DecodeSpec) -> u64 {
        // The header's depth is not in the probe: 16 bits are assumed.
        let raw = u64::from(probe.width) * if probe.palette { 4 } else { 8 };
        decode::needed(probe.width, probe.height, raw, self.decoded_layout(probe, spec), probe.whole_bitmap)
    }

    fn decode_pixel_ns(&self, _spec: DecodeSpec) -> u64 {
        8
    }

    fn encodes(&self) -> bool {
        true
    }

    fn encode_pixel_ns(&self, spec: &EncodeSpec) -> u64 {
        match spec {
            EncodeSpec { palette: true, .. } => 120,
            EncodeSpec { fast: true, .. } => 15,
            _ => 60,
        }
    }

    fn decode<'a>(
        &self,
        bytes: &'a [u8],
        probe: &Probe,
        spec: DecodeSpec,
        work: &'a Work,
    ) -> Result<Box<dyn RowSource + 'a>, Error> {
        if spec.scale != 1 {
            return Err(Error::Unsupported(format!("PNG: decoding at 1/{}", spec.scale)));
        }
        let header = header::parse(bytes, work)?;
        if (header.width, header.height, header.alpha()) != (probe.width, probe.height, probe.alpha) {
            return Err(Error::Malformed {
                format: Format::Png,
                reason: "the file differs from the probed one".to_owned(),
            });
        }
        decode::start(bytes, &header, self.decoded_layout(probe, spec), work)
    }

    /// Planes have to be converted to R G B first; a palette can be made from every layout.
    fn encoded_layout(&self, offered: Layout, _spec: &EncodeSpec) -> Layout {
        match offered {
            Layout::Gray => Layout::Gray,
            Layout::Rgba => Layout::Rgba,
            Layout::Rgb | Layout::Cmyk | Layout::Ycc(_) => Layout::Rgb,
        }
    }

    fn encode_bytes(&self, image: ImageSpec, spec: &EncodeSpec) -> u64 {
        encode::estimate(image, spec)
    }

    fn encode<'a>(
        &self,
        image: ImageSpec,
        spec: &EncodeSpec,
        work: &'a Work,
    ) -> Result<Box<dyn RowSink + 'a>, Error> {
        encode::start(image, spec, work)
    }
}
