//! `docs/dependencies.md` and the crates of `docs/architecture.md` match the manifests; no crate has a cycle between its files.

mod modules;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// How a crate uses another: only in tests and benches, only with a feature, or always.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Use {
    Tests,
    Optional,
    Always,
}

/// For each crate, the crates that it names and how it uses them.
type Uses = BTreeMap<String, BTreeMap<String, Use>>;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// What the manifests of `crates/`, `fuzz/` and `race-lab/` name.
fn manifests() -> Uses {
    let mut folders = vec!["fuzz".to_owned(), "race-lab".to_owned()];
    for entry in std::fs::read_dir(root().join("crates")).unwrap() {
        folders.push(format!("crates/{}", entry.unwrap().file_name().to_str().unwrap()));
    }
    folders.iter().map(|folder| manifest(&read(&format!("{folder}/Cargo.toml")))).collect()
}

/// The name of a crate, and what its manifest names.
fn manifest(text: &str) -> (String, BTreeMap<String, Use>) {
    let manifest: toml::Table = text.parse().unwrap();
    let name = manifest["package"]["name"].as_str().unwrap().to_owned();
    let targets = manifest.get("target").and_then(|targets| targets.as_table());
    let parts = targets.into_iter().flatten().filter_map(|(_, part)| part.as_table());
    let mut uses = BTreeMap::new();
    for part in std::iter::once(&manifest).chain(parts) {
        for section in ["dependencies", "build-dependencies", "dev-dependencies"] {
            for (dependency, wanted) in part.get(section).and_then(|s| s.as_table()).into_iter().flatten() {
                let optional = wanted.get("optional").and_then(toml::Value::as_bool) == Some(true);
                let how = match section {
                    "dev-dependencies" => Use::Tests,
                    _ if optional => Use::Optional,
                    _ => Use::Always,
                };
                assert!(wanted.get("package").is_none(), "{name} renames {dependency}");
                let known = uses.entry(dependency.clone()).or_insert(how);
                *known = how.max(*known);
            }
        }
    }
    uses.remove(&name);
    (name, uses)
}

/// The cells of the table that follows this line.
fn rows(document: &str, heading: &str) -> Vec<Vec<String>> {
    let (_, table) = document.split_once(&format!("\n{heading}\n")).unwrap_or_else(|| panic!("no {heading}"));
    let lines = table.lines().take_while(|line| line.starts_with('|')).skip(1);
    let cells = |line: &str| line.trim_matches('|').split(" | ").map(|cell| cell.trim().to_owned()).collect();
    lines.map(cells).collect()
}

/// The crates of a cell: `codecs, text (tests)`, or a dash for none.
fn named(cell: &str) -> BTreeMap<String, Use> {
    let one = |part: &str| {
        let (name, how) = part.split_once(' ').unwrap_or((part, ""));
        let how = match how {
            "" => Use::Always,
            "(optional)" => Use::Optional,
            "(tests)" => Use::Tests,
            other => panic!("{part:?}: {other:?} is neither (optional) nor (tests)"),
        };
        (name.trim_matches('`').to_owned(), how)
    };
    if cell == "—" { BTreeMap::new() } else { cell.split(", ").map(one).collect() }
}

#[test]
fn the_table_of_crates_names_every_use_of_our_own_crates() {
    let manifests = manifests();
    let ours = |uses: &BTreeMap<String, Use>| -> BTreeMap<String, Use> {
        uses.iter().filter(|(name, _)| manifests.contains_key(*name)).map(|(n, u)| (n.clone(), *u)).collect()
    };
    let expected: Uses = manifests.iter().map(|(name, uses)| (name.clone(), ours(uses))).collect();
    let heading = "| Crate | What it holds | What it must not know | Uses |";
    let rows = rows(&read("docs/architecture.md"), heading);
    let documented: Uses =
        rows.iter().map(|row| (row[0].trim_matches('`').to_owned(), named(&row[3]))).collect();
    assert_eq!(documented.len(), rows.len(), "a crate has two rows");
    assert_eq!(documented, expected);
}

#[test]
fn the_table_of_dependencies_is_that_of_the_manifests() {
    let manifests = manifests();
    let mut expected: Uses = BTreeMap::new();
    for (name, uses) in &manifests {
        for (dependency, how) in uses.iter().filter(|(dependency, _)| !manifests.contains_key(*dependency)) {
            expected.entry(dependency.clone()).or_default().insert(name.clone(), *how);
        }
    }
    let rows = rows(&read("docs/dependencies.md"), "| Crate | Used by | For | Why this one | Licence |");
    let mut listed = BTreeSet::new();
    for row in rows {
        assert_eq!(row.len(), 5, "{row:?}");
        assert!(row.iter().all(|cell| !cell.is_empty()), "{row:?}");
        // Crates that are used together share a row.
        let mut users: BTreeMap<String, Use> = BTreeMap::new();
        for name in row[0].split(", ") {
            assert!(listed.insert(name.to_owned()), "{name} has two rows");
            let uses = expected.get(name).unwrap_or_else(|| panic!("no manifest names {name}"));
            for (user, how) in uses {
                let known = users.entry(user.clone()).or_insert(*how);
                *known = (*how).max(*known);
            }
        }
        assert_eq!(named(&row[1]), users, "used by: {}", row[0]);
    }
    let missing: Vec<_> = expected.keys().filter(|name| !listed.contains(*name)).collect();
    assert!(missing.is_empty(), "without a row: {missing:?}");
}

#[test]
fn manifests_and_cells_are_read_as_cargo_and_people_read_them() {
    let text = "[package]\nname = \"a\"\n[dependencies]\nb = \"1\"\nc = { path = \"../c\", optional = true }\n\
                [dev-dependencies]\na = { path = \".\" }\nb = \"1\"\nd.workspace = true\n\
                [target.'cfg(unix)'.dependencies]\ne = \"1\"\n";
    let (name, uses) = manifest(text);
    assert_eq!((&*name, uses), ("a", named("b, `c` (optional), d (tests), e")));
    assert!(named("—").is_empty());
}

#[test]
fn no_crate_has_a_cycle_between_its_files() {
    let mut folders: Vec<PathBuf> = std::fs::read_dir(root().join("crates"))
        .unwrap()
        .map(|entry| entry.unwrap().path().join("src"))
        .collect();
    let others = ["race-lab/src", "race-lab/servers/shared", "fuzz/src"];
    folders.extend(others.iter().map(|folder| root().join(folder)));
    let mut found = String::new();
    for folder in folders {
        let sources = modules::sources(&folder);
        let unread = modules::unread(&sources);
        assert!(unread.is_empty(), "{}: no `mod` item names {unread:?}", folder.display());
        for cycle in modules::cycles(&sources) {
            let _ = writeln!(found, "a cycle in {}:", folder.display());
            for modules::Edge { from, to, path } in cycle {
                let _ = writeln!(found, "    {from} uses {to} ({path})");
            }
        }
    }
    assert!(found.is_empty(), "\n{found}");
}

/// The cycles of these files, each edge as `from to`.
fn cycles_of(files: &[(&str, &str)]) -> Vec<Vec<String>> {
    let sources = files.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
    let cycles = modules::cycles(&sources);
    let edge = |edge: modules::Edge| format!("{} {}", edge.from, edge.to);
    cycles.into_iter().map(|cycle| cycle.into_iter().map(edge).collect()).collect()
}

#[test]
fn cycles_are_found_in_every_form_of_a_path() {
    let both = [["a.rs b.rs", "b.rs a.rs"].map(str::to_owned).to_vec()];
    let root = "mod a;\nmod b;\npub use a::A;\n";
    for (a, b) in [
        ("use crate::b::B;", "use super::a::A;"),
        // Through the re-export of the root.
        ("use crate::b::B;", "use crate::A;"),
        ("use crate::{b::{self}}; fn f() { b::g() }", "fn g() -> crate::a::A { 'x' }"),
        ("use crate::b as other; fn f<'a>(x: &'a other::B) {}", "mod inner { use super::super::a::A; }"),
        ("pub use crate::b::B; struct A(B);", "pub(crate) use crate::a::A as C; type D = C;"),
    ] {
        assert_eq!(cycles_of(&[("lib.rs", root), ("a.rs", a), ("b.rs", b)]), both, "{a} | {b}");
    }
    // A parent may use the modules below it; a cycle through another file is found.
    let parent = [("main.rs", "mod a; mod c;"), ("a.rs", "mod b; use b::B; use crate::c::C;")];
    let child = ("a/b.rs", "use super::A;");
    assert_eq!(cycles_of(&[parent[0], parent[1], child, ("c.rs", "")]), [[""; 0]; 0]);
    let through = cycles_of(&[parent[0], parent[1], child, ("c.rs", "use crate::a::b::B;")]);
    assert_eq!(through, [["a.rs c.rs", "a/b.rs a.rs", "c.rs a/b.rs"]]);
}

#[test]
fn comments_texts_tests_and_reexports_make_no_cycle() {
    let root = "mod a;\nmod b;\n";
    for b in [
        "// use crate::a::A;",
        "/* /* */ use crate::a::A; */",
        r##"const X: &str = r#"use " crate::a::A;"#; const Y: &str = "\"crate::a::A"; const Z: char = '"';"##,
        "#[cfg(test)]\nmod tests {\n use crate::a::A; fn f() { if x { crate::a::g() } }\n}",
        "#[cfg(all(test, unix))]\nuse crate::a::A;",
        "pub use crate::a::A;",
        "use std::a::A; use a::A;",
    ] {
        let files = [("lib.rs", root), ("a.rs", "use crate::b::B;"), ("b.rs", b)];
        assert_eq!(cycles_of(&files), [[""; 0]; 0], "{b}");
    }
}
