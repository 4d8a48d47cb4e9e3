//! What is reported: the cuts, and a summary; for people and as JSON.

use std::fmt;
use std::time::Duration;

use serde_json::{Value, json};

use crate::doubt::Doubt;

/// What ended the response before its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Ending {
    /// `shutdown` of the writing side.
    Shutdown,
    /// The last `close` of the descriptor.
    Close,
    /// The descriptor was given to something else; its close is not in the trace.
    Reused,
    /// The process ended.
    Exit,
}

impl Ending {
    /// A word for tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Shutdown => "shutdown",
            Self::Close => "close",
            Self::Reused => "reused",
            Self::Exit => "exit",
        }
    }
}

/// What the peer had done by then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Peer {
    /// Nothing in the trace says that it was not waiting for the rest: the server lost the rest itself.
    Waiting,
    /// It had shut its writing side down, or closed.
    Ended,
    /// It was gone: a call failed with `EPIPE`, `ECONNRESET` or the like, or `epoll` or `poll` reported a hang-up.
    Gone,
}

impl Peer {
    /// A word for tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Ended => "ended",
            Self::Gone => "gone",
        }
    }
}

/// The last write of a response that the kernel did not take in full.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Short {
    /// Line number in the trace, from 1.
    pub line: u64,
    /// Bytes that the server offered.
    pub offered: u64,
    /// Bytes that the kernel took: none with `EAGAIN`.
    pub taken: u64,
}

/// A response that was cut short.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Cut {
    /// Line number of the call that ended it, from 1.
    pub line: u64,
    /// The time printed on that line, as it stands there.
    pub time: Option<String>,
    /// Who made that call, if the trace says so.
    pub pid: Option<u32>,
    /// The descriptor.
    pub fd: i64,
    /// What `-y` or `-yy` printed about the descriptor.
    pub socket: Option<String>,
    /// The ordinal of the response on its connection, from 1.
    pub response: u64,
    /// The method of its request, if it was visible.
    pub method: Option<String>,
    /// Its status, if it was visible.
    pub status: Option<u16>,
    /// Its `Content-Length` in bytes, if it was visible.
    pub promised: Option<u64>,
    /// Whether the body is chunked, as far as was visible.
    pub chunked: bool,
    /// Body bytes that the kernel took (chunk framing included); if the end of the head was not visible, all bytes.
    pub sent: u64,
    /// Bytes that are missing.
    pub missing: u64,
    /// `missing` follows from the Content-Length. If not, it is what the server offered and the kernel did not
    /// take: at least that much is missing.
    pub exact: bool,
    /// What ended it.
    pub ending: Ending,
    /// What the peer had done by then.
    pub peer: Peer,
    /// The last write that was not taken in full, if there was one.
    pub short: Option<Short>,
    /// From that write to the end.
    pub after: Option<Duration>,
}

/// Columns of the table that [`Cut`] prints as rows.
pub const HEADER: &str = "    line  time             pid      fd    status  promised     sent         missing       ended by  after         peer";

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let or = |text: Option<String>| text.unwrap_or_else(|| "?".to_owned());
        let promised = match (self.promised, self.chunked) {
            (Some(promised), _) => promised.to_string(),
            (None, true) => "chunked".to_owned(),
            // The server offered at least this much.
            (None, false) => format!(">={}", self.sent + self.missing),
        };
        let missing = if self.exact { self.missing.to_string() } else { format!(">={}", self.missing) };
        let after = self.after.map(|after| format!("{:.6} s", after.as_secs_f64()));
        write!(
            f,
            "{:>8}  {:<16} {:<8} {:<5} {:<7} {:<12} {:<12} {:<13} {:<9} {:<13} {}",
            self.line,
            self.time.as_deref().unwrap_or("-"),
            self.pid.map_or_else(|| "-".to_owned(), |pid| pid.to_string()),
            self.fd,
            or(self.status.map(|status| status.to_string())),
            promised,
            self.sent,
            missing,
            self.ending.name(),
            after.as_deref().unwrap_or("-"),
            self.peer.name(),
        )?;
        if let Some(short) = &self.short {
            write!(f, "\n          line {}: offered {}, taken {}", short.line, short.offered, short.taken)?;
        }
        Ok(())
    }
}

impl Cut {
    /// One JSON object, for one line. Times are seconds, sizes bytes; what is not known is null.
    pub fn to_json(&self) -> Value {
        json!({
            "line": self.line,
            "time": self.time,
            "pid": self.pid,
            "fd": self.fd,
            "socket": self.socket,
            "response": self.response,
            "method": self.method,
            "status": self.status,
            "promised": self.promised,
            "chunked": self.chunked,
            "sent": self.sent,
            "missing": self.missing,
            "exact": self.exact,
            "ending": self.ending.name(),
            "peer": self.peer.name(),
            "last_short_write": self.short.as_ref().map(|short| json!({
                "line": short.line,
                "offered": short.offered,
                "taken": short.taken,
            })),
            "after_seconds": self.after.map(|after| after.as_secs_f64()),
        })
    }
}

/// The whole trace in numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Summary {
    /// Lines read.
    pub lines: u64,
    /// Lines that were longer than [`Options::longest_line`](crate::Options::longest_line) and left out.
    pub lines_left_out: u64,
    /// Connections on which a response was seen.
    pub connections: u64,
    /// Responses that came to their end: to the length that they promised, or, with that out of sight, to the end of what
    /// the kernel had not taken at once.
    pub whole: u64,
    /// Responses of which every write was taken as it was offered, and whose promised length is out of sight: they may be
    /// whole, or the rest was never offered.
    pub unseen: u64,
    /// Responses that were cut.
    pub cut: u64,
    /// Those of them whose peer had gone away before, which is no fault of the server.
    pub peer_gone: u64,
    /// Responses still under way when the trace ended.
    pub open: u64,
    /// Connections whose beginning is not in the trace and that ended with bytes left: HTTP or not cannot be told.
    pub unjudged: u64,
    /// Connections whose bytes are TLS.
    pub tls: u64,
    /// Connections whose bytes are HTTP/2.
    pub http2: u64,
    /// Lines that strace has written: calls, signals, ends of processes.
    pub recognised: u64,
    /// Why the absence of cuts may mean nothing.
    pub doubts: Vec<Doubt>,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let gone = match self.peer_gone {
            0 => String::new(),
            gone => format!(" ({gone} after the peer was gone)"),
        };
        let unseen = match self.unseen {
            0 => String::new(),
            unseen => format!(" {unseen} unseen (taken as offered, promised length not shown),"),
        };
        write!(
            f,
            "{} cut{gone}, {} whole,{unseen} {} under way at the end, on {} connections in {} lines",
            self.cut, self.whole, self.open, self.connections, self.lines
        )?;
        if self.unjudged > 0 {
            write!(f, "; {} connections began before the trace and ended with bytes left", self.unjudged)?;
        }
        if self.lines_left_out > 0 {
            write!(f, "; {} lines were too long and left out", self.lines_left_out)?;
        }
        Ok(())
    }
}

impl Summary {
    /// Responses of which anything is told.
    pub(crate) fn responses(&self) -> u64 {
        self.whole + self.unseen + self.cut + self.open
    }

    /// One JSON object.
    pub fn to_json(&self) -> Value {
        json!({ "summary": {
            "lines": self.lines,
            "lines_left_out": self.lines_left_out,
            "connections": self.connections,
            "whole": self.whole,
            "unseen": self.unseen,
            "cut": self.cut,
            "open": self.open,
            "unjudged": self.unjudged,
            "peer_gone": self.peer_gone,
            "tls": self.tls,
            "http2": self.http2,
            "warnings": self
                .doubts
                .iter()
                .map(|doubt| json!({ "name": doubt.name(), "text": doubt.to_string() }))
                .collect::<Vec<_>>(),
        }})
    }

    /// A cut would not have shown in this trace, so that finding none means nothing.
    pub fn is_blind(&self) -> bool {
        self.doubts.iter().any(|doubt| doubt.hides_cuts(self.responses()))
    }

    /// The exit status that belongs to it: 1 when a response was cut, 2 when none was and the trace could not have shown
    /// it, else 0. (2 is also for a trace that cannot be read.)
    pub fn exit_status(&self) -> u8 {
        match (self.cut, self.is_blind()) {
            (0, true) => 2,
            (0, false) => 0,
            _ => 1,
        }
    }
}
