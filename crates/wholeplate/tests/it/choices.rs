//! `docs/compatibility.md` lists every choice with its constant and file.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// The public constants of a file, without those of its tests.
fn constants(text: &str) -> BTreeSet<String> {
    let code = text.split("#[cfg(test)]").next().unwrap_or_default();
    let names = code.lines().filter_map(|line| {
        let declaration =
            line.strip_prefix("pub const ").or_else(|| line.strip_prefix("pub(crate) const "))?;
        declaration.split(':').next().filter(|name| !name.starts_with("fn ")).map(str::to_owned)
    });
    names.collect()
}

#[test]
fn every_choice_is_listed_with_its_file() {
    let docs = read(&root().join("docs/compatibility.md"));
    let mut unlisted = vec![];
    let mut files = 0;
    for name in ["recipe", "imaging", "codecs", "wholeplate"] {
        let relative = format!("crates/{name}/src/choices.rs");
        let path = root().join(&relative);
        if !path.exists() {
            continue;
        }
        files += 1;
        for constant in constants(&read(&path)) {
            if !docs.contains(&format!("[`{constant}`](../{relative})")) {
                unlisted.push(format!("{constant} of {relative}"));
            }
        }
    }
    assert!(files >= 2);
    assert_eq!(unlisted, Vec::<String>::new(), "docs/compatibility.md has no link to these");
}

#[test]
fn every_listed_constant_is_in_its_file() {
    let docs = read(&root().join("docs/compatibility.md"));
    let mut found = 0;
    for (start, _) in docs.match_indices("](../crates/") {
        let constant = docs[..start].rsplit("[`").next().unwrap_or_default().trim_end_matches('`');
        let path = docs[start + 5..].split(')').next().unwrap_or_default();
        if constant.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_') {
            found += 1;
            assert!(constants(&read(&root().join(path))).contains(constant), "{constant} is not in {path}");
        }
    }
    assert!(found > 40, "{found} links");
}
