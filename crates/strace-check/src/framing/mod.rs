//! The HTTP/1 framing of what one connection sends, as far as it can be seen.
//!
//! strace shows the beginning of each buffer and the length of all of it. What is visible is followed like a parser
//! would; where the view ends, the lengths that the server asked the kernel to take remain as evidence.

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

/// How much of a head is kept.
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
    /// In a response whose end cannot be seen coming.
    Unknown,
    /// Not HTTP/1, or bytes that belong to no response.
    Opaque,
    /// The connection was handed to another protocol.
    Tunnel,
}

/// What the framing says of a response whose connection ends now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// No response is under way.
    Nothing,
    /// It was complete.
    Whole,
    /// All that was offered of it was taken; how much it should have been is out of sight.
    Unseen,
    /// Bytes are missing: this many, or at least this many.
    Cut { response: Box<Response>, missing: u64, exact: bool },
}

/// The outgoing side of one connection.
#[derive(Clone, Debug)]
pub(crate) struct Outgoing {
    state: State,
    response: Response,
    /// The response under way began before the trace.
    middle: bool,
    /// Responses so far that came to an end.
    pub(crate) responses: u64,
    /// Those of them that were [`End::Unseen`].
    pub(crate) unseen: u64,
    /// Methods of the requests that were read and not yet answered, oldest first.
    methods: VecDeque<String>,
    /// What the last write offered and the kernel did not take.
    rest: Vec<Piece>,
    /// Counted over the whole connection: bytes taken, and how far the server has ever tried to get.
    taken: u64,
    offered: u64,
    /// What is left of a file that the kernel was asked to send. Not in `offered`: whatever the server does next on
    /// the connection says that the file was at its end.
    file: u64,
    /// How far the furthest call reached that the kernel did not serve in full, counted as `taken` is; for the response under
    /// way.
    refused: u64,
    /// A read went on behind the last request that could be seen.
    hidden: bool,
}

/// More requests than this are not waiting on any connection.
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

    /// A response has begun, so far as this trace shows its beginning.
    pub(crate) fn began(&self) -> bool {
        self.response.taken > 0
            && (self.response.status.is_some() || self.response.head.is_some() || !self.middle)
    }

    /// A response has begun and has not come to an end that can be seen.
    pub(crate) fn under_way(&self) -> bool {
        match self.state {
            State::Between => self.left_over() > 0,
            State::Opaque | State::Tunnel => false,
            State::Unknown => self.began(),
            State::Head(_) | State::Counted(_) | State::Chunked(_) => true,
        }
    }

    /// Something was read: the methods of the requests that can be seen in it, of `length` bytes.
    pub(crate) fn read(&mut self, visible: &[u8], length: u64) {
        let mut rest = visible;
        while let Some(method) = method(rest) {
            if self.methods.len() < MOST_WAITING {
                self.methods.push_back(method);
            }
            // Another request directly behind a head without a body: pipelining.
            match head_end(rest, 0) {
                Some(end) => rest = &rest[end..],
                None => break,
            }
        }
        self.hidden = !rest.is_empty() || length > visible.len() as u64;
    }

    /// The server offered `pieces` and the kernel took the first `taken` bytes of them.
    pub(crate) fn wrote(&mut self, pieces: &[Piece], taken: u64) {
        let length: u64 = pieces.iter().map(|piece| piece.length).sum();
        let taken = taken.min(length);
        self.file = 0;
        let begins =
            self.offered <= self.taken && pieces.first().is_some_and(|piece| begins_response(&piece.visible));
        // A body whose end is out of sight has ended when the next write begins another response.
        if self.state == State::Unknown && begins {
            if self.response.interim_alone() {
                self.state = State::Between;
            } else {
                self.unseen += u64::from(!self.middle && !self.vouched());
                self.complete();
            }
        }
        // More bytes than the last response had room for are a fault, but no other protocol.
        if self.state == State::Opaque && begins && self.responses > 0 {
            self.state = State::Between;
        }
        let mut start = 0;
        for (nth, piece) in pieces.iter().enumerate() {
            if start >= taken {
                break;
            }
            // An interim answer and the answer have a buffer each.
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

    /// Bytes moved by calls that show none of them. `rest` is what is known to be left of what was asked for: mostly
    /// that is "as much as there is", and says nothing.
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

    /// Reads on in a head; returns how many bytes of the piece belong to it.
    fn head(&mut self, piece: Part<'_>, more_pieces: bool) -> u64 {
        let State::Head(text) = &mut self.state else { return 0 };
        let before = text.len();
        text.extend_from_slice(piece.visible);
        let Some(end) = head_end(text, before.saturating_sub(2)) else {
            let out_of_sight = piece.length > piece.visible.len() as u64;
            if out_of_sight || text.len() > MOST_HEAD {
                let text = std::mem::take(text);
                self.head_out_of_sight(&text, piece.length, more_pieces);
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

    /// The end of the head is not visible. A length may be, and servers like to give the head a buffer of its own.
    fn head_out_of_sight(&mut self, text: &[u8], length: u64, more_pieces: bool) {
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

    /// The head hands the connection to another protocol.
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
            // Complete as soon as the head is.
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

    /// Something speaks for a response whose end could not be seen coming, other than that it ended: its head, or that it
    /// ended with the last byte of what the kernel had not taken at first, and the server came back for.
    fn vouched(&self) -> bool {
        self.response.measured() || self.refused >= self.taken
    }

    /// The connection ends here.
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
                // The kernel took nothing of it; what it would have been stands in what was offered.
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
                    // With the end of the head out of sight, what was offered holds an unknown part of head.
                    Some(promised) => cut(&response, promised, true),
                    None => cut(&response, left, false),
                }
            }
            State::Head(text) => {
                let mut response = self.response.clone();
                response.read(text);
                cut(&response, left.max(1), false)
            }
            // The answer to a request out of sight: what looks like a body not sent may be one not asked for.
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
                // Behind an interim answer comes another, and that is the one that was cut.
                response.status = response.status.filter(|status| *status >= 200);
                cut(&response, left.max(self.file), false)
            }
            State::Unknown if self.response.interim_alone() => End::Nothing,
            // The length may be visible and the end of the head not: then all bytes together may be fewer than the body.
            State::Unknown => match self.response.promised.filter(|_| self.response.has_body()) {
                Some(promised) if self.response.taken < promised => {
                    cut(&self.response, promised - self.response.taken, false)
                }
                _ if self.vouched() => End::Whole,
                _ => End::Unseen,
            },
        }
    }

    /// What the last write left over.
    pub(crate) fn left_over(&self) -> u64 {
        self.offered.saturating_sub(self.taken)
    }
}
