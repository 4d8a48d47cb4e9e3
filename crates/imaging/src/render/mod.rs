//! Executes a plan. Sizes and windows come from the plan; `analysis` answers its questions about pixels.

mod animation;
mod describe;
mod encode;
mod entry;
mod image_set;
mod result;
mod rows;
mod scale;
mod transform;

pub use entry::{render, render_with};
pub use result::{Body, RenderInput, Rendered, Timings};
