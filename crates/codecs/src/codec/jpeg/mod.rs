//! JPEG through mozjpeg: decoding by rows or planes, also at 1/2, 1/4 and 1/8, and encoding,
//! baseline or progressive.

mod decode;
mod encode;
mod ffi;
mod frame;
mod header;
mod scans;

use crate::JpegMode;
use crate::{
    Codec, DecodeSpec, EncodeSpec, Error, Format, ImageSpec, Layout, Probe, RowSink, RowSource, Subsampling,
};
use work::Work;

/// The JPEG codec.
#[derive(Debug)]
pub(crate) struct Jpeg;

/// The library's limit for each side.
const MAX_SIDE: u32 = 65_500;

impl Codec for Jpeg {
    fn format(&self) -> Format {
        Format::Jpeg
    }

    fn probe(&self, bytes: &[u8], work: &Work) -> Result<Probe, Error> {
        let header = header::parse(bytes, work)?;
        if header.width > MAX_SIDE || header.height > MAX_SIDE {
            return Err(Error::TooLarge(format!(
                "the JPEG image has {} × {} pixels (at most {MAX_SIDE} on a side)",
                header.width, header.height
            )));
        }
        let scans = header.follow_scans(bytes, work)?;
        header.into_probe(&scans, bytes.len(), work)
    }

    fn decoded_layout(&self, probe: &Probe, spec: DecodeSpec) -> Layout {
        match probe.subsampling {
            _ if probe.cmyk => Layout::Cmyk,
            _ if probe.gray && spec.planar => Layout::Gray,
            Some(s) if spec.planar => {
                decode::scaled_subsampling(s, spec.scale).map_or(Layout::Rgb, Layout::Ycc)
            }
            _ => Layout::Rgb,
        }
    }

    fn scales(&self) -> bool {
        true
    }

    /// Nearly the same at all scales: the strips are small.
    fn decode_bytes(&self, probe: &Probe, _spec: DecodeSpec) -> u64 {
        decode::estimate(probe)
    }

    fn decode_pixel_ns(&self, spec: DecodeSpec) -> u64 {
        if spec.scale > 1 { 2 } else { 4 }
    }

    fn encodes(&self) -> bool {
        true
    }

    fn encode_pixel_ns(&self, spec: &EncodeSpec) -> u64 {
        match spec.jpeg {
            JpegMode::Baseline => 5,
            JpegMode::Progressive => 14,
        }
    }

    fn decode<'a>(
        &self,
        bytes: &'a [u8],
        probe: &Probe,
        spec: DecodeSpec,
        work: &'a Work,
    ) -> Result<Box<dyn RowSource + 'a>, Error> {
        let header = header::parse(bytes, work)?;
        // The scans were followed once, by the probe: it reads the whole file.
        let end = probe.image_end.ok_or(Error::Truncated(Format::Jpeg))?;
        let image = bytes.get(..end).filter(|_| (header.width, header.height) == (probe.width, probe.height));
        let image = image.ok_or_else(|| Error::Malformed {
            format: Format::Jpeg,
            reason: "the file differs from the probed one".to_owned(),
        })?;
        decode::start(image, &header, self.decoded_layout(probe, spec), spec.scale, work)
    }

    /// Planes that are at least as coarse as requested are accepted; finer ones have to be
    /// subsampled first. Alpha has to be flattened first.
    fn encoded_layout(&self, offered: Layout, spec: &EncodeSpec) -> Layout {
        match offered {
            Layout::Gray => Layout::Gray,
            Layout::Rgb | Layout::Rgba | Layout::Cmyk => Layout::Rgb,
            Layout::Ycc(s) => {
                let ((h, v), (wanted_h, wanted_v)) = (s.factors(), spec.subsampling.factors());
                if h >= wanted_h && v >= wanted_v { offered } else { Layout::Ycc(spec.subsampling) }
            }
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

/// Bytes of the coefficients of one component set: blocks of 64 coefficients of 2 bytes, rounded up
/// to whole MCUs.
fn coefficient_bytes(width: u32, height: u32, factors: &[(u32, u32)]) -> u64 {
    let max_h = factors.iter().map(|f| f.0).max().unwrap_or(1);
    let max_v = factors.iter().map(|f| f.1).max().unwrap_or(1);
    let mcus = u64::from(width.div_ceil(8 * max_h)) * u64::from(height.div_ceil(8 * max_v));
    factors.iter().map(|&(h, v)| mcus * u64::from(h * v) * 128).sum()
}

/// Sampling factors of the three components of `s`.
fn component_factors(s: Subsampling) -> [(u32, u32); 3] {
    [s.factors(), (1, 1), (1, 1)]
}
