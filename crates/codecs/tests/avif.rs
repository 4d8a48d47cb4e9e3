//! AVIF through the codec trait, compared with images decoded by another program.

mod support;

use codecs::{Colour, DecodeSpec, EncodeSpec, Error, Format, ImageSpec, Layout, Orientation, Subsampling};
use proptest::prelude::*;
use support::{
    PLANAR, RGB, codec, decode, encode, fixture, furthest, picture, planes, reference, rgba, rms, survives,
    work,
};
use work::Work;

const AVIF: Format = Format::Avif;

/// The reference converts colours with 7 fractional bits and we with 16, so samples differ by at most 4.
fn matches(name: &str, layout: Layout) {
    matches_within(name, layout, 4);
}

fn matches_within(name: &str, layout: Layout, allowed: u8) {
    let (w, h, expected) = reference(&format!("{name}.png"));
    let image = decode(AVIF, &fixture(name), RGB).unwrap();
    assert_eq!((image.width, image.height, image.layout), (w, h, layout), "{name}");
    let far = furthest(&rgba(&image), &expected);
    assert!(far <= allowed, "{name}: {far}");
    assert!(rms(&rgba(&image), &expected) < 1.0, "{name}");
}

#[test]
fn every_depth_range_and_chroma_format_decodes() {
    for name in [
        "420.avif",
        "420-limited.avif",
        "422-10.avif",
        "444-12.avif",
        "444-identity.avif",
        "420-10-pq-2020-limited.avif",
    ] {
        matches(name, Layout::Rgb);
    }
    matches("400.avif", Layout::Gray);
}

#[test]
fn alpha_decodes_premultiplied_or_not() {
    matches("alpha.avif", Layout::Rgba);
    let (_, _, expected) = reference("premultiplied.avif.png");
    let image = decode(AVIF, &fixture("premultiplied.avif"), RGB).unwrap();
    // Division by a small alpha magnifies a difference of 1, so colours are compared only above an alpha of 64.
    for (p, q) in image.data().chunks(4).zip(expected.chunks(4)) {
        assert!(p[3].abs_diff(q[3]) <= 1);
        if q[3] > 64 {
            assert!(p.iter().zip(q).all(|(a, b)| a.abs_diff(*b) <= 5), "{p:?} {q:?}");
        }
    }
}

#[test]
fn a_grid_is_one_picture() {
    // The reference interpolates chroma across tile boundaries; we decode each row of tiles separately.
    matches_within("grid.avif", Layout::Rgb, 8);
    let flat = decode(AVIF, &fixture("grid.avif"), PLANAR).unwrap();
    assert_eq!((flat.width, flat.height, flat.layout), (128, 128, Layout::Ycc(Subsampling::S420)));
    let (_, _, expected) = reference("grid.avif.png");
    assert!(rms(&rgba(&flat), &expected) < 6.0);
}

#[test]
fn planes_with_the_bt601_matrix_are_not_converted() {
    for (name, subsampling) in [
        ("420.avif", Some(Subsampling::S420)),
        ("420-limited.avif", Some(Subsampling::S420)),
        ("444-12.avif", Some(Subsampling::S444)),
        ("422-10.avif", None),
        ("444-identity.avif", None),
    ] {
        let bytes = fixture(name);
        assert_eq!(codec(AVIF).probe(&bytes, &Work::unlimited()).unwrap().subsampling, subsampling, "{name}");
        let image = decode(AVIF, &bytes, PLANAR).unwrap();
        assert_eq!(image.layout, subsampling.map_or(Layout::Rgb, Layout::Ycc), "{name}");
        let (_, _, expected) = reference(&format!("{name}.png"));
        // The test repeats chroma; the reference interpolates it.
        assert!(rms(&rgba(&image), &expected) < 7.0, "{name}");
    }
}

#[test]
fn the_probe_reads_size_colour_and_orientation() {
    let probe = |name: &str| codec(AVIF).probe(&fixture(name), &Work::unlimited()).unwrap();
    let p = probe("irot1-imir0.avif");
    assert_eq!((p.width, p.height, p.orientation), (61, 47, Orientation::Transpose));
    assert_eq!(p.oriented_size(), (47, 61));
    matches("irot1-imir0.avif", Layout::Rgb);
    assert_eq!(p.colour, Colour::Srgb);
    assert_eq!(probe("444-12.avif").colour, Colour::Cicp { primaries: 12, transfer: 13 });
    assert_eq!(probe("420-10-pq-2020-limited.avif").colour, Colour::Cicp { primaries: 9, transfer: 16 });
    assert!(probe("400.avif").gray && !probe("420.avif").gray);
    assert!(probe("alpha.avif").alpha && !probe("420.avif").alpha);
}

/// Browsers crop to a clean aperture at the top left corner and ignore all others.
#[test]
fn a_clean_aperture_at_the_corner_crops_and_others_are_ignored() {
    let file = fixture("clap.avif");
    let at = file.windows(4).position(|w| w == b"clap").unwrap();
    // The same file without the property: 61 × 47.
    let mut whole = file.clone();
    whole[at..at + 4].copy_from_slice(b"pasp");
    let whole = decode(AVIF, &whole, RGB).unwrap();
    assert_eq!((whole.width, whole.height), (61, 47));
    let probe = |file: &[u8]| codec(AVIF).probe(file, &Work::unlimited()).unwrap();
    let cropped = decode(AVIF, &file, RGB).unwrap();
    let p = probe(&file);
    assert_eq!((p.width, p.height, p.warnings.len()), (20, 20, 0));
    assert_eq!((cropped.width, cropped.height), (20, 20));
    for (cropped, whole) in rgba(&cropped).chunks(20 * 4).zip(rgba(&whole).chunks(61 * 4)) {
        // The last column has no chroma to its right.
        assert_eq!(cropped[..19 * 4], whole[..19 * 4]);
    }
    // Offset of the centre, width, denominators: not at the corner, in parts of pixels, empty, too large, undefined.
    for (field, value) in [(4, -39), (6, 0), (1, 3), (0, 0), (0, 62), (0, -20), (3, 0), (5, 0), (7, -2)] {
        let mut other = file.clone();
        other[at + 4 + 4 * field..][..4].copy_from_slice(&i32::to_be_bytes(value));
        let p = probe(&other);
        assert_eq!((p.width, p.height), (61, 47), "{field} {value}");
        assert_eq!(p.warnings, ["the AVIF clean aperture is not at the top left corner and was ignored"]);
    }
    // All of the image.
    let mut all = file;
    for (field, value) in [(0, 61), (2, 47), (4, 0), (6, 0)] {
        all[at + 4 + 4 * field..][..4].copy_from_slice(&i32::to_be_bytes(value));
    }
    let p = probe(&all);
    assert_eq!((p.width, p.height, p.warnings.len()), (61, 47, 0));
    // Damaged headers cannot make a side overflow.
    for field in 0..8 {
        for value in [i32::MIN, i32::MAX, -1] {
            let mut odd = all.clone();
            odd[at + 4 + 4 * field..][..4].copy_from_slice(&i32::to_be_bytes(value));
            let p = probe(&odd);
            assert_eq!((p.width, p.height), (61, 47), "{field} {value}");
        }
    }
}

fn spec(quality: u8) -> EncodeSpec {
    EncodeSpec { quality, ..EncodeSpec::default() }
}

#[test]
fn every_layout_is_encoded_and_decoded() {
    let rgb = picture(Layout::Rgb, 95, 71, 0.0);
    for image in [planes(&rgb), picture(Layout::Gray, 95, 71, 0.0), picture(Layout::Rgba, 95, 71, 0.0), rgb] {
        let mut sizes = Vec::new();
        for quality in [30, 85] {
            let file = encode(AVIF, &image, &spec(quality)).unwrap();
            let back = decode(AVIF, &file, RGB).unwrap();
            assert_eq!((back.width, back.height), (95, 71));
            let (got, mut expected) = (rgba(&back), rgba(&image));
            for (e, g) in expected.chunks_mut(4).zip(got.chunks(4)) {
                if e[3] < 8 {
                    e.copy_from_slice(g);
                }
            }
            let rms = rms(&got, &expected);
            assert!(rms < if quality == 30 { 16.0 } else { 9.0 }, "{:?} q{quality}: {rms}", image.layout);
            sizes.push(file.len());
        }
        assert!(sizes[0] < sizes[1]);
    }
}

#[test]
fn quality_words_are_ordered_and_100_is_near_exact() {
    let image = picture(Layout::Gray, 64, 64, 0.0);
    let mut last = 0;
    for quality in [1, 25, 50, 60, 75, 85, 90, 100] {
        let size = encode(AVIF, &image, &spec(quality)).unwrap().len();
        assert!(size >= last, "{quality}");
        last = size;
    }
    let back = decode(AVIF, &encode(AVIF, &image, &spec(100)).unwrap(), RGB).unwrap();
    assert!(rms(&rgba(&back), &rgba(&image)) < 1.0);
}

#[test]
fn small_and_odd_sizes_encode() {
    for (w, h) in [(1, 1), (2, 3), (17, 1), (1, 65), (63, 64)] {
        for layout in [Layout::Gray, Layout::Rgb, Layout::Rgba] {
            let file = encode(AVIF, &picture(layout, w, h, 0.0), &spec(80)).unwrap();
            let back = decode(AVIF, &file, RGB).unwrap();
            assert_eq!((back.width, back.height), (w, h));
        }
    }
}

#[test]
fn a_truncated_file_is_an_error_at_every_length() {
    for name in ["420.avif", "alpha.avif", "grid.avif"] {
        let bytes = fixture(name);
        for n in 0..bytes.len() {
            let error = decode(AVIF, &bytes[..n], RGB).expect_err("half an image is no image");
            assert!(matches!(error, Error::Truncated(_)), "{name} {n}: {error}");
        }
    }
}

#[test]
fn a_huge_size_in_the_header_is_refused_before_decoding() {
    let mut bytes = fixture("420.avif");
    let at = bytes.windows(4).position(|w| w == b"ispe").unwrap() + 8;
    bytes[at..at + 8].copy_from_slice(&[0, 0, 0xFF, 0xFF, 0, 0, 0xFF, 0xFF]);
    assert!(matches!(decode(AVIF, &bytes, RGB), Err(Error::Work(work::Error::MemoryBudget { .. }))));
    bytes[at] = 1;
    assert!(matches!(codec(AVIF).probe(&bytes, &Work::unlimited()), Err(Error::TooLarge(_))));
}

#[test]
fn the_size_of_the_stream_must_match_the_container() {
    let mut bytes = fixture("420.avif");
    let at = bytes.windows(4).position(|w| w == b"ispe").unwrap() + 8;
    bytes[at + 3] -= 1;
    assert!(decode(AVIF, &bytes, RGB).is_err());
}

#[test]
fn decoding_stays_within_its_estimate() {
    for name in ["420.avif", "alpha.avif", "grid.avif", "444-12.avif", "400.avif"] {
        let bytes = fixture(name);
        let probe = codec(AVIF).probe(&bytes, &Work::unlimited()).unwrap();
        for planar in [false, true] {
            let spec = DecodeSpec { scale: 1, planar };
            let work = work();
            let mut source = codec(AVIF).decode(&bytes, &probe, spec, &work).unwrap();
            while source.next_rows().unwrap().is_some() {}
            assert!(work.budget.peak() as u64 <= codec(AVIF).decode_bytes(&probe, spec), "{name}");
        }
    }
}

#[test]
fn missing_rows_and_cancellation_are_errors() {
    let work = work();
    let image = ImageSpec { layout: Layout::Rgb, width: 8, height: 8 };
    assert!(codec(AVIF).encode(image, &spec(80), &work).unwrap().finish().is_err());
    let mut sink = codec(AVIF).encode(image, &spec(80), &work).unwrap();
    picture(Layout::Rgb, 8, 8, 0.0).push_into(&mut *sink, 8).unwrap();
    work.cancel.cancel();
    assert_eq!(sink.finish(), Err(Error::Work(work::Error::Cancelled)));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn damaged_files_never_panic(
        name in prop::sample::select(vec!["420.avif", "alpha.avif", "grid.avif", "444-12.avif", "400.avif"]),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12),
        cut in any::<Option<prop::sample::Index>>(),
    ) {
        let mut bytes = fixture(name);
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        survives(AVIF, &bytes, 16 << 20);
    }
}
