//! PNG through the public API: decoding, encoding and damaged files.

mod still;

use codecs::{
    Colour, EncodeSpec, Error, Format, ImageSpec, Layout, Orientation, PlaneRows, Rows, Subsampling,
    codec_for,
};
use proptest::prelude::*;
use still::{Image, PLANAR, RGB, decode, decode_with, decoded_elsewhere, encode, picture, rgba, rms, work};
use work::{Budget, Work};

macro_rules! fixture {
    ($name:literal) => {
        include_bytes!(concat!("fixtures/", $name)).as_slice()
    };
}

/// Name, file, reference of its pixels, layout.
const FILES: [(&str, &[u8], &[u8], Layout); 5] = [
    ("16 bits", fixture!("rgb16.png"), fixture!("rgb16.ref.png"), Layout::Rgb),
    ("interlaced", fixture!("interlaced.png"), fixture!("interlaced.ref.png"), Layout::Rgb),
    ("palette", fixture!("palette_trns.png"), fixture!("palette_trns.ref.png"), Layout::Rgba),
    ("2 bits, interlaced", fixture!("gray2.png"), fixture!("gray2.ref.png"), Layout::Rgb),
    ("grey with alpha", fixture!("gray_alpha.png"), fixture!("gray_alpha.ref.png"), Layout::Rgba),
];

fn crc(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0_u32, |crc, &b| {
        (0..8).fold(crc ^ u32::from(b), |c, _| if c & 1 == 1 { 0xEDB8_8320 ^ (c >> 1) } else { c >> 1 })
    })
}

fn chunk(name: &[u8; 4], data: &[u8]) -> Vec<u8> {
    let mut out = (data.len() as u32).to_be_bytes().to_vec();
    out.extend_from_slice(name);
    out.extend_from_slice(data);
    let sum = crc(&out[4..]);
    out.extend_from_slice(&sum.to_be_bytes());
    out
}

/// The file with a chunk inserted after its header.
fn with_chunk(file: &[u8], name: &[u8; 4], data: &[u8]) -> Vec<u8> {
    [&file[..33], &chunk(name, data), &file[33..]].concat()
}

#[test]
fn every_colour_type_and_depth_decodes_to_the_reference_pixels() {
    for (name, file, reference, layout) in FILES {
        let image = decode(file, RGB).unwrap();
        assert_eq!((image.layout, image.width, image.height), (layout, 61, 47), "{name}");
        // Another library wrote the references, as RGB or RGBA files.
        assert!(image.planes == decode(reference, RGB).unwrap().planes, "{name}");
    }
}

#[test]
fn planar_decoding_yields_grey_as_one_plane() {
    let gray = decode(fixture!("gray2.png"), PLANAR).unwrap();
    let rgb = decode(fixture!("gray2.png"), RGB).unwrap();
    assert_eq!(gray.layout, Layout::Gray);
    assert!(gray.planes[0].iter().zip(rgb.planes[0].as_chunks::<3>().0).all(|(y, p)| *p == [*y; 3]));
    assert_eq!(&gray.planes[0][..4], &[0, 85, 170, 255]);
}

#[test]
fn the_probe_reads_palette_grey_and_alpha() {
    let probe = |bytes: &[u8]| codec_for(Format::Png).unwrap().probe(bytes, &Work::unlimited()).unwrap();
    assert!(probe(fixture!("palette_trns.png")).palette && probe(fixture!("palette_trns.png")).alpha);
    assert!(probe(fixture!("gray2.png")).gray && probe(fixture!("gray2.png")).whole_bitmap);
    assert!(probe(fixture!("gray_alpha.png")).alpha && !probe(fixture!("gray_alpha.png")).gray);
    let plain = fixture!("rgb16.png");
    assert!(!probe(plain).alpha && !probe(plain).whole_bitmap);
    assert!(probe(&with_chunk(plain, b"tRNS", &[0; 6])).alpha);
}

// The library panics on such a palette.
#[test]
fn a_palette_with_a_part_of_an_entry_is_refused_where_it_counts() {
    let broken = with_chunk(fixture!("palette_trns.png"), b"PLTE", &[1, 2, 3, 4]);
    let probed = codec_for(Format::Png).unwrap().probe(&broken, &Work::unlimited());
    assert!(matches!(probed, Err(Error::Malformed { .. })), "{probed:?}");
    // In other files it is a suggestion.
    let ignored = decode(&with_chunk(fixture!("rgb16.png"), b"PLTE", &[1, 2, 3, 4]), RGB).unwrap();
    assert!(ignored.planes == decode(fixture!("rgb16.png"), RGB).unwrap().planes);
}

#[test]
fn colour_chunks_have_an_order_of_precedence() {
    let colour = |chunks: &[(&[u8; 4], &[u8])]| {
        let file =
            chunks.iter().fold(fixture!("rgb16.png").to_vec(), |f, (name, data)| with_chunk(&f, name, data));
        codec_for(Format::Png).unwrap().probe(&file, &Work::unlimited()).unwrap().colour
    };
    let p3_pq = Colour::Cicp { primaries: 12, transfer: 16 };
    assert_eq!(colour(&[]), Colour::Srgb);
    assert_eq!(colour(&[(b"cICP", &[12, 16, 0, 1]), (b"sRGB", &[0])]), p3_pq);
    assert_eq!(colour(&[(b"cICP", &[1, 13, 0, 1])]), Colour::Srgb);
    assert_eq!(colour(&[(b"sRGB", &[0]), (b"gAMA", &100_000_u32.to_be_bytes())]), Colour::Srgb);
    assert_eq!(colour(&[(b"gAMA", &45_455_u32.to_be_bytes())]), Colour::Srgb);
    assert_eq!(colour(&[(b"gAMA", &100_000_u32.to_be_bytes())]), Colour::Cicp { primaries: 1, transfer: 8 });
    let p3: Vec<u8> = [31270_u32, 32900, 68000, 32000, 26500, 69000, 15000, 6000]
        .iter()
        .flat_map(|v| v.to_be_bytes())
        .collect();
    // Primaries count only with a gamma, as in browsers.
    assert_eq!(colour(&[(b"cHRM", &p3)]), Colour::Srgb);
    let gamma = |v: u32| v.to_be_bytes();
    assert_eq!(
        colour(&[(b"cHRM", &p3), (b"gAMA", &gamma(45_455))]),
        Colour::Cicp { primaries: 12, transfer: 13 }
    );
    // Other numbers make a profile. 2.6 was taken for a curve of the cinema, and 1.8 was ignored.
    let adobe = [31270_u32, 32900, 64000, 33000, 21000, 71000, 15000, 6000].map(u32::to_be_bytes).concat();
    for (primaries, value) in [(None, 55_556), (None, 38_462), (Some(&adobe), 45_455), (Some(&p3), 55_556)] {
        let value = gamma(value);
        let mut chunks: Vec<(&[u8; 4], &[u8])> = vec![(b"gAMA", &value)];
        chunks.extend(primaries.map(|p| (b"cHRM", p.as_slice())));
        let Colour::Icc(profile) = colour(&chunks) else { panic!("no profile") };
        assert_eq!(codecs::icc::space(&profile), Some(codecs::icc::Space::Rgb));
        assert!(!codecs::icc::is_srgb(&profile));
    }
    // Numbers that describe no colours.
    assert_eq!(colour(&[(b"gAMA", &gamma(0))]), Colour::Srgb);
    let broken = [0_u8; 32];
    assert_eq!(
        colour(&[(b"cHRM", &broken), (b"gAMA", &gamma(55_556))]),
        colour(&[(b"gAMA", &gamma(55_556))])
    );

    let jpeg = codec_for(Format::Jpeg).unwrap().probe(fixture!("p3.jpg"), &Work::unlimited()).unwrap();
    let Colour::Icc(profile) = jpeg.colour else { panic!("no profile") };
    let mut iccp = b"p3\0\0".to_vec();
    iccp.extend_from_slice(&fdeflate::compress_to_vec(&profile));
    assert_eq!(colour(&[(b"iCCP", &iccp), (b"sRGB", &[0])]), Colour::Icc(profile));
}

#[test]
fn a_profile_that_inflates_beyond_its_limit_is_ignored() {
    let mut iccp = b"bomb\0\0".to_vec();
    iccp.extend_from_slice(&fdeflate::compress_to_vec(&vec![0; 64 << 20]));
    let file = with_chunk(fixture!("rgb16.png"), b"iCCP", &iccp);
    let probe = codec_for(Format::Png).unwrap().probe(&file, &Work::unlimited()).unwrap();
    assert_eq!(probe.colour, Colour::Srgb);
    assert!(probe.warnings[0].contains("profile"));
    let tight = Work::new(Budget::new(5 << 20));
    assert!(decode_with(&file, RGB, &tight).is_ok());
}

// URL-075
#[test]
fn url_075_orientation_is_read_before_and_after_the_pixels() {
    let tiff = b"MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0";
    let file = fixture!("rgb16.png");
    let (pixels, end) = file.split_at(file.len() - 12);
    for oriented in [with_chunk(file, b"eXIf", tiff), [pixels, &chunk(b"eXIf", tiff), end].concat()] {
        let (probe, _) = decode_with(&oriented, RGB, &work()).unwrap();
        assert_eq!(probe.orientation, Orientation::Rotate90);
    }
}

// URL-158. The last 12 bytes are the IEND chunk and contain no pixels.
#[test]
fn url_158_a_file_truncated_before_its_last_pixel_is_an_error() {
    for (name, file, ..) in FILES {
        let end = file.len() - 12;
        assert_eq!(&file[end..], b"\0\0\0\0IEND\xAE\x42\x60\x82", "{name}");
        let (probe, expected) = decode_with(file, RGB, &work()).unwrap();
        assert!(probe.warnings.is_empty(), "{name}");
        for cut in end..file.len() {
            let (probe, image) = decode_with(&file[..cut], RGB, &work()).unwrap();
            assert!(image == expected, "{name} cut to {cut}");
            assert_eq!(probe.warnings, ["PNG: the end chunk is missing"], "{name}");
        }
        for cut in (0..end).rev().step_by(if file.len() > 3000 { 37 } else { 1 }) {
            let error = decode(&file[..cut], RGB).unwrap_err();
            assert!(cut < 8 || error == Error::Truncated(Format::Png), "{name} cut to {cut}: {error}");
        }
    }
}

#[test]
fn image_data_that_ends_early_is_an_error() {
    let file = fixture!("rgb16.png");
    // All chunks are complete, but a quarter of the compressed data is missing.
    let at = file.windows(4).position(|w| w == b"IDAT").unwrap();
    let length = u32::from_be_bytes(file[at - 4..at].try_into().unwrap()) as usize;
    let data = &file[at + 4..at + 4 + length * 3 / 4];
    let short = [&file[..at - 4], &chunk(b"IDAT", data), &file[file.len() - 12..]].concat();
    let error = decode(&short, RGB).unwrap_err();
    assert!(matches!(error, Error::Truncated(_) | Error::Malformed { .. }), "{error}");
}

fn probe(file: &[u8]) -> codecs::Probe {
    codec_for(Format::Png).unwrap().probe(file, &Work::unlimited()).unwrap()
}

/// The file with a wrong checksum on its first chunk of this name.
fn with_wrong_crc(file: &[u8], name: &[u8; 4]) -> Vec<u8> {
    let mut file = file.to_vec();
    let at = file.windows(4).position(|w| w == name).unwrap();
    let length = u32::from_be_bytes(file[at - 4..at].try_into().unwrap()) as usize;
    file[at + 4 + length] ^= 1;
    file
}

const WRONG_CRC: &str = "PNG: a chunk with a wrong checksum was left out";

// field/png-gama-crc-wrong.png was rendered too light.
#[test]
fn an_ancillary_chunk_with_a_wrong_checksum_is_ignored() {
    let field = probe(fixture!("field/png-gama-crc-wrong.png"));
    assert_eq!((field.colour, &field.warnings[..]), (Colour::Srgb, &[WRONG_CRC][..]));
    let file = fixture!("rgb16.png");
    let plain = decode(file, RGB).unwrap();
    let tiff = b"MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0";
    let chunks: [(&[u8; 4], &[u8]); 7] = [
        (b"gAMA", &[0, 1, 0x86, 0xA0]),
        (b"cHRM", &[9; 32]),
        (b"cICP", &[12, 16, 0, 1]),
        (b"sRGB", &[0]),
        (b"tRNS", &[0; 6]),
        (b"acTL", &[0, 0, 0, 9, 0, 0, 0, 0]),
        (b"eXIf", tiff),
    ];
    for (name, data) in chunks {
        let bytes = with_wrong_crc(&with_chunk(file, name, data), name);
        let (found, image) = decode_with(&bytes, RGB, &work()).unwrap();
        assert_eq!(found.colour, Colour::Srgb);
        assert_eq!(
            (found.alpha, found.first_of_many, found.orientation),
            (false, false, Orientation::Upright)
        );
        assert_eq!(found.warnings, [WRONG_CRC]);
        assert!(image == plain);
    }
    // Errors in unused chunks are ignored.
    let other = with_wrong_crc(&with_chunk(file, b"tEXt", b"Title\0x"), b"tEXt");
    assert!(decode(&other, RGB).unwrap() == plain && probe(&other).warnings.is_empty());
    // Errors in critical chunks are not.
    for name in [b"IDAT", b"IHDR"] {
        assert!(decode(&with_wrong_crc(file, name), RGB).is_err());
    }
    assert!(decode(&with_wrong_crc(fixture!("palette_trns.png"), b"PLTE"), RGB).is_err());
}

// field/apng-sequence-5.png, field/apng-smaller-than-image.png were refused.
#[test]
fn a_damaged_animation_still_yields_its_default_image() {
    let four_colours = decode(fixture!("field/png-gama-crc-wrong.png"), RGB).unwrap();
    for file in [fixture!("field/apng-sequence-5.png"), fixture!("field/apng-smaller-than-image.png")] {
        assert!(decode(file, RGB).unwrap() == four_colours);
    }
    let file = fixture!("rgb16.png");
    let plain = decode(file, RGB).unwrap();
    let control = |sequence: u32, width: u32, tail: &[u8]| {
        [
            &sequence.to_be_bytes()[..],
            &width.to_be_bytes(),
            &47_u32.to_be_bytes(),
            &[0; 8],
            &[0, 1, 0, 10],
            tail,
        ]
        .concat()
    };
    let end = file.len() - 12;
    for data in
        [control(5, 61, &[0, 0]), control(0, 1000, &[0, 0]), control(0, 0, &[9, 9]), vec![1, 2, 3], vec![]]
    {
        // Before the image data, and after it with an invalid frame.
        let early = with_chunk(&with_chunk(file, b"fcTL", &data), b"acTL", &[0, 0, 0, 2, 0, 0, 0, 0]);
        let late =
            [&file[..end], &chunk(b"fcTL", &data), &chunk(b"fdAT", b"\0\0\0\x09junk"), &file[end..]].concat();
        for bytes in [early, late] {
            assert!(decode(&bytes, RGB).unwrap() == plain);
        }
    }
}

// field/png-exif-after-idat-prefixed.png was not rotated.
#[test]
fn exif_is_read_with_a_prefix_and_at_any_position() {
    assert_eq!(probe(fixture!("field/png-exif-after-idat-prefixed.png")).orientation, Orientation::Rotate90);
    let tiff = b"MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0".to_vec();
    let file = fixture!("rgb16.png");
    let end = file.len() - 12;
    for data in [tiff.clone(), [b"Exif\0\0", &tiff[..]].concat()] {
        let exif = chunk(b"eXIf", &data);
        let text = chunk(b"tEXt", b"Title\0x");
        for bytes in [
            with_chunk(file, b"eXIf", &data),
            [&file[..end], &exif, &file[end..]].concat(),
            [&file[..end], &text, &exif, &file[end..]].concat(),
            // Without IEND.
            [&file[..end], &exif].concat(),
        ] {
            assert_eq!(probe(&bytes).orientation, Orientation::Rotate90);
        }
    }
}

#[test]
fn very_many_chunks_are_read_in_linear_time() {
    let file = fixture!("rgb16.png");
    let end = file.len() - 12;
    let pixels = file.windows(4).position(|w| w == b"IDAT").unwrap() - 4;
    for name in [b"tEXt", b"IDAT", b"zTXt", b"fdAT", b"PLTE", b"gAMA"] {
        let many = chunk(name, &[]).repeat(1 << 19);
        for at in [33, pixels, end] {
            let bytes = [&file[..at], &many, &file[at..]].concat();
            let before = cpu_time::ThreadTime::now();
            let _ = decode(&bytes, RGB);
            let taken = before.elapsed();
            // 6 MB; unoptimised builds take ten times as long.
            assert!(taken < std::time::Duration::from_secs(6), "{name:?} at {at}: {taken:?}");
        }
    }
    let too_many = with_chunk(file, b"tEXt", &[]);
    let too_many = [&too_many[..33], &chunk(b"tEXt", &[]).repeat((1 << 20) + 1), &too_many[33..]].concat();
    assert!(matches!(codec_for(Format::Png).unwrap().probe(&too_many, &work()), Err(Error::TooLarge(_))));
}

#[test]
fn a_flipped_bit_in_the_pixels_is_an_error() {
    let mut file = fixture!("rgb16.png").to_vec();
    let middle = file.len() / 2;
    file[middle] ^= 1;
    assert!(matches!(decode(&file, RGB), Err(Error::Malformed { .. })));
}

fn with_size(file: &[u8], width: u32, height: u32) -> Vec<u8> {
    let mut header = file[16..29].to_vec();
    header[..4].copy_from_slice(&width.to_be_bytes());
    header[4..8].copy_from_slice(&height.to_be_bytes());
    [&file[..8], &chunk(b"IHDR", &header), &file[33..]].concat()
}

#[test]
fn a_huge_size_in_the_header_allocates_nothing() {
    for (name, file, ..) in FILES {
        for (width, height) in [(65_535, 65_535), (0x7FFF_FFFF, 0x7FFF_FFFF), (0x7FFF_FFFF, 1)] {
            let limits = Work::new(Budget::new(8 << 20));
            let result = decode_with(&with_size(file, width, height), RGB, &limits);
            assert!(result.is_err(), "{name}");
            assert!(limits.budget.peak() <= 8 << 20);
            assert_eq!(limits.budget.used(), 0);
        }
        for (width, height) in [(0, 1), (1, 0), (0x8000_0000, 1)] {
            assert!(matches!(decode(&with_size(file, width, height), RGB), Err(Error::Malformed { .. })));
        }
    }
}

#[test]
fn rows_are_streamed_with_few_in_memory() {
    let original = picture(Layout::Rgba, 2000, 1500);
    let file =
        encode(Format::Png, &original, &EncodeSpec { fast: true, ..EncodeSpec::default() }, 16, &work())
            .unwrap();
    let work = work();
    let (probe, image) = decode_with(&file, RGB, &work).unwrap();
    assert!(image.planes == original.planes);
    // The bitmap would be 12 MB.
    assert!(work.budget.peak() < 1 << 20, "{}", work.budget.peak());
    assert!(codec_for(Format::Png).unwrap().decode_bytes(&probe, RGB) >= work.budget.peak() as u64);
}

#[test]
fn encoded_pixels_decode_to_the_same_pixels() {
    for layout in [Layout::Gray, Layout::Rgb, Layout::Rgba] {
        for (width, height) in [(1, 1), (61, 47), (300, 7)] {
            for fast in [false, true] {
                let original = picture(layout, width, height);
                let spec = EncodeSpec { fast, ..EncodeSpec::default() };
                let file = encode(Format::Png, &original, &spec, 3, &work()).unwrap();
                assert_eq!(decode(&file, PLANAR).unwrap(), original);
                assert!(decoded_elsewhere(&file) == rgba(&original), "{layout:?} {width}×{height}");
            }
        }
    }
}

#[test]
fn few_colours_are_encoded_as_a_palette_of_the_smallest_depth() {
    for (colours, depth) in [(2_u8, 1), (4, 2), (16, 4), (200, 8)] {
        let pixel = |i: u32| {
            let c = (i % u32::from(colours)) as u8;
            [c, 255 - c, c / 2, if c == 1 { 100 } else { 255 }]
        };
        let data: Vec<u8> = (0..37 * 29).flat_map(pixel).collect();
        let image = Image { layout: Layout::Rgba, width: 37, height: 29, planes: vec![data] };
        let spec = EncodeSpec { palette: true, quality: 100, ..EncodeSpec::default() };
        let file = encode(Format::Png, &image, &spec, 8, &work()).unwrap();
        assert_eq!((file[24], file[25]), (depth, 3));
        assert!(decode(&file, RGB).unwrap() == image, "{colours}");
        assert!(decoded_elsewhere(&file) == rgba(&image), "{colours}");
    }
}

/// An image of `colours` distinct colours; the last one occurs in the last row only.
fn of_colours(layout: Layout, colours: u32, width: u32, height: u32) -> Image {
    let pixels = width * height;
    let value = |i: u32| if i + 1 == pixels { colours - 1 } else { (i / 7) % (colours - 1) };
    let data = (0..pixels).flat_map(|i| {
        let v = value(i);
        match layout {
            Layout::Gray => vec![(v * 3) as u8],
            Layout::Rgb => vec![v as u8, (v >> 8) as u8 + 9, 200],
            _ => vec![v as u8, (v >> 8) as u8 + 9, 7, if v == 3 { 0 } else { 255 }],
        }
    });
    Image { layout, width, height, planes: vec![data.collect()] }
}

#[test]
fn an_exact_palette_is_used_up_to_256_colours() {
    let spec = EncodeSpec { palette_if_exact: true, ..EncodeSpec::default() };
    for layout in [Layout::Gray, Layout::Rgb, Layout::Rgba] {
        for colours in [2, 4, 5, 16, 17, 80, 256, 257] {
            if layout == Layout::Gray && colours > 80 {
                continue;
            }
            for rows in [1, 5, 1000] {
                let image = of_colours(layout, colours, 61, 60);
                let file = encode(Format::Png, &image, &spec, rows, &work()).unwrap();
                let limit = if layout == Layout::Gray { 16 } else { 256 };
                assert_eq!(file[25] == 3, colours <= limit, "{layout:?} {colours}");
                let back = decode(&file, RGB).unwrap();
                assert!(decoded_elsewhere(&file) == rgba(&image), "{layout:?} {colours} {rows}");
                assert!(rgba(&back) == rgba(&image), "{layout:?} {colours} {rows}");
            }
        }
    }
}

#[test]
fn encoding_with_an_exact_palette_takes_one_byte_per_pixel() {
    let image = of_colours(Layout::Rgba, 90, 1000, 1000);
    let spec = EncodeSpec { palette_if_exact: true, ..EncodeSpec::default() };
    let what = ImageSpec { layout: Layout::Rgba, width: 1000, height: 1000 };
    let work = work();
    encode(Format::Png, &image, &spec, 16, &work).unwrap();
    // The 4 MB of pixels are reserved in the same budget; the encoder must not copy them.
    let encoder = work.budget.peak() - 4_000_000;
    assert!(encoder < 3_000_000, "{encoder}");
    assert!(encoder as u64 <= codec_for(Format::Png).unwrap().encode_bytes(what, &spec));
    assert_eq!(work.budget.used(), 0);
}

#[test]
fn a_palette_is_smaller_and_close_and_quality_changes_its_size() {
    for layout in [Layout::Rgb, Layout::Rgba, Layout::Gray] {
        let original = picture(layout, 120, 90);
        let size = |palette, quality| {
            let spec = EncodeSpec { palette, quality, ..EncodeSpec::default() };
            encode(Format::Png, &original, &spec, 8, &work()).unwrap()
        };
        let paletted = size(true, 90);
        if layout != Layout::Gray {
            assert!(size(true, 5).len() < paletted.len());
            assert!(paletted.len() < size(false, 90).len());
        }
        let image = decode(&paletted, RGB).unwrap();
        let channels = image.layout.channels(0);
        let expected: Vec<u8> = original.planes[0]
            .chunks_exact(layout.channels(0))
            .flat_map(|p| match *p {
                [y] => vec![y, y, y, 255],
                [r, g, b] => vec![r, g, b, 255],
                _ => p.to_vec(),
            })
            .enumerate()
            .filter(|(i, _)| i % 4 < channels)
            .map(|(_, v)| v)
            .collect();
        let difference = rms(&image.planes[0], &expected);
        assert!(difference < 16.0, "{layout:?}: {difference}");
        assert!(decoded_elsewhere(&paletted) == rgba(&image), "{layout:?}");
    }
}

#[test]
fn a_small_budget_is_an_error_and_not_a_crash() {
    let original = picture(Layout::Rgb, 300, 200);
    let image = ImageSpec { layout: Layout::Rgb, width: 300, height: 200 };
    for palette in [false, true] {
        for budget in [0, 100_000, (1 << 20) + 12_000] {
            let work = Work::new(Budget::new(budget));
            let spec = EncodeSpec { palette, ..EncodeSpec::default() };
            let result = codec_for(Format::Png).unwrap().encode(image, &spec, &work).and_then(|mut sink| {
                sink.push(Rows::one(PlaneRows { first: 0, count: 200, data: &original.planes[0] }))?;
                sink.finish()
            });
            assert!(
                matches!(result, Err(Error::Work(work::Error::MemoryBudget { .. }))),
                "{palette} {budget}: {result:?}"
            );
            assert_eq!(work.budget.used(), 0);
        }
    }
}

#[test]
fn encoding_stays_within_its_estimate() {
    for palette in [false, true] {
        let original = picture(Layout::Rgb, 600, 400);
        let image = ImageSpec { layout: Layout::Rgb, width: 600, height: 400 };
        let spec = EncodeSpec { palette, ..EncodeSpec::default() };
        let work = work();
        encode(Format::Png, &original, &spec, 16, &work).unwrap();
        let codec = codec_for(Format::Png).unwrap();
        assert!(work.budget.peak() as u64 <= Layout::Rgb.bytes(600, 400) + codec.encode_bytes(image, &spec));
        assert_eq!(work.budget.used(), 0);
    }
}

#[test]
fn missing_surplus_and_unordered_rows_are_refused() {
    let work = work();
    let codec = codec_for(Format::Png).unwrap();
    let image = ImageSpec { layout: Layout::Gray, width: 4, height: 4 };
    for palette in [false, true] {
        let spec = EncodeSpec { palette, ..EncodeSpec::default() };
        let push = |first, count, bytes: &[u8]| {
            let mut sink = codec.encode(image, &spec, &work).unwrap();
            sink.push(Rows::one(PlaneRows { first, count, data: bytes }))?;
            sink.finish()
        };
        for (first, count, length) in [(1, 1, 4), (0, 5, 20), (0, 2, 4), (0, 2, 8)] {
            assert!(matches!(push(first, count, &[0; 20][..length]), Err(Error::Encode { .. })));
        }
        assert!(push(0, 4, &[0; 16]).is_ok());
    }
}

#[test]
fn a_cancelled_request_stops() {
    let work = work();
    let file = fixture!("interlaced.png");
    let codec = codec_for(Format::Png).unwrap();
    let probe = codec.probe(fixture!("rgb16.png"), &Work::unlimited()).unwrap();
    let mut plain = codec.decode(fixture!("rgb16.png"), &probe, RGB, &work).unwrap();
    work.cancel.cancel();
    assert_eq!(plain.next_rows().err(), Some(Error::Work(work::Error::Cancelled)));
    let probe = codec.probe(file, &Work::unlimited()).unwrap();
    let result = codec.decode(file, &probe, RGB, &work).and_then(|mut s| s.next_rows().map(|_| ()));
    assert_eq!(result, Err(Error::Work(work::Error::Cancelled)));
}

#[test]
fn the_encoder_requests_a_layout_that_it_supports() {
    let codec = codec_for(Format::Png).unwrap();
    let asks = |offered| codec.encoded_layout(offered, &EncodeSpec::default());
    assert_eq!(asks(Layout::Ycc(Subsampling::S420)), Layout::Rgb);
    assert_eq!([asks(Layout::Gray), asks(Layout::Rgba)], [Layout::Gray, Layout::Rgba]);
}

// An animated PNG is decoded as its default image.
#[test]
fn an_animated_file_decodes_to_its_first_frame() {
    let file = fixture!("gray_alpha.png");
    let (head, rest) = file.split_at(33);
    let control = [&61_u32.to_be_bytes()[..], &47_u32.to_be_bytes(), &[0; 8], &[0, 1, 0, 10, 0, 0]].concat();
    let first = chunk(b"fcTL", &[&0_u32.to_be_bytes(), &control[..]].concat());
    let second = chunk(b"fcTL", &[&1_u32.to_be_bytes(), &control[..]].concat());
    let at = rest.windows(4).position(|w| w == b"IDAT").unwrap();
    let length = u32::from_be_bytes(rest[at - 4..at].try_into().unwrap()) as usize;
    let data = chunk(b"fdAT", &[&2_u32.to_be_bytes(), &rest[at + 4..at + 4 + length]].concat());
    let (pixels, end) = rest.split_at(rest.len() - 12);
    let animated =
        [head, &chunk(b"acTL", &[0, 0, 0, 2, 0, 0, 0, 0]), &first, pixels, &second, &data, end].concat();
    let (probe, image) = decode_with(&animated, RGB, &work()).unwrap();
    assert_eq!((probe.animation, probe.first_of_many), (None, true));
    assert_eq!(image, decode(file, RGB).unwrap());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn damage_never_crashes_nor_exceeds_the_budget(
        which in 0..FILES.len(),
        flips in prop::collection::vec((any::<prop::sample::Index>(), 1_u8..), 1..6),
        cut in prop::option::of(any::<prop::sample::Index>()),
        repair: bool,
    ) {
        let mut file = FILES[which].1.to_vec();
        for (at, bits) in flips {
            let at = at.index(file.len());
            file[at] ^= bits;
        }
        if let Some(cut) = cut {
            file.truncate(cut.index(file.len()));
        }
        if repair {
            // Correct checksums, so that the damage reaches the code after the checksum test.
            let mut at = 8;
            while let Some(length) = file.get(at..at + 4) {
                let length = u32::from_be_bytes(length.try_into().unwrap()) as usize;
                let end = at + 8 + length;
                if end + 4 > file.len() {
                    break;
                }
                let sum = crc(&file[at + 4..end]);
                file[end..end + 4].copy_from_slice(&sum.to_be_bytes());
                at = end + 4;
            }
        }
        let work = Work::new(Budget::new(16 << 20));
        let codec = codec_for(Format::Png).unwrap();
        if let Ok(probe) = codec.probe(&file, &Work::unlimited())
            && let Ok(mut source) = codec.decode(&file, &probe, RGB, &work)
        {
            for _ in 0..1000 {
                if !matches!(source.next_rows(), Ok(Some(_))) {
                    break;
                }
            }
        }
        prop_assert!(work.budget.peak() <= 16 << 20);
        prop_assert_eq!(work.budget.used(), 0);
    }
}
