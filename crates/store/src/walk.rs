//! The files of a folder tier. The listing of `object_store` follows links and ends at the first name that it cannot
//! express, with all that comes after it unseen.

use std::fs::{DirEntry, ReadDir};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::entry::Key;

/// Files that are listed before the caller handles them.
const BATCH: usize = 256;

/// An entry as the folder has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ListedEntry {
    pub(crate) modified: SystemTime,
    pub(crate) key: Key,
    pub(crate) len: u64,
}

/// What is below a folder.
#[derive(Debug)]
pub(crate) enum Listed {
    Entry(ListedEntry),
    /// Not a file of the tier, or one of an interrupted write (`NAME#N`).
    Stray(PathBuf),
    Failed(std::io::Error),
}

/// Lists a folder in batches, on blocking threads. Links are not followed, and errors do not end it.
#[derive(Debug, Default)]
pub(crate) struct Walk {
    root: PathBuf,
    /// Folders that were not opened yet.
    folders: Vec<PathBuf>,
    open: Option<ReadDir>,
}

impl Walk {
    /// Lists what is below `folder`, a part of the tier in `root`.
    pub(crate) fn new(root: &Path, folder: PathBuf) -> Self {
        Self { root: root.to_owned(), folders: vec![folder], open: None }
    }

    /// The next files; `None` at the end.
    pub(crate) async fn next(&mut self) -> Option<Vec<Listed>> {
        let mut walk = std::mem::take(self);
        let listed = tokio::task::spawn_blocking(move || {
            let mut batch = Vec::with_capacity(BATCH);
            while batch.len() < BATCH
                && let Some(listed) = walk.step()
            {
                batch.extend(listed);
            }
            (walk, batch)
        });
        let (walk, batch) = listed.await.ok()?;
        *self = walk;
        (!batch.is_empty()).then_some(batch)
    }

    /// One file or folder; `None` at the end.
    fn step(&mut self) -> Option<Option<Listed>> {
        let Some(open) = &mut self.open else {
            let folder = self.folders.pop()?;
            return match std::fs::read_dir(&folder) {
                Ok(open) => {
                    self.open = Some(open);
                    Some(None)
                }
                // Removed meanwhile, or there is nothing of a group.
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => Some(None),
                Err(e) => Some(Some(Listed::Failed(e))),
            };
        };
        match open.next() {
            None => {
                self.open = None;
                Some(None)
            }
            Some(Err(e)) => {
                // The next call may fail in the same way.
                self.open = None;
                Some(Some(Listed::Failed(e)))
            }
            Some(Ok(file)) => Some(self.listed(&file)),
        }
    }

    fn listed(&mut self, file: &DirEntry) -> Option<Listed> {
        let path = file.path();
        // Of the link, not of what it names.
        let meta = match file.metadata() {
            Ok(meta) => meta,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return None,
            Err(e) => return Some(Listed::Failed(e)),
        };
        if meta.is_dir() {
            self.folders.push(path);
            return None;
        }
        let name = path.strip_prefix(&self.root).ok().and_then(Path::to_str);
        // Exactly where the tier would look for it.
        let key = name.and_then(|name| Key::of_path(name).filter(|key| key.path() == name));
        Some(match key.filter(|_| meta.is_file()) {
            Some(key) => {
                let modified = meta.modified().unwrap_or(SystemTime::UNIX_EPOCH);
                Listed::Entry(ListedEntry { modified, key, len: meta.len() })
            }
            None => Listed::Stray(path),
        })
    }
}
