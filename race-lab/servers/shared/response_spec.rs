//! The specification of a response in a request's path, so that one server process can serve every case of the table.
//!
//! `/{drain|boundary}/{keep|close}/{held|fed}/{bytes}`

/// How far the handler reads the request body before it responds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestReading {
    /// To the end of the body.
    Drain,
    /// To the closing multipart delimiter, without later framing: the body is dropped before hyper has
    /// read the last chunk.
    Boundary,
}

/// The source of the response's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    /// One buffer in memory, with a `Content-Length`.
    Held,
    /// Another thread, over a channel: chunked.
    Fed,
}

/// The requested response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResponseSpec {
    pub reading: RequestReading,
    /// The response has `Connection: close`.
    pub close: bool,
    pub body: Body,
    pub bytes: usize,
}

/// Limit above the figures of all cases.
const MOST_BYTES: usize = 64 << 20;

impl ResponseSpec {
    pub fn parse(path: &str) -> Option<Self> {
        let mut parts = path.strip_prefix('/')?.split('/');
        let reading = match parts.next()? {
            "drain" => RequestReading::Drain,
            "boundary" => RequestReading::Boundary,
            _ => return None,
        };
        let close = match parts.next()? {
            "keep" => false,
            "close" => true,
            _ => return None,
        };
        let body = match parts.next()? {
            "held" => Body::Held,
            "fed" => Body::Fed,
            _ => return None,
        };
        let bytes = parts.next()?.parse().ok().filter(|bytes| *bytes <= MOST_BYTES)?;
        parts.next().is_none().then_some(Self { reading, close, body, bytes })
    }
}

/// Finds the closing delimiter `--boundary--` in a body that arrives in pieces.
pub struct Delimiter {
    wanted: Vec<u8>,
    tail: Vec<u8>,
}

impl Delimiter {
    /// From the `Content-Type` of the request; without a boundary it never matches.
    pub fn from_content_type(value: Option<&str>) -> Self {
        let boundary = value
            .and_then(|value| value.split_once("boundary="))
            .map(|(_, rest)| rest.split(';').next().unwrap_or(rest).trim().trim_matches('"'));
        let wanted = boundary.map(|boundary| format!("--{boundary}--").into_bytes()).unwrap_or_default();
        Self { wanted, tail: Vec::new() }
    }

    /// True as soon as the delimiter has passed.
    pub fn seen_in(&mut self, piece: &[u8]) -> bool {
        if self.wanted.is_empty() {
            return false;
        }
        self.tail.extend_from_slice(piece);
        let found = self.tail.windows(self.wanted.len()).any(|window| window == self.wanted);
        let keep = self.tail.len().min(self.wanted.len() - 1);
        self.tail.drain(..self.tail.len() - keep);
        found
    }
}

/// The bytes of every response's body: position-dependent, so that a client notices a piece that is missing or repeated.
pub fn pattern(bytes: usize) -> Vec<u8> {
    (0..bytes.div_ceil(4) as u32)
        .flat_map(|word| word.wrapping_mul(2_654_435_761).to_le_bytes())
        .take(bytes)
        .collect()
}
