//! Removes the metadata of a file without changing its coded pixels.

use crate::{Error, Format};
use work::Work;

/// `bytes` without metadata, and with `exif` (JPEG only) instead; `None` if the format or the file does not allow that.
/// Chunks that affect colours cannot be removed: a PNG with one gives `None`.
///
/// # Errors
/// Budget.
pub fn strip(
    format: Format,
    bytes: &[u8],
    exif: Option<&[u8]>,
    work: &Work,
) -> Result<Option<Vec<u8>>, Error> {
    let parts = match format {
        Format::Jpeg => jpeg(bytes),
        Format::Png => png(bytes),
        _ => None,
    };
    let Some((parts, head)) = parts else { return Ok(None) };
    let exif = exif.filter(|_| format == Format::Jpeg).map(app1);
    let length = parts.iter().map(|part| part.len()).sum::<usize>() + exif.as_ref().map_or(0, Vec::len);
    let _held = work.take(length)?;
    let mut out = Vec::with_capacity(length);
    for (index, part) in parts.iter().enumerate() {
        out.extend_from_slice(part);
        if index + 1 == head {
            out.extend_from_slice(exif.as_deref().unwrap_or_default());
        }
    }
    Ok(Some(out))
}

/// An APP1 segment with EXIF.
fn app1(exif: &[u8]) -> Vec<u8> {
    const NAME: &[u8] = b"Exif\0\0";
    let Ok(length) = u16::try_from(exif.len() + NAME.len() + 2) else { return vec![] };
    [&[0xFF, 0xE1][..], &length.to_be_bytes(), NAME, exif].concat()
}

/// The segments and scans that the pixels need, and the number of those before EXIF: the start, and JFIF.
fn jpeg(bytes: &[u8]) -> Option<(Vec<&[u8]>, usize)> {
    let (mut at, mut head) = (2, 1);
    let mut parts = vec![bytes.get(..2).filter(|start| *start == [0xFF, 0xD8])?];
    loop {
        // Fill bytes may precede a marker.
        while bytes.get(at..at + 2)? == [0xFF, 0xFF] {
            at += 1;
        }
        let [0xFF, marker] = *bytes.get(at..at + 2)? else { return None };
        if marker == 0xD9 {
            parts.push(&bytes[at..at + 2]);
            return Some((parts, head));
        }
        let length = bytes.get(at + 2..at + 4)?;
        let mut end = at + 2 + usize::from(u16::from_be_bytes([length[0], length[1]]));
        match marker {
            // JFIF and Adobe segments define the meaning of the components.
            0xE0 if parts.len() == 1 => {
                parts.push(bytes.get(at..end)?);
                head = 2;
            }
            0xEE => parts.push(bytes.get(at..end)?),
            0xE0..=0xED | 0xEF | 0xFE => {}
            0xDA => {
                end += scan(bytes.get(end..)?)?;
                parts.push(bytes.get(at..end)?);
            }
            0xC0..=0xCF | 0xDB..=0xDF => parts.push(bytes.get(at..end)?),
            _ => return None,
        }
        at = end;
    }
}

/// Bytes of entropy-coded data up to the next marker that does not belong to it.
fn scan(data: &[u8]) -> Option<usize> {
    let is_marker = |pair: &[u8]| pair[0] == 0xFF && !matches!(pair[1], 0x00 | 0xD0..=0xD7 | 0xFF);
    data.windows(2).position(is_marker)
}

/// The signature and the chunks that the pixels need. None of them comes before EXIF.
fn png(bytes: &[u8]) -> Option<(Vec<&[u8]>, usize)> {
    let mut parts = vec![bytes.get(..8)?];
    let mut at = 8;
    loop {
        let head = bytes.get(at..at + 8)?;
        let length = u32::from_be_bytes([head[0], head[1], head[2], head[3]]) as usize;
        let end = at.checked_add(length)?.checked_add(12)?;
        let chunk = bytes.get(at..end)?;
        match &head[4..] {
            b"IEND" => {
                parts.push(chunk);
                return Some((parts, 0));
            }
            b"IHDR" | b"PLTE" | b"tRNS" | b"IDAT" => parts.push(chunk),
            b"gAMA" | b"cHRM" | b"iCCP" | b"cICP" | b"mDCV" | b"cLLI" => return None,
            // Other critical chunks are unknown; ancillary ones begin with a lower-case letter.
            name if name[0].is_ascii_uppercase() => return None,
            _ => {}
        }
        at = end;
    }
}

#[cfg(test)]
mod tests {
    use super::strip;
    use crate::Format;
    use work::Work;

    fn stripped(format: Format, bytes: &[u8], exif: Option<&[u8]>) -> Option<Vec<u8>> {
        strip(format, bytes, exif, &Work::unlimited()).unwrap()
    }

    #[test]
    fn segments_without_pixels_are_left_out() {
        let jfif: &[u8] = b"\xFF\xD8\xFF\xE0\x00\x04ab";
        let tables = b"\xFF\xDB\x00\x03q\xFF\xC0\x00\x03f";
        let metadata = b"\xFF\xE1\x00\x06EXIF\xFF\xED\x00\x04ip\xFF\xFE\x00\x05com";
        let scan = b"\xFF\xDA\x00\x03s\x01\xFF\x00\x02\xFF\xD0\x03";
        let file = [jfif, tables, metadata, scan, metadata, scan, b"\xFF\xD9behind the end"].concat();
        let plain = [jfif, tables, scan, scan, b"\xFF\xD9"].concat();
        assert_eq!(stripped(Format::Jpeg, &file, None).unwrap(), plain);
        let exif = b"\xFF\xE1\x00\x0AExif\0\0II";
        let with = [jfif, exif, tables, scan, scan, b"\xFF\xD9"].concat();
        assert_eq!(stripped(Format::Jpeg, &file, Some(b"II")).unwrap(), with);
        for end in 0..file.len() - 16 {
            assert_eq!(stripped(Format::Jpeg, &file[..end], None), None, "{end}");
        }
    }

    #[test]
    fn chunks_without_pixels_are_left_out() {
        let chunk = |name: &[u8; 4], data: &[u8]| {
            [&(data.len() as u32).to_be_bytes()[..], name, data, b"crc!"].concat()
        };
        let start = b"\x89PNG\r\n\x1a\n".to_vec();
        let head = chunk(b"IHDR", b"sizes");
        let (text, pixels, end) = (chunk(b"tEXt", b"words"), chunk(b"IDAT", b"pixels"), chunk(b"IEND", b""));
        let file = [&start[..], &head, &text, &pixels, &end, b"more"].concat();
        let plain = [&start[..], &head, &pixels, &end].concat();
        assert_eq!(stripped(Format::Png, &file, None).unwrap(), plain);
        let gamma = [&start[..], &head, &chunk(b"gAMA", b"1234"), &pixels, &end].concat();
        assert_eq!(stripped(Format::Png, &gamma, None), None);
        for cut in 0..plain.len() {
            assert_eq!(stripped(Format::Png, &plain[..cut], None), None, "{cut}");
        }
        assert_eq!(stripped(Format::Gif, b"GIF89a", None), None);
    }
}
