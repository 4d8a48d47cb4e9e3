//! `docs/dependencies.md` and the crates of `docs/architecture.md` say what the manifests say.

use std::collections::{BTreeMap, BTreeSet};
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
