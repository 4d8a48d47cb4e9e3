//! Format detection by the first bytes of a file.

use crate::Format;

impl Format {
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
            _ => crate::codec::svg::is_svg(bytes).then_some(Self::Svg),
        }
    }
}

/// Reads the brands of an ISO base media `ftyp` box: AVIF brands take precedence over the generic HEIF ones.
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
