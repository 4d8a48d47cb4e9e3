//! Looking at pixels: the answers to the questions of a plan, one file each.

pub mod border;
pub(crate) mod faces;
pub(crate) mod foreground;
pub mod subject;
