//! The table directory: complete, with plausible metrics, and reduced to the required tables.

use std::collections::HashSet;

use read_fonts::{
    FontRef, TableProvider,
    tables::cmap::{CmapSubtable, SequentialMapGroup},
    types::Tag,
};

use crate::{
    Error,
    error::font,
    limits::{MAX_ENCODINGS, MAX_FACES, MAX_STATE_SUBTABLES, MAX_TABLES},
};

/// Tables required for layout.
const REQUIRED: [&str; 5] = ["cmap", "head", "hhea", "hmtx", "maxp"];
/// Sides of the em square that OpenType allows.
const UNITS_PER_EM: std::ops::RangeInclusive<u16> = 16..=16384;
/// The tables that the libraries may read. Left out are hinting programs, which may run for seconds, names, of which there may
/// be thousands of copies, and variations, of which the default instance is used.
const USED: [&[u8; 4]; 26] = [
    b"BASE", b"CBDT", b"CBLC", b"CFF ", b"CFF2", b"COLR", b"CPAL", b"GDEF", b"GPOS", b"GSUB", b"OS/2",
    b"VORG", b"ankr", b"cmap", b"feat", b"glyf", b"head", b"hhea", b"hmtx", b"kern", b"kerx", b"loca",
    b"maxp", b"morx", b"post", b"sbix",
];

fn u16_at(bytes: &[u8], at: usize) -> Option<usize> {
    bytes.get(at..)?.first_chunk().map(|b| usize::from(u16::from_be_bytes(*b)))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<usize> {
    bytes.get(at..)?.first_chunk().map(|b| u32::from_be_bytes(*b) as usize)
}

fn cut() -> Error {
    font("the file is cut: its table directory is incomplete")
}

/// Removes unused tables from the directory of the first face, and sets the length of hinting programs to 0. Other faces are
/// not used.
pub(crate) fn reduce(bytes: &mut [u8]) -> Result<(), Error> {
    let start = first_face(bytes)?;
    let count = start.checked_add(4).and_then(|at| u16_at(bytes, at)).unwrap_or_default();
    if !(1..=MAX_TABLES).contains(&count) {
        return Err(font(format!("it has {count} tables (expected 1 to {MAX_TABLES})")));
    }
    let directory = bytes.get(start + 12..start + 12 + 16 * count).ok_or_else(cut)?;
    let mut kept: Vec<[u8; 16]> = vec![];
    for record in directory.as_chunks::<16>().0 {
        let end = u32_at(record, 8).zip(u32_at(record, 12)).and_then(|(at, length)| at.checked_add(length));
        if end.is_none_or(|end| end > bytes.len()) {
            let tag = String::from_utf8_lossy(&record[..4]).trim_end().to_owned();
            return Err(font(format!("the file is cut: its table '{tag}' extends beyond the end")));
        }
        if USED.iter().any(|tag| record.starts_with(*tag)) {
            kept.push(*record);
        }
    }
    // The libraries use binary search.
    kept.sort_by_key(|record| [record[0], record[1], record[2], record[3]]);
    kept.dedup_by_key(|record| [record[0], record[1], record[2], record[3]]);
    let tables = u16::try_from(kept.len()).unwrap_or_default().to_be_bytes();
    if let Some(target) = bytes.get_mut(start + 4..start + 6) {
        target.copy_from_slice(&tables);
    }
    for (record, target) in kept.iter().zip(bytes[start + 12..].as_chunks_mut::<16>().0) {
        *target = *record;
    }
    let maxp = kept.iter().find(|record| record.starts_with(b"maxp")).and_then(|record| u32_at(record, 8));
    // maxSizeOfInstructions.
    if let Some(size) = maxp.and_then(|maxp| bytes.get_mut(maxp.checked_add(26)?..maxp.checked_add(28)?))
        && kept.iter().any(|record| record.starts_with(b"glyf"))
    {
        size.fill(0);
    }
    Ok(())
}

fn first_face(bytes: &[u8]) -> Result<usize, Error> {
    if !bytes.starts_with(b"ttcf") {
        return Ok(0);
    }
    let faces = u32_at(bytes, 8).ok_or_else(cut)?;
    if !(1..=MAX_FACES as usize).contains(&faces) {
        return Err(font(format!("it is a collection of {faces} faces (expected 1 to {MAX_FACES})")));
    }
    let start = u32_at(bytes, 12).ok_or_else(cut)?;
    if start < bytes.len() { Ok(start) } else { Err(cut()) }
}

/// Refuses a font that is incomplete or has damaged metrics.
pub(crate) fn check(face: &FontRef<'_>) -> Result<(), Error> {
    for tag in REQUIRED {
        let present = Tag::new_checked(tag.as_bytes()).is_ok_and(|tag| face.table_data(tag).is_some());
        if !present {
            return Err(font(format!("it has no table '{tag}'")));
        }
    }
    let metrics = || font("its metrics are damaged");
    let head = face.head().map_err(|_| metrics())?;
    let glyphs = usize::from(face.maxp().map_err(|_| metrics())?.num_glyphs());
    let advances = usize::from(face.hhea().map_err(|_| metrics())?.number_of_h_metrics());
    // An advance and a bearing for each glyph; glyphs after the last advance repeat it.
    let hmtx = face.table_data(Tag::new(b"hmtx")).map_or(0, |table| table.len());
    let is_long = match head.index_to_loc_format() {
        0 => false,
        1 => true,
        _ => return Err(metrics()),
    };
    if !UNITS_PER_EM.contains(&head.units_per_em()) || glyphs == 0 || advances == 0 || hmtx < 4 * advances {
        return Err(metrics());
    }
    let outlines = || font("its outlines are damaged");
    if let (Some(glyf), Some(loca)) = (face.table_data(Tag::new(b"glyf")), face.table_data(Tag::new(b"loca")))
    {
        let end = if is_long {
            u32_at(loca.as_bytes(), 4 * glyphs)
        } else {
            u16_at(loca.as_bytes(), 2 * glyphs).map(|half| 2 * half)
        };
        if end.is_none_or(|end| end > glyf.len()) {
            return Err(outlines());
        }
    }
    for (tag, major) in [(b"CFF ", 1), (b"CFF2", 2)] {
        if let Some(table) = face.table_data(Tag::new(tag))
            && (table.len() <= 4 || table.as_bytes().first() != Some(&major))
        {
            return Err(outlines());
        }
    }
    check_character_map(face)?;
    check_state_tables(face)
}

/// Limits the encodings, and refuses characters whose glyphs have numbers of more than 16 bits, at which the layout library
/// panics.
fn check_character_map(face: &FontRef<'_>) -> Result<(), Error> {
    let map = face.cmap().map_err(|_| font("its character map is damaged"))?;
    let records = map.encoding_records();
    if records.len() > MAX_ENCODINGS {
        let encodings = records.len();
        return Err(font(format!("its character map has {encodings} encodings (at most {MAX_ENCODINGS})")));
    }
    // Encodings may share a subtable.
    let mut checked = HashSet::new();
    for record in records {
        if !checked.insert(record.subtable_offset().to_u32()) {
            continue;
        }
        let last = match record.subtable(map.offset_data()) {
            Ok(CmapSubtable::Format12(table)) => {
                let last = |group: &SequentialMapGroup| {
                    let glyphs = group.end_char_code().saturating_sub(group.start_char_code());
                    group.start_glyph_id().saturating_add(glyphs)
                };
                table.groups().iter().map(last).max()
            }
            Ok(CmapSubtable::Format13(table)) => {
                table.groups().iter().map(read_fonts::tables::cmap::ConstantMapGroup::glyph_id).max()
            }
            _ => None,
        };
        if last.is_some_and(|last| last > u32::from(u16::MAX)) {
            return Err(font("its character map has glyph numbers above 65535"));
        }
    }
    Ok(())
}

/// Limits the number of subtables with state machines, each of which runs over the whole text.
fn check_state_tables(face: &FontRef<'_>) -> Result<(), Error> {
    let table = |tag: &[u8; 4]| face.table_data(Tag::new(tag)).map(|table| table.as_bytes().to_owned());
    let mut counts = vec![];
    if let Some(kern) = table(b"kern") {
        // Version 0 counts in 16 bits, version 1.0 in 32.
        counts.push(("kern", if u16_at(&kern, 0) == Some(0) { u16_at(&kern, 2) } else { u32_at(&kern, 4) }));
    }
    if let Some(kerx) = table(b"kerx") {
        counts.push(("kerx", u32_at(&kerx, 4)));
    }
    if let Some(morx) = table(b"morx") {
        counts.push(("morx", morx_subtables(&morx)));
    }
    for (tag, count) in counts {
        let count = count.ok_or_else(|| font(format!("its table '{tag}' is damaged")))?;
        if count > MAX_STATE_SUBTABLES {
            return Err(font(format!(
                "its table '{tag}' has {count} subtables (at most {MAX_STATE_SUBTABLES})"
            )));
        }
    }
    Ok(())
}

fn morx_subtables(morx: &[u8]) -> Option<usize> {
    let chains = u32_at(morx, 4)?;
    let (mut at, mut count) = (8_usize, chains);
    for _ in 0..chains.min(MAX_STATE_SUBTABLES) {
        let (length, features, subtables) =
            (u32_at(morx, at + 4)?, u32_at(morx, at + 8)?, u32_at(morx, at + 12)?);
        count = count.saturating_add(subtables).saturating_add(features / 256);
        at = at.checked_add(length.max(16))?;
    }
    Some(count)
}
