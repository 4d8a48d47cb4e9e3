//! The trait that every format implements, and the table of formats.

mod avif;
mod bmp;
mod gif;
#[cfg(feature = "heic")]
mod heic;
mod heif;
mod jpeg;
mod jxl;
mod png;
pub mod svg;
mod tiff;
mod webp;

use crate::{Error, Format, Layout, Probe, Raster, RowSink, RowSource, Subsampling};
use work::Work;

/// The settings of a decoder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DecodeSpec {
    /// Denominator of scaled decoding: 1, 2, 4 or 8. Decoders that cannot scale support 1 only
    /// (see [`Codec::scales`]). The yielded size is ceil(size / scale).
    pub scale: u32,
    /// Yield planar Y Cb Cr (or Gray) if the file stores it; else interleaved RGB(A).
    pub planar: bool,
}

/// A still image about to be encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImageSpec {
    pub layout: Layout,
    pub width: u32,
    pub height: u32,
}

/// The coding mode of a JPEG.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum JpegMode {
    Baseline,
    Progressive,
}

/// EXIF that is written into a JPEG: the TIFF structure, without "Exif\0\0".
pub type MetadataOut = Vec<u8>;

/// The size limit of a PNG, above which it is quantised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PaletteBound {
    /// A larger file is quantised to fewer colours.
    pub bytes: u64,
    /// The fewest colours after quantisation, 2–256.
    pub colours: usize,
}

/// The settings of an encoder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncodeSpec {
    /// 1–100. For WebP 100 = lossless.
    pub quality: u8,
    /// Use the encoder's fastest settings.
    pub fast: bool,
    pub jpeg: JpegMode,
    /// PNG: quantise to a palette of up to 256 colours at `quality`.
    pub palette: bool,
    /// PNG: a palette if the image has at most 256 colours (lossless), else true colour. No effect with
    /// `palette`.
    pub palette_if_exact: bool,
    /// PNG: the size above which the file is quantised. `None`: no limit. Only with `palette_if_exact`.
    pub palette_bound: Option<PaletteBound>,
    pub subsampling: Subsampling,
    pub exif: Option<MetadataOut>,
}

impl Default for EncodeSpec {
    fn default() -> Self {
        Self {
            quality: 85,
            fast: false,
            jpeg: JpegMode::Progressive,
            palette: false,
            palette_if_exact: false,
            palette_bound: None,
            subsampling: Subsampling::S420,
            exif: None,
        }
    }
}

/// The settings of an animation's encoder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnimationSpec {
    pub width: u32,
    pub height: u32,
    /// 0 = forever.
    pub loops: u32,
    /// Number of frames that will be pushed.
    pub frames: u32,
    pub encode: EncodeSpec,
}

/// One composited frame: the whole canvas.
#[derive(Debug)]
pub struct Frame {
    /// `Layout::Rgba`, canvas-sized.
    pub image: Raster,
    pub delay_ms: u32,
}

/// An animation decoded frame by frame; at most two canvases are held.
pub trait FrameSource {
    fn size(&self) -> (u32, u32);
    /// The next composited frame, or `None` after the last.
    ///
    /// # Errors
    /// Any decoder error.
    fn next_frame(&mut self) -> Result<Option<Frame>, Error>;
}

/// An animation encoded frame by frame.
pub trait FrameSink {
    /// Takes one `Layout::Rgba` frame of the announced size.
    ///
    /// # Errors
    /// Encoder errors.
    fn push(&mut self, frame: &Frame) -> Result<(), Error>;
    /// # Errors
    /// Encoder errors; frames missing.
    fn finish(self: Box<Self>) -> Result<Vec<u8>, Error>;
}

/// A format. Unsupported methods return [`Error::Unsupported`].
pub trait Codec: Sync {
    fn format(&self) -> Format;

    /// Reads the header: no pixel is decoded, and no memory in proportion to the image is allocated. `work` bounds the
    /// metadata that is kept (ICC profile, EXIF) and every loop over the file.
    ///
    /// # Errors
    /// [`Error::Malformed`], [`Error::Truncated`], [`Error::Unsupported`], [`Error::Work`].
    fn probe(&self, bytes: &[u8], work: &Work) -> Result<Probe, Error>;

    /// The layout that [`Codec::decode`] yields for this file and spec.
    fn decoded_layout(&self, probe: &Probe, spec: DecodeSpec) -> Layout;

    /// Whether the decoder can decode at 1/2, 1/4 and 1/8.
    fn scales(&self) -> bool {
        false
    }

    /// Peak bytes of decoding, without the yielded rows, estimated from the header.
    fn decode_bytes(&self, probe: &Probe, spec: DecodeSpec) -> u64;

    /// CPU time of decoding for each pixel of the file, in nanoseconds: an estimate for admission.
    fn decode_pixel_ns(&self, spec: DecodeSpec) -> u64;

    /// Starts decoding the still image, or the first frame.
    ///
    /// # Errors
    /// Any decoder error.
    fn decode<'a>(
        &self,
        bytes: &'a [u8],
        probe: &Probe,
        spec: DecodeSpec,
        work: &'a Work,
    ) -> Result<Box<dyn RowSource + 'a>, Error>;

    /// Starts decoding all frames.
    ///
    /// # Errors
    /// Any decoder error.
    fn decode_frames<'a>(
        &self,
        _bytes: &'a [u8],
        _probe: &Probe,
        _work: &'a Work,
    ) -> Result<Box<dyn FrameSource + 'a>, Error> {
        Err(Error::Unsupported(format!("{} animations are not supported", self.format())))
    }

    /// The layout that the encoder accepts for input offered in another layout, for example planes, or without alpha.
    /// Called before rows are rendered.
    fn encoded_layout(&self, offered: Layout, _spec: &EncodeSpec) -> Layout {
        offered
    }

    /// Peak bytes of encoding, including the output.
    fn encode_bytes(&self, _image: ImageSpec, _spec: &EncodeSpec) -> u64 {
        0
    }

    /// Whether the format can be encoded.
    fn encodes(&self) -> bool {
        false
    }

    /// CPU time of encoding for each pixel, in nanoseconds: an estimate for admission.
    fn encode_pixel_ns(&self, _spec: &EncodeSpec) -> u64 {
        0
    }

    /// Starts encoding. `image.layout` is a result of [`Codec::encoded_layout`].
    ///
    /// # Errors
    /// Encoder errors; [`Error::Unsupported`] (the default) for input-only formats.
    fn encode<'a>(
        &self,
        _image: ImageSpec,
        _spec: &EncodeSpec,
        _work: &'a Work,
    ) -> Result<Box<dyn RowSink + 'a>, Error> {
        Err(Error::Unsupported(format!("{} images cannot be encoded", self.format())))
    }

    /// Starts encoding an animation.
    ///
    /// # Errors
    /// Encoder errors.
    fn encode_frames<'a>(
        &self,
        _spec: &AnimationSpec,
        _work: &'a Work,
    ) -> Result<Box<dyn FrameSink + 'a>, Error> {
        Err(Error::Unsupported(format!("{} animations are not supported", self.format())))
    }
}

/// The codec of a format, if this build has one. A new format needs one line here and one file.
#[must_use]
pub fn codec_for(format: Format) -> Option<&'static dyn Codec> {
    match format {
        Format::Png => Some(&png::Png),
        Format::Jpeg => Some(&jpeg::Jpeg),
        Format::Gif => Some(&gif::Gif),
        Format::Svg => Some(&svg::Svg),
        Format::WebP => Some(&webp::WebP),
        Format::Avif => Some(&avif::AvifCodec),
        Format::Tiff => Some(&tiff::Tiff),
        Format::Bmp => Some(&bmp::Bmp),
        Format::Jxl => Some(&jxl::Jxl),
        #[cfg(feature = "heic")]
        Format::Heic => Some(&heic::HeicCodec),
        #[cfg(not(feature = "heic"))]
        Format::Heic => None,
    }
}
