//! Responses: the headers of success, of errors, of what was not modified.

mod body;
mod cors;
mod digest;
mod image;
mod lifetime;
mod response;
mod tag;

pub(crate) use self::body::{BoxError, ResponseBody};
pub(crate) use self::cors::Cors;
pub(crate) use self::digest::add_digest;
pub(crate) use self::image::{
    Inherited, bare, cache_headers, failure, is_named, not_modified, success, warn,
};
pub(crate) use self::lifetime::{Lifetime, restrict};
pub(crate) use self::response::{Response, error, plain, redirect};
pub(crate) use self::tag::{Representation, name_target, none_match, source_conditions};
