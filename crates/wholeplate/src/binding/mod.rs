//! The multipart form of the binding.

mod form;
mod multipart;

pub(crate) use self::form::Form;
pub(crate) use self::multipart::FormInput;
