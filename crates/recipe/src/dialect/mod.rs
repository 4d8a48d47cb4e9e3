//! The dialects that parse into a [`crate::Recipe`]: option text of URLs and of the command line
//! ([`url`], [`parse_options`]), the JSON of `cf.image` ([`cf_image`]) and of the Workers binding ([`binding`]).
//!
//! All share one table of options (`table`): one row for each option reads it from text or JSON
//! and prints it back.

pub mod binding;
pub mod cf_image;
mod hints;
mod json;
mod overlay;
mod pairs;
mod presets;
mod print;
mod reader;
mod request_options;
mod table;
pub mod url;
mod value;

pub use hints::{ClientHints, Resolved};
pub use presets::Presets;
pub use reader::{ParseMode, Parsed, parse_options, parse_presets};
pub use request_options::RequestOptions;
pub use table::option_names;
pub use value::Dialect;
