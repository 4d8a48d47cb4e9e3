//! What one request may use. Everything that costs memory or time takes a [`Work`]: a [`Budget`] of bytes, a deadline,
//! a [`Cancel`] flag, and [`Stages`] that record where the time went.
//!
//! This crate knows no images, no recipes and no HTTP.

#![forbid(unsafe_code)]

mod budget;
mod cancel;
mod error;
mod stages;
mod work;

pub use budget::{Budget, Reservation};
pub use cancel::Cancel;
pub use error::Error;
pub use stages::{Running, Stage, Stages};
pub use work::Work;
