//! Text rendering with the given fonts only: shaping (ligatures, marks, right-to-left), colour glyphs.
//!
//! [`Font::load`] checks a font file, [`Layout::new`] lays a text out and computes its size, [`Layout::paint`] paints it.
//! The picture is as wide as the longest line's advance and as high as its lines, and larger
//! where glyphs extend beyond that (swashes, stacked marks).
//!
//! Fonts are untrusted. The font libraries do not limit the expansion of a small file; `check` does
//! before they read the file. All memory and time is bounded by a [`work::Work`].

#![forbid(unsafe_code)]

mod check;
mod container;
mod error;
mod font;
mod layout;
mod limits;
mod paint;

pub use error::Error;
pub use font::Font;
pub use layout::{Layout, Limits, Request};
pub use paint::Raster;
