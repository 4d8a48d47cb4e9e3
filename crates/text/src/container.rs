//! Containers of fonts: SFNT, WOFF, WOFF2. The unpacked size is limited and reserved before anything is unpacked.

use work::{Reservation, Work};

use crate::{Error, error::font, limits::MAX_TABLES};

/// Largest unpacked font in bytes.
const MAX_UNPACKED: usize = 64 << 20;

/// A font's SFNT bytes and their reserved memory.
#[derive(Debug)]
pub(crate) struct Sfnt {
    pub(crate) bytes: Vec<u8>,
    pub(crate) memory: Reservation,
}

/// Unpacks a font file.
pub(crate) fn unpack(file: &[u8], work: &Work) -> Result<Sfnt, Error> {
    match file.get(..4) {
        Some(b"\0\x01\0\0" | b"OTTO" | b"true" | b"ttcf") => {
            let memory = work.budget.take(file.len())?;
            Ok(Sfnt { bytes: file.to_vec(), memory })
        }
        Some(b"wOFF") => {
            let sizes = woff_sizes(file)?;
            unpack_with(sizes, work, "WOFF", || wuff::decompress_woff1(file).ok())
        }
        Some(b"wOF2") => {
            let sizes = woff2_sizes(file)?;
            unpack_with(sizes, work, "WOFF2", || wuff::decompress_woff2(file).ok())
        }
        _ => Err(font("it is not a TTF, OTF, WOFF or WOFF2 file")),
    }
}

/// The announced sizes of a directory of compressed tables.
#[derive(Clone, Copy)]
struct Sizes {
    /// Bytes of all tables.
    tables: usize,
    /// Bytes of an intermediate form.
    intermediate: usize,
}

fn unpack_with(
    sizes: Sizes,
    work: &Work,
    kind: &str,
    unpack: impl FnOnce() -> Option<Vec<u8>>,
) -> Result<Sfnt, Error> {
    let Sizes { tables, intermediate } = sizes;
    if tables.max(intermediate) > MAX_UNPACKED {
        return Err(font(format!("it unpacks to more than {} MiB", MAX_UNPACKED >> 20)));
    }
    work.check()?;
    let passing = work.budget.take(intermediate)?;
    let mut memory = work.budget.take(tables)?;
    // The library gives no reason.
    let bytes =
        unpack().ok_or_else(|| font(format!("its {kind} tables cannot be unpacked: the file is damaged")))?;
    drop(passing);
    memory.grow_to(bytes.capacity())?;
    work.check()?;
    Ok(Sfnt { bytes, memory })
}

fn u16_at(bytes: &[u8], at: usize) -> Option<usize> {
    bytes.get(at..)?.first_chunk().map(|b| usize::from(u16::from_be_bytes(*b)))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<usize> {
    bytes.get(at..)?.first_chunk().map(|b| u32::from_be_bytes(*b) as usize)
}

/// Checks the header that both formats share. Returns the number of tables.
fn table_count(file: &[u8]) -> Result<usize, Error> {
    let length = u32_at(file, 8);
    if length.is_none_or(|length| length > file.len()) {
        let length = length.map_or_else(|| "more".to_owned(), |length| length.to_string());
        return Err(font(format!("the file is cut: it has {} of {length} bytes", file.len())));
    }
    if file.get(4..8) == Some(b"ttcf") {
        return Err(font("it is a compressed font collection"));
    }
    match u16_at(file, 12) {
        Some(count) if (1..=MAX_TABLES).contains(&count) => Ok(count),
        count => {
            Err(font(format!("it has {} tables (expected 1 to {MAX_TABLES})", count.unwrap_or_default())))
        }
    }
}

fn woff_sizes(file: &[u8]) -> Result<Sizes, Error> {
    let cut = || font("the file is cut: its table directory is incomplete");
    let mut tables = 0_usize;
    let mut largest = 0;
    for number in 0..table_count(file)? {
        // Tag, offset, packed length, length, checksum.
        let length = u32_at(file, 44 + 20 * number + 12).ok_or_else(cut)?;
        tables = tables.saturating_add(length + 16);
        largest = largest.max(length);
    }
    Ok(Sizes { tables, intermediate: largest })
}

fn woff2_sizes(file: &[u8]) -> Result<Sizes, Error> {
    let cut = || font("the file is cut: its table directory is incomplete");
    let (mut tables, mut intermediate) = (0_usize, 0_usize);
    let mut at = 48;
    for _ in 0..table_count(file)? {
        let flags = *file.get(at).ok_or_else(cut)?;
        at += 1;
        let (tag, version) = (flags & 63, flags >> 6);
        let is_own_tag = tag == 63;
        if is_own_tag {
            at += 4;
        }
        let length = base_128(file, &mut at).ok_or_else(cut)?;
        // glyf and loca (10 and 11) are transformed in version 0, others in any version but 0.
        let is_transformed = if matches!(tag, 10 | 11) { version == 0 } else { version != 0 };
        let stored = if is_transformed { base_128(file, &mut at).ok_or_else(cut)? } else { length };
        tables = tables.saturating_add(length + 16);
        intermediate = intermediate.saturating_add(stored);
    }
    Ok(Sizes { tables, intermediate })
}

/// A number of WOFF2's directory: 7 bits a byte, at most 5 bytes.
fn base_128(bytes: &[u8], at: &mut usize) -> Option<usize> {
    let mut number = 0_u32;
    for _ in 0..5 {
        let byte = *bytes.get(*at)?;
        *at += 1;
        number = number.checked_mul(128)? | u32::from(byte & 127);
        if byte < 128 {
            return Some(number as usize);
        }
    }
    None
}
