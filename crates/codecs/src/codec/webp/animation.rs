//! Animated WebP: composited frames from a file, and a file from composited frames.
//!
//! Each frame is written to an ANMF chunk of its own. libwebp's animation encoder would merge equal
//! frames and their delays; this one keeps the number of frames.

use super::ffi::{self, Incremental, Output, Picture, Settings};
use super::riff::{self, Chunks, Container, FrameHead};
use super::{MAX_SIDE, argb, decoder_bytes, encoder_bytes, settings};
use crate::canvas::{Canvas, Rect, blend_over, changed};
use crate::ycc::{Gather420, Range};
use crate::{
    AnimationSpec, Error, Format, Frame, FrameSink, FrameSource, ImageSpec, Layout, PlaneRows, Raster, Rows,
};
use work::{Reservation, Work};

/// Decodes frame by frame onto one canvas.
pub(super) struct Frames<'a> {
    bytes: &'a [u8],
    walk: Chunks<'a>,
    /// Bytes of libwebp's tables for one frame.
    tables: u64,
    canvas: Canvas,
    /// The rectangle to be cleared before the next frame.
    clear: Option<Rect>,
    work: &'a Work,
}

impl<'a> Frames<'a> {
    pub(super) fn new(
        bytes: &'a [u8],
        container: &Container,
        tables: u64,
        work: &'a Work,
    ) -> Result<Self, Error> {
        let canvas = Canvas::new(container.width, container.height, work)?;
        Ok(Self { bytes, walk: riff::chunks(bytes)?, tables, canvas, clear: None, work })
    }

    fn composite(&mut self, head: &FrameHead) -> Result<(), Error> {
        let output = if head.alpha { Output::Rgba } else { Output::Rgb };
        let mut decoder =
            Incremental::new(self.bytes, head, output, decoder_bytes(head, self.tables), self.work)?;
        let mut y = 0;
        while y < head.height {
            decoder.advance(self.work)?;
            while y < decoder.ready() {
                let row = decoder.rows(0, y, y + 1);
                let span = self.canvas.span(head.x, head.y + y, head.width);
                if !head.alpha {
                    for (out, p) in span.as_chunks_mut::<4>().0.iter_mut().zip(row.as_chunks::<3>().0) {
                        *out = [p[0], p[1], p[2], 255];
                    }
                } else if head.blend {
                    blend_over(span, row);
                } else {
                    span.copy_from_slice(row);
                }
                y += 1;
            }
        }
        Ok(())
    }
}

impl FrameSource for Frames<'_> {
    fn size(&self) -> (u32, u32) {
        (self.canvas.raster.width, self.canvas.raster.height)
    }

    fn next_frame(&mut self) -> Result<Option<Frame>, Error> {
        self.work.check()?;
        let size = self.size();
        let Some(head) = riff::next_frame(self.bytes, &mut self.walk, size)? else { return Ok(None) };
        if let Some(rect) = self.clear.take() {
            self.canvas.clear(rect);
        }
        self.composite(&head)?;
        if head.clear_after {
            self.clear = Some(Rect { x: head.x, y: head.y, width: head.width, height: head.height });
        }
        Ok(Some(Frame { image: self.canvas.copy(self.work)?, delay_ms: head.delay_ms }))
    }
}

/// Encodes frames one by one, without the pixels that did not change since the previous frame.
pub(super) struct AnimationEncoder<'a> {
    spec: AnimationSpec,
    previous: Option<Raster>,
    out: Vec<u8>,
    held: Reservation,
    frames: u32,
    alpha: bool,
    work: &'a Work,
}

/// RIFF head, VP8X and ANIM chunks: filled in at the end.
const HEAD: usize = 12 + 18 + 14;

impl<'a> AnimationEncoder<'a> {
    pub(super) fn new(spec: &AnimationSpec, work: &'a Work) -> Result<Self, Error> {
        if spec.width > MAX_SIDE || spec.height > MAX_SIDE || spec.width == 0 || spec.height == 0 {
            return Err(Error::TooLarge(format!("WebP cannot hold {} × {} pixels", spec.width, spec.height)));
        }
        Ok(Self {
            spec: spec.clone(),
            previous: None,
            out: vec![0; HEAD],
            held: work.take(HEAD)?,
            frames: 0,
            alpha: false,
            work,
        })
    }

    /// The part of the canvas to write, at even offsets, as the format requires.
    fn part(&self, image: &Raster) -> Rect {
        let Some(previous) = &self.previous else { return Rect::whole(image.width, image.height) };
        let rect = changed(previous, image);
        let (x, y) = (rect.x & !1, rect.y & !1);
        Rect { x, y, width: rect.x + rect.width - x, height: rect.y + rect.height - y }
    }

    fn write_frame(&mut self, image: &Raster, delay_ms: u32) -> Result<(), Error> {
        let rect = self.part(image);
        if rect.is_empty() {
            // Nothing changed: one transparent pixel keeps the frame and its delay.
            let file =
                ffi::encode(Picture::Argb(&[0]), 1, 1, Settings { quality: 0.0, method: 0 }, self.work)?;
            return self.append(&file, Rect { x: 0, y: 0, width: 1, height: 1 }, delay_ms, true);
        }
        let spec = &self.spec.encode;
        let held = ImageSpec { layout: Layout::Rgba, width: rect.width, height: rect.height };
        let _held = self.work.take(encoder_bytes(held, spec.quality) as usize)?;
        let rows = (rect.y..rect.y + rect.height)
            .map(|y| &image.planes[0].row(y)[rect.x as usize * 4..(rect.x + rect.width) as usize * 4]);
        let file = if spec.quality >= 100 {
            let pixels = rect.width as usize * rect.height as usize;
            let _argb = self.work.take(pixels * 4)?;
            let mut picture = Vec::with_capacity(pixels);
            for row in rows {
                picture.extend(row.as_chunks::<4>().0.iter().map(|p| argb(*p)));
            }
            self.alpha |= picture.iter().any(|p| p >> 24 != 255);
            ffi::encode(Picture::Argb(&picture), rect.width, rect.height, settings(spec), self.work)?
        } else {
            let mut planes =
                Gather420::new(Layout::Rgba, rect.width, rect.height, Range::Limited, true, self.work)?;
            for (y, row) in rows.enumerate() {
                planes.push(Rows::one(PlaneRows { first: y as u32, count: 1, data: row }))?;
            }
            planes.finish()?;
            self.alpha |= planes.translucent;
            super::encode_planes(&mut planes, spec, self.work)?
        };
        self.append(&file, rect, delay_ms, false)
    }

    /// Wraps the image chunks of a still WebP file into an ANMF chunk.
    fn append(&mut self, file: &[u8], rect: Rect, delay_ms: u32, blend: bool) -> Result<(), Error> {
        let head = Container::parse(file)?.first;
        self.alpha |= head.alpha;
        let image = &file[head.data];
        let size = 16 + image.len();
        let total = self.out.len() + 8 + size;
        if total > self.out.capacity() {
            let capacity = total.max(self.out.capacity() * 2);
            self.held.grow_to(capacity)?;
            self.out.reserve_exact(capacity - self.out.len());
        }
        self.out.extend_from_slice(b"ANMF");
        self.out.extend_from_slice(&(size as u32).to_le_bytes());
        for v in [rect.x / 2, rect.y / 2, rect.width - 1, rect.height - 1, delay_ms.min(0xFF_FFFF)] {
            self.out.extend_from_slice(&v.to_le_bytes()[..3]);
        }
        self.out.push(if blend { 0 } else { 2 });
        self.out.extend_from_slice(image);
        Ok(())
    }
}

impl FrameSink for AnimationEncoder<'_> {
    fn push(&mut self, frame: &Frame) -> Result<(), Error> {
        self.work.check()?;
        let image = &frame.image;
        if image.layout != Layout::Rgba || (image.width, image.height) != (self.spec.width, self.spec.height)
        {
            return Err(Error::Encode {
                format: Format::WebP,
                reason: "the size of a frame differs from the announced one".to_owned(),
            });
        }
        self.write_frame(image, frame.delay_ms)?;
        match &mut self.previous {
            Some(previous) => previous.data_mut().copy_from_slice(image.data()),
            None => {
                let mut copy = Raster::new(Layout::Rgba, image.width, image.height, self.work)?;
                copy.data_mut().copy_from_slice(image.data());
                self.previous = Some(copy);
            }
        }
        self.frames += 1;
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<Vec<u8>, Error> {
        let Self { spec, mut out, frames, alpha, .. } = *self;
        let failed = |reason: String| Err(Error::Encode { format: Format::WebP, reason });
        if frames != spec.frames || frames == 0 {
            return failed(format!("{frames} of {} frames were given", spec.frames));
        }
        let Ok(riff) = u32::try_from(out.len() - 8) else { return failed("more than 4 GiB".to_owned()) };
        out[..4].copy_from_slice(b"RIFF");
        out[4..8].copy_from_slice(&riff.to_le_bytes());
        out[8..16].copy_from_slice(b"WEBPVP8X");
        out[16..20].copy_from_slice(&10_u32.to_le_bytes());
        out[20] = 0x02 | if alpha { 0x10 } else { 0 };
        out[24..27].copy_from_slice(&(spec.width - 1).to_le_bytes()[..3]);
        out[27..30].copy_from_slice(&(spec.height - 1).to_le_bytes()[..3]);
        out[30..34].copy_from_slice(b"ANIM");
        out[34..38].copy_from_slice(&6_u32.to_le_bytes());
        // Background: transparent. The number of loops is limited to 16 bits.
        out[42..44].copy_from_slice(&(spec.loops.min(0xFFFF) as u16).to_le_bytes());
        Ok(out)
    }
}
