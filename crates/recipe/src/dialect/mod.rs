//! The dialects that parse into a [`crate::Recipe`]: option text of URLs and of the command line
//! ([`url`], [`RequestOptions`]), the JSON of `cf.image` ([`cf_image`]) and of the Workers binding ([`binding`]).
//!
//! All share one table of options (`table`): a row per option that reads it from text or JSON
//! and prints it back.

pub mod binding;
mod canonical;
pub mod cf_image;
mod given;
mod layer;
mod request;
mod table;
pub mod url;
mod well_formed;

pub(crate) use request::notice;
pub use request::{ClientHints, ParseMode, Parsed, RequestOptions, Resolved, parse_options};
pub(crate) use table::fit_word;
pub use table::{Door, option_names};
