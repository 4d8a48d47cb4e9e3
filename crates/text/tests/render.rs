//! Pictures of texts. A person has checked the golden one: an Arabic word joined from right to left, a ligature, a
//! combining mark over its letter, and two fonts.

#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};

use text::{Error, Font, Layout, Limits, Raster, Request};
use work::Work;

/// A text with the given font files.
struct Asked<'a> {
    fonts: &'a [&'a [u8]],
    text: &'a str,
    size: f32,
    colour: [u8; 4],
}

fn render(asked: &Asked<'_>) -> Result<Raster, Error> {
    let work = Work::unlimited();
    let fonts = asked.fonts.iter().map(|file| Font::load(file, &work)).collect::<Result<Vec<_>, _>>()?;
    let Asked { text, size, colour, .. } = *asked;
    let layout = Layout::new(&Request { fonts: &fonts, text, size, colour }, &Limits::default(), &work)?;
    layout.paint(&work)
}

fn font(name: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fonts").join(name)).unwrap()
}

fn made(fonts: &[&str], text: &str, size: f32) -> Result<Raster, Error> {
    let files: Vec<Vec<u8>> = fonts.iter().map(|f| font(f)).collect();
    let fonts: Vec<&[u8]> = files.iter().map(Vec::as_slice).collect();
    render(&Asked { fonts: &fonts, text, size, colour: [20, 40, 160, 255] })
}

fn ink(raster: &Raster) -> u64 {
    raster.rgba.chunks_exact(4).map(|p| u64::from(p[3])).sum()
}

// BND-076
#[test]
fn all_font_containers_give_the_same_picture() {
    let plain = made(&["latin.ttf"], "Whole plate", 32.0).unwrap();
    assert!(plain.width > 100 && plain.height >= 32 && ink(&plain) > 10_000);
    assert!(made(&["latin.woff"], "Whole plate", 32.0).unwrap() == plain);
    assert!(made(&["latin.woff2"], "Whole plate", 32.0).unwrap() == plain);
    assert!(ink(&made(&["garamond.otf"], "Whole plate", 32.0).unwrap()) > 10_000);
}

#[test]
fn a_file_that_is_not_a_font_is_refused() {
    let not = |bytes: &[u8]| render(&Asked { fonts: &[bytes], text: "x", size: 12.0, colour: [0; 4] });
    for bytes in [&b""[..], b"hello", b"\0\x01\0\0", b"wOFF", b"wOF2\0\x01\0\0", b"OTTO\xff\xff\0\0\0\0\0\0"]
    {
        assert!(matches!(not(bytes), Err(Error::Font(_))), "{bytes:?}");
    }
}

fn drawn(file: &[u8]) -> Result<Raster, Error> {
    render(&Asked { fonts: &[file], text: "Whole", size: 12.0, colour: [0; 4] })
}

#[test]
fn a_font_cut_at_any_byte_is_refused() {
    for name in ["latin.ttf", "latin.woff", "latin.woff2", "garamond.otf", "arabic.ttf", "colours.ttf"] {
        let whole = font(name);
        // The padding after the last table is not needed.
        let lengths = (0..whole.len() - 3).step_by(whole.len() / 40).chain([whole.len() - 4]);
        for length in lengths {
            let Err(Error::Font(why)) = drawn(&whole[..length]) else { panic!("{name} of {length} bytes") };
            assert!(!why.contains("GenericError"), "{name} of {length} bytes: {why}");
        }
    }
}

/// The position of the table `tag` in an SFNT.
fn table(file: &[u8], tag: &[u8; 4]) -> usize {
    let entry = file[12..].chunks_exact(16).find(|entry| entry.starts_with(tag)).unwrap();
    u32::from_be_bytes(entry[8..12].try_into().unwrap()) as usize
}

#[test]
fn a_font_that_cannot_be_measured_is_refused() {
    for (tag, at, value) in [
        (b"head", 18, [0, 0]),
        (b"head", 18, [0xFF, 0xFF]),
        (b"maxp", 4, [0, 0]),
        (b"hhea", 34, [0, 0]),
        (b"hhea", 34, [0xFF, 0xFF]),
    ] {
        let mut file = font("latin.ttf");
        let start = table(&file, tag) + at;
        file[start..start + 2].copy_from_slice(&value);
        assert!(matches!(drawn(&file), Err(Error::Font(why)) if why.contains("metrics")));
    }
    let mut file = font("garamond.otf");
    let start = table(&file, b"CFF ");
    file[start] = 9;
    assert!(matches!(drawn(&file), Err(Error::Font(why)) if why.contains("outlines")));
    // A renamed table counts as missing.
    let mut file = font("latin.ttf");
    let entry = 12 + file[12..].chunks_exact(16).position(|entry| entry.starts_with(b"cmap")).unwrap() * 16;
    file[entry..entry + 4].copy_from_slice(b"xxxx");
    assert!(matches!(drawn(&file), Err(Error::Font(why)) if why.contains("'cmap'")));
}

#[test]
fn damaged_fonts_never_panic() {
    for name in ["latin.ttf", "latin.woff", "latin.woff2", "garamond.otf"] {
        let whole = font(name);
        for at in (0..whole.len()).step_by(whole.len() / 60) {
            let mut file = whole.clone();
            file[at] ^= 0xFF;
            let _ = drawn(&file);
        }
    }
}

// BND-073, BND-074
#[test]
fn limits_are_kept() {
    let long = "a".repeat(1001);
    assert_eq!(made(&["latin.ttf"], &long, 4.0), Err(Error::TooLong { given: 1001, limit: 1000 }));
    assert!(made(&["latin.ttf"], &long[1..], 4.0).is_ok());
    assert!(matches!(made(&["latin.ttf"], &"W".repeat(200), 100.0), Err(Error::TooLarge { .. })));
    assert!(matches!(
        made(&["latin.ttf"], &"\n".repeat(200), 100.0),
        Err(Error::TooLarge { .. } | Error::Empty)
    ));
    assert!(matches!(made(&["latin.ttf"], "W", 1e9), Err(Error::TooLarge { .. })));
    assert!(matches!(made(&["latin.ttf"], "W", f32::NAN), Err(Error::TooLarge { .. })));
}

#[test]
fn lines_stack_and_sizes_scale() {
    let one = made(&["latin.ttf"], "Ag", 40.0).unwrap();
    let two = made(&["latin.ttf"], "Ag\nAg", 40.0).unwrap();
    assert!(two.width == one.width && two.height.abs_diff(2 * one.height) <= 2);
    let large = made(&["latin.ttf"], "Ag", 80.0).unwrap();
    assert!(large.width.abs_diff(2 * one.width) <= 3);
}

#[test]
fn a_ligature_is_one_glyph_and_a_mark_is_above_its_letter() {
    // In "ffi" the hooks of the letters merge: it has less ink than the separate letters.
    let ink_of = |text: &str| ink(&made(&["garamond.otf"], text, 60.0).unwrap());
    let (together, apart) = (ink_of("ffi"), 2 * ink_of("f") + ink_of("i"));
    assert!(together * 100 < apart * 97, "{together} {apart}");
    let plain = made(&["latin.ttf"], "e", 60.0).unwrap();
    let marked = made(&["latin.ttf"], "e\u{301}", 60.0).unwrap();
    assert_eq!((plain.width, plain.height), (marked.width, marked.height));
    assert!(ink(&marked) > ink(&plain));
}

#[test]
fn arabic_joins_and_runs_from_the_right() {
    let joined = made(&["arabic.ttf"], "سلام", 60.0).unwrap();
    let letters = made(&["arabic.ttf"], "س ل ا م", 60.0).unwrap();
    assert!(joined.width < letters.width);
    // The first letter is at the right: a longer text grows to the left.
    let more = made(&["arabic.ttf"], "سل", 60.0).unwrap();
    let first = made(&["arabic.ttf"], "س", 60.0).unwrap();
    let right = |r: &Raster| {
        let column = |x: u32| (0..r.height).any(|y| r.rgba[((y * r.width + x) * 4 + 3) as usize] > 128);
        (0..r.width).rev().find(|x| column(*x)).map(|x| r.width - x).unwrap()
    };
    assert!(right(&more).abs_diff(right(&first)) <= 4, "{} {}", right(&more), right(&first));
}

#[test]
fn a_character_missing_in_one_font_is_taken_from_the_next() {
    let both = made(&["latin.ttf", "arabic.ttf"], "Salam سلام", 40.0).unwrap();
    let latin = made(&["latin.ttf"], "Salam ", 40.0).unwrap();
    let arabic = made(&["arabic.ttf"], "سلام", 40.0).unwrap();
    assert!(ink(&both).abs_diff(ink(&latin) + ink(&arabic)) < ink(&both) / 10);
}

#[test]
fn colour_glyphs_keep_their_colours() {
    let flag = made(&["colours.ttf"], "\u{1f3f4}", 100.0).unwrap();
    let at = |x: u32, y: u32| {
        let i = ((y * flag.width + x) * 4) as usize;
        // Layers are blended in 8 bits, with small rounding errors in opacity.
        assert!(flag.rgba[i + 3] >= 250);
        [flag.rgba[i], flag.rgba[i + 1], flag.rgba[i + 2]]
    };
    let middle = flag.height / 2;
    assert_eq!((at(20, middle), at(80, middle)), ([255, 0, 0], [0, 0, 255]));
}

/// Rows of texts under each other on white.
fn sheet(rows: &[Raster]) -> Raster {
    let (width, height) =
        (rows.iter().map(|r| r.width).max().unwrap(), rows.iter().map(|r| r.height).sum::<u32>());
    let mut sheet = Raster { width, height, rgba: vec![255; (width * height * 4) as usize] };
    let mut top = 0;
    for row in rows {
        for y in 0..row.height {
            for x in 0..row.width {
                let from = ((y * row.width + x) * 4) as usize;
                let to = (((top + y) * width + x) * 4) as usize;
                let a = u32::from(row.rgba[from + 3]);
                for c in 0..3 {
                    sheet.rgba[to + c] = ((u32::from(row.rgba[from + c]) * a + 255 * (255 - a)) / 255) as u8;
                }
            }
        }
        top += row.height;
    }
    sheet
}

fn golden_path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/text.png")
}

// The picture may differ by 2 in any channel on average; WHOLEPLATE_BLESS=1 rewrites it, for a visual check.
#[test]
fn the_golden_text() {
    let rows = [
        made(&["latin.ttf"], "Whole plate: cafe\u{301}", 48.0).unwrap(),
        made(&["garamond.otf"], "ffi fl Th office", 48.0).unwrap(),
        made(&["arabic.ttf"], "السلام عليكم", 48.0).unwrap(),
        made(&["latin.ttf", "arabic.ttf"], "two fonts: مرحبا", 48.0).unwrap(),
    ];
    let sheet = sheet(&rows);
    if std::env::var_os("WHOLEPLATE_BLESS").is_some() {
        let file = std::fs::File::create(golden_path()).unwrap();
        let mut encoder = png::Encoder::new(file, sheet.width, sheet.height);
        encoder.set_color(png::ColorType::Rgba);
        encoder.write_header().unwrap().write_image_data(&sheet.rgba).unwrap();
    }
    let file = std::io::BufReader::new(std::fs::File::open(golden_path()).unwrap());
    let mut reader = png::Decoder::new(file).read_info().unwrap();
    let mut expected = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut expected).unwrap();
    assert_eq!((info.width, info.height), (sheet.width, sheet.height));
    let off: u64 = expected.iter().zip(&sheet.rgba).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
    let mean = off as f64 / expected.len() as f64;
    assert!(mean < 2.0, "{mean}");
}

// Touching letters were darker where they touch: the alpha of the colour was applied glyph by glyph.
#[test]
fn a_translucent_text_is_an_opaque_one_times_alpha() {
    let file = font("arabic.ttf");
    let made = |alpha| {
        render(&Asked { fonts: &[&file], text: "السلام", size: 80.0, colour: [200, 0, 0, alpha] }).unwrap()
    };
    let (opaque, translucent) = (made(255), made(128));
    for (a, b) in opaque.rgba.chunks_exact(4).zip(translucent.rgba.chunks_exact(4)) {
        let wanted = (u32::from(a[3]) * 128 + 127) / 255;
        assert_eq!((u32::from(b[3]), &b[..3]), (wanted, &a[..3]));
    }
    assert!(opaque.rgba.chunks_exact(4).any(|p| p[3] == 255));
}
