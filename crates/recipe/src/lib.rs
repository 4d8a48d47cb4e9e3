//! What to do to images, and nothing about how: typed options, ordered steps over numbered
//! images, one output. Every dialect (URL options, binding JSON, `cf.image` JSON) is parsed
//! once into a [`Recipe`]; nothing after that knows which door a request came through.
//!
//! This crate knows no pixels, files or sockets.

#![forbid(unsafe_code)]

pub mod choices;
pub mod dialect;
mod error;
mod options;
mod recipe;
mod values;

pub use error::{Notice, OptionError, SourceError};
pub use options::{
    Border, BorderTrim, Composite, Draw, Extent, Fit, Flip, FormatChoice, Gravity, GravityMode, Metadata,
    Offsets, Output, Repeat, Rotate, Side, Transform, Trim, Upscale,
};
pub use recipe::{Input, Recipe, Step, TextSource};
pub use values::{Color, Length, Quality, QualityWord};
