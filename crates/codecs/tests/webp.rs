//! WebP through the codec trait, compared with images decoded by another program.

mod support;

use codecs::{
    AnimationSpec, Colour, EncodeSpec, Error, Format, Frame, Layout, Orientation, Raster, Subsampling,
};
use proptest::prelude::*;
use support::{
    PLANAR, RGB, codec, decode, decoded_elsewhere, encode, fixture, frames, frames_elsewhere, furthest,
    picture, planes, reference, rgba, rms, survives, work,
};
use work::{Budget, Work};

const WEBP: Format = Format::WebP;

#[test]
fn a_lossy_still_has_the_pixels_of_libwebp() {
    let (w, h, expected) = reference("lossy.webp.png");
    let image = decode(WEBP, &fixture("lossy.webp"), RGB).unwrap();
    assert_eq!((image.width, image.height, image.layout), (w, h, Layout::Rgb));
    assert_eq!(furthest(&rgba(&image), &expected), 0);
}

#[test]
fn planes_are_full_range() {
    let (_, _, expected) = reference("lossy.webp.png");
    let image = decode(WEBP, &fixture("lossy.webp"), PLANAR).unwrap();
    assert_eq!(image.layout, Layout::Ycc(Subsampling::S420));
    // The reference interpolates chroma and this test repeats it, so only hard edges differ. Confusing full with limited
    // range would give an RMS above 10.
    let rms = rms(&rgba(&image), &expected);
    assert!(rms < 7.0, "{rms}");
    let mean = |d: &[u8]| d.iter().map(|&v| f64::from(v)).sum::<f64>() / d.len() as f64;
    assert!((mean(&rgba(&image)) - mean(&expected)).abs() < 0.7);
}

#[test]
fn alpha_and_lossless_files_are_decoded() {
    for name in ["alpha.webp", "lossless.webp"] {
        let (_, _, expected) = reference(&format!("{name}.png"));
        let bytes = fixture(name);
        assert!(codec(WEBP).probe(&bytes, &Work::unlimited()).unwrap().alpha);
        let image = decode(WEBP, &bytes, PLANAR).unwrap();
        assert_eq!(image.layout, Layout::Rgba, "planes cannot carry alpha");
        assert_eq!(furthest(&rgba(&image), &expected), 0, "{name}");
    }
}

/// The file with `profile` in place of its own. Its length must be even.
fn with_profile(file: &[u8], profile: &[u8]) -> Vec<u8> {
    let at = file.windows(4).position(|w| w == b"ICCP").unwrap();
    let old = u32::from_le_bytes(file[at + 4..at + 8].try_into().unwrap()).next_multiple_of(2) as usize;
    let profile = [profile, &vec![0; profile.len() % 2]].concat();
    let mut out = file[..at + 4].to_vec();
    out.extend_from_slice(&(profile.len() as u32).to_le_bytes());
    out.extend_from_slice(&profile);
    out.extend_from_slice(&file[at + 8 + old..]);
    let size = out.len() as u32 - 8;
    out[4..8].copy_from_slice(&size.to_le_bytes());
    out
}

#[test]
fn the_probe_reads_profile_and_orientation() {
    let probe = codec(WEBP).probe(&fixture("exif.webp"), &Work::unlimited()).unwrap();
    assert_eq!((probe.width, probe.height, probe.alpha), (61, 47, false));
    assert_eq!(probe.orientation, Orientation::Rotate90);
    // The file's profile is sRGB, so the probe reports no conversion.
    assert_eq!(probe.colour, Colour::Srgb);
    let Colour::Icc(profile) =
        codec(Format::Jpeg).probe(&fixture("p3.jpg"), &Work::unlimited()).unwrap().colour
    else {
        panic!("no profile")
    };
    let other = with_profile(&fixture("exif.webp"), &profile);
    assert_eq!(codec(WEBP).probe(&other, &Work::unlimited()).unwrap().colour, Colour::Icc(profile));
    // The probe used to copy profiles of any size.
    let large = with_profile(&fixture("exif.webp"), &vec![0; (4 << 20) + 2]);
    let probe_of_large = codec(WEBP).probe(&large, &work()).unwrap();
    assert_eq!(probe_of_large.colour, Colour::Srgb);
    assert!(probe_of_large.warnings[0].contains("profile"));
    assert_eq!(probe.subsampling, Some(Subsampling::S420));
    assert_eq!(probe.animation, None);
}

#[test]
fn frames_are_composited_with_offsets_blending_and_disposal_methods() {
    let bytes = fixture("animated.webp");
    let probe = codec(WEBP).probe(&bytes, &Work::unlimited()).unwrap();
    assert_eq!(probe.animation.map(|a| (a.frames, a.loops)), Some((5, 3)));
    let all = frames(WEBP, &bytes).unwrap();
    assert_eq!(all.iter().map(|f| f.delay_ms).collect::<Vec<_>>(), [70, 30, 0, 120, 33]);
    for (i, frame) in all.iter().enumerate() {
        let (_, _, expected) = reference(&format!("animated.webp.{i}.png"));
        // Our blending rounds; libwebp's truncates.
        let far = furthest(frame.image.data(), &expected);
        assert!(far <= 2, "frame {i}: {far}");
    }
    // The first frame as a still.
    let still = decode(WEBP, &bytes, RGB).unwrap();
    assert_eq!(still.data(), all[0].image.data());
}

fn spec(quality: u8) -> EncodeSpec {
    EncodeSpec { quality, ..EncodeSpec::default() }
}

#[test]
fn quality_100_is_exact() {
    for layout in [Layout::Gray, Layout::Rgb, Layout::Rgba] {
        for fast in [false, true] {
            let image = picture(layout, 53, 38, 0.0);
            let file = encode(WEBP, &image, &EncodeSpec { fast, ..spec(100) }).unwrap();
            let back = decode(WEBP, &file, RGB).unwrap();
            let (a, b) = (rgba(&back), rgba(&image));
            assert!(a == b, "{layout:?}: colours under clear pixels are kept too");
            assert!(decoded_elsewhere(&file) == b, "{layout:?}");
        }
    }
}

#[test]
fn lossy_stays_close_in_every_layout() {
    let rgb = picture(Layout::Rgb, 95, 71, 0.0);
    for image in [planes(&rgb), picture(Layout::Gray, 95, 71, 0.0), picture(Layout::Rgba, 95, 71, 0.0), rgb] {
        let mut sizes = Vec::new();
        for quality in [30, 85] {
            let file = encode(WEBP, &image, &spec(quality)).unwrap();
            let back = decode(WEBP, &file, RGB).unwrap();
            for got in [rgba(&back), decoded_elsewhere(&file)] {
                let mut expected = rgba(&image);
                // The colour of a transparent pixel is not compared.
                for (e, g) in expected.chunks_mut(4).zip(got.chunks(4)) {
                    if e[3] < 8 {
                        e.copy_from_slice(g);
                    }
                }
                let rms = rms(&got, &expected);
                assert!(rms < 9.0, "{:?} q{quality}: {rms}", image.layout);
            }
            sizes.push(file.len());
        }
        assert!(sizes[0] < sizes[1]);
    }
}

#[test]
fn planes_and_rgb_are_encoded_with_equal_brightness() {
    // 4:2:0 planes are converted from full to limited range and back; an error would shift the brightness.
    let rgb = picture(Layout::Rgb, 64, 64, 3.0);
    let a = decode(WEBP, &encode(WEBP, &planes(&rgb), &spec(95)).unwrap(), PLANAR).unwrap();
    let b = planes(&rgb);
    for i in 0..3 {
        let mean = |r: &Raster| {
            r.planes[i].data.iter().map(|&v| f64::from(v)).sum::<f64>() / r.planes[i].data.len() as f64
        };
        assert!((mean(&a) - mean(&b)).abs() < 0.8, "plane {i}: {} {}", mean(&a), mean(&b));
    }
}

#[test]
fn an_opaque_rgba_image_gets_no_alpha() {
    let mut image = picture(Layout::Rgba, 40, 40, 0.0);
    image.data_mut().chunks_mut(4).for_each(|p| p[3] = 255);
    let file = encode(WEBP, &image, &spec(80)).unwrap();
    assert!(!codec(WEBP).probe(&file, &Work::unlimited()).unwrap().alpha);
}

fn animation(all: &[(Raster, u32)], quality: u8, loops: u32) -> Vec<u8> {
    let work = work();
    let (width, height) = (all[0].0.width, all[0].0.height);
    let spec = AnimationSpec { width, height, loops, frames: all.len() as u32, encode: spec(quality) };
    let mut sink = codec(WEBP).encode_frames(&spec, &work).unwrap();
    for (image, delay_ms) in all {
        let mut copy = Raster::new(Layout::Rgba, width, height, &work).unwrap();
        copy.data_mut().copy_from_slice(image.data());
        sink.push(&Frame { image: copy, delay_ms: *delay_ms }).unwrap();
    }
    sink.finish().unwrap()
}

#[test]
fn the_first_frame_holds_no_more_than_was_estimated() {
    let bytes = fixture("animated.webp");
    let probe = codec(WEBP).probe(&bytes, &Work::unlimited()).unwrap();
    let announced = usize::try_from(codec(WEBP).decode_bytes(&probe, RGB)).unwrap();
    let work = Work::new(Budget::new(announced));
    let mut rows = codec(WEBP).decode(&bytes, &probe, RGB, &work).unwrap();
    while rows.next_rows().unwrap().is_some() {}
}

#[test]
fn an_animation_keeps_frames_delays_and_loops() {
    for quality in [80, 100] {
        let mut all: Vec<(Raster, u32)> =
            (0..6).map(|i| (picture(Layout::Rgba, 41, 33, i as f32 * 4.0), i * 17)).collect();
        // Equal frames are not merged.
        all.insert(3, (picture(Layout::Rgba, 41, 33, 8.0), 1));
        all.insert(4, (picture(Layout::Rgba, 41, 33, 8.0), 250));
        let file = animation(&all, quality, 7);
        let probe = codec(WEBP).probe(&file, &Work::unlimited()).unwrap();
        assert_eq!(probe.animation.map(|a| (a.frames, a.loops)), Some((8, 7)));
        assert!(probe.alpha);
        for back in [frames(WEBP, &file).unwrap(), frames_elsewhere(&file)] {
            assert_eq!(
                back.iter().map(|f| f.delay_ms).collect::<Vec<_>>(),
                all.iter().map(|f| f.1).collect::<Vec<_>>()
            );
            for (i, (f, (expected, _))) in back.iter().zip(&all).enumerate() {
                if quality == 100 {
                    assert!(f.image.data() == expected.data(), "frame {i}");
                } else {
                    let (mut got, want) = (f.image.data().to_vec(), expected.data());
                    got.chunks_mut(4)
                        .zip(want.chunks(4))
                        .filter(|(_, w)| w[3] < 8)
                        .for_each(|(g, w)| g.copy_from_slice(w));
                    assert!(rms(&got, want) < 12.0, "frame {i}: {}", rms(&got, want));
                }
            }
        }
    }
}

#[test]
fn missing_frames_and_rows_are_errors() {
    let work = work();
    let spec = AnimationSpec { width: 8, height: 8, loops: 0, frames: 2, encode: spec(80) };
    let mut sink = codec(WEBP).encode_frames(&spec, &work).unwrap();
    sink.push(&Frame { image: picture(Layout::Rgba, 8, 8, 0.0), delay_ms: 10 }).unwrap();
    assert!(matches!(sink.finish(), Err(Error::Encode { .. })));
    for quality in [80, 100] {
        let image = codecs::ImageSpec { layout: Layout::Rgb, width: 8, height: 8 };
        let sink =
            codec(WEBP).encode(image, &EncodeSpec { quality, ..EncodeSpec::default() }, &work).unwrap();
        assert!(sink.finish().is_err());
    }
}

#[test]
fn sides_beyond_14_bits_are_too_large() {
    let work = work();
    for (width, height) in [(16384, 1), (1, 16384)] {
        let image = codecs::ImageSpec { layout: Layout::Rgb, width, height };
        assert!(matches!(codec(WEBP).encode(image, &spec(80), &work).err(), Some(Error::TooLarge(_))));
    }
    let image = picture(Layout::Rgb, 16383, 2, 0.0);
    let file = encode(WEBP, &image, &spec(10)).unwrap();
    assert_eq!(codec(WEBP).probe(&file, &Work::unlimited()).unwrap().width, 16383);
}

#[test]
fn a_truncated_file_is_an_error_at_every_length() {
    for name in ["lossy.webp", "alpha.webp", "lossless.webp", "animated.webp"] {
        let bytes = fixture(name);
        for n in 0..bytes.len() - 1 {
            let error = decode(WEBP, &bytes[..n], RGB).expect_err("half an image is no image");
            assert!(matches!(error, Error::Truncated(_) | Error::NotAnImage), "{name} {n}: {error}");
        }
    }
}

fn chunk(name: &[u8; 4], data: &[u8]) -> Vec<u8> {
    [name, &(data.len() as u32).to_le_bytes()[..], data, &[0][..data.len() % 2]].concat()
}

/// A RIFF file of these chunks. Its size field is `more` bytes too large.
fn riff(chunks: &[u8], more: u32) -> Vec<u8> {
    let mut file = chunk(b"RIFF", &[b"WEBP", chunks].concat());
    let size = u32::from_le_bytes(file[4..8].try_into().unwrap()) + more;
    file[4..8].copy_from_slice(&size.to_le_bytes());
    file
}

#[test]
fn bytes_after_a_complete_image_are_ignored() {
    let lossy = fixture("lossy.webp");
    let image = &lossy[12..];
    let expected = decode(WEBP, &lossy, RGB).unwrap();
    let extended = {
        let size = |v: u32| (v - 1).to_le_bytes()[..3].to_vec();
        let head = [vec![8, 0, 0, 0], size(expected.width), size(expected.height)].concat();
        [chunk(b"VP8X", &head), image.to_vec()].concat()
    };
    let exif = chunk(b"EXIF", &[7; 99]);
    let mut endless = exif.clone();
    endless[4..8].fill(0xFF);
    for (file, warned) in [
        (riff(&[&extended, &exif[..]].concat(), 0), false),
        (riff(&[&extended, &exif[..60]].concat(), 40), true),
        (riff(&extended, 107), true),
        (riff(&[&extended, b"EXI".as_slice()].concat(), 0), true),
        (riff(&[&extended, &endless[..]].concat(), 0), true),
        (riff(&[&extended, b"<html></html>".as_slice()].concat(), 0), true),
        ([&lossy, b"<html></html>".as_slice()].concat(), false),
        (riff(image, 100), true),
    ] {
        let probe = codec(WEBP).probe(&file, &Work::unlimited()).unwrap();
        assert_eq!(probe.warnings.len(), usize::from(warned), "{:?}", probe.warnings);
        assert_eq!(decode(WEBP, &file, RGB).unwrap().data(), expected.data());
    }
    // The header of an animation has no frame count, so missing frames cannot be detected. An incomplete frame is an error.
    let animated = fixture("animated.webp");
    let all = frames(WEBP, &animated).unwrap().len();
    let junk = riff(&[&animated[12..], b"JUNKxxxxxxxxx".as_slice()].concat(), 0);
    assert_eq!(codec(WEBP).probe(&junk, &Work::unlimited()).unwrap().warnings.len(), 1);
    assert_eq!(frames(WEBP, &junk).unwrap().len(), all);
    for broken in [
        riff(&animated[12..], 20),
        riff(&[&animated[12..], b"ANMF\x40\0\0\0".as_slice()].concat(), 0),
        riff(&[&animated[12..], b"ANMF".as_slice()].concat(), 0),
    ] {
        assert!(matches!(codec(WEBP).probe(&broken, &Work::unlimited()), Err(Error::Truncated(_))));
    }
}

#[test]
fn the_number_of_frames_is_limited() {
    let still = fixture("lossless.webp");
    let image = &still[12..];
    let size = codec(WEBP).probe(&still, &Work::unlimited()).unwrap();
    let three = |v: u32| v.to_le_bytes()[..3].to_vec();
    let sides = [three(size.width - 1), three(size.height - 1)].concat();
    let canvas = chunk(b"VP8X", &[vec![2, 0, 0, 0], sides.clone()].concat());
    // The probe needs only the header of a frame's image data.
    let image = [b"VP8L\x05\0\0\0", &image[8..13], &[0]].concat();
    let frame = chunk(b"ANMF", &[&[0; 6][..], &sides, &[10, 0, 0, 0], &image].concat());
    for (count, allowed) in [(16_384, true), (16_385, false)] {
        let file = riff(&[canvas.clone(), chunk(b"ANIM", &[0; 6]), frame.repeat(count)].concat(), 0);
        match codec(WEBP).probe(&file, &Work::unlimited()) {
            Ok(probe) => assert!(allowed && probe.animation.is_some_and(|a| a.frames == 16_384)),
            Err(error) => assert!(!allowed && matches!(error, Error::TooLarge(_)), "{error}"),
        }
    }
}

/// The test corrects the RIFF size, so that the truncation is inside the bit stream.
#[test]
fn a_truncated_bit_stream_in_a_valid_container_is_an_error() {
    for name in ["lossy.webp", "lossless.webp"] {
        let bytes = fixture(name);
        let tag: &[u8] = if name == "lossy.webp" { b"VP8 " } else { b"VP8L" };
        let at = bytes.windows(4).position(|w| w == tag).unwrap();
        for keep in [40, 100, bytes.len() - at - 8 - 30] {
            let mut cut = b"RIFF\0\0\0\0WEBP".to_vec();
            cut.extend_from_slice(tag);
            cut.extend_from_slice(&(keep as u32).to_le_bytes());
            cut.extend_from_slice(&bytes[at + 8..at + 8 + keep]);
            let size = cut.len() as u32 - 8;
            cut[4..8].copy_from_slice(&size.to_le_bytes());
            assert!(decode(WEBP, &cut, RGB).is_err(), "{name} {keep}");
        }
    }
}

#[test]
fn a_huge_size_in_the_header_exceeds_the_budget() {
    // 16383 × 16383 in 30 bytes.
    let mut bytes = b"RIFF\x16\0\0\0WEBPVP8 \x0a\0\0\0".to_vec();
    bytes.extend_from_slice(&[0x10, 0, 0, 0x9D, 0x01, 0x2A, 0xFF, 0x3F, 0xFF, 0x3F]);
    let error = decode(WEBP, &bytes, RGB).unwrap_err();
    assert!(matches!(error, Error::Work(work::Error::MemoryBudget { .. })), "{error}");
}

/// The lossless data of clear black pixels as a still, as the alpha plane of a lossy still, and as a frame.
fn with_groups((width, height): (u32, u32), groups: u32, full: bool) -> [Vec<u8>; 3] {
    let stream = reference::vp8l::stream(width, height, groups, full);
    let lossless = chunk(b"VP8L", &reference::vp8l::image(width, height, &stream));
    let three = |v: u32| v.to_le_bytes()[..3].to_vec();
    let sides = [three(width - 1), three(height - 1)].concat();
    let head = |flags: u8| chunk(b"VP8X", &[&[flags, 0, 0, 0], &sides[..]].concat());
    let lossy = encode(WEBP, &picture(Layout::Rgb, width, height, 0.0), &spec(10)).unwrap();
    let alpha = chunk(b"ALPH", &[&[1], &stream[..]].concat());
    let frame = chunk(b"ANMF", &[&[0; 6][..], &sides, &[10, 0, 0, 0], &lossless].concat());
    [
        riff(&lossless, 0),
        riff(&[head(0x10), alpha, lossy[12..].to_vec()].concat(), 0),
        riff(&[head(0x02), chunk(b"ANIM", &[0; 6]), frame].concat(), 0),
    ]
}

// libwebp allocates tables for each group before it reads them: 20 bits of the file, 12 kB of memory.
#[test]
fn the_tables_of_prefix_codes_count_in_the_estimate() {
    let codec = codec(WEBP);
    for (side, groups) in [(1024, 65_536), (256, 3000)] {
        for (kind, bytes) in with_groups((side, side), groups, false).iter().enumerate() {
            let probe = codec.probe(bytes, &work()).unwrap();
            let announced = codec.decode_bytes(&probe, RGB);
            assert!(announced > u64::from(groups) * 12_000, "{kind}: {announced} bytes for {groups} groups");
            let work = work();
            let decoded = codec.decode(bytes, &probe, RGB, &work).and_then(|mut source| {
                while source.next_rows()?.is_some() {}
                Ok(())
            });
            match decoded {
                Ok(()) => assert!(groups == 3000),
                Err(error) => {
                    assert!(
                        groups > 3000 && matches!(error, Error::Work(work::Error::MemoryBudget { .. })),
                        "{error}"
                    );
                }
            }
            assert!(work.budget.peak() as u64 <= announced);
        }
    }
    let [still, _, _] = with_groups((64, 64), 200, true);
    assert!(rgba(&decode(WEBP, &still, RGB).unwrap()) == decoded_elsewhere(&still));
}

#[test]
fn a_cancelled_request_stops() {
    let work = work();
    let image = codecs::ImageSpec { layout: Layout::Rgb, width: 64, height: 64 };
    let mut sink = codec(WEBP).encode(image, &spec(80), &work).unwrap();
    picture(Layout::Rgb, 64, 64, 0.0).push_into(&mut *sink, 64).unwrap();
    work.cancel.cancel();
    assert_eq!(sink.finish(), Err(Error::Work(work::Error::Cancelled)));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn damaged_files_never_panic(
        name in prop::sample::select(vec!["lossy.webp", "alpha.webp", "lossless.webp", "animated.webp", "exif.webp"]),
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
        survives(WEBP, &bytes, 4 << 20);
    }
}
