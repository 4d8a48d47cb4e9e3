//! The other end of a connection.

use std::net::SocketAddr;

/// The other end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Peer {
    /// A TCP client.
    Tcp(SocketAddr),
    /// A process on this machine, as far as the kernel identifies it.
    Unix {
        /// Its process id when it connected.
        pid: Option<i32>,
        /// The user it ran as when it connected.
        uid: Option<u32>,
    },
    /// A transport that is not a socket.
    Other,
}

impl std::fmt::Display for Peer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix { pid: Some(pid), .. } => write!(f, "unix:pid={pid}"),
            Self::Unix { .. } => f.write_str("unix"),
            Self::Other => f.write_str("other"),
        }
    }
}
