use super::Expected::{Either, Error, Picture};
use super::{Case, case};
use crate::support::photo;
use codecs::Format;

fn segment(marker: u8, body: &[u8]) -> Vec<u8> {
    [&[0xFF, marker][..], &(body.len() as u16 + 2).to_be_bytes(), body].concat()
}

fn find(bytes: &[u8], markers: &[u8]) -> usize {
    bytes.windows(2).position(|w| w[0] == 0xFF && markers.contains(&w[1])).unwrap()
}

/// The file with another size in its frame header.
fn resized(mut bytes: Vec<u8>, width: u16, height: u16) -> Vec<u8> {
    let at = find(&bytes, &[0xC0, 0xC2]);
    bytes[at + 5..at + 7].copy_from_slice(&height.to_be_bytes());
    bytes[at + 7..at + 9].copy_from_slice(&width.to_be_bytes());
    bytes
}

/// The file with its last scan repeated.
fn scans(bytes: &[u8], count: usize) -> Vec<u8> {
    let end = bytes.len() - 2;
    let last = bytes.windows(2).rposition(|w| w == [0xFF, 0xDA]).unwrap();
    [&bytes[..end], &bytes[last..end].repeat(count), &[0xFF, 0xD9]].concat()
}

/// Segments after the beginning of an ordinary file.
fn with(segments: &[u8]) -> Vec<u8> {
    let file = photo(64, 48, Format::Jpeg);
    [&file[..2], segments, &file[2..]].concat()
}

pub(super) fn cases() -> Vec<Case> {
    // Progressive, like all encoded JPEGs.
    let base = photo(64, 64, Format::Jpeg);
    let icc = |n: u8, of: u8| segment(0xE2, &[&b"ICC_PROFILE\0"[..], &[n, of], &vec![0; 60_000]].concat());
    // An IFD0 that is its own next directory, with an entry that refers to itself.
    let looped = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x87\x69\0\x04\0\0\0\x01\0\0\0\x08\0\0\0\x08";
    vec![
        case("95 more scans over 36 megapixels", Error, scans(&resized(base.clone(), 6000, 6000), 95)),
        case("882 more scans over 64 × 64 pixels", Either, scans(&base, 882)),
        case("65,500 × 65,500 pixels", Error, resized(base.clone(), 65_500, 65_500)),
        case("no pixels", Error, resized(base.clone(), 0, 64)),
        case("6,000 × 6,000 pixels, data for 64 × 64", Either, resized(base, 6000, 6000)),
        case("100,000 comments", Picture, with(&segment(0xFE, b"x").repeat(100_000))),
        case("4 MB of fill bytes", Either, with(&vec![0xFF; 4 << 20])),
        case(
            "20,000 quantisation tables",
            Picture,
            with(&segment(0xDB, &[&[0][..], &[1; 64]].concat()).repeat(20_000)),
        ),
        case("an EXIF directory that is its own next", Picture, with(&segment(0xE1, looped))),
        case("20,000 EXIF segments", Either, with(&segment(0xE1, looped).repeat(20_000))),
        case(
            "255 ICC chunks of 60,000 bytes",
            Either,
            with(&(1..=255).flat_map(|n| icc(n, 255)).collect::<Vec<_>>()),
        ),
        case("one ICC chunk, 100 times", Either, with(&icc(1, 1).repeat(100))),
        case("arithmetic coding", Either, {
            let mut file = photo(64, 48, Format::Jpeg);
            let at = find(&file, &[0xC0, 0xC2]);
            file[at + 1] = 0xC9;
            file
        }),
        case("a restart interval that never comes", Either, with(&segment(0xDD, &[0, 1]))),
        case("cut in its data", Error, {
            let file = photo(64, 48, Format::Jpeg);
            file[..file.len() / 2].to_vec()
        }),
        case("no components", Error, b"\xFF\xD8\xFF\xC0\0\x08\x08\0\x10\0\x10\0\xFF\xD9".to_vec()),
    ]
}
