//! Decoders for tests of what we encode. None of them is one of `codecs`: JPEG by zune-jpeg, PNG by zune-png, WebP by
//! image-webp, GIF by gif. An error of our decoder and our encoder that cancel each other shows here.
//!
//! No small decoder of AVIF is independent of ours, so AVIF is not read here; the end-to-end tests decode it with sharp.

pub mod vp8l;

use std::fmt;
use std::io::Cursor;

use zune_core::bytestream::ZCursor;
use zune_core::colorspace::ColorSpace;
use zune_core::options::DecoderOptions;

/// A decoded picture, as it is stored: EXIF orientation and colour profiles are not applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    pub width: u32,
    pub height: u32,
    /// R G B A, not premultiplied, row by row.
    pub pixels: Vec<[u8; 4]>,
}

/// One frame of an animation, on the whole canvas.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    pub picture: Picture,
    pub delay_ms: u32,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// There is no decoder here for this kind of file.
    NoDecoder,
    /// The decoder's own words.
    Refused(String),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoDecoder => f.write_str("no independent decoder reads this format"),
            Self::Refused(why) => write!(f, "the independent decoder refuses the file: {why}"),
        }
    }
}

impl std::error::Error for Error {}

#[allow(clippy::needless_pass_by_value, reason = "for `map_err`")]
fn refused(why: impl fmt::Debug) -> Error {
    Error::Refused(format!("{why:?}"))
}

#[derive(Clone, Copy)]
enum Kind {
    Jpeg,
    Png,
    WebP,
    Gif,
}

fn kind(file: &[u8]) -> Result<Kind, Error> {
    match file {
        [0xFF, 0xD8, 0xFF, ..] => Ok(Kind::Jpeg),
        [0x89, b'P', b'N', b'G', ..] => Ok(Kind::Png),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Ok(Kind::WebP),
        [b'G', b'I', b'F', b'8', ..] => Ok(Kind::Gif),
        _ => Err(Error::NoDecoder),
    }
}

/// Reads the size from the header.
///
/// # Errors
/// There is no decoder, or it refuses the file.
pub fn size(file: &[u8]) -> Result<(u32, u32), Error> {
    Ok(match kind(file)? {
        Kind::Jpeg => {
            let mut decoder = jpeg(file, ColorSpace::RGB);
            decoder.decode_headers().map_err(refused)?;
            let info = decoder.info().ok_or_else(|| refused("no header"))?;
            (u32::from(info.width), u32::from(info.height))
        }
        Kind::Png => {
            let mut decoder = png(file);
            decoder.decode_headers().map_err(refused)?;
            let (width, height) = decoder.dimensions().ok_or_else(|| refused("no header"))?;
            (width as u32, height as u32)
        }
        Kind::WebP => webp(file)?.dimensions(),
        Kind::Gif => {
            let decoder = gif(file)?;
            (u32::from(decoder.width()), u32::from(decoder.height()))
        }
    })
}

/// Decodes a still picture, or the first frame of an animation.
///
/// # Errors
/// There is no decoder, or it refuses the file.
pub fn decode(file: &[u8]) -> Result<Picture, Error> {
    let (width, height) = size(file)?;
    let pixels = match kind(file)? {
        Kind::Jpeg => rgba(&jpeg(file, ColorSpace::RGB).decode().map_err(refused)?, 3),
        Kind::Png => {
            let mut decoder = png(file);
            let samples = decoder.decode().map_err(refused)?.u8().ok_or_else(|| refused("not 8 bits"))?;
            rgba(&samples, decoder.colorspace().map_or(0, |space| space.num_components()))
        }
        Kind::WebP => {
            let mut decoder = webp(file)?;
            if decoder.is_animated() {
                return Ok(webp_frame(&mut decoder)?.picture);
            }
            let mut samples = vec![0; decoder.output_buffer_size().ok_or_else(|| refused("too large"))?];
            decoder.read_image(&mut samples).map_err(refused)?;
            rgba(&samples, if decoder.has_alpha() { 4 } else { 3 })
        }
        Kind::Gif => {
            return gif_frames(file, 1)?.pop().map(|frame| frame.picture).ok_or_else(|| refused("no frame"));
        }
    };
    if pixels.len() != width as usize * height as usize {
        return Err(refused(format!("{} pixels of {width}×{height}", pixels.len())));
    }
    Ok(Picture { width, height, pixels })
}

/// Decodes every frame of a GIF or a WebP, composed as a browser does; a still picture is one frame.
///
/// # Errors
/// There is no decoder, or it refuses the file.
pub fn frames(file: &[u8]) -> Result<Vec<Frame>, Error> {
    match kind(file)? {
        Kind::Gif => gif_frames(file, usize::MAX),
        Kind::WebP => {
            let mut decoder = webp(file)?;
            if decoder.is_animated() {
                return (0..decoder.num_frames()).map(|_| webp_frame(&mut decoder)).collect();
            }
            Ok(vec![Frame { picture: decode(file)?, delay_ms: 0 }])
        }
        Kind::Jpeg | Kind::Png => Ok(vec![Frame { picture: decode(file)?, delay_ms: 0 }]),
    }
}

/// Decodes the brightness of a JPEG: its first component, without a conversion of colours.
///
/// # Errors
/// The file is no JPEG, or the decoder refuses it.
pub fn jpeg_luma(file: &[u8]) -> Result<Vec<u8>, Error> {
    let Kind::Jpeg = kind(file)? else { return Err(Error::NoDecoder) };
    let mut header = jpeg(file, ColorSpace::RGB);
    header.decode_headers().map_err(refused)?;
    if header.input_colorspace() == Some(ColorSpace::Luma) {
        return jpeg(file, ColorSpace::Luma).decode().map_err(refused);
    }
    let samples = jpeg(file, ColorSpace::YCbCr).decode().map_err(refused)?;
    Ok(samples.chunks_exact(3).map(|p| p[0]).collect())
}

fn rgba(samples: &[u8], channels: usize) -> Vec<[u8; 4]> {
    let pixel = |p: &[u8]| match *p {
        [y] => [y, y, y, 255],
        [y, a] => [y, y, y, a],
        [r, g, b] => [r, g, b, 255],
        _ => [p[0], p[1], p[2], p[3]],
    };
    samples.chunks_exact(channels.max(1)).map(pixel).collect()
}

fn jpeg(file: &[u8], space: ColorSpace) -> zune_jpeg::JpegDecoder<ZCursor<&[u8]>> {
    let options = DecoderOptions::default()
        .set_strict_mode(true)
        .set_max_width(1 << 16)
        .set_max_height(1 << 16)
        .jpeg_set_out_colorspace(space);
    zune_jpeg::JpegDecoder::new_with_options(ZCursor::new(file), options)
}

fn png(file: &[u8]) -> zune_png::PngDecoder<ZCursor<&[u8]>> {
    let options = DecoderOptions::default()
        .set_strict_mode(true)
        .set_max_width(1 << 20)
        .set_max_height(1 << 20)
        .png_set_confirm_crc(true)
        .inflate_set_confirm_adler(true)
        .png_set_strip_to_8bit(true)
        .png_set_add_alpha_channel(true);
    zune_png::PngDecoder::new_with_options(ZCursor::new(file), options)
}

type WebP<'a> = image_webp::WebPDecoder<Cursor<&'a [u8]>>;

fn webp(file: &[u8]) -> Result<WebP<'_>, Error> {
    image_webp::WebPDecoder::new(Cursor::new(file)).map_err(refused)
}

fn webp_frame(decoder: &mut WebP<'_>) -> Result<Frame, Error> {
    let (width, height) = decoder.dimensions();
    let mut samples = vec![0; decoder.output_buffer_size().ok_or_else(|| refused("too large"))?];
    let delay_ms = decoder.read_frame(&mut samples).map_err(refused)?;
    let pixels = rgba(&samples, if decoder.has_alpha() { 4 } else { 3 });
    Ok(Frame { picture: Picture { width, height, pixels }, delay_ms })
}

fn gif(file: &[u8]) -> Result<gif::Decoder<&[u8]>, Error> {
    let mut options = gif::DecodeOptions::new();
    options.set_color_output(gif::ColorOutput::RGBA);
    options.check_frame_consistency(true);
    // Not `check_lzw_end_code`: gif 0.14.2 then refuses some files whose end code is there, Pillow's too.
    options.read_info(file).map_err(refused)
}

fn gif_frames(file: &[u8], most: usize) -> Result<Vec<Frame>, Error> {
    let mut decoder = gif(file)?;
    let (width, height) = (u32::from(decoder.width()), u32::from(decoder.height()));
    let mut canvas = vec![[0; 4]; width as usize * height as usize];
    let mut all = Vec::new();
    while all.len() < most {
        let Some(frame) = decoder.read_next_frame().map_err(refused)? else { break };
        let before = canvas.clone();
        let row = usize::from(frame.width);
        let places = |y: usize| {
            let start = (usize::from(frame.top) + y) * width as usize + usize::from(frame.left);
            start..start + row
        };
        let rows = frame.buffer.chunks_exact(row.max(1) * 4);
        for (y, samples) in rows.enumerate() {
            for (place, p) in places(y).zip(samples.as_chunks::<4>().0) {
                if p[3] != 0 {
                    canvas[place] = *p;
                }
            }
        }
        let picture = Picture { width, height, pixels: canvas.clone() };
        all.push(Frame { picture, delay_ms: u32::from(frame.delay) * 10 });
        match frame.dispose {
            gif::DisposalMethod::Background => {
                for y in 0..usize::from(frame.height) {
                    canvas[places(y)].fill([0; 4]);
                }
            }
            gif::DisposalMethod::Previous => canvas = before,
            gif::DisposalMethod::Any | gif::DisposalMethod::Keep => {}
        }
    }
    Ok(all)
}
