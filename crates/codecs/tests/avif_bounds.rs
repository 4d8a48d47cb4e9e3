//! Small AVIF files with a high cost: every loop over the file is bounded by its length, and lists that items share are
//! not copied (OPS-005).

mod support;

use std::time::Duration;

use codecs::{Error, Format, Probe};
use cpu_time::ThreadTime;
use support::{codec, fixture, rgba};
use work::{Budget, Work};

/// Bytes that may be reserved while the boxes of a file are read.
const PROBE_BUDGET: usize = 4 << 20;

fn boxed(kind: &[u8; 4], body: &[u8]) -> Vec<u8> {
    let mut out = (body.len() as u32 + 8).to_be_bytes().to_vec();
    out.extend_from_slice(kind);
    out.extend_from_slice(body);
    out
}

/// A full box.
fn full(kind: &[u8; 4], version: u8, flags: u32, body: &[u8]) -> Vec<u8> {
    let head = (u32::from(version) << 24 | flags).to_be_bytes();
    boxed(kind, &[&head, body].concat())
}

fn avif(meta: &[&[u8]], rest: &[u8]) -> Vec<u8> {
    let ftyp = boxed(b"ftyp", b"avif\0\0\0\0avifmif1miaf");
    let hdlr = full(b"hdlr", 0, 0, b"\0\0\0\0pict\0\0\0\0\0\0\0\0\0\0\0\0\0");
    let pitm = full(b"pitm", 0, 0, &[0, 1]);
    let meta = full(b"meta", 0, 0, &[&[hdlr, pitm].concat(), &meta.concat()[..]].concat());
    [&ftyp, &meta, rest].concat()
}

/// Probes `bytes` with a small budget, within 50 ms of CPU and another 0.1 s for each megabyte.
fn probe(bytes: &[u8]) -> Result<Probe, Error> {
    let work = Work::new(Budget::new(PROBE_BUDGET));
    let start = ThreadTime::now();
    let probe = codec(Format::Avif).probe(bytes, &work);
    let taken = start.elapsed();
    let bound = Duration::from_millis(50 + 100 * (bytes.len() as u64 >> 20));
    assert!(taken < bound, "{} bytes took {taken:?}", bytes.len());
    assert_eq!(work.budget.used(), 0);
    probe
}

/// An `iloc` box with `items` entries of 65,535 extents without bytes.
fn empty_extents(version: u8, items: usize) -> Vec<u8> {
    let mut body = vec![0x00, 0x00];
    if version < 2 {
        body.extend_from_slice(&(items as u16).to_be_bytes());
    } else {
        body.extend_from_slice(&(items as u32).to_be_bytes());
    }
    for i in 0..items {
        let id = i % 4000 + 1;
        if version < 2 {
            body.extend_from_slice(&(id as u16).to_be_bytes());
        } else {
            body.extend_from_slice(&(id as u32).to_be_bytes());
        }
        if version > 0 {
            body.extend_from_slice(&[0, 0]);
        }
        body.extend_from_slice(&[0, 0, 0xFF, 0xFF]);
    }
    full(b"iloc", version, 0, &body)
}

// 4 kB took 1.9 s, 64 kB 25 s.
#[test]
fn extents_without_bytes_are_refused_at_the_first_entry() {
    for (version, items) in [(0, 600), (0, 10_000), (1, 60_000), (2, 100_000), (2, 5_000_000)] {
        let file = avif(&[&empty_extents(version, items)], &[]);
        let error = probe(&file).unwrap_err();
        assert!(error.to_string().contains("several extents"), "{version} {items}: {error}");
    }
    assert!(matches!(probe(&fixture("hostile/iloc-v0.avif")), Err(Error::Malformed { .. })));
}

// 16 kB took 0.3 s and 523 MiB: each of 8,192 tiles copied one list of 4,096 extents.
#[test]
fn a_tile_occurs_once_in_a_grid() {
    let error = probe(&fixture("hostile/grid-extents.avif")).unwrap_err();
    assert!(matches!(error, Error::Malformed { .. }), "{error}");
    // The valid grid with its first tile in all positions.
    let mut bytes = fixture("grid.avif");
    let at = bytes.windows(4).position(|w| w == b"dimg").unwrap() + 4;
    let first: [u8; 2] = bytes[at + 4..at + 6].try_into().unwrap();
    bytes[at + 6..at + 8].copy_from_slice(&first);
    assert!(matches!(probe(&bytes), Err(Error::Malformed { .. })));
    probe(&fixture("grid.avif")).unwrap();
}

// 3 MB took 1.5 s: every entry searched all items.
#[test]
fn properties_of_many_items_are_read_in_linear_time() {
    for entries in [4000_u32, 1_000_000, 20_000_000] {
        let mut body = entries.to_be_bytes().to_vec();
        for i in 0..entries {
            body.extend_from_slice(&((i % 4000) as u16 + 1).to_be_bytes());
            body.push(0);
        }
        let iprp = boxed(b"iprp", &full(b"ipma", 0, 0, &body));
        assert!(probe(&avif(&[&iprp], &[])).is_err());
        // The same in many boxes.
        let small =
            full(b"ipma", 0, 0, &[&4_u32.to_be_bytes()[..], &[0, 1, 0, 0, 2, 0, 0, 3, 0, 0, 4, 0]].concat());
        let iprp = boxed(b"iprp", &small.repeat(entries as usize / 10));
        assert!(probe(&avif(&[&iprp], &[])).is_err());
    }
}

// 32 MB took 0.8 s and were copied.
#[test]
fn lists_of_references_are_not_copied() {
    let list = [&[0, 2][..], &[0xFF, 0xFF], &[0, 3].repeat(65_535)].concat();
    for kind in [b"auxl", b"dimg", b"prem", b"thmb"] {
        let iref = full(b"iref", 0, 0, &boxed(kind, &list).repeat(250));
        assert!(probe(&avif(&[&iref], &[])).is_err());
    }
    let empty = boxed(b"auxl", &[0, 2, 0, 0]);
    assert!(matches!(
        probe(&avif(&[&full(b"iref", 0, 0, &empty.repeat(1 << 20))], &[])),
        Err(Error::Unsupported(_))
    ));
}

#[test]
fn boxes_of_any_kind_and_number_are_read_in_linear_time() {
    let free = boxed(b"free", &[]);
    let many = free.repeat(2 << 20);
    for file in [
        avif(&[&many], &[]),
        avif(&[], &many),
        avif(&[&boxed(b"iprp", &many)], &[]),
        avif(&[&boxed(b"iprp", &boxed(b"ipco", &many))], &[]),
        avif(&[&full(b"iinf", 0, 0, &[&[0, 0][..], &many].concat())], &[]),
        avif(&[&full(b"iref", 0, 0, &many)], &[]),
    ] {
        assert!(probe(&file).is_err());
    }
    let infe = |i: u32| full(b"infe", 3, 0, &[&i.to_be_bytes()[..], b"\0\0av01\0"].concat());
    let infos: Vec<u8> = (0..200_000).flat_map(infe).collect();
    let file = avif(&[&full(b"iinf", 0, 0, &[&[0, 0][..], &infos].concat())], &[]);
    assert!(matches!(probe(&file), Err(Error::Unsupported(_))));
}

#[test]
fn a_cancelled_or_late_request_reads_no_boxes() {
    let work = Work::unlimited();
    work.cancel.cancel();
    let error = codec(Format::Avif).probe(&fixture("420.avif"), &work).unwrap_err();
    assert_eq!(error, Error::Work(work::Error::Cancelled));
    // The deadline also stops the reading of a long list.
    let mut work = Work::unlimited();
    work.deadline = Some(std::time::Instant::now());
    let error = codec(Format::Avif).probe(&fixture("420.avif"), &work).unwrap_err();
    assert_eq!(error, Error::Work(work::Error::Deadline));
}

/// `420.avif` with its item data replaced.
fn with_data(data: &[u8]) -> Vec<u8> {
    let mut bytes = fixture("420.avif");
    bytes.truncate(0x112);
    bytes[0x7C..0x80].copy_from_slice(&(data.len() as u32).to_be_bytes());
    bytes.extend_from_slice(&boxed(b"mdat", data));
    bytes
}

// Each frame is decoded to a full picture, and a repeated frame takes only a few bytes of the file.
#[test]
fn a_still_image_with_many_frames_is_refused() {
    let original = fixture("420.avif");
    let data = &original[0x11A..];
    let rgb = |bytes: &[u8]| support::decode(Format::Avif, bytes, support::RGB).map(|image| rgba(&image));
    assert_eq!(rgb(&with_data(data)).unwrap(), rgb(&original).unwrap());
    let error = rgb(&with_data(&data.repeat(9))).unwrap_err();
    assert!(error.to_string().contains("frames"), "{error}");
}

// Overlapping extents can add up to terabytes in a small file.
#[test]
fn an_item_is_not_larger_than_its_file() {
    let original = fixture("420.avif");
    let mut body = vec![0x44, 0x00, 0, 1, 0, 1, 0, 0];
    body.extend_from_slice(&4_u16.to_be_bytes());
    for _ in 0..4 {
        body.extend_from_slice(&[0, 0, 0, 0]);
        body.extend_from_slice(&400_u32.to_be_bytes());
    }
    let iloc = full(b"iloc", 0, 0, &body);
    let old = 30;
    let mut bytes = original[..98].to_vec();
    bytes.extend_from_slice(&iloc);
    bytes.extend_from_slice(&original[98 + old..]);
    let meta = 242 + iloc.len() as u32 - old as u32;
    bytes[32..36].copy_from_slice(&meta.to_be_bytes());
    let error = probe(&bytes).unwrap_err();
    assert!(error.to_string().contains("larger than the file"), "{error}");
}

// field/: both were refused.
#[test]
fn field_files_with_bytes_after_the_image_are_decoded() {
    for name in ["field/avif-tail-nul3.avif", "field/avif-tail-box-past-end.avif"] {
        let image = support::decode(Format::Avif, &fixture(name), support::RGB).unwrap();
        assert_eq!((image.width, image.height), (80, 60));
        let pixels = rgba(&image);
        for ((x, y), colour) in [
            ((20, 15), [220, 40, 40]),
            ((60, 15), [40, 180, 60]),
            ((20, 45), [40, 60, 210]),
            ((60, 45), [235, 215, 40]),
        ] {
            let at = (y * 80 + x) * 4;
            assert!(
                pixels[at..at + 3].iter().zip(colour).all(|(a, b): (&u8, u8)| a.abs_diff(b) <= 24),
                "{name}"
            );
        }
    }
}

// Only `ftyp`, `meta` and the data of the image have to be complete.
#[test]
fn bytes_after_the_image_are_ignored() {
    let original = fixture("420.avif");
    let rgb = |bytes: &[u8]| support::decode(Format::Avif, bytes, support::RGB).map(|image| rgba(&image));
    let expected = rgb(&original).unwrap();
    for tail in [
        &b"\0\0\0"[..],
        b"\0",
        b"\0\0\0\0\0\0\0",
        b"\0\x10\0\0free",
        b"\0\0\0\x05free",
        b"\0\0\0\x01free",
        b"\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF",
        b"\0\0\0\0mdat",
        b"<html>\n",
    ] {
        assert_eq!(rgb(&[&original, tail].concat()).as_ref(), Ok(&expected), "{tail:?}");
    }
    // The size of the box around the data is too large.
    let mut bytes = original;
    bytes[0x112..0x116].copy_from_slice(&0x00FF_FFFF_u32.to_be_bytes());
    assert_eq!(rgb(&bytes), Ok(expected));
    // Incomplete image data are an error.
    bytes.pop();
    assert!(matches!(rgb(&bytes), Err(Error::Truncated(_))));
}
