//! How pixels are made: [`probe`] reads headers, [`plan`] computes sizes, windows, the decode scale and
//! the peak memory by pure arithmetic and refuses what cannot be done, [`render`] does it.
//!
//! This crate knows no HTTP, no files, and not where bytes came from.

#![forbid(unsafe_code)]

mod canvas;
mod cost;
mod describe;
mod error;
mod face;
mod inputs;
mod limits;
mod models;
mod output;
mod plan;
mod render;
mod stream;
mod transform;

pub mod geometry;
pub mod ops;

pub use codecs::{Format, Probe};
pub use error::Error;
pub use inputs::AcceptedFormats;
pub use limits::Limits;
pub use models::{EnlargeModel, ModelCapabilities, Models, SegmentModel};
pub use ops::lettering::{check as check_font, probe as probe_text};
pub use plan::{Plan, PlanKind, plan};
pub use render::{Body, RenderInput, Rendered, Timings, render, render_with};
use work::Work;

/// Reads the header of an image in one of the standard formats.
///
/// # Errors
/// Those of [`AcceptedFormats::probe`].
pub fn probe(bytes: &[u8], work: &Work) -> Result<Probe, Error> {
    AcceptedFormats::default().probe(bytes, work)
}
