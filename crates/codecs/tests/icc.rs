//! Our reader of ICC profiles, which runs before admission, compared with the library that converts colours (moxcms).

use codecs::icc::{self, Space};
use codecs::{Colour, Format, codec_for};
use moxcms::{ColorProfile, DataColorSpace, Layout, TransformOptions};
use work::Work;

fn space(profile: &ColorProfile) -> Space {
    match profile.color_space {
        DataColorSpace::Rgb => Space::Rgb,
        DataColorSpace::Gray => Space::Gray,
        DataColorSpace::Cmyk => Space::Cmyk,
        _ => Space::Other,
    }
}

#[test]
fn both_readers_agree_on_the_colour_space_and_on_srgb() {
    type Make = fn() -> ColorProfile;
    let profiles: [(Make, bool); 7] = [
        (ColorProfile::new_srgb, true),
        (ColorProfile::new_display_p3, false),
        (ColorProfile::new_adobe_rgb, false),
        (ColorProfile::new_pro_photo_rgb, false),
        (ColorProfile::new_bt2020, false),
        (ColorProfile::new_aces_cg_linear, false),
        (|| ColorProfile::new_gray_with_gamma(2.2), false),
    ];
    for (i, (make, srgb)) in profiles.into_iter().enumerate() {
        let profile = make();
        let bytes = profile.encode().unwrap();
        assert_eq!(icc::space(&bytes), Some(space(&profile)), "{i}");
        assert_eq!(icc::is_srgb(&bytes), srgb, "{i}");
    }
}

#[test]
fn both_readers_convert_grey_alike() {
    for gamma in [1.0, 1.8, 2.2, 2.6] {
        let profile = ColorProfile::new_gray_with_gamma(gamma);
        let table = icc::gray_to_srgb(&profile.encode().unwrap()).unwrap();
        let options = TransformOptions::default();
        let to = profile
            .create_transform_8bit(Layout::Gray, &ColorProfile::new_srgb(), Layout::Rgb, options)
            .unwrap();
        let samples: Vec<u8> = (0..=255).collect();
        let mut expected = vec![0; 256 * 3];
        to.transform(&samples, &mut expected).unwrap();
        for (sample, pixel) in expected.chunks_exact(3).enumerate() {
            assert!(
                table[sample].abs_diff(pixel[0]) <= 2,
                "{gamma} {sample}: {} {}",
                table[sample],
                pixel[0]
            );
        }
    }
}

/// A JPEG file with this profile in one segment.
fn jpeg_with(profile: &[u8]) -> Vec<u8> {
    let file = include_bytes!("fixtures/baseline420.jpg");
    let mut out = file[..2].to_vec();
    for (i, piece) in profile.chunks(60_000).enumerate() {
        out.extend_from_slice(&[0xFF, 0xE2]);
        out.extend_from_slice(&(piece.len() as u16 + 16).to_be_bytes());
        out.extend_from_slice(b"ICC_PROFILE\0");
        out.extend_from_slice(&[i as u8 + 1, profile.len().div_ceil(60_000) as u8]);
        out.extend_from_slice(piece);
    }
    out.extend_from_slice(&file[2..]);
    out
}

// The library reads a tag again for each of its entries, which takes minutes for a table of many entries.
#[test]
fn a_profile_with_a_repeated_tag_is_ignored() {
    let profile = ColorProfile::new_display_p3().encode().unwrap();
    let probe = |profile: &[u8]| {
        codec_for(Format::Jpeg).unwrap().probe(&jpeg_with(profile), &Work::unlimited()).unwrap()
    };
    assert!(matches!(probe(&profile).colour, Colour::Icc(found) if *found == profile[..]));
    let count = u32::from_be_bytes(profile[128..132].try_into().unwrap());
    let entry = profile[132..144].to_vec();
    for copies in [1, 50_000] {
        let mut twice = profile[..128].to_vec();
        twice.extend_from_slice(&(count + copies).to_be_bytes());
        twice.extend_from_slice(&entry.repeat(copies as usize));
        twice.extend_from_slice(&profile[132..]);
        let found = probe(&twice);
        assert_eq!(found.colour, Colour::Srgb);
        assert_eq!(found.warnings, ["the colour profile is damaged and was left out"]);
    }
}
