//! WebP decoding and encoding by libwebp: lossy, lossless, with alpha, animated.
//!
//! Lossy WebP is BT.601 in limited range; [`Layout::Ycc`] is full range. Planes are converted sample by
//! sample. libwebp decodes into a whole bitmap, whose rows are yielded as they become
//! final; scaled decoding would not save memory.

mod animation;
mod ffi;
mod lossless;
mod riff;

use self::animation::{AnimationEncoder, Frames};
use self::ffi::{Incremental, Output, Picture, Settings};
use self::riff::{Container, FrameHead};
use crate::canvas::RasterRows;
use crate::ycc::{Gather420, Range, chroma_to_full, luma_to_full};
use crate::{
    Animation, AnimationSpec, Codec, DecodeSpec, EncodeSpec, Error, Format, FrameSink, FrameSource,
    ImageSpec, Layout, PlaneRows, Probe, RowSink, RowSource, Rows, Subsampling, exif, icc,
};
use work::{Reservation, Work};

/// The longest side that the bit streams can represent (14 bits).
pub(crate) const MAX_SIDE: u32 = 16383;

/// The WebP codec.
#[derive(Debug)]
pub(crate) struct WebP;

impl Codec for WebP {
    fn format(&self) -> Format {
        Format::WebP
    }

    fn probe(&self, bytes: &[u8], work: &Work) -> Result<Probe, Error> {
        let container = Container::parse(bytes)?;
        let mut probe = Probe::new(Format::WebP, container.width, container.height, bytes.len());
        probe.alpha = container.alpha;
        probe.animation = container.animation.map(|a| Animation { frames: a.frames, loops: a.loops });
        probe.table_bytes = table_bytes(bytes, &container, work)?;
        // The planes of lossy images without alpha can be used directly.
        if container.animation.is_none() && !container.first.lossless && !container.alpha {
            probe.subsampling = Some(Subsampling::S420);
        }
        if let Some(icc) = container.icc.filter(|r| !r.is_empty()) {
            probe.colour = icc::colour(&bytes[icc], icc::Space::Rgb, &mut probe.warnings, work)?;
        }
        if let Some(exif) = container.exif {
            probe.orientation = exif::orientation(exif::without_prefix(&bytes[exif]));
        }
        probe.whole_bitmap = true;
        if container.rest_damaged {
            probe
                .warnings
                .push("the chunks after the image of the WebP file are cut or damaged and were left out");
        }
        Ok(probe)
    }

    fn decoded_layout(&self, probe: &Probe, spec: DecodeSpec) -> Layout {
        if spec.planar && probe.subsampling.is_some() {
            Layout::Ycc(Subsampling::S420)
        } else if probe.alpha || probe.animation.is_some() {
            Layout::Rgba
        } else {
            Layout::Rgb
        }
    }

    fn decode_bytes(&self, probe: &Probe, spec: DecodeSpec) -> u64 {
        let pixels = u64::from(probe.width) * u64::from(probe.height);
        let rows = u64::from(probe.width) * 100 + (64 << 10);
        if probe.animation.is_some() {
            // The canvas, the yielded frame, the frame being decoded and libwebp's own memory.
            return pixels * (4 + 4 + 4 + 5) + rows + probe.table_bytes;
        }
        let output = self.decoded_layout(probe, spec).bytes(probe.width, probe.height);
        let own = if probe.subsampling.is_some() { 0 } else { 5 * pixels };
        output + own + rows + probe.table_bytes
    }

    fn decode_pixel_ns(&self, _spec: DecodeSpec) -> u64 {
        10
    }

    fn encodes(&self) -> bool {
        true
    }

    fn encode_pixel_ns(&self, spec: &EncodeSpec) -> u64 {
        let lossless = spec.quality >= 100;
        if lossless { 250 } else { 70 }
    }

    fn decode<'a>(
        &self,
        bytes: &'a [u8],
        probe: &Probe,
        spec: DecodeSpec,
        work: &'a Work,
    ) -> Result<Box<dyn RowSource + 'a>, Error> {
        let container = Container::parse(bytes)?;
        if container.animation.is_some() {
            let mut frames = Frames::new(bytes, &container, probe.table_bytes, work)?;
            let frame = frames.next_frame()?.ok_or(Error::Truncated(Format::WebP))?;
            return Ok(Box::new(RasterRows::new(frame.image)));
        }
        let layout = self.decoded_layout(probe, spec);
        let output = match layout {
            Layout::Ycc(_) => Output::Planes,
            Layout::Rgba => Output::Rgba,
            _ => Output::Rgb,
        };
        let head = &container.first;
        let decoder = Incremental::new(bytes, head, output, decoder_bytes(head, probe.table_bytes), work)?;
        Ok(Box::new(Still {
            decoder,
            layout,
            size: (head.width, head.height),
            at: 0,
            tables: (luma_to_full(), chroma_to_full()),
            buffers: Default::default(),
            work,
        }))
    }

    fn decode_frames<'a>(
        &self,
        bytes: &'a [u8],
        probe: &Probe,
        work: &'a Work,
    ) -> Result<Box<dyn FrameSource + 'a>, Error> {
        let container = Container::parse(bytes)?;
        if container.animation.is_none() {
            return Err(Error::Unsupported("the WebP file holds one still image".to_owned()));
        }
        Ok(Box::new(Frames::new(bytes, &container, probe.table_bytes, work)?))
    }

    fn encoded_layout(&self, offered: Layout, spec: &EncodeSpec) -> Layout {
        match offered {
            Layout::Ycc(_) if spec.quality < 100 => Layout::Ycc(Subsampling::S420),
            Layout::Ycc(_) | Layout::Cmyk => Layout::Rgb,
            Layout::Gray | Layout::Rgb | Layout::Rgba => offered,
        }
    }

    fn encode_bytes(&self, image: ImageSpec, spec: &EncodeSpec) -> u64 {
        let pixels = u64::from(image.width) * u64::from(image.height);
        let picture = match (spec.quality >= 100, image.layout.has_alpha()) {
            (true, _) => pixels * 4,
            (false, true) => pixels * 5 / 2,
            (false, false) => pixels * 3 / 2,
        };
        // The file rarely has more than half a byte (lossless: two and a half) for each pixel.
        let file = if spec.quality >= 100 { pixels * 5 / 2 } else { pixels / 2 };
        picture + encoder_bytes(image, spec.quality) + file + u64::from(image.width) * 8
    }

    fn encode<'a>(
        &self,
        image: ImageSpec,
        spec: &EncodeSpec,
        work: &'a Work,
    ) -> Result<Box<dyn RowSink + 'a>, Error> {
        if image.width > MAX_SIDE || image.height > MAX_SIDE || image.width == 0 || image.height == 0 {
            return Err(Error::TooLarge(format!(
                "WebP cannot hold {} × {} pixels",
                image.width, image.height
            )));
        }
        if self.encoded_layout(image.layout, spec) != image.layout {
            return Err(Error::Unsupported(format!("{:?} pixels in WebP", image.layout)));
        }
        let own = work.take(encoder_bytes(image, spec.quality) as usize)?;
        if spec.quality >= 100 {
            let pixels = image.width as usize * image.height as usize;
            let held = work.take(pixels * 4)?;
            return Ok(Box::new(Lossless {
                image,
                spec: spec.clone(),
                argb: Vec::with_capacity(pixels),
                work,
                _held: (own, held),
            }));
        }
        let planes = Gather420::new(image.layout, image.width, image.height, Range::Limited, true, work)?;
        Ok(Box::new(Lossy { planes, spec: spec.clone(), work, _held: own }))
    }

    fn encode_frames<'a>(
        &self,
        spec: &AnimationSpec,
        work: &'a Work,
    ) -> Result<Box<dyn FrameSink + 'a>, Error> {
        Ok(Box::new(AnimationEncoder::new(spec, work)?))
    }
}

/// Bytes of libwebp's decoder besides its output: lossless images are decoded into a bitmap of
/// four bytes a pixel, alpha planes into one byte (lossless: up to four more).
fn decoder_bytes(head: &FrameHead, tables: u64) -> usize {
    let pixels = head.width as usize * head.height as usize;
    let tables = usize::try_from(tables).unwrap_or(usize::MAX);
    let rows = (head.width as usize * 100 + (64 << 10)).saturating_add(tables);
    if head.lossless {
        rows.saturating_add(pixels * 4)
    } else if head.alpha {
        rows.saturating_add(pixels * 5)
    } else {
        rows
    }
}

/// The most bytes of libwebp's tables for one image of the file.
fn table_bytes(bytes: &[u8], container: &Container, work: &Work) -> Result<u64, Error> {
    let mut tiles = lossless::Tiles::for_file(bytes.len());
    let mut of = |head: &FrameHead| {
        // The size and the version, or the filter of the alpha plane, stand before the lossless data.
        let data = match &head.alpha_plane {
            _ if head.lossless => bytes.get(head.payload + 5..head.data.end),
            Some(plane) => {
                bytes[plane.clone()].split_first().filter(|(v, _)| *v & 3 == 1).map(|(_, rest)| rest)
            }
            None => None,
        };
        data.map_or(Ok(0), |data| lossless::table_bytes(data, (head.width, head.height), &mut tiles, work))
    };
    if container.animation.is_none() {
        return Ok(of(&container.first)?);
    }
    let (mut walk, mut most) = (riff::chunks(bytes)?, 0);
    let canvas = (container.width, container.height);
    while let Some(head) = riff::next_frame(bytes, &mut walk, canvas)? {
        work.check()?;
        most = most.max(of(&head)?);
    }
    Ok(most)
}

/// Bytes of libwebp's encoder besides the picture and the file.
fn encoder_bytes(image: ImageSpec, quality: u8) -> u64 {
    let pixels = u64::from(image.width) * u64::from(image.height);
    let per_pixel = if quality >= 100 {
        // Transformed copy, hash chain, backward references.
        36
    } else if image.layout.has_alpha() {
        // The alpha plane is coded losslessly.
        20
    } else {
        1
    };
    pixels * per_pixel + u64::from(image.width) * 16 + (512 << 10)
}

/// The encoder's effort. Lossy: method 2 is 2.5 times as fast as the library's default 4 for 5–7 % more bytes.
fn settings(spec: &EncodeSpec) -> Settings {
    match (spec.quality >= 100, spec.fast) {
        (true, true) => Settings { quality: 0.0, method: 0 },
        (true, false) => Settings { quality: 25.0, method: 2 },
        (false, fast) => Settings { quality: f32::from(spec.quality), method: if fast { 0 } else { 2 } },
    }
}

fn argb([r, g, b, a]: [u8; 4]) -> u32 {
    u32::from_be_bytes([a, r, g, b])
}

/// Encodes gathered limited-range planes; alpha is written only if some of it is not 255.
fn encode_planes(planes: &mut Gather420, spec: &EncodeSpec, work: &Work) -> Result<Vec<u8>, Error> {
    let (width, height) = (planes.y.width, planes.y.height);
    let (Some(cb), Some(cr)) = (&mut planes.cb, &mut planes.cr) else {
        return Err(Error::Encode { format: Format::WebP, reason: "no chroma".to_owned() });
    };
    let picture = Picture::Planes {
        y: &mut planes.y.data,
        cb: &mut cb.data,
        cr: &mut cr.data,
        alpha: planes.alpha.as_ref().filter(|_| planes.translucent).map(|p| p.data.as_slice()),
    };
    ffi::encode(picture, width, height, settings(spec), work)
}

/// Rows of a still image.
struct Still<'a> {
    decoder: Incremental<'a>,
    layout: Layout,
    size: (u32, u32),
    at: u32,
    tables: ([u8; 256], [u8; 256]),
    /// Rows converted to full range.
    buffers: [Vec<u8>; 3],
    work: &'a Work,
}

/// Rows yielded at once: few enough to fit the cache, and an even number, because of subsampled chroma.
const GROUP: u32 = 32;

impl RowSource for Still<'_> {
    fn layout(&self) -> Layout {
        self.layout
    }

    fn size(&self) -> (u32, u32) {
        self.size
    }

    fn next_rows(&mut self) -> Result<Option<Rows<'_>>, Error> {
        let height = self.size.1;
        if self.at >= height {
            return Ok(None);
        }
        let step = self.layout.planes() as u32 / 2 + 1;
        while self.decoder.ready() < (self.at + step).min(height) {
            self.decoder.advance(self.work)?;
        }
        let from = self.at;
        let mut to = self.decoder.ready().min(from + GROUP);
        if to < height && self.layout.planes() == 3 {
            to &= !1;
        }
        self.at = to;
        if self.layout.planes() == 1 {
            let data = self.decoder.rows(0, from, to);
            return Ok(Some(Rows::one(PlaneRows { first: from, count: to - from, data })));
        }
        let mut spans = [(from, to); 3];
        for (i, buffer) in self.buffers.iter_mut().enumerate() {
            if i > 0 {
                spans[i] = (from / 2, to.div_ceil(2));
            }
            let table = if i == 0 { &self.tables.0 } else { &self.tables.1 };
            buffer.clear();
            buffer.extend(self.decoder.rows(i, spans[i].0, spans[i].1).iter().map(|&v| table[v as usize]));
        }
        let parts = self.buffers.iter().zip(spans);
        let rows = parts.map(|(data, (first, end))| PlaneRows { first, count: end - first, data });
        Ok(Some(rows.collect()))
    }
}

struct Lossy<'a> {
    planes: Gather420,
    spec: EncodeSpec,
    work: &'a Work,
    _held: Reservation,
}

impl RowSink for Lossy<'_> {
    fn push(&mut self, rows: Rows<'_>) -> Result<(), Error> {
        self.work.check()?;
        self.planes.push(rows)
    }

    fn finish(mut self: Box<Self>) -> Result<Vec<u8>, Error> {
        self.planes.finish()?;
        encode_planes(&mut self.planes, &self.spec, self.work)
    }
}

struct Lossless<'a> {
    image: ImageSpec,
    spec: EncodeSpec,
    argb: Vec<u32>,
    work: &'a Work,
    _held: (Reservation, Reservation),
}

impl RowSink for Lossless<'_> {
    fn push(&mut self, rows: Rows<'_>) -> Result<(), Error> {
        self.work.check()?;
        let Some(part) = rows.planes().first() else { return Ok(()) };
        let channels = self.image.layout.channels(0);
        let left = self.image.width as usize * self.image.height as usize - self.argb.len();
        if part.data.len() / channels > left {
            return Err(Error::Encode {
                format: Format::WebP,
                reason: "more rows than announced".to_owned(),
            });
        }
        match channels {
            1 => self.argb.extend(part.data.iter().map(|&v| argb([v, v, v, 255]))),
            3 => self.argb.extend(part.data.as_chunks::<3>().0.iter().map(|p| argb([p[0], p[1], p[2], 255]))),
            _ => self.argb.extend(part.data.as_chunks::<4>().0.iter().map(|p| argb(*p))),
        }
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<Vec<u8>, Error> {
        let ImageSpec { width, height, .. } = self.image;
        if self.argb.len() != width as usize * height as usize {
            return Err(Error::Encode { format: Format::WebP, reason: "rows are missing".to_owned() });
        }
        ffi::encode(Picture::Argb(&self.argb), width, height, settings(&self.spec), self.work)
    }
}
