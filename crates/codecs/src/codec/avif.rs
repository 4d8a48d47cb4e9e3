//! AVIF: still images in AV1. libaom encodes, rav1d decodes, this module parses the container.
//!
//! Supported: 8, 10 and 12 bits, all chroma formats, grids, alpha. Depths above 8 are rounded. BT.601 planes are
//! yielded as planes; others are converted to R G B by their matrix. Of an image sequence the still image
//! (usually the first frame) is decoded.

mod container;
mod convert;
mod decoder;
mod error;
mod ffi;
mod obu;
mod sequence;

use avif_serialize::Aviffy;

use self::container::Avif;
pub(super) use self::convert::unmultiply;
use self::convert::{Levels, Matrix, mix, widen};
use self::decoder::{Tiles, decoder_bytes};
use self::error::damaged;
use self::ffi::{Picture, Settings};
use crate::codec::heif::Cicp;
use crate::icc;
use crate::ycc::{Gather420, Range};
use crate::{
    Codec, Colour, DecodeSpec, EncodeSpec, Error, Format, ImageSpec, Layout, PlaneRows, Probe, RowSink,
    RowSource, Rows, Subsampling,
};
use work::{Reservation, Work};

/// The AVIF codec.
#[derive(Debug)]
pub(crate) struct AvifCodec;

impl Codec for AvifCodec {
    fn format(&self) -> Format {
        Format::Avif
    }

    fn probe(&self, bytes: &[u8], work: &Work) -> Result<Probe, Error> {
        let avif = Avif::parse(bytes, work)?;
        let image = &avif.colour;
        let mut probe = Probe::new(Format::Avif, image.width, image.height, bytes.len());
        probe.alpha = avif.alpha.is_some();
        probe.orientation = avif.orientation;
        probe.gray = image.sequence.monochrome;
        probe.bit_depth = image.sequence.depth;
        let cicp = avif.cicp();
        if Matrix::is_jfif(cicp) && !probe.gray {
            let (x, y) = image.sequence.subsampling;
            probe.subsampling = Subsampling::from_factors(1 << x, 1 << y);
        }
        probe.colour = match avif.icc {
            Some(range) if !range.is_empty() => {
                let samples = if probe.gray { icc::Space::Gray } else { icc::Space::Rgb };
                icc::colour(&bytes[range], samples, &mut probe.warnings, work)?
            }
            _ if is_srgb(cicp) => Colour::Srgb,
            _ => Colour::Cicp { primaries: cicp.primaries, transfer: cicp.transfer },
        };
        if avif.ignored_aperture {
            probe.warnings.push("the AVIF clean aperture is not at the top left corner and was ignored");
        }
        probe.first_of_many = avif.sequence;
        probe.whole_bitmap = true;
        Ok(probe)
    }

    fn decoded_layout(&self, probe: &Probe, spec: DecodeSpec) -> Layout {
        if probe.alpha {
            Layout::Rgba
        } else if probe.gray {
            Layout::Gray
        } else if let (true, Some(subsampling)) = (spec.planar, probe.subsampling) {
            Layout::Ycc(subsampling)
        } else {
            Layout::Rgb
        }
    }

    fn decode_bytes(&self, probe: &Probe, _spec: DecodeSpec) -> u64 {
        // 4:4:4 unless the probe has another subsampling; whole blocks of 128 × 128 samples.
        let round = |v: u32| u64::from(v.next_multiple_of(128)) + 64;
        let samples = round(probe.width) * round(probe.height);
        let chroma = match probe.subsampling.map(Subsampling::factors) {
            _ if probe.gray => 0,
            Some((h, v)) => 2 * samples / u64::from(h * v),
            None => 2 * samples,
        };
        // Alpha with a higher bit depth than the colours does not occur in practice.
        let alpha = if probe.alpha { samples } else { 0 };
        let bytes = if probe.bit_depth > 8 { 2 } else { 1 };
        bytes * (samples + chroma + alpha) + samples + (4 << 20) + 2 * probe.file_size
    }

    fn decode_pixel_ns(&self, _spec: DecodeSpec) -> u64 {
        16
    }

    fn encodes(&self) -> bool {
        true
    }

    fn encode_pixel_ns(&self, _spec: &EncodeSpec) -> u64 {
        350
    }

    fn decode<'a>(
        &self,
        bytes: &'a [u8],
        probe: &Probe,
        spec: DecodeSpec,
        work: &'a Work,
    ) -> Result<Box<dyn RowSource + 'a>, Error> {
        let avif = Avif::parse(bytes, work)?;
        let cicp = avif.cicp();
        let layout = self.decoded_layout(probe, spec);
        let sequence = avif.colour.sequence;
        // Refuse an image that does not fit the budget before decoding.
        let needed = decoder_bytes(&avif.colour) + avif.alpha.as_ref().map_or(0, decoder_bytes);
        drop(work.take(usize::try_from(needed).unwrap_or(usize::MAX))?);
        let matrix = match layout {
            Layout::Rgb | Layout::Rgba if !sequence.monochrome => {
                let matrix = Matrix::new(cicp, sequence.depth)?;
                if cicp.matrix == 0 && sequence.subsampling != (0, 0) {
                    return Err(damaged("R G B planes of different sizes"));
                }
                Some(matrix)
            }
            _ => None,
        };
        let width = avif.colour.width as usize;
        let held = work.take(width * (2 * 6 + 4 * GROUP as usize))?;
        let alpha = avif.alpha.map(|image| {
            let levels = Levels::new(image.sequence.depth, image.sequence.cicp.full_range);
            (Tiles::new(bytes, image, work), levels)
        });
        Ok(Box::new(Still {
            levels: Levels::new(sequence.depth, cicp.full_range),
            colour: Tiles::new(bytes, avif.colour, work),
            alpha,
            premultiplied: avif.premultiplied,
            matrix,
            layout,
            at: 0,
            lines: Default::default(),
            out: Default::default(),
            work,
            _held: held,
        }))
    }

    fn encoded_layout(&self, offered: Layout, _spec: &EncodeSpec) -> Layout {
        match offered {
            Layout::Ycc(_) => Layout::Ycc(Subsampling::S420),
            Layout::Cmyk => Layout::Rgb,
            Layout::Gray | Layout::Rgb | Layout::Rgba => offered,
        }
    }

    fn encode_bytes(&self, image: ImageSpec, _spec: &EncodeSpec) -> u64 {
        let pixels = u64::from(image.width) * u64::from(image.height);
        let planes = if image.layout.has_alpha() { pixels * 5 / 2 } else { pixels * 3 / 2 };
        planes + encoder_bytes(image.width, image.height) + pixels / 2 + u64::from(image.width) * 8
    }

    fn encode<'a>(
        &self,
        image: ImageSpec,
        spec: &EncodeSpec,
        work: &'a Work,
    ) -> Result<Box<dyn RowSink + 'a>, Error> {
        if image.width > MAX_SIDE || image.height > MAX_SIDE || image.width == 0 || image.height == 0 {
            return Err(Error::TooLarge(format!(
                "AVIF cannot hold {} × {} pixels",
                image.width, image.height
            )));
        }
        let own = work.take(encoder_bytes(image.width, image.height) as usize)?;
        let planes = Gather420::new(image.layout, image.width, image.height, Range::Full, false, work)?;
        Ok(Box::new(Encoder { planes, quality: spec.quality, work, _held: own }))
    }
}

/// The longest side that is encoded, close to the limit of the AV1 levels; browsers do not open larger images.
const MAX_SIDE: u32 = 16384;

/// Peak bytes of libaom for one key frame.
fn encoder_bytes(width: u32, height: u32) -> u64 {
    let pixels = u64::from(width.next_multiple_of(64)) * u64::from(height.next_multiple_of(64));
    pixels * 16 + (12 << 20)
}

/// sRGB, unspecified, or video transfer curves, which viewers display as sRGB.
fn is_srgb(cicp: Cicp) -> bool {
    matches!(cicp.primaries, 1 | 2) && matches!(cicp.transfer, 1 | 2 | 6 | 13)
}

/// The quantiser (0–63) of a quality of 1–100.
///
/// The mapping gives a number about the same fidelity as in JPEG and WebP (measured with
/// SSIMULACRA2 on a photograph): at 85 libaom needs four fifths of WebP's bytes.
fn quantizer(quality: u8) -> u32 {
    const POINTS: [(u32, u32); 9] =
        [(1, 63), (20, 41), (30, 36), (50, 30), (60, 27), (75, 20), (85, 11), (95, 4), (100, 1)];
    let quality = u32::from(quality.clamp(1, 100));
    for pair in POINTS.windows(2) {
        let ((q0, v0), (q1, v1)) = (pair[0], pair[1]);
        if quality <= q1 {
            return v0 - ((v0 - v1) * (quality - q0) + (q1 - q0) / 2) / (q1 - q0);
        }
    }
    POINTS[POINTS.len() - 1].1
}

struct Encoder<'a> {
    planes: Gather420,
    quality: u8,
    work: &'a Work,
    _held: Reservation,
}

impl RowSink for Encoder<'_> {
    fn push(&mut self, rows: Rows<'_>) -> Result<(), Error> {
        self.work.check()?;
        self.planes.push(rows)
    }

    fn finish(mut self: Box<Self>) -> Result<Vec<u8>, Error> {
        self.planes.finish()?;
        let planes = &self.planes;
        let quantizer = quantizer(self.quality);
        let chroma = planes.cb.as_ref().zip(planes.cr.as_ref());
        let colour = Picture { luma: &planes.y, chroma };
        let colour = ffi::encode(&colour, Settings { quantizer, perceptual: true }, self.work)?;
        let alpha = match &planes.alpha {
            Some(plane) if planes.translucent => {
                // Artefacts at alpha edges are more visible than noise: quantised a third finer than the colours.
                let settings = Settings { quantizer: quantizer * 2 / 3, perceptual: false };
                Some(ffi::encode(&Picture { luma: plane, chroma: None }, settings, self.work)?)
            }
            _ => None,
        };
        let size = colour.len() + alpha.as_ref().map_or(0, Vec::len) + 1024;
        let _held = self.work.take(size * 2)?;
        let mut file = Vec::with_capacity(size);
        Aviffy::new()
            .set_seq_profile(0)
            .set_chroma_subsampling((true, true))
            .set_monochrome(chroma.is_none())
            .write(&mut file, &colour, alpha.as_deref(), planes.y.width, planes.y.height, 8)
            .map_err(|e| Error::Encode { format: Format::Avif, reason: e.to_string() })?;
        Ok(file)
    }
}

/// Rows of a decoded image.
struct Still<'a> {
    colour: Tiles<'a>,
    levels: Levels,
    alpha: Option<(Tiles<'a>, Levels)>,
    premultiplied: bool,
    matrix: Option<Matrix>,
    layout: Layout,
    at: u32,
    lines: Lines,
    out: [Vec<u8>; 3],
    work: &'a Work,
    _held: Reservation,
}

/// Samples of one row.
#[derive(Default)]
struct Lines {
    luma: Vec<u16>,
    cb: Vec<u16>,
    cr: Vec<u16>,
    narrow: Vec<u16>,
    other: Vec<u16>,
}

/// Rows yielded at once; an even number, because of subsampled chroma.
const GROUP: u32 = 16;

impl Still<'_> {
    fn interleaved(&mut self, from: u32, to: u32) -> Result<(), Error> {
        let width = self.colour.image().width as usize;
        let channels = self.layout.channels(0);
        let [out, ..] = &mut self.out;
        out.resize(width * channels * (to - from) as usize, 0);
        let lines = &mut self.lines;
        lines.luma.resize(width, 0);
        for (y, row) in (from..to).zip(out.chunks_exact_mut(width * channels)) {
            self.colour.reach(y)?;
            self.colour.samples(0, y, &mut lines.luma);
            if let Some(matrix) = &self.matrix {
                chroma_line(&self.colour, 1, y, width, &mut lines.cb, &mut lines.narrow, &mut lines.other);
                chroma_line(&self.colour, 2, y, width, &mut lines.cr, &mut lines.narrow, &mut lines.other);
                if channels == 4 {
                    matrix.row::<4>(&lines.luma, &lines.cb, &lines.cr, row);
                } else {
                    matrix.row::<3>(&lines.luma, &lines.cb, &lines.cr, row);
                }
            } else if channels == 4 {
                // Grey with alpha.
                let mut codes = vec![0; width];
                self.levels.map(0, &lines.luma, &mut codes);
                for (p, v) in row.as_chunks_mut::<4>().0.iter_mut().zip(codes) {
                    p[..3].fill(v);
                }
            } else {
                self.levels.map(0, &lines.luma, row);
            }
            if let Some((alpha, levels)) = &mut self.alpha {
                alpha.reach(y)?;
                alpha.samples(0, y, &mut lines.luma);
                let mut codes = vec![0; width];
                levels.map(0, &lines.luma, &mut codes);
                for (p, a) in row.as_chunks_mut::<4>().0.iter_mut().zip(codes) {
                    p[3] = a;
                }
                if self.premultiplied {
                    unmultiply(row);
                }
            }
        }
        Ok(())
    }

    fn planar(&mut self, from: u32, to: u32, spans: &[(u32, u32); 3]) -> Result<(), Error> {
        let (width, _) = self.size();
        for (i, out) in self.out.iter_mut().enumerate() {
            let (plane_width, _) = self.layout.plane_size(i, width, 1);
            let plane_width = plane_width as usize;
            let (first, end) = spans[i];
            out.resize(plane_width * (end - first) as usize, 0);
            self.lines.luma.resize(plane_width, 0);
            let luma_per_row = (to - from).div_ceil((end - first).max(1));
            for (y, row) in (first..end).zip(out.chunks_exact_mut(plane_width)) {
                self.colour.reach((y * luma_per_row).min(to - 1))?;
                self.colour.samples(i, y, &mut self.lines.luma);
                self.levels.map(i, &self.lines.luma, row);
            }
        }
        Ok(())
    }
}

/// One row of chroma as wide as luma, interpolated where it is subsampled.
fn chroma_line(
    tiles: &Tiles<'_>,
    index: usize,
    y: u32,
    width: usize,
    out: &mut Vec<u16>,
    narrow: &mut Vec<u16>,
    other: &mut Vec<u16>,
) {
    let (sx, sy) = tiles.image().sequence.subsampling;
    let narrow_width = (width + usize::from(sx)) >> sx;
    narrow.resize(narrow_width, 0);
    let row = y >> sy;
    tiles.samples(index, row, narrow);
    if sy == 1 {
        other.resize(narrow_width, 0);
        let far = if y.is_multiple_of(2) { row.saturating_sub(1) } else { row + 1 };
        tiles.samples(index, far, other);
        mix(narrow, other);
    }
    out.resize(width, 0);
    if sx == 1 {
        widen(narrow, out);
    } else {
        out.copy_from_slice(narrow);
    }
}

impl RowSource for Still<'_> {
    fn layout(&self) -> Layout {
        self.layout
    }

    fn size(&self) -> (u32, u32) {
        let image = self.colour.image();
        (image.width, image.height)
    }

    fn next_rows(&mut self) -> Result<Option<Rows<'_>>, Error> {
        self.work.check()?;
        let (_, height) = self.size();
        let from = self.at;
        if from >= height {
            return Ok(None);
        }
        // Not beyond the current row of tiles, because one row of tiles is held at a time.
        let tile_height = self.colour.image().tile_height;
        let to = (from + GROUP).min(height).min((from / tile_height + 1) * tile_height);
        self.at = to;
        let mut spans = [(from, to); 3];
        if let Layout::Ycc(subsampling) = self.layout {
            let (_, v) = subsampling.factors();
            spans[1] = (from.div_ceil(v), to.div_ceil(v));
            spans[2] = spans[1];
            self.planar(from, to, &spans)?;
        } else {
            self.interleaved(from, to)?;
        }
        let planes = self.layout.planes();
        let parts = self.out.iter().zip(spans).take(planes);
        let rows = parts.map(|(data, (first, end))| PlaneRows { first, count: end - first, data });
        Ok(Some(rows.collect()))
    }
}
