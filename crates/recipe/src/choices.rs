//! Choices about options where the published behaviour is silent or contradicts itself, one constant each: to choose
//! otherwise, change the constant. `docs/compatibility.md` lists every one with its evidence.

use crate::{Color, Fit};

// Sizes and crops.

/// `fit` when none is given: newest documentation and the vendor's emulator say `scale-down`.
pub const DEFAULT_FIT: Fit = Fit::ScaleDown;
/// `dpr` above this is capped with a warning.
pub const MAX_DPR: f64 = 3.0;

// Trimming.

/// `trim.border.tolerance` is the difference that still counts as border (0 = exact), as the types say. `false`:
/// reversed (255 = exact), as the documentation says.
pub const TOLERANCE_IS_DIFFERENCE: bool = true;
/// `trim=border` without a tolerance.
pub const DEFAULT_TRIM_TOLERANCE: u8 = if TOLERANCE_IS_DIFFERENCE { 10 } else { 245 };

/// The greatest difference, 0–255, of a border pixel for a given `trim.border.tolerance`.
#[must_use]
pub const fn border_difference(tolerance: u8) -> u8 {
    if TOLERANCE_IS_DIFFERENCE { tolerance } else { u8::MAX - tolerance }
}

// Effects.

/// Brightness, contrast, gamma and saturation have to be below this.
pub const FACTOR_LIMIT: f64 = 255.0;
/// Largest `blur` radius.
pub const MAX_BLUR: f64 = 250.0;
/// Largest `sharpen` strength.
pub const MAX_SHARPEN: f64 = 10.0;
/// Colour of a border when none is given.
pub const DEFAULT_BORDER_COLOR: Color = Color::BLACK;

// Quality.

/// Quality when none is given.
pub const DEFAULT_QUALITY: u8 = 85;

// Formats.

/// Whether `image/*` and `*/*` in `Accept` include WebP and AVIF with `format=auto`.
pub const WILDCARDS_ACCEPT_ALL: bool = false;

// Texts.

/// Text longer than this many characters is refused.
pub const TEXT_MAX_CHARS: usize = 1000;
/// Default text size.
pub const TEXT_DEFAULT_SIZE: f32 = 12.0;
/// Largest text size, in pixels: the side of the largest text image.
pub const MAX_TEXT_SIZE: f32 = 4096.0;
/// Pixels of the em square for each unit of a text's size: pixels by the documentation. With the
/// points of the type definitions it would be 96 / 72.
pub const TEXT_PIXELS_PER_UNIT: f32 = 1.0;

// Client hints.

/// Viewport breakpoints of `width=auto`.
pub const DEFAULT_BREAKPOINTS: [u32; 4] = [320, 768, 960, 1200];
/// `width=auto` on phones and elsewhere, without a hint.
pub const DEFAULT_WIDTH_MOBILE: u32 = 768;
pub const DEFAULT_WIDTH_DESKTOP: u32 = 1200;

// Limits of one request.

/// At most this many warnings on one response.
pub const MAX_WARNINGS: usize = 8;

/// A recipe has at most this many images, the canvas included.
pub const MAX_IMAGES: usize = 256;
/// The binding's list of steps is at most this long.
pub const MAX_STEPS: usize = 512;
/// Greatest nesting depth of overlays.
pub const MAX_DRAW_DEPTH: usize = 16;
/// Options as JSON text are at most this long, in bytes.
pub const MAX_JSON_BYTES: usize = 256 * 1024;
/// Largest offset of an overlay, in pixels.
pub const MAX_OFFSET: i32 = 1_000_000;
