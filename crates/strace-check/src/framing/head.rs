//! Heads of responses and requests, as far as they can be seen.

use ledger::http1::{self, Fields};

/// What is known of one response.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Response {
    pub(crate) method: Option<String>,
    pub(crate) status: Option<u16>,
    pub(crate) promised: Option<u64>,
    pub(crate) chunked: bool,
    /// Bytes of the head, once its end is known.
    pub(crate) head: Option<u64>,
    /// The head was in sight to its end: what it does not say, it does not promise.
    pub(super) head_in_sight: bool,
    /// Bytes of all kinds that the kernel took.
    pub(crate) taken: u64,
    /// Its request was out of sight, behind others in one read: it may have been `HEAD`.
    pub(super) perhaps_bodiless: bool,
}

impl Response {
    /// Body bytes that the kernel took, chunk framing included; all bytes while the head's end is not known.
    pub(crate) fn sent(&self) -> u64 {
        self.taken - self.head.unwrap_or(0).min(self.taken)
    }

    /// An interim answer with its end out of sight and, to judge by its length, nothing behind it.
    pub(super) fn interim_alone(&self) -> bool {
        const LONGEST: u64 = 2048;
        self.status.is_some_and(|status| status < 200 && status != 101) && self.taken <= LONGEST
    }

    /// What can be seen of its head says how long it is: by a length, by having no body, or by promising nothing, so that
    /// the body goes on to the end of the connection.
    pub(super) fn measured(&self) -> bool {
        // Behind an interim answer, in the same write, comes the one that counts.
        let interim = self.status.is_some_and(|status| status < 200);
        let until_the_end = self.head_in_sight && !self.chunked;
        self.promised.is_some() || !self.has_body() && !interim || until_the_end
    }

    pub(super) fn has_body(&self) -> bool {
        self.method.as_deref() != Some("HEAD")
            && !self.status.is_some_and(|status| status < 200 || status == 204 || status == 304)
    }
}

/// Whether this is the beginning of a response, as far as it goes.
pub(crate) fn begins_response(visible: &[u8]) -> bool {
    const START: &[u8] = b"HTTP/1.";
    let length = visible.len().min(START.len());
    length > 0 && visible[..length] == START[..length]
}

/// Where the head that `text` begins with ends, its empty line included, looking from `from` on. Some servers write bare
/// line feeds, and every client reads them.
pub(super) fn head_end(text: &[u8], from: usize) -> Option<usize> {
    (from..text.len()).filter(|at| text[*at] == b'\n').find_map(|at| match text[at + 1..] {
        [b'\n', ..] => Some(at + 2),
        [b'\r', b'\n', ..] => Some(at + 3),
        _ => None,
    })
}

/// The method of the request that `visible` begins with.
pub(super) fn method(visible: &[u8]) -> Option<String> {
    let length = visible.iter().take_while(|byte| byte.is_ascii_uppercase()).count();
    let target = matches!(visible.get(length..)?, [b' ', b'/' | b'*' | b'h' | b'H' | b'0'..=b'9' | b'[', ..]);
    // A server's name behind CONNECT begins with any letter.
    let connect = visible.starts_with(b"CONNECT ");
    let known = (3..=20).contains(&length) && (target || connect);
    known.then(|| String::from_utf8_lossy(&visible[..length]).into_owned())
}

impl Response {
    /// Takes what the complete lines of a head say. The status may stand in a line without its end.
    pub(super) fn read(&mut self, text: &[u8]) {
        let mut lines =
            text.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
        self.status = lines.next().and_then(http1::status_code);
        let complete = lines.clone().count().saturating_sub(1);
        let mut fields = Fields::default();
        for line in lines.take(complete) {
            fields.line(line);
        }
        self.promised = fields.length.filter(|_| !fields.malformed);
        self.chunked = fields.chunked;
    }
}
