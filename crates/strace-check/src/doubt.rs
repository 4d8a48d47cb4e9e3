//! Reasons why the absence of cuts in a trace may mean nothing.

use std::fmt;

/// Why the absence of cuts in a trace may mean nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Doubt {
    /// No connection is accepted, and no response is sent.
    NothingSeen,
    /// Connections are accepted, but no write to them is in the trace.
    NoWrites,
    /// No `close`, no `shutdown`, and no end of a process: the ends of connections are not in the trace.
    NoEnds,
    /// All strings are empty: `strace -s 0`.
    NoStrings,
    /// Buffers are shown as addresses: `-e raw` or `-e verbose=none`.
    NoBuffers,
    /// No call succeeds: `strace -Z`.
    OnlyFailures,
    /// No call fails, from the start of a program on: `strace -z`.
    OnlySuccesses,
    /// Threads or processes were started but not followed: `strace` without `-f`.
    NotFollowed,
    /// Connections use TLS: their bytes cannot be read.
    Tls,
    /// Connections use HTTP/2.
    Http2,
    /// This many responses have no visible length, and every write of them was accepted in full: bytes that the server never
    /// wrote cannot be detected. [`Summary::unseen`]
    Unseen(u64),
}

impl Doubt {
    /// The name in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::NothingSeen => "nothing_seen",
            Self::NoWrites => "no_writes",
            Self::NoEnds => "no_ends",
            Self::NoStrings => "no_strings",
            Self::NoBuffers => "no_buffers",
            Self::OnlyFailures => "only_failures",
            Self::OnlySuccesses => "only_successes",
            Self::NotFollowed => "not_followed",
            Self::Tls => "tls",
            Self::Http2 => "http2",
            Self::Unseen(_) => "unseen",
        }
    }

    /// Whether a trace with this many responses could not have shown a cut.
    pub(crate) fn hides_cuts(self, responses: u64) -> bool {
        match self {
            Self::NoWrites
            | Self::NoEnds
            | Self::NoStrings
            | Self::NoBuffers
            | Self::OnlyFailures
            | Self::OnlySuccesses => true,
            Self::NotFollowed | Self::Tls | Self::Http2 => responses == 0,
            // A short or blocked write would have been visible.
            Self::Unseen(_) | Self::NothingSeen => false,
        }
    }
}

/// The strace option recommended in the messages.
const CALLS: &str = "-e trace=network,desc,process,read,write";

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NothingSeen => write!(
                f,
                "no connection is accepted and no response is sent in this trace: check that it was the server's process, with -f, \
                 and that it received requests. Trace with at least {CALLS}"
            ),
            Self::NoWrites => write!(
                f,
                "connections are accepted, but no write to them is in this trace: without write, writev and \
                 sendmsg no cut can be detected (-e trace=network omits write and writev, io_uring makes no calls). \
                 Trace with {CALLS}"
            ),
            Self::NoEnds => write!(
                f,
                "neither close nor shutdown is in this trace, so that early ends of responses cannot be detected. Trace with \
                 {CALLS}"
            ),
            Self::NoStrings => f.write_str(
                "strings are empty in this trace (-s 0): HTTP cannot be recognised, nor a response to HEAD be \
                 distinguished from a cut one. Trace with -s 32 or more",
            ),
            Self::NoBuffers => f.write_str(
                "buffers are printed as addresses in this trace, so that their lengths cannot be read. Trace without -e raw and \
                 -e verbose",
            ),
            Self::OnlyFailures => f.write_str(
                "no call succeeds in this trace: trace without -Z and -e status=failed",
            ),
            Self::OnlySuccesses => f.write_str(
                "no call fails in this trace: a full socket is only visible as a failure (EAGAIN). Trace without -z and -e status",
            ),
            Self::NotFollowed => f.write_str(
                "threads or processes are started in this trace but not followed: trace with -f",
            ),
            Self::Tls => f.write_str(
                "connections use TLS, and their responses cannot be read: trace the server behind the TLS proxy, or connect without TLS",
            ),
            Self::Http2 => f.write_str("connections use HTTP/2, which is not supported"),
            Self::Unseen(responses) => write!(
                f,
                "of {responses} responses only the length of each write could be checked: the promised length is \
                 not in the trace, and bytes that were never written cannot be detected. Trace with -s 4096 or more, so \
                 that heads are visible"
            ),
        }
    }
}
