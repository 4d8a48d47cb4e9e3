//! Pixel operations, one file each.

pub mod border;
pub mod compose;
pub mod flatten;
pub mod focus;
pub mod gaussian;
pub mod lettering;
pub mod resample;
pub mod to_srgb;
pub mod tone;
pub mod trim_border;
pub mod turn;
