//! Is an SFNT whole? Readers of fonts make do with what they find: of a cut file they draw other glyphs, or none,
//! and from a damaged head they take sizes without bounds. So its tables are looked at before one of them reads it.

use crate::Error;

/// Faces of a collection; the largest in use have about fifty.
const MAX_FACES: u32 = 256;
/// What nothing can be set without.
const REQUIRED: [&[u8; 4]; 5] = [b"cmap", b"head", b"hhea", b"hmtx", b"maxp"];
/// The sides of the em square that OpenType allows.
const UNITS_PER_EM: std::ops::RangeInclusive<u16> = 16..=16384;

fn font(why: impl Into<String>) -> Error {
    Error::Font(why.into())
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().map(|b| u16::from_be_bytes(*b))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|b| u32::from_be_bytes(*b))
}

/// Refuses a font, or a collection of them, that is cut or cannot be measured.
pub(crate) fn check(bytes: &[u8]) -> Result<(), Error> {
    let cut = || font("the file is cut");
    if !bytes.starts_with(b"ttcf") {
        return face(bytes, 0);
    }
    let faces = u32_at(bytes, 8).ok_or_else(cut)?;
    if !(1..=MAX_FACES).contains(&faces) {
        return Err(font(format!("a collection of {faces} faces; 1 to {MAX_FACES} are possible")));
    }
    (0..faces as usize)
        .try_for_each(|number| face(bytes, u32_at(bytes, 12 + 4 * number).ok_or_else(cut)? as usize))
}

fn face(bytes: &[u8], start: usize) -> Result<(), Error> {
    let tables = Tables::new(bytes, start)?;
    for tag in REQUIRED {
        tables.need(tag)?;
    }
    let (head, maxp) = (tables.need(b"head")?, tables.need(b"maxp")?);
    let units = u16_at(head, 18).filter(|units| UNITS_PER_EM.contains(units));
    let glyphs = u16_at(maxp, 4).filter(|&glyphs| glyphs > 0);
    // Advance and bearing of each glyph; those after the last advance have its advance.
    let advances = u16_at(tables.need(b"hhea")?, 34).map(usize::from).filter(|&n| n > 0);
    let measured = advances.is_some_and(|n| tables.need(b"hmtx").is_ok_and(|hmtx| hmtx.len() >= 4 * n));
    let (Some(_), Some(glyphs), true, Some(indices)) = (units, glyphs, measured, u16_at(head, 50)) else {
        return Err(font("its measures are damaged"));
    };
    if let (Some(glyf), Some(loca)) = (tables.get(b"glyf"), tables.get(b"loca")) {
        let last = usize::from(glyphs);
        let end = match indices {
            0 => u16_at(loca, 2 * last).map(|half| 2 * usize::from(half)),
            _ => u32_at(loca, 4 * last).map(|end| end as usize),
        };
        if end.is_none_or(|end| end > glyf.len()) {
            return Err(font("its outlines are damaged"));
        }
    }
    let compact = |tag, major| tables.get(tag).is_none_or(|table| table.len() > 4 && table[0] == major);
    if !compact(b"CFF ", 1) || !compact(b"CFF2", 2) {
        return Err(font("its outlines are damaged"));
    }
    Ok(())
}

/// The directory of a face, each of whose tables is in the file.
struct Tables<'a> {
    bytes: &'a [u8],
    directory: &'a [u8],
}

impl<'a> Tables<'a> {
    fn new(bytes: &'a [u8], start: usize) -> Result<Self, Error> {
        let count = start.checked_add(4).and_then(|at| u16_at(bytes, at)).map_or(0, usize::from);
        let directory = bytes.get(start..).and_then(|face| face.get(12..12 + 16 * count));
        let directory = directory.filter(|d| !d.is_empty()).ok_or_else(|| font("it has no tables"))?;
        let tables = Self { bytes, directory };
        for entry in directory.chunks_exact(16) {
            if tables.table(entry).is_none() {
                let tag = String::from_utf8_lossy(&entry[..4]).trim_end().to_owned();
                return Err(font(format!("the file is cut: its table '{tag}' reaches beyond the end")));
            }
        }
        Ok(tables)
    }

    fn table(&self, entry: &[u8]) -> Option<&'a [u8]> {
        let (start, length) = (u32_at(entry, 8)? as usize, u32_at(entry, 12)? as usize);
        self.bytes.get(start..start.checked_add(length)?)
    }

    fn get(&self, tag: &[u8; 4]) -> Option<&'a [u8]> {
        self.directory.chunks_exact(16).find(|entry| entry.starts_with(tag)).and_then(|e| self.table(e))
    }

    fn need(&self, tag: &[u8; 4]) -> Result<&'a [u8], Error> {
        self.get(tag)
            .ok_or_else(|| font(format!("it has no table '{}'", String::from_utf8_lossy(tag).trim_end())))
    }
}
