//! The limits of the specification and of the service in one structure.

use codecs::Format;

use crate::Error;
use crate::choices;
use crate::models::ModelCapabilities;

/// The limits of one request. [`Limits::default`] holds the documented figures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Largest image area in pixels: of sources, results and intermediate images.
    pub max_pixels: u64,
    /// Largest width or height of results and intermediate images.
    pub max_dimension: u32,
    /// Sum of the pixels of all frames above which an animation is refused.
    pub max_animation_pixels: u64,
    /// Sum of the pixels of all frames above which an animation is passed through unchanged.
    pub passthrough_animation_pixels: u64,
    /// Longest side of AVIF when negotiated, and when requested by name.
    pub avif_auto_dimension: u32,
    pub avif_explicit_dimension: u32,
    /// Most steps of a recipe.
    pub max_steps: usize,
    /// Most images of a recipe, the canvas included.
    pub max_inputs: usize,
    /// The operator's limits on results.
    pub output: OutputLimits,
    /// The available models; none by default.
    pub models: ModelCapabilities,
}

/// The operator's limits on results (OPS-022). A larger result is reduced, with a warning. The default allows all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OutputLimits {
    /// Largest width in pixels.
    pub max_width: Option<u32>,
    /// Largest height in pixels.
    pub max_height: Option<u32>,
    /// Largest area in pixels.
    pub max_pixels: Option<u64>,
    /// Formats that results may have; `None` allows all.
    pub formats: Option<Vec<Format>>,
    /// Frames of an animation beyond this are dropped, with a warning.
    pub max_animation_frames: Option<u32>,
}

impl OutputLimits {
    /// Whether results may have this format.
    #[must_use]
    pub fn allows(&self, format: Format) -> bool {
        self.formats.as_ref().is_none_or(|formats| formats.contains(&format))
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_pixels: 100_000_000,
            max_dimension: choices::MAX_DIMENSION,
            max_animation_pixels: 100_000_000,
            passthrough_animation_pixels: 50_000_000,
            avif_auto_dimension: choices::AVIF_AUTO_DIMENSION,
            avif_explicit_dimension: choices::AVIF_EXPLICIT_DIMENSION,
            max_steps: 1000,
            max_inputs: recipe::choices::MAX_IMAGES,
            output: OutputLimits::default(),
            models: ModelCapabilities::default(),
        }
    }
}

impl Limits {
    /// Whether an image may have this many pixels.
    #[must_use]
    pub(crate) fn fits(&self, (width, height): (u32, u32)) -> bool {
        width <= self.max_dimension && height <= self.max_dimension && self.fits_area((width, height))
    }

    fn fits_area(&self, (width, height): (u32, u32)) -> bool {
        u64::from(width) * u64::from(height) <= self.max_pixels
    }

    /// Refuses an image of `size` that is made from one of size `from`.
    ///
    /// # Errors
    /// [`Error::Enlarged`] and [`Error::TooLarge`].
    pub(crate) fn check(&self, size: (u32, u32), from: (u32, u32)) -> Result<(), Error> {
        let (w, h) = size;
        if w > self.max_dimension || h > self.max_dimension {
            return Err(if w > from.0 || h > from.1 {
                Error::Enlarged { width: w.into(), height: h.into(), limit: self.max_dimension }
            } else {
                self.too_long((w.into(), h.into()))
            });
        }
        self.check_area(size)
    }

    /// Refuses a source above the area limit.
    ///
    /// # Errors
    /// [`Error::TooLarge`].
    pub(crate) fn check_area(&self, (w, h): (u32, u32)) -> Result<(), Error> {
        if self.fits_area((w, h)) {
            return Ok(());
        }
        Err(Error::TooLarge(format!(
            "The image is too large: {w}×{h} is more than {} pixels",
            self.max_pixels
        )))
    }

    /// Refuses an image whose border makes it too large.
    ///
    /// # Errors
    /// [`Error::TooLarge`].
    pub(crate) fn check_bordered(&self, size: (u64, u64)) -> Result<(u32, u32), Error> {
        let most = u64::from(self.max_dimension);
        if size.0 > most || size.1 > most {
            return Err(self.too_long(size));
        }
        let size = (size.0 as u32, size.1 as u32);
        self.check_area(size).map(|()| size)
    }

    fn too_long(&self, (w, h): (u64, u64)) -> Error {
        let limit = self.max_dimension;
        Error::TooLarge(format!("The image is too large: {w}×{h}, but maximum dimension allowed is {limit}"))
    }
}
