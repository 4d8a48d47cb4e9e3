//! The multipart form of the binding.

mod form;
mod spool;

pub(crate) use self::form::{Form, FormInput};
