//! How pixels are made: [`probe`] reads headers, [`plan`] computes sizes, windows, the decode scale and
//! the peak memory by pure arithmetic and refuses what cannot be done, [`render`] does it.
//!
//! This crate knows no HTTP, no files, and not where bytes came from.

#![forbid(unsafe_code)]

mod canvas;
mod cost;
mod error;
mod limits;
mod output;
mod plan;
mod render;
mod stream;
mod transform;

pub mod geometry;
pub mod ops;

pub use codecs::{Budget, Cancel, Format, Probe, Stage, Stages, Work};
pub use error::Error;
pub use limits::Limits;
pub use ops::lettering::probe as probe_text;
pub use plan::{Kind, Plan, plan};
pub use render::{Body, Rendered, Supply, Timings, render};

/// Reads the header of an image: format by content, size, orientation, colour space, frames.
///
/// # Errors
/// [`Error::Codec`]: not an image, damaged, or a format that this build does not read.
pub fn probe(bytes: &[u8]) -> Result<Probe, Error> {
    let format = Format::sniff(bytes).ok_or(codecs::Error::NotAnImage)?;
    let codec = codecs::codec_for(format)
        .ok_or_else(|| codecs::Error::Unsupported(format!("{format} images are not accepted")))?;
    Ok(codec.probe(bytes)?)
}
