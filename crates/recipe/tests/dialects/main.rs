//! The dialects through their public doors. Tests name the statements of the specification that they cover.

mod binding;
mod cf_image;
mod properties;
mod pruning;
mod url;
