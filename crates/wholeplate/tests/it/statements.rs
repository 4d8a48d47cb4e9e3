//! A test names each numbered statement of the specification, or `docs/compatibility.md` gives the reason why none does.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// All numbers, including those of hosted images (BND-080 to BND-097).
const STATEMENTS: &[(&str, &[std::ops::RangeInclusive<u16>])] = &[
    (
        "URL",
        &[
            1..=22,
            30..=55,
            60..=76,
            80..=88,
            90..=97,
            100..=118,
            120..=130,
            140..=148,
            150..=158,
            160..=171,
            180..=184,
            190..=201,
        ],
    ),
    ("BND", &[1..=16, 20..=45, 50..=64, 70..=78, 80..=98]),
    ("CAC", &[1..=23, 30..=37, 40..=44, 50..=52, 60..=62, 70..=70]),
    ("OPS", &[1..=8, 10..=14, 20..=23, 30..=37, 40..=41, 50..=54, 60..=61]),
];

fn all() -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    for (kind, ranges) in STATEMENTS {
        for number in ranges.iter().cloned().flatten() {
            all.insert(format!("{kind}-{number:03}"));
        }
    }
    all
}

/// The numbers in a text. A range ("URL-030 … URL-043") contains all numbers in between.
fn named(text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for kind in STATEMENTS.iter().map(|(kind, _)| *kind) {
        let mut last: Option<(usize, u16)> = None;
        for (at, _) in text.match_indices(&format!("{kind}-")) {
            let start = at + kind.len() + 1;
            let Some(number) = text.get(start..start + 3).and_then(|n| n.parse::<u16>().ok()) else {
                continue;
            };
            if let Some((end, first)) = last
                && text[end..at].trim() == "…"
            {
                found.extend((first..number).map(|n| format!("{kind}-{n:03}")));
            }
            found.insert(format!("{kind}-{number:03}"));
            last = Some((start + 3, number));
        }
    }
    found
}

/// Source files with tests, end-to-end tests and conformance cases, without this file, which names only ranges.
fn read_tests(directory: &Path, texts: &mut Vec<String>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy();
        if path.is_dir() {
            if !matches!(&*name, "node_modules" | "target" | "sources" | "fonts") {
                read_tests(&path, texts);
            }
        } else if name == "case.toml" || name.ends_with(".mjs") {
            texts.push(std::fs::read_to_string(&path).unwrap());
        } else if name.ends_with(".rs") && name != "statements.rs" {
            let text = std::fs::read_to_string(&path).unwrap();
            if path.components().any(|c| c.as_os_str() == "tests") {
                texts.push(text);
            } else if let Some((_, tests)) = text.split_once("#[cfg(test)]") {
                texts.push(tests.to_owned());
            }
        }
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The numbers that the tests below these folders name.
fn tested(folders: &[&str]) -> BTreeSet<String> {
    let mut texts = Vec::new();
    for folder in folders {
        read_tests(&root().join(folder), &mut texts);
    }
    texts.iter().flat_map(|text| named(text)).collect()
}

/// The numbers for which a document says why they have no test.
fn excused() -> BTreeSet<String> {
    let document = std::fs::read_to_string(root().join("docs/compatibility.md")).unwrap();
    named(document.split_once("## Statements without a test of their own").unwrap().1)
}

#[test]
fn every_statement_has_a_test_or_a_reason() {
    let tested = tested(&["crates", "e2e/tests", "conformance"]);
    let (all, excused) = (all(), excused());
    let missing: Vec<_> = all.iter().filter(|s| !tested.contains(*s) && !excused.contains(*s)).collect();
    let unknown: Vec<_> = tested.union(&excused).filter(|s| !all.contains(*s)).collect();
    assert!(missing.is_empty(), "neither tested nor listed in docs/compatibility.md: {missing:?}");
    assert!(unknown.is_empty(), "there are no such statements: {unknown:?}");
}

/// Operators meet the whole program.
#[test]
fn operation_is_tested_with_the_program() {
    let (tested, excused) = (tested(&["crates/wholeplate/tests/it", "e2e/tests"]), excused());
    let all = all();
    let missing: Vec<_> = all
        .iter()
        .filter(|s| s.starts_with("OPS-") && !tested.contains(*s) && !excused.contains(*s))
        .collect();
    assert!(missing.is_empty(), "no test of the program names {missing:?}");
}

#[test]
fn ranges_name_all_that_lies_between() {
    let found = named("// URL-030 … URL-032, URL-050; BND-080 … BND-082");
    let expected = ["BND-080", "BND-081", "BND-082", "URL-030", "URL-031", "URL-032", "URL-050"];
    assert_eq!(found.into_iter().collect::<Vec<_>>(), expected);
}
