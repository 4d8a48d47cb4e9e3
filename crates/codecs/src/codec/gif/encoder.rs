//! GIF files from composited frames.
//!
//! Only the changed rectangle of each frame is written, and in it only the changed pixels. A palette is reused
//! as long as it matches the colours; the first one is the file's global table.

use super::lzw;
use crate::canvas::{Rect, changed};
use crate::quantise::{Mapper, Palette, PaletteAlpha};
use crate::{AnimationSpec, Error, Format, Frame, FrameSink, Layout, Raster};
use work::{Reservation, Work};

/// Writes frames. Each is held until the next one determines its disposal.
pub(super) struct Encoder<'a> {
    spec: AnimationSpec,
    out: Vec<u8>,
    held: Reservation,
    /// For the table of the LZW encoder.
    _table: Reservation,
    /// The canvas before the held frame; `None` = all transparent.
    base: Option<Raster>,
    waiting: Option<(Raster, u16)>,
    pushed: u32,
    /// The remainder of rounding to hundredths, in milliseconds.
    carried: i64,
    global: Vec<[u8; 4]>,
    mapper: Option<Mapper>,
    lzw: lzw::Encoder,
    /// The mean error of the mapper's palette on the pixels that it was made from.
    palette_error: f32,
    work: &'a Work,
}

/// A mean error (squared distance) that is not visible.
const INVISIBLE_ERROR: f32 = 24.0;

fn failed(reason: &str) -> Error {
    Error::Encode { format: Format::Gif, reason: reason.to_owned() }
}

impl<'a> Encoder<'a> {
    pub(super) fn new(spec: &AnimationSpec, work: &'a Work) -> Result<Self, Error> {
        if spec.width == 0 || spec.height == 0 || spec.width > 0xFFFF || spec.height > 0xFFFF {
            return Err(Error::TooLarge(format!("GIF cannot hold {} × {} pixels", spec.width, spec.height)));
        }
        Ok(Self {
            spec: spec.clone(),
            out: Vec::new(),
            held: work.take(0)?,
            _table: work.take(64 << 10)?,
            base: None,
            waiting: None,
            pushed: 0,
            carried: 0,
            global: Vec::new(),
            mapper: None,
            lzw: lzw::Encoder::new(),
            palette_error: 0.0,
            work,
        })
    }

    /// Hundredths of a second; the rounding error is carried over to the next frame.
    fn delay(&mut self, ms: u32) -> u16 {
        let wanted = i64::from(ms) + self.carried;
        let delay = ((wanted + 5).div_euclid(10)).clamp(0, 0xFFFF);
        self.carried = (wanted - delay * 10).clamp(-10, 10);
        delay as u16
    }

    pub(super) fn push_raster(&mut self, image: Raster, delay_ms: u32) -> Result<(), Error> {
        self.work.check()?;
        if self.pushed == self.spec.frames {
            return Err(failed("more frames than announced"));
        }
        self.pushed += 1;
        let delay = self.delay(delay_ms);
        if let Some((before, delay)) = self.waiting.take() {
            let vanishes = pixels(&before).zip(pixels(&image)).any(|(b, a)| b[3] != 0 && a[3] == 0);
            self.write(&before, delay, vanishes)?;
            self.base = (!vanishes).then_some(before);
        }
        self.waiting = Some((image, delay));
        Ok(())
    }

    /// Writes a frame over the base. `clear_after`: the whole canvas has to be transparent afterwards.
    fn write(&mut self, image: &Raster, delay: u16, clear_after: bool) -> Result<(), Error> {
        let mut rect = match &self.base {
            Some(base) => changed(base, image),
            None => Rect::whole(image.width, image.height),
        };
        if clear_after {
            // Only the frame's own rectangle can be cleared.
            rect = Rect::whole(image.width, image.height);
        }
        if rect.is_empty() {
            rect = Rect { x: 0, y: 0, width: 1, height: 1 };
        }
        let _held = self.work.take(rect.width as usize * rect.height as usize * 5)?;
        let part = self.cut(image, rect);
        self.choose(&part)?;
        let dither = if self.spec.encode.fast { 0.0 } else { 0.75 };
        let Some(mapper) = &mut self.mapper else { return Err(failed("no palette")) };
        let mut indices = vec![0; rect.width as usize * rect.height as usize];
        mapper.map(&part, rect.width, dither, &mut indices, self.work)?;
        drop(part);
        let (colours, clear) = (mapper.palette.colours.clone(), mapper.palette.clear());
        let bits = table_bits(colours.len());
        if self.out.is_empty() {
            self.head(&colours)?;
        }
        let own = colours != self.global;
        self.grow(8 + 10 + if own { 3 << bits } else { 0 })?;
        let flags = if clear_after { 2 } else { 1 } << 2 | u8::from(clear.is_some());
        self.out.extend_from_slice(&[0x21, 0xF9, 4, flags]);
        self.out.extend_from_slice(&delay.to_le_bytes());
        self.out.extend_from_slice(&[clear.unwrap_or(0), 0, 0x2C]);
        for v in [rect.x, rect.y, rect.width, rect.height] {
            self.out.extend_from_slice(&(v as u16).to_le_bytes());
        }
        self.out.push(if own { 0x80 | (bits - 1) } else { 0 });
        if own {
            table(&mut self.out, &colours, bits);
        }
        self.codes(&indices, bits.max(2))
    }

    /// The pixels of a rectangle; those equal to the base are transparent.
    fn cut(&self, image: &Raster, rect: Rect) -> Vec<u8> {
        let mut part = Vec::with_capacity(rect.width as usize * rect.height as usize * 4);
        let columns = rect.x as usize * 4..(rect.x + rect.width) as usize * 4;
        for y in rect.y..rect.y + rect.height {
            let row = &image.planes[0].row(y)[columns.clone()];
            match &self.base {
                None => part.extend_from_slice(row),
                Some(base) => {
                    let below = base.planes[0].row(y)[columns.clone()].as_chunks::<4>().0;
                    for (p, b) in row.as_chunks::<4>().0.iter().zip(below) {
                        part.extend_from_slice(if p == b { &[0; 4] } else { p });
                    }
                }
            }
        }
        part
    }

    /// Keeps the palette if it matches these pixels, else chooses a new one.
    fn choose(&mut self, part: &[u8]) -> Result<(), Error> {
        if let Some(mapper) = &mut self.mapper
            && !mapper.palette.exact
            && mapper
                .mean_error(part)
                .is_some_and(|error| error <= self.palette_error * 1.5 + INVISIBLE_ERROR)
        {
            return Ok(());
        }
        let limit = if self.spec.frames > 1 { 255 } else { 256 };
        let mut palette = Palette::choose(part, limit, PaletteAlpha::OneBit, self.work)?;
        if palette.exact
            && let Some(mapper) = &self.mapper
            && mapper.palette.exact
            && palette.colours.iter().all(|c| mapper.palette.colours.contains(c))
        {
            return Ok(());
        }
        if self.spec.frames > 1 && palette.clear().is_none() {
            palette.colours.insert(0, [0; 4]);
        }
        self.mapper = None;
        let mapper = self.mapper.insert(Mapper::new(palette, self.work)?);
        self.palette_error = if mapper.palette.exact { 0.0 } else { mapper.mean_error(part).unwrap_or(0.0) };
        Ok(())
    }

    fn head(&mut self, colours: &[[u8; 4]]) -> Result<(), Error> {
        let bits = table_bits(colours.len());
        self.grow(13 + (3 << bits) + 19)?;
        self.out.extend_from_slice(b"GIF89a");
        self.out.extend_from_slice(&(self.spec.width as u16).to_le_bytes());
        self.out.extend_from_slice(&(self.spec.height as u16).to_le_bytes());
        self.out.extend_from_slice(&[0x80 | (bits - 1) << 4 | (bits - 1), 0, 0]);
        table(&mut self.out, colours, bits);
        self.global = colours.to_vec();
        // The file gives the number of repetitions; without it the animation plays once.
        if self.spec.frames > 1 && self.spec.loops != 1 {
            let repeats = self.spec.loops.saturating_sub(1).min(0xFFFF) as u16;
            self.out.extend_from_slice(b"\x21\xFF\x0BNETSCAPE2.0\x03\x01");
            self.out.extend_from_slice(&repeats.to_le_bytes());
            self.out.push(0);
        }
        Ok(())
    }

    fn codes(&mut self, indices: &[u8], code_size: u8) -> Result<(), Error> {
        self.grow(1)?;
        self.out.push(code_size);
        let (out, held, work) = (&mut self.out, &mut self.held, self.work);
        let mut blocks = 0_u32;
        self.lzw.encode(indices, code_size, &mut |block| {
            blocks += 1;
            if blocks.is_multiple_of(256) {
                work.check()?;
            }
            reserve(out, held, block.len())?;
            out.extend_from_slice(block);
            Ok(())
        })
    }

    /// Reserves `more` bytes in the budget and in the buffer.
    fn grow(&mut self, more: usize) -> Result<(), Error> {
        reserve(&mut self.out, &mut self.held, more)
    }

    pub(super) fn into_file(mut self) -> Result<Vec<u8>, Error> {
        if self.pushed != self.spec.frames {
            return Err(failed(&format!("{} of {} frames were given", self.pushed, self.spec.frames)));
        }
        let Some((last, delay)) = self.waiting.take() else { return Err(failed("no frames")) };
        // A repetition starts on a transparent canvas.
        self.write(&last, delay, false)?;
        self.grow(1)?;
        self.out.push(0x3B);
        Ok(self.out)
    }
}

impl FrameSink for Encoder<'_> {
    fn push(&mut self, frame: &Frame) -> Result<(), Error> {
        let image = &frame.image;
        if image.layout != Layout::Rgba || (image.width, image.height) != (self.spec.width, self.spec.height)
        {
            return Err(failed("the size of a frame differs from the announced one"));
        }
        let mut copy = Raster::new(Layout::Rgba, image.width, image.height, self.work)?;
        for (out, p) in copy.data_mut().as_chunks_mut::<4>().0.iter_mut().zip(pixels(image)) {
            *out = opaque_or_clear(*p);
        }
        self.push_raster(copy, frame.delay_ms)
    }

    fn finish(self: Box<Self>) -> Result<Vec<u8>, Error> {
        self.into_file()
    }
}

/// GIF has one-bit alpha.
pub(super) fn opaque_or_clear([r, g, b, a]: [u8; 4]) -> [u8; 4] {
    if a >= 128 { [r, g, b, 255] } else { [0; 4] }
}

fn pixels(image: &Raster) -> impl Iterator<Item = &[u8; 4]> {
    image.data().as_chunks::<4>().0.iter()
}

/// Reserves `more` bytes in the budget and in the buffer.
fn reserve(out: &mut Vec<u8>, held: &mut Reservation, more: usize) -> Result<(), Error> {
    let needed = out.len() + more;
    if needed > out.capacity() {
        let capacity = needed.max(out.capacity() * 2).max(4096);
        held.grow_to(capacity)?;
        out.reserve_exact(capacity - out.len());
    }
    Ok(())
}

/// Bits of an index into a table of this many entries, 1–8.
fn table_bits(entries: usize) -> u8 {
    entries.max(2).next_power_of_two().trailing_zeros() as u8
}

fn table(out: &mut Vec<u8>, colours: &[[u8; 4]], bits: u8) {
    for i in 0..1_usize << bits {
        let [r, g, b, _] = colours.get(i).copied().unwrap_or_default();
        out.extend_from_slice(&[r, g, b]);
    }
}
