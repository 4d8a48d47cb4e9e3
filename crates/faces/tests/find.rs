//! The detector on a photograph of a face, on other pictures, and within the limits of a request.

#![allow(clippy::unwrap_used)]

use codecs::{DecodeSpec, Error, Format, codec_for};
use faces::{LONGEST, bytes, find};
use proptest::prelude::*;
use work::{Budget, Cancel, Work};

fn work() -> Work {
    Work::new(Budget::new(64 << 20))
}

/// Width, height and RGB of the portrait that the conformance pictures use.
fn astronaut() -> (u32, u32, Vec<u8>) {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../conformance/sources/astronaut.jpg");
    let file = std::fs::read(path).unwrap();
    let codec = codec_for(Format::Jpeg).unwrap();
    let probe = codec.probe(&file, &Work::unlimited()).unwrap();
    let work = work();
    let mut source = codec.decode(&file, &probe, DecodeSpec { scale: 1, planar: false }, &work).unwrap();
    let mut rgb = Vec::new();
    while let Some(rows) = source.next_rows().unwrap() {
        rgb.extend_from_slice(rows.planes()[0].data);
    }
    (probe.width, probe.height, rgb)
}

/// Left, top, width, height and score from the authors' own program (libfacedetection 3) for the same picture.
#[test]
fn the_face_matches_the_authors_program() {
    let (w, h, rgb) = astronaut();
    let mirrored: Vec<u8> =
        rgb.chunks_exact(w as usize * 3).flat_map(|row| row.rchunks_exact(3)).flatten().copied().collect();
    for (pixels, wanted) in [(rgb, [49.0, 52.0, 73.0, 92.0, 0.94]), (mirrored, MIRRORED)] {
        let found = find(&pixels, w, h, 0.5, &work()).unwrap();
        assert_eq!(found.len(), 1, "{found:?}");
        let f = found[0];
        for (is, wanted) in [f.x, f.y, f.width, f.height].into_iter().zip(wanted) {
            assert!((is - wanted).abs() <= 2.0, "{f:?}");
        }
        assert!((f.score - wanted[4]).abs() < 0.02, "{f:?}");
    }
}

const MIRRORED: [f32; 5] = [196.0, 50.0, 75.0, 92.0, 0.93];

#[test]
fn the_limits_of_a_request_are_kept() {
    let (w, h, rgb) = astronaut();
    let enough = Work::new(Budget::new(bytes(w, h)));
    assert_eq!(find(&rgb, w, h, 0.5, &enough).unwrap().len(), 1);
    assert_eq!(enough.budget.used(), 0);
    let little = Work::new(Budget::new(bytes(w, h) - 1));
    assert!(matches!(find(&rgb, w, h, 0.5, &little), Err(Error::Work(work::Error::MemoryBudget { .. }))));
    let cancel = Cancel::new();
    cancel.cancel();
    let unwanted = Work { cancel, ..work() };
    assert_eq!(find(&rgb, w, h, 0.5, &unwanted), Err(Error::Work(work::Error::Cancelled)));
}

#[test]
fn malformed_pictures_have_no_faces() {
    assert_eq!(find(&[], 0, 0, 0.5, &work()).unwrap(), []);
    assert_eq!(find(&[0; 5], 1, 1, 0.5, &work()).unwrap(), []);
    let wide = LONGEST + 1;
    assert_eq!(find(&vec![0; wide as usize * 3], wide, 1, 0.5, &work()).unwrap(), []);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]
    #[test]
    fn boxes_are_inside_any_picture(w in 1u32..=90, h in 1u32..=90, seed in any::<u32>(), least in 0.0f32..1.0) {
        let mut state = seed;
        let rgb: Vec<u8> = (0..w * h * 3)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 24) as u8
            })
            .collect();
        for face in find(&rgb, w, h, least, &work()).unwrap() {
            prop_assert!(face.x >= 0.0 && face.y >= 0.0 && face.width > 0.0 && face.height > 0.0);
            prop_assert!(face.x + face.width <= w as f32 + 1e-3 && face.y + face.height <= h as f32 + 1e-3);
            prop_assert!(face.score >= least);
        }
        prop_assert!(find(&rgb, w, h, 0.75, &work()).unwrap().is_empty());
    }
}
