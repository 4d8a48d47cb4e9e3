//! The choices where the published behaviour is silent or contradicts itself, one constant each.
//! `docs/compatibility.md` lists every one with its evidence.

use crate::{
    Fit,
    values::{Color, QualityWord},
};

/// `fit` when none is given: newest documentation and the vendor's emulator say `scale-down`.
pub const DEFAULT_FIT: Fit = Fit::ScaleDown;
/// Quality when none is given.
pub const DEFAULT_QUALITY: u8 = 85;
/// `dpr` above this is capped with a warning.
pub const MAX_DPR: f64 = 3.0;
/// Brightness, contrast, gamma and saturation have to be below this.
pub const FACTOR_LIMIT: f64 = 255.0;
/// Largest `blur` radius.
pub const MAX_BLUR: f64 = 250.0;
/// Largest `sharpen` strength.
pub const MAX_SHARPEN: f64 = 10.0;
/// Colour of a border that names none.
pub const DEFAULT_BORDER_COLOR: Color = Color::BLACK;
/// At most this many warnings on one response.
pub const MAX_NOTICES: usize = 8;
/// A recipe has at most this many images, the canvas included.
pub const MAX_IMAGES: usize = 64;
/// The binding's list of steps is at most this long.
pub const MAX_STEPS: usize = 512;
/// Overlays may themselves have overlays, this deep.
pub const MAX_DRAW_DEPTH: usize = 16;
/// Options as JSON text are at most this long, in bytes.
pub const MAX_JSON_BYTES: usize = 256 * 1024;
/// Largest offset of an overlay, in pixels.
pub const MAX_OFFSET: i32 = 1_000_000;
/// Largest text size, in pixels: the side of the largest text image.
pub const MAX_TEXT_SIZE: f32 = 4096.0;
/// Text longer than this many characters is refused.
pub const TEXT_MAX_CHARS: usize = 1000;
/// Default text size.
pub const TEXT_DEFAULT_SIZE: f32 = 12.0;
/// `trim=border` without a tolerance.
pub const DEFAULT_TRIM_TOLERANCE: u8 = 10;
/// `gamma` < 1 lightens: out = in ^ gamma.
pub const GAMMA_BELOW_ONE_LIGHTENS: bool = true;
/// Viewport breakpoints of `width=auto`.
pub const DEFAULT_BREAKPOINTS: [u32; 4] = [320, 768, 960, 1200];
/// `width=auto` on phones and elsewhere, when no hint came.
pub const DEFAULT_WIDTH_MOBILE: u32 = 768;
pub const DEFAULT_WIDTH_DESKTOP: u32 = 1200;

/// The vendor's emulator maps the quality words so.
#[must_use]
pub const fn emulator_quality(word: QualityWord) -> u8 {
    match word {
        QualityWord::Low => 35,
        QualityWord::MediumLow => 50,
        QualityWord::MediumHigh => 70,
        QualityWord::High => 90,
    }
}
