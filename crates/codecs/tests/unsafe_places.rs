//! `docs/architecture.md` lists every file with `unsafe` code, and only files named `ffi.rs` call C libraries.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Rust files below the source folders of all crates: path from the root, and text without comments.
fn sources() -> Vec<(String, String)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(root().join("crates")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let mut folders = vec![format!("crates/{name}/src")];
        while let Some(folder) = folders.pop() {
            let Ok(entries) = fs::read_dir(root().join(&folder)) else { continue };
            for entry in entries {
                let entry = entry.unwrap();
                let path = format!("{folder}/{}", entry.file_name().to_str().unwrap());
                if entry.file_type().unwrap().is_dir() {
                    folders.push(path);
                } else if path.ends_with(".rs") {
                    let text = fs::read_to_string(entry.path()).unwrap();
                    let code = |line: &str| line.split("//").next().unwrap_or_default().to_owned();
                    let code: Vec<String> = text.lines().map(code).collect();
                    found.push((path, code.join("\n")));
                }
            }
        }
    }
    assert!(found.len() > 100, "the source folders were not found");
    found
}

fn has_unsafe(code: &str) -> bool {
    code.split("unsafe").skip(1).any(|rest| {
        let rest = rest.trim_start();
        ["{", "fn ", "impl ", "extern "].iter().any(|word| rest.starts_with(word))
    })
}

#[test]
fn the_documented_files_are_the_files_with_unsafe_code() {
    let document = fs::read_to_string(root().join("docs/architecture.md")).unwrap();
    let (_, section) = document.split_once("\n## Where `unsafe` stands\n").expect("the section");
    let section = section.split("\n## ").next().unwrap();
    let documented: BTreeSet<String> = section
        .lines()
        .filter_map(|line| line.strip_prefix("| `"))
        .map(|line| line.split('`').next().unwrap().to_owned())
        .collect();
    let found: BTreeSet<String> =
        sources().into_iter().filter(|(_, code)| has_unsafe(code)).map(|(path, _)| path).collect();
    assert_eq!(found, documented);
}

#[test]
fn c_libraries_are_called_in_files_named_ffi() {
    for (path, code) in sources() {
        for library in ["mozjpeg_sys", "libaom_sys", "libwebp_sys"] {
            assert!(!code.contains(library) || path.ends_with("/ffi.rs"), "{path} names {library}");
        }
    }
}

#[test]
fn unsafe_code_is_distinguished_from_the_word() {
    for code in
        ["unsafe { f() }", "pub unsafe fn f()", "unsafe extern \"C\" fn f()", "let x = unsafe\n{ 1 };"]
    {
        assert!(has_unsafe(code), "{code}");
    }
    for code in ["#![forbid(unsafe_code)]", "let unsafe_name = 1;", "\"unsafe-inline\""] {
        assert!(!has_unsafe(code), "{code}");
    }
}
