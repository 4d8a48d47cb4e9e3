//! JPEG through the public API: decoding, encoding and damaged files.

mod still;

use codecs::{
    Colour, DecodeSpec, EncodeSpec, Error, Format, ImageSpec, JpegMode, Layout, Orientation, PlaneRows, Rows,
    Subsampling, codec_for, exif,
};
use proptest::prelude::*;
use still::{
    PLANAR, RGB, collect, decode, decode_with, decoded_elsewhere, encode, picture, rgba, rms, work, worst,
};
use work::{Budget, Work};

macro_rules! fixture {
    ($name:literal) => {
        include_bytes!(concat!("fixtures/", $name)).as_slice()
    };
}

/// Name, file, reference of its pixels.
const FILES: [(&str, &[u8], &[u8]); 10] = [
    ("4:2:0", fixture!("baseline420.jpg"), fixture!("baseline420.ref.png")),
    ("4:4:4", fixture!("baseline444.jpg"), fixture!("baseline444.ref.png")),
    ("4:2:2", fixture!("baseline422.jpg"), fixture!("baseline422.ref.png")),
    ("progressive", fixture!("progressive.jpg"), fixture!("progressive.ref.png")),
    ("restarts", fixture!("restarts.jpg"), fixture!("restarts.ref.png")),
    ("grey", fixture!("gray.jpg"), fixture!("gray.ref.png")),
    ("4:1:1", fixture!("s411.jpg"), fixture!("s411.ref.png")),
    ("4:4:0", fixture!("s440.jpg"), fixture!("s440.ref.png")),
    ("CMYK", fixture!("cmyk.jpg"), fixture!("cmyk.ref.png")),
    ("YCCK", fixture!("ycck.jpg"), fixture!("ycck.ref.png")),
];

fn scaled(scale: u32, planar: bool) -> DecodeSpec {
    DecodeSpec { scale, planar }
}

fn spec(quality: u8, jpeg: JpegMode, fast: bool) -> EncodeSpec {
    EncodeSpec { quality, jpeg, fast, ..EncodeSpec::default() }
}

/// JFIF's conversion of planes to R G B, with the nearest chroma sample.
fn to_rgb(image: &still::Image) -> Vec<u8> {
    let (w, h) = (image.width as usize, image.height as usize);
    let Layout::Ycc(s) = image.layout else { panic!("{:?}", image.layout) };
    let (fx, fy) = s.factors();
    let (cw, _) = image.layout.plane_size(1, image.width, image.height);
    let mut out = Vec::new();
    for y in 0..h {
        for x in 0..w {
            let luma = f64::from(image.planes[0][y * w + x]);
            let at = y / fy as usize * cw as usize + x / fx as usize;
            let (cb, cr) = (f64::from(image.planes[1][at]) - 128.0, f64::from(image.planes[2][at]) - 128.0);
            for v in [luma + 1.402 * cr, luma - 0.344_136 * cb - 0.714_136 * cr, luma + 1.772 * cb] {
                out.push(v.round().clamp(0.0, 255.0) as u8);
            }
        }
    }
    out
}

// Another build of libjpeg decoded the references. Its transforms and filters may differ by one in rounding, and its
// colour conversion by one more.
#[test]
fn every_coding_and_subsampling_decodes_to_the_reference_pixels() {
    for (name, file, reference) in FILES {
        let (probe, image) = decode_with(file, if name == "grey" { PLANAR } else { RGB }, &work()).unwrap();
        let reference = decode(reference, if name == "grey" { PLANAR } else { RGB }).unwrap();
        assert_eq!((image.width, image.height), (61, 47), "{name}");
        assert_eq!((probe.width, probe.height), (61, 47), "{name}");
        let worst = worst(&image.planes[0], &reference.planes[0]);
        assert!(worst <= 2, "{name}: differs by {worst}");
    }
}

// Without Adobe's marker the samples were not inverted, and the image was black.
#[test]
fn cmyk_without_adobes_marker_is_decoded_the_same() {
    let marked = fixture!("cmyk.jpg");
    let at = marked.windows(5).position(|w| w == b"Adobe").unwrap() - 4;
    let length = 2 + usize::from(u16::from_be_bytes([marked[at + 2], marked[at + 3]]));
    let unmarked = [&marked[..at], &marked[at + length..]].concat();
    assert_eq!(marked[at..at + 2], [0xFF, 0xEE]);
    assert!(decode(&unmarked, RGB).unwrap().planes == decode(marked, RGB).unwrap().planes);
}

#[test]
fn a_grey_file_can_be_decoded_as_rgb() {
    let gray = decode(fixture!("gray.jpg"), PLANAR).unwrap();
    let rgb = decode(fixture!("gray.jpg"), RGB).unwrap();
    assert_eq!((gray.layout, rgb.layout), (Layout::Gray, Layout::Rgb));
    assert!(gray.planes[0].iter().zip(rgb.planes[0].as_chunks::<3>().0).all(|(y, p)| *p == [*y; 3]));
}

#[test]
fn the_probe_reads_subsampling_coding_and_colour() {
    let probe = |bytes| codec_for(Format::Jpeg).unwrap().probe(bytes, &Work::unlimited()).unwrap();
    assert_eq!(probe(fixture!("baseline420.jpg")).subsampling, Some(Subsampling::S420));
    assert_eq!(probe(fixture!("baseline444.jpg")).subsampling, Some(Subsampling::S444));
    assert_eq!(probe(fixture!("baseline422.jpg")).subsampling, Some(Subsampling::S422));
    assert_eq!(probe(fixture!("s411.jpg")).subsampling, Some(Subsampling::S411));
    assert_eq!(probe(fixture!("s440.jpg")).subsampling, Some(Subsampling::S440));
    assert!(probe(fixture!("progressive.jpg")).progressive);
    assert!(!probe(fixture!("baseline420.jpg")).progressive);
    assert!(probe(fixture!("gray.jpg")).gray);
    assert!(probe(fixture!("cmyk.jpg")).cmyk && probe(fixture!("ycck.jpg")).cmyk);
    assert!(matches!(probe(fixture!("p3.jpg")).colour, Colour::Icc(p) if p.len() > 300));
    assert_eq!(probe(fixture!("baseline420.jpg")).colour, Colour::Srgb);
}

// URL-075: the probe reads the orientation.
#[test]
fn url_075_orientation_and_copyright_are_read() {
    let probe = codec_for(Format::Jpeg).unwrap().probe(fixture!("exif6.jpg"), &Work::unlimited()).unwrap();
    assert_eq!(probe.orientation, Orientation::Rotate90);
    assert_eq!(exif::copyright(&probe.exif.unwrap()), Some(b"(c) A. Photographer".as_slice()));
}

#[test]
fn planar_decoding_yields_the_samples_of_the_file() {
    for (name, file, reference) in FILES.iter().filter(|f| !matches!(f.0, "grey" | "CMYK" | "YCCK")) {
        let image = decode(file, PLANAR).unwrap();
        assert!(matches!(image.layout, Layout::Ycc(_)), "{name}");
        let reference = decode(reference, RGB).unwrap();
        // `to_rgb` takes the nearest chroma sample; the reference interpolates.
        let difference = rms(&to_rgb(&image), &reference.planes[0]);
        assert!(difference < if *name == "4:4:4" { 0.8 } else { 14.0 }, "{name}: {difference}");
    }
}

#[test]
fn scaled_decoding_is_the_mean_of_blocks() {
    for (width, height) in [(64, 48), (61, 47), (8, 8), (1, 1), (130, 9)] {
        for sampling in [
            Subsampling::S420,
            Subsampling::S444,
            Subsampling::S422,
            Subsampling::S440,
            Subsampling::S411,
            Subsampling::S410,
        ] {
            let original = picture(Layout::Ycc(sampling), width, height);
            let options =
                EncodeSpec { quality: 100, subsampling: sampling, ..spec(100, JpegMode::Baseline, true) };
            let file = encode(Format::Jpeg, &original, &options, 8, &work()).unwrap();
            for scale in [1, 2, 4, 8] {
                for planar in [false, true] {
                    let image = decode(&file, scaled(scale, planar)).unwrap();
                    assert_eq!((image.width, image.height), (width.div_ceil(scale), height.div_ceil(scale)));
                    if !planar {
                        continue;
                    }
                    // Inner samples are the mean of scale × scale luma samples.
                    let s = scale as usize;
                    for y in 0..height as usize / s {
                        for x in 0..width as usize / s {
                            let sum: u32 = (0..s * s)
                                .map(|i| {
                                    u32::from(
                                        original.planes[0][(y * s + i / s) * width as usize + x * s + i % s],
                                    )
                                })
                                .sum();
                            let mean = f64::from(sum) / (s * s) as f64;
                            let found = f64::from(image.planes[0][y * image.width as usize + x]);
                            assert!(
                                (mean - found).abs() < 12.0,
                                "{sampling:?} 1/{scale} at {x} {y}: {mean} {found}"
                            );
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn scaled_decoding_yields_chroma_at_the_resolution_of_luma() {
    let probe =
        codec_for(Format::Jpeg).unwrap().probe(fixture!("baseline420.jpg"), &Work::unlimited()).unwrap();
    let layout = |scale| codec_for(Format::Jpeg).unwrap().decoded_layout(&probe, scaled(scale, true));
    assert_eq!(layout(1), Layout::Ycc(Subsampling::S420));
    assert_eq!([layout(2), layout(4), layout(8)], [Layout::Ycc(Subsampling::S444); 3]);
}

#[test]
fn encoded_pixels_decode_to_similar_pixels() {
    for layout in [
        Layout::Gray,
        Layout::Rgb,
        Layout::Ycc(Subsampling::S444),
        Layout::Ycc(Subsampling::S422),
        Layout::Ycc(Subsampling::S420),
        Layout::Ycc(Subsampling::S440),
        Layout::Ycc(Subsampling::S411),
        Layout::Ycc(Subsampling::S410),
    ] {
        for (width, height) in [(1, 1), (16, 16), (61, 47), (130, 33)] {
            for (mode, fast) in
                [(JpegMode::Progressive, false), (JpegMode::Baseline, false), (JpegMode::Baseline, true)]
            {
                let original = picture(layout, width, height);
                let spec = EncodeSpec { subsampling: Subsampling::S444, ..spec(98, mode, fast) };
                let file = encode(Format::Jpeg, &original, &spec, 5, &work()).unwrap();
                let planar = layout != Layout::Rgb;
                let (probe, image) = decode_with(&file, scaled(1, planar), &work()).unwrap();
                assert_eq!(image.layout, layout);
                assert_eq!(probe.progressive, mode == JpegMode::Progressive);
                for (a, b) in original.planes.iter().zip(&image.planes) {
                    let difference = rms(a, b);
                    assert!(difference < 4.0, "{layout:?} {width}×{height} {mode:?}: {difference}");
                }
                let case = format!("{layout:?} {width}×{height} {mode:?}");
                let difference = if layout == Layout::Rgb {
                    rms(&decoded_elsewhere(&file), &rgba(&original))
                } else {
                    rms(&reference::jpeg_luma(&file).expect(&case), &original.planes[0])
                };
                assert!(difference < 4.0, "{case}, decoded elsewhere: {difference}");
            }
        }
    }
}

// URL-106
#[test]
fn url_106_baseline_is_not_progressive_and_fast_is_baseline() {
    let image = picture(Layout::Rgb, 64, 64);
    for (mode, fast, marker) in [
        (JpegMode::Progressive, false, 0xC2),
        (JpegMode::Baseline, false, 0xC0),
        (JpegMode::Progressive, true, 0xC0),
    ] {
        let file = encode(Format::Jpeg, &image, &spec(80, mode, fast), 8, &work()).unwrap();
        let frame = file.windows(2).find(|w| w[0] == 0xFF && (0xC0..=0xC2).contains(&w[1])).unwrap()[1];
        assert_eq!(frame, marker);
    }
}

#[test]
fn the_default_encoding_is_smaller_than_the_fast_one() {
    let image = picture(Layout::Ycc(Subsampling::S420), 256, 256);
    let size = |mode, fast| encode(Format::Jpeg, &image, &spec(80, mode, fast), 16, &work()).unwrap().len();
    assert!(size(JpegMode::Progressive, false) < size(JpegMode::Baseline, true));
    assert!(size(JpegMode::Baseline, false) < size(JpegMode::Baseline, true));
}

#[test]
fn a_lower_quality_makes_a_smaller_file() {
    let image = picture(Layout::Rgb, 128, 128);
    let size =
        |q| encode(Format::Jpeg, &image, &spec(q, JpegMode::Progressive, false), 16, &work()).unwrap().len();
    assert!(size(20) < size(60) && size(60) < size(95));
}

// URL-129
#[test]
fn url_129_exif_is_written_after_jfif() {
    let tiff = codec_for(Format::Jpeg)
        .unwrap()
        .probe(fixture!("exif6.jpg"), &Work::unlimited())
        .unwrap()
        .exif
        .unwrap();
    let image = picture(Layout::Rgb, 16, 16);
    let with = |exif: Option<Vec<u8>>| {
        let options = EncodeSpec { exif, ..EncodeSpec::default() };
        let file = encode(Format::Jpeg, &image, &options, 8, &work()).unwrap();
        assert_eq!(&file[2..4], &[0xFF, 0xE0], "JFIF comes first");
        codec_for(Format::Jpeg).unwrap().probe(&file, &Work::unlimited()).unwrap()
    };
    assert_eq!(with(None).exif, None);
    let kept = with(exif::keep(&tiff, (20, 10)));
    assert_eq!(kept.orientation, Orientation::Upright);
    assert_eq!(exif::copyright(kept.exif.as_ref().unwrap()), Some(b"(c) A. Photographer".as_slice()));
    let only = with(exif::copyright_only(&tiff)).exif.unwrap();
    assert_eq!(exif::copyright(&only), Some(b"(c) A. Photographer".as_slice()));
    assert!(!only.windows(5).any(|w| w == b"Maker"));
    let too_long = EncodeSpec { exif: Some(vec![0; 65_600]), ..EncodeSpec::default() };
    assert!(matches!(encode(Format::Jpeg, &image, &too_long, 8, &work()), Err(Error::Encode { .. })));
}

// URL-158. The last two bytes are the EOI marker and contain no pixels.
#[test]
fn url_158_a_file_truncated_before_its_last_pixel_is_an_error() {
    for (name, file, _) in FILES {
        for spec in [RGB, PLANAR, scaled(8, true)] {
            let end = file.len() - 2;
            assert_eq!(file[end..], [0xFF, 0xD9], "{name}");
            for cut in 0..end {
                assert!(decode(&file[..cut], spec).is_err(), "{name} cut to {cut}");
            }
            for cut in [file.len() / 2, file.len() * 3 / 4, end - 1] {
                let error = decode(&file[..cut], spec).unwrap_err();
                assert_eq!(error, Error::Truncated(Format::Jpeg), "{name} cut to {cut}");
            }
        }
    }
}

#[test]
fn a_file_without_an_eoi_marker_is_decoded_with_a_warning() {
    for (name, file, _) in FILES {
        for spec in [RGB, PLANAR, scaled(8, true)] {
            let (probe, expected) = decode_with(file, spec, &work()).unwrap();
            assert!(probe.warnings.is_empty(), "{name}");
            for cut in [1, 2] {
                let (probe, image) = decode_with(&file[..file.len() - cut], spec, &work()).unwrap();
                assert!(image == expected, "{name}");
                assert_eq!(probe.warnings, ["JPEG: the end marker is missing"], "{name}");
            }
        }
    }
}

/// The offsets of the scan headers of a file.
fn scans(file: &[u8]) -> Vec<usize> {
    (0..file.len() - 1).filter(|&i| file[i..].starts_with(&[0xFF, 0xDA])).collect()
}

// A scan only refines the pixels, so a missing one cannot be detected in them.
#[test]
fn a_progressive_file_without_its_last_scan_needs_an_eoi_marker() {
    let file = fixture!("progressive.jpg");
    let last = *scans(file).last().unwrap();
    // The tables before the scan may remain.
    let cut = &file[..last];
    assert_eq!(decode(cut, RGB).unwrap_err(), Error::Truncated(Format::Jpeg));
    decode(&[cut, &[0xFF, 0xD9]].concat(), RGB).unwrap();
}

// Some tools append an EOI marker to a truncated file; half of the image is still missing.
#[test]
fn an_eoi_marker_after_half_of_the_data_is_a_truncation() {
    for (name, file, _) in FILES.iter().filter(|f| f.0 != "progressive") {
        let mut cut = file[..file.len() - file.len() / 6].to_vec();
        while cut.last() == Some(&0xFF) {
            cut.pop();
        }
        cut.extend_from_slice(&[0xFF, 0xD9]);
        assert_eq!(decode(&cut, RGB).unwrap_err(), Error::Truncated(Format::Jpeg), "{name}");
    }
}

#[test]
fn bytes_after_the_end_and_between_segments_are_ignored() {
    let file = fixture!("baseline420.jpg");
    let mut padded = file[..2].to_vec();
    padded.extend_from_slice(&[0xFF; 3]);
    padded.extend_from_slice(&file[2..]);
    padded.extend_from_slice(b"a trailing movie");
    assert_eq!(decode(&padded, RGB).unwrap(), decode(file, RGB).unwrap());
}

#[test]
fn the_error_of_an_unsupported_file_names_the_feature() {
    let mut file = fixture!("baseline420.jpg").to_vec();
    let frame = file.windows(2).position(|w| w == [0xFF, 0xC0]).unwrap();
    for kind in [0xC3, 0xC9] {
        file[frame + 1] = kind;
        assert!(matches!(decode(&file, RGB), Err(Error::Unsupported(_))), "{kind:x}");
    }
    file[frame + 1] = 0xC1;
    file[frame + 4] = 12;
    assert!(matches!(decode(&file, RGB), Err(Error::Unsupported(_))));
}

/// Replaces the size in the frame header.
fn with_size(file: &[u8], width: u16, height: u16) -> Vec<u8> {
    let mut file = file.to_vec();
    let frame = file.windows(2).position(|w| w[0] == 0xFF && (0xC0..=0xC2).contains(&w[1])).unwrap();
    file[frame + 5..frame + 7].copy_from_slice(&height.to_be_bytes());
    file[frame + 7..frame + 9].copy_from_slice(&width.to_be_bytes());
    file
}

#[test]
fn a_huge_size_in_the_header_allocates_nothing() {
    for (name, file, _) in FILES {
        let limits = Work::new(Budget::new(64 << 20));
        assert!(
            matches!(decode_with(&with_size(file, 65_535, 65_535), RGB, &limits), Err(Error::TooLarge(_))),
            "{name}"
        );
        let bomb = with_size(file, 65_500, 65_500);
        let error = decode_with(&bomb, RGB, &limits).unwrap_err();
        assert!(
            matches!(
                error,
                Error::Work(work::Error::MemoryBudget { .. }) | Error::Truncated(_) | Error::Malformed { .. }
            ),
            "{name}: {error}"
        );
        if name == "progressive" {
            assert!(matches!(error, Error::Work(work::Error::MemoryBudget { .. })));
        }
        assert!(limits.budget.peak() <= 64 << 20);
        assert_eq!(limits.budget.used(), 0);
        assert!(matches!(decode(&with_size(file, 0, 10), RGB), Err(Error::Malformed { .. })));
    }
}

#[test]
fn a_file_with_very_many_scans_is_refused() {
    let file = fixture!("progressive.jpg");
    // Repeats the first scan (DC of all components) before the others. Its tables stay valid.
    let marker = |from: usize| (from..file.len() - 1).find(|&i| file[i] == 0xFF && file[i + 1] != 0).unwrap();
    let start = (0..file.len()).find(|&i| file[i..].starts_with(&[0xFF, 0xDA])).unwrap();
    let end = marker(start + 2);
    let mut bomb = file[..end].to_vec();
    for _ in 0..300 {
        bomb.extend_from_slice(&file[start..end]);
    }
    bomb.extend_from_slice(&file[end..]);
    // The probe refuses it, before any scan is decoded.
    let error = codec_for(Format::Jpeg).unwrap().probe(&bomb, &work()).unwrap_err();
    assert!(matches!(error, Error::TooLarge(_)), "{error}");
}

// A 64-megapixel image of 134 kB with 95 scans took 6.4 s.
#[test]
fn the_larger_an_image_the_fewer_scans_it_may_have() {
    let file = fixture!("progressive.jpg");
    let start = scans(file)[0];
    let end = (start + 2..file.len() - 1).find(|&i| file[i] == 0xFF && file[i + 1] != 0).unwrap();
    let many = [&file[..end], &file[start..end].repeat(80), &file[end..]].concat();
    let probe = |file: &[u8]| codec_for(Format::Jpeg).unwrap().probe(file, &work());
    let error = probe(&with_size(&many, 8000, 8000)).unwrap_err();
    assert!(matches!(error, Error::TooLarge(_)), "{error}");
    // The same scans over few pixels are cheap, and the usual scans are accepted at any size.
    probe(&with_size(&many, 1000, 1000)).unwrap();
    probe(&with_size(file, 65_500, 65_500)).unwrap();
}

#[test]
fn very_many_markers_are_read_in_linear_time() {
    let file = fixture!("baseline420.jpg");
    let end = file.len() - 2;
    for filler in [&[0xFF, 0xFE, 0, 2][..], &[0xFF, 0xD0], &[0xFF, 0], &[0xFF], &[0xFF, 0xE2, 0, 2]] {
        let many = filler.repeat((8 << 20) / filler.len());
        for at in [2, end] {
            let bytes = [&file[..at], &many, &file[at..]].concat();
            let before = cpu_time::ThreadTime::now();
            let _ = codec_for(Format::Jpeg).unwrap().probe(&bytes, &work());
            let taken = before.elapsed();
            assert!(taken < std::time::Duration::from_millis(1600), "{filler:?} at {at}: {taken:?}");
        }
    }
}

#[test]
fn a_profile_in_very_many_segments_takes_no_memory() {
    let file = fixture!("baseline420.jpg");
    let piece = b"\xFF\xE2\0\x10ICC_PROFILE\0\x01\xFF";
    let bytes = [&file[..2], &piece.repeat(1 << 18), &file[2..]].concat();
    let work = Work::new(Budget::new(64 << 10));
    let probe = codec_for(Format::Jpeg).unwrap().probe(&bytes, &work).unwrap();
    assert_eq!(probe.colour, Colour::Srgb);
}

// EXIF and profiles stay in memory as long as the pixels.
#[test]
fn kept_metadata_is_reserved_in_the_budget() {
    for file in [fixture!("exif6.jpg"), fixture!("p3.jpg")] {
        let codec = codec_for(Format::Jpeg).unwrap();
        let work = work();
        let probe = codec.probe(file, &work).unwrap();
        let kept = match &probe.colour {
            Colour::Icc(profile) => profile.len(),
            _ => 0,
        } + probe.exif.as_ref().map_or(0, |exif| exif.len());
        assert!(kept > 0);
        assert_eq!(work.budget.used(), kept);
        let clone = probe.clone();
        drop(probe);
        assert_eq!(work.budget.used(), kept);
        drop(clone);
        assert_eq!(work.budget.used(), 0);
        let none = Work::new(Budget::new(kept - 1));
        assert!(matches!(codec.probe(file, &none), Err(Error::Work(work::Error::MemoryBudget { .. }))));
    }
}

#[test]
fn a_cancelled_request_stops() {
    let work = work();
    let file = fixture!("progressive.jpg");
    let codec = codec_for(Format::Jpeg).unwrap();
    let probe = codec.probe(file, &Work::unlimited()).unwrap();
    work.cancel.cancel();
    assert_eq!(codec.decode(file, &probe, RGB, &work).err(), Some(Error::Work(work::Error::Cancelled)));
    let image = ImageSpec { layout: Layout::Gray, width: 8, height: 8 };
    let mut sink = codec.encode(image, &EncodeSpec::default(), &work).unwrap();
    let rows = [PlaneRows { first: 0, count: 8, data: &[0; 64] }];
    assert_eq!(sink.push(rows.into_iter().collect()), Err(Error::Work(work::Error::Cancelled)));
}

#[test]
fn planes_are_streamed_with_few_rows_in_memory() {
    let (width, height) = (2000, 1500);
    let original = picture(Layout::Ycc(Subsampling::S420), width, height);
    let file = encode(Format::Jpeg, &original, &spec(85, JpegMode::Baseline, true), 16, &work()).unwrap();
    for (spec, most) in [(PLANAR, 1_000_000), (RGB, 1_000_000), (scaled(4, true), 1_000_000)] {
        let work = work();
        decode_with(&file, spec, &work).unwrap();
        // The whole image would be 4.5 MB of planes or 9 MB of pixels.
        assert!(work.budget.peak() < most, "{spec:?}: {}", work.budget.peak());
        assert_eq!(work.budget.used(), 0);
        let probe = codec_for(Format::Jpeg).unwrap().probe(&file, &Work::unlimited()).unwrap();
        assert!(codec_for(Format::Jpeg).unwrap().decode_bytes(&probe, spec) >= work.budget.peak() as u64);
    }
}

#[test]
fn unusual_sampling_is_in_the_estimate() {
    let original = picture(Layout::Ycc(Subsampling::S444), 2000, 64);
    let spec = EncodeSpec { subsampling: Subsampling::S444, ..spec(85, JpegMode::Baseline, true) };
    let mut file = encode(Format::Jpeg, &original, &spec, 16, &work()).unwrap();
    let frame = file.windows(2).position(|marker| marker == [0xFF, 0xC0]).unwrap();
    // Length, precision, size, and three components: the factors of the first one become 1 × 4.
    file[frame + 2 + 2 + 1 + 4 + 1 + 1] = 0x14;
    let codec = codec_for(Format::Jpeg).unwrap();
    let probe = codec.probe(&file, &Work::unlimited()).unwrap();
    let work = work();
    drop(codec.decode(&file, &probe, RGB, &work).unwrap());
    let (held, announced) = (work.budget.peak() as u64, codec.decode_bytes(&probe, RGB));
    assert!(held > 0 && held <= announced, "{held} bytes were held, {announced} announced");
}

#[test]
fn encoding_stays_within_its_estimate() {
    let codec = codec_for(Format::Jpeg).unwrap();
    for layout in [Layout::Rgb, Layout::Gray, Layout::Ycc(Subsampling::S420)] {
        for spec in [spec(85, JpegMode::Progressive, false), spec(85, JpegMode::Baseline, true)] {
            let original = picture(layout, 600, 400);
            let image = ImageSpec { layout, width: 600, height: 400 };
            let work = work();
            let rows: u64 = layout.bytes(600, 400);
            encode(Format::Jpeg, &original, &spec, 16, &work).unwrap();
            assert!(work.budget.peak() as u64 <= rows + codec.encode_bytes(image, &spec));
            assert_eq!(work.budget.used(), 0);
        }
    }
}

#[test]
fn a_small_budget_is_an_error_and_not_a_crash() {
    let original = picture(Layout::Rgb, 300, 200);
    for budget in [1_000, 50_000, 200_000, 300_000] {
        let work = Work::new(Budget::new(budget));
        let image = ImageSpec { layout: Layout::Rgb, width: 300, height: 200 };
        let codec = codec_for(Format::Jpeg).unwrap();
        let result =
            codec.encode(image, &spec(100, JpegMode::Progressive, false), &work).and_then(|mut sink| {
                sink.push(Rows::one(PlaneRows { first: 0, count: 200, data: &original.planes[0] }))?;
                sink.finish()
            });
        assert!(matches!(result, Err(Error::Work(work::Error::MemoryBudget { .. }))), "{budget}");
        assert_eq!(work.budget.used(), 0);
        assert!(work.budget.peak() <= budget);
    }
}

#[test]
fn chroma_may_lag_far_behind_luma() {
    let layout = Layout::Ycc(Subsampling::S420);
    let original = picture(layout, 50, 70);
    let image = ImageSpec { layout, width: 50, height: 70 };
    let work = work();
    let mut sink = codec_for(Format::Jpeg).unwrap().encode(image, &EncodeSpec::default(), &work).unwrap();
    let part = |plane: usize, from: u32, to: u32| {
        let stride = if plane == 0 { 50 } else { 25 };
        PlaneRows {
            first: from,
            count: to - from,
            data: &original.planes[plane][from as usize * stride..to as usize * stride],
        }
    };
    for (luma, chroma) in [((0, 67), (0, 0)), ((67, 67), (0, 3)), ((67, 70), (3, 20)), ((70, 70), (20, 35))] {
        let rows = [part(0, luma.0, luma.1), part(1, chroma.0, chroma.1), part(2, chroma.0, chroma.1)];
        sink.push(rows.into_iter().collect()).unwrap();
    }
    let lagging = sink.finish().unwrap();
    assert_eq!(lagging, encode(Format::Jpeg, &original, &EncodeSpec::default(), 16, &work).unwrap());
}

#[test]
fn missing_surplus_and_unordered_rows_are_refused() {
    let codec = codec_for(Format::Jpeg).unwrap();
    let work = work();
    let bytes = [0; 5 * 12];
    let sink = |layout| {
        codec.encode(ImageSpec { layout, width: 4, height: 4 }, &EncodeSpec::default(), &work).unwrap()
    };
    let row = |first, count, data| PlaneRows { first, count, data };
    let refused = |r: Result<(), Error>| assert!(matches!(r, Err(Error::Encode { .. })), "{r:?}");
    for layout in [Layout::Gray, Layout::Rgb] {
        let stride = 4 * layout.channels(0);
        refused(sink(layout).push(Rows::one(row(1, 1, &bytes[..stride]))));
        refused(sink(layout).push(Rows::one(row(0, 5, &bytes[..stride * 5]))));
        refused(sink(layout).push(Rows::one(row(0, 2, &bytes[..stride]))));
        refused(sink(layout).push(Rows::from_iter([])));
        let mut half = sink(layout);
        half.push(Rows::one(row(0, 2, &bytes[..stride * 2]))).unwrap();
        refused(half.finish().map(|_| ()));
    }
    let mut planar = sink(Layout::Ycc(Subsampling::S444));
    let rows = [row(0, 4, &[0; 16]), row(0, 4, &[0; 16]), row(0, 3, &[0; 12])];
    planar.push(rows.into_iter().collect()).unwrap();
    refused(planar.finish().map(|_| ()));
    for (width, height) in [(0, 1), (1, 0), (70_000, 1)] {
        assert!(
            codec
                .encode(ImageSpec { layout: Layout::Rgb, width, height }, &EncodeSpec::default(), &work)
                .is_err()
        );
    }
}

#[test]
fn the_encoder_requests_a_layout_that_it_supports() {
    let codec = codec_for(Format::Jpeg).unwrap();
    let asks = |offered| codec.encoded_layout(offered, &EncodeSpec::default());
    assert_eq!(asks(Layout::Rgba), Layout::Rgb);
    assert_eq!(asks(Layout::Gray), Layout::Gray);
    assert_eq!(asks(Layout::Ycc(Subsampling::S444)), Layout::Ycc(Subsampling::S420));
    assert_eq!(asks(Layout::Ycc(Subsampling::S420)), Layout::Ycc(Subsampling::S420));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn damage_never_crashes_nor_exceeds_the_budget(
        which in 0..FILES.len(),
        flips in prop::collection::vec((any::<prop::sample::Index>(), 1_u8..), 1..6),
        cut in prop::option::of(any::<prop::sample::Index>()),
        scale in prop::sample::select(vec![1_u32, 2, 4, 8]),
        planar: bool,
    ) {
        let mut file = FILES[which].1.to_vec();
        for (at, bits) in flips {
            let at = at.index(file.len());
            file[at] ^= bits;
        }
        if let Some(cut) = cut {
            file.truncate(cut.index(file.len()));
        }
        let work = Work::new(Budget::new(16 << 20));
        let codec = codec_for(Format::Jpeg).unwrap();
        if let Ok(probe) = codec.probe(&file, &Work::unlimited())
            && let Ok(mut source) = codec.decode(&file, &probe, scaled(scale, planar), &work)
        {
            let _ = collect_some(&mut *source);
        }
        prop_assert!(work.budget.peak() <= 16 << 20);
        prop_assert_eq!(work.budget.used(), 0);
    }

    #[test]
    fn any_size_and_subsampling_is_encoded_and_decoded(width in 1_u32..70, height in 1_u32..70, s in 0_usize..6, rows in 1_u32..40) {
        let sampling = [Subsampling::S444, Subsampling::S422, Subsampling::S420, Subsampling::S440, Subsampling::S411, Subsampling::S410][s];
        let original = picture(Layout::Ycc(sampling), width, height);
        let options = EncodeSpec { subsampling: sampling, ..spec(97, JpegMode::Baseline, true) };
        let file = encode(Format::Jpeg, &original, &options, rows, &work()).unwrap();
        let image = decode(&file, PLANAR).unwrap();
        for (a, b) in original.planes.iter().zip(&image.planes) {
            prop_assert!(rms(a, b) < 5.0);
        }
        prop_assert!(rms(&reference::jpeg_luma(&file).unwrap(), &original.planes[0]) < 5.0);
    }
}

/// Pulls a bounded number of rows: a damaged header may announce a huge size.
fn collect_some(source: &mut dyn codecs::RowSource) -> Result<(), Error> {
    if source.size().0 < 2000 && source.size().1 < 2000 {
        return collect(source).map(|_| ());
    }
    for _ in 0..100 {
        source.next_rows()?;
    }
    Ok(())
}
