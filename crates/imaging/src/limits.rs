//! The limits of the specification and the service's own, as one structure.

use recipe::choices;

use crate::models::ModelCapabilities;

/// What may be asked of one request. [`Limits::default`] holds the documented figures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Largest image area in pixels.
    pub max_pixels: u64,
    /// Largest width or height of an output.
    pub max_dimension: u32,
    /// Sum of the pixels of all frames above which an animation is refused.
    pub max_animation_pixels: u64,
    /// Sum of the pixels of all frames above which an animation is passed through unchanged.
    pub passthrough_animation_pixels: u64,
    /// Longest side of AVIF when negotiated, and when asked for by name.
    pub avif_auto_dimension: u32,
    pub avif_explicit_dimension: u32,
    /// Most steps of a recipe.
    pub max_steps: usize,
    /// Most overlays of a recipe.
    pub max_inputs: usize,
    /// What models there are; none by default.
    pub models: ModelCapabilities,
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
            models: ModelCapabilities::default(),
        }
    }
}
