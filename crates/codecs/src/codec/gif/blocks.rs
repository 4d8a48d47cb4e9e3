//! The blocks of a GIF file, read without decoding a pixel. See the GIF89a specification.
//!
//! Browsers accept more than the specification allows, and files rely on it: a screen smaller than the first frame is
//! enlarged to it, and after complete frames the trailer may be missing or replaced by other bytes. A cut frame is an
//! error.

use std::ops::Range;

use crate::canvas::Rect;
use crate::{Error, Format};

/// The disposal of a frame after it was displayed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Disposal {
    Keep,
    /// The frame's rectangle becomes clear (browsers never paint the background colour).
    Clear,
    /// The frame's rectangle is restored.
    Previous,
}

/// One image, with its graphic control extension.
#[derive(Debug, Clone)]
pub(super) struct FrameHead {
    pub(super) rect: Rect,
    pub(super) interlaced: bool,
    /// R G B entries of the local or global colour table.
    pub(super) palette: Range<usize>,
    pub(super) clear: Option<u8>,
    /// Hundredths of a second. Browsers show frames of 0 or 1 for a tenth of a second; the file's value is kept.
    pub(super) delay: u16,
    pub(super) disposal: Disposal,
    pub(super) code_size: u8,
    /// The sub-blocks with the LZW codes, from the first length byte.
    pub(super) data: usize,
}

/// An iterator over frames.
#[derive(Debug, Clone)]
pub(super) struct Blocks<'a> {
    bytes: &'a [u8],
    at: usize,
    /// Size of the screen.
    pub(super) width: u32,
    pub(super) height: u32,
    global: Range<usize>,
    /// Repetitions after the first run: `None` if not given, 0 = forever.
    pub(super) repeats: Option<u16>,
    frames: u32,
    /// Whether the screen's width and height were smaller than those of the first frame.
    enlarged: (bool, bool),
    pub(super) end: End,
}

/// How the file ends after its last frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Trailer,
    /// No trailer.
    Missing,
    /// Bytes that are not a block.
    Unknown,
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
        let mut blocks = Self {
            bytes,
            at: 13,
            width: size(6),
            height: size(8),
            global: 0..0,
            repeats: None,
            frames: 0,
            enlarged: (false, false),
            end: End::Trailer,
        };
        blocks.global = blocks.table(head[10])?;
        let first = blocks.clone().next()?.ok_or_else(|| damaged("it has no frame"))?;
        blocks.enlarge_screen(&first);
        if blocks.width == 0 || blocks.height == 0 {
            return Err(damaged("its screen and its first frame have no size"));
        }
        Ok(blocks)
    }

    /// Browsers enlarge a screen that is smaller than the first frame.
    fn enlarge_screen(&mut self, first: &FrameHead) {
        self.enlarged = (first.rect.width > self.width, first.rect.height > self.height);
        self.width = self.width.max(first.rect.width);
        self.height = self.height.max(first.rect.height);
    }

    pub(super) fn screen_enlarged(&self) -> bool {
        self.enlarged.0 || self.enlarged.1
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

    /// The next frame, or `None` after the last one.
    pub(super) fn next(&mut self) -> Result<Option<FrameHead>, Error> {
        let (mut clear, mut delay, mut disposal) = (None, 0, Disposal::Keep);
        // A graphic control extension announces a frame.
        let mut controlled = false;
        loop {
            if self.at == self.bytes.len() && self.frames > 0 && !controlled {
                self.end = End::Missing;
                return Ok(None);
            }
            match self.take(1)?[0] {
                0x3B => return Ok(None),
                0x2C => {
                    let head = self.take(9)?;
                    let word = |at: usize| u32::from(u16::from_le_bytes([head[at], head[at + 1]]));
                    let mut rect = Rect { x: word(0), y: word(2), width: word(4), height: word(6) };
                    if self.frames == 0 {
                        // The screen now has this frame's size: an offset would move a part of it outside.
                        rect.x = if self.enlarged.0 { 0 } else { rect.x };
                        rect.y = if self.enlarged.1 { 0 } else { rect.y };
                    }
                    let flags = head[8];
                    let mut palette = self.table(flags)?;
                    if palette.is_empty() {
                        palette = self.global.clone();
                    }
                    let code_size = self.take(1)?[0];
                    let data = self.at;
                    self.skip_data()?;
                    if !(1..=11).contains(&code_size) {
                        return Err(damaged(&format!("an LZW code size of {code_size} (expected 1 to 11)")));
                    }
                    self.frames += 1;
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
                        controlled = true;
                        let body = self.take(1)?[0];
                        let control = self.take(usize::from(body))?;
                        if let [flags, low, high, index, ..] = *control {
                            clear = (flags & 1 != 0).then_some(index);
                            delay = u16::from_le_bytes([low, high]);
                            disposal = match flags >> 2 & 7 {
                                2 => Disposal::Clear,
                                // Browsers read 4, which is not defined, like 3.
                                3 | 4 => Disposal::Previous,
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
                // Some encoders write stray zero bytes between blocks.
                0 => {}
                _ if self.frames > 0 && !controlled => {
                    self.end = End::Unknown;
                    return Ok(None);
                }
                other => return Err(damaged(&format!("an unknown block 0x{other:02X} before its frame"))),
            }
        }
    }
}
