//! The multipart form of the binding.

mod form;

pub(crate) use self::form::{Form, FormInput};
