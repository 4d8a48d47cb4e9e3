//! Reads the output of strace and lists the HTTP/1 responses that a server cut short.
//!
//! A server may answer `200`, promise fifteen million bytes, write what the socket takes, and shut the connection down with
//! the rest still in a buffer of its own. No log says so. Its system calls do:
//!
//! ```text
//! writev(7, [{iov_base="HTTP/1.1 200 OK\r\ncontent-type: i"..., iov_len=126}, {iov_base="\211PNG"..., iov_len=15000000}], 2) = 219264
//! writev(7, [{iov_base="\3\3\3\3"..., iov_len=14780862}], 1) = -1 EAGAIN (Resource temporarily unavailable)
//! shutdown(7, SHUT_WR) = 0
//! ```
//!
//! [`check`] reads such a trace as it comes, from a file or from a pipe while the program runs. strace prints 32 bytes of a
//! string unless it is told otherwise (`-s 4096`), so a `Content-Length` is often not visible. Then the lengths that
//! the server offered to the kernel, and that the kernel had not taken when the connection was closed, are the evidence.
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
//! # What it cannot see
//!
//! * Bytes sent through `io_uring`, which makes no system calls for them, and TLS, whose bytes are not HTTP to strace.
//! * What the kernel took and threw away at a reset: the trace shows those bytes as written.
//! * System calls that strace was told to leave out. Wanted are at least `-e trace=network,read,write,readv,writev,close`,
//!   better with `desc,process` (forks, `dup`, `sendfile`).
//! * A full socket, in a trace without failures (`-z`) of a program that ran before: only `EAGAIN` tells of it.
//! * A body without a visible length of which the server never offered the rest to the kernel: such responses are not
//!   called whole, but [`Summary::unseen`].
//!
//! Where a trace as a whole lacks what a verdict needs, [`Summary::doubts`] says what, and [`Summary::is_blind`] that
//! nothing found means nothing.

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
    /// As the `clone` and `fork` calls in the trace say; where they are missing, as threads: all share one table.
    #[default]
    Auto,
    /// Every pid has its own, unless a `clone` in the trace says otherwise: for servers with worker processes that were
    /// forked before the trace began.
    PerProcess,
}

/// How to read a trace.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Options {
    /// Which processes share their descriptors.
    pub tables: Tables,
    /// Lines with more bytes than this are left out and counted. They come from a very large `strace -s`.
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
    /// More descriptors or calls are open at this line than any real process has, or calls with more text than any real trace:
    /// this is no trace.
    TooMuchOpen {
        /// The line, from 1.
        line: u64,
    },
    /// Not one line is strace's. Only [`report`] says so; [`check`] gives a summary with nothing recognised.
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
                write!(f, "too many descriptors are open at line {line}: this is no trace")
            }
            Self::NotATrace { lines: 0 } => f.write_str(
                "this is empty: expected is the output of strace, as from `strace -f -tt -o FILE -p PID`",
            ),
            Self::NotATrace { lines } => write!(
                f,
                "none of {lines} lines is a system call: expected is the output of strace, as from \
                 `strace -f -tt -o FILE -p PID`"
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

/// As [`check`], and stops early when `stopped` says so.
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
