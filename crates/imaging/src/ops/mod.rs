//! Pixel operations, one file each.

pub mod border;
pub mod compose;
pub(crate) mod enlarge;
pub mod flatten;
pub mod focus;
pub mod foreground;
pub mod gaussian;
pub mod lettering;
pub mod resample;
pub mod to_srgb;
pub mod tone;
pub mod trim_border;
pub mod turn;
