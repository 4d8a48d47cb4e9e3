//! The dialects through their public functions. Tests name the statements of the specification that they cover.

mod binding;
mod canonical;
mod cf_image;
mod properties;
mod pruning;
mod url;
