//! HEIC decoding. `fixtures/make_heic.py` makes the fixtures, and their reference pixels with an independent decoder
//! (libheif).
#![cfg(feature = "heic")]

mod support;

use codecs::{Codec, Colour, Error, Format, Layout, Orientation};
use proptest::prelude::*;
use support::{RGB, codec, decode, fixture, reference, survives};
use work::{Budget, Work};

const FIXTURES: [(&str, Layout, (u32, u32)); 8] = [
    ("420.heic", Layout::Rgb, (96, 64)),
    ("odd.heic", Layout::Rgb, (61, 47)),
    ("10bit.heic", Layout::Rgb, (64, 48)),
    ("gray.heic", Layout::Gray, (64, 48)),
    ("alpha.heic", Layout::Rgba, (64, 48)),
    ("turned.heic", Layout::Rgb, (48, 64)),
    // As phones write them: tiles, the last ones beyond the edge. In this file only the coded picture describes its
    // colours.
    ("grid.heic", Layout::Rgb, (150, 100)),
    ("grid-turned.heic", Layout::Rgb, (100, 150)),
];

#[test]
fn pixels_match_those_of_an_independent_decoder() {
    for (name, layout, size) in FIXTURES {
        let probe = codec(Format::Heic).probe(&fixture(name), &Work::unlimited()).unwrap();
        assert_eq!(
            (probe.width, probe.height, probe.orientation),
            (size.0, size.1, Orientation::Upright),
            "{name}"
        );
        assert_eq!(probe.colour, Colour::Srgb, "{name}");
        let image = decode(Format::Heic, &fixture(name), RGB).unwrap();
        assert_eq!((image.layout, image.width, image.height), (layout, size.0, size.1), "{name}");
        let (width, height, wanted) = reference(&format!("{name}.png"));
        assert_eq!((width, height), size, "{name}");
        let n = layout.channels(0);
        let pairs = || {
            image.data().chunks_exact(n).zip(wanted.chunks_exact(4)).map(|(p, q)| match *p {
                [v] => ([v, v, v, 255], [q[0], q[1], q[2], q[3]]),
                [r, g, b] => ([r, g, b, 255], [q[0], q[1], q[2], q[3]]),
                _ => ([p[0], p[1], p[2], p[3]], [q[0], q[1], q[2], q[3]]),
            })
        };
        // Decoders interpolate chroma differently, which shows at edges; luma must match.
        let luma = |p: [u8; 4]| 0.299 * f64::from(p[0]) + 0.587 * f64::from(p[1]) + 0.114 * f64::from(p[2]);
        let count = pairs().count() as f64;
        let of_luma = pairs().map(|(p, q)| (luma(p) - luma(q)).abs()).sum::<f64>() / count;
        assert!(of_luma < 0.5, "{name}: luma is off by {of_luma}");
        for channel in 0..4 {
            let off = pairs().map(|(p, q)| f64::from(p[channel].abs_diff(q[channel])));
            let mean = off.sum::<f64>() / count;
            let limit = match (channel, name) {
                (3, _) | (_, "gray.heic") => 0.1,
                _ => 5.0,
            };
            assert!(mean < limit, "{name}: channel {channel} is off by {mean}");
        }
    }
}

/// The library fails on most photographs in 4:4:4 and 4:2:2, and decodes some with wrong colours.
#[test]
fn subsamplings_other_than_420_are_refused() {
    let refused = codec(Format::Heic).probe(&fixture("444.heic"), &Work::unlimited());
    assert!(matches!(refused, Err(Error::Unsupported(_))), "{refused:?}");
}

#[test]
fn memory_is_reserved_before_it_is_used() {
    let file = fixture("grid.heic");
    let heic: &dyn Codec = codec(Format::Heic);
    let probe = heic.probe(&file, &Work::unlimited()).unwrap();
    let small = Work::new(Budget::new(100_000));
    assert!(matches!(
        heic.decode(&file, &probe, RGB, &small),
        Err(Error::Work(work::Error::MemoryBudget { .. }))
    ));
    for (name, _, _) in FIXTURES {
        let file = fixture(name);
        let probe = heic.probe(&file, &Work::unlimited()).unwrap();
        let work = support::work();
        drop(heic.decode(&file, &probe, RGB, &work).unwrap());
        assert!(work.budget.peak() as u64 <= heic.decode_bytes(&probe, RGB), "{name}");
        assert_eq!(work.budget.used(), 0);
    }
}

#[test]
fn a_truncated_file_and_a_cancelled_request_are_errors() {
    let file = fixture("grid.heic");
    for length in (0..file.len()).step_by(97) {
        assert!(decode(Format::Heic, &file[..length], RGB).is_err(), "{length}");
    }
    let probe = codec(Format::Heic).probe(&file, &Work::unlimited()).unwrap();
    let work = support::work();
    work.cancel.cancel();
    let stopped = codec(Format::Heic).decode(&file, &probe, RGB, &work).map(drop);
    assert_eq!(stopped.unwrap_err(), Error::Work(work::Error::Cancelled));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]
    #[test]
    fn damaged_files_never_panic(
        which in 0..FIXTURES.len(), places in prop::collection::vec((0usize..3000, any::<u8>()), 1..6),
    ) {
        let mut file = fixture(FIXTURES[which].0);
        for (at, value) in places {
            let length = file.len();
            file[at % length] = value;
        }
        survives(Format::Heic, &file, 16 << 20);
    }
}

/// The file with the content of one box replaced, and the sizes of the boxes around it updated.
fn with_box(name: &str, path: &[&[u8; 4]], content: &[u8]) -> Vec<u8> {
    let mut bytes = fixture(name);
    let mut starts = Vec::new();
    let (mut at, mut end) = (0, bytes.len());
    for kind in path {
        loop {
            assert!(at < end, "no {}", kind.escape_ascii());
            let size = u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
            if &&bytes[at + 4..at + 8] == kind {
                starts.push(at);
                end = at + size;
                at += if *kind == b"meta" { 12 } else { 8 };
                break;
            }
            at += size;
        }
    }
    let change = content.len() as i64 - (end - at) as i64;
    for start in starts {
        let size = i64::from(u32::from_be_bytes(bytes[start..start + 4].try_into().unwrap())) + change;
        bytes[start..start + 4].copy_from_slice(&(size as u32).to_be_bytes());
    }
    bytes.splice(at..end, content.iter().copied());
    bytes
}

// The library allocates 1.5 MB for each entry of 12 bytes.
#[test]
fn the_container_is_bounded_before_the_library_reads_it() {
    let probe = |bytes: &[u8]| {
        let work = Work::new(Budget::new(4 << 20));
        let before = cpu_time::ThreadTime::now();
        let error = codec(Format::Heic).probe(bytes, &work).unwrap_err();
        let taken = before.elapsed();
        assert!(taken < std::time::Duration::from_millis(1000), "{taken:?}");
        error.to_string()
    };
    let entries: Vec<u8> =
        (0..8000_u16).flat_map(|i| [&i.to_be_bytes()[..], &[0, 0, 0xFF, 0xFF]].concat()).collect();
    let iloc = [&[0, 0, 0, 0, 0, 0][..], &8000_u16.to_be_bytes(), &entries].concat();
    assert!(probe(&with_box("420.heic", &[b"meta", b"iloc"], &iloc)).contains("several extents"));
    let entries: Vec<u8> = (0..200_000_u32).flat_map(|i| [(i >> 8) as u8, i as u8, 0]).collect();
    let ipma = [&[0, 0, 0, 0][..], &200_000_u32.to_be_bytes(), &entries].concat();
    assert!(probe(&with_box("420.heic", &[b"meta", b"iprp", b"ipma"], &ipma)).contains("properties of more"));
}

#[test]
fn bytes_after_the_image_are_ignored() {
    let plain = fixture("420.heic");
    let expected = decode(Format::Heic, &plain, RGB).unwrap();
    for tail in [&b"\0\0\0"[..], b"\0\x10\0\0free", b"<html>\n"] {
        let image = decode(Format::Heic, &[&plain, tail].concat(), RGB).unwrap();
        assert_eq!(image.data(), expected.data(), "{tail:?}");
    }
}
