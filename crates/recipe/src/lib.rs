//! Recipes: typed options, ordered steps over numbered images, one output.
//!
//! Every dialect (URL options, binding JSON, `cf.image` JSON) is parsed once into a [`Recipe`].
//! Later stages do not depend on the interface of the request.
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
