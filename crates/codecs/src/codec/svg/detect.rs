//! Detects SVG files by their root element.

use super::decode::head;

/// Looks for an `<svg` root after white space, a byte order mark, XML declaration, comments and a doctype.
pub(crate) fn is_svg(bytes: &[u8]) -> bool {
    let bytes = &*head(bytes);
    let mut rest = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    rest = &rest[..rest.len().min(16 * 1024)];
    loop {
        rest = rest.trim_ascii_start();
        let end: &[u8] = if rest.starts_with(b"<?") {
            b"?>"
        } else if rest.starts_with(b"<!--") {
            b"-->"
        } else if rest.len() >= 9 && rest[..9].eq_ignore_ascii_case(b"<!DOCTYPE") {
            if let Some(open) = rest.iter().position(|&b| b == b'[' || b == b'>')
                && rest[open] == b'['
            {
                // White space may precede the end of the tag.
                let closed =
                    |at: &usize| rest[*at] == b']' && rest[at + 1..].trim_ascii_start().starts_with(b">");
                match (open..rest.len()).find(closed) {
                    Some(at) => rest = &rest[at + 1..],
                    None => return false,
                }
            }
            b">"
        } else {
            break;
        };
        match rest.windows(end.len()).position(|w| w == end) {
            Some(at) => rest = &rest[at + end.len()..],
            None => return false,
        }
    }
    let Some(tag) = rest.strip_prefix(b"<") else { return false };
    let name_end = tag
        .iter()
        .position(|b| !(b.is_ascii_alphanumeric() || matches!(b, b':' | b'_' | b'-')))
        .unwrap_or(tag.len());
    let name = &tag[..name_end];
    name == b"svg" || name.ends_with(b":svg")
}
