//! Pixels in memory: one or three planes of 8-bit samples, reserved in a budget.

use crate::Error;
use work::{Reservation, Work};

/// The layout of an image's samples. All samples have 8 bits; colours are sRGB unless documented
/// otherwise; alpha is straight (not premultiplied).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Layout {
    /// One plane, one channel.
    Gray,
    /// One plane, R G B interleaved.
    Rgb,
    /// One plane, R G B A interleaved, straight alpha.
    Rgba,
    /// One plane, C M Y K interleaved, 0 = no ink. Only decoders yield it.
    Cmyk,
    /// Three planes Y Cb Cr, full range, BT.601 (JFIF); chroma sited at the centre of its luma block.
    Ycc(Subsampling),
}

/// Chroma subsampling.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Subsampling {
    S444,
    S422,
    S420,
    S440,
    S411,
    S410,
}

impl Subsampling {
    /// Horizontal and vertical luma samples per chroma sample.
    #[must_use]
    pub const fn factors(self) -> (u32, u32) {
        match self {
            Self::S444 => (1, 1),
            Self::S422 => (2, 1),
            Self::S420 => (2, 2),
            Self::S440 => (1, 2),
            Self::S411 => (4, 1),
            Self::S410 => (4, 2),
        }
    }

    #[must_use]
    pub const fn from_factors(h: u32, v: u32) -> Option<Self> {
        Some(match (h, v) {
            (1, 1) => Self::S444,
            (2, 1) => Self::S422,
            (2, 2) => Self::S420,
            (1, 2) => Self::S440,
            (4, 1) => Self::S411,
            (4, 2) => Self::S410,
            _ => return None,
        })
    }
}

impl Layout {
    #[must_use]
    pub const fn planes(self) -> usize {
        if matches!(self, Self::Ycc(_)) { 3 } else { 1 }
    }

    /// Interleaved channels of plane `index`.
    #[must_use]
    pub const fn channels(self, _index: usize) -> usize {
        match self {
            Self::Gray | Self::Ycc(_) => 1,
            Self::Rgb => 3,
            Self::Rgba | Self::Cmyk => 4,
        }
    }

    #[must_use]
    pub const fn has_alpha(self) -> bool {
        matches!(self, Self::Rgba)
    }

    /// Width and height in samples of plane `index` of a `width` × `height` image.
    #[must_use]
    pub const fn plane_size(self, index: usize, width: u32, height: u32) -> (u32, u32) {
        match self {
            Self::Ycc(s) if index > 0 => {
                let (h, v) = s.factors();
                (width.div_ceil(h), height.div_ceil(v))
            }
            _ => (width, height),
        }
    }

    /// Bytes of a whole image in this layout.
    #[must_use]
    pub const fn bytes(self, width: u32, height: u32) -> u64 {
        let mut sum = 0;
        let mut i = 0;
        while i < self.planes() {
            let (w, h) = self.plane_size(i, width, height);
            sum += w as u64 * h as u64 * self.channels(i) as u64;
            i += 1;
        }
        sum
    }
}

/// One plane: `height` rows of `width` × `channels` bytes without padding (stride = width × channels).
#[derive(Debug)]
pub struct Plane {
    pub width: u32,
    pub height: u32,
    pub channels: usize,
    pub data: Vec<u8>,
    held: Reservation,
}

impl Plane {
    /// A zeroed plane whose bytes are reserved first.
    ///
    /// # Errors
    /// [`Error::Work`] if it exceeds the budget.
    pub fn new(width: u32, height: u32, channels: usize, work: &Work) -> Result<Self, Error> {
        let bytes = width as usize * height as usize * channels;
        let held = work.take(bytes)?;
        Ok(Self { width, height, channels, data: vec![0; bytes], held })
    }

    /// Bytes from one row to the next.
    #[must_use]
    pub fn stride(&self) -> usize {
        self.width as usize * self.channels
    }

    #[must_use]
    pub fn row(&self, y: u32) -> &[u8] {
        let stride = self.stride();
        &self.data[y as usize * stride..][..stride]
    }

    #[must_use]
    pub fn row_mut(&mut self, y: u32) -> &mut [u8] {
        let stride = self.stride();
        &mut self.data[y as usize * stride..][..stride]
    }

    /// Bytes reserved for this plane.
    #[must_use]
    pub fn reserved(&self) -> usize {
        self.held.bytes()
    }
}

/// A whole image in memory.
#[derive(Debug)]
pub struct Raster {
    pub layout: Layout,
    pub width: u32,
    pub height: u32,
    pub planes: Vec<Plane>,
}

impl Raster {
    /// A zeroed image (transparent black, black, or green-ish for Y Cb Cr).
    ///
    /// # Errors
    /// [`Error::Work`].
    pub fn new(layout: Layout, width: u32, height: u32, work: &Work) -> Result<Self, Error> {
        let planes = (0..layout.planes())
            .map(|i| {
                let (w, h) = layout.plane_size(i, width, height);
                Plane::new(w, h, layout.channels(i), work)
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { layout, width, height, planes })
    }

    /// The bytes of an interleaved image (the luma plane of a planar one).
    #[must_use]
    pub fn data(&self) -> &[u8] {
        &self.planes[0].data
    }

    #[must_use]
    pub fn data_mut(&mut self) -> &mut [u8] {
        &mut self.planes[0].data
    }
}
