//! JPEG decoding to rows and planes by libjpeg.

use super::ffi::{Decoder, Output, RawPlane, RawSize};
use super::header::{Header, Space};
use super::{coefficient_bytes, component_factors};
use crate::{Error, Format, Layout, PlaneRows, Probe, RowSource, Rows, Subsampling};
use work::{Reservation, Work};

/// Interleaved rows yielded at once: few enough to fit the cache.
const ROWS: usize = 8;

/// Width of the inverse DCT of a component, 1–8: libjpeg decodes subsampled chroma at twice
/// the size instead of scaling it up afterwards (`jpeg_calc_output_dimensions`).
fn dct_size(max: (usize, usize), component: (usize, usize), scale: usize) -> usize {
    let min = 8 / scale;
    let mut size = min;
    while size < 8
        && (max.0 * min).is_multiple_of(component.0 * size * 2)
        && (max.1 * min).is_multiple_of(component.1 * size * 2)
    {
        size *= 2;
    }
    size
}

/// The subsampling of the planes decoded at `1 / scale`: chroma may be finer than in the file.
pub(super) fn scaled_subsampling(s: Subsampling, scale: u32) -> Option<Subsampling> {
    let (h, v) = s.factors();
    let scale = scale as usize;
    let finer = dct_size((h as usize, v as usize), (1, 1), scale) / (8 / scale).max(1);
    let finer = u32::try_from(finer).ok()?;
    (h.is_multiple_of(finer) && v.is_multiple_of(finer))
        .then(|| Subsampling::from_factors(h / finer, v / finer))
        .flatten()
}

/// Peak bytes of decoding: coefficients if all scans have to be read first, the strips of
/// the library and the yielded ones.
fn needed(width: u32, height: u32, factors: &[(u32, u32)], multiple_scans: bool) -> u64 {
    let max_v = factors.iter().map(|f| f.1).max().unwrap_or(1);
    let coefficients = if multiple_scans { coefficient_bytes(width, height, factors) } else { 0 };
    // An MCU row of each component at full width, once in the library (with context rows) and once
    // scaled up, and the yielded rows.
    let strip = u64::from(width + 64) * factors.len() as u64 * u64::from(max_v * 8);
    coefficients + strip * 2 + u64::from(width) * (ROWS as u64) * 4 + (64 << 10)
}

pub(super) fn estimate(probe: &Probe) -> u64 {
    let multiple = probe.progressive || probe.whole_bitmap;
    let stored = probe.factors.iter().filter(|(h, v)| *h > 0 && *v > 0);
    let stored: Vec<(u32, u32)> = stored.map(|(h, v)| ((*h).into(), (*v).into())).collect();
    let factors = match probe.subsampling {
        _ if !stored.is_empty() => stored,
        Some(s) => component_factors(s).to_vec(),
        None if probe.gray => vec![(1, 1)],
        None => vec![(1, 1); if probe.cmyk { 4 } else { 3 }],
    };
    needed(probe.width, probe.height, &factors, multiple)
}

/// `image`: the file up to the end of its image.
pub(super) fn start<'a>(
    image: &'a [u8],
    header: &Header<'_>,
    layout: Layout,
    scale: u32,
    work: &'a Work,
) -> Result<Box<dyn RowSource + 'a>, Error> {
    if !matches!(scale, 1 | 2 | 4 | 8) {
        return Err(Error::Unsupported(format!("JPEG: decoding at 1/{scale}")));
    }
    let mut decoder = Decoder::new(image, work)?;
    let found = decoder.read_header()?;
    let factors: Vec<(u32, u32)> = found.components.iter().map(|c| (c.h, c.v)).collect();
    if factors != header.factors || (found.width, found.height) != (header.width, header.height) {
        return Err(Error::Malformed { format: Format::Jpeg, reason: "the header is ambiguous".to_owned() });
    }
    let bytes_needed = needed(found.width, found.height, &factors, found.multiple_scans);
    let bytes_needed = usize::try_from(bytes_needed).unwrap_or(usize::MAX);
    let held = work.take(bytes_needed)?;
    let output = match (layout, header.space) {
        (Layout::Cmyk, _) => Output::Cmyk,
        (Layout::Gray, _) => Output::Gray,
        (Layout::Ycc(_), _) => Output::Raw,
        (Layout::Rgb | Layout::Rgba, _) => Output::Rgb,
    };
    // Inverted, as Adobe's programs write it, with or without their marker: nearly all files are, and
    // browsers and other decoders treat all files so.
    let invert = header.space == Space::Cmyk;
    decoder.start(output, scale, bytes_needed)?;
    let (width, height) = decoder.output_size();
    let kind = if output == Output::Raw {
        let lines = header.factors.iter().map(|f| f.1).max().unwrap_or(1) * (8 / scale);
        Kind::Planes(Planes::new(layout, (width, height), &decoder.raw_sizes()?, lines)?)
    } else {
        let stride = width as usize * layout.channels(0);
        Kind::Interleaved { buffer: vec![0; stride * ROWS], stride, invert }
    };
    Ok(Box::new(JpegRows { decoder, work, layout, width, height, next: 0, kind, _held: held }))
}

struct JpegRows<'a> {
    decoder: Decoder<'a>,
    work: &'a Work,
    layout: Layout,
    width: u32,
    height: u32,
    /// The next row to be read.
    next: u32,
    kind: Kind,
    _held: Reservation,
}

enum Kind {
    Interleaved { buffer: Vec<u8>, stride: usize, invert: bool },
    Planes(Planes),
}

/// Buffers of one MCU row.
struct Planes {
    /// Luma rows of an MCU row.
    lines: u32,
    strips: Vec<Strip>,
}

struct Strip {
    buffer: Vec<u8>,
    /// Bytes of a row in the buffer: whole blocks.
    stride: usize,
    /// Rows of an MCU row.
    rows: u32,
    /// Size of the plane.
    width: u32,
    height: u32,
}

impl Planes {
    /// `sizes`: the size that the library writes for each component; `lines`: luma rows of an MCU row.
    fn new(layout: Layout, size: (u32, u32), sizes: &[RawSize], lines: u32) -> Result<Self, Error> {
        let mut strips = Vec::with_capacity(sizes.len());
        for (i, raw) in sizes.iter().enumerate() {
            let (width, height) = layout.plane_size(i, size.0, size.1);
            let rows = raw.rows as u32;
            // The layout was planned before the library chose the sizes of its inverse DCT.
            if raw.stride < width as usize
                || u64::from(size.1.div_ceil(lines)) * u64::from(rows) < height.into()
            {
                return Err(Error::Malformed {
                    format: Format::Jpeg,
                    reason: "the size of a plane differs from the layout".to_owned(),
                });
            }
            strips.push(Strip {
                buffer: vec![0; raw.stride * raw.rows],
                stride: raw.stride,
                rows,
                width,
                height,
            });
        }
        Ok(Self { lines, strips })
    }
}

impl Strip {
    /// The rows of MCU row `index`, without the padding of the last blocks.
    fn rows_of(&mut self, index: u32) -> PlaneRows<'_> {
        let first = (index * self.rows).min(self.height);
        let count = self.rows.min(self.height - first);
        let width = self.width as usize;
        if width < self.stride {
            for row in 1..count as usize {
                self.buffer.copy_within(row * self.stride..row * self.stride + width, row * width);
            }
        }
        PlaneRows { first, count, data: &self.buffer[..count as usize * width] }
    }
}

impl RowSource for JpegRows<'_> {
    fn layout(&self) -> Layout {
        self.layout
    }

    fn size(&self) -> (u32, u32) {
        (self.width, self.height)
    }

    fn next_rows(&mut self) -> Result<Option<Rows<'_>>, Error> {
        if self.next >= self.height {
            return Ok(None);
        }
        self.work.check()?;
        let first = self.next;
        match &mut self.kind {
            Kind::Interleaved { buffer, stride, invert } => {
                let got = self.decoder.read_rows(buffer, *stride, ROWS)?;
                if got == 0 {
                    return Err(Error::Truncated(Format::Jpeg));
                }
                self.next += got as u32;
                if self.next >= self.height {
                    self.decoder.finish()?;
                }
                let data = &mut buffer[..got * *stride];
                if *invert {
                    data.iter_mut().for_each(|b| *b = !*b);
                }
                Ok(Some(Rows::one(PlaneRows { first, count: got as u32, data })))
            }
            Kind::Planes(planes) => {
                let index = first / planes.lines;
                let mut raw: Vec<RawPlane<'_>> = planes
                    .strips
                    .iter_mut()
                    .map(|s| RawPlane { data: &mut s.buffer, stride: s.stride })
                    .collect();
                self.decoder.read_raw(&mut raw)?;
                self.next = first.saturating_add(planes.lines);
                if self.next >= self.height {
                    self.decoder.finish()?;
                }
                Ok(Some(planes.strips.iter_mut().map(|s| s.rows_of(index)).collect()))
            }
        }
    }
}
