//! TIFF and BMP decoding: every sample type, layout and compression, and damaged files.

mod support;

use std::io::Cursor;

use codecs::{DecodeSpec, Error, Format, Layout, Orientation, Raster};
use proptest::prelude::*;
use support::{RGB, codec, decode, encode, picture, rgba, survives};
use tiff::encoder::{Compression, DeflateLevel, TiffEncoder, colortype};
use work::{Budget, Work};

/// A writer of TIFF files: header, samples, directory, and the values that do not fit into an entry.
struct Tiff {
    little: bool,
    /// Tag and values; SHORT, or LONG for larger values.
    tags: Vec<(u16, Vec<u32>)>,
    /// The samples of each strip or tile.
    pieces: Vec<Vec<u8>>,
    tiled: bool,
}

impl Tiff {
    /// One strip of `samples` × `depth` bits.
    fn new(little: bool, (width, height): (u32, u32), photometric: u32, depth: u32, samples: u32) -> Self {
        let tags = vec![
            (256, vec![width]),
            (257, vec![height]),
            (258, vec![depth; samples as usize]),
            (259, vec![1]),
            (262, vec![photometric]),
            (277, vec![samples]),
        ];
        Self { little, tags, pieces: Vec::new(), tiled: false }
    }

    fn tag(mut self, tag: u16, values: &[u32]) -> Self {
        self.tags.push((tag, values.to_vec()));
        self
    }

    fn piece(mut self, bytes: Vec<u8>) -> Self {
        self.pieces.push(bytes);
        self
    }

    fn u16(&self, v: u16) -> [u8; 2] {
        if self.little { v.to_le_bytes() } else { v.to_be_bytes() }
    }

    fn u32(&self, v: u32) -> [u8; 4] {
        if self.little { v.to_le_bytes() } else { v.to_be_bytes() }
    }

    fn bytes(mut self) -> Vec<u8> {
        let mut out = if self.little { b"II\x2a\0".to_vec() } else { b"MM\0\x2a".to_vec() };
        out.extend([0; 4]);
        let (mut offsets, mut lengths) = (vec![], vec![]);
        for piece in &self.pieces {
            offsets.push(out.len() as u32);
            lengths.push(piece.len() as u32);
            out.extend_from_slice(piece);
            out.resize(out.len().next_multiple_of(2), 0);
        }
        let places = if self.tiled { (324, 325) } else { (273, 279) };
        self.tags.push((places.0, offsets));
        self.tags.push((places.1, lengths));
        self.tags.sort();
        let mut behind = Vec::new();
        let directory = out.len() as u32;
        let behind_at = directory as usize + 2 + self.tags.len() * 12 + 4;
        out[4..8].copy_from_slice(&self.u32(directory));
        out.extend(self.u16(self.tags.len() as u16));
        for (tag, values) in &self.tags {
            let long = values.iter().any(|&v| v > 65535) || matches!(tag, 273 | 279 | 324 | 325);
            let data: Vec<u8> = values
                .iter()
                .flat_map(|&v| if long { self.u32(v).to_vec() } else { self.u16(v as u16).to_vec() })
                .collect();
            out.extend(self.u16(*tag));
            out.extend(self.u16(if long { 4 } else { 3 }));
            out.extend(self.u32(values.len() as u32));
            if data.len() <= 4 {
                out.extend(&data);
                out.resize(out.len() + 4 - data.len(), 0);
            } else {
                out.extend(self.u32((behind_at + behind.len()) as u32));
                behind.extend(data);
            }
        }
        out.extend([0; 4]);
        out.extend(behind);
        out
    }
}

fn pixels(file: &[u8]) -> Vec<u8> {
    rgba(&decode(Format::Tiff, file, RGB).unwrap())
}

#[test]
fn tiff_samples_of_8_and_16_bits_in_both_byte_orders() {
    for little in [true, false] {
        for (layout, photometric, extra) in
            [(Layout::Gray, 1, None), (Layout::Rgb, 2, None), (Layout::Rgba, 2, Some(2))]
        {
            let image = picture(layout, 37, 23, 1.0);
            let samples = layout.channels(0) as u32;
            for depth in [8, 16] {
                let mut file = Tiff::new(little, (37, 23), photometric, depth, samples);
                if let Some(kind) = extra {
                    file = file.tag(338, &[kind]);
                }
                // Three strips, the last one shorter.
                file = file.tag(278, &[10]);
                for strip in image.data().chunks(10 * image.planes[0].stride()) {
                    let strip = if depth == 8 {
                        strip.to_vec()
                    } else {
                        strip.iter().flat_map(|&v| [v, v]).collect()
                    };
                    file = file.piece(strip);
                }
                assert_eq!(pixels(&file.bytes()), rgba(&image), "{layout:?} {depth} little={little}");
            }
        }
    }
}

#[test]
fn tiff_16_bits_are_rounded_in_the_byte_order_of_the_file() {
    for little in [true, false] {
        let v = 0x80FF_u16;
        let bytes = if little { v.to_le_bytes() } else { v.to_be_bytes() };
        let file = Tiff::new(little, (1, 1), 1, 16, 1).piece(bytes.to_vec()).bytes();
        assert_eq!(decode(Format::Tiff, &file, RGB).unwrap().data(), [0x80]);
    }
}

#[test]
fn tiff_bilevel_and_white_is_zero() {
    // 10 pixels in two bytes per row.
    let rows = vec![0b1010_1010, 0b1000_0000, 0b0101_0101, 0b0100_0000];
    let black_is_zero = Tiff::new(true, (10, 2), 1, 1, 1).piece(rows).bytes();
    let image = decode(Format::Tiff, &black_is_zero, RGB).unwrap();
    assert_eq!(image.data()[..10], [255, 0, 255, 0, 255, 0, 255, 0, 255, 0]);
    assert_eq!(image.data()[10..], [0, 255, 0, 255, 0, 255, 0, 255, 0, 255]);
    let white_is_zero = Tiff::new(true, (2, 1), 0, 8, 1).piece(vec![0, 200]).bytes();
    assert_eq!(decode(Format::Tiff, &white_is_zero, RGB).unwrap().data(), [255, 55]);
}

#[test]
fn tiff_tiles_and_planes() {
    let image = picture(Layout::Rgb, 40, 30, 2.0);
    let mut tiled = Tiff::new(true, (40, 30), 2, 8, 3).tag(322, &[16]).tag(323, &[16]);
    tiled.tiled = true;
    for (ty, tx) in (0..2).flat_map(|y| (0..3).map(move |x| (y, x))) {
        let mut tile = vec![9; 16 * 16 * 3];
        for y in 0..16.min(30 - ty * 16) {
            let width = 16.min(40 - tx * 16) * 3;
            let row = &image.planes[0].row((ty * 16 + y) as u32)[tx * 48..tx * 48 + width];
            tile[y * 48..y * 48 + width].copy_from_slice(row);
        }
        tiled = tiled.piece(tile);
    }
    assert_eq!(pixels(&tiled.bytes()), rgba(&image), "tiles");

    let mut planar = Tiff::new(false, (40, 30), 2, 8, 3).tag(284, &[2]).tag(278, &[20]);
    for plane in 0..3 {
        for rows in image.data().chunks(20 * 40 * 3) {
            planar = planar.piece(rows.iter().skip(plane).step_by(3).copied().collect());
        }
    }
    assert_eq!(pixels(&planar.bytes()), rgba(&image), "planes");
}

#[test]
fn tiff_premultiplied_alpha_is_divided_out() {
    let file = |kind| Tiff::new(true, (1, 1), 2, 8, 4).tag(338, &[kind]).piece(vec![100, 50, 0, 128]).bytes();
    assert_eq!(pixels(&file(2)), [100, 50, 0, 128]);
    assert_eq!(pixels(&file(1)), [199, 100, 0, 128]);
    let grey = Tiff::new(true, (1, 1), 1, 8, 2).tag(338, &[2]).piece(vec![70, 9]).bytes();
    assert_eq!(pixels(&grey), [70, 70, 70, 9]);
}

#[test]
fn tiff_compressions() {
    let image = picture(Layout::Rgb, 50, 41, 3.0);
    for (name, compression) in [
        ("LZW", Compression::Lzw),
        ("Deflate", Compression::Deflate(DeflateLevel::default())),
        ("PackBits", Compression::Packbits),
        ("none", Compression::Uncompressed),
    ] {
        let mut file = Cursor::new(Vec::new());
        TiffEncoder::new(&mut file)
            .unwrap()
            .with_compression(compression)
            .write_image::<colortype::RGB8>(50, 41, image.data())
            .unwrap();
        assert_eq!(pixels(file.get_ref()), rgba(&image), "{name}");
    }
}

#[test]
fn tiff_orientation_is_read() {
    let file = Tiff::new(true, (2, 1), 1, 8, 1).tag(274, &[6]).piece(vec![1, 2]).bytes();
    let probe = codec(Format::Tiff).probe(&file, &Work::unlimited()).unwrap();
    assert_eq!((probe.orientation, probe.oriented_size()), (Orientation::Rotate90, (1, 2)));
}

#[test]
fn tiff_errors_name_the_unsupported_feature() {
    let palette = Tiff::new(true, (1, 1), 3, 8, 1).tag(320, &[0; 768]).piece(vec![0]).bytes();
    let lab = Tiff::new(true, (1, 1), 8, 8, 3).piece(vec![0; 3]).bytes();
    let floats = Tiff::new(true, (1, 1), 1, 32, 1).tag(339, &[3]).piece(vec![0; 4]).bytes();
    for file in [palette, lab, floats] {
        let probe = codec(Format::Tiff).probe(&file, &Work::unlimited());
        assert!(matches!(probe, Err(Error::Unsupported(_))), "{probe:?}");
    }
    assert!(matches!(
        encode(Format::Tiff, &picture(Layout::Rgb, 2, 2, 0.0), &codecs::EncodeSpec::default()),
        Err(Error::Unsupported(_))
    ));
}

/// BMP rows are stored bottom-up, blue first, padded to four bytes.
fn bmp(image: &Raster, top_down: bool) -> Vec<u8> {
    let (w, h, n) = (image.width, image.height, image.layout.channels(0));
    let stride = (w as usize * n).next_multiple_of(4);
    let mut out = b"BM".to_vec();
    let header: u32 = if n == 4 { 108 } else { 40 };
    let size = 14 + header + (stride as u32) * h;
    out.extend(size.to_le_bytes());
    out.extend([0; 4]);
    out.extend((14 + header).to_le_bytes());
    out.extend(header.to_le_bytes());
    out.extend(w.to_le_bytes());
    let height = if top_down { -(h as i32) } else { h as i32 };
    out.extend(height.to_le_bytes());
    out.extend([1, 0, n as u8 * 8, 0]);
    out.extend(if n == 4 { 3_u32 } else { 0 }.to_le_bytes());
    out.extend([0; 20]);
    if n == 4 {
        for mask in [0xFF_0000_u32, 0xFF00, 0xFF, 0xFF00_0000] {
            out.extend(mask.to_le_bytes());
        }
        out.extend(b"BGRs");
        out.resize(14 + 108, 0);
    }
    for y in 0..h {
        let row = image.planes[0].row(if top_down { y } else { h - 1 - y });
        let start = out.len();
        for p in row.chunks(n) {
            out.extend([p[2], p[1], p[0]]);
            out.extend(&p[3..]);
        }
        out.resize(start + stride, 0);
    }
    out
}

#[test]
fn bmp_rows_are_read_in_both_orders_with_and_without_alpha() {
    for layout in [Layout::Rgb, Layout::Rgba] {
        let image = picture(layout, 33, 21, 1.0);
        for top_down in [false, true] {
            let file = bmp(&image, top_down);
            assert_eq!(Format::sniff(&file), Some(Format::Bmp));
            let back = decode(Format::Bmp, &file, RGB).unwrap();
            assert_eq!((back.layout, back.data()), (layout, image.data()), "top_down={top_down}");
        }
    }
}

fn samples() -> Vec<(Format, Vec<u8>)> {
    let image = picture(Layout::Rgb, 20, 14, 0.0);
    let plain = Tiff::new(true, (20, 14), 2, 8, 3).tag(278, &[5]);
    let plain = image.data().chunks(5 * 60).fold(plain, |t, strip| t.piece(strip.to_vec())).bytes();
    let mut lzw = Cursor::new(Vec::new());
    let encoder = TiffEncoder::new(&mut lzw).unwrap().with_compression(Compression::Lzw);
    let mut encoder = encoder;
    encoder.write_image::<colortype::RGB8>(20, 14, image.data()).unwrap();
    let mut tiled = Tiff::new(false, (20, 14), 1, 8, 1).tag(322, &[16]).tag(323, &[16]);
    tiled.tiled = true;
    let tiled = tiled.piece(vec![1; 256]).piece(vec![2; 256]).bytes();
    vec![
        (Format::Tiff, plain),
        (Format::Tiff, lzw.into_inner()),
        (Format::Tiff, tiled),
        (Format::Bmp, bmp(&image, false)),
        (Format::Bmp, bmp(&picture(Layout::Rgba, 9, 9, 0.0), true)),
    ]
}

#[test]
fn truncated_files_are_errors() {
    for (format, file) in samples() {
        for end in (0..file.len()).step_by(7).filter(|end| *end < file.len() - 4) {
            // Some TIFF files end with the directory, others with the samples.
            assert!(decode(format, &file[..end], RGB).is_err(), "{format} cut at {end} of {}", file.len());
        }
    }
}

// URL-117: a size in the header alone allocates nothing.
#[test]
fn huge_sizes_allocate_nothing() {
    let work = Work::new(Budget::new(8 << 20));
    let tiff = Tiff::new(true, (60_000, 60_000), 2, 8, 3).piece(vec![0; 100]).bytes();
    let tall_tile = {
        let mut t = Tiff::new(true, (100, 100), 2, 8, 3).tag(322, &[65520]).tag(323, &[65520]);
        t.tiled = true;
        t.piece(vec![0; 100]).bytes()
    };
    let mut wide = bmp(&picture(Layout::Rgb, 4, 4, 0.0), false);
    wide[18..26].copy_from_slice(&[0x00, 0xEA, 0, 0, 0x00, 0xEA, 0, 0]);
    for (format, file) in [(Format::Tiff, tiff), (Format::Tiff, tall_tile), (Format::Bmp, wide)] {
        let Ok(probe) = codec(format).probe(&file, &Work::unlimited()) else { continue };
        let failed = match codec(format).decode(&file, &probe, RGB, &work) {
            Ok(mut source) => source.next_rows().err(),
            Err(error) => Some(error),
        };
        assert!(failed.is_some(), "{format}");
        assert!(work.budget.peak() <= 8 << 20);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn damaged_files_never_panic(
        which in 0_usize..5,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        near_end: bool,
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let (format, mut file) = samples().swap_remove(which);
        for (at, value) in changes {
            // Damages the directory at the end of a TIFF file and the header at the start of a BMP file.
            let (from, span) = if near_end { (file.len().saturating_sub(200), 200.min(file.len())) } else { (0, 60) };
            file[from + at.index(span)] = value;
        }
        if let Some(cut) = cut {
            file.truncate(cut.index(file.len()));
        }
        survives(format, &file, 4 << 20);
    }
}

// The library reads lists with its own limit of 256 MB, before it accepts other limits.
#[test]
fn lists_of_a_tiff_file_are_bounded_before_they_are_read() {
    let plain = || Tiff::new(true, (4, 4), 1, 8, 1).piece(vec![7; 16]);
    let tight = || Work::new(Budget::new(64 << 10));
    let codec = codec(Format::Tiff);
    codec.probe(&plain().bytes(), &tight()).unwrap();
    let long = vec![1; 5000];
    for tag in [258, 259, 262, 277, 278, 284, 317, 338, 339, 530] {
        let mut file = plain();
        file.tags.retain(|(t, _)| *t != tag);
        let error = codec.probe(&file.tag(tag, &long).bytes(), &tight()).unwrap_err();
        assert!(matches!(error, Error::TooLarge(_)), "{tag}: {error}");
    }
    // Offsets come out of the budget.
    let mut file = Tiff::new(true, (4, 2000), 1, 8, 1).tag(278, &[1]);
    for _ in 0..2000 {
        file = file.piece(vec![7; 4]);
    }
    let bytes = file.bytes();
    assert!(matches!(codec.probe(&bytes, &tight()), Err(Error::Work(work::Error::MemoryBudget { .. }))));
    let work = Work::new(Budget::new(4 << 20));
    let probe = codec.probe(&bytes, &work).unwrap();
    let mut source = codec.decode(&bytes, &probe, RGB, &work).unwrap();
    while source.next_rows().unwrap().is_some() {}
    assert!(work.budget.peak() as u64 <= codec.decode_bytes(&probe, RGB));
}

#[test]
fn bytes_after_the_image_are_ignored() {
    let plain = Tiff::new(false, (4, 4), 1, 8, 1).piece(vec![7; 16]).bytes();
    let expected = decode(Format::Tiff, &plain, RGB).unwrap();
    for tail in [&b"\0\0\0"[..], b"<html>"] {
        let image = decode(Format::Tiff, &[&plain, tail].concat(), RGB).unwrap();
        assert_eq!(image.data(), expected.data());
    }
}

#[test]
fn samples_that_are_not_used_count_in_the_estimate() {
    let (width, height, samples) = (700, 900, 12);
    let pixels = vec![90; (width * height * samples) as usize];
    let file = Tiff::new(true, (width, height), 1, 8, samples).piece(pixels).bytes();
    let probe = codec(Format::Tiff).probe(&file, &Work::unlimited()).unwrap();
    let spec = DecodeSpec { scale: 1, planar: false };
    let announced = codec(Format::Tiff).decode_bytes(&probe, spec);
    let work = Work::new(Budget::new(usize::try_from(announced).unwrap()));
    let mut rows = codec(Format::Tiff).decode(&file, &probe, spec, &work).unwrap();
    let mut count = 0;
    while let Some(rows) = rows.next_rows().unwrap() {
        count += rows.planes()[0].count;
    }
    assert_eq!(count, height);
}

// The lists were estimated by the height of the image; they may be longer than that, and stand twice.
#[test]
fn lists_that_are_longer_than_the_image_needs_count_in_the_estimate() {
    let codec = codec(Format::Tiff);
    let mut file = Tiff::new(true, (4, 4), 1, 8, 1).tag(278, &[4]).tag(273, &[7; 900]).tag(279, &[15; 900]);
    file = file.piece(vec![7; 16]);
    let bytes = file.bytes();
    let probe = codec.probe(&bytes, &Work::unlimited()).unwrap();
    let work = Work::new(Budget::new(16 << 20));
    // Whether it is decoded is up to the library; what it held until then was announced.
    let _ = codec.decode(&bytes, &probe, RGB, &work);
    let (held, announced) = (work.budget.peak() as u64, codec.decode_bytes(&probe, RGB));
    assert!(held <= announced, "{held} bytes were held, {announced} announced");
}
