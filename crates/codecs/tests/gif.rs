//! GIF through the codec trait, against frames composited by another program.

mod support;

use codecs::{AnimationSpec, EncodeSpec, Error, Format, Frame, ImageSpec, Layout, Raster};
use proptest::prelude::*;
use support::{
    RGB, codec, decode, encode, fixture, frames, furthest, picture, reference, rgba, rms, survives, work,
};
use work::Work;

const GIF: Format = Format::Gif;

#[test]
fn frames_are_composited_with_every_disposal() {
    let bytes = fixture("animated.gif");
    let probe = codec(GIF).probe(&bytes, &Work::unlimited()).unwrap();
    assert_eq!((probe.width, probe.height, probe.alpha), (48, 36, true));
    // Played once and repeated four times.
    assert_eq!(probe.animation.map(|a| (a.frames, a.loops)), Some((6, 5)));
    let all = frames(GIF, &bytes).unwrap();
    assert_eq!(all.iter().map(|f| f.delay_ms).collect::<Vec<_>>(), [70, 0, 10, 120, 330, 50]);
    for (i, frame) in all.iter().enumerate() {
        let (_, _, expected) = reference(&format!("animated.gif.{i}.png"));
        assert_eq!(furthest(frame.image.data(), &expected), 0, "frame {i}");
    }
    assert_eq!(decode(GIF, &bytes, RGB).unwrap().data(), all[0].image.data());
}

#[test]
fn an_interlaced_still_without_holes_is_rgb() {
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
        // Few colours in each frame: nothing is lost on the way.
        assert_eq!(furthest(a.image.data(), b.image.data()), 0, "frame {i}");
    }
}

/// 0 = forever, 1 = nothing said, n = played n times.
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
    let back = frames(GIF, &animation(GIF, &all, 0, 85)).unwrap();
    assert_eq!(back.len(), 30, "equal frames stay frames");
    assert_eq!(back.iter().map(|f| f.delay_ms).sum::<u32>(), 990);
    assert!(back.iter().all(|f| f.delay_ms == 30 || f.delay_ms == 40));
}

#[test]
fn an_animation_of_many_colours_stays_close() {
    let mut all: Vec<Raster> = (0..5).map(|i| picture(Layout::Rgba, 90, 70, i as f32 * 3.0)).collect();
    // A frame in which opaque pixels become clear, and one that fills them again.
    all[2].data_mut()[..90 * 20 * 4].fill(0);
    for image in &mut all {
        image.data_mut().chunks_mut(4).for_each(|p| p[3] = if p[3] >= 128 { 255 } else { 0 });
    }
    let list: Vec<_> = all.iter().map(|f| (f, 40)).collect();
    let back = frames(GIF, &animation(GIF, &list, 0, 85)).unwrap();
    for (i, (frame, expected)) in back.iter().zip(&all).enumerate() {
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
        let back = decode(GIF, &encode(GIF, &image, &EncodeSpec::default()).unwrap(), RGB).unwrap();
        let rms = rms(&rgba(&back), &rgba(&image));
        if w <= 60 {
            assert_eq!(rms, 0.0, "{layout:?}");
        } else {
            assert!(rms < 9.0, "{layout:?}: {rms}");
        }
    }
}

#[test]
fn what_does_not_change_is_not_written_again() {
    let a = picture(Layout::Rgba, 120, 90, 0.0);
    let mut b = picture(Layout::Rgba, 120, 90, 0.0);
    b.data_mut()[(45 * 120 + 60) * 4..][..16].copy_from_slice(&[1, 2, 3, 255].repeat(4));
    let one = animation(GIF, &[(&a, 10)], 1, 85).len();
    let two = animation(GIF, &[(&a, 10), (&b, 10)], 1, 85).len();
    assert!(two < one + 200, "{one} {two}");
}

#[test]
fn a_cut_file_is_an_error_at_every_length() {
    for name in ["animated.gif", "interlaced.gif"] {
        let bytes = fixture(name);
        for n in 0..bytes.len() {
            let error = decode(GIF, &bytes[..n], RGB).expect_err("half an image is no image");
            assert!(matches!(error, Error::Truncated(_)), "{name} {n}: {error}");
        }
    }
}

#[test]
fn a_giant_screen_is_refused_by_the_budget() {
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

    /// Any frames in one-bit alpha and few colours come back exactly.
    #[test]
    fn any_small_animation_comes_back(
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
        let back = frames(GIF, &animation(GIF, &list, 0, 85)).unwrap();
        prop_assert_eq!(back.len(), all.len());
        for (f, (expected, delay)) in back.iter().zip(list) {
            prop_assert_eq!(f.image.data(), expected.data());
            prop_assert_eq!(f.delay_ms, delay);
        }
    }
}
