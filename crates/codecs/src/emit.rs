//! Handing out rows that lie in a source's own buffer.
#![allow(unsafe_code)]

use crate::{PlaneRows, Rows};

/// A place for the list of planes that [`Rows`] borrows: a source keeps it beside its buffer.
#[derive(Debug, Default)]
pub(crate) struct Emitter {
    /// The true lifetime is that of the last call of [`Emitter::emit`]; nothing reads it after that.
    parts: Vec<PlaneRows<'static>>,
}

impl Emitter {
    /// Gives these parts as [`Rows`] for as long as both the emitter and the data are borrowed.
    pub(crate) fn emit<'s>(&'s mut self, parts: impl IntoIterator<Item = PlaneRows<'s>>) -> Rows<'s> {
        self.parts.clear();
        for part in parts {
            // SAFETY: only the lifetime changes. The list is private and is read solely through the value
            // returned here, whose lifetime 's is that of the data; the next call clears it first.
            self.parts.push(unsafe { std::mem::transmute::<PlaneRows<'s>, PlaneRows<'static>>(part) });
        }
        Rows { planes: &self.parts }
    }
}
