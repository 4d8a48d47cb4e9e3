//! Text to pixels, with the given fonts and no others: shaping (ligatures, marks, right-to-left), colour glyphs.
//!
//! [`Font::load`] checks a font file, [`Layout::new`] sets a text and knows its size, [`Layout::paint`] makes the
//! picture. It is just as large as the text needs: as wide as the longest line's advance, as high as its lines, and larger
//! where ink reaches beyond that (swashes, stacked marks).
//!
//! Fonts come from strangers. The font libraries have no limits on what a small file expands to; `check` counts that
//! before they read the file, and all memory and time comes out of a [`work::Work`].

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
