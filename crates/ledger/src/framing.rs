//! What was promised and how much of it has been handed over: an incremental reader of HTTP/1
//! framing (RFC 9112) that follows both directions of one server connection.
//!
//! It looks at heads, chunk-size lines and trailers. Body bytes are skipped by arithmetic: nothing is
//! copied and their content is never read. Bytes may arrive in pieces of any size.
//!
//! The request side is followed only because the length of a response depends on the method that it
//! answers (`HEAD`, `CONNECT`) and because pipelined requests have to be told from request bodies.
//! Once the bytes cannot be understood, or become a tunnel, the reader says so and stops judging.
//! A connection that begins with the HTTP/2 preface goes on in [`h2`](crate::h2).

use std::collections::VecDeque;

use crate::h2::{Direction, Frames, Streams};

/// Longest part of a head line that is kept: names and values that matter here are short.
const LINE_LIMIT: usize = 1024;
/// Pipelined requests remembered before the reader gives up; servers hold far fewer.
const PIPELINE_LIMIT: usize = 1 << 16;
/// Longest response id kept, in bytes.
const ID_LIMIT: usize = 128;

/// Which protocol a connection turned out to speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Protocol {
    /// Nothing has passed yet.
    Undecided,
    /// HTTP/1.0 or HTTP/1.1.
    Http1,
    /// HTTP/2: frames are followed per stream.
    Http2,
    /// A tunnel after `101` or `CONNECT`, or bytes that are not HTTP. Nothing is judged from here on.
    Opaque,
}

/// One response as seen on the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Entry {
    /// The protocol that carried it.
    pub protocol: Protocol,
    /// HTTP/1: the ordinal of the response on its connection, from 0. HTTP/2: the stream.
    pub number: u64,
    /// Status code; `None` when the head never went out, or on HTTP/2, whose heads are compressed.
    pub status: Option<u16>,
    /// Body bytes the head promised. `None` when the framing promises a terminator instead (chunked,
    /// closed by the end of the connection, HTTP/2).
    pub promised: Option<u64>,
    /// Body bytes the transport has taken, without chunk framing.
    pub taken: u64,
    /// The value of the response header chosen as id, if the response carried it.
    pub id: Option<Box<str>>,
}

impl Entry {
    /// An entry for a request that was read in full and got not one byte of answer.
    fn unanswered(number: u64) -> Self {
        Self { protocol: Protocol::Http1, number, status: None, promised: None, taken: 0, id: None }
    }

    /// Body bytes that are known to be missing: promised but not taken.
    pub fn missing(&self) -> Option<u64> {
        self.promised.map(|promised| promised.saturating_sub(self.taken))
    }
}

/// What following outgoing bytes can bring to light.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// The last byte of a response has been written; `tail` bytes of the same slice come after it.
    Written { entry: Entry, tail: u64 },
    /// An HTTP/2 stream was ended by `RST_STREAM` before its response was complete.
    Reset { entry: Entry, by_peer: bool },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Method {
    Head,
    Connect,
    Other,
}

/// Where the body of a message ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Body {
    Length(u64),
    ChunkSize,
    Chunk(u64),
    /// The line end after a chunk's data.
    ChunkEnd,
    Trailers,
    UntilClose,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Before or within the first line.
    Start,
    Headers,
    Body(Body),
    Tunnel,
    /// The bytes are not what this reader understands.
    Lost,
}

/// Header fields that decide about framing.
#[derive(Clone, Copy, Debug, Default)]
struct Fields {
    length: Option<u64>,
    chunked: bool,
    /// A transfer coding whose last member is not `chunked`.
    other_coding: bool,
    malformed: bool,
    /// `Connection: close`.
    closes: bool,
}

impl Fields {
    #[inline]
    fn line(&mut self, line: &[u8]) {
        if let Some(value) = value_of(b"content-length", line) {
            self.content_length(value);
        } else if let Some(value) = value_of(b"transfer-encoding", line) {
            let last = value.rsplit(|byte| *byte == b',').next().unwrap_or_default().trim_ascii();
            self.chunked = last.eq_ignore_ascii_case(b"chunked");
            self.other_coding = !self.chunked;
        } else if let Some(value) = value_of(b"connection", line) {
            self.closes |=
                value.split(|byte| *byte == b',').any(|one| one.trim_ascii().eq_ignore_ascii_case(b"close"));
        }
    }

    fn content_length(&mut self, value: &[u8]) {
        match number::<10>(value) {
            Some(length) if self.length.is_none_or(|earlier| earlier == length) => {
                self.length = Some(length);
            }
            _ => self.malformed = true,
        }
    }
}

/// The value of a header line if it is the field called `name`, best in lower case. Whether the colon is where it
/// would have to be rules out nearly every other line by one byte, and most servers write names as they are here.
#[inline]
fn value_of<'a>(name: &[u8], line: &'a [u8]) -> Option<&'a [u8]> {
    if line.get(name.len()) != Some(&b':') {
        return None;
    }
    let (found, value) = line.split_at(name.len());
    (found == name || found.eq_ignore_ascii_case(name)).then(|| value[1..].trim_ascii())
}

/// Cuts a byte stream into lines, keeping only a line that is split over two slices.
#[derive(Debug, Default)]
struct Lines {
    carry: Vec<u8>,
    started: bool,
}

impl Lines {
    /// Takes the next line off `input` and gives it, without its line end, to `f`. `None`: the line is
    /// not complete and all of `input` has been used up.
    fn next<R>(&mut self, input: &mut &[u8], f: impl FnOnce(&[u8]) -> R) -> Option<R> {
        let Some(end) = line_feed(input) else {
            self.keep(input);
            *input = &[];
            return None;
        };
        let (head, rest) = input.split_at(end);
        *input = &rest[1..];
        if !self.started {
            return Some(f(head.strip_suffix(b"\r").unwrap_or(head)));
        }
        self.keep(head);
        let result = f(self.carry.strip_suffix(b"\r").unwrap_or(&self.carry));
        self.carry.clear();
        self.started = false;
        Some(result)
    }

    /// Gives `f` line after line until it says that one was the last: `true`. `false`: all of `input` has been used up
    /// before that. Staying in here is what makes following a head cheap.
    #[inline]
    fn until(&mut self, input: &mut &[u8], mut f: impl FnMut(&[u8]) -> bool) -> bool {
        loop {
            match self.next(input, &mut f) {
                Some(false) => {}
                Some(true) => return true,
                None => return false,
            }
        }
    }

    #[cold]
    fn keep(&mut self, part: &[u8]) {
        if part.is_empty() {
            return;
        }
        self.started = true;
        let room = LINE_LIMIT - self.carry.len();
        self.carry.extend_from_slice(&part[..part.len().min(room)]);
    }
}

/// Where the first line feed is. The lines of a head are short, and eight bytes at a time in place find their ends sooner
/// than the call of a vectorised search does. The test for a zero byte in a word is that of H. S. Warren, "Hacker's Delight", 6-1.
#[inline]
fn line_feed(bytes: &[u8]) -> Option<usize> {
    const ONES: u64 = u64::MAX / 0xFF;
    let (words, rest) = bytes.as_chunks::<8>();
    for (n, word) in words.iter().enumerate() {
        let differs = u64::from_le_bytes(*word) ^ (ONES * u64::from(b'\n'));
        let zero = differs.wrapping_sub(ONES) & !differs & (ONES << 7);
        if zero != 0 {
            return Some(n * 8 + zero.trailing_zeros() as usize / 8);
        }
    }
    rest.iter().position(|byte| *byte == b'\n').map(|n| words.len() * 8 + n)
}

fn number<const RADIX: u32>(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    let mut value = 0_u64;
    for byte in digits {
        let digit = char::from(*byte).to_digit(RADIX)?;
        value = value.checked_mul(u64::from(RADIX))?.checked_add(u64::from(digit))?;
    }
    Some(value)
}

/// Walks one step through a body. Returns the next state, or `None` when the message is complete.
/// `taken` grows by the payload bytes passed.
fn step_body(body: Body, lines: &mut Lines, input: &mut &[u8], taken: &mut u64) -> Option<State> {
    let skip = |input: &mut &[u8], left: u64, taken: &mut u64| {
        let n = left.min(input.len() as u64);
        *input = &input[usize::try_from(n).unwrap_or(input.len())..];
        *taken += n;
        left - n
    };
    match body {
        Body::Length(left) => match skip(input, left, taken) {
            0 => None,
            left => Some(State::Body(Body::Length(left))),
        },
        Body::Chunk(left) => Some(State::Body(match skip(input, left, taken) {
            0 => Body::ChunkEnd,
            left => Body::Chunk(left),
        })),
        Body::ChunkSize => {
            let size = lines.next(input, |line| {
                let end = memchr::memchr(b';', line).unwrap_or(line.len());
                number::<16>(line[..end].trim_ascii())
            });
            Some(match size {
                None => State::Body(Body::ChunkSize),
                Some(Some(0)) => State::Body(Body::Trailers),
                Some(Some(size)) => State::Body(Body::Chunk(size)),
                Some(None) => State::Lost,
            })
        }
        Body::ChunkEnd => Some(match lines.next(input, <[u8]>::is_empty) {
            None => State::Body(Body::ChunkEnd),
            Some(true) => State::Body(Body::ChunkSize),
            Some(false) => State::Lost,
        }),
        Body::Trailers => match lines.next(input, <[u8]>::is_empty) {
            Some(true) => None,
            Some(false) | None => Some(State::Body(Body::Trailers)),
        },
        Body::UntilClose => {
            *taken += input.len() as u64;
            *input = &[];
            Some(State::Body(Body::UntilClose))
        }
    }
}

#[derive(Debug)]
struct Requests {
    state: State,
    lines: Lines,
    fields: Fields,
    method: Method,
    /// Methods of requests whose head is complete and which have no final response yet.
    waiting: VecDeque<Method>,
    begun: bool,
    /// The head that is arriving has its answer already: the server refused it before its end.
    refused: bool,
    /// The server has said that it closes: heads that still come are nobody's.
    unwanted: bool,
}

/// The line that opens an HTTP/2 connection; it looks like a request line on purpose.
const PREFACE_LINE: &[u8] = b"PRI * HTTP/2.0";

impl Requests {
    fn new() -> Self {
        Self {
            state: State::Start,
            lines: Lines::default(),
            fields: Fields::default(),
            method: Method::Other,
            waiting: VecDeque::new(),
            begun: false,
            refused: false,
            unwanted: false,
        }
    }

    /// Follows incoming bytes. Returns the bytes that come after the first line of an HTTP/2 preface.
    fn follow<'a>(&mut self, mut input: &'a [u8]) -> Option<&'a [u8]> {
        while !input.is_empty() {
            match self.state {
                State::Start => {
                    let line = self.lines.next(&mut input, |line| {
                        let end = memchr::memchr(b' ', line);
                        match end {
                            _ if line == PREFACE_LINE => RequestLine::Preface,
                            // RFC 9112, 2.2: empty lines before a request line are ignored.
                            None if line.is_empty() => RequestLine::Empty,
                            Some(n) if n > 0 => RequestLine::Method(match &line[..n] {
                                b"HEAD" => Method::Head,
                                b"CONNECT" => Method::Connect,
                                _ => Method::Other,
                            }),
                            _ => RequestLine::Malformed,
                        }
                    });
                    match line {
                        None | Some(RequestLine::Empty) => {}
                        Some(RequestLine::Method(method)) => {
                            self.begun = true;
                            self.method = method;
                            self.fields = Fields::default();
                            self.state = State::Headers;
                        }
                        Some(RequestLine::Preface) if !self.begun => return Some(input),
                        Some(RequestLine::Preface | RequestLine::Malformed) => {
                            self.state = State::Lost;
                        }
                    }
                }
                State::Headers => {
                    let fields = &mut self.fields;
                    let end = self.lines.until(&mut input, |line| {
                        fields.line(line);
                        line.is_empty()
                    });
                    if end {
                        self.head_complete();
                    }
                }
                State::Body(body) => {
                    let mut passed = 0;
                    self.state =
                        step_body(body, &mut self.lines, &mut input, &mut passed).unwrap_or(State::Start);
                }
                State::Tunnel | State::Lost => return None,
            }
        }
        None
    }

    fn head_complete(&mut self) {
        if self.waiting.len() >= PIPELINE_LIMIT || self.fields.malformed {
            self.state = State::Lost;
            return;
        }
        if !std::mem::take(&mut self.refused) && !self.unwanted {
            self.waiting.push_back(self.method);
        }
        self.state = match (&self.fields, self.method) {
            // What follows a CONNECT depends on its answer; a server reads no further until then.
            (_, Method::Connect) => State::Tunnel,
            (Fields { chunked: true, .. }, _) => State::Body(Body::ChunkSize),
            (Fields { other_coding: true, .. }, _) => State::Lost,
            (Fields { length: Some(length), .. }, _) if *length > 0 => State::Body(Body::Length(*length)),
            _ => State::Start,
        };
    }
}

impl Requests {
    /// Part of a head has arrived, and its end has not.
    fn in_head(&self) -> bool {
        match self.state {
            State::Headers => true,
            State::Start => self.lines.started,
            _ => false,
        }
    }
}

enum RequestLine {
    Empty,
    Method(Method),
    Preface,
    Malformed,
}

#[derive(Debug)]
struct Responses {
    state: State,
    lines: Lines,
    fields: Fields,
    /// Of the present response, as in [`Entry`].
    status: Option<u16>,
    promised: Option<u64>,
    taken: u64,
    id: Option<Box<str>>,
    /// A byte of the present response has been written.
    begun: bool,
    /// Responses before the present one.
    count: u64,
}

impl Responses {
    /// The present response is over: its entry, and the place for the next.
    fn take(&mut self) -> Entry {
        let entry = Entry {
            protocol: Protocol::Http1,
            number: self.count,
            status: self.status.take(),
            promised: self.promised.take(),
            taken: std::mem::take(&mut self.taken),
            id: self.id.take(),
        };
        self.count += 1;
        self.begun = false;
        entry
    }
}

/// Follows both directions of one server connection. See the [module](self).
#[derive(Debug)]
pub(crate) struct Framing {
    protocol: Protocol,
    requests: Requests,
    responses: Responses,
    http2: Option<Box<Http2>>,
    id_name: Option<Box<str>>,
}

#[derive(Debug)]
struct Http2 {
    incoming: Frames,
    outgoing: Frames,
    streams: Streams,
}

impl Framing {
    /// `id_name`: the response header whose value names a response in reports.
    pub(crate) fn new(id_name: Option<&str>) -> Self {
        Self {
            protocol: Protocol::Undecided,
            requests: Requests::new(),
            responses: Responses {
                state: State::Start,
                lines: Lines::default(),
                fields: Fields::default(),
                status: None,
                promised: None,
                taken: 0,
                id: None,
                begun: false,
                count: 0,
            },
            http2: None,
            id_name: id_name.map(Box::from),
        }
    }

    pub(crate) fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// Follows bytes that the peer sent.
    pub(crate) fn read(&mut self, bytes: &[u8], on: &mut dyn FnMut(Event)) {
        match (self.protocol, &mut self.http2) {
            (Protocol::Opaque, _) => {}
            (_, Some(http2)) => {
                http2.incoming.follow(bytes, &mut |frame| {
                    http2.streams.frame(Direction::Incoming, frame, 0, on);
                });
            }
            _ => {
                if let Some(rest) = self.requests.follow(bytes) {
                    // "\r\nSM\r\n\r\n" is what the preface still holds after its first line.
                    self.become_http2(8);
                    self.read(rest, on);
                }
            }
        }
    }

    fn become_http2(&mut self, preface_left: usize) {
        self.protocol = Protocol::Http2;
        self.http2 = Some(Box::new(Http2 {
            incoming: Frames::after(preface_left),
            outgoing: Frames::after(0),
            streams: Streams::default(),
        }));
    }

    /// Follows bytes that the transport took.
    pub(crate) fn wrote(&mut self, bytes: &[u8], on: &mut dyn FnMut(Event)) {
        if self.protocol == Protocol::Undecided && !bytes.is_empty() {
            // A frame begins with the high byte of its length, which is never a letter; a server may
            // send its SETTINGS before it has read the preface.
            if bytes[0] < b' ' {
                self.become_http2(24);
            } else {
                self.protocol = Protocol::Http1;
            }
        }
        match (self.protocol, &mut self.http2) {
            (Protocol::Opaque, _) => {}
            (_, Some(http2)) => {
                http2.outgoing.follow(bytes, &mut |frame| {
                    let tail = frame.tail;
                    http2.streams.frame(Direction::Outgoing, frame, tail, on);
                });
            }
            _ => self.wrote_http1(bytes, on),
        }
    }

    fn wrote_http1(&mut self, mut input: &[u8], on: &mut dyn FnMut(Event)) {
        while !input.is_empty() {
            let out = &mut self.responses;
            match out.state {
                State::Start => {
                    out.begun = true;
                    let status = out.lines.next(&mut input, status_of);
                    match status {
                        None => {}
                        Some(Some(status)) => {
                            out.status = Some(status);
                            out.fields = Fields::default();
                            out.state = State::Headers;
                        }
                        Some(None) => out.state = State::Lost,
                    }
                }
                State::Headers => {
                    let (fields, id, id_name) = (&mut out.fields, &mut out.id, self.id_name.as_deref());
                    let end = out.lines.until(&mut input, |line| {
                        fields.line(line);
                        if let Some(value) = id_name.and_then(|name| value_of(name.as_bytes(), line)) {
                            let kept = &value[..value.len().min(ID_LIMIT)];
                            *id = Some(String::from_utf8_lossy(kept).into());
                        }
                        line.is_empty()
                    });
                    if end {
                        self.response_head_complete(input.len() as u64, on);
                    }
                }
                State::Body(body) => {
                    let next = step_body(body, &mut out.lines, &mut input, &mut out.taken);
                    match next {
                        Some(state) => out.state = state,
                        None => self.response_complete(input.len() as u64, on),
                    }
                }
                State::Tunnel | State::Lost => {
                    self.protocol = Protocol::Opaque;
                    return;
                }
            }
            if matches!(self.responses.state, State::Tunnel | State::Lost) {
                self.protocol = Protocol::Opaque;
                return;
            }
        }
    }

    fn response_head_complete(&mut self, tail: u64, on: &mut dyn FnMut(Event)) {
        let out = &mut self.responses;
        let status = out.status.unwrap_or_default();
        if (100..200).contains(&status) && status != 101 {
            // An interim response: the final one is still owed.
            out.state = State::Start;
            out.begun = false;
            (out.status, out.id) = (None, None);
            return;
        }
        let method = self.requests.waiting.front().copied().unwrap_or(Method::Other);
        let tunnel = status == 101 || (method == Method::Connect && (200..300).contains(&status));
        if tunnel || method == Method::Head || matches!(status, 204 | 304) {
            out.promised = Some(0);
            self.response_complete(tail, on);
            if tunnel {
                self.responses.state = State::Tunnel;
                self.requests.state = State::Tunnel;
            }
            return;
        }
        let fields = &out.fields;
        if fields.malformed {
            out.state = State::Lost;
        } else if fields.chunked {
            out.state = State::Body(Body::ChunkSize);
        } else if let (Some(length), false) = (fields.length, fields.other_coding) {
            out.promised = Some(length);
            out.state = State::Body(Body::Length(length));
            if length == 0 {
                self.response_complete(tail, on);
            }
        } else {
            out.state = State::Body(Body::UntilClose);
        }
    }

    fn response_complete(&mut self, tail: u64, on: &mut dyn FnMut(Event)) {
        let out = &mut self.responses;
        out.state = State::Start;
        if self.requests.waiting.pop_front().is_none() && self.requests.in_head() {
            self.requests.refused = true;
        }
        if out.fields.closes {
            // RFC 9112, 9.6: what the peer sent after that request is not answered, and was told so.
            self.requests.unwanted = true;
            self.requests.waiting.clear();
        }
        on(Event::Written { entry: out.take(), tail });
    }

    /// The peer will send nothing more, and the writing side is being closed in good order: a response
    /// that ends with its connection is complete by that.
    pub(crate) fn closing_in_order(&mut self, on: &mut dyn FnMut(Event)) {
        if self.protocol == Protocol::Http1 && self.responses.state == State::Body(Body::UntilClose) {
            self.response_complete(0, on);
        }
    }

    /// Everything that is begun or owed and not complete, taken out: responses under way first, then
    /// requests whose head was read and which got no byte of answer.
    pub(crate) fn take_unfinished(&mut self) -> Vec<Entry> {
        match self.protocol {
            Protocol::Opaque => return Vec::new(),
            Protocol::Http2 => {
                return self.http2.as_mut().map(|http2| http2.streams.take_open()).unwrap_or_default();
            }
            Protocol::Undecided | Protocol::Http1 => {}
        }
        let mut unfinished = Vec::new();
        let out = &mut self.responses;
        if out.begun || matches!(out.state, State::Headers | State::Body(_)) {
            self.requests.waiting.pop_front();
            unfinished.push(out.take());
        }
        for _ in self.requests.waiting.drain(..) {
            unfinished.push(Entry::unanswered(out.count));
            out.count += 1;
        }
        // Nothing written after this point belongs to a response that could still become whole.
        self.protocol = Protocol::Opaque;
        unfinished
    }

    /// Whether a response has begun and is not complete.
    pub(crate) fn response_open(&self) -> bool {
        match self.protocol {
            Protocol::Opaque => false,
            Protocol::Http2 => self.http2.as_ref().is_some_and(|http2| http2.streams.any_open()),
            Protocol::Undecided | Protocol::Http1 => {
                self.responses.begun || matches!(self.responses.state, State::Headers | State::Body(_))
            }
        }
    }

    /// Whether a request was read in full head and has no byte of answer.
    pub(crate) fn answer_owed(&self) -> bool {
        !matches!(self.protocol, Protocol::Opaque | Protocol::Http2)
            && self.requests.waiting.len() > usize::from(self.response_open())
    }

    /// Whether the peer is in the middle of sending a request: its end may still arrive.
    pub(crate) fn request_open(&self) -> bool {
        match self.requests.state {
            State::Headers | State::Body(_) | State::Lost => true,
            State::Start => self.requests.lines.started,
            State::Tunnel => false,
        }
    }
}

fn status_of(line: &[u8]) -> Option<u16> {
    let rest = line.strip_prefix(b"HTTP/1.")?;
    let [minor, b' ', a, b, c, after @ ..] = rest else { return None };
    if !minor.is_ascii_digit() || !(after.is_empty() || after[0] == b' ') {
        return None;
    }
    number::<10>(&[*a, *b, *c]).and_then(|status| u16::try_from(status).ok())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{line_feed, value_of};

    proptest! {
        /// Bytes around the line feed's own value are where eight at a time could go wrong.
        #[test]
        fn the_first_line_feed_is_found(
            bytes in prop::collection::vec(prop_oneof![Just(b'\n'), 9_u8..12, 0x8A_u8..0x8C, any::<u8>()], 0..40)
        ) {
            prop_assert_eq!(line_feed(&bytes), bytes.iter().position(|byte| *byte == b'\n'));
        }
    }

    #[test]
    fn a_field_is_told_by_its_whole_name() {
        let length = |line: &'static str| value_of(b"content-length", line.as_bytes());
        assert_eq!(length("Content-LENGTH: \t7 "), Some(&b"7"[..]));
        assert_eq!(length("content-length:"), Some(&b""[..]));
        for other in [
            "content-length",
            "content-length : 7",
            "content-lengths: 7",
            "xcontent-lengt:h: 7",
            "content_length: 7",
            "",
        ] {
            assert_eq!(length(other), None, "{other}");
        }
    }
}
