//! The events of one run, generated from a seed.

use std::time::Duration;

/// How the simulated transport closes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Accepted is not received: input that is unread at the close, or arrives after it, discards the queue
    /// and sends a reset to the peer.
    Tcp,
    /// Accepted bytes stay readable. The peer reads a reset, after the data, only if input was unread.
    Unix,
}

/// How a response body is framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// By Content-Length.
    Length,
    /// By chunks.
    Chunked,
}

/// How much of a request the handler reads before it responds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reads {
    /// To the end.
    All,
    /// Up to this many body bytes; then it drops the body, like a parser that stops at the closing
    /// delimiter.
    UpTo(usize),
    /// Nothing: it drops the body at once.
    Nothing,
}

/// A part of a response body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Its length, at least 1.
    pub bytes: usize,
    /// Time until it is available.
    pub after: Duration,
}

/// One request, and what the handler does with it.
#[derive(Clone)]
pub struct Exchange {
    /// The request as it goes over the wire, in pieces that each arrive `after` the one before.
    pub request: Vec<(Vec<u8>, Duration)>,
    /// Whether it is a `HEAD` request, whose response has no body.
    pub head_only: bool,
    /// How much of it the handler reads.
    pub reads: Reads,
    /// How the response is framed.
    pub framing: Framing,
    /// The body of the response.
    pub pieces: Vec<Piece>,
    /// The response carries `Connection: close`.
    pub says_close: bool,
}

impl std::fmt::Debug for Exchange {
    /// Prints only the first line of the request and the lengths of its pieces.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let bytes: Vec<u8> = self.request.iter().flat_map(|(piece, _)| piece).copied().collect();
        let head = bytes.split(|byte| *byte == b'\n').take(4).collect::<Vec<_>>().concat();
        let pieces: Vec<_> = self.request.iter().map(|(piece, after)| (piece.len(), after)).collect();
        f.debug_struct("Exchange")
            .field("head", &String::from_utf8_lossy(&head[..head.len().min(120)]))
            .field("request", &pieces)
            .field("head_only", &self.head_only)
            .field("reads", &self.reads)
            .field("framing", &self.framing)
            .field("pieces", &self.pieces)
            .field("says_close", &self.says_close)
            .finish()
    }
}

impl Exchange {
    /// Length of the response's body.
    pub fn length(&self) -> usize {
        self.pieces.iter().map(|piece| piece.bytes).sum()
    }

    /// The body bytes of one piece. They depend on the offset, so that lost or repeated bytes are
    /// detected.
    pub fn piece(&self, index: usize) -> Vec<u8> {
        let start: usize = self.pieces[..index].iter().map(|piece| piece.bytes).sum();
        (start..start + self.pieces[index].bytes).map(body_byte).collect()
    }
}

/// The byte of every body at `offset`.
pub fn body_byte(offset: usize) -> u8 {
    // A prime, so that the pattern does not repeat at powers of two.
    u8::try_from(offset % 251).unwrap_or(0)
}

/// One call to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteStep {
    /// Takes at most this many bytes.
    Take(usize),
    /// Is not ready for this long.
    Pend(Duration),
}

/// How the peer ends the connection early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quit {
    /// Nothing.
    Never,
    /// It resets the connection when it has received this many bytes.
    ResetAt(usize),
    /// It stops reading for good when it has received this many bytes, and stays connected.
    StallAt(usize),
}

/// Everything that happens in one run.
#[derive(Clone, Debug)]
pub struct Schedule {
    /// The seed that it was generated from.
    pub seed: u64,
    /// How the transport closes.
    pub kind: Kind,
    /// Bytes the send queue holds.
    pub capacity: usize,
    /// The transport buffers accepted bytes until it is flushed, as TLS does.
    pub holds: bool,
    /// Whether it takes vectored writes.
    pub vectored: bool,
    /// The outcomes of successive writes; starts over at its end.
    pub writes: Vec<WriteStep>,
    /// How long successive flushes are not ready; starts over at its end.
    pub flushes: Vec<Duration>,
    /// The peer's reads: at most so many bytes, after a pause; starts over at its end.
    pub reads: Vec<(usize, Duration)>,
    /// Requests and responses, in order.
    pub exchanges: Vec<Exchange>,
    /// Requests are sent without waiting for responses.
    pub pipelined: bool,
    /// The peer ends its writing side after the last request.
    pub half_closes: bool,
    /// The last piece of the last request is sent only when its response is complete.
    pub withholds_end: bool,
    /// How the peer ends the connection early, if it does.
    pub quit: Quit,
}

/// A small generator (SplitMix64, by Steele, Lea and Flood), so that a seed can be repeated.
#[derive(Debug)]
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From `low` to `high` inclusive.
    fn range(&mut self, low: usize, high: usize) -> usize {
        let span = (high - low) as u64 + 1;
        low + usize::try_from(self.next() % span).unwrap_or(0)
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.next() % 100 < percent
    }

    /// Short lengths are as likely as long ones.
    fn length(&mut self, most: usize) -> usize {
        let bits = usize::BITS - most.leading_zeros();
        let limit = 1usize << self.range(0, bits as usize);
        self.range(1, limit.min(most).max(1))
    }

    fn pause(&mut self) -> Duration {
        if self.chance(60) { Duration::ZERO } else { Duration::from_millis(self.range(1, 300) as u64) }
    }
}

impl Schedule {
    /// The number of responses from a server that loses nothing: up to the first that ends the
    /// connection.
    pub fn owed(&self) -> usize {
        let ends = |exchange: &Exchange| {
            let request: Vec<u8> = exchange.request.iter().flat_map(|(piece, _)| piece).copied().collect();
            let close = b"Connection: close";
            exchange.says_close || request.windows(close.len()).any(|window| window == close)
        };
        self.exchanges.iter().position(ends).map_or(self.exchanges.len(), |last| last + 1)
    }

    /// Generates a schedule. The same seed gives the same schedule.
    pub fn from_seed(seed: u64) -> Self {
        let mut random = Random(seed);
        let r = &mut random;
        let count = r.range(1, 3);
        let exchanges: Vec<_> = (0..count).map(|index| exchange(r, index + 1 == count)).collect();
        let half_closes = r.chance(20);
        let total: usize = exchanges.iter().map(Exchange::length).sum();
        Self {
            seed,
            kind: if r.chance(50) { Kind::Tcp } else { Kind::Unix },
            capacity: r.range(1 << 10, 64 << 10),
            holds: r.chance(25),
            vectored: r.chance(75),
            writes: writes(r),
            flushes: (0..r.range(1, 6)).map(|_| r.pause() / 10).collect(),
            reads: (0..r.range(1, 8)).map(|_| (r.range(256, 64 << 10), r.pause() / 10)).collect(),
            pipelined: r.chance(20),
            half_closes,
            withholds_end: !half_closes && r.chance(20),
            quit: match r.range(0, 9) {
                0 => Quit::ResetAt(r.range(0, total + 400)),
                1 => Quit::StallAt(r.range(0, total + 400)),
                _ => Quit::Never,
            },
            exchanges,
        }
    }
}

fn writes(r: &mut Random) -> Vec<WriteStep> {
    let mut steps: Vec<_> = (0..r.range(1, 12))
        .map(|_| {
            if r.chance(30) {
                WriteStep::Pend(Duration::from_micros(r.range(0, 50_000) as u64))
            } else {
                WriteStep::Take(r.length(64 << 10))
            }
        })
        .collect();
    // Every schedule makes progress.
    steps.push(WriteStep::Take(r.range(512, 64 << 10)));
    steps
}

fn exchange(r: &mut Random, last: bool) -> Exchange {
    let head_only = r.chance(8);
    let framing = if r.chance(60) { Framing::Length } else { Framing::Chunked };
    let pieces = (0..if r.chance(40) { 1 } else { r.range(0, 8) })
        .map(|_| Piece { bytes: r.length(200_000), after: r.pause() })
        .collect();
    let (head, body) = request(r, head_only, last);
    Exchange {
        request: split(r, &head, &body),
        head_only,
        reads: match r.range(0, 3) {
            0 | 1 => Reads::All,
            2 => Reads::UpTo(r.range(0, 2000)),
            _ => Reads::Nothing,
        },
        framing,
        pieces,
        says_close: r.chance(if last { 30 } else { 3 }),
    }
}

/// Head and body of a request, including the end of a chunked body.
fn request(r: &mut Random, head_only: bool, last: bool) -> (String, Vec<u8>) {
    let close = if r.chance(if last { 20 } else { 3 }) { "Connection: close\r\n" } else { "" };
    if head_only {
        return (format!("HEAD / HTTP/1.1\r\nHost: model\r\n{close}\r\n"), Vec::new());
    }
    let bytes = vec![b'q'; r.length(20_000)];
    match r.range(0, 3) {
        0 => (format!("GET / HTTP/1.1\r\nHost: model\r\n{close}\r\n"), Vec::new()),
        1 => {
            let length = bytes.len();
            (format!("POST / HTTP/1.1\r\nHost: model\r\n{close}Content-Length: {length}\r\n\r\n"), bytes)
        }
        _ => {
            let mut body = Vec::new();
            for chunk in bytes.chunks(r.range(1000, 8192)) {
                body.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
                body.extend_from_slice(chunk);
                body.extend_from_slice(b"\r\n");
            }
            body.extend_from_slice(b"0\r\n\r\n");
            (format!("POST / HTTP/1.1\r\nHost: model\r\n{close}Transfer-Encoding: chunked\r\n\r\n"), body)
        }
    }
}

/// Splits a request at any byte; often just before the end of the body, where the bug occurs.
fn split(r: &mut Random, head: &str, body: &[u8]) -> Vec<(Vec<u8>, Duration)> {
    let bytes = [head.as_bytes(), body].concat();
    let mut cuts: Vec<usize> = (0..r.range(0, 3)).map(|_| r.range(1, bytes.len())).collect();
    if r.chance(60) {
        cuts.push(bytes.len().saturating_sub(5).max(1));
    }
    cuts.push(bytes.len());
    cuts.sort_unstable();
    cuts.dedup();
    let mut from = 0;
    cuts.into_iter()
        .map(|to| {
            let piece = bytes[from..to].to_vec();
            from = to;
            (piece, r.pause())
        })
        .collect()
}
