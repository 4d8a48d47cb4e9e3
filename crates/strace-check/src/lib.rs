//! Reads the output of strace and lists the HTTP/1 responses that a server cut short.
//!
//! A server may respond `200`, promise fifteen million bytes, write what the socket accepts, and shut the connection down
//! with the rest still in its own buffer. No log shows it, but the system calls do:
//!
//! ```text
//! writev(7, [{iov_base="HTTP/1.1 200 OK\r\ncontent-type: i"..., iov_len=126}, {iov_base="\211PNG"..., iov_len=15000000}], 2) = 219264
//! writev(7, [{iov_base="\3\3\3\3"..., iov_len=14780862}], 1) = -1 EAGAIN (Resource temporarily unavailable)
//! shutdown(7, SHUT_WR) = 0
//! ```
//!
//! [`check`] reads such a trace as it comes, from a file or from a pipe while the program runs. strace prints 32 bytes of a
//! string by default (`-s 4096` prints more), so that a `Content-Length` is often not visible. Then the evidence is the
//! length of writes that the kernel had not accepted when the connection was closed.
//!
//! ```
//! let trace = "\
//! accept4(5, NULL, NULL, SOCK_CLOEXEC) = 7
//! recvfrom(7, \"GET /a HTTP/1.1\\r\\n\\r\\n\", 8192, 0, NULL, NULL) = 19
//! write(7, \"HTTP/1.1 200 OK\\r\\ncontent-length: 1\"..., 100100) = 60000
//! write(7, \"\"..., 40100) = -1 EAGAIN (Resource temporarily unavailable)
//! shutdown(7, SHUT_WR) = 0
//! close(7) = 0
//! ";
//! let mut cuts = Vec::new();
//! let summary = strace_check::check(trace.as_bytes(), &mut |cut| cuts.push(cut), &strace_check::Options::default())?;
//! assert_eq!((summary.cut, cuts[0].line, cuts[0].missing, cuts[0].exact), (1, 5, 40_100, false));
//! # Ok::<(), strace_check::Error>(())
//! ```
//!
//! # What it cannot detect
//!
//! * Bytes sent through `io_uring`, which makes no system calls for them, and TLS, whose bytes are not HTTP to strace.
//! * Bytes that the kernel accepted and discarded at a reset: the trace shows them as written.
//! * System calls that strace does not print. Needed are at least `-e trace=network,read,write,readv,writev,close`,
//!   better with `desc,process` (forks, `dup`, `sendfile`).
//! * A full socket, in a trace without failures (`-z`) of a running program: only `EAGAIN` shows it.
//! * A body without a visible length whose rest the server never wrote: such responses are not counted as whole, but as
//!   [`Summary::unseen`].
//!
//! If a trace as a whole lacks the evidence for a verdict, [`Summary::doubts`] gives the reasons, and [`Summary::is_blind`]
//! is true if the absence of cuts means nothing.

mod command;
mod doubt;
mod evidence;
mod framing;
mod line;
mod prefix;
mod report;
mod value;
mod watch;

use std::io::{self, BufRead};

pub use command::{Format, report};
pub use doubt::Doubt;
pub use report::{Cut, Ending, HEADER, Peer, Short, Summary};

/// Which processes share their descriptors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tables {
    /// By the `clone` and `fork` calls in the trace; without them all processes count as threads and share one table.
    #[default]
    Auto,
    /// Every pid has its own table, unless a `clone` in the trace says otherwise: for servers with worker processes that
    /// were forked before the trace began.
    PerProcess,
}

/// Options for reading a trace.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Options {
    /// Which processes share their descriptors.
    pub tables: Tables,
    /// Lines with more bytes than this are skipped and counted. They come from a very large `strace -s`.
    pub longest_line: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { tables: Tables::Auto, longest_line: 64 << 20 }
    }
}

/// Why a trace could not be read to its end.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// Reading failed.
    Read(io::Error),
    /// Writing the report failed.
    Write(io::Error),
    /// Too many open descriptors or unfinished calls at this line, or too much text in them: the input is not a
    /// trace.
    TooMuchOpen {
        /// The line, from 1.
        line: u64,
    },
    /// No line is the output of strace. Only [`report`] returns it; [`check`] returns a summary with nothing recognised.
    NotATrace {
        /// Lines read.
        lines: u64,
    },
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Read(_) => f.write_str("the trace cannot be read"),
            Self::Write(_) => f.write_str("the report cannot be written"),
            Self::TooMuchOpen { line } => {
                write!(f, "too many descriptors are open at line {line}: the input is not a trace")
            }
            Self::NotATrace { lines: 0 } => f.write_str(
                "the input is empty (expected the output of strace, for example from `strace -f -tt -o FILE -p PID`)",
            ),
            Self::NotATrace { lines } => write!(
                f,
                "none of {lines} lines is a system call (expected the output of strace, for example from \
                 `strace -f -tt -o FILE -p PID`)"
            ),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Read(error) | Self::Write(error) => Some(error),
            Self::TooMuchOpen { .. } | Self::NotATrace { .. } => None,
        }
    }
}

/// Reads a trace to its end and gives each cut to `sink` as soon as its connection ends.
///
/// Memory is bounded by the connections that are open in the trace and by [`Options::longest_line`].
///
/// # Errors
/// [`Error::Read`] when `reader` fails, [`Error::TooMuchOpen`] when the input cannot be a trace.
pub fn check(reader: impl BufRead, sink: &mut dyn FnMut(Cut), options: &Options) -> Result<Summary, Error> {
    follow(reader, sink, options, &|| false)
}

/// As [`check`], but stops early if `stopped` returns true.
fn follow(
    mut reader: impl BufRead,
    sink: &mut dyn FnMut(Cut),
    options: &Options,
    stopped: &dyn Fn() -> bool,
) -> Result<Summary, Error> {
    let mut watch = watch::Watch::new(options.tables, options.longest_line);
    let mut line = Vec::new();
    while !stopped() {
        line.clear();
        match next_line(&mut reader, &mut line, options.longest_line).map_err(Error::Read)? {
            Next::End => break,
            Next::TooLong => watch.leave_out(),
            Next::Line => watch.line(&line, sink)?,
        }
    }
    Ok(watch.end())
}

enum Next {
    Line,
    TooLong,
    End,
}

fn next_line(reader: &mut impl BufRead, line: &mut Vec<u8>, longest: usize) -> io::Result<Next> {
    let mut any = false;
    let mut too_long = false;
    loop {
        let buffer = match reader.fill_buf() {
            Ok(buffer) => buffer,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        if buffer.is_empty() {
            return Ok(match (any, too_long) {
                (false, _) => Next::End,
                (true, true) => Next::TooLong,
                (true, false) => Next::Line,
            });
        }
        any = true;
        let end = buffer.iter().position(|byte| *byte == b'\n');
        let part = end.unwrap_or(buffer.len());
        if line.len() + part > longest {
            too_long = true;
        } else if !too_long {
            line.extend_from_slice(&buffer[..part]);
        }
        let used = end.map_or(part, |end| end + 1);
        reader.consume(used);
        if end.is_some() {
            return Ok(if too_long { Next::TooLong } else { Next::Line });
        }
    }
}
