//! GIF frames: LZW codes are decoded to indices and composited onto a canvas.

use weezl::decode::{Configuration, Decoder};
use weezl::{BitOrder, LzwStatus};

use super::blocks::{Blocks, Disposal, FrameHead, damaged};
use super::lzw::TwoColours;
use crate::canvas::{Canvas, Rect};
use crate::pixels::Plane;
use crate::{Error, Format, Frame, FrameSource, Raster};
use work::Work;

/// The pending disposal before the next frame.
enum Pending {
    Nothing,
    Clear(Rect),
    Restore((Rect, Plane)),
}

/// Composites frame after frame.
pub(super) struct Frames<'a> {
    bytes: &'a [u8],
    blocks: Blocks<'a>,
    canvas: Canvas,
    pending: Pending,
    work: &'a Work,
}

impl<'a> Frames<'a> {
    pub(super) fn new(bytes: &'a [u8], work: &'a Work) -> Result<Self, Error> {
        let blocks = Blocks::new(bytes)?;
        let canvas = Canvas::new(blocks.width, blocks.height, work)?;
        Ok(Self { bytes, blocks, canvas, pending: Pending::Nothing, work })
    }

    /// Composites the next frame onto the canvas and returns its delay in milliseconds.
    fn advance(&mut self) -> Result<Option<u32>, Error> {
        self.work.check()?;
        let Some(head) = self.blocks.next()? else { return Ok(None) };
        match std::mem::replace(&mut self.pending, Pending::Nothing) {
            Pending::Nothing => {}
            Pending::Clear(rect) => self.canvas.clear(rect),
            Pending::Restore(saved) => self.canvas.restore(&saved),
        }
        match head.disposal {
            Disposal::Keep => {}
            Disposal::Clear => self.pending = Pending::Clear(head.rect),
            Disposal::Previous => self.pending = Pending::Restore(self.canvas.save(head.rect, self.work)?),
        }
        self.composite(&head)?;
        Ok(Some(u32::from(head.delay) * 10))
    }

    /// The first frame, without a second canvas.
    pub(super) fn into_first(mut self) -> Result<Raster, Error> {
        self.advance()?.ok_or_else(|| damaged("it has no frame"))?;
        Ok(self.canvas.raster)
    }

    fn composite(&mut self, head: &FrameHead) -> Result<(), Error> {
        let rect = head.rect;
        if rect.is_empty() {
            return Ok(());
        }
        let mut palette = [[0; 4]; 256];
        let entries = self.bytes[head.palette.clone()].as_chunks::<3>().0;
        if entries.is_empty() {
            return Err(damaged("it has no colour table"));
        }
        for (slot, [r, g, b]) in palette.iter_mut().zip(entries) {
            *slot = [*r, *g, *b, 255];
        }
        if let Some(clear) = head.clear {
            palette[usize::from(clear)] = [0; 4];
        }
        let visible = rect.clipped(self.canvas.raster.width, self.canvas.raster.height);
        let _held = self.work.take(rect.width as usize + (64 << 10))?;
        let mut row = vec![0; rect.width as usize];
        let mut codes = Codes::new(&self.bytes[head.data..], head.code_size);
        for (n, y) in rows(rect.height, head.interlaced).enumerate() {
            if n % 64 == 0 {
                self.work.check()?;
            }
            codes.fill(&mut row)?;
            if y >= visible.height {
                continue;
            }
            let span = self.canvas.span(visible.x, visible.y + y, visible.width);
            for (out, &index) in span.as_chunks_mut::<4>().0.iter_mut().zip(&row) {
                // Entries beyond the table are transparent.
                let colour = palette[usize::from(index)];
                if colour[3] != 0 {
                    *out = colour;
                }
            }
        }
        Ok(())
    }
}

impl FrameSource for Frames<'_> {
    fn size(&self) -> (u32, u32) {
        (self.blocks.width, self.blocks.height)
    }

    fn next_frame(&mut self) -> Result<Option<Frame>, Error> {
        let Some(delay_ms) = self.advance()? else { return Ok(None) };
        Ok(Some(Frame { image: self.canvas.copy(self.work)?, delay_ms }))
    }
}

/// Rows in the order of the file: from top to bottom, or in the four passes of interlacing.
fn rows(height: u32, interlaced: bool) -> impl Iterator<Item = u32> {
    const PASSES: [(u32, u32); 4] = [(0, 8), (4, 8), (2, 4), (1, 2)];
    let passes: &'static [(u32, u32)] = if interlaced { &PASSES } else { &[(0, 1)] };
    passes.iter().flat_map(move |&(first, step)| (first..height).step_by(step as usize))
}

/// The LZW codes of one frame.
struct Codes<'a> {
    /// The remaining sub-blocks, from a length byte on.
    blocks: &'a [u8],
    /// The rest of the current sub-block.
    block: &'a [u8],
    decoder: Lzw,
}

enum Lzw {
    Usual(Decoder),
    TwoColours(TwoColours),
}

impl<'a> Codes<'a> {
    fn new(blocks: &'a [u8], code_size: u8) -> Self {
        // Without yielding, the decoder reads up to the end code while pixels of the previous code are pending, and loses them.
        let usual = || Configuration::new(BitOrder::Lsb, code_size).with_yield_on_full_buffer(true).build();
        let decoder = if code_size == 1 { Lzw::TwoColours(TwoColours::new()) } else { Lzw::Usual(usual()) };
        Self { blocks, block: &[], decoder }
    }

    /// Fills `row` with indices.
    fn fill(&mut self, row: &mut [u8]) -> Result<(), Error> {
        let (mut done, mut idle) = (0, 0);
        while done < row.len() {
            if self.block.is_empty()
                && let Some((&n, rest)) = self.blocks.split_first()
                && n > 0
            {
                // `Blocks` has checked that the sub-blocks are complete.
                let Some((block, rest)) = rest.split_at_checked(usize::from(n)) else {
                    return Err(Error::Truncated(Format::Gif));
                };
                self.block = block;
                self.blocks = rest;
            }
            let decoder = match &mut self.decoder {
                Lzw::Usual(decoder) => decoder,
                Lzw::TwoColours(decoder) => {
                    let end = self.block.is_empty();
                    let filled = decoder.fill(&mut self.block, &mut row[done..]);
                    done += filled
                        .filter(|&n| n > 0 || !end)
                        .ok_or_else(|| damaged("a frame has too few pixels"))?;
                    continue;
                }
            };
            let result = decoder.decode_bytes(self.block, &mut row[done..]);
            self.block = &self.block[result.consumed_in..];
            done += result.consumed_out;
            match result.status {
                Err(_) => return Err(damaged("LZW codes")),
                Ok(status) => {
                    // Buffered codes yield pixels without input, and one call may only free space for them.
                    idle = if result.consumed_in == 0 && result.consumed_out == 0 { idle + 1 } else { 0 };
                    if done < row.len() && (matches!(status, LzwStatus::Done) || idle > 1) {
                        return Err(damaged("a frame has too few pixels"));
                    }
                }
            }
        }
        Ok(())
    }
}
