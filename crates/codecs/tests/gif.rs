//! GIF through the codec trait, compared with frames composited by another program.

mod support;

use codecs::{AnimationSpec, EncodeSpec, Error, Format, Frame, ImageSpec, Layout, Raster};
use proptest::prelude::*;
use support::{
    RGB, codec, decode, decoded_elsewhere, encode, fixture, frames, frames_elsewhere, furthest, picture,
    reference, rgba, rms, survives, work,
};
use work::Work;

const GIF: Format = Format::Gif;

#[test]
fn frames_are_composited_with_every_disposal() {
    let bytes = fixture("animated.gif");
    let probe = codec(GIF).probe(&bytes, &Work::unlimited()).unwrap();
    assert_eq!((probe.width, probe.height, probe.alpha), (48, 36, true));
    // Four repetitions mean five plays.
    assert_eq!(probe.animation.map(|a| (a.frames, a.loops)), Some((6, 5)));
    let all = frames(GIF, &bytes).unwrap();
    assert_eq!(all.iter().map(|f| f.delay_ms).collect::<Vec<_>>(), [70, 0, 10, 120, 330, 50]);
    for (i, frame) in all.iter().enumerate() {
        let (_, _, expected) = reference(&format!("animated.gif.{i}.png"));
        assert_eq!(furthest(frame.image.data(), &expected), 0, "frame {i}");
    }
    assert_eq!(decode(GIF, &bytes, RGB).unwrap().data(), all[0].image.data());
}

// Browsers do, although the method is not defined.
#[test]
fn disposal_method_4_restores_the_previous_content() {
    let bytes = fixture("animated.gif");
    let restoring: Vec<u8> = {
        let mut file = bytes.clone();
        let controls: Vec<usize> =
            (0..file.len() - 4).filter(|&i| file[i..].starts_with(&[0x21, 0xF9, 4])).collect();
        let flags: Vec<usize> = controls.iter().map(|i| i + 3).filter(|&i| file[i] >> 2 & 7 == 3).collect();
        assert!(!flags.is_empty());
        flags.iter().for_each(|&i| file[i] = file[i] & 0b1110_0011 | 4 << 2);
        file
    };
    let (three, four) = (frames(GIF, &bytes).unwrap(), frames(GIF, &restoring).unwrap());
    assert!(three.iter().zip(&four).all(|(a, b)| a.image.data() == b.image.data()));
}

#[test]
fn a_code_size_of_one_is_decoded() {
    // 4 × 1 pixels: 0, 1, and a code for both.
    let mut bytes = b"GIF89a\x04\0\x01\0\x80\0\0\0\0\0\xFF\xFF\xFF\x2C\0\0\0\0\x04\0\x01\0\0\x01".to_vec();
    bytes.extend_from_slice(&[1, 0x12, 1, 0x0E, 0, 0x3B]);
    let image = decode(GIF, &bytes, RGB).unwrap();
    assert_eq!(image.data(), [[0; 3], [255; 3], [0; 3], [255; 3]].as_flattened());
    // An end code instead of the last one.
    let at = bytes.len() - 5;
    bytes[at] = 0b0110_0100;
    bytes[at + 2] = 0;
    assert!(matches!(decode(GIF, &bytes, RGB), Err(Error::Malformed { .. })));
}

#[test]
fn an_interlaced_still_without_transparency_is_rgb() {
    let bytes = fixture("interlaced.gif");
    let probe = codec(GIF).probe(&bytes, &Work::unlimited()).unwrap();
    assert!(!probe.alpha && probe.palette && probe.animation.is_none());
    let (_, _, expected) = reference("interlaced.gif.png");
    let image = decode(GIF, &bytes, RGB).unwrap();
    assert_eq!(image.layout, Layout::Rgb);
    assert_eq!(rgba(&image), expected);
}

fn animation(format: Format, all: &[(&Raster, u32)], loops: u32, quality: u8) -> Vec<u8> {
    let work = work();
    let (width, height) = (all[0].0.width, all[0].0.height);
    let encode = EncodeSpec { quality, ..EncodeSpec::default() };
    let spec = AnimationSpec { width, height, loops, frames: all.len() as u32, encode };
    let mut sink = codec(format).encode_frames(&spec, &work).unwrap();
    for (image, delay_ms) in all {
        let mut copy = Raster::new(Layout::Rgba, width, height, &work).unwrap();
        copy.data_mut().copy_from_slice(image.data());
        sink.push(&Frame { image: copy, delay_ms: *delay_ms }).unwrap();
    }
    sink.finish().unwrap()
}

#[test]
fn gif_to_webp_to_gif_keeps_frames_delays_and_loops() {
    let bytes = fixture("animated.gif");
    let first = frames(GIF, &bytes).unwrap();
    let refer = |f: &'_ [Frame]| -> Vec<u32> { f.iter().map(|f| f.delay_ms).collect() };
    let list: Vec<_> = first.iter().map(|f| (&f.image, f.delay_ms)).collect();
    let webp = animation(Format::WebP, &list, 5, 100);
    let middle = frames(Format::WebP, &webp).unwrap();
    let list: Vec<_> = middle.iter().map(|f| (&f.image, f.delay_ms)).collect();
    let gif = animation(GIF, &list, 5, 85);
    let probe = codec(GIF).probe(&gif, &Work::unlimited()).unwrap();
    assert_eq!(probe.animation.map(|a| (a.frames, a.loops)), Some((6, 5)));
    let last = frames(GIF, &gif).unwrap();
    assert_eq!(refer(&last), refer(&first));
    for (i, (a, b)) in first.iter().zip(&last).enumerate() {
        // Each frame has few colours, so no quantisation happens.
        assert_eq!(furthest(a.image.data(), b.image.data()), 0, "frame {i}");
    }
    for file in [&webp, &gif] {
        let elsewhere = frames_elsewhere(file);
        assert_eq!(refer(&elsewhere), refer(&first));
        for (i, (a, b)) in first.iter().zip(&elsewhere).enumerate() {
            assert_eq!(furthest(a.image.data(), b.image.data()), 0, "frame {i}");
        }
    }
}

/// 0: endless. 1: no loop extension. n: played n times.
#[test]
fn loop_counts_survive() {
    let (a, b) = (picture(Layout::Rgba, 8, 8, 0.0), picture(Layout::Rgba, 8, 8, 5.0));
    for loops in [0, 1, 2, 77] {
        let file = animation(GIF, &[(&a, 100), (&b, 100)], loops, 85);
        assert_eq!(
            codec(GIF).probe(&file, &Work::unlimited()).unwrap().animation.map(|a| a.loops),
            Some(loops)
        );
        assert_eq!(file.windows(8).any(|w| w == b"NETSCAPE"), loops != 1);
    }
}

#[test]
fn rounded_delays_do_not_drift() {
    let image = picture(Layout::Rgba, 4, 4, 0.0);
    let all: Vec<_> = (0..30).map(|_| (&image, 33)).collect();
    let file = animation(GIF, &all, 0, 85);
    for back in [frames(GIF, &file).unwrap(), frames_elsewhere(&file)] {
        assert_eq!(back.len(), 30, "equal frames are not merged");
        assert_eq!(back.iter().map(|f| f.delay_ms).sum::<u32>(), 990);
        assert!(back.iter().all(|f| f.delay_ms == 30 || f.delay_ms == 40));
    }
}

#[test]
fn an_animation_of_many_colours_stays_close() {
    let mut all: Vec<Raster> = (0..5).map(|i| picture(Layout::Rgba, 90, 70, i as f32 * 3.0)).collect();
    // One frame makes opaque pixels transparent, and the next one fills them again.
    all[2].data_mut()[..90 * 20 * 4].fill(0);
    for image in &mut all {
        image.data_mut().chunks_mut(4).for_each(|p| p[3] = if p[3] >= 128 { 255 } else { 0 });
    }
    let list: Vec<_> = all.iter().map(|f| (f, 40)).collect();
    let file = animation(GIF, &list, 0, 85);
    let elsewhere = frames_elsewhere(&file);
    assert_eq!(elsewhere.len(), all.len());
    let back = frames(GIF, &file).unwrap();
    for (i, (frame, expected)) in back.iter().chain(&elsewhere).zip(all.iter().chain(&all)).enumerate() {
        for (p, q) in frame.image.data().chunks(4).zip(expected.data().chunks(4)) {
            assert_eq!(p[3], q[3], "frame {i}: clear stays clear");
        }
        let rms = rms(frame.image.data(), expected.data());
        assert!(rms < 9.0, "frame {i}: {rms}");
    }
}

#[test]
fn a_still_of_few_colours_is_exact_and_of_many_close() {
    for (layout, w) in [(Layout::Gray, 60), (Layout::Rgb, 12), (Layout::Rgb, 120), (Layout::Rgba, 120)] {
        let mut image = picture(layout, w, 21, 0.0);
        if layout == Layout::Rgba {
            image.data_mut().chunks_mut(4).for_each(|p| p[3] = if p[3] >= 128 { 255 } else { 0 });
        }
        let file = encode(GIF, &image, &EncodeSpec::default()).unwrap();
        for back in [rgba(&decode(GIF, &file, RGB).unwrap()), decoded_elsewhere(&file)] {
            let rms = rms(&back, &rgba(&image));
            if w <= 60 {
                assert_eq!(rms, 0.0, "{layout:?}");
            } else {
                assert!(rms < 9.0, "{layout:?}: {rms}");
            }
        }
    }
}

#[test]
fn unchanged_pixels_are_not_encoded_again() {
    let a = picture(Layout::Rgba, 120, 90, 0.0);
    let mut b = picture(Layout::Rgba, 120, 90, 0.0);
    b.data_mut()[(45 * 120 + 60) * 4..][..16].copy_from_slice(&[1, 2, 3, 255].repeat(4));
    let one = animation(GIF, &[(&a, 10)], 1, 85).len();
    let two = animation(GIF, &[(&a, 10), (&b, 10)], 1, 85).len();
    assert!(two < one + 200, "{one} {two}");
}

/// A file truncated between two frames cannot be distinguished from a complete one without a trailer.
#[test]
fn a_truncated_file_is_an_error_unless_it_ends_between_frames() {
    for (name, count) in [("animated.gif", 6), ("interlaced.gif", 1)] {
        let bytes = fixture(name);
        let mut between = Vec::new();
        for n in 0..bytes.len() {
            match codec(GIF).probe(&bytes[..n], &Work::unlimited()) {
                Ok(probe) => {
                    assert_eq!(probe.warnings.len(), 1, "{name} {n}");
                    between.push(probe.animation.map_or(1, |a| a.frames));
                }
                Err(error) => assert!(matches!(error, Error::Truncated(_)), "{name} {n}: {error}"),
            }
        }
        assert_eq!(between, (1..=count).collect::<Vec<_>>(), "{name}: one place after each frame");
        assert!(codec(GIF).probe(&bytes, &Work::unlimited()).unwrap().warnings.is_empty());
    }
}

/// A still of 80 × 60 pixels, without a graphic control extension.
fn still() -> Vec<u8> {
    encode(GIF, &picture(Layout::Rgb, 80, 60, 0.0), &EncodeSpec::default()).unwrap()
}

/// The offset of the image descriptor of [`still`].
fn descriptor(bytes: &[u8]) -> usize {
    13 + (3 << ((bytes[10] & 7) + 1)) + 8
}

#[test]
fn a_screen_smaller_than_the_first_frame_grows_to_it() {
    let whole = still();
    let expected = decode(GIF, &whole, RGB).unwrap();
    for (screen, offset) in
        [([40_u16, 30], [0_u16, 0]), ([0, 0], [0, 0]), ([0, 60], [7, 0]), ([79, 59], [5, 9])]
    {
        let mut bytes = whole.clone();
        bytes[6..8].copy_from_slice(&screen[0].to_le_bytes());
        bytes[8..10].copy_from_slice(&screen[1].to_le_bytes());
        let at = descriptor(&bytes);
        assert_eq!(bytes[at], 0x2C);
        bytes[at + 1..at + 3].copy_from_slice(&offset[0].to_le_bytes());
        bytes[at + 3..at + 5].copy_from_slice(&offset[1].to_le_bytes());
        let probe = codec(GIF).probe(&bytes, &Work::unlimited()).unwrap();
        assert_eq!((probe.width, probe.height), (80, 60), "{screen:?}");
        assert!(probe.warnings.iter().any(|w| w.contains("screen")), "{:?}", probe.warnings);
        assert_eq!(rgba(&decode(GIF, &bytes, RGB).unwrap()), rgba(&expected), "{screen:?}");
    }
    // Only one side is too small.
    let mut bytes = whole.clone();
    bytes[6..10].copy_from_slice(&[40, 0, 100, 0]);
    let probe = codec(GIF).probe(&bytes, &Work::unlimited()).unwrap();
    assert_eq!((probe.width, probe.height, probe.alpha), (80, 100, true));
    // A frame no larger than the screen, but partly outside it, is clipped.
    let mut bytes = whole;
    let at = descriptor(&bytes);
    bytes[at + 1] = 10;
    let shifted = decode(GIF, &bytes, RGB).unwrap();
    assert_eq!((shifted.width, shifted.height, shifted.layout), (80, 60, Layout::Rgba));
    assert_eq!(&shifted.planes[0].row(0)[40..44], &rgba(&expected)[..4]);
    assert_eq!(&shifted.planes[0].row(0)[..4], &[0; 4]);
    // Neither the screen nor the frame has a size.
    bytes[6..10].fill(0);
    bytes[at + 5..at + 9].fill(0);
    assert!(matches!(codec(GIF).probe(&bytes, &Work::unlimited()), Err(Error::Malformed { .. })));
}

#[test]
fn bytes_after_the_last_frame_are_ignored() {
    let animated = fixture("animated.gif");
    let whole = still();
    for (bytes, frame_count) in [(&whole, 1), (&animated, 6)] {
        assert_eq!(bytes.last(), Some(&0x3B));
        let frames_only = &bytes[..bytes.len() - 1];
        let expected: Vec<_> =
            frames(GIF, bytes).unwrap().into_iter().map(|f| f.image.data().to_vec()).collect();
        for tail in [&b""[..], b"\r\n<!-- x -->", b"\0\0", b"\0\xFF;", b"\xFF\xFE\xFD", b"\x89PNG", b"GIF89a"]
        {
            let file = [frames_only, tail].concat();
            let probe = codec(GIF).probe(&file, &Work::unlimited()).unwrap();
            assert_eq!(probe.animation.map_or(1, |a| a.frames), frame_count, "{tail:?}");
            assert_eq!(probe.warnings.len(), 1, "{tail:?}: {:?}", probe.warnings);
            let got: Vec<_> =
                frames(GIF, &file).unwrap().into_iter().map(|f| f.image.data().to_vec()).collect();
            assert!(got == expected, "{tail:?}");
        }
        // An incomplete frame is an error.
        let control = b"\x21\xF9\x04\0\x0A\0\0\0";
        for tail in [&b"\x21"[..], b"\x2C", b"\x21\xF9\x04\0", control, &[&control[..], b"\x2C\0\0"].concat()]
        {
            let error = codec(GIF).probe(&[frames_only, tail].concat(), &Work::unlimited()).unwrap_err();
            assert!(matches!(error, Error::Truncated(_)), "{tail:?}: {error}");
        }
        // Bytes after the trailer are not read.
        let probe = codec(GIF).probe(&[bytes, &b"\x2C\0"[..]].concat(), &Work::unlimited()).unwrap();
        assert!(probe.warnings.is_empty());
        // A damaged control extension, and unknown bytes before any frame.
        let broken = [frames_only, &control[..], b"\x0D"].concat();
        assert!(matches!(codec(GIF).probe(&broken, &Work::unlimited()), Err(Error::Malformed { .. })));
    }
    let mut bytes = whole;
    let at = descriptor(&bytes) - 8;
    bytes[at] = 0x0D;
    assert!(matches!(codec(GIF).probe(&bytes, &Work::unlimited()), Err(Error::Malformed { .. })));
}

#[test]
fn the_number_of_frames_is_limited() {
    let head = b"GIF89a\x01\0\x01\0\x80\0\0\0\0\0\xFF\xFF\xFF";
    let frame = b"\x2C\0\0\0\0\x01\0\x01\0\0\x02\x02\x44\x01\0";
    for (count, allowed) in [(16_384, true), (16_385, false)] {
        let file = [&head[..], &frame.repeat(count), b";"].concat();
        let probe = codec(GIF).probe(&file, &Work::unlimited());
        match probe {
            Ok(probe) => assert!(allowed && probe.animation.is_some_and(|a| a.frames == 16_384)),
            Err(error) => assert!(!allowed && matches!(error, Error::TooLarge(_)), "{error}"),
        }
    }
}

/// The codec keeps a delay of 0; the planner decides its value in other formats.
#[test]
fn a_delay_of_zero_is_kept() {
    let image = picture(Layout::Rgba, 8, 8, 0.0);
    let file = animation(GIF, &[(&image, 0), (&image, 0)], 0, 85);
    assert!(frames(GIF, &file).unwrap().iter().all(|f| f.delay_ms == 0));
}

#[test]
fn a_huge_screen_exceeds_the_budget() {
    let mut bytes = fixture("interlaced.gif");
    bytes[6..10].fill(0xFF);
    assert!(matches!(decode(GIF, &bytes, RGB), Err(Error::Work(work::Error::MemoryBudget { .. }))));
}

#[test]
fn too_few_codes_are_an_error() {
    // 4 × 4 pixels, but an end code after the first.
    let mut bytes =
        b"GIF89a\x04\0\x04\0\x80\0\0\0\0\0\xFF\xFF\xFF\x2C\0\0\0\0\x04\0\x04\0\0\x02\x02".to_vec();
    bytes.extend_from_slice(&[0b0100_0100, 0b0000_0001, 0, 0x3B]);
    assert!(matches!(decode(GIF, &bytes, RGB), Err(Error::Malformed { .. })));
}

#[test]
fn missing_frames_rows_and_oversize_are_errors() {
    let work = work();
    let image = ImageSpec { layout: Layout::Rgb, width: 8, height: 8 };
    assert!(codec(GIF).encode(image, &EncodeSpec::default(), &work).unwrap().finish().is_err());
    let spec = AnimationSpec { width: 8, height: 8, loops: 0, frames: 2, encode: EncodeSpec::default() };
    let mut sink = codec(GIF).encode_frames(&spec, &work).unwrap();
    sink.push(&Frame { image: picture(Layout::Rgba, 8, 8, 0.0), delay_ms: 10 }).unwrap();
    assert!(sink.finish().is_err());
    let wide = AnimationSpec { width: 65536, ..spec };
    assert!(matches!(codec(GIF).encode_frames(&wide, &work).err(), Some(Error::TooLarge(_))));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn damaged_files_never_panic(
        name in prop::sample::select(vec!["animated.gif", "interlaced.gif"]),
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
        survives(GIF, &bytes, 4 << 20);
    }

    /// Frames with one-bit alpha and few colours are encoded without loss.
    #[test]
    fn any_small_animation_is_encoded_without_loss(
        seeds in prop::collection::vec(prop::collection::vec(0_u8..4, 35), 1..6),
        delays in prop::collection::vec(0_u32..50, 6),
    ) {
        let work = work();
        let all: Vec<Raster> = seeds
            .iter()
            .map(|s| {
                let mut r = Raster::new(Layout::Rgba, 7, 5, &work).unwrap();
                for (p, v) in r.data_mut().chunks_mut(4).zip(s) {
                    p.copy_from_slice(&[[0, 0, 0, 0], [9, 9, 9, 255], [200, 0, 0, 255], [0, 0, 250, 255]][*v as usize]);
                }
                r
            })
            .collect();
        let list: Vec<_> = all.iter().zip(&delays).map(|(r, d)| (r, d * 10)).collect();
        let file = animation(GIF, &list, 0, 85);
        for back in [frames(GIF, &file).unwrap(), frames_elsewhere(&file)] {
            prop_assert_eq!(back.len(), all.len());
            for (f, (expected, delay)) in back.iter().zip(&list) {
                prop_assert_eq!(f.image.data(), expected.data());
                prop_assert_eq!(f.delay_ms, *delay);
            }
        }
    }
}
