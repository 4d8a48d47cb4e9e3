//! What a ledger reports, and to whom.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use crate::framing::Entry;

/// Why the rest of a response did not go out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[repr(u8)]
pub enum Cause {
    /// The server asked for `shutdown` while bytes of the response were still to come: the server lost
    /// them itself. This is what an HTTP server with a flush bug looks like.
    ServerShutdown = 1,
    /// The stream was dropped while bytes of the response were still to come, and nothing else is known.
    Dropped,
    /// The peer reset the connection, or closed it while it was written to.
    PeerReset,
    /// The peer had shut its writing side down, and the server gave the connection up for that.
    PeerClosed,
    /// The transport took no byte for longer than the server was willing to wait.
    WriteStall,
    /// The server was asked to stop, and the time for finishing ran out.
    DrainDeadline,
    /// The code that produced the body panicked.
    HandlerPanic,
    /// The code that produced the body failed.
    BodyError,
    /// The kernel had accepted all bytes, but the connection ended by a reset with part of them not
    /// acknowledged by the peer: the kernel throws such a queue away.
    UnackedAtReset,
    /// An HTTP/2 stream was reset by the server before its response was complete.
    StreamReset,
    /// The transport failed in another way.
    Transport,
}

impl Cause {
    /// All causes, for tables of counters.
    pub const ALL: [Self; 11] = [
        Self::ServerShutdown,
        Self::Dropped,
        Self::PeerReset,
        Self::PeerClosed,
        Self::WriteStall,
        Self::DrainDeadline,
        Self::HandlerPanic,
        Self::BodyError,
        Self::UnackedAtReset,
        Self::StreamReset,
        Self::Transport,
    ];

    /// The name used in logs and metrics, in snake case.
    pub fn name(self) -> &'static str {
        match self {
            Self::ServerShutdown => "server_shutdown",
            Self::Dropped => "dropped",
            Self::PeerReset => "peer_reset",
            Self::PeerClosed => "peer_closed",
            Self::WriteStall => "write_stall",
            Self::DrainDeadline => "drain_deadline",
            Self::HandlerPanic => "handler_panic",
            Self::BodyError => "body_error",
            Self::UnackedAtReset => "unacked_at_reset",
            Self::StreamReset => "stream_reset",
            Self::Transport => "transport",
        }
    }

    /// The cause's place in [`Cause::ALL`].
    pub fn index(self) -> usize {
        self as usize - 1
    }

    fn from_code(code: u8) -> Option<Self> {
        usize::from(code).checked_sub(1).and_then(|index| Self::ALL.get(index).copied())
    }

    pub(crate) fn of(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::NotConnected => Self::PeerReset,
            io::ErrorKind::TimedOut => Self::WriteStall,
            _ => Self::Transport,
        }
    }
}

impl std::fmt::Display for Cause {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// Receives the verdicts. Called from within polls and drops: it must neither block nor panic.
pub trait Observer: Send + Sync {
    /// Every byte of the response was taken by the transport and, on TCP, either acknowledged by the
    /// peer's kernel or left with nothing in sight that would make our kernel throw it away.
    fn whole(&self, entry: &Entry);

    /// The response did not go out to its end. Called once per response. An entry without a status is
    /// a request that got no byte of answer.
    fn cut(&self, entry: &Entry, cause: Cause);

    /// `bytes` more bytes of any kind, heads included, were taken by the transport.
    fn taken(&self, bytes: u64) {
        let _ = bytes;
    }
}

impl<O: Observer + ?Sized> Observer for Arc<O> {
    fn whole(&self, entry: &Entry) {
        (**self).whole(entry);
    }

    fn cut(&self, entry: &Entry, cause: Cause) {
        (**self).cut(entry, cause);
    }

    fn taken(&self, bytes: u64) {
        (**self).taken(bytes);
    }
}

/// Lets the owner of a connection say why it is about to end it, before it drops it. The first word
/// counts. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Blame(Arc<AtomicU8>);

impl Blame {
    /// Cuts that are found from now on have this cause, unless one was set before.
    pub fn set(&self, cause: Cause) {
        let _ = self.0.compare_exchange(0, cause as u8, Ordering::AcqRel, Ordering::Acquire);
    }

    /// The cause that was set, if any.
    pub fn get(&self) -> Option<Cause> {
        Cause::from_code(self.0.load(Ordering::Acquire))
    }
}
