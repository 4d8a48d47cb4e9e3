//! Files that match a pattern, including names that are not UTF-8, which `glob::glob` skips.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use glob::{Pattern, PatternError};
use walkdir::WalkDir;

/// Invalid bytes are mapped to private-use characters from here on.
const STRAY: u32 = 0x10_ff00;

/// Whether a name is a pattern.
pub(super) fn is_pattern(name: &OsStr) -> bool {
    name.as_bytes().iter().any(|b| matches!(b, b'*' | b'?' | b'['))
}

/// The paths that match `pattern`, sorted and without duplicates. Folders that cannot be listed are skipped.
pub(super) fn matching(pattern: &OsStr) -> Result<Vec<PathBuf>, PatternError> {
    // The parts between slashes are parsed below; some errors exist only in the whole pattern.
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
    // `**` finds a path more than once.
    found.sort();
    found.dedup();
    Ok(found)
}

/// A directory and all directories below it. Links are not followed, because they can form a loop.
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

/// A file name as text, without collisions: each invalid byte becomes its own private-use character.
fn readable(name: &OsStr) -> String {
    let mut text = String::new();
    for chunk in name.as_bytes().utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().filter_map(|byte| char::from_u32(STRAY + u32::from(*byte))));
    }
    text
}
