//! The choices where the published behaviour is silent or contradicts itself, one constant each.
//! `docs/compatibility.md` lists every one with its evidence.

use crate::{Fit, values::QualityWord};

/// `fit` when none is given: newest documentation and the vendor's emulator say `scale-down`.
pub const DEFAULT_FIT: Fit = Fit::ScaleDown;
/// Quality when none is given.
pub const DEFAULT_QUALITY: u8 = 85;
/// `dpr` above this is capped with a warning.
pub const MAX_DPR: f64 = 3.0;
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
