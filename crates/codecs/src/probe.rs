//! The header of an image.

use crate::{Format, Metadata, Subsampling};

/// EXIF orientation, 1–8: the operation that makes the stored pixels upright.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Orientation {
    #[default]
    Upright = 1,
    MirrorHorizontal = 2,
    Rotate180 = 3,
    MirrorVertical = 4,
    /// Mirror along the top-left to bottom-right diagonal.
    Transpose = 5,
    /// Turn 90° clockwise.
    Rotate90 = 6,
    /// Mirror along the other diagonal.
    Transverse = 7,
    /// Turn 270° clockwise.
    Rotate270 = 8,
}

impl Orientation {
    /// From the EXIF tag's value; anything outside 1–8 counts as upright.
    #[must_use]
    pub const fn from_exif(value: u16) -> Self {
        match value {
            2 => Self::MirrorHorizontal,
            3 => Self::Rotate180,
            4 => Self::MirrorVertical,
            5 => Self::Transpose,
            6 => Self::Rotate90,
            7 => Self::Transverse,
            8 => Self::Rotate270,
            _ => Self::Upright,
        }
    }

    /// Whether width and height are swapped.
    #[must_use]
    pub const fn swaps_axes(self) -> bool {
        matches!(self, Self::Transpose | Self::Rotate90 | Self::Transverse | Self::Rotate270)
    }
}

/// The colour space of the stored pixels.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Colour {
    /// sRGB, or unspecified.
    #[default]
    Srgb,
    /// An ICC profile, as embedded.
    Icc(Metadata),
    /// Code points of ITU-T H.273 for RGB data (the matrix is undone by the decoder).
    Cicp { primaries: u8, transfer: u8 },
}

/// Frames of an animation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Animation {
    pub frames: u32,
    /// 0 = forever.
    pub loops: u32,
}

/// The parsed header of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    pub format: Format,
    /// Stored width and height, before orientation.
    pub width: u32,
    pub height: u32,
    /// Whether the file can contain transparency (an alpha channel, a transparent palette entry).
    pub alpha: bool,
    pub orientation: Orientation,
    pub colour: Colour,
    /// More than one frame.
    pub animation: Option<Animation>,
    /// An animation of which only the first picture is decoded.
    pub first_of_many: bool,
    /// Few colours: a palette image, for which PNG suits better than JPEG.
    pub palette: bool,
    /// PNG with a palette: the number of entries that its index depth allows, 2, 4, 16 or 256.
    pub palette_entries: Option<u16>,
    /// JPEG: planes can be used directly (YCbCr or grey).
    pub subsampling: Option<Subsampling>,
    /// JPEG: horizontal and vertical sampling factors of each component; 0 where there is none.
    pub factors: [(u8, u8); 4],
    /// JPEG: progressive files need their coefficients in memory (2 bytes a sample).
    pub progressive: bool,
    /// JPEG: the length of the file up to the end of its image; `None` if the file ends before all coefficients were
    /// announced.
    pub image_end: Option<usize>,
    /// One channel without colour.
    pub gray: bool,
    /// Bits of a sample as stored; decoders yield 8.
    pub bit_depth: u8,
    /// TIFF: stored samples of a pixel, with those that are not used.
    pub samples: u16,
    /// Bytes that a decoder holds for lists and tables whose length depends on the file, not on the size of the image.
    pub table_bytes: u64,
    /// C M Y K (or YCCK) samples.
    pub cmyk: bool,
    /// Decoding needs the whole bitmap, as for interlaced files.
    pub whole_bitmap: bool,
    /// EXIF payload (the TIFF structure, without "Exif\0\0"), JPEG only.
    pub exif: Option<Metadata>,
    /// Faults of the file that do not affect its image, and the assumptions made.
    pub warnings: Vec<&'static str>,
    pub file_size: u64,
}

impl Probe {
    /// A probe with default values for all other fields.
    #[must_use]
    pub fn new(format: Format, width: u32, height: u32, file_size: usize) -> Self {
        Self {
            format,
            width,
            height,
            alpha: false,
            orientation: Orientation::Upright,
            colour: Colour::Srgb,
            animation: None,
            first_of_many: false,
            palette: false,
            palette_entries: None,
            subsampling: None,
            factors: [(0, 0); 4],
            progressive: false,
            image_end: None,
            gray: false,
            bit_depth: 8,
            samples: 0,
            table_bytes: 0,
            cmyk: false,
            whole_bitmap: false,
            exif: None,
            warnings: Vec::new(),
            file_size: file_size as u64,
        }
    }

    /// Width and height of the upright image.
    #[must_use]
    pub fn oriented_size(&self) -> (u32, u32) {
        if self.orientation.swaps_axes() { (self.height, self.width) } else { (self.width, self.height) }
    }
}
