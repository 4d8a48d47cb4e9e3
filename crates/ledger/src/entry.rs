//! The record of one response.

/// The protocol detected on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Protocol {
    /// No byte has passed yet.
    Undecided,
    /// HTTP/1.0 or HTTP/1.1.
    Http1,
    /// HTTP/2: frames are followed per stream.
    Http2,
    /// A tunnel after `101` or `CONNECT`, or bytes that are not HTTP. No further verdicts are given.
    Opaque,
}

/// One response as seen on the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Entry {
    /// The protocol that carried it.
    pub protocol: Protocol,
    /// HTTP/1: the ordinal of the response on its connection, from 0. HTTP/2: the stream.
    pub number: u64,
    /// Status code; `None` when the head was not written, and on HTTP/2, whose heads are compressed.
    pub status: Option<u16>,
    /// Body bytes the head promised. `None` when the framing promises a terminator instead (chunked,
    /// closed by the end of the connection, HTTP/2).
    pub promised: Option<u64>,
    /// Body bytes that the transport accepted, without chunk framing.
    pub written: u64,
    /// The value of the response header chosen as id, if the response carried it.
    pub id: Option<Box<str>>,
}

impl Entry {
    /// An entry for a request whose head was read in full, and whose response has no byte.
    #[cfg(feature = "tokio")]
    pub(crate) fn unanswered(number: u64) -> Self {
        Self { protocol: Protocol::Http1, number, status: None, promised: None, written: 0, id: None }
    }

    /// Body bytes that were promised and not written.
    pub fn missing(&self) -> Option<u64> {
        self.promised.map(|promised| promised.saturating_sub(self.written))
    }
}

/// An event in the outgoing bytes.
#[cfg(feature = "tokio")]
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// The last byte of a response has been written; `tail` bytes of the same slice come after it.
    Written { entry: Entry, tail: u64 },
    /// An HTTP/2 stream was ended by `RST_STREAM` before its response was complete.
    Reset { entry: Entry, by_peer: bool },
}
