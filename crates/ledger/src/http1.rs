//! The lines of an HTTP/1 head that decide about framing (RFC 9112): the status line, the fields that give a length, and
//! the size line of a chunk.
//!
//! Each function reads one line without its line end. A caller can therefore follow a head that arrives in pieces, or
//! that is known only in part, which a parser that needs the whole head in one buffer cannot do.

/// Header fields that decide about framing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fields {
    /// `Content-Length`.
    pub length: Option<u64>,
    /// The last transfer coding is `chunked`.
    pub chunked: bool,
    /// The last transfer coding is another one.
    pub other_coding: bool,
    /// A `Content-Length` is not a number, or differs from an earlier one.
    pub malformed: bool,
    /// `Connection: close`.
    pub closes: bool,
}

impl Fields {
    /// Reads one field line.
    #[inline]
    pub fn line(&mut self, line: &[u8]) {
        if let Some(value) = field_value(b"content-length", line) {
            self.content_length(value);
        } else if let Some(value) = field_value(b"transfer-encoding", line) {
            let last = value.rsplit(|byte| *byte == b',').next().unwrap_or_default().trim_ascii();
            self.chunked = last.eq_ignore_ascii_case(b"chunked");
            self.other_coding = !self.chunked;
        } else if let Some(value) = field_value(b"connection", line) {
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

/// The value of a field line if its name is `name`, which should be in lower case.
#[inline]
pub fn field_value<'a>(name: &[u8], line: &'a [u8]) -> Option<&'a [u8]> {
    // The position of the colon excludes nearly every other field with one comparison.
    if line.get(name.len()) != Some(&b':') {
        return None;
    }
    let (found, value) = line.split_at(name.len());
    // Most servers write names in lower case.
    (found == name || found.eq_ignore_ascii_case(name)).then(|| value[1..].trim_ascii())
}

/// The status code of a status line; `None` if the line is not a status line of HTTP/1.
pub fn status_code(line: &[u8]) -> Option<u16> {
    let rest = line.strip_prefix(b"HTTP/1.")?;
    let [minor, b' ', a, b, c, after @ ..] = rest else { return None };
    if !minor.is_ascii_digit() || !(after.is_empty() || after[0] == b' ') {
        return None;
    }
    number::<10>(&[*a, *b, *c]).and_then(|status| u16::try_from(status).ok())
}

/// The size in the first line of a chunk, without extensions.
pub fn chunk_size(line: &[u8]) -> Option<u64> {
    let end = memchr::memchr(b';', line).unwrap_or(line.len());
    number::<16>(line[..end].trim_ascii())
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

#[cfg(test)]
mod tests {
    use super::{chunk_size, field_value, status_code};

    #[test]
    fn a_field_is_found_by_its_whole_name() {
        let length = |line: &'static str| field_value(b"content-length", line.as_bytes());
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

    #[test]
    fn a_status_line_has_three_digits() {
        assert_eq!(status_code(b"HTTP/1.1 200 OK"), Some(200));
        assert_eq!(status_code(b"HTTP/1.0 404"), Some(404));
        for other in [&b"HTTP/1.1 20"[..], b"HTTP/1.1 2000", b"HTTP/2 200", b"GET / HTTP/1.1", b""] {
            assert_eq!(status_code(other), None, "{other:?}");
        }
    }

    #[test]
    fn a_chunk_size_is_hexadecimal_and_bounded() {
        assert_eq!(chunk_size(b"1F;name=value"), Some(31));
        assert_eq!(chunk_size(b"ffffffffffffffff"), Some(u64::MAX));
        for other in [&b"1ffffffffffffffff"[..], b"-1", b"+1", b"0x1", b"", b";a"] {
            assert_eq!(chunk_size(other), None, "{other:?}");
        }
    }
}
