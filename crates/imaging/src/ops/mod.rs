//! Pixel operations, one file each.

pub mod flatten;
pub mod resample;
pub mod to_srgb;
pub mod tone;
pub mod turn;
