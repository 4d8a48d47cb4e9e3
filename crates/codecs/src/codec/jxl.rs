//! JPEG XL, input only, through `jxl-oxide`: the whole bitmap, of an animation the first frame.
//!
//! The library makes the pixels upright and converts them to sRGB, unless the file has an ICC
//! profile. It gets the codestream only: metadata boxes may be compressed without a bound.

use jxl_bitstream::{Bitstream, ContainerParser, ParseEvent};
use jxl_oxide::image::ImageHeader;
use jxl_oxide::{
    AllocTracker, EnumColourEncoding, ExtraChannelType, InitializeResult, JxlImage, PixelFormat,
    RenderingIntent,
};
use jxl_oxide_common::Bundle;

use crate::canvas::RasterRows;
use crate::codec::avif::unmultiply;
use crate::icc::{self, MAX_PROFILE};
use crate::{Codec, DecodeSpec, Error, Format, Layout, Probe, Raster, RowSource};
use work::Work;

/// The JPEG XL codec.
#[derive(Debug)]
pub(crate) struct Jxl;

/// Bytes given to the decoder between two checks of the deadline, and at first.
const PIECE: usize = 64 << 10;
const FIRST_PIECE: usize = 4 << 10;
/// Most pieces for the headers.
const MAX_TRIES: u32 = 72;
/// Longest header, above that of a header with all optional names.
const MAX_HEADER: usize = 256 << 10;
/// The library's tables.
const TABLES: u64 = 16 << 20;

fn damaged(reason: impl Into<String>) -> Error {
    Error::Malformed { format: Format::Jxl, reason: reason.into() }
}

/// The library's errors have many types; memory errors are recognised by their text.
fn failed(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    let error = error.into();
    let mut next: Option<&(dyn std::error::Error + 'static)> = Some(error.as_ref());
    while let Some(cause) = next {
        if cause.to_string().starts_with("failed to allocate") {
            return Error::TooLarge(
                "the JPEG XL image needs more memory than expected for its size".to_owned(),
            );
        }
        next = cause.source();
    }
    damaged(error.to_string())
}

/// Passes the codestream to `take` until that has enough. A container may split it into parts of a few bytes, which are
/// joined into pieces. Each piece is as long as all before it, so that bytes are re-read only a few times.
fn codestream(
    bytes: &[u8],
    work: &Work,
    mut take: impl FnMut(&[u8]) -> Result<bool, Error>,
) -> Result<(), Error> {
    let mut parser = ContainerParser::new();
    let mut rest = bytes;
    let mut piece = Vec::new();
    let mut held = work.take(0)?;
    let mut given = 0_usize;
    while !rest.is_empty() {
        work.check()?;
        let input = &rest[..rest.len().min(PIECE)];
        for event in parser.feed_bytes(input) {
            let ParseEvent::Codestream(part) = event.map_err(|e| damaged(e.to_string()))? else { continue };
            held.grow_to(2 * (piece.len() + part.len()))?;
            piece.extend_from_slice(part);
            if piece.len() >= given.clamp(FIRST_PIECE, PIECE) {
                work.check()?;
                if take(&piece)? {
                    return Ok(());
                }
                given += piece.len();
                piece.clear();
            }
        }
        // A box header that was cut is repeated with the next piece.
        let consumed = parser.previous_consumed_bytes();
        if consumed == 0 {
            break;
        }
        rest = &rest[consumed..];
    }
    if !piece.is_empty() && take(&piece)? {
        return Ok(());
    }
    Err(Error::Truncated(Format::Jxl))
}

/// The header, without allocations in proportion to its figures.
fn header(bytes: &[u8], work: &Work) -> Result<ImageHeader, Error> {
    let mut start = Vec::new();
    let mut header = None;
    let _held = work.take(MAX_HEADER + PIECE)?;
    codestream(bytes, work, |part| {
        start.extend_from_slice(part);
        let mut bits = Bitstream::new(&start);
        let parsed = ImageHeader::parse(&mut bits, ()).and_then(|parsed| {
            let profile = if parsed.metadata.colour_encoding.want_icc() { bits.read_u64()? } else { 0 };
            Ok((parsed, profile))
        });
        match parsed {
            Ok((_, profile)) if profile > MAX_PROFILE as u64 => Err(Error::TooLarge(format!(
                "the colour profile of the JPEG XL file has more than {MAX_PROFILE} bytes"
            ))),
            Ok((parsed, _)) => {
                header = Some(parsed);
                Ok(true)
            }
            Err(e) if e.unexpected_eof() && start.len() < MAX_HEADER => Ok(false),
            Err(e) => Err(damaged(e.to_string())),
        }
    })?;
    header.ok_or(Error::Truncated(Format::Jxl))
}

/// Feeds the decoder with the bytes of the first picture, or only of the headers.
fn load(bytes: &[u8], tracker: AllocTracker, headers: bool, work: &Work) -> Result<JxlImage, Error> {
    let mut waiting = Some(JxlImage::builder().alloc_tracker(tracker).build_uninit());
    let mut image: Option<JxlImage> = None;
    let mut tries = 0;
    codestream(bytes, work, |part| {
        if let Some(mut begun) = waiting.take() {
            begun.feed_bytes(part).map_err(failed)?;
            // Each try starts over, with a profile of up to MAX_PROFILE bytes.
            tries += 1;
            if tries > MAX_TRIES {
                return Err(damaged("the headers are too long"));
            }
            match begun.try_init().map_err(failed)? {
                InitializeResult::NeedMoreData(begun) => waiting = Some(begun),
                InitializeResult::Initialized(done) => image = Some(done),
            }
        } else if let Some(image) = &mut image {
            image.feed_bytes(part).map_err(failed)?;
        }
        Ok(image.as_ref().is_some_and(|i| headers || i.num_loaded_keyframes() > 0))
    })?;
    image.ok_or(Error::Truncated(Format::Jxl))
}

/// Peak bytes of the library while it renders.
fn library_bytes(probe: &Probe) -> u64 {
    // Floats: the frame, its copy in a filter or a colour transform, and the yielded pixels.
    let channels = if probe.gray { 1 } else { 3 } + u64::from(probe.alpha);
    let padded = |v: u32| u64::from(v).next_multiple_of(256);
    let samples = padded(probe.width).saturating_mul(padded(probe.height)).saturating_mul(channels);
    samples.saturating_mul(4 * 3).saturating_add(TABLES + 2 * probe.file_size)
}

impl Codec for Jxl {
    fn format(&self) -> Format {
        Format::Jxl
    }

    fn probe(&self, bytes: &[u8], work: &Work) -> Result<Probe, Error> {
        let header = header(bytes, work)?;
        // Upright, like the decoded pixels.
        let (width, height) = (header.width_with_orientation(), header.height_with_orientation());
        if width == 0 || height == 0 {
            return Err(damaged("the width or height is 0"));
        }
        let mut probe = Probe::new(Format::Jxl, width, height, bytes.len());
        let metadata = &header.metadata;
        probe.alpha = metadata.ec_info.iter().any(|e| matches!(e.ty, ExtraChannelType::Alpha { .. }));
        probe.gray = metadata.grayscale();
        probe.first_of_many = metadata.animation.is_some();
        probe.whole_bitmap = true;
        // X Y B pixels are decoded to sRGB.
        if metadata.colour_encoding.want_icc() && !metadata.xyb_encoded {
            let _held = work.take(TABLES as usize)?;
            let image = load(bytes, AllocTracker::with_limit(TABLES as usize), true, work)?;
            let profile = image.original_icc().unwrap_or_default();
            if icc::space(profile) == Some(icc::Space::Cmyk) {
                return Err(Error::Unsupported("JPEG XL: C M Y K".to_owned()));
            }
            let samples = if probe.gray { icc::Space::Gray } else { icc::Space::Rgb };
            probe.colour = icc::colour(profile, samples, &mut probe.warnings, work)?;
        }
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
        let out = self.decoded_layout(probe, spec).bytes(probe.width, probe.height);
        library_bytes(probe).saturating_add(out).saturating_add(4 * PIECE as u64)
    }

    fn decode_pixel_ns(&self, _spec: DecodeSpec) -> u64 {
        40
    }

    fn decode<'a>(
        &self,
        bytes: &'a [u8],
        probe: &Probe,
        spec: DecodeSpec,
        work: &'a Work,
    ) -> Result<Box<dyn RowSource + 'a>, Error> {
        let library = usize::try_from(library_bytes(probe)).unwrap_or(usize::MAX);
        let held = work.take(library)?;
        let layout = self.decoded_layout(probe, spec);
        let mut raster = Raster::new(layout, probe.width, probe.height, work)?;
        let mut image = load(bytes, AllocTracker::with_limit(library), false, work)?;
        if (image.width(), image.height()) != (probe.width, probe.height) {
            return Err(damaged("the file differs from the probed one"));
        }
        let metadata = &image.image_header().metadata;
        let own_profile = metadata.colour_encoding.want_icc() && !metadata.xyb_encoded;
        let multiplied = ExtraChannelType::Alpha { alpha_associated: true };
        let premultiplied = metadata.ec_info.iter().any(|e| e.ty == multiplied);
        if !own_profile {
            image.request_color_encoding(if probe.gray {
                EnumColourEncoding::gray_srgb(RenderingIntent::Relative)
            } else {
                EnumColourEncoding::srgb(RenderingIntent::Relative)
            });
        }
        let format = image.pixel_format();
        let render = image.render_frame(0).map_err(failed)?;
        work.check()?;
        let mut stream = render.stream();
        if (stream.width(), stream.height()) != (probe.width, probe.height) {
            return Err(damaged("the size of the frame differs from the header"));
        }
        let row_bytes = raster.planes[0].stride();
        for row in raster.data_mut().chunks_exact_mut(row_bytes) {
            let pixels = match (format, layout) {
                // Two samples a pixel fill the first half of the row.
                (PixelFormat::Graya, Layout::Rgba) => row_bytes / 2,
                (PixelFormat::Gray, Layout::Gray)
                | (PixelFormat::Rgb, Layout::Rgb)
                | (PixelFormat::Rgba, Layout::Rgba) => row_bytes,
                _ => return Err(Error::Unsupported(format!("JPEG XL: {format:?} pixels"))),
            };
            if stream.write_to_buffer(&mut row[..pixels]) != pixels {
                return Err(Error::Truncated(Format::Jxl));
            }
            if format == PixelFormat::Graya {
                for x in (0..row.len() / 4).rev() {
                    let (gray, alpha) = (row[x * 2], row[x * 2 + 1]);
                    row[x * 4..x * 4 + 4].copy_from_slice(&[gray, gray, gray, alpha]);
                }
            }
            if premultiplied && layout == Layout::Rgba {
                unmultiply(row);
            }
        }
        drop(stream);
        drop((render, image, held));
        Ok(Box::new(RasterRows::new(raster)))
    }
}
