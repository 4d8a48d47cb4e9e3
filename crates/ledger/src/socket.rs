//! What only the socket knows: how much it has accepted and not yet got across, whether unread input
//! waits, whether the peer is gone; and how to make the next `close` a reset.
//!
//! Linux. Measured behaviour that the rest of the crate relies on:
//!
//! * **TCP**: `SIOCOUTQ` counts the bytes the peer's kernel has not acknowledged, plus one for a FIN under
//!   way. `close` with unread input, or input that arrives after `close`, makes the kernel send a reset
//!   and throw that queue away. `SO_LINGER` with zero seconds makes any `close` a reset.
//! * **Unix**: what `write` accepted *is* in the peer's receive queue; it stays readable after our close.
//!   There is no way to reset: the peer reads `ECONNRESET` (after the data) only if we close with unread
//!   input of its own, and an end of file otherwise. So the strongest signal that is always there is
//!   to close without completing the framing: fewer bytes than Content-Length, or no last chunk.

#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

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

fn check(result: libc::c_int) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// The kind of a descriptor.
pub fn kind(fd: BorrowedFd<'_>) -> Kind {
    let mut domain: libc::c_int = 0;
    let mut size = libc::socklen_t::try_from(size_of::<libc::c_int>()).unwrap_or(4);
    // SAFETY: `domain` and `size` are live for the call and `size` is the size of `domain`.
    let result = unsafe {
        libc::getsockopt(
            fd.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_DOMAIN,
            (&raw mut domain).cast(),
            &raw mut size,
        )
    };
    match (check(result), domain) {
        (Ok(()), libc::AF_INET | libc::AF_INET6) => Kind::Tcp,
        (Ok(()), libc::AF_UNIX) => Kind::Unix,
        _ => Kind::Other,
    }
}

fn count(fd: BorrowedFd<'_>, request: libc::Ioctl) -> io::Result<u64> {
    let mut value: libc::c_int = 0;
    // SAFETY: both requests used here write one int through the pointer, which is live for the call.
    check(unsafe { libc::ioctl(fd.as_raw_fd(), request, &raw mut value) })?;
    Ok(u64::try_from(value).unwrap_or(0))
}

/// Bytes the kernel accepted and the peer's kernel has not acknowledged (`SIOCOUTQ`). On a TCP socket
/// whose writing side is shut down a FIN that is not acknowledged counts as one byte. On a Unix socket
/// the figure includes the kernel's bookkeeping and says only whether everything has been read.
///
/// # Errors
/// What the system call returns; `ENOTTY` for a descriptor that is no socket.
pub fn queued(fd: BorrowedFd<'_>) -> io::Result<u64> {
    // SIOCOUTQ and TIOCOUTQ are the same request; libc names only the second.
    count(fd, libc::TIOCOUTQ)
}

/// Bytes of input that wait in the kernel and were not read (`FIONREAD`).
///
/// # Errors
/// What the system call returns.
pub fn unread(fd: BorrowedFd<'_>) -> io::Result<u64> {
    count(fd, libc::FIONREAD)
}

/// Makes the next close of a TCP socket a reset: the peer reads `ECONNRESET` and no end of file, and
/// what is still queued is thrown away. No effect on other sockets.
///
/// # Errors
/// What the system call returns.
pub fn reset_on_close(fd: BorrowedFd<'_>) -> io::Result<()> {
    let linger = libc::linger { l_onoff: 1, l_linger: 0 };
    let size = libc::socklen_t::try_from(size_of::<libc::linger>()).unwrap_or(8);
    // SAFETY: the pointer and size describe `linger`, which is live for the call.
    check(unsafe {
        libc::setsockopt(fd.as_raw_fd(), libc::SOL_SOCKET, libc::SO_LINGER, (&raw const linger).cast(), size)
    })
}

/// Whether the peer is gone for good: a reset, or a Unix peer that closed both directions. A peer that
/// shut down only its writing side is *not* gone. A TCP peer that closed without a reset cannot be told
/// from that until it is written to. Does not block.
pub fn hung_up(fd: BorrowedFd<'_>) -> bool {
    happened(fd, libc::POLLHUP | libc::POLLERR)
}

/// Whether the connection has failed, as by a reset: what is still queued will not get across. Other than
/// [`hung_up`] it stays `false` for a peer that only finished sending, even when our own writing side is shut
/// down as well (Linux calls that state `POLLHUP`, and the peer may still be reading). Does not block, and
/// leaves the error to the next call that reads or writes.
pub fn failed(fd: BorrowedFd<'_>) -> bool {
    happened(fd, libc::POLLERR)
}

fn happened(fd: BorrowedFd<'_>, events: libc::c_short) -> bool {
    let mut poll = libc::pollfd { fd: fd.as_raw_fd(), events: 0, revents: 0 };
    // SAFETY: one pollfd, live for the call; a timeout of zero returns at once.
    let ready = unsafe { libc::poll(&raw mut poll, 1, 0) };
    ready > 0 && poll.revents & events != 0
}

/// What a ledger asks the transport under a stream. Implement it to look through a wrapper (TLS, a
/// rate limiter) to the socket below.
pub trait Probe<S: ?Sized>: Send + Sync {
    /// Bytes accepted and not acknowledged by the peer, or `None` where accepted is received.
    fn queued(&self, stream: &S) -> Option<u64>;
    /// Whether closing now would leave input unread.
    fn unread(&self, stream: &S) -> bool;
    /// Makes the next close a reset. `false` if there is no such thing here.
    fn reset_on_close(&self, stream: &S) -> bool;
    /// Whether the connection has failed, so that what is queued will not get across. A transport that cannot
    /// tell says `false`, and is then given up when nothing moves for too long.
    fn failed(&self, stream: &S) -> bool {
        let _ = stream;
        false
    }
}

/// For streams about which nothing can be asked: accepted counts as received.
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

/// The probe that suits a socket.
pub fn probe_for<S: AsFd>(stream: &S) -> &'static dyn Probe<S> {
    match kind(stream.as_fd()) {
        Kind::Tcp => &TcpProbe,
        Kind::Unix => &UnixProbe,
        Kind::Other => &NoProbe,
    }
}
