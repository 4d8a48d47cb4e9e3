//! Pixel operations, one file each.

pub mod border;
pub mod compose;
pub mod crop;
pub mod effects;
pub(crate) mod enlarge;
pub mod flatten;
pub mod gaussian;
pub mod mask;
pub mod resample;
pub mod text;
pub mod to_srgb;
mod tone;
pub mod turn;
