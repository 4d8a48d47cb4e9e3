//! The imaging engine: [`probe`] reads headers; [`plan()`] computes sizes, windows, decode scales, costs and warnings by
//! arithmetic alone, and refuses what cannot be done; [`render`] does what the plan says.
//!
//! This crate knows no HTTP, no files, and not the origin of bytes.

#![forbid(unsafe_code)]

mod error;
mod formats;
mod limits;
mod models;
mod render;

pub mod analysis;
pub mod choices;
pub mod ops;
pub mod plan;
pub mod rect;

pub use codecs::{Format, Probe};
pub use error::Error;
pub use formats::AcceptedFormats;
pub use limits::{Limits, OutputLimits};
pub use models::{EnlargeModel, ModelCapabilities, Models, SegmentModel};
pub use ops::text::{LastFont, probe as probe_text};
pub use plan::{Cost, Plan, PlanKind, plan};
pub use render::{Body, RenderInput, Rendered, Timings, render, render_with};
use work::Work;

/// Probes the header of an image in one of the standard formats.
///
/// # Errors
/// Those of [`AcceptedFormats::probe`].
pub fn probe(bytes: &[u8], work: &Work) -> Result<Probe, Error> {
    AcceptedFormats::default().probe(bytes, work)
}
