//! A directory of originals. Nothing leaves it, by dots or by symbolic links.

use std::path::{Component, Path, PathBuf};
use std::time::UNIX_EPOCH;

/// A directory that sources resolve against.
#[derive(Debug, Clone)]
pub(crate) struct Directory {
    /// Canonical.
    root: PathBuf,
}

/// A file found in it.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) path: PathBuf,
    pub(crate) size: u64,
    /// An entity tag without quotes, from size and time of change.
    pub(crate) tag: String,
}

impl Directory {
    /// # Errors
    /// If it is not a directory that can be read.
    pub(crate) fn new(path: &Path) -> std::io::Result<Self> {
        let root = path.canonicalize()?;
        std::fs::read_dir(&root)?;
        Ok(Self { root })
    }

    /// The file behind a URL path (escaped, with or without a query), if there is one inside the directory. Blocks.
    pub(crate) fn find(&self, path: &str) -> Option<Found> {
        let path = path.split(['?', '#']).next().unwrap_or_default();
        let decoded = percent_encoding::percent_decode_str(path).decode_utf8().ok()?;
        let relative = Path::new(decoded.trim_start_matches('/'));
        if decoded.contains('\0') || !relative.components().all(|c| matches!(c, Component::Normal(_))) {
            return None;
        }
        let path = self.root.join(relative).canonicalize().ok()?;
        let meta = path.metadata().ok().filter(|m| path.starts_with(&self.root) && m.is_file())?;
        // Files may be older than the epoch, by mistake or on purpose.
        let changed = match meta.modified().ok()?.duration_since(UNIX_EPOCH) {
            Ok(after) => format!("{:x}", after.as_nanos()),
            Err(before) => format!("-{:x}", before.duration().as_nanos()),
        };
        Some(Found { path, size: meta.len(), tag: format!("{:x}-{changed}", meta.len()) })
    }
}
