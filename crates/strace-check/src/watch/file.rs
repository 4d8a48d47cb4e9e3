//! Files sent by `sendfile`, and their remaining length.

use crate::line::Outcome;
use crate::value::Value;

/// Counts from here on mean the whole file: servers that do not know its length pass a large number.
const ALL: u64 = 1 << 30;

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct File {
    size: Option<u64>,
    /// The file position, used by a call without an offset.
    position: u64,
    /// The remainder of the previous call.
    left: u64,
}

impl File {
    /// Records the size printed by `fstat` and similar calls.
    pub(super) fn described(&mut self, arguments: &[Value]) {
        let regular = |about: &&Value| {
            about
                .field("st_mode")
                .or_else(|| about.field("stx_mode"))
                .is_some_and(|mode| mode.word().starts_with("S_IFREG"))
        };
        let size = arguments
            .iter()
            .find(regular)
            .and_then(|about| about.field("st_size").or_else(|| about.field("stx_size")))
            .and_then(Value::number);
        self.size = size.or(self.size);
    }

    pub(super) fn read(&mut self, bytes: u64) {
        self.position = self.position.saturating_add(bytes);
    }

    pub(super) fn sought(&mut self, position: u64) {
        self.position = position;
    }

    /// The bytes that a `sendfile` tried to send, and those that the socket did not accept. A short count alone may
    /// have either reason: the socket is full, or the file has ended.
    pub(super) fn sent(&mut self, arguments: &[Value], outcome: &Outcome) -> (u64, u64) {
        let offset = match arguments.get(2) {
            Some(Value::List { items, .. }) => items.first().and_then(Value::number),
            Some(word) if word.word() == "NULL" => Some(self.position),
            _ => None,
        };
        let count = arguments.last().and_then(Value::number).unwrap_or(0);
        let in_file = self.size.zip(offset).map(|(size, offset)| size.saturating_sub(offset));
        let asked = match in_file {
            Some(in_file) => in_file.min(count),
            // Some servers repeat the original count, which then exceeds the rest of the file.
            None if self.left > 0 => self.left.min(count),
            None => count,
        };
        let known = in_file.is_some() || count < ALL;
        let rest = match outcome {
            Outcome::Number(taken, _) => {
                if arguments.get(2).is_some_and(|offset| offset.word() == "NULL") {
                    self.read(*taken);
                }
                if known && *taken > 0 { asked.saturating_sub(*taken) } else { 0 }
            }
            // At the end of the file the call would not block.
            Outcome::Error(error)
                if matches!(error.as_str(), "EAGAIN" | "EPIPE" | "ECONNRESET" | "EINTR") =>
            {
                if known {
                    asked
                } else {
                    1
                }
            }
            Outcome::Error(_) | Outcome::Unknown => 0,
        };
        self.left = rest;
        (asked, rest)
    }
}
