//! The responses of a connection.

use super::body::State;
use super::lines::Lines;
use crate::entry::{Entry, Protocol};
use crate::http1::Fields;

#[derive(Debug, Default)]
pub(super) struct Responses {
    pub(super) state: State,
    pub(super) lines: Lines,
    pub(super) fields: Fields,
    /// `status`, `promised`, `written` and `id` are those of the current response, as in [`Entry`].
    pub(super) status: Option<u16>,
    pub(super) promised: Option<u64>,
    pub(super) written: u64,
    pub(super) id: Option<Box<str>>,
    /// A byte of the current response has been written.
    pub(super) begun: bool,
    /// Responses before the current one.
    pub(super) count: u64,
}

impl Responses {
    /// Ends the current response and returns its entry.
    pub(super) fn take(&mut self) -> Entry {
        let entry = Entry {
            protocol: Protocol::Http1,
            number: self.count,
            status: self.status.take(),
            promised: self.promised.take(),
            written: std::mem::take(&mut self.written),
            id: self.id.take(),
        };
        self.count += 1;
        self.begun = false;
        entry
    }
}
