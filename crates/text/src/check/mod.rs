//! Checks of a font before the font libraries see it: they have no limits of their own on what a small file may expand to.

pub(crate) mod bitmaps;
mod growth;
pub(crate) mod outlines;
pub(crate) mod rules;
pub(crate) mod tables;
