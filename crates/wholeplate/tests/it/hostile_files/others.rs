//! TIFF, BMP and JPEG XL, which the operator must enable.

use super::Expected::{Either, Error};
use super::{Case, case, zlib};

/// A little-endian TIFF of one directory: tag, type, count, value.
fn tiff(entries: &[(u16, u16, u32, u32)], next: u32, data: &[u8]) -> Vec<u8> {
    let mut file = b"II\x2a\0".to_vec();
    file.extend((8 + data.len() as u32).to_le_bytes());
    file.extend(data);
    file.extend((entries.len() as u16).to_le_bytes());
    for (tag, kind, count, value) in entries {
        file.extend(tag.to_le_bytes());
        file.extend(kind.to_le_bytes());
        file.extend(count.to_le_bytes());
        file.extend(value.to_le_bytes());
    }
    file.extend(next.to_le_bytes());
    file
}

/// Grey, 8 bits, one strip at byte 8.
fn grey(width: u32, height: u32, compression: u32, strip: u32) -> Vec<(u16, u16, u32, u32)> {
    vec![
        (256, 4, 1, width),
        (257, 4, 1, height),
        (258, 3, 1, 8),
        (259, 3, 1, compression),
        (262, 3, 1, 1),
        (273, 4, 1, 8),
        (277, 3, 1, 1),
        (278, 4, 1, height),
        (279, 4, 1, strip),
    ]
}

fn bmp(width: i32, height: i32, compression: u32, bits: u16, data: &[u8]) -> Vec<u8> {
    let mut file = b"BM\0\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0".to_vec();
    file.extend(width.to_le_bytes());
    file.extend(height.to_le_bytes());
    file.extend([1, 0]);
    file.extend(bits.to_le_bytes());
    file.extend(compression.to_le_bytes());
    file.extend([0; 20]);
    file.extend(data);
    file
}

pub(super) fn cases() -> Vec<Case> {
    let pixels = [7_u8; 64];
    let bomb = zlib(&vec![0; 64 << 20]);
    vec![
        case("TIFF: a directory that is its own next", Either, tiff(&grey(8, 8, 1, 64), 72, &pixels)),
        case("TIFF: 60,000 × 60,000 pixels", Error, tiff(&grey(60_000, 60_000, 1, 64), 0, &pixels)),
        case("TIFF: 2³²-1 pixels a side", Error, tiff(&grey(u32::MAX, u32::MAX, 1, 64), 0, &pixels)),
        case(
            "TIFF: 64 MiB of data for 8 × 8 pixels",
            Either,
            tiff(&grey(8, 8, 8, bomb.len() as u32), 0, &bomb),
        ),
        case("TIFF: a directory beyond the file", Error, b"II\x2a\0\xFF\xFF\xFF\x7F".to_vec()),
        case("TIFF: 65,535 entries", Either, {
            let mut entries = grey(8, 8, 1, 64);
            entries.extend((0..65_526).map(|i| (20_000_u16.wrapping_add(i), 4, 1, 0)));
            tiff(&entries, 0, &pixels)
        }),
        case("TIFF: 2³⁰ strips", Either, {
            let mut entries = grey(8, 8, 1, 64);
            entries[5] = (273, 4, 1 << 30, 8);
            entries[8] = (279, 4, 1 << 30, 8);
            tiff(&entries, 0, &pixels)
        }),
        case("TIFF: 2³¹ bytes of a description", Either, {
            let mut entries = grey(8, 8, 1, 64);
            entries.insert(5, (270, 2, 1 << 31, 8));
            tiff(&entries, 0, &pixels)
        }),
        case("BMP: 2³¹-1 pixels a side", Error, bmp(i32::MAX, i32::MAX, 0, 24, &pixels)),
        case("BMP: -2³¹ rows", Either, bmp(8, i32::MIN, 0, 24, &pixels)),
        case("BMP: 8,000 × 8,000 pixels without data", Error, bmp(8000, 8000, 0, 24, &[])),
        case(
            "BMP: run lengths for 30,000 × 30,000",
            Error,
            bmp(30_000, 30_000, 1, 8, &[255, 0].repeat(1000)),
        ),
        case(
            "BMP: 1,000,000 empty runs",
            Either,
            bmp(64, 64, 1, 8, &[&[0; 1024][..], &[0, 2, 0, 0].repeat(1_000_000)].concat()),
        ),
        case("JPEG XL: a header of ones", Error, [&[0xFF, 0x0A][..], &[0xFF; 64]].concat()),
        case("JPEG XL: a header of zeros", Either, [&[0xFF, 0x0A][..], &[0; 64]].concat()),
        case("JPEG XL: 500,000 empty boxes", Error, {
            let head = b"\0\0\0\x0CJXL \r\n\x87\n\0\0\0\x14ftypjxl \0\0\0\0jxl ";
            [&head[..], &b"\0\0\0\x08free".repeat(500_000)].concat()
        }),
    ]
}
