//! Sockets inherited from a supervisor, by the `sd_listen_fds(3)` convention.

#![allow(unsafe_code)]

use std::env;
use std::io;
use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};

use socket2::{SockRef, Socket};

/// The first inherited descriptor.
const FIRST: RawFd = 3;
/// More than this many is a mistake, not a configuration.
const LIMIT: RawFd = 64;

fn number(name: &str) -> io::Result<Option<i64>> {
    let Some(text) = env::var_os(name) else { return Ok(None) };
    let number = text.to_str().and_then(|text| text.parse().ok());
    number.map(Some).ok_or_else(|| {
        io::Error::new(io::ErrorKind::InvalidInput, format!("{name} is not a number: {text:?}"))
    })
}

/// Takes the sockets, in order. Empty if none are for this process, or if they were taken before.
pub(crate) fn take() -> io::Result<Vec<Socket>> {
    static TAKEN: AtomicBool = AtomicBool::new(false);
    let (Some(pid), Some(count)) = (number("LISTEN_PID")?, number("LISTEN_FDS")?) else {
        return Ok(Vec::new());
    };
    if pid != i64::from(std::process::id()) {
        return Ok(Vec::new());
    }
    let count = RawFd::try_from(count).ok().filter(|count| (0..=LIMIT).contains(count)).ok_or_else(|| {
        io::Error::new(io::ErrorKind::InvalidInput, format!("LISTEN_FDS={count} is out of range"))
    })?;
    if TAKEN.swap(true, Ordering::AcqRel) {
        return Ok(Vec::new());
    }
    (FIRST..FIRST + count)
        .map(|fd| {
            // SAFETY: F_GETFD reads a flag of a descriptor number and fails with EBADF if it is not open.
            if unsafe { libc::fcntl(fd, libc::F_GETFD) } < 0 {
                return Err(io::Error::last_os_error());
            }
            // SAFETY: it is open, see above, and borrowed for this query only.
            let borrowed = unsafe { BorrowedFd::borrow_raw(fd) };
            // Too high a count would include descriptors that this process has opened itself.
            let listens = SockRef::from(&borrowed).is_listener().unwrap_or(false);
            if !listens {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidInput,
                    format!("LISTEN_FDS={count}, but descriptor {fd} is not a listening socket"),
                ));
            }
            // SAFETY: the descriptor is open; the supervisor gave it to this process (LISTEN_PID), and
            // TAKEN ensures that it is taken only once, so that it has no other owner here.
            Ok(Socket::from(unsafe { OwnedFd::from_raw_fd(fd) }))
        })
        .collect()
}
