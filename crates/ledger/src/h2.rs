//! HTTP/2 framing (RFC 9113, section 4) as far as a ledger needs it: the boundaries of frames, the streams that carry a
//! response, and their ends by `END_STREAM`.
//!
//! Header blocks stay compressed, so neither status nor Content-Length is known here: the promise of an
//! HTTP/2 response is its end-of-stream flag. Payloads are skipped by arithmetic.

use std::collections::HashMap;

use crate::entry::{Entry, Event, Protocol};

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;

/// Streams followed at once, far above the concurrency limit of any server. Streams beyond it get no verdict.
const STREAM_LIMIT: usize = 1 << 16;

/// Who sent a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    Incoming,
    Outgoing,
}

/// A frame that was sent or received in full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    kind: u8,
    flags: u8,
    stream: u32,
    /// Payload bytes without padding.
    length: u32,
    /// Bytes of the same slice that come after the frame.
    pub(crate) tail: u64,
}

/// Splits a stream of bytes into frames.
#[derive(Debug)]
pub(crate) struct Frames {
    preface_left: usize,
    head: [u8; 9],
    have: usize,
    /// Payload bytes that are still to come, once the frame header is complete.
    left: u32,
    padding: u32,
}

impl Frames {
    /// `preface_left`: bytes to skip before the first frame.
    pub(crate) fn after(preface_left: usize) -> Self {
        Self { preface_left, head: [0; 9], have: 0, left: 0, padding: 0 }
    }

    pub(crate) fn follow(&mut self, mut input: &[u8], on: &mut dyn FnMut(Frame)) {
        let skip = self.preface_left.min(input.len());
        self.preface_left -= skip;
        input = &input[skip..];
        while !input.is_empty() {
            if self.have < 9 {
                let n = (9 - self.have).min(input.len());
                self.head[self.have..self.have + n].copy_from_slice(&input[..n]);
                self.have += n;
                input = &input[n..];
                if self.have < 9 {
                    return;
                }
                self.left = self.length();
                self.padding = 0;
            }
            if self.left > 0 && !input.is_empty() {
                if self.left == self.length() && self.head[3] == DATA && self.head[4] & PADDED != 0 {
                    // The pad length byte, and as many bytes at the end, are not body bytes.
                    self.padding = 1 + u32::from(input[0]);
                }
                let n = self.left.min(u32::try_from(input.len()).unwrap_or(u32::MAX));
                self.left -= n;
                input = &input[n as usize..];
            }
            if self.left == 0 {
                self.have = 0;
                let [_, _, _, kind, flags, stream @ ..] = self.head;
                on(Frame {
                    kind,
                    flags,
                    stream: u32::from_be_bytes(stream) & 0x7fff_ffff,
                    length: self.length().saturating_sub(self.padding),
                    tail: input.len() as u64,
                });
            }
        }
    }

    fn length(&self) -> u32 {
        u32::from_be_bytes([0, self.head[0], self.head[1], self.head[2]])
    }
}

#[derive(Debug, Default)]
struct Stream {
    written: u64,
    /// `HEADERS` carried `END_STREAM`, but `CONTINUATION` frames are still to come.
    ends_with_headers: bool,
}

/// The streams on which a response has begun and not ended.
#[derive(Debug, Default)]
pub(crate) struct Streams {
    open: HashMap<u32, Stream>,
}

impl Streams {
    pub(crate) fn frame(&mut self, direction: Direction, frame: Frame, tail: u64, on: &mut dyn FnMut(Event)) {
        let outgoing = direction == Direction::Outgoing;
        let ended = match frame.kind {
            RST_STREAM => {
                if let Some(stream) = self.open.remove(&frame.stream) {
                    on(Event::Reset { entry: entry(frame.stream, stream.written), by_peer: !outgoing });
                }
                return;
            }
            HEADERS if outgoing => {
                if !self.open.contains_key(&frame.stream) && self.open.len() >= STREAM_LIMIT {
                    return;
                }
                let stream = self.open.entry(frame.stream).or_default();
                stream.ends_with_headers = frame.flags & END_STREAM != 0;
                stream.ends_with_headers && frame.flags & END_HEADERS != 0
            }
            CONTINUATION if outgoing => {
                frame.flags & END_HEADERS != 0
                    && self.open.get(&frame.stream).is_some_and(|stream| stream.ends_with_headers)
            }
            DATA if outgoing => {
                if let Some(stream) = self.open.get_mut(&frame.stream) {
                    stream.written += u64::from(frame.length);
                }
                frame.flags & END_STREAM != 0
            }
            _ => false,
        };
        if ended && let Some(stream) = self.open.remove(&frame.stream) {
            on(Event::Written { entry: entry(frame.stream, stream.written), tail });
        }
    }

    pub(crate) fn any_open(&self) -> bool {
        !self.open.is_empty()
    }

    pub(crate) fn take_open(&mut self) -> Vec<Entry> {
        let mut open: Vec<Entry> = self.open.drain().map(|(id, stream)| entry(id, stream.written)).collect();
        open.sort_by_key(|entry| entry.number);
        open
    }
}

fn entry(stream: u32, written: u64) -> Entry {
    Entry {
        protocol: Protocol::Http2,
        number: u64::from(stream),
        status: None,
        promised: None,
        written,
        id: None,
    }
}
