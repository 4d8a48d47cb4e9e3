//! The HTTP/1 framing of the output of one connection, as far as it is visible.
//!
//! strace shows the beginning of each buffer and the length of all of it. Visible bytes are
//! parsed; beyond them, the lengths that the server passed to the kernel remain as evidence.

mod chunk;
mod head;
mod piece;

use std::collections::VecDeque;

use chunk::Chunk;
pub(crate) use head::{Response, begins_response};
use head::{head_end, method};
use piece::Part;
pub(crate) use piece::Piece;
use piece::slice;

/// Longest part of a head that is kept.
const MOST_HEAD: usize = 64 << 10;

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    /// The next byte begins a response.
    Between,
    Head(Vec<u8>),
    /// In a body of known length.
    Counted(u64),
    /// In a chunked body that can still be followed.
    Chunked(Chunk),
    /// In a response of unknown length.
    Unknown,
    /// Not HTTP/1, or bytes outside of responses.
    Opaque,
    /// The connection has switched to another protocol.
    Tunnel,
}

/// The verdict on the current response when its connection ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// No response is in progress.
    Nothing,
    /// It was complete.
    Whole,
    /// Every write of it was accepted in full; its promised length is not visible.
    Unseen,
    /// Bytes are missing: this many, or at least this many.
    Cut { response: Box<Response>, missing: u64, exact: bool },
}

/// The outgoing side of one connection.
#[derive(Clone, Debug)]
pub(crate) struct Outgoing {
    state: State,
    response: Response,
    /// The current response began before the trace.
    middle: bool,
    /// Completed responses so far.
    pub(crate) responses: u64,
    /// Those of them that were [`End::Unseen`].
    pub(crate) unseen: u64,
    /// Methods of the requests without a response yet, oldest first.
    methods: VecDeque<String>,
    /// The part of the last write that the kernel did not accept.
    rest: Vec<Piece>,
    /// Offsets in the connection's output: bytes accepted by the kernel, and the furthest byte that the server tried to write.
    taken: u64,
    offered: u64,
    /// The rest of a file in `sendfile`. Not in `offered`: any later call of the server on the connection means that
    /// the end of the file was reached.
    file: u64,
    /// The end of the furthest write that the kernel did not accept in full, as an offset like `taken`; for the current
    /// response.
    refused: u64,
    /// A read continued after the last visible request.
    hidden: bool,
}

/// Most unanswered requests of a connection.
const MOST_WAITING: usize = 1024;

impl Outgoing {
    pub(crate) fn new() -> Self {
        Self {
            state: State::Between,
            response: Response::default(),
            middle: false,
            responses: 0,
            unseen: 0,
            methods: VecDeque::new(),
            rest: Vec::new(),
            taken: 0,
            offered: 0,
            file: 0,
            refused: 0,
            hidden: false,
        }
    }

    /// A connection whose beginning was not in the trace.
    pub(crate) fn begin_in_the_middle(&mut self) {
        self.state = State::Unknown;
        self.middle = true;
    }

    /// Whether a response has begun within the trace.
    pub(crate) fn began(&self) -> bool {
        self.response.taken > 0
            && (self.response.status.is_some() || self.response.head.is_some() || !self.middle)
    }

    /// Whether a response has begun and no end of it was visible.
    pub(crate) fn under_way(&self) -> bool {
        match self.state {
            State::Between => self.left_over() > 0,
            State::Opaque | State::Tunnel => false,
            State::Unknown => self.began(),
            State::Head(_) | State::Counted(_) | State::Chunked(_) => true,
        }
    }

    /// Records a read of `length` bytes: the methods of the visible requests.
    pub(crate) fn read(&mut self, visible: &[u8], length: u64) {
        let mut rest = visible;
        while let Some(method) = method(rest) {
            if self.methods.len() < MOST_WAITING {
                self.methods.push_back(method);
            }
            // Another request directly after a head without a body: pipelining.
            match head_end(rest, 0) {
                Some(end) => rest = &rest[end..],
                None => break,
            }
        }
        self.hidden = !rest.is_empty() || length > visible.len() as u64;
    }

    /// Records a write of `pieces`, of which the kernel accepted the first `taken` bytes.
    pub(crate) fn wrote(&mut self, pieces: &[Piece], taken: u64) {
        let length: u64 = pieces.iter().map(|piece| piece.length).sum();
        let taken = taken.min(length);
        self.file = 0;
        let begins =
            self.offered <= self.taken && pieces.first().is_some_and(|piece| begins_response(&piece.visible));
        // A body of unknown length has ended when the next write begins another response.
        if self.state == State::Unknown && begins {
            if self.response.interim_alone() {
                self.state = State::Between;
            } else {
                self.unseen += u64::from(!self.middle && !self.has_evidence_of_end());
                self.complete();
            }
        }
        // More bytes than the last response's length are a fault, but not another protocol.
        if self.state == State::Opaque && begins && self.responses > 0 {
            self.state = State::Between;
        }
        let mut start = 0;
        for (nth, piece) in pieces.iter().enumerate() {
            if start >= taken {
                break;
            }
            // The interim and the final response have a buffer each.
            if self.state == State::Unknown
                && self.response.interim_alone()
                && begins_response(&piece.visible)
            {
                self.state = State::Between;
            }
            self.follow(piece, piece.length.min(taken - start), nth + 1 < pieces.len());
            start += piece.length;
        }
        if taken < length {
            self.refused = self.refused.max(self.taken.saturating_add(length));
        }
        self.offered = self.offered.max(self.taken.saturating_add(length));
        self.taken = self.taken.saturating_add(taken);
        self.rest = slice(pieces, taken, length);
    }

    /// Records bytes moved by calls that do not show them. `rest` is the known remainder of the requested count, which is
    /// often just a large number without meaning.
    pub(crate) fn moved(&mut self, taken: u64, rest: u64) {
        self.wrote(&[Piece { length: taken, visible: Vec::new() }], taken);
        self.file = rest;
        if rest > 0 {
            self.refused = self.refused.max(self.taken.saturating_add(rest));
        }
    }

    /// Follows the first `length` bytes of a piece.
    fn follow(&mut self, piece: &Piece, length: u64, more_pieces: bool) {
        let mut at = 0_u64;
        while at < length {
            let left = length - at;
            let here = piece.part(at, length);
            let used = match &mut self.state {
                State::Opaque | State::Tunnel | State::Unknown => left,
                State::Between => {
                    if here.visible.is_empty() || begins_response(here.visible) {
                        let method = self.methods.front().cloned();
                        let perhaps_bodiless = method.is_none() && self.hidden;
                        self.response = Response { method, perhaps_bodiless, ..Response::default() };
                        self.state = State::Head(Vec::new());
                    } else {
                        self.state = State::Opaque;
                    }
                    0
                }
                State::Head(_) => self.head(here, more_pieces),
                State::Counted(missing) => {
                    let used = left.min(*missing);
                    *missing -= used;
                    used
                }
                State::Chunked(_) => self.chunks(here),
            };
            self.response.taken += used;
            at += used;
            match &self.state {
                State::Counted(0) => self.complete(),
                State::Chunked(Chunk::Trailer(line)) if line == b"\r\n" => self.complete(),
                _ => {}
            }
        }
    }

    /// Continues a head; returns the number of bytes of the piece that belong to it.
    fn head(&mut self, piece: Part<'_>, more_pieces: bool) -> u64 {
        let State::Head(text) = &mut self.state else { return 0 };
        let before = text.len();
        text.extend_from_slice(piece.visible);
        let Some(end) = head_end(text, before.saturating_sub(2)) else {
            let out_of_sight = piece.length > piece.visible.len() as u64;
            if out_of_sight || text.len() > MOST_HEAD {
                let text = std::mem::take(text);
                self.head_without_visible_end(&text, piece.length, more_pieces);
            }
            return piece.length;
        };
        let used = end - before;
        let head = std::mem::take(text);
        self.response.read(&head[..end]);
        self.response.head = Some(self.response.taken + used as u64);
        self.response.head_in_sight = true;
        self.begin_body();
        used as u64
    }

    /// Handles a head whose end is not visible. Its length may be known, because servers often use a separate buffer for it.
    fn head_without_visible_end(&mut self, text: &[u8], length: u64, more_pieces: bool) {
        self.response.read(text);
        if more_pieces {
            self.response.head = Some(self.response.taken + length);
        }
        self.state = State::Unknown;
        if self.tunnel() {
            self.state = State::Tunnel;
        } else if self.response.head.is_some() && self.response.promised.is_some() {
            self.begin_body();
        }
    }

    /// Whether the head switches the connection to another protocol.
    fn tunnel(&self) -> bool {
        let status = self.response.status;
        status == Some(101)
            || (self.response.method.as_deref() == Some("CONNECT")
                && status.is_some_and(|status| (200..300).contains(&status)))
    }

    fn begin_body(&mut self) {
        let status = self.response.status;
        self.state = if self.tunnel() {
            State::Tunnel
        } else if status.is_some_and(|status| status < 200) {
            State::Between
        } else if !self.response.has_body() {
            // Complete with the head.
            State::Counted(0)
        } else if self.response.chunked {
            self.response.promised = None;
            State::Chunked(Chunk::Size(Vec::new()))
        } else {
            self.response.promised.map_or(State::Unknown, State::Counted)
        };
    }

    fn complete(&mut self) {
        self.responses += u64::from(!self.middle);
        self.middle = false;
        self.methods.pop_front();
        self.refused = 0;
        self.state = State::Between;
    }

    /// Whether there is evidence that a response of unknown length is whole: its head, or that the server
    /// later wrote exactly the bytes that the kernel had refused.
    fn has_evidence_of_end(&self) -> bool {
        self.response.measured() || self.refused >= self.taken
    }

    /// The verdict at the end of the connection.
    pub(crate) fn end(&mut self) -> End {
        let left = self.left_over();
        let cut = |response: &Response, missing: u64, exact: bool| End::Cut {
            response: Box::new(response.clone()),
            missing,
            exact,
        };
        match &self.state {
            State::Opaque | State::Tunnel => End::Nothing,
            State::Between if left == 0 => End::Nothing,
            State::Between => {
                // The kernel accepted none of it; the refused write shows what it would have been.
                let rest = std::mem::take(&mut self.rest);
                let mut would = Self { methods: self.methods.clone(), ..Self::new() };
                for (nth, piece) in rest.iter().enumerate() {
                    if matches!(would.state, State::Between | State::Head(_)) {
                        would.follow(piece, piece.length, nth + 1 < rest.len());
                    }
                }
                if would.state == State::Opaque {
                    return End::Nothing;
                }
                let response = Response { taken: 0, head: None, ..would.response };
                match response.promised.filter(|_| response.has_body()) {
                    // If the end of the head is not visible, the written bytes include an unknown part of the head.
                    Some(promised) => cut(&response, promised, true),
                    None => cut(&response, left, false),
                }
            }
            State::Head(text) => {
                let mut response = self.response.clone();
                response.read(text);
                cut(&response, left.max(1), false)
            }
            // The request was not visible: a missing body may be the response to `HEAD`.
            State::Counted(missing)
                if self.response.perhaps_bodiless
                    && left == 0
                    && self.response.promised == Some(*missing) =>
            {
                End::Whole
            }
            State::Counted(missing) => cut(&self.response, *missing, true),
            State::Chunked(_) => cut(&self.response, left.max(1), false),
            State::Unknown if left.max(self.file) > 0 => {
                let mut response = self.response.clone();
                // After an interim response the final one was cut.
                response.status = response.status.filter(|status| *status >= 200);
                cut(&response, left.max(self.file), false)
            }
            State::Unknown if self.response.interim_alone() => End::Nothing,
            // The length may be visible, but not the end of the head: then all bytes together may be fewer than the body.
            State::Unknown => match self.response.promised.filter(|_| self.response.has_body()) {
                Some(promised) if self.response.taken < promised => {
                    cut(&self.response, promised - self.response.taken, false)
                }
                _ if self.has_evidence_of_end() => End::Whole,
                _ => End::Unseen,
            },
        }
    }

    /// Bytes of the last write that the kernel did not accept.
    pub(crate) fn left_over(&self) -> u64 {
        self.offered.saturating_sub(self.taken)
    }
}
