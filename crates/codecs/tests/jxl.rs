//! JPEG XL decoding. The fixtures, encoded by libjxl, contain a known function of the coordinates.

mod support;

use codecs::{Colour, Error, Format, Layout, Raster};
use proptest::prelude::*;
use support::{RGB, codec, decode, fixture, survives};
use work::{Budget, Work};

/// R G B A of the fixtures at a position.
fn colour(x: u32, y: u32, width: u32, height: u32) -> [u8; 4] {
    let (u, v) = ((f64::from(x) + 0.5) / f64::from(width), (f64::from(y) + 0.5) / f64::from(height));
    let channels = [
        40.0 + 170.0 * u,
        40.0 + 170.0 * v,
        128.0 + 60.0 * (3.0 * u + 2.0 * v).sin(),
        255.0 * (1.5 * u).min(1.0),
    ];
    channels.map(|c| c.round() as u8)
}

/// The largest difference of a sample from [`colour`].
fn furthest(image: &Raster) -> u8 {
    let n = image.layout.channels(0);
    let mut worst = 0;
    for y in 0..image.height {
        for (x, p) in (0..).zip(image.planes[0].row(y).chunks_exact(n)) {
            let wanted = colour(x, y, image.width, image.height);
            worst = p.iter().zip(wanted).map(|(a, b)| a.abs_diff(b)).max().unwrap().max(worst);
        }
    }
    worst
}

#[test]
fn lossy_lossless_grey_and_translucent_files_are_decoded() {
    for (name, layout, tolerance) in [
        ("lossy.jxl", Layout::Rgb, 10),
        // The fixture and this test round .5 differently.
        ("alpha.jxl", Layout::Rgba, 1),
        ("gray.jxl", Layout::Gray, 1),
    ] {
        let image = decode(Format::Jxl, &fixture(name), RGB).unwrap();
        assert_eq!(image.layout, layout, "{name}");
        let off = furthest(&image);
        assert!(off <= tolerance, "{name}: {off}");
    }
}

// Replaces the header of an sRGB file by one that declares Display P3.
#[test]
fn other_colour_spaces_are_converted_to_srgb() {
    let plain = fixture("lossless16.jxl");
    assert_eq!(furthest(&decode(Format::Jxl, &plain, RGB).unwrap()), 0);
    let start = |bits: Bits| {
        // Size 16×16 in units of 8, 8 bits, 16-bit buffers, no extra channels, no XYB.
        bits.put(0x0AFF, 16).put(1, 1).put(1, 5).put(1, 3).put(0, 5).put(1, 1).put(0, 3)
    };
    let same = start(Bits::default()).put(1, 1).put(0, 2).put(1, 1).bytes;
    assert_eq!(plain[..5], same[..], "the header that the next one is made of");
    let p3 = start(Bits::default())
        // R G B under D65, primaries of P3 (11), curve of sRGB (13), relative.
        .put(0, 4)
        .put(1, 2)
        .put(2 | 9 << 2, 6)
        .put(0, 1)
        .put(2 | 11 << 2, 6)
        .put(1, 2)
        .put(0, 2)
        .put(1, 1);
    let file = [&p3.bytes[..], &plain[5..]].concat();
    assert_eq!(codec(Format::Jxl).probe(&file, &Work::unlimited()).unwrap().colour, Colour::Srgb);
    let image = decode(Format::Jxl, &file, RGB).unwrap();
    let linear = |v: f64| if v <= 0.04045 { v / 12.92 } else { ((v + 0.055) / 1.055).powf(2.4) };
    let curve = |v: f64| if v <= 0.003_130_8 { v * 12.92 } else { 1.055 * v.powf(1.0 / 2.4) - 0.055 };
    const P3_TO_SRGB: [[f64; 3]; 3] =
        [[1.2249, -0.2247, 0.0], [-0.0420, 1.0419, 0.0], [-0.0197, -0.0786, 1.0979]];
    for (at, p) in (0..).zip(image.data().as_chunks::<3>().0) {
        let [r, g, b, _] = colour(at % 16, at / 16, 16, 16).map(|v| linear(f64::from(v) / 255.0));
        for (row, &is) in P3_TO_SRGB.iter().zip(p) {
            let wanted = curve((row[0] * r + row[1] * g + row[2] * b).clamp(0.0, 1.0)) * 255.0;
            assert!((wanted - f64::from(is)).abs() < 3.0, "pixel {at}: {p:?}");
        }
    }
}

/// A header, bit by bit.
#[derive(Default)]
struct Bits {
    bytes: Vec<u8>,
    count: usize,
}

impl Bits {
    fn put(mut self, value: u64, count: usize) -> Self {
        for i in 0..count {
            if self.count.is_multiple_of(8) {
                self.bytes.push(0);
            }
            *self.bytes.last_mut().unwrap() |= (((value >> i) & 1) as u8) << (self.count % 8);
            self.count += 1;
        }
        self
    }

    /// Width and height, each behind a selector of its length in bits.
    fn size(self, width: u64, height: u64, selector: u64, bits: usize) -> Self {
        let begun = self.put(0xFF0A_u16.swap_bytes().into(), 16).put(0, 1).put(selector, 2);
        begun.put(height - 1, bits).put(0, 3).put(selector, 2).put(width - 1, bits)
    }
}

// Replaces the "all default" header of lossy.jxl by an explicit one with an orientation.
#[test]
fn the_orientation_is_applied() {
    let plain = fixture("lossy.jxl");
    let same = Bits::default().size(61, 47, 0, 9).put(0b11, 2).bytes;
    assert_eq!(plain[..6], same[..], "the header that the next one is made of");
    for orientation in [6, 3] {
        let header = Bits::default()
            .size(61, 47, 0, 9)
            .put(0b10, 2)
            .put(orientation - 1, 3)
            // No other size, no preview, no animation.
            .put(0, 3)
            // 8 bits, 16-bit buffers, no extra channels.
            .put(0, 3)
            .put(1, 1)
            .put(0, 2)
            // XYB, sRGB, no tone mapping, no extensions, default transform.
            .put(0b111, 3)
            .put(0, 2)
            .put(1, 1);
        let file = [&header.bytes[..], &plain[6..]].concat();
        let (image, upright) =
            (decode(Format::Jxl, &file, RGB).unwrap(), decode(Format::Jxl, &plain, RGB).unwrap());
        let pixel = |image: &Raster, x: u32, y: u32| image.planes[0].row(y)[x as usize * 3..][..3].to_vec();
        let size = if orientation == 6 { (47, 61) } else { (61, 47) };
        assert_eq!((image.width, image.height), size);
        for (x, y) in [(0, 0), (10, 3), (60, 46)] {
            // Rotated by 90° clockwise, or by 180°.
            let (tx, ty) = if orientation == 6 { (46 - y, x) } else { (60 - x, 46 - y) };
            assert_eq!(pixel(&image, tx, ty), pixel(&upright, x, y), "{orientation} {x},{y}");
        }
    }
}

#[test]
fn a_container_is_decoded_and_its_metadata_boxes_are_ignored() {
    let codestream = fixture("gray.jxl");
    let codestream = &codestream[codestream.windows(2).position(|w| w == [0xFF, 0x0A]).unwrap()..];
    let mut file = b"\0\0\0\x0cJXL \x0d\x0a\x87\x0a\0\0\0\x14ftypjxl \0\0\0\0jxl ".to_vec();
    // A `brob` box without Brotli data.
    file.extend(b"\0\0\0\x10brobExif\xFF\xFF\xFF\xFF");
    for (i, part) in codestream.chunks(codestream.len().div_ceil(3)).enumerate() {
        file.extend((part.len() as u32 + 12).to_be_bytes());
        file.extend(b"jxlp");
        let last = if i == 2 { 0x8000_0000 } else { 0 };
        file.extend((i as u32 | last).to_be_bytes());
        file.extend(part);
    }
    assert_eq!(
        decode(Format::Jxl, &file, RGB).unwrap().data(),
        decode(Format::Jxl, &fixture("gray.jxl"), RGB).unwrap().data()
    );
}

#[test]
fn truncated_files_are_errors() {
    for name in ["lossy.jxl", "alpha.jxl", "gray.jxl"] {
        let file = fixture(name);
        for end in 0..file.len() - 1 {
            assert!(decode(Format::Jxl, &file[..end], RGB).is_err(), "{name} cut at {end} of {}", file.len());
        }
    }
}

// URL-117
#[test]
fn huge_sizes_allocate_nothing() {
    let header = Bits::default().size(1 << 30, 1 << 30, 3, 30).put(0b11, 2);
    let file = [header.bytes, fixture("lossy.jxl")[6..].to_vec()].concat();
    let work = Work::new(Budget::new(1 << 20));
    let probe = codec(Format::Jxl).probe(&file, &Work::unlimited()).unwrap();
    assert_eq!((probe.width, probe.height), (1 << 30, 1 << 30));
    let failed = codec(Format::Jxl).decode(&file, &probe, RGB, &work).err().unwrap();
    assert!(matches!(failed, Error::Work(work::Error::MemoryBudget { .. })), "{failed:?}");
    assert_eq!(work.budget.peak(), 0);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn damaged_files_never_panic(
        which in 0_usize..4,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let mut file = fixture(["lossy.jxl", "alpha.jxl", "gray.jxl", "lossless16.jxl"][which]);
        for (at, value) in changes {
            let at = at.index(file.len());
            file[at] = value;
        }
        if let Some(cut) = cut {
            file.truncate(cut.index(file.len()));
        }
        survives(Format::Jxl, &file, 40 << 20);
    }
}

/// The codestream in a container, split into parts of `size` bytes.
fn in_parts(codestream: &[u8], size: usize) -> Vec<u8> {
    let mut out = b"\0\0\0\x0CJXL \r\n\x87\n\0\0\0\x14ftypjxl \0\0\0\0jxl ".to_vec();
    let parts = codestream.chunks(size).count();
    for (i, part) in codestream.chunks(size).enumerate() {
        out.extend_from_slice(&(part.len() as u32 + 12).to_be_bytes());
        out.extend_from_slice(b"jxlp");
        let last = if i + 1 == parts { 1 << 31 } else { 0 };
        out.extend_from_slice(&(i as u32 | last).to_be_bytes());
        out.extend_from_slice(part);
    }
    out
}

// The decoder used to read the header again for each part.
#[test]
fn a_codestream_in_very_many_parts_is_read_in_linear_time() {
    let plain = fixture("lossless16.jxl");
    let image = decode(Format::Jxl, &in_parts(&plain, 1), RGB).unwrap();
    assert_eq!(furthest(&image), 0);
    // A long header: 250 extra channels with names of 1,000 bytes, and no image data.
    let mut endless = plain[..4].to_vec();
    endless.resize(300 << 10, 0xFF);
    for bytes in [in_parts(&endless, 1), in_parts(&plain[..plain.len() - 1], 1)] {
        let before = cpu_time::ThreadTime::now();
        assert!(decode(Format::Jxl, &bytes, RGB).is_err());
        let taken = before.elapsed();
        assert!(taken < std::time::Duration::from_secs(2), "{taken:?}");
    }
}

#[test]
fn bytes_after_the_image_are_ignored() {
    let plain = fixture("lossless16.jxl");
    for tail in [&b"\0\0\0"[..], b"<html>", b"\0\0\xFF\xFFfree"] {
        for bytes in [plain.clone(), in_parts(&plain, 64)] {
            assert_eq!(furthest(&decode(Format::Jxl, &[&bytes, tail].concat(), RGB).unwrap()), 0, "{tail:?}");
        }
    }
}
