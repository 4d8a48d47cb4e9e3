//! The HTTP/1 framing of what one connection sends, as far as it can be seen.
//!
//! strace shows the beginning of each buffer and the length of all of it. What is visible is followed like a parser
//! would; where the view ends, the lengths that the server asked the kernel to take remain as evidence.

/// How much of a head is kept.
const MOST_HEAD: usize = 64 << 10;

/// One buffer of a write: its length, and the beginning of it that strace printed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) length: u64,
    pub(crate) visible: Vec<u8>,
}

impl Piece {
    /// What can be seen of the part between two offsets.
    fn part(&self, from: u64, to: u64) -> Part<'_> {
        let seen = self.visible.len();
        let clamp = |at: u64| usize::try_from(at).map_or(seen, |at| at.min(seen));
        Part { length: to - from, visible: &self.visible[clamp(from)..clamp(to)] }
    }
}

/// A part of a [`Piece`], seen in place.
#[derive(Clone, Copy, Debug)]
struct Part<'a> {
    length: u64,
    visible: &'a [u8],
}

/// The part of a write from one offset to another, with no more of its bytes than a head needs.
fn slice(pieces: &[Piece], from: u64, to: u64) -> Vec<Piece> {
    let mut parts = Vec::new();
    let mut start = 0;
    for piece in pieces {
        let end = start + piece.length;
        let (a, b) = (from.max(start), to.min(end));
        if a < b {
            let part = piece.part(a - start, b - start);
            let kept = part.visible.len().min(KEPT_VISIBLE);
            parts.push(Piece { length: part.length, visible: part.visible[..kept].to_vec() });
        }
        start = end;
    }
    parts
}

/// What is known of one response.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Response {
    pub(crate) method: Option<String>,
    pub(crate) status: Option<u16>,
    pub(crate) promised: Option<u64>,
    pub(crate) chunked: bool,
    /// Bytes of the head, once its end is known.
    pub(crate) head: Option<u64>,
    /// Bytes of all kinds that the kernel took.
    pub(crate) taken: u64,
}

impl Response {
    /// Body bytes that the kernel took, chunk framing included; all bytes while the head's end is not known.
    pub(crate) fn sent(&self) -> u64 {
        self.taken - self.head.unwrap_or(0).min(self.taken)
    }

    fn has_body(&self) -> bool {
        self.method.as_deref() != Some("HEAD")
            && !self.status.is_some_and(|status| status < 200 || status == 204 || status == 304)
    }
}

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
    /// Not HTTP/1, or no longer.
    Opaque,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Chunk {
    Size(Vec<u8>),
    /// Data and its line end.
    Data(u64),
    /// After the last chunk: trailers up to an empty line.
    Trailer(Vec<u8>),
}

/// What the framing says of a response whose connection ends now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// No response is under way.
    Nothing,
    /// It was complete, or nothing speaks against it.
    Whole,
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
    /// Complete responses so far.
    pub(crate) responses: u64,
    /// Methods of the requests that were read and not yet answered, oldest first.
    methods: std::collections::VecDeque<String>,
    /// What the last write offered and the kernel did not take.
    rest: Vec<Piece>,
    /// Counted over the whole connection: bytes taken, and how far the server has ever tried to get.
    taken: u64,
    offered: u64,
}

/// More requests than this are not waiting on any connection.
const MOST_WAITING: usize = 1024;
/// What is kept of a buffer that the kernel did not take.
const KEPT_VISIBLE: usize = 16 << 10;
const METHODS: [&str; 9] = ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"];

impl Outgoing {
    pub(crate) fn new() -> Self {
        Self {
            state: State::Between,
            response: Response::default(),
            middle: false,
            responses: 0,
            methods: std::collections::VecDeque::new(),
            rest: Vec::new(),
            taken: 0,
            offered: 0,
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
            State::Opaque => false,
            State::Unknown => self.began(),
            State::Head(_) | State::Counted(_) | State::Chunked(_) => true,
        }
    }

    /// Something was read: the methods of the requests that can be seen in it.
    pub(crate) fn read(&mut self, visible: &[u8]) {
        let mut rest = visible;
        while let Some(method) = METHODS.iter().find(|method| {
            rest.strip_prefix(method.as_bytes()).is_some_and(|rest| rest.first() == Some(&b' '))
        }) {
            if self.methods.len() < MOST_WAITING {
                self.methods.push_back((*method).to_owned());
            }
            // Another request directly behind a head without a body: pipelining.
            match find(rest, b"\r\n\r\n") {
                Some(end) => rest = &rest[end + 4..],
                None => break,
            }
        }
    }

    /// The server offered `pieces` and the kernel took the first `taken` bytes of them.
    pub(crate) fn wrote(&mut self, pieces: &[Piece], taken: u64) {
        let length: u64 = pieces.iter().map(|piece| piece.length).sum();
        let taken = taken.min(length);
        // A body whose end is out of sight has ended when the next write begins another response.
        if self.state == State::Unknown
            && self.offered <= self.taken
            && pieces.first().is_some_and(|piece| begins_response(&piece.visible))
        {
            self.complete();
        }
        let mut start = 0;
        for (nth, piece) in pieces.iter().enumerate() {
            if start >= taken {
                break;
            }
            self.follow(piece, piece.length.min(taken - start), nth + 1 < pieces.len());
            start += piece.length;
        }
        self.offered = self.offered.max(self.taken + length);
        self.taken += taken;
        self.rest = slice(pieces, taken, length);
    }

    /// Bytes moved by calls that show none of them. What such a call asks for is often "as much as there is", so
    /// only what was taken counts.
    pub(crate) fn moved(&mut self, taken: u64) {
        self.wrote(&[Piece { length: taken, visible: Vec::new() }], taken);
    }

    /// Follows the first `length` bytes of a piece.
    fn follow(&mut self, piece: &Piece, length: u64, more_pieces: bool) {
        let mut at = 0_u64;
        while at < length {
            let left = length - at;
            let here = piece.part(at, length);
            let used = match &mut self.state {
                State::Opaque | State::Unknown => left,
                State::Between => {
                    if here.visible.is_empty() || begins_response(here.visible) {
                        self.response =
                            Response { method: self.methods.front().cloned(), ..Response::default() };
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
        let Some(end) = find(text, b"\r\n\r\n") else {
            let out_of_sight = piece.length > piece.visible.len() as u64;
            if out_of_sight || text.len() > MOST_HEAD {
                let text = std::mem::take(text);
                self.head_out_of_sight(&text, piece.length, more_pieces);
            }
            return piece.length;
        };
        let used = end + 4 - before;
        let head = text[..end + 2].to_vec();
        self.read_head(&head);
        self.response.head = Some(self.response.taken + used as u64);
        self.begin_body();
        used as u64
    }

    /// The end of the head is not visible. A length may be, and servers like to give the head a buffer of its own.
    fn head_out_of_sight(&mut self, text: &[u8], length: u64, more_pieces: bool) {
        self.read_head(text);
        if more_pieces {
            self.response.head = Some(self.response.taken + length);
        }
        self.state = State::Unknown;
        if self.response.head.is_some() && self.response.promised.is_some() {
            self.begin_body();
        }
        if self.response.status.is_some_and(|status| status < 200 && status != 101) {
            // An interim answer comes alone, and the response is still to come.
            self.state = State::Between;
        }
    }

    /// Takes what the complete lines of a head say.
    fn read_head(&mut self, text: &[u8]) {
        let last = find_last(text, b"\r\n").map_or(0, |end| end + 2);
        let text_of = String::from_utf8_lossy(text);
        self.response.status = text_of.get(9..12).and_then(|status| status.parse().ok());
        for line in text[..last].split(|byte| *byte == b'\n').skip(1) {
            let line = String::from_utf8_lossy(line);
            let Some((name, value)) = line.split_once(':') else { continue };
            let value = value.trim();
            if name.eq_ignore_ascii_case("content-length") {
                self.response.promised = value.parse().ok();
            } else if name.eq_ignore_ascii_case("transfer-encoding") {
                self.response.chunked = value.to_ascii_lowercase().ends_with("chunked");
            }
        }
    }

    fn begin_body(&mut self) {
        let status = self.response.status;
        let tunnel = status == Some(101)
            || (self.response.method.as_deref() == Some("CONNECT")
                && status.is_some_and(|status| (200..300).contains(&status)));
        self.state = if tunnel {
            State::Opaque
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

    /// Reads on in a chunked body; returns how many bytes were used.
    fn chunks(&mut self, piece: Part<'_>) -> u64 {
        let State::Chunked(chunk) = &mut self.state else { return 0 };
        match chunk {
            Chunk::Data(missing) => {
                let used = piece.length.min(*missing);
                *missing -= used;
                if *missing == 0 {
                    *chunk = Chunk::Size(Vec::new());
                }
                used
            }
            Chunk::Size(line) | Chunk::Trailer(line) => {
                let Some(byte) = piece.visible.first() else {
                    // The framing is out of sight from here on.
                    self.state = State::Unknown;
                    return 0;
                };
                line.push(*byte);
                if line.ends_with(b"\r\n") && line.len() > 2 || line.len() > 256 {
                    self.chunk_line();
                }
                1
            }
        }
    }

    fn chunk_line(&mut self) {
        let State::Chunked(chunk) = &mut self.state else { return };
        *chunk = match chunk {
            Chunk::Size(line) => {
                let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
                let size = std::str::from_utf8(&line[..digits])
                    .ok()
                    .and_then(|digits| u64::from_str_radix(digits, 16).ok());
                match size.map(|size| size.checked_add(2)) {
                    Some(Some(2)) => Chunk::Trailer(Vec::new()),
                    Some(Some(size)) => Chunk::Data(size),
                    _ => {
                        self.state = State::Unknown;
                        return;
                    }
                }
            }
            Chunk::Trailer(_) => Chunk::Trailer(Vec::new()),
            Chunk::Data(left) => Chunk::Data(*left),
        };
    }

    fn complete(&mut self) {
        self.responses += u64::from(!self.middle);
        self.middle = false;
        self.methods.pop_front();
        self.state = State::Between;
    }

    /// The connection ends here.
    pub(crate) fn end(&mut self) -> End {
        let left: u64 = self.offered.saturating_sub(self.taken);
        let cut = |response: &Response, missing: u64, exact: bool| End::Cut {
            response: Box::new(response.clone()),
            missing,
            exact,
        };
        match &self.state {
            State::Opaque => End::Nothing,
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
                let mut peek = self.clone();
                peek.read_head(text);
                cut(&peek.response, left.max(1), false)
            }
            State::Counted(missing) => cut(&self.response, *missing, true),
            State::Chunked(_) => cut(&self.response, left.max(1), false),
            State::Unknown if left > 0 => cut(&self.response, left, false),
            // The length may be visible and the end of the head not: then all bytes together may be fewer than the body.
            State::Unknown => match self.response.promised.filter(|_| self.response.has_body()) {
                Some(promised) if self.response.taken < promised => {
                    cut(&self.response, promised - self.response.taken, false)
                }
                _ => End::Whole,
            },
        }
    }

    /// What the last write left over.
    pub(crate) fn left_over(&self) -> u64 {
        self.offered.saturating_sub(self.taken)
    }
}

/// Whether this is the beginning of a response, as far as it goes.
pub(crate) fn begins_response(visible: &[u8]) -> bool {
    const START: &[u8] = b"HTTP/1.";
    let length = visible.len().min(START.len());
    length > 0 && visible[..length] == START[..length]
}

fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    text.windows(what.len()).position(|window| window == what)
}

fn find_last(text: &[u8], what: &[u8]) -> Option<usize> {
    text.windows(what.len()).rposition(|window| window == what)
}
