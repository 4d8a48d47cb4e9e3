//! The files that a pattern matches, whatever bytes their names have: `glob::glob` passes over those that are not UTF-8.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use glob::{Pattern, PatternError};
use walkdir::WalkDir;

/// Where the bytes that belong to no character stand among the characters, for private use as they are.
const STRAY: u32 = 0x10_ff00;

/// Whether a name is a pattern.
pub(super) fn is_pattern(name: &OsStr) -> bool {
    name.as_bytes().iter().any(|b| matches!(b, b'*' | b'?' | b'['))
}

/// The paths that `pattern` matches, each once and in order. What cannot be listed has none.
pub(super) fn matching(pattern: &OsStr) -> Result<Vec<PathBuf>, PatternError> {
    // Patterns end at slashes; what is wrong across them shows only in the whole.
    Pattern::new(&readable(pattern))?;
    let root = if pattern.as_bytes().starts_with(b"/") { "/" } else { "" };
    let mut found = vec![PathBuf::from(root)];
    for part in pattern.as_bytes().split(|b| *b == b'/').filter(|part| !part.is_empty() && *part != b".") {
        let part = OsStr::from_bytes(part);
        found = if part == "**" {
            found.iter().flat_map(|at| directories(at)).collect()
        } else if is_pattern(part) {
            let wanted = Pattern::new(&readable(part))?;
            let matches =
                |path: &PathBuf| path.file_name().is_some_and(|name| wanted.matches(&readable(name)));
            found.iter().flat_map(|at| entries(at)).filter(matches).collect()
        } else {
            found.iter().map(|at| at.join(part)).filter(|path| path.symlink_metadata().is_ok()).collect()
        };
    }
    // `**` comes by one path more than once.
    found.sort();
    found.dedup();
    Ok(found)
}

/// A directory and all below it. Links are not followed: they may lead back up.
fn directories(at: &Path) -> impl Iterator<Item = PathBuf> {
    let here = at.as_os_str().is_empty();
    let walk = WalkDir::new(if here { Path::new(".") } else { at });
    let found = walk.into_iter().filter_entry(|entry| entry.file_type().is_dir()).flatten();
    found.map(move |entry| {
        let path = entry.into_path();
        if here { path.strip_prefix(".").map_or_else(|_| path.clone(), Path::to_owned) } else { path }
    })
}

fn entries(directory: &Path) -> Vec<PathBuf> {
    let here = directory.as_os_str().is_empty();
    let listed = fs::read_dir(if here { Path::new(".") } else { directory });
    listed.into_iter().flatten().flatten().map(|entry| directory.join(entry.file_name())).collect()
}

/// A name as text, in which other names have other texts: a byte of no character becomes a character of its own.
fn readable(name: &OsStr) -> String {
    let mut text = String::new();
    for chunk in name.as_bytes().utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().filter_map(|byte| char::from_u32(STRAY + u32::from(*byte))));
    }
    text
}
