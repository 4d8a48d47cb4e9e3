//! Analysis of pixels: answers the questions of a plan, one file for each.

pub mod border;
pub(crate) mod faces;
pub(crate) mod foreground;
pub mod subject;
