//! The kinds of lines in a trace. Options of strace can omit lines and bytes that a verdict needs.

use crate::doubt::Doubt;
use crate::report::Summary;

/// A trace from the start of a program has more calls than this before the first connection.
const FULL: u64 = 50;

/// Counts of the relevant kinds of lines.
#[derive(Clone, Debug, Default)]
pub(crate) struct Evidence {
    pub(crate) succeeded: u64,
    pub(crate) failed: u64,
    /// A program was started under strace, and mapped its memory.
    pub(crate) started: bool,
    pub(crate) mapped: bool,
    pub(crate) accepted: u64,
    /// Requests, or parts of them, read from possible connections.
    pub(crate) requests: u64,
    /// Writes to connections.
    pub(crate) sent: u64,
    /// `write` or `writev` to any descriptor.
    pub(crate) plain_writes: u64,
    pub(crate) ends: u64,
    /// Descriptors that were reused during a response.
    pub(crate) reused: u64,
    pub(crate) strings: u64,
    pub(crate) empty_strings: u64,
    pub(crate) addresses: u64,
    pub(crate) cloned: bool,
    /// Lines carry process numbers.
    pub(crate) named: bool,
}

impl Evidence {
    pub(crate) fn doubts(&self, summary: &Summary) -> Vec<Doubt> {
        let foreign = summary.tls + summary.http2;
        // A server without requests accepts and writes nothing. Other writes show whether writes are traced at all.
        let unanswered = self.requests > 0 || self.plain_writes == 0;
        let no_writes = self.accepted > 0 && self.sent == 0 && unanswered;
        let nothing = self.accepted == 0 && summary.responses() == 0 && self.sent == 0 && foreign == 0;
        // No program starts without a failed call: the loader tries to open missing files.
        let only_successes =
            self.failed == 0 && self.succeeded >= FULL && self.started && self.mapped && self.accepted > 0;
        let no_strings = self.strings == 0 && self.empty_strings > 0;
        let no_buffers = self.addresses > 0;
        // If nothing can be read, other doubts already say so.
        let unseen = summary.unseen > 0 && !no_strings && !no_buffers;
        [
            (Doubt::NothingSeen, nothing),
            (Doubt::NoWrites, no_writes && foreign == 0),
            (Doubt::NoEnds, self.ends == 0 && (summary.open > 0 || self.reused > 0)),
            (Doubt::NoStrings, no_strings),
            (Doubt::NoBuffers, no_buffers),
            (Doubt::OnlyFailures, self.succeeded == 0 && self.failed > 1),
            (Doubt::OnlySuccesses, only_successes),
            (Doubt::NotFollowed, self.cloned && !self.named),
            (Doubt::Tls, summary.tls > 0),
            (Doubt::Http2, summary.http2 > 0),
            (Doubt::Unseen(summary.unseen), unseen),
        ]
        .into_iter()
        .filter_map(|(doubt, holds)| holds.then_some(doubt))
        .collect()
    }
}
