//! What a trace could have shown: options of strace can take away the very lines and bytes that a verdict needs.

use std::fmt;

use crate::report::Summary;

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
}

/// A trace of a program from its start has more calls than this before the first connection.
const FULL: u64 = 50;

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

/// What has been seen of the kinds of lines that matter.
#[derive(Clone, Debug, Default)]
pub(crate) struct Evidence {
    pub(crate) succeeded: u64,
    pub(crate) failed: u64,
    /// A program was started under strace, and mapped its memory.
    pub(crate) started: bool,
    pub(crate) mapped: bool,
    pub(crate) accepted: u64,
    /// Requests, or parts of them, that were read from what may be a connection.
    pub(crate) requests: u64,
    /// Writes to connections.
    pub(crate) sent: u64,
    /// `write` or `writev`, to whatever.
    pub(crate) plain_writes: u64,
    pub(crate) ends: u64,
    /// Descriptors given to something else with a response under way.
    pub(crate) reused: u64,
    pub(crate) strings: u64,
    pub(crate) empty_strings: u64,
    pub(crate) addresses: u64,
    pub(crate) cloned: bool,
    /// Lines say whose they are.
    pub(crate) named: bool,
}

impl Evidence {
    pub(crate) fn doubts(&self, summary: &Summary) -> Vec<Doubt> {
        let foreign = summary.tls + summary.http2;
        // A server may accept and say nothing, when it is not asked. Whether writes are in the trace at all, others show.
        let unanswered = self.requests > 0 || self.plain_writes == 0;
        let no_writes = self.accepted > 0 && self.sent == 0 && unanswered;
        let nothing = self.accepted == 0 && summary.responses() == 0 && self.sent == 0 && foreign == 0;
        // No program starts without a failure: the loader alone looks in vain for files.
        let only_successes =
            self.failed == 0 && self.succeeded >= FULL && self.started && self.mapped && self.accepted > 0;
        let no_strings = self.strings == 0 && self.empty_strings > 0;
        let no_buffers = self.addresses > 0;
        // Where nothing at all can be read, that is said already, and nothing is a matter of heads.
        let unseen = summary.unseen > 0 && !no_strings && !no_buffers;
        [
            (Doubt::NothingSeen, nothing),
            (Doubt::NoWrites, no_writes && foreign == 0),
            (Doubt::NoEnds, self.ends == 0 && (summary.open > 0 || self.reused > 0)),
            (Doubt::NoStrings, no_strings),
            (Doubt::NoBuffers, no_buffers),
            (Doubt::OnlyFailures, self.succeeded == 0 && self.failed > 1),
            (Doubt::OnlySuccesses, only_successes),
            (Doubt::NotFollowed, self.cloned && !self.named),
            (Doubt::Tls, summary.tls > 0),
            (Doubt::Http2, summary.http2 > 0),
            (Doubt::Unseen(summary.unseen), unseen),
        ]
        .into_iter()
        .filter_map(|(doubt, holds)| holds.then_some(doubt))
        .collect()
    }
}

impl Summary {
    /// A cut would not have shown in this trace, so that finding none says nothing.
    pub fn is_blind(&self) -> bool {
        self.doubts.iter().any(|doubt| match doubt {
            Doubt::NoWrites
            | Doubt::NoEnds
            | Doubt::NoStrings
            | Doubt::NoBuffers
            | Doubt::OnlyFailures
            | Doubt::OnlySuccesses => true,
            Doubt::NotFollowed | Doubt::Tls | Doubt::Http2 => self.responses() == 0,
            // A short or a blocked write would have shown.
            Doubt::Unseen(_) => false,
            Doubt::NothingSeen => false,
        })
    }
}
