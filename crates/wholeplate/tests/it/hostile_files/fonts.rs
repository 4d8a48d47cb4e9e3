use super::Expected::{Either, Error};
use super::{Case, case, zlib};

const LATIN: &[u8] = include_bytes!("../../../../text/tests/fonts/latin.ttf");
const DEEP_CALLS: &[u8] = include_bytes!("../../../../text/tests/fonts/hostile/font-cff.otf");
const WIDE_GLYPHS: &[u8] = include_bytes!("../../../../text/tests/fonts/hostile/font-wide-glyphs.ttf");

/// The tables of a font: tag and range.
fn tables(font: &[u8]) -> Vec<([u8; 4], Vec<u8>)> {
    let count = u16::from_be_bytes([font[4], font[5]]) as usize;
    let long = |at: usize| u32::from_be_bytes(font[at..at + 4].try_into().unwrap()) as usize;
    (0..count)
        .map(|i| {
            let at = 12 + i * 16;
            let (offset, length) = (long(at + 8), long(at + 12));
            (font[at..at + 4].try_into().unwrap(), font[offset..offset + length].to_vec())
        })
        .collect()
}

fn font(tables: &[([u8; 4], Vec<u8>)]) -> Vec<u8> {
    let mut out = vec![0, 1, 0, 0];
    out.extend((tables.len() as u16).to_be_bytes());
    out.extend([0; 6]);
    let mut offset = 12 + tables.len() * 16;
    for (tag, data) in tables {
        out.extend(tag);
        out.extend([0; 4]);
        out.extend((offset as u32).to_be_bytes());
        out.extend((data.len() as u32).to_be_bytes());
        offset += data.len().next_multiple_of(4);
    }
    for (_, data) in tables {
        out.extend(data);
        out.resize(out.len().next_multiple_of(4), 0);
    }
    out
}

/// The Latin font with a table replaced or added.
fn with(tag: &[u8; 4], data: Vec<u8>) -> Vec<u8> {
    let mut all = tables(LATIN);
    all.retain(|(t, _)| t != tag);
    all.push((*tag, data));
    all.sort();
    font(&all)
}

/// `name` records that all refer to the same bytes.
fn names(count: u16, length: u16) -> Vec<u8> {
    let mut out = vec![0, 0];
    out.extend(count.to_be_bytes());
    out.extend((6 + count * 12).to_be_bytes());
    for i in 0..count {
        for v in [3, 1, 0x409, 1 + i % 6, length, 0] {
            out.extend(v.to_be_bytes());
        }
    }
    out.extend(b"\0A".repeat(usize::from(length) / 2));
    out
}

pub(super) fn cases() -> Vec<Case> {
    let cut = LATIN.len() / 2;
    let many = |count: u16| {
        let mut out = vec![0, 1, 0, 0];
        out.extend(count.to_be_bytes());
        out.extend([0; 6]);
        for i in 0..u32::from(count) {
            out.extend(i.to_be_bytes());
            out.extend([0; 12]);
        }
        out
    };
    vec![
        case("100 calls of 100 calls, nine deep", Error, DEEP_CALLS.to_vec()),
        case("large glyphs that overlap", Either, WIDE_GLYPHS.to_vec()),
        case("5,000 names that are the same bytes", Either, with(b"name", names(5000, 60_000))),
        case("cut in half", Error, LATIN[..cut].to_vec()),
        case("65,535 tables", Error, many(65_535)),
        case("a table beyond the file", Error, {
            let mut bytes = LATIN.to_vec();
            bytes[12 + 8..12 + 16].fill(0xFF);
            bytes
        }),
        case("no glyphs", Either, with(b"maxp", vec![0, 1, 0, 0, 0, 0])),
        case("WOFF that inflates to 64 MiB", Error, {
            let data = zlib(&vec![0; 64 << 20]);
            let mut out = b"wOFF\0\x01\0\0".to_vec();
            out.extend((64 + data.len() as u32).to_be_bytes());
            out.extend([0, 1, 0, 0]);
            out.extend(((64_u32 << 20) + 28).to_be_bytes());
            out.extend([0; 24]);
            out.extend(b"glyf");
            out.extend(64_u32.to_be_bytes());
            out.extend((data.len() as u32).to_be_bytes());
            out.extend((64_u32 << 20).to_be_bytes());
            out.extend([0; 4]);
            out.extend(data);
            out
        }),
        case("an empty file", Error, Vec::new()),
        case("1 MB of zeros", Error, vec![0; 1 << 20]),
    ]
}
