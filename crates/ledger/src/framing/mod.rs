//! Follows the HTTP framing of both directions of one server connection (RFC 9112, RFC 9113).
//!
//! The reader looks at heads, chunk-size lines and trailers. It skips body bytes by arithmetic: it copies nothing and
//! never reads their content. Bytes may arrive in pieces of any size. After bytes that are not HTTP, and in tunnels, it stops
//! reading: the protocol is then [`Protocol::Opaque`].

mod body;
mod lines;
mod requests;
mod responses;

use body::{Body, State, step_body};
use requests::{Method, Requests};
use responses::Responses;

use crate::entry::{Entry, Event, Protocol};
use crate::h2::{Direction, Frames, Streams};
use crate::http1::{Fields, field_value, status_code};

/// Longest response id kept, in bytes.
const ID_LIMIT: usize = 128;

/// The framing of one connection. See the [module](self).
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
    /// `id_name`: the response header whose value identifies a response.
    pub(crate) fn new(id_name: Option<&str>) -> Self {
        Self {
            protocol: Protocol::Undecided,
            requests: Requests::new(),
            responses: Responses::default(),
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
                    // "\r\nSM\r\n\r\n" is the rest of the preface after its first line.
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

    /// Follows bytes that the transport accepted.
    pub(crate) fn wrote(&mut self, bytes: &[u8], on: &mut dyn FnMut(Event)) {
        if self.protocol == Protocol::Undecided && !bytes.is_empty() {
            // The first byte of a frame is the high byte of its length and never a letter. A server may send its
            // SETTINGS before it has read the preface.
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
                    let status = out.lines.next(&mut input, status_code);
                    match status {
                        None => {}
                        Some(Some(status)) => {
                            out.status = Some(status);
                            out.fields = Fields::default();
                            out.state = State::Headers;
                        }
                        Some(None) => out.state = State::Unparsable,
                    }
                }
                State::Headers => {
                    let (fields, id, id_name) = (&mut out.fields, &mut out.id, self.id_name.as_deref());
                    let end = out.lines.until(&mut input, |line| {
                        fields.line(line);
                        if let Some(value) = id_name.and_then(|name| field_value(name.as_bytes(), line)) {
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
                    let next = step_body(body, &mut out.lines, &mut input, &mut out.written);
                    match next {
                        Some(state) => out.state = state,
                        None => self.response_complete(input.len() as u64, on),
                    }
                }
                State::Tunnel | State::Unparsable => {
                    self.protocol = Protocol::Opaque;
                    return;
                }
            }
            if matches!(self.responses.state, State::Tunnel | State::Unparsable) {
                self.protocol = Protocol::Opaque;
                return;
            }
        }
    }

    fn response_head_complete(&mut self, tail: u64, on: &mut dyn FnMut(Event)) {
        let out = &mut self.responses;
        let status = out.status.unwrap_or_default();
        if (100..200).contains(&status) && status != 101 {
            // An interim response: the final one follows.
            out.state = State::Start;
            out.begun = false;
            (out.status, out.id) = (None, None);
            return;
        }
        let method = self.requests.unanswered.front().copied().unwrap_or(Method::Other);
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
            out.state = State::Unparsable;
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
        if self.requests.unanswered.pop_front().is_none() && self.requests.in_head() {
            self.requests.refused = true;
        }
        if out.fields.closes {
            // RFC 9112, 9.6: later requests get no response.
            self.requests.closing = true;
            self.requests.unanswered.clear();
        }
        on(Event::Written { entry: out.take(), tail });
    }

    /// The writing side was shut down: a response that ends with its connection is complete.
    pub(crate) fn fin_sent(&mut self, on: &mut dyn FnMut(Event)) {
        if self.protocol == Protocol::Http1 && self.responses.state == State::Body(Body::UntilClose) {
            self.response_complete(0, on);
        }
    }

    /// Removes everything that is not complete: first responses that have begun, then requests whose head was read and
    /// whose response has no byte.
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
            self.requests.unanswered.pop_front();
            unfinished.push(out.take());
        }
        for _ in self.requests.unanswered.drain(..) {
            unfinished.push(Entry::unanswered(out.count));
            out.count += 1;
        }
        // Later bytes belong to no response that could still become whole.
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

    /// Whether the head of a request was read and no byte of its response was written.
    pub(crate) fn response_owed(&self) -> bool {
        !matches!(self.protocol, Protocol::Opaque | Protocol::Http2)
            && self.requests.unanswered.len() > usize::from(self.response_open())
    }

    /// Whether the peer has sent part of a request: the rest may still arrive.
    pub(crate) fn request_open(&self) -> bool {
        match self.requests.state {
            State::Headers | State::Body(_) | State::Unparsable => true,
            State::Start => self.requests.lines.started,
            State::Tunnel => false,
        }
    }
}
