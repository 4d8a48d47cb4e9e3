//! The WebP container: chunks, canvas, animation frames. See the WebP Container Specification and RFC 9649.

use std::ops::Range;

use crate::{Error, Format};

/// The header of a file, from its chunks.
#[derive(Debug, Clone)]
pub(super) struct Container {
    pub(super) width: u32,
    pub(super) height: u32,
    /// The still image, or the first frame.
    pub(super) first: FrameHead,
    pub(super) animation: Option<AnimationHead>,
    /// A frame, or the canvas around the frames, may be transparent.
    pub(super) alpha: bool,
    pub(super) icc: Option<Range<usize>>,
    pub(super) exif: Option<Range<usize>>,
    /// Data after the image, or after the last frame, is cut or malformed.
    pub(super) rest_damaged: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct AnimationHead {
    pub(super) frames: u32,
    /// Number of runs, 0 = forever.
    pub(super) loops: u32,
}

/// One image within the file.
#[derive(Debug, Clone)]
pub(super) struct FrameHead {
    pub(super) x: u32,
    pub(super) y: u32,
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) delay_ms: u32,
    /// Blend over the canvas; else replace.
    pub(super) blend: bool,
    /// Clear the frame's rectangle after it was shown.
    pub(super) clear_after: bool,
    pub(super) alpha: bool,
    pub(super) lossless: bool,
    /// The payload of the ALPH chunk of a lossy image.
    pub(super) alpha_plane: Option<Range<usize>>,
    /// The start of the VP8 or VP8L chunk's payload.
    pub(super) payload: usize,
    /// From the ALPH, VP8 or VP8L chunk's tag to the end of the image data.
    pub(super) data: Range<usize>,
}

/// Upper limit for frames, as in GIF.
const MAX_FRAMES: u32 = 1 << 14;

fn damaged(reason: &str) -> Error {
    Error::Malformed { format: Format::WebP, reason: reason.to_owned() }
}

const TRUNCATED: Error = Error::Truncated(Format::WebP);

fn u24(b: &[u8]) -> u32 {
    u32::from_le_bytes([b[0], b[1], b[2], 0])
}

/// The chunks from `at` to `end`.
pub(super) struct Chunks<'a> {
    bytes: &'a [u8],
    at: usize,
    end: usize,
    /// The announced size is larger than the file.
    cut: bool,
    /// The image is complete: later chunks may be damaged, except frames.
    complete: bool,
    damaged: bool,
}

pub(super) struct Chunk {
    tag: [u8; 4],
    start: usize,
    payload: Range<usize>,
}

impl Chunks<'_> {
    pub(super) fn next(&mut self) -> Result<Option<Chunk>, Error> {
        // A lone pad byte at the end is harmless.
        if self.end - self.at < 2 {
            return Ok(None);
        }
        match self.chunk() {
            Some(chunk) => Ok(Some(chunk)),
            None if self.complete && !self.bytes[self.at..self.end].starts_with(b"ANMF") => {
                self.damaged = true;
                self.at = self.end;
                Ok(None)
            }
            None => Err(TRUNCATED),
        }
    }

    fn chunk(&mut self) -> Option<Chunk> {
        let head = self.bytes.get(self.at..self.at + 8).filter(|_| self.at + 8 <= self.end)?;
        let size = u32::from_le_bytes([head[4], head[5], head[6], head[7]]) as usize;
        let payload = self.at + 8..(self.at + 8).checked_add(size)?;
        if payload.end > self.end {
            return None;
        }
        let start = self.at;
        self.at = (payload.end + size % 2).min(self.end);
        Some(Chunk { tag: [head[0], head[1], head[2], head[3]], start, payload })
    }
}

/// The chunks of the file.
pub(super) fn chunks(bytes: &[u8]) -> Result<Chunks<'_>, Error> {
    let head = bytes.get(..12).ok_or(TRUNCATED)?;
    if &head[..4] != b"RIFF" || &head[8..12] != b"WEBP" {
        return Err(Error::NotAnImage);
    }
    let announced = 8 + u32::from_le_bytes([head[4], head[5], head[6], head[7]]) as usize;
    if announced < 12 {
        return Err(damaged("RIFF size"));
    }
    let (end, cut) = (announced.min(bytes.len()), announced > bytes.len());
    Ok(Chunks { bytes, at: 12, end, cut, complete: false, damaged: false })
}

impl Container {
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, Error> {
        let mut walk = chunks(bytes)?;
        let first = walk.next()?.ok_or(TRUNCATED)?;
        if &first.tag != b"VP8X" {
            let frame = image(bytes, &first, None)?;
            return Ok(Self {
                width: frame.width,
                height: frame.height,
                alpha: frame.alpha,
                first: frame,
                animation: None,
                icc: None,
                exif: None,
                rest_damaged: walk.cut,
            });
        }
        let head = bytes.get(first.payload).filter(|p| p.len() >= 10).ok_or(damaged("VP8X size"))?;
        let (width, height) = (u24(&head[4..]) + 1, u24(&head[7..]) + 1);
        let animated = head[0] & 0x02 != 0;
        let (mut icc, mut exif, mut loops, mut still, mut alph) = (None, None, 1, None, None);
        let mut frames = 0_u32;
        let mut alpha = false;
        while let Some(chunk) = walk.next()? {
            match &chunk.tag {
                b"ICCP" => icc = icc.or(Some(chunk.payload)),
                b"EXIF" => exif = exif.or(Some(chunk.payload)),
                b"ANIM" if animated => {
                    let p = &bytes[chunk.payload];
                    loops = u32::from(u16::from_le_bytes(
                        p.get(4..6).ok_or(damaged("ANIM size"))?.try_into().unwrap_or_default(),
                    ));
                }
                b"ANMF" if animated => {
                    let frame = anmf(bytes, &chunk, width, height)?;
                    frames += 1;
                    walk.complete = true;
                    if frames > MAX_FRAMES {
                        return Err(Error::TooLarge(format!(
                            "the animation has more than {MAX_FRAMES} frames"
                        )));
                    }
                    alpha |= frame.alpha || frame.clear_after;
                    if still.is_none() {
                        alpha |= (frame.width, frame.height) != (width, height);
                        still = Some(frame);
                    }
                }
                b"ALPH" if !animated && still.is_none() => Alpha::add(&mut alph, chunk),
                b"VP8 " | b"VP8L" if !animated && still.is_none() => {
                    let frame = image(bytes, &chunk, alph.take())?;
                    if (frame.width, frame.height) != (width, height) {
                        return Err(damaged("the sizes of image and canvas differ"));
                    }
                    alpha = frame.alpha;
                    still = Some(frame);
                    walk.complete = true;
                }
                _ => {}
            }
        }
        // The number of missing frames is unknown.
        if animated && walk.cut {
            return Err(TRUNCATED);
        }
        let first = still.ok_or(TRUNCATED)?;
        let rest_damaged = walk.damaged || walk.cut;
        let animation = animated.then_some(AnimationHead { frames, loops });
        Ok(Self { width, height, first, animation, alpha, icc, exif, rest_damaged })
    }
}

/// The next animation frame of the file.
pub(super) fn next_frame(
    bytes: &[u8],
    walk: &mut Chunks<'_>,
    canvas: (u32, u32),
) -> Result<Option<FrameHead>, Error> {
    while let Some(chunk) = walk.next()? {
        if &chunk.tag == b"ANMF" {
            walk.complete = true;
            return anmf(bytes, &chunk, canvas.0, canvas.1).map(Some);
        }
    }
    Ok(None)
}

fn anmf(bytes: &[u8], chunk: &Chunk, canvas_w: u32, canvas_h: u32) -> Result<FrameHead, Error> {
    let p = bytes.get(chunk.payload.clone()).filter(|p| p.len() >= 16).ok_or(damaged("ANMF size"))?;
    let (x, y) = (u24(p) * 2, u24(&p[3..]) * 2);
    let (width, height) = (u24(&p[6..]) + 1, u24(&p[9..]) + 1);
    if x + width > canvas_w || y + height > canvas_h {
        return Err(damaged("a frame lies outside the canvas"));
    }
    let (at, end) = (chunk.payload.start + 16, chunk.payload.end);
    let mut inner = Chunks { bytes, at, end, cut: false, complete: false, damaged: false };
    let mut alph = None;
    while let Some(part) = inner.next()? {
        match &part.tag {
            b"ALPH" => Alpha::add(&mut alph, part),
            b"VP8 " | b"VP8L" => {
                let frame = image(bytes, &part, alph.take())?;
                if (frame.width, frame.height) != (width, height) {
                    return Err(damaged("the sizes of a frame and its image differ"));
                }
                return Ok(FrameHead {
                    x,
                    y,
                    delay_ms: u24(&p[12..]),
                    blend: p[15] & 0x02 == 0,
                    clear_after: p[15] & 0x01 != 0,
                    ..frame
                });
            }
            _ => {}
        }
    }
    Err(damaged("a frame has no image"))
}

/// The ALPH chunks before an image.
struct Alpha {
    /// Where the first one starts.
    start: usize,
    /// That of the last one, which libwebp uses.
    payload: Range<usize>,
}

impl Alpha {
    fn add(found: &mut Option<Self>, chunk: Chunk) {
        let start = found.as_ref().map_or(chunk.start, |first| first.start);
        *found = Some(Self { start, payload: chunk.payload });
    }
}

/// Reads the head of a VP8 or VP8L bit stream.
fn image(bytes: &[u8], chunk: &Chunk, alph: Option<Alpha>) -> Result<FrameHead, Error> {
    let p = &bytes[chunk.payload.clone()];
    let (width, height, alpha, lossless) = match &chunk.tag {
        b"VP8 " => {
            let p = p.get(..10).ok_or(TRUNCATED)?;
            if p[0] & 1 != 0 || p[3..6] != [0x9D, 0x01, 0x2A] {
                return Err(damaged("the VP8 key frame header is malformed"));
            }
            let size = |at: usize| u32::from(u16::from_le_bytes([p[at], p[at + 1]]) & 0x3FFF);
            (size(6), size(8), alph.is_some(), false)
        }
        b"VP8L" => {
            let p = p.get(..5).ok_or(TRUNCATED)?;
            let bits = u32::from_le_bytes([p[1], p[2], p[3], p[4]]);
            if p[0] != 0x2F || bits >> 29 != 0 {
                return Err(damaged("VP8L header"));
            }
            ((bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1, bits >> 28 & 1 != 0, true)
        }
        _ => return Err(damaged("it has no image chunk")),
    };
    if width == 0 || height == 0 {
        return Err(damaged("a side has zero pixels"));
    }
    let alph = alph.filter(|_| !lossless);
    let start = alph.as_ref().map_or(chunk.start, |alph| alph.start);
    let end = (chunk.payload.end + chunk.payload.len() % 2).min(bytes.len());
    Ok(FrameHead {
        x: 0,
        y: 0,
        width,
        height,
        delay_ms: 0,
        blend: false,
        clear_after: false,
        alpha,
        lossless,
        alpha_plane: alph.map(|alph| alph.payload),
        payload: chunk.payload.start,
        data: start..end,
    })
}
