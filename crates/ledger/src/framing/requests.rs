//! The requests of a connection. They are followed because the length of a response depends on the method that it
//! answers (`HEAD`, `CONNECT`), and because pipelined requests have to be distinguished from request bodies.

use std::collections::VecDeque;

use super::body::{Body, State, step_body};
use super::lines::Lines;
use crate::http1::Fields;

/// Pipelined requests remembered before the connection is no longer followed; servers hold far fewer.
const PIPELINE_LIMIT: usize = 1 << 16;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Method {
    Head,
    Connect,
    Other,
}

#[derive(Debug)]
pub(super) struct Requests {
    pub(super) state: State,
    pub(super) lines: Lines,
    fields: Fields,
    method: Method,
    /// Methods of requests whose head is complete and that have no final response yet, oldest first.
    pub(super) unanswered: VecDeque<Method>,
    begun: bool,
    /// The server has responded to the current head before its end arrived.
    pub(super) refused: bool,
    /// The server has announced the close: later requests get no response.
    pub(super) closing: bool,
}

/// The first line of the HTTP/2 preface, which has the form of a request line.
const PREFACE_LINE: &[u8] = b"PRI * HTTP/2.0";

impl Requests {
    pub(super) fn new() -> Self {
        Self {
            state: State::Start,
            lines: Lines::default(),
            fields: Fields::default(),
            method: Method::Other,
            unanswered: VecDeque::new(),
            begun: false,
            refused: false,
            closing: false,
        }
    }

    /// Follows incoming bytes. Returns the bytes that come after the first line of an HTTP/2 preface.
    pub(super) fn follow<'a>(&mut self, mut input: &'a [u8]) -> Option<&'a [u8]> {
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
                            self.state = State::Unparsable;
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
                State::Tunnel | State::Unparsable => return None,
            }
        }
        None
    }

    fn head_complete(&mut self) {
        if self.unanswered.len() >= PIPELINE_LIMIT || self.fields.malformed {
            self.state = State::Unparsable;
            return;
        }
        if !std::mem::take(&mut self.refused) && !self.closing {
            self.unanswered.push_back(self.method);
        }
        self.state = match (&self.fields, self.method) {
            // What follows CONNECT depends on its response; a server reads no further until then.
            (_, Method::Connect) => State::Tunnel,
            (Fields { chunked: true, .. }, _) => State::Body(Body::ChunkSize),
            (Fields { other_coding: true, .. }, _) => State::Unparsable,
            (Fields { length: Some(length), .. }, _) if *length > 0 => State::Body(Body::Length(*length)),
            _ => State::Start,
        };
    }

    /// The start of a head has arrived and its end has not.
    pub(super) fn in_head(&self) -> bool {
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
