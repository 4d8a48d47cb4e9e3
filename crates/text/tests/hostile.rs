//! Small fonts with a large expansion: each kind is refused, or takes little time. The CPU time of the process is measured.

#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::time::Duration;

use text::{Error, Font, Layout, Limits, Request};
use work::{Budget, Work};

/// CPU time of one case; ordinary fonts take a hundredth of it.
const MOST_CPU: Duration = Duration::from_millis(1500);
const BUDGET: usize = 128 << 20;

fn font(name: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fonts").join(name)).unwrap()
}

/// Loads, lays out and paints; returns the size of the picture. Memory and CPU time are limited.
fn drawn(file: &[u8], text: &str, size: f32) -> Result<(u32, u32), Error> {
    let work = Work::new(Budget::new(BUDGET));
    let before = cpu_time::ThreadTime::now();
    let run = || {
        let font = Font::load(file, &work)?;
        let request = Request { fonts: &[font], text, size, colour: [0, 0, 0, 255] };
        let layout = Layout::new(&request, &Limits::default(), &work)?;
        let picture = layout.paint(&work)?;
        Ok((picture.width, picture.height))
    };
    let result = run();
    let took = before.elapsed();
    assert!(took < MOST_CPU, "{took:?} for {} bytes: {result:?}", file.len());
    result
}

fn refused(file: &[u8], text: &str) -> String {
    match drawn(file, text, 40.0) {
        Err(Error::Font(problem)) => problem,
        other => panic!("{other:?}"),
    }
}

/// Tables of an SFNT.
type Tables = Vec<([u8; 4], Vec<u8>)>;

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

fn u32_at(bytes: &[u8], at: usize) -> usize {
    u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap()) as usize
}

fn tables(file: &[u8]) -> Tables {
    (0..usize::from(u16_at(file, 4)))
        .map(|number| {
            let record = &file[12 + 16 * number..][..16];
            let (start, length) = (u32_at(record, 8), u32_at(record, 12));
            (record[..4].try_into().unwrap(), file[start..start + length].to_vec())
        })
        .collect()
}

fn sfnt(mut tables: Tables) -> Vec<u8> {
    tables.sort_by_key(|(tag, _)| *tag);
    let mut file = b"\0\x01\0\0".to_vec();
    file.extend(u16::try_from(tables.len()).unwrap().to_be_bytes());
    file.extend([0; 6]);
    let mut at = 12 + 16 * tables.len();
    for (tag, table) in &tables {
        file.extend(tag);
        file.extend([0; 4]);
        file.extend(u32::try_from(at).unwrap().to_be_bytes());
        file.extend(u32::try_from(table.len()).unwrap().to_be_bytes());
        at += table.len().next_multiple_of(4);
    }
    for (_, table) in tables {
        file.extend(&table);
        file.resize(file.len().next_multiple_of(4), 0);
    }
    file
}

/// latin.ttf with some tables replaced or added.
fn latin_with(changed: &[(&[u8; 4], Vec<u8>)]) -> Vec<u8> {
    let mut all = tables(&font("latin.ttf"));
    for (tag, table) in changed {
        all.retain(|(known, _)| known != *tag);
        all.push((**tag, table.clone()));
    }
    sfnt(all)
}

fn words(numbers: &[usize]) -> Vec<u8> {
    numbers.iter().flat_map(|n| u16::try_from(*n).unwrap().to_be_bytes()).collect()
}

/// A GSUB whose only feature, `ccmp`, has all lookups; `lookups` is the lookup list.
fn gsub(lookup_count: usize, lookups: &[u8]) -> Vec<u8> {
    let indices: Vec<usize> = (0..lookup_count).collect();
    let feature = [words(&[0, lookup_count]), words(&indices)].concat();
    let features = [words(&[1]), b"ccmp".to_vec(), words(&[8]), feature].concat();
    let scripts = [words(&[1]), b"DFLT".to_vec(), words(&[8, 4, 0, 0, 0xffff, 1, 0])].concat();
    let (script_at, feature_at) = (10, 10 + scripts.len());
    let lookup_at = feature_at + features.len();
    [words(&[1, 0, script_at, feature_at, lookup_at]), scripts, features, lookups.to_vec()].concat()
}

/// A coverage of all glyphs below 1000.
fn all_glyphs() -> Vec<u8> {
    words(&[2, 1, 0, 999, 0])
}

#[test]
fn the_fonts_built_by_these_tests_are_valid() {
    assert!(drawn(&latin_with(&[]), "Whole", 40.0).is_ok());
    // One lookup, single substitution by a difference of 0.
    let subtable = [words(&[1, 6, 0]), all_glyphs()].concat();
    let lookup = [words(&[1, 0, 1, 8]), subtable].concat();
    let list = [words(&[1, 4]), lookup].concat();
    assert!(drawn(&latin_with(&[(b"GSUB", gsub(1, &list))]), "Whole", 40.0).is_ok());
}

// 100 calls of 100 calls …, nine deep: over 45 s and 6 GiB.
#[test]
fn nested_subroutines_are_counted() {
    let problem = refused(&font("hostile/font-cff.otf"), "A");
    assert!(problem.contains("charstrings"), "{problem}");
}

// 5,000 names that share the same bytes: 3 s and 1.8 GiB.
#[test]
fn names_are_not_read() {
    let count = 5000;
    let mut name = words(&[0, count, 6 + 12 * count]);
    for _ in 0..count {
        name.extend(words(&[3, 1, 0x409, 1, 60_000, 0]));
    }
    name.extend(vec![b'a'; 60_000]);
    assert!(drawn(&latin_with(&[(b"name", name)]), "A", 40.0).is_ok());
}

// 40 × "A" at size 3800: 2.8 s and 500 MiB.
#[test]
fn large_overlapping_glyphs_are_painted_once_each() {
    let file = font("hostile/font-wide-glyphs.ttf");
    let result = drawn(&file, &"A".repeat(40), 3800.0);
    assert!(result.is_ok() || matches!(result, Err(Error::TooLarge { .. } | Error::Font(_))), "{result:?}");
    let many = drawn(&file, &"A".repeat(1000), 3800.0);
    assert!(matches!(many, Err(Error::Font(_) | Error::TooLarge { .. })), "{many:?}");
}

#[test]
fn shared_lookups_and_subtables_are_counted_each_time() {
    // 8,000 references to one lookup, with 8,000 references to one subtable.
    let count = 8000;
    let subtable_at = 6 + 2 * count;
    let lookup =
        [words(&[1, 0, count]), words(&vec![subtable_at; count]), words(&[1, 6, 0]), all_glyphs()].concat();
    let list = [words(&[count]), words(&vec![2 + 2 * count; count]), lookup].concat();
    let problem = refused(&latin_with(&[(b"GSUB", gsub(count, &list))]), "A");
    assert!(problem.contains("layout rules"), "{problem}");
}

#[test]
fn shared_rules_are_counted_each_time() {
    // One context with 20,000 references to one rule.
    let rules = 20_000;
    let rule = words(&[2, 0, 5]);
    let set = [words(&[rules]), words(&vec![2 + 2 * rules; rules]), rule].concat();
    let coverage = words(&[2, 1, 0, 999, 0]);
    let sets = 1000;
    let set_at = 6 + 2 * sets + coverage.len();
    let subtable = [words(&[1, 6 + 2 * sets, sets]), words(&vec![set_at; sets]), coverage, set].concat();
    let list = [words(&[1, 4]), words(&[5, 0, 1, 8]), subtable].concat();
    let problem = refused(&latin_with(&[(b"GSUB", gsub(1, &list))]), "A");
    assert!(problem.contains("layout rules"), "{problem}");
}

#[test]
fn lookups_that_call_each_other_are_counted() {
    // Each lookup's rule calls the next one 60 times, and the last the first: 60 to the power of 64.
    let count = 12;
    let mut list = words(&[count]);
    let mut bodies = vec![];
    let calls: usize = 60;
    for number in 0..count {
        let mut body = words(&[5, 0, 1, 8, 3, 1, calls, 8 + 4 * calls]);
        for _ in 0..calls {
            body.extend(words(&[0, (number + 1) % count]));
        }
        body.extend(all_glyphs());
        bodies.push(body);
    }
    let mut at = 2 + 2 * count;
    for body in &bodies {
        list.extend(words(&[at]));
        at += body.len();
    }
    list.extend(bodies.concat());
    let problem = refused(&latin_with(&[(b"GSUB", gsub(count, &list))]), "AAAA");
    assert!(problem.contains("layout rules"), "{problem}");
}

#[test]
fn substitutions_that_double_repeatedly_are_refused() {
    // 20 lookups that replace each glyph by two of it.
    let count = 20;
    let glyphs = 300;
    let coverage = words(&[2, 1, 0, glyphs - 1, 0]);
    let mut subtable = words(&[1, 6 + 2 * glyphs, glyphs]);
    let sequences_at = 6 + 2 * glyphs + coverage.len();
    for glyph in 0..glyphs {
        subtable.extend(words(&[sequences_at + 6 * glyph]));
    }
    subtable.extend(coverage);
    for glyph in 0..glyphs {
        subtable.extend(words(&[2, glyph, glyph]));
    }
    let lookup = [words(&[2, 0, 1, 8]), subtable].concat();
    let list = [words(&[count]), words(&vec![2 + 2 * count; count]), lookup].concat();
    let problem = refused(&latin_with(&[(b"GSUB", gsub(count, &list))]), "A");
    assert!(problem.contains("substitutions"), "{problem}");
}

/// latin.ttf with composite glyphs; `parts` returns the components of a glyph.
fn composites(parts: impl Fn(usize) -> Vec<usize>) -> Vec<u8> {
    let all = tables(&font("latin.ttf"));
    let table = |tag: &[u8; 4]| all.iter().find(|(known, _)| known == tag).unwrap().1.clone();
    let glyphs = usize::from(u16_at(&table(b"maxp"), 4));
    let (mut glyf, mut loca) = (vec![], vec![]);
    for glyph in 0..glyphs {
        loca.extend(u32::try_from(glyf.len()).unwrap().to_be_bytes());
        let components = parts(glyph);
        if components.is_empty() {
            // A triangle.
            glyf.extend(words(&[1, 0, 0, 100, 100, 2, 0]));
            glyf.extend([1, 1, 1]);
            glyf.extend(words(&[0, 50, 50, 0, 100, 100]));
            glyf.push(0);
            continue;
        }
        glyf.extend(words(&[0xffff, 0, 0, 100, 100]));
        for (position, component) in components.iter().enumerate() {
            let more = if position + 1 < components.len() { 0x20 } else { 0 };
            glyf.extend(words(&[2 | more, *component, 0]));
        }
    }
    loca.extend(u32::try_from(glyf.len()).unwrap().to_be_bytes());
    let mut head = table(b"head");
    head[50..52].copy_from_slice(&1_u16.to_be_bytes());
    latin_with(&[(b"glyf", glyf), (b"loca", loca), (b"head", head)])
}

#[test]
fn composite_glyphs_are_expanded_within_limits() {
    assert!(drawn(&composites(|glyph| if glyph < 5 { vec![] } else { vec![1, 2] }), "A", 40.0).is_ok());
    // Each glyph consists of 100 copies of the previous one.
    let problem = refused(&composites(|glyph| if glyph == 0 { vec![] } else { vec![glyph - 1; 100] }), "A");
    assert!(problem.contains("expands"), "{problem}");
    fn chain(glyph: usize) -> Vec<usize> {
        glyph.checked_sub(1).into_iter().collect()
    }
    fn circle(glyph: usize) -> Vec<usize> {
        vec![(glyph + 1) % 100]
    }
    for file in [composites(chain), composites(circle)] {
        let problem = refused(&file, "A");
        assert!(problem.contains("expands"), "{problem}");
    }
}

#[test]
fn glyphs_without_contours_have_no_points() {
    // In place of every glyph: no contours, a box, no instructions, then flags.
    let glyph = [words(&[0, 0, 0, 500, 500, 0]), words(&[0x0101; 4])].concat();
    let latin = tables(&font("latin.ttf"));
    let table = |name: &[u8; 4]| latin.iter().find(|(tag, _)| tag == name).unwrap().1.clone();
    let count = usize::from(u16_at(&table(b"maxp"), 4));
    let mut head = table(b"head");
    head[51] = 0;
    let loca: Vec<usize> = (0..=count).map(|i| i * glyph.len() / 2).collect();
    let font = latin_with(&[(b"glyf", glyph.repeat(count)), (b"loca", words(&loca)), (b"head", head)]);
    assert_eq!(refused(&font, "AV"), "its outlines are damaged");
}

#[test]
fn numbers_of_glyphs_have_16_bits() {
    let map = |format: usize, first: u32| {
        let mut cmap = words(&[0, 2, 3, 10, 0, 20, 3, 10, 0, 20, format, 0]);
        for number in [28, 0, 1, 0x41, 0x5A, first] {
            cmap.extend(u32::to_be_bytes(number));
        }
        latin_with(&[(b"cmap", cmap)])
    };
    for (format, first) in [(12, 0x1_0000), (12, u32::MAX - 3), (12, 0xFFFF - 24), (13, 0x1_0000)] {
        assert_eq!(refused(&map(format, first), "AV"), "its character map has glyph numbers above 65535");
    }
    for format in [12, 13] {
        assert!(drawn(&map(format, 20), "AV", 40.0).is_ok());
    }
}

#[test]
fn hinting_programs_do_not_run() {
    // A font program with an infinite loop.
    let program = vec![0xb8, 0xff, 0xfd, 0x1c];
    let mut maxp = tables(&font("latin.ttf")).into_iter().find(|(tag, _)| tag == b"maxp").unwrap().1;
    maxp[26..28].copy_from_slice(&1000_u16.to_be_bytes());
    let file = latin_with(&[(b"fpgm", program.clone()), (b"prep", program), (b"maxp", maxp)]);
    let plain = drawn(&font("latin.ttf"), "Whole", 40.0).unwrap();
    assert_eq!(drawn(&file, "Whole", 40.0), Ok(plain));
}

#[test]
fn compressed_fonts_have_their_sizes_checked_before_they_are_unpacked() {
    let mut woff = font("latin.woff");
    // The length of the first table.
    woff[44 + 12..44 + 16].copy_from_slice(&0x7fff_ffff_u32.to_be_bytes());
    assert!(refused(&woff, "A").contains("unpacks to more than 64 MiB"));
    let mut many = font("latin.woff");
    many[12..14].copy_from_slice(&5000_u16.to_be_bytes());
    assert!(refused(&many, "A").contains("5000 tables"));
    let mut many = font("latin.woff2");
    many[12..14].copy_from_slice(&5000_u16.to_be_bytes());
    assert!(refused(&many, "A").contains("5000 tables"));
}

#[test]
fn coordinates_far_away_give_no_picture() {
    let far = composites(|_| vec![]);
    let mut all = tables(&far);
    for (tag, table) in &mut all {
        if tag == b"glyf" {
            for point in table
                .windows(2)
                .enumerate()
                .filter(|(_, w)| *w == [0, 100])
                .map(|(at, _)| at)
                .collect::<Vec<_>>()
            {
                table[point..point + 2].copy_from_slice(&32_000_u16.to_be_bytes());
            }
        }
        if tag == b"head" {
            table[18..20].copy_from_slice(&16_u16.to_be_bytes());
        }
    }
    let result = drawn(&sfnt(all), "AAAA", 4000.0);
    assert!(matches!(result, Err(Error::TooLarge { .. })), "{result:?}");
}

#[test]
fn colour_layers_and_encodings_are_limited() {
    let mut all = tables(&font("colours.ttf"));
    // One base glyph with 60,000 references to one layer.
    let glyphs =
        all.iter().find(|(tag, _)| tag == b"maxp").map(|(_, maxp)| usize::from(u16_at(maxp, 4))).unwrap();
    let mut colr = words(&[0, glyphs, 0, 14, 0, 14 + 6 * glyphs, 60_000]);
    for glyph in 0..glyphs {
        colr.extend(words(&[glyph, 0, 60_000]));
    }
    colr.extend(words(&[1, 0]).repeat(60_000));
    all.retain(|(tag, _)| tag != b"COLR");
    all.push((*b"COLR", colr));
    assert!(refused(&sfnt(all), "\u{1f3f4}").contains("layers"));
    let cmap = words(&[0, 10_000]);
    let problem = refused(&latin_with(&[(b"cmap", [cmap, vec![0; 80_000]].concat())]), "A");
    assert!(problem.contains("encodings"), "{problem}");
}

#[test]
fn embedded_bitmaps_have_their_sizes_checked() {
    // One strike in which every glyph is a PNG of announced 50,000 × 50,000 pixels.
    let glyphs = usize::from(u16_at(
        &tables(&font("latin.ttf")).into_iter().find(|(tag, _)| tag == b"maxp").unwrap().1,
        4,
    ));
    let mut picture = words(&[0, 0]);
    picture.extend(b"png \x89PNG\r\n\x1a\n\0\0\0\rIHDR");
    picture.extend(50_000_u32.to_be_bytes());
    picture.extend(50_000_u32.to_be_bytes());
    picture.extend([8, 6, 0, 0, 0]);
    let first = 4 + 4 * (glyphs + 1);
    let mut strike = words(&[100, 72]);
    for glyph in 0..=glyphs {
        strike.extend(u32::try_from(first + glyph * picture.len()).unwrap().to_be_bytes());
    }
    strike.extend(picture.repeat(glyphs));
    let sbix = [words(&[1, 1, 0, 1, 0, 12]), strike].concat();
    let problem = refused(&latin_with(&[(b"sbix", sbix)]), "A");
    assert!(problem.contains("50000"), "{problem}");
}

#[test]
fn work_is_stopped_by_its_limits() {
    let mut work = Work::unlimited();
    work.cancel.cancel();
    let file = font("latin.ttf");
    assert!(matches!(Font::load(&file, &work), Err(Error::Work(work::Error::Cancelled))));
    work = Work::new(Budget::new(1000));
    assert!(matches!(Font::load(&file, &work), Err(Error::Work(work::Error::MemoryBudget { .. }))));
    work = Work::new(Budget::new(1 << 20));
    let fonts = [Font::load(&file, &work).unwrap()];
    let request = Request { fonts: &fonts, text: "Whole", size: 1000.0, colour: [0; 4] };
    let layout = Layout::new(&request, &Limits::default(), &work).unwrap();
    assert!(matches!(layout.paint(&work), Err(Error::Work(work::Error::MemoryBudget { .. }))));
    work.cancel.cancel();
    assert!(matches!(layout.paint(&work), Err(Error::Work(_))));
    drop((layout, fonts));
    assert_eq!(work.budget.used(), 0);
}
