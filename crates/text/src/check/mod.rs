//! Checks of a font before the font libraries see it: they do not limit the expansion of a small file.

pub(crate) mod bitmaps;
mod growth;
pub(crate) mod outlines;
pub(crate) mod rules;
pub(crate) mod tables;
