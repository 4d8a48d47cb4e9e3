//! The report: the cuts and a summary, as text and as JSON.

use std::fmt;
use std::time::Duration;

use serde_json::{Value, json};

use crate::doubt::Doubt;

/// The event that ended a response early.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Ending {
    /// `shutdown` of the writing side.
    Shutdown,
    /// The last `close` of the descriptor.
    Close,
    /// The descriptor was reused; its close is not in the trace.
    Reused,
    /// The process ended.
    Exit,
}

impl Ending {
    /// The name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Shutdown => "shutdown",
            Self::Close => "close",
            Self::Reused => "reused",
            Self::Exit => "exit",
        }
    }
}

/// The state of the peer at that time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Peer {
    /// As far as the trace shows, it was waiting for the rest: the server lost the rest itself.
    Waiting,
    /// It had shut down its writing side, or closed.
    Ended,
    /// It had left: a call failed with `EPIPE`, `ECONNRESET` or similar, or `epoll` or `poll` reported a hang-up.
    Gone,
}

impl Peer {
    /// The name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Ended => "ended",
            Self::Gone => "gone",
        }
    }
}

/// The last write of a response that the kernel did not accept in full.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Short {
    /// Line number in the trace, from 1.
    pub line: u64,
    /// Bytes that the server offered.
    pub offered: u64,
    /// Bytes that the kernel accepted: none with `EAGAIN`.
    pub taken: u64,
}

/// A response that was cut short.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Cut {
    /// Line number of the call that ended it, from 1.
    pub line: u64,
    /// The time on that line, as printed.
    pub time: Option<String>,
    /// The process that made that call, if the trace has it.
    pub pid: Option<u32>,
    /// The descriptor.
    pub fd: i64,
    /// The annotation of the descriptor by `-y` or `-yy`.
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
    /// Body bytes that the kernel accepted (including chunk framing); all bytes if the end of the head was not visible.
    pub sent: u64,
    /// Bytes that are missing.
    pub missing: u64,
    /// `missing` is computed from the Content-Length. Otherwise it is the part of a write that the kernel did not
    /// accept: at least that much is missing.
    pub exact: bool,
    /// The event that ended it.
    pub ending: Ending,
    /// The state of the peer at that time.
    pub peer: Peer,
    /// The last write that was not accepted in full, if any.
    pub short: Option<Short>,
    /// The time from that write to the end.
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
    /// One JSON object, for one line. Times are seconds, sizes bytes; unknown values are null.
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

/// The figures of a trace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Summary {
    /// Lines read.
    pub lines: u64,
    /// Lines longer than [`Options::longest_line`](crate::Options::longest_line), which were skipped.
    pub lines_left_out: u64,
    /// Connections on which a response was seen.
    pub connections: u64,
    /// Complete responses: up to the promised length or, if that is not visible, up to the end of the bytes that
    /// the kernel had refused at first.
    pub whole: u64,
    /// Responses whose writes were all accepted in full and whose promised length is not visible: they may be
    /// whole, or the rest was never written.
    pub unseen: u64,
    /// Responses that were cut.
    pub cut: u64,
    /// Cut responses whose peer had left before, which is not the server's fault.
    pub peer_gone: u64,
    /// Responses in progress when the trace ended.
    pub open: u64,
    /// Connections whose beginning is not in the trace and that ended with bytes left: they may not be HTTP.
    pub unjudged: u64,
    /// Connections whose bytes are TLS.
    pub tls: u64,
    /// Connections whose bytes are HTTP/2.
    pub http2: u64,
    /// Lines written by strace: calls, signals, exits of processes.
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
    /// Number of counted responses.
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

    /// Whether this trace could not have shown a cut, so that finding none means nothing.
    pub fn is_blind(&self) -> bool {
        self.doubts.iter().any(|doubt| doubt.hides_cuts(self.responses()))
    }

    /// The exit status: 1 if a response was cut, 2 if none was and the trace could not have shown
    /// one, else 0. (2 is also for an unreadable trace.)
    pub fn exit_status(&self) -> u8 {
        match (self.cut, self.is_blind()) {
            (0, true) => 2,
            (0, false) => 0,
            _ => 1,
        }
    }
}
