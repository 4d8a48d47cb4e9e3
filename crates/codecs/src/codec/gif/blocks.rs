//! The blocks of a GIF file, walked without decoding a pixel. See the GIF89a specification.

use std::ops::Range;

use crate::canvas::Rect;
use crate::{Error, Format};

/// What is left on the canvas after a frame was shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Disposal {
    Keep,
    /// The frame's rectangle becomes clear (browsers never paint the background colour).
    Clear,
    /// The frame's rectangle becomes what it was.
    Previous,
}

/// One image and what was said before it.
#[derive(Debug, Clone)]
pub(super) struct FrameHead {
    pub(super) rect: Rect,
    pub(super) interlaced: bool,
    /// R G B entries of its own or of the whole file.
    pub(super) palette: Range<usize>,
    pub(super) clear: Option<u8>,
    /// Hundredths of a second. Browsers show frames of 0 or 1 for a tenth of a second; the file's value is kept.
    pub(super) delay: u16,
    pub(super) disposal: Disposal,
    pub(super) code_size: u8,
    /// The sub-blocks with the LZW codes, from the first length byte.
    pub(super) data: usize,
}

/// Walks from frame to frame.
#[derive(Debug)]
pub(super) struct Blocks<'a> {
    bytes: &'a [u8],
    at: usize,
    pub(super) width: u32,
    pub(super) height: u32,
    global: Range<usize>,
    /// How often the animation repeats after it was played: none if nothing was said, 0 = forever.
    pub(super) repeats: Option<u16>,
}

const TRUNCATED: Error = Error::Truncated(Format::Gif);

pub(super) fn damaged(reason: &str) -> Error {
    Error::Malformed { format: Format::Gif, reason: reason.to_owned() }
}

impl<'a> Blocks<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Result<Self, Error> {
        let head = bytes.get(..13).ok_or(TRUNCATED)?;
        if !matches!(&head[..6], b"GIF87a" | b"GIF89a") {
            return Err(Error::NotAnImage);
        }
        let size = |at: usize| u32::from(u16::from_le_bytes([head[at], head[at + 1]]));
        let (width, height) = (size(6), size(8));
        if width == 0 || height == 0 {
            return Err(damaged("a side of zero pixels"));
        }
        let mut blocks = Self { bytes, at: 13, width, height, global: 0..0, repeats: None };
        blocks.global = blocks.table(head[10])?;
        Ok(blocks)
    }

    fn take(&mut self, n: usize) -> Result<&'a [u8], Error> {
        let part = self.bytes.get(self.at..self.at + n).ok_or(TRUNCATED)?;
        self.at += n;
        Ok(part)
    }

    /// The colour table that the flags announce, if any.
    fn table(&mut self, flags: u8) -> Result<Range<usize>, Error> {
        if flags & 0x80 == 0 {
            return Ok(0..0);
        }
        let start = self.at;
        self.take(3 << ((flags & 7) + 1))?;
        Ok(start..self.at)
    }

    fn skip_data(&mut self) -> Result<(), Error> {
        loop {
            match self.take(1)?[0] {
                0 => return Ok(()),
                n => {
                    self.take(usize::from(n))?;
                }
            }
        }
    }

    /// The next frame, or `None` at the trailer. A file that ends without one was cut.
    pub(super) fn next(&mut self) -> Result<Option<FrameHead>, Error> {
        let (mut clear, mut delay, mut disposal) = (None, 0, Disposal::Keep);
        loop {
            match self.take(1)?[0] {
                0x3B => return Ok(None),
                0x2C => {
                    let head = self.take(9)?;
                    let word = |at: usize| u32::from(u16::from_le_bytes([head[at], head[at + 1]]));
                    let rect = Rect { x: word(0), y: word(2), width: word(4), height: word(6) };
                    let flags = head[8];
                    let mut palette = self.table(flags)?;
                    if palette.is_empty() {
                        palette = self.global.clone();
                    }
                    let code_size = self.take(1)?[0];
                    let data = self.at;
                    self.skip_data()?;
                    if !(1..=11).contains(&code_size) {
                        return Err(damaged("LZW code size"));
                    }
                    let interlaced = flags & 0x40 != 0;
                    return Ok(Some(FrameHead {
                        rect,
                        interlaced,
                        palette,
                        clear,
                        delay,
                        disposal,
                        code_size,
                        data,
                    }));
                }
                0x21 => match self.take(1)?[0] {
                    0xF9 => {
                        let body = self.take(1)?[0];
                        let control = self.take(usize::from(body))?;
                        if let [flags, low, high, index, ..] = *control {
                            clear = (flags & 1 != 0).then_some(index);
                            delay = u16::from_le_bytes([low, high]);
                            disposal = match flags >> 2 & 7 {
                                2 => Disposal::Clear,
                                3 => Disposal::Previous,
                                _ => Disposal::Keep,
                            };
                        }
                        if body > 0 {
                            self.skip_data()?;
                        }
                    }
                    0xFF => {
                        let n = self.take(1)?[0];
                        let name = self.take(usize::from(n))?;
                        let netscape = matches!(name, b"NETSCAPE2.0" | b"ANIMEXTS1.0");
                        if netscape && let Some([3, 1, low, high]) = self.bytes.get(self.at..self.at + 4) {
                            self.repeats = Some(u16::from_le_bytes([*low, *high]));
                        }
                        if n > 0 {
                            self.skip_data()?;
                        }
                    }
                    _ => self.skip_data()?,
                },
                // Stray zero bytes between blocks are seen in the wild.
                0 => {}
                _ => return Err(damaged("an unknown block")),
            }
        }
    }
}
