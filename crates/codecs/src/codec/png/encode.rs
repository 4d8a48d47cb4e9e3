//! PNG encoding by rows.

use std::cell::RefCell;
use std::io::{self, Write};
use std::rc::Rc;

use png::{BitDepth, ColorType, Compression, Encoder, EncodingError, Filter, StreamWriter};

use super::exact::ExactPalette;
use crate::quantise::{Mapper, Palette, PaletteAlpha, quantise};
use crate::{EncodeSpec, Error, Format, ImageSpec, Layout, PaletteBound, Raster, RowSink, Rows};
use work::{Reservation, Work};

fn failed(reason: impl Into<String>) -> Error {
    Error::Encode { format: Format::Png, reason: reason.into() }
}

/// Least room for a file.
const LEAST_ROOM: usize = 16 << 10;

pub(super) fn estimate(image: ImageSpec, spec: &EncodeSpec) -> u64 {
    let pixels = u64::from(image.width) * u64::from(image.height);
    // Deflate's window and tables, filtered rows, and the smallest buffer of a file.
    let working = (1 << 20) + u64::from(image.width) * 4 * 8 + LEAST_ROOM as u64;
    if spec.palette {
        // The bitmap, the indices, the quantiser's tables, the file.
        pixels * 6 + (8 << 20) + working
    } else {
        let indices = if spec.palette_if_exact { pixels } else { 0 };
        // Pixels that may have to be quantised are kept, and the quantiser needs its tables.
        let bounded = spec.palette_if_exact && spec.palette_bound.is_some();
        let kept = if bounded { pixels * 8 + (8 << 20) } else { 0 };
        // Noise does not compress.
        pixels * image.layout.channels(0) as u64 * 3 / 2 + indices + kept + working
    }
}

/// The growing file, shared because the library owns its writer.
#[derive(Clone)]
struct File(Rc<RefCell<Contents>>);

struct Contents {
    bytes: Vec<u8>,
    held: Reservation,
    /// Why writing was refused.
    refused: Option<Error>,
}

impl File {
    fn new(work: &Work) -> Result<Self, Error> {
        let held = work.take(0)?;
        Ok(Self(Rc::new(RefCell::new(Contents { bytes: Vec::new(), held, refused: None }))))
    }

    /// The reason of a failed write.
    fn reason(&self, error: &EncodingError) -> Error {
        self.0.borrow_mut().refused.take().unwrap_or_else(|| failed(error.to_string()))
    }

    /// Bytes so far.
    fn len(&self) -> u64 {
        self.0.borrow().bytes.len() as u64
    }

    fn take(&self) -> Vec<u8> {
        let mut bytes = std::mem::take(&mut self.0.borrow_mut().bytes);
        bytes.shrink_to_fit();
        bytes
    }
}

impl Write for File {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let contents = &mut *self.0.borrow_mut();
        let wanted = contents.bytes.len() + data.len();
        if wanted > contents.bytes.capacity() {
            let room = wanted.max(contents.bytes.len() * 3 / 2).max(LEAST_ROOM);
            if let Err(error) = contents.held.grow_to(room) {
                contents.refused = Some(error.into());
                return Err(io::Error::other("no memory left for the file"));
            }
            contents.bytes.reserve_exact(room - contents.bytes.len());
        }
        contents.bytes.extend_from_slice(data);
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

pub(super) fn start<'a>(
    image: ImageSpec,
    spec: &EncodeSpec,
    work: &'a Work,
) -> Result<Box<dyn RowSink + 'a>, Error> {
    let limit = i32::MAX as u32;
    if !(1..=limit).contains(&image.width) || !(1..=limit).contains(&image.height) {
        return Err(failed(format!("{} × {} pixels cannot be encoded", image.width, image.height)));
    }
    colour_type(image.layout)?;
    let file = File::new(work)?;
    let target = if spec.palette {
        Target::Palette {
            bitmap: Raster::new(Layout::Rgba, image.width, image.height, work)?,
            // 256 colours from 90 on, fewer below.
            colours: (16 + usize::from(spec.quality) * 240 / 90).min(256),
        }
    } else if spec.palette_if_exact {
        Target::Exact(ExactPalette::new(image, work)?, spec.palette_bound)
    } else {
        Target::Stream(true_colour(&file, image, spec.fast)?)
    };
    let working = (1 << 20) + image.width as usize * 32;
    Ok(Box::new(PngSink { image, work, file, target, fast: spec.fast, next: 0, _held: work.take(working)? }))
}

fn colour_type(layout: Layout) -> Result<ColorType, Error> {
    match layout {
        Layout::Gray => Ok(ColorType::Grayscale),
        Layout::Rgb => Ok(ColorType::Rgb),
        Layout::Rgba => Ok(ColorType::Rgba),
        other => Err(failed(format!("{other:?} pixels cannot be encoded"))),
    }
}

fn true_colour(file: &File, image: ImageSpec, fast: bool) -> Result<Box<Stream>, Error> {
    let mut encoder = Encoder::new(file.clone(), image.width, image.height);
    encoder.set_color(colour_type(image.layout)?);
    encoder.set_depth(BitDepth::Eight);
    encoder.set_compression(compression(fast));
    let writer = encoder.write_header().and_then(png::Writer::into_stream_writer);
    writer.map(Box::new).map_err(|e| file.reason(&e))
}

fn compression(fast: bool) -> Compression {
    if fast { Compression::Fast } else { Compression::Balanced }
}

type Stream = StreamWriter<'static, File>;

enum Target {
    Stream(Box<Stream>),
    /// A palette, as long as it contains all colours.
    Exact(ExactPalette, Option<PaletteBound>),
    /// True colour if the file stays small enough, else quantised.
    Bounded {
        bitmap: Raster,
        bound: PaletteBound,
    },
    /// A palette, chosen when all pixels have been pushed.
    Palette {
        bitmap: Raster,
        colours: usize,
    },
}

struct PngSink<'a> {
    image: ImageSpec,
    work: &'a Work,
    file: File,
    target: Target,
    fast: bool,
    /// The next row to be pushed.
    next: u32,
    _held: Reservation,
}

impl RowSink for PngSink<'_> {
    fn push(&mut self, rows: Rows<'_>) -> Result<(), Error> {
        self.work.check()?;
        let [part] = rows.planes() else { return Err(failed("expected one plane")) };
        if part.count == 0 {
            return Ok(());
        }
        let channels = self.image.layout.channels(0);
        let stride = self.image.width as usize * channels;
        if part.first != self.next
            || part.count > self.image.height - self.next
            || part.data.len() != part.count as usize * stride
        {
            return Err(failed("rows out of order"));
        }
        let mut data = part.data;
        if let Target::Exact(exact, bound) = &mut self.target {
            while let Some((row, rest)) = data.split_at_checked(stride) {
                if !exact.push(row)? {
                    break;
                }
                data = rest;
            }
            if let (false, Some(bound)) = (data.is_empty(), *bound) {
                // Too many colours: the size in true colour is known at the end.
                let mut bitmap =
                    Raster::new(self.image.layout, self.image.width, self.image.height, self.work)?;
                let rows = bitmap.data_mut().chunks_exact_mut(stride);
                rows.zip(exact.rows()).for_each(|(to, from)| to.copy_from_slice(&from));
                self.target = Target::Bounded { bitmap, bound };
            } else if !data.is_empty() {
                // Too many colours: all rows so far are written in true colour.
                let mut writer = true_colour(&self.file, self.image, self.fast)?;
                for row in exact.rows() {
                    writer.write_all(&row).map_err(|e| self.file.reason(&EncodingError::IoError(e)))?;
                }
                self.target = Target::Stream(writer);
            }
        }
        match &mut self.target {
            Target::Exact(..) => {}
            Target::Bounded { bitmap, .. } => {
                let at = (part.first as usize + part.count as usize) * stride - data.len();
                bitmap.data_mut()[at..at + data.len()].copy_from_slice(data);
            }
            Target::Stream(writer) => {
                // In pieces, with a check of the deadline in between.
                for piece in data.chunks(stride * (1 + (1 << 18) / stride)) {
                    writer.write_all(piece).map_err(|e| self.file.reason(&EncodingError::IoError(e)))?;
                    self.work.check()?;
                }
            }
            Target::Palette { bitmap, .. } => {
                for (i, row) in part.data.chunks_exact(stride).enumerate() {
                    let out = bitmap.planes[0].row_mut(part.first + i as u32);
                    for (from, to) in row.chunks_exact(channels).zip(out.as_chunks_mut::<4>().0) {
                        *to = rgba(from);
                    }
                }
            }
        }
        self.next += part.count;
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<Vec<u8>, Error> {
        let Self { image, work, file, target, fast, next, _held } = *self;
        if next != image.height {
            return Err(failed("rows are missing"));
        }
        match target {
            Target::Stream(writer) => writer.finish().map_err(|e| file.reason(&e))?,
            Target::Exact(exact, bound) => {
                let (palette, indices, _held) = exact.into_indexed();
                write_indexed(&file, image, &palette, &indices, fast, work)?;
                if let Some(bound) = bound.filter(|b| file.len() > b.bytes && palette.len() > b.colours) {
                    let _held = work.take(indices.len() * 4)?;
                    let rgba: Vec<u8> = indices.iter().flat_map(|&i| palette[usize::from(i)]).collect();
                    write_quantised(&file, image, &rgba, bound, fast, work)?;
                }
            }
            Target::Bounded { bitmap, bound } => {
                let mut writer = true_colour(&file, image, fast)?;
                for piece in bitmap.data().chunks(1 << 18) {
                    work.check()?;
                    writer.write_all(piece).map_err(|e| file.reason(&EncodingError::IoError(e)))?;
                }
                writer.finish().map_err(|e| file.reason(&e))?;
                if file.len() > bound.bytes {
                    let channels = image.layout.channels(0);
                    let _held = work.take(image.width as usize * image.height as usize * 4)?;
                    let rgba: Vec<u8> = bitmap.data().chunks_exact(channels).flat_map(rgba).collect();
                    write_quantised(&file, image, &rgba, bound, fast, work)?;
                }
            }
            Target::Palette { bitmap, colours } => {
                let indexed = quantise(
                    bitmap.data(),
                    image.width,
                    image.height,
                    colours,
                    PaletteAlpha::Full,
                    1.0,
                    work,
                )?;
                drop(bitmap);
                write_indexed(&file, image, &indexed.palette, &indexed.indices, fast, work)?;
            }
        }
        Ok(file.take())
    }
}

/// The R G B A of a pixel of one, three or four channels.
fn rgba(pixel: &[u8]) -> [u8; 4] {
    match *pixel {
        [y] => [y, y, y, 255],
        [r, g, b] => [r, g, b, 255],
        [r, g, b, a] => [r, g, b, a],
        _ => [0; 4],
    }
}

/// Gives up colours until the file is within its bound, or has the fewest colours. Nothing is dithered: flat areas stay
/// flat, and small.
fn write_quantised(
    file: &File,
    image: ImageSpec,
    rgba: &[u8],
    bound: PaletteBound,
    fast: bool,
    work: &Work,
) -> Result<(), Error> {
    let pixels = image.width as usize * image.height as usize;
    let _held = work.take(pixels)?;
    let mut indices = vec![0; pixels];
    for colours in [256, 16, 4, 2].into_iter().filter(|colours| *colours >= bound.colours) {
        let frequent = match colours {
            256 => None,
            _ => Palette::most_frequent(rgba, colours, PaletteAlpha::Full, work)?,
        };
        let palette = match frequent {
            Some(palette) => palette,
            None => Palette::choose(rgba, colours, PaletteAlpha::Full, work)?,
        };
        let mut mapper = Mapper::new(palette, work)?;
        mapper.map(rgba, image.width, 0.0, &mut indices, work)?;
        drop(file.take());
        write_indexed(file, image, &mapper.palette.colours, &indices, fast, work)?;
        if file.len() <= bound.bytes {
            break;
        }
    }
    Ok(())
}

/// Writes indices with as few bits as the palette allows.
fn write_indexed(
    file: &File,
    image: ImageSpec,
    palette: &[[u8; 4]],
    indices: &[u8],
    fast: bool,
    work: &Work,
) -> Result<(), Error> {
    let (width, height) = (image.width, image.height);
    let (depth, bits) = match palette.len() {
        0..=2 => (BitDepth::One, 1),
        3..=4 => (BitDepth::Two, 2),
        5..=16 => (BitDepth::Four, 4),
        _ => (BitDepth::Eight, 8),
    };
    let mut encoder = Encoder::new(file.clone(), width, height);
    encoder.set_color(ColorType::Indexed);
    encoder.set_depth(depth);
    encoder.set_palette(palette.iter().flat_map(|c| [c[0], c[1], c[2]]).collect::<Vec<u8>>());
    // Entries after the last translucent one need no alpha.
    let named = palette.iter().rposition(|c| c[3] < 255).map_or(0, |i| i + 1);
    if named > 0 {
        encoder.set_trns(palette[..named].iter().map(|c| c[3]).collect::<Vec<u8>>());
    }
    encoder.set_compression(compression(fast));
    // Filters make the file larger, because neighbouring indices are not similar colours.
    encoder.set_filter(Filter::NoFilter);
    let mut writer =
        encoder.write_header().and_then(png::Writer::into_stream_writer).map_err(|e| file.reason(&e))?;
    let mut packed = vec![0_u8; (width as usize * bits).div_ceil(8)];
    for (y, row) in indices.chunks_exact(width as usize).enumerate() {
        if y % 64 == 0 {
            work.check()?;
        }
        for (byte, group) in packed.iter_mut().zip(row.chunks(8 / bits)) {
            *byte = group.iter().zip(1..).fold(0, |b, (&index, n)| b | index << (8 - n * bits));
        }
        writer.write_all(&packed).map_err(|e| file.reason(&EncodingError::IoError(e)))?;
    }
    writer.finish().map_err(|e| file.reason(&e))
}
