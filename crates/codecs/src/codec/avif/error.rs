//! Errors of AVIF files.

use crate::codec::heif;
use crate::{Error, Format};

pub(super) fn damaged(reason: &str) -> Error {
    heif::damaged(Format::Avif, reason)
}

pub(super) fn unsupported(what: &str) -> Error {
    heif::unsupported(Format::Avif, what)
}
