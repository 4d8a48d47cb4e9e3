//! What to do to images: typed options, ordered steps over numbered images, one output.
//!
//! Every dialect (URL options, binding JSON, `cf.image` JSON) is parsed once into a [`Recipe`].
//! Nothing after that depends on the interface that a request used.
//! This crate knows no pixels, HTTP, files or sockets.

#![forbid(unsafe_code)]

mod canonical;
pub mod choices;
pub mod dialect;
mod error;
mod options;
mod recipe;
mod values;
mod warnings;
mod width_steps;
mod words;

pub use error::{OptionError, PresetError, SourceError};
pub use options::{
    Border, BorderTrim, Composite, Draw, Extent, Fit, Flip, FormatChoice, Gravity, GravityMode, Metadata,
    Offsets, Output, Repeat, Rotate, Side, Transform, Trim, Upscale,
};
pub use recipe::{Input, Recipe, Step, TextSource};
pub use values::{Color, Length, Quality, QualityWord};
pub use warnings::{Warning, Warnings};
