//! The formats, their MIME types, and detection by content.

use std::fmt;

/// An image format this project knows by name; not every build decodes or encodes each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    Jpeg,
    Png,
    Gif,
    WebP,
    Avif,
    Svg,
    Heic,
    Jxl,
    Tiff,
    Bmp,
}

impl Format {
    pub const ALL: [Self; 10] = [
        Self::Jpeg,
        Self::Png,
        Self::Gif,
        Self::WebP,
        Self::Avif,
        Self::Svg,
        Self::Heic,
        Self::Jxl,
        Self::Tiff,
        Self::Bmp,
    ];

    /// The name in settings.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Jpeg => "jpeg",
            other => other.extension(),
        }
    }

    /// A format by its name or its other usual extension, in any case.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        let lower = name.to_ascii_lowercase();
        let name = if lower == "tif" { "tiff" } else { lower.as_str() };
        Self::ALL.into_iter().find(|f| name == f.name() || name == f.extension())
    }

    #[must_use]
    pub const fn mime(self) -> &'static str {
        match self {
            Self::Jpeg => "image/jpeg",
            Self::Png => "image/png",
            Self::Gif => "image/gif",
            Self::WebP => "image/webp",
            Self::Avif => "image/avif",
            Self::Svg => "image/svg+xml",
            Self::Heic => "image/heic",
            Self::Jxl => "image/jxl",
            Self::Tiff => "image/tiff",
            Self::Bmp => "image/bmp",
        }
    }

    /// File name extension without the dot.
    #[must_use]
    pub const fn extension(self) -> &'static str {
        match self {
            Self::Jpeg => "jpg",
            Self::Png => "png",
            Self::Gif => "gif",
            Self::WebP => "webp",
            Self::Avif => "avif",
            Self::Svg => "svg",
            Self::Heic => "heic",
            Self::Jxl => "jxl",
            Self::Tiff => "tiff",
            Self::Bmp => "bmp",
        }
    }

    /// Detects a format by its first bytes (SVG: by its root element within the first kilobytes).
    #[must_use]
    pub fn sniff(bytes: &[u8]) -> Option<Self> {
        match bytes {
            [0xFF, 0xD8, 0xFF, ..] => Some(Self::Jpeg),
            [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1A, b'\n', ..] => Some(Self::Png),
            [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => Some(Self::Gif),
            [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Some(Self::WebP),
            [b'I', b'I', 42, 0, ..] | [b'M', b'M', 0, 42, ..] => Some(Self::Tiff),
            [b'B', b'M', _, _, _, _, 0, 0, 0, 0, ..] => Some(Self::Bmp),
            [0xFF, 0x0A, ..] | [0, 0, 0, 12, b'J', b'X', b'L', b' ', 0x0D, 0x0A, 0x87, 0x0A, ..] => {
                Some(Self::Jxl)
            }
            [_, _, _, _, b'f', b't', b'y', b'p', ..] => sniff_isobmff(bytes),
            _ => sniff_svg(&crate::codec::svg::head(bytes)).then_some(Self::Svg),
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Jpeg => "JPEG",
            Self::Png => "PNG",
            Self::Gif => "GIF",
            Self::WebP => "WebP",
            Self::Avif => "AVIF",
            Self::Svg => "SVG",
            Self::Heic => "HEIC",
            Self::Jxl => "JPEG XL",
            Self::Tiff => "TIFF",
            Self::Bmp => "BMP",
        })
    }
}

/// Reads the brands of an ISO base media `ftyp` box: AVIF brands win over the generic HEIF ones.
fn sniff_isobmff(bytes: &[u8]) -> Option<Format> {
    let declared = u32::from_be_bytes(bytes.get(..4)?.try_into().ok()?) as usize;
    let end = declared.clamp(16, 256).min(bytes.len());
    let brands = bytes.get(8..12).into_iter().chain(bytes.get(16..end).unwrap_or_default().chunks_exact(4));
    let mut heic = false;
    for brand in brands {
        match brand {
            b"avif" | b"avis" => return Some(Format::Avif),
            b"heic" | b"heix" | b"heim" | b"heis" | b"hevc" | b"hevx" | b"mif1" | b"msf1" => heic = true,
            _ => {}
        }
    }
    heic.then_some(Format::Heic)
}

/// Looks for an `<svg` root after white space, a byte order mark, XML declaration, comments and a doctype.
fn sniff_svg(bytes: &[u8]) -> bool {
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
                // White space may stand between the bracket and the end.
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

#[cfg(test)]
mod tests {
    use super::Format;

    #[test]
    fn formats_are_detected_by_content() {
        assert_eq!(Format::sniff(b"\xFF\xD8\xFF\xE0"), Some(Format::Jpeg));
        assert_eq!(Format::sniff(b"\0\0\0\x1cftypavif\0\0\0\0mif1avif"), Some(Format::Avif));
        assert_eq!(Format::sniff(b"\0\0\0\x1cftypmif1\0\0\0\0mif1avif"), Some(Format::Avif));
        assert_eq!(Format::sniff(b"\0\0\0\x1cftypheic\0\0\0\0mif1heic"), Some(Format::Heic));
        assert_eq!(Format::sniff(b"<html><svg></svg></html>"), None);
        assert_eq!(
            Format::sniff(b"<?xml version='1.0'?>\n<!-- hi --><!DOCTYPE svg [ <!ENTITY a 'b'> ]><svg/>"),
            Some(Format::Svg)
        );
        assert_eq!(Format::sniff(b""), None);
    }
}
