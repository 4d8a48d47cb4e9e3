//! Reasons why the absence of cuts in a trace may mean nothing.

use std::fmt;

/// Why the absence of cuts in a trace may mean nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Doubt {
    /// No connection is accepted, and no response is sent.
    NothingSeen,
    /// Connections are accepted, and no write to any of them is in the trace.
    NoWrites,
    /// No `close`, no `shutdown`, and no end of a process: the ends of connections were left out.
    NoEnds,
    /// Strings are empty throughout: `strace -s 0`.
    NoStrings,
    /// Buffers are shown as addresses: `-e raw` or `-e verbose=none`.
    NoBuffers,
    /// No call succeeds: `strace -Z`.
    OnlyFailures,
    /// No call fails, from the start of a program on: `strace -z`.
    OnlySuccesses,
    /// Threads or processes were started and none was followed: `strace` without `-f`.
    NotFollowed,
    /// Connections speak TLS: their bytes cannot be read.
    Tls,
    /// Connections speak HTTP/2.
    Http2,
    /// Of this many responses the promised length is out of sight, and every write was taken as it was offered: a rest that
    /// was never offered would not show. [`Summary::unseen`]
    Unseen(u64),
}

impl Doubt {
    /// A word for programs.
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

    /// A cut would not have shown in the trace, of which so many responses are known.
    pub(crate) fn hides_cuts(self, responses: u64) -> bool {
        match self {
            Self::NoWrites
            | Self::NoEnds
            | Self::NoStrings
            | Self::NoBuffers
            | Self::OnlyFailures
            | Self::OnlySuccesses => true,
            Self::NotFollowed | Self::Tls | Self::Http2 => responses == 0,
            // A short or a blocked write would have shown.
            Self::Unseen(_) | Self::NothingSeen => false,
        }
    }
}

/// What to give to strace when it is left to choose, named in every advice.
const CALLS: &str = "-e trace=network,desc,process,read,write";

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NothingSeen => write!(
                f,
                "no connection is accepted and no response is sent in this trace: was it the server's process, with -f, \
                 and was it asked for something meanwhile? Wanted is at least {CALLS}"
            ),
            Self::NoWrites => write!(
                f,
                "connections are accepted, and no write to any of them is in this trace: without write, writev and \
                 sendmsg no cut can be seen (-e trace=network leaves write and writev out, io_uring makes no calls). \
                 Trace with {CALLS}"
            ),
            Self::NoEnds => write!(
                f,
                "neither close nor shutdown is in this trace: it does not show which responses ended early. Trace with \
                 {CALLS}"
            ),
            Self::NoStrings => f.write_str(
                "strings are empty in this trace (-s 0): HTTP cannot be told from anything else, nor an answer to HEAD \
                 from a cut one. Trace with -s 32 or more",
            ),
            Self::NoBuffers => f.write_str(
                "buffers are shown as addresses in this trace: what was offered cannot be read. Trace without -e raw and \
                 -e verbose",
            ),
            Self::OnlyFailures => f.write_str(
                "no call succeeds in this trace: trace without -Z and -e status=failed",
            ),
            Self::OnlySuccesses => f.write_str(
                "no call fails in this trace: a full socket is told by a failure (EAGAIN). Trace without -z and -e status",
            ),
            Self::NotFollowed => f.write_str(
                "threads or processes are started in this trace and none of them is followed: trace with -f",
            ),
            Self::Tls => f.write_str(
                "connections speak TLS, and their answers cannot be read: trace the server behind, or ask it without TLS",
            ),
            Self::Http2 => f.write_str("connections speak HTTP/2, which is not read here"),
            Self::Unseen(responses) => write!(
                f,
                "of {responses} responses only what each write offered could be checked: the length that they promised is \
                 out of sight, and a rest that was never offered would not show. Trace with -s 4096 or more, so that heads \
                 show"
            ),
        }
    }
}
