//! Heads of responses and requests, as far as they are visible.

use ledger::http1::{self, Fields};

/// The known facts about one response.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Response {
    pub(crate) method: Option<String>,
    pub(crate) status: Option<u16>,
    pub(crate) promised: Option<u64>,
    pub(crate) chunked: bool,
    /// Bytes of the head, once its end is known.
    pub(crate) head: Option<u64>,
    /// The whole head was visible: fields that are not in it were not sent.
    pub(super) head_in_sight: bool,
    /// Bytes of all kinds that the kernel accepted.
    pub(crate) taken: u64,
    /// Its request was not visible, after others in one read: it may have been `HEAD`.
    pub(super) perhaps_bodiless: bool,
}

impl Response {
    /// Body bytes that the kernel accepted, including chunk framing; all bytes while the head's end is not known.
    pub(crate) fn sent(&self) -> u64 {
        self.taken - self.head.unwrap_or(0).min(self.taken)
    }

    /// An interim response whose end is not visible and, judging by its length, nothing after it.
    pub(super) fn interim_alone(&self) -> bool {
        const LONGEST: u64 = 2048;
        self.status.is_some_and(|status| status < 200 && status != 101) && self.taken <= LONGEST
    }

    /// Whether the visible part of the head determines the length: a length field, no body, or neither length nor chunks, so
    /// that the connection's end ends the body.
    pub(super) fn measured(&self) -> bool {
        // An interim response may be followed by the final one in the same write.
        let interim = self.status.is_some_and(|status| status < 200);
        let until_the_end = self.head_in_sight && !self.chunked;
        self.promised.is_some() || !self.has_body() && !interim || until_the_end
    }

    pub(super) fn has_body(&self) -> bool {
        self.method.as_deref() != Some("HEAD")
            && !self.status.is_some_and(|status| status < 200 || status == 204 || status == 304)
    }
}

/// Whether this is the beginning of a response, as far as it is visible.
pub(crate) fn begins_response(visible: &[u8]) -> bool {
    const START: &[u8] = b"HTTP/1.";
    let length = visible.len().min(START.len());
    length > 0 && visible[..length] == START[..length]
}

/// The end of the head at the start of `text`, including its empty line, searched from `from` on. Some servers write bare
/// line feeds, which clients accept.
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
    // The host after CONNECT begins with any letter.
    let connect = visible.starts_with(b"CONNECT ");
    let known = (3..=20).contains(&length) && (target || connect);
    known.then(|| String::from_utf8_lossy(&visible[..length]).into_owned())
}

impl Response {
    /// Parses the complete lines of a head. The status may be in an incomplete line.
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
