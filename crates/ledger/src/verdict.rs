//! Verdicts and their causes, and the trait that receives them.

#[cfg(feature = "tokio")]
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use crate::entry::Entry;

/// Why a response was cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[repr(u8)]
pub enum Cause {
    /// The server called `shutdown` before the response was complete. An HTTP server with a flush bug does this.
    ServerShutdown = 1,
    /// The stream was dropped before the response was complete, and nothing else is known.
    Dropped,
    /// The peer reset the connection, or closed it while it was written to.
    PeerReset,
    /// The peer had shut down its writing side, and the server closed the connection because of it.
    PeerClosed,
    /// The peer accepted no byte for longer than the server was willing to wait.
    WriteStall,
    /// The peer read, but took longer for the whole response than the server was willing to wait.
    SlowReader,
    /// The server is stopping, and its deadline has passed.
    DrainDeadline,
    /// The code that produced the body panicked.
    HandlerPanic,
    /// The code that produced the body failed.
    BodyError,
    /// The kernel had accepted all bytes, but the connection ended by a reset before the peer had acknowledged them. The
    /// kernel discards such a queue.
    UnackedAtReset,
    /// An HTTP/2 stream was reset by the server before its response was complete.
    StreamReset,
    /// The transport failed in another way.
    Transport,
}

impl Cause {
    /// All causes, for tables of counters.
    pub const ALL: [Self; 12] = [
        Self::ServerShutdown,
        Self::Dropped,
        Self::PeerReset,
        Self::PeerClosed,
        Self::WriteStall,
        Self::SlowReader,
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
            Self::SlowReader => "slow_reader",
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

    #[cfg(feature = "tokio")]
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
    /// The transport accepted every byte of the response. On TCP the peer's kernel has acknowledged them, or the
    /// connection was closed in a way that lets our kernel send the rest.
    fn whole(&self, entry: &Entry);

    /// The response is incomplete. Called once for each response. An entry without a status is a request without a
    /// byte of a response.
    fn cut(&self, entry: &Entry, cause: Cause);

    /// The transport accepted `bytes` more bytes of any kind, heads included.
    fn written(&self, bytes: u64) {
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

    fn written(&self, bytes: u64) {
        (**self).written(bytes);
    }
}

/// A handle to a connection that its server owns. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Handle(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    /// Zero: none.
    cause: AtomicU8,
    check: AtomicBool,
}

impl Handle {
    /// Sets the cause of the cuts that are found from now on, for an owner that is about to drop the connection. The
    /// first cause counts.
    pub fn set_cause(&self, cause: Cause) {
        let _ = self.0.cause.compare_exchange(0, cause as u8, Ordering::AcqRel, Ordering::Acquire);
    }

    /// The cause that was set, if any.
    pub fn cause(&self) -> Option<Cause> {
        Cause::from_code(self.0.cause.load(Ordering::Acquire))
    }

    /// Queries the transport for acknowledgements at the next read. Otherwise the ledger does so only after bytes were read
    /// or written, so that a server that polls an idle connection costs no system call.
    pub fn check_acknowledged(&self) {
        self.0.check.store(true, Ordering::Release);
    }

    #[cfg(feature = "tokio")]
    pub(crate) fn take_check(&self) -> bool {
        self.0.check.load(Ordering::Relaxed) && self.0.check.swap(false, Ordering::AcqRel)
    }
}
