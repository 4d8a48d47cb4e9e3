//! Convolution of 8-bit interleaved pixels: grey, RGB and RGBA.
//!
//! fast_image_resize is generic over every pixel type. These functions are not, so its code is compiled once, here, and for
//! three types only: in the crate that calls it, it took most of the time of each build.

#![forbid(unsafe_code)]

use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::pixels::{U8, U8x3, U8x4};
use fast_image_resize::{MulDiv, PixelTrait, ResizeAlg, ResizeOptions, Resizer};

pub use fast_image_resize::{Filter, FilterType};

/// A buffer that does not match its size, or arguments that the library refuses: a bug in the caller.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Error(String);

fn refused(error: impl std::fmt::Display) -> Error {
    Error(error.to_string())
}

/// The part of the source that becomes the target, in source pixels. It may begin and end between pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Crop {
    pub left: f64,
    pub top: f64,
    pub width: f64,
    pub height: f64,
}

/// How to convolve.
#[derive(Debug, Clone, Copy)]
pub struct Spec {
    /// Interleaved samples of a pixel: 1 (grey), 3 (RGB) or 4 (RGBA).
    pub channels: usize,
    pub filter: FilterType,
    /// `None`: all of the source.
    pub crop: Option<Crop>,
    /// RGBA: multiply colours by alpha before, and divide them after. `false` for colours that are multiplied already.
    pub use_alpha: bool,
}

/// Convolves images; reuses its buffers.
#[derive(Debug, Default)]
pub struct Convolution(Resizer);

impl Convolution {
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Resamples `source` into `target`. Both are rows from the top, without padding: a row has
    /// `width × channels` bytes.
    ///
    /// # Errors
    /// [`Error`] for a buffer that is too small, a crop outside the source, or channels other than 1, 3 and 4.
    pub fn resize(
        &mut self,
        source: &[u8],
        source_size: (u32, u32),
        target: &mut [u8],
        target_size: (u32, u32),
        spec: &Spec,
    ) -> Result<(), Error> {
        match spec.channels {
            1 => self.typed::<U8>(source, source_size, target, target_size, spec),
            3 => self.typed::<U8x3>(source, source_size, target, target_size, spec),
            4 => self.typed::<U8x4>(source, source_size, target, target_size, spec),
            n => Err(Error(format!("{n} channels (expected 1, 3 or 4)"))),
        }
    }

    fn typed<P: PixelTrait>(
        &mut self,
        source: &[u8],
        source_size: (u32, u32),
        target: &mut [u8],
        target_size: (u32, u32),
        spec: &Spec,
    ) -> Result<(), Error> {
        let source =
            TypedImageRef::<P>::from_buffer(source_size.0, source_size.1, source).map_err(refused)?;
        let mut target =
            TypedImage::<P>::from_buffer(target_size.0, target_size.1, target).map_err(refused)?;
        let mut options =
            ResizeOptions::new().resize_alg(ResizeAlg::Convolution(spec.filter)).use_alpha(spec.use_alpha);
        if let Some(Crop { left, top, width, height }) = spec.crop {
            options = options.crop(left, top, width, height);
        }
        self.0.resize_typed(&source, &mut target, &options).map_err(refused)
    }
}

/// Multiplies the colours of RGBA `pixels`, an image of `width` × `height`, by their alpha.
///
/// # Errors
/// [`Error`] for a buffer that is too small.
pub fn multiply_alpha(pixels: &mut [u8], (width, height): (u32, u32)) -> Result<(), Error> {
    let mut image = TypedImage::<U8x4>::from_buffer(width, height, pixels).map_err(refused)?;
    MulDiv::new().multiply_alpha_inplace_typed(&mut image).map_err(refused)
}

/// Divides the colours of RGBA `pixels`, an image of `width` × `height`, by their alpha.
///
/// # Errors
/// [`Error`] for a buffer that is too small.
pub fn divide_alpha(pixels: &mut [u8], (width, height): (u32, u32)) -> Result<(), Error> {
    let mut image = TypedImage::<U8x4>::from_buffer(width, height, pixels).map_err(refused)?;
    MulDiv::new().divide_alpha_inplace_typed(&mut image).map_err(refused)
}

#[cfg(test)]
mod tests {
    use super::{Convolution, FilterType, Spec, divide_alpha, multiply_alpha};

    #[test]
    fn a_flat_picture_stays_flat_and_a_short_buffer_is_refused() {
        let spec = Spec { channels: 3, filter: FilterType::Lanczos3, crop: None, use_alpha: false };
        let mut small = [0; 2 * 2 * 3];
        Convolution::new().resize(&[7; 4 * 4 * 3], (4, 4), &mut small, (2, 2), &spec).unwrap();
        assert_eq!(small, [7; 12]);
        assert!(Convolution::new().resize(&[7; 47], (4, 4), &mut small, (2, 2), &spec).is_err());
        let two = Spec { channels: 2, ..spec };
        assert!(Convolution::new().resize(&[7; 64], (4, 4), &mut small, (2, 2), &two).is_err());
    }

    #[test]
    fn alpha_is_multiplied_and_divided() {
        let mut pixel = [200, 100, 50, 128];
        multiply_alpha(&mut pixel, (1, 1)).unwrap();
        assert_eq!(pixel, [100, 50, 25, 128]);
        divide_alpha(&mut pixel, (1, 1)).unwrap();
        assert_eq!(pixel, [199, 100, 50, 128]);
    }
}
