//! Socket queries: the bytes accepted and not acknowledged, unread input, a peer that has left; and how to make the next
//! `close` a reset.
//!
//! Linux. Measured behaviour that the rest of the crate relies on:
//!
//! * **TCP**: `SIOCOUTQ` counts the bytes the peer's kernel has not acknowledged, plus one for a FIN under
//!   way. `close` with unread input, or input that arrives after `close`, makes the kernel send a reset
//!   and discard that queue. `SO_LINGER` with zero seconds makes any `close` a reset.
//! * **Unix**: what `write` accepted *is* in the peer's receive queue; it stays readable after our close.
//!   There is no way to reset: the peer reads `ECONNRESET` (after the data) only if we close with unread
//!   input of its own, and an end of file otherwise. The only signal that always works is
//!   therefore to close without completing the framing: fewer bytes than Content-Length, or no last chunk.

#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::net::{AddressFamily, sockopt};

/// Kind of socket, as far as closing is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// TCP over IPv4 or IPv6: accepted is not received.
    Tcp,
    /// A Unix stream socket: accepted is in the peer's queue.
    Unix,
    /// Not a socket, or another family.
    Other,
}

/// The kind of a descriptor.
pub fn kind(fd: BorrowedFd<'_>) -> Kind {
    match sockopt::socket_domain(fd) {
        Ok(AddressFamily::INET | AddressFamily::INET6) => Kind::Tcp,
        Ok(AddressFamily::UNIX) => Kind::Unix,
        _ => Kind::Other,
    }
}

/// Bytes the kernel accepted and the peer's kernel has not acknowledged (`SIOCOUTQ`). On a TCP socket
/// whose writing side is shut down, a FIN that is not acknowledged counts as one byte. On a Unix socket
/// the figure includes the kernel's overhead; zero means that the peer has read everything.
///
/// # Errors
/// The error of the system call; `ENOTTY` for a descriptor that is not a socket.
pub fn queued(fd: BorrowedFd<'_>) -> io::Result<u64> {
    // SIOCOUTQ and TIOCOUTQ are the same request. rustix has no function for it.
    const SIOCOUTQ: rustix::ioctl::Opcode = libc::TIOCOUTQ as rustix::ioctl::Opcode;
    // SAFETY: SIOCOUTQ writes one int, which is the type of the getter's output.
    let queued: libc::c_int =
        unsafe { rustix::ioctl::ioctl(fd, rustix::ioctl::Getter::<SIOCOUTQ, libc::c_int>::new()) }?;
    Ok(u64::try_from(queued).unwrap_or(0))
}

/// Bytes of unread input in the kernel (`FIONREAD`).
///
/// # Errors
/// The error of the system call.
pub fn unread(fd: BorrowedFd<'_>) -> io::Result<u64> {
    Ok(rustix::io::ioctl_fionread(fd)?)
}

/// Makes the next close of a TCP socket a reset: the peer reads `ECONNRESET` instead of an end of file, and
/// the queued bytes are discarded. No effect on other sockets.
///
/// # Errors
/// The error of the system call.
pub fn reset_on_close(fd: BorrowedFd<'_>) -> io::Result<()> {
    Ok(sockopt::set_socket_linger(fd, Some(Duration::ZERO))?)
}

/// Whether the peer has left for good: a reset, or a Unix peer that closed both directions. A peer that
/// shut down only its writing side has *not* left. A TCP peer that closed without a reset looks the same
/// as one that shut down its writing side, until it is written to. Does not block.
pub fn hung_up(fd: BorrowedFd<'_>) -> bool {
    happened(fd, PollFlags::HUP | PollFlags::ERR)
}

/// Whether the connection has failed, as by a reset: the queued bytes will not arrive. Unlike
/// [`hung_up`] it stays `false` for a peer that only shut down its writing side, even when our own writing side is shut
/// down as well (Linux calls that state `POLLHUP`, and the peer may still be reading). Does not block, and
/// leaves the error to the next call that reads or writes.
pub fn failed(fd: BorrowedFd<'_>) -> bool {
    happened(fd, PollFlags::ERR)
}

fn happened(fd: BorrowedFd<'_>, events: PollFlags) -> bool {
    const AT_ONCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };
    let mut poll = [PollFd::from_borrowed_fd(fd, PollFlags::empty())];
    rustix::event::poll(&mut poll, Some(&AT_ONCE)).is_ok_and(|ready| ready > 0)
        && poll[0].revents().intersects(events)
}

/// A ledger's queries to the transport under a stream. Implement it to reach the socket under a wrapper (TLS, a
/// rate limiter).
pub trait Probe<S: ?Sized>: Send + Sync {
    /// Bytes accepted and not acknowledged by the peer, or `None` where accepted is received.
    fn queued(&self, stream: &S) -> Option<u64>;
    /// Whether closing now would leave input unread.
    fn unread(&self, stream: &S) -> bool;
    /// Makes the next close a reset. `false` if the transport has no resets.
    fn reset_on_close(&self, stream: &S) -> bool;
    /// Whether the connection has failed, so that the queued bytes will not arrive. A transport that does not know returns
    /// `false`; the ledger then closes it when its queue makes no progress.
    fn failed(&self, stream: &S) -> bool {
        let _ = stream;
        false
    }
}

/// For streams without a socket: accepted counts as received.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoProbe;

impl<S: ?Sized> Probe<S> for NoProbe {
    fn queued(&self, _: &S) -> Option<u64> {
        None
    }

    fn unread(&self, _: &S) -> bool {
        false
    }

    fn reset_on_close(&self, _: &S) -> bool {
        false
    }
}

/// For TCP sockets.
#[derive(Clone, Copy, Debug, Default)]
pub struct TcpProbe;

impl<S: AsFd> Probe<S> for TcpProbe {
    fn queued(&self, stream: &S) -> Option<u64> {
        queued(stream.as_fd()).ok()
    }

    fn unread(&self, stream: &S) -> bool {
        unread(stream.as_fd()).is_ok_and(|bytes| bytes > 0)
    }

    fn reset_on_close(&self, stream: &S) -> bool {
        reset_on_close(stream.as_fd()).is_ok()
    }

    fn failed(&self, stream: &S) -> bool {
        failed(stream.as_fd())
    }
}

/// For Unix stream sockets: accepted is received, and there is no reset.
#[derive(Clone, Copy, Debug, Default)]
pub struct UnixProbe;

impl<S: AsFd> Probe<S> for UnixProbe {
    fn queued(&self, _: &S) -> Option<u64> {
        None
    }

    fn unread(&self, stream: &S) -> bool {
        unread(stream.as_fd()).is_ok_and(|bytes| bytes > 0)
    }

    fn reset_on_close(&self, _: &S) -> bool {
        false
    }
}

/// The probe for the kind of a socket.
pub fn probe_for<S: AsFd>(stream: &S) -> &'static dyn Probe<S> {
    match kind(stream.as_fd()) {
        Kind::Tcp => &TcpProbe,
        Kind::Unix => &UnixProbe,
        Kind::Other => &NoProbe,
    }
}
