//! One connection: its output, and the state of its peer.

use super::Now;
use super::file::File;
use super::offer::{moved, piece};
use crate::framing::{Outgoing, Piece, begins_response};
use crate::line::Outcome;
use crate::report::{Peer, Short};

/// Errors that mean that the peer has left.
const GONE: [&str; 8] = [
    "EPIPE",
    "ECONNRESET",
    "ENOTCONN",
    "ETIMEDOUT",
    "ECONNABORTED",
    "EHOSTUNREACH",
    "ENETUNREACH",
    "ESHUTDOWN",
];

/// The detected protocol, if it is not HTTP/1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Foreign {
    Tls,
    Http2,
}

#[derive(Debug)]
pub(super) struct Connection {
    pub(super) outgoing: Outgoing,
    pub(super) about: Option<String>,
    pub(super) accepted: bool,
    /// Opened by `connect`: its output is requests.
    pub(super) is_client: bool,
    /// It was used in calls for sockets only.
    pub(super) socket: bool,
    /// Number of descriptors that refer to it.
    pub(super) references: u32,
    /// No byte was written yet.
    pub(super) fresh: bool,
    pub(super) peer: Peer,
    pub(super) short: Option<(Short, Option<u64>)>,
    /// A write that has not returned yet.
    pub(super) in_flight: Option<Vec<Piece>>,
    /// The writing side is shut down, and the verdict was given.
    pub(super) judged: bool,
    pub(super) foreign: Option<Foreign>,
    /// Its state as the source of a `sendfile`.
    pub(super) file: File,
    /// Its `epoll` registrations, which are removed with it.
    pub(super) registered: Vec<super::ready::Key>,
}

impl Connection {
    pub(super) fn new(accepted: bool, about: Option<String>) -> Self {
        Self {
            outgoing: Outgoing::new(),
            about,
            accepted,
            is_client: false,
            socket: accepted,
            references: 1,
            fresh: true,
            peer: Peer::Waiting,
            short: None,
            in_flight: None,
            judged: false,
            foreign: None,
            file: File::default(),
            registered: Vec::new(),
        }
    }

    /// False if the annotation of `-y` is a file, a pipe, or similar.
    pub(super) fn may_be_a_socket(&self) -> bool {
        self.about.as_deref().is_none_or(|about| {
            about.starts_with("socket:") || about.starts_with("UNIX") || about.starts_with("TCP")
        })
    }

    /// Records a failed call.
    pub(super) fn failed(&mut self, error: &str) {
        if GONE.contains(&error) {
            self.peer = Peer::Gone;
        }
    }

    /// Records that the peer has shut down its writing side.
    pub(super) fn peer_ended(&mut self) {
        if self.peer == Peer::Waiting {
            self.peer = Peer::Ended;
        }
    }

    pub(super) fn wrote(&mut self, now: &Now, pieces: &[Piece], outcome: &Outcome) {
        let mut pieces = pieces.to_vec();
        let mut length: u64 = pieces.iter().map(|piece| piece.length).sum();
        let taken = moved(outcome);
        if let Outcome::Error(error) = outcome {
            self.failed(error);
        }
        if taken > length {
            // strace omitted elements of a long list: the rest of the accepted bytes is not visible.
            pieces.push(piece(taken - length, Vec::new()));
            length = taken;
        }
        if length == 0 {
            return;
        }
        let first = &pieces[0].visible;
        if self.fresh && !self.accepted && !begins_response(first) {
            self.outgoing.begin_in_the_middle();
        }
        if self.fresh && first.starts_with(&[22, 3]) {
            self.foreign = Some(Foreign::Tls);
        }
        self.fresh = false;
        self.outgoing.wrote(&pieces, taken);
        if taken < length {
            self.short = Some((Short { line: now.line, offered: length, taken }, now.clock));
        } else if self.outgoing.left_over() == 0 {
            self.short = None;
        }
    }

    /// Records bytes that a call moved without showing them. `asked` is the requested count, `rest` its known
    /// remainder.
    pub(super) fn moved(&mut self, now: &Now, asked: u64, rest: u64, outcome: &Outcome) {
        if let Outcome::Error(error) = outcome {
            self.failed(error);
        }
        if self.fresh && !self.accepted {
            self.outgoing.begin_in_the_middle();
        }
        self.fresh = false;
        let taken = moved(outcome);
        self.outgoing.moved(taken, rest);
        if rest > 0 {
            self.short = Some((Short { line: now.line, offered: asked, taken }, now.clock));
        } else if self.outgoing.left_over() == 0 {
            self.short = None;
        }
    }

    pub(super) fn read(&mut self, visible: Option<&[u8]>, outcome: &Outcome) {
        match outcome {
            Outcome::Number(0, _) => self.peer_ended(),
            Outcome::Number(length, _) => {
                self.file.read(*length);
                let visible = visible.unwrap_or_default();
                if self.fresh && !self.is_client {
                    if visible.starts_with(&[22, 3]) {
                        self.foreign = Some(Foreign::Tls);
                    } else if visible.starts_with(b"PRI * HTTP/2") {
                        self.foreign = Some(Foreign::Http2);
                    }
                }
                self.outgoing.read(visible, *length);
            }
            Outcome::Error(error) => self.failed(error),
            Outcome::Unknown => {}
        }
    }
}
