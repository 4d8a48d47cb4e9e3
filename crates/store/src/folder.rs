//! The folder tier: one file for each entry, an index in memory, eviction by weight, and a lock that excludes other
//! processes.

use std::fs::{File, TryLockError};
use std::path::{Path as FilePath, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use object_store::ObjectStoreExt;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use quick_cache::sync::Cache;
use quick_cache::{DefaultHashBuilder, Lifecycle, OptionsBuilder, Weighter};
use tokio::sync::Mutex;

use crate::blobs::{Accept, Blobs, Reserve};
use crate::entry::{Entry, GROUP_BYTES, Key};
use crate::error::{Error, is_full};
use crate::frame;
use crate::stats::TierStats;
use crate::walk::{Listed, ListedEntry, Walk};
use crate::warning::RateLimitedWarning;

/// The block size of the disk: a file takes a multiple of it.
const BLOCK: u64 = 4096;
/// The expected size of an entry, from which the capacity of the index follows.
const TYPICAL_ENTRY: u64 = 64 << 10;
const LOCK_FILE: &str = "wholeplate.lock";
/// The tier owns every file below this folder.
const BLOBS: &str = "blobs";
/// Files that the rebuild handles before it releases the lock for writers.
const REBUILD_BATCH: usize = 256;
/// On a full disk, one of so many entries is removed.
const FULL_DISK_SHARE: usize = 8;

/// Entries in a folder.
#[derive(Debug)]
pub struct FolderTier {
    files: LocalFileSystem,
    root: PathBuf,
    /// Maps each entry to its stored size.
    index: Cache<Key, u64, FileWeight, DefaultHashBuilder, CollectEvicted>,
    /// Held while a task changes index and files, which keeps the two consistent.
    changes: Mutex<()>,
    /// Set when the index contains all files.
    complete: AtomicBool,
    stats: TierStats,
    warning: RateLimitedWarning,
    capacity: u64,
    /// Locked while the process lives.
    _lock: File,
}

#[derive(Debug, Clone)]
struct FileWeight;

impl Weighter<Key, u64> for FileWeight {
    fn weight(&self, _key: &Key, len: &u64) -> u64 {
        len.div_ceil(BLOCK).max(1) * BLOCK
    }
}

/// Collects evicted keys; the caller removes their files.
#[derive(Debug, Clone)]
struct CollectEvicted;

impl Lifecycle<Key, u64> for CollectEvicted {
    type RequestState = Vec<Key>;

    fn begin_request(&self) -> Vec<Key> {
        Vec::new()
    }

    fn on_evict(&self, evicted: &mut Vec<Key>, key: Key, _len: u64) {
        evicted.push(key);
    }
}

impl FolderTier {
    /// Opens or creates a folder for at most `capacity` bytes of entries, plus one that is being written. Call
    /// [`rebuild`](Self::rebuild) next, in the background.
    ///
    /// # Errors
    /// If the folder cannot be written, or another process uses it.
    pub fn open(folder: &FilePath, capacity: u64) -> Result<Self, Error> {
        let problem = |problem: String| Error::Folder { folder: folder.display().to_string(), problem };
        let blobs = folder.join(BLOBS);
        std::fs::create_dir_all(&blobs).map_err(|e| problem(format!("cannot be made: {e}")))?;
        let lock = File::options().create(true).truncate(false).write(true).open(folder.join(LOCK_FILE));
        let lock = lock.map_err(|e| problem(format!("cannot be written: {e}")))?;
        lock.try_lock().map_err(|e| match e {
            TryLockError::WouldBlock => problem("is used by another process".to_owned()),
            TryLockError::Error(e) => problem(format!("cannot be locked: {e}")),
        })?;
        match tempfile_in(&blobs) {
            Ok(()) => {}
            // Its own entries may have filled the disk; the first write makes room.
            Err(e) if is_full(&e) => tracing::warn!("cache: the disk of {} is full", folder.display()),
            Err(e) => return Err(problem(format!("cannot be written: {e}"))),
        }
        let files = LocalFileSystem::new_with_prefix(&blobs).map_err(|e| problem(e.to_string()))?;
        let items = usize::try_from(capacity / TYPICAL_ENTRY).unwrap_or(usize::MAX).clamp(64, 1 << 20);
        let options = OptionsBuilder::new()
            .shards(1)
            .weight_capacity(capacity)
            .estimated_items_capacity(items)
            .build()
            .map_err(|e| problem(e.to_string()))?;
        Ok(Self {
            files: files.with_automatic_cleanup(true),
            root: blobs,
            index: Cache::with_options(options, FileWeight, DefaultHashBuilder::default(), CollectEvicted),
            changes: Mutex::new(()),
            complete: AtomicBool::new(false),
            stats: TierStats::default(),
            warning: RateLimitedWarning::new("disk"),
            capacity,
            _lock: lock,
        })
    }

    /// Adds the entries of the folder to the index, oldest first, and removes other files. What cannot be read is counted
    /// and left out. [`get`](Blobs::get) also finds entries that are not in the index yet.
    pub async fn rebuild(&self) {
        let mut found = Vec::new();
        let mut strays = 0;
        let mut walk = Walk::new(&self.root, self.root.clone());
        while let Some(batch) = walk.next().await {
            // No write is under way that the file could be of.
            let _changes = self.changes.lock().await;
            for listed in batch {
                match listed {
                    Listed::Entry(entry) => found.push(entry),
                    Listed::Stray(path) => strays += usize::from(tokio::fs::remove_file(path).await.is_ok()),
                    Listed::Failed(e) => self.failed(&e.into()),
                }
            }
        }
        if strays > 0 {
            tracing::info!(files = strays, "cache: removed files that are not entries");
        }
        found.sort_unstable();
        for batch in found.chunks(REBUILD_BATCH) {
            let _changes = self.changes.lock().await;
            for ListedEntry { key, len, .. } in batch {
                // An entry that was written during the rebuild is newer.
                if self.index.peek(key).is_none() {
                    let evicted = self.index.insert_with_lifecycle(*key, *len);
                    self.delete_evicted(evicted).await;
                }
            }
        }
        self.complete.store(true, Ordering::Release);
    }

    /// Whether the index contains every file.
    #[must_use]
    pub fn is_rebuilt(&self) -> bool {
        self.complete.load(Ordering::Acquire)
    }

    fn path(key: &Key) -> Path {
        Path::from(key.path())
    }

    fn failed(&self, error: &Error) {
        TierStats::count(&self.stats.errors);
        self.warning.warn(error);
    }

    async fn delete_evicted(&self, evicted: Vec<Key>) {
        for key in evicted {
            TierStats::count(&self.stats.evictions);
            if let Err(e) = self.delete_file(&key).await {
                self.failed(&e);
            }
        }
    }

    async fn delete_file(&self, key: &Key) -> Result<(), Error> {
        match self.files.delete(&Self::path(key)).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(e) => Err(e.into()),
        }
    }

    /// Removes an entry unless `accept` takes its head.
    async fn retain_one(&self, entry: &ListedEntry, accept: Accept<'_>) -> Result<(), Error> {
        let beginning = 0..entry.len.min((frame::HEADER + Entry::MAX_HEAD) as u64);
        let Ok(beginning) = self.files.get_range(&Self::path(&entry.key), beginning).await else {
            return Ok(());
        };
        if frame::peek_head(&beginning).is_ok_and(|head| accept(&head)) {
            return Ok(());
        }
        self.remove(&entry.key).await
    }

    /// Removes some entries, because the disk is full below the capacity of the tier.
    async fn make_room(&self) {
        let count = (self.index.len() / FULL_DISK_SHARE).max(1);
        let keys: Vec<Key> = self.index.iter().map(|(key, _)| key).take(count).collect();
        for key in &keys {
            self.index.remove(key);
        }
        self.delete_evicted(keys).await;
    }

    async fn read(&self, key: &Key, reserve: &dyn Reserve) -> Result<Option<Entry>, Error> {
        let found = match self.files.get(&Self::path(key)).await {
            Ok(found) => found,
            Err(object_store::Error::NotFound { .. }) => return Ok(None),
            Err(e) => return Err(e.into()),
        };
        let len = usize::try_from(found.meta.size).unwrap_or(usize::MAX);
        if found.meta.size > self.capacity {
            return Err(Error::TooLarge(len));
        }
        let permit = reserve.reserve(len).await.ok_or(Error::Memory(len))?;
        let stored = found.bytes().await?;
        frame::decode_reserved(stored, permit, *key).await.map(Some)
    }
}

#[async_trait]
impl Blobs for FolderTier {
    async fn get(&self, key: &Key, reserve: &dyn Reserve) -> Result<Option<Entry>, Error> {
        // Counts as a use, even if the file is damaged.
        if self.index.get(key).is_none() && self.is_rebuilt() {
            return Ok(None);
        }
        let done = self.read(key, reserve).await;
        match &done {
            Err(Error::Damaged(_)) => {
                TierStats::count(&self.stats.damaged);
                let _ = self.remove(key).await;
            }
            Err(Error::Memory(_)) | Ok(Some(_)) => {}
            // The file was removed from outside, or is being written.
            Ok(None) => {
                if let Ok(_changes) = self.changes.try_lock() {
                    self.index.remove(key);
                }
            }
            Err(e) => self.failed(e),
        }
        done
    }

    async fn put(&self, key: Key, entry: Entry) -> Result<(), Error> {
        let len = frame::stored_len(&entry);
        if entry.head.len() > Entry::MAX_HEAD || len > self.capacity / 2 {
            return Err(Error::TooLarge(entry.len()));
        }
        let payload = tokio::task::spawn_blocking(move || frame::encode(&key, &entry));
        let payload = payload.await.map_err(object_store::Error::from)?;
        let _changes = self.changes.lock().await;
        // Evict before the write: the folder never exceeds its capacity by more than the entry that is being written.
        let mut evicted = self.index.insert_with_lifecycle(key, len);
        // An older file under this key is replaced, not evicted: readers find one or the other.
        evicted.retain(|other| *other != key);
        self.delete_evicted(evicted).await;
        let done = self.files.put(&Self::path(&key), payload).await;
        if let Err(e) = done {
            let e = Error::from(e);
            self.failed(&e);
            self.index.remove(&key);
            // An older file under this key is out of date.
            let _ = self.delete_file(&key).await;
            if e.is_disk_full() {
                self.make_room().await;
            }
            return Err(e);
        }
        if self.index.peek(&key).is_none() {
            self.delete_file(&key).await?;
        }
        Ok(())
    }

    async fn remove(&self, key: &Key) -> Result<(), Error> {
        let _changes = self.changes.lock().await;
        self.index.remove(key);
        self.delete_file(key).await.inspect_err(|e| self.failed(e))
    }

    async fn remove_group(&self, group: &[u8; GROUP_BYTES]) -> Result<(), Error> {
        let mut walk = Walk::new(&self.root, self.root.join(Key::group_path(group)));
        let mut done = Ok(());
        while let Some(batch) = walk.next().await {
            for listed in batch {
                done = done.and(match listed {
                    Listed::Entry(entry) => self.remove(&entry.key).await,
                    Listed::Stray(_) => Ok(()),
                    Listed::Failed(e) => Err(e.into()),
                });
            }
        }
        done
    }

    async fn retain(&self, accept: Accept<'_>) -> Result<(), Error> {
        // List the folder, because the index may be incomplete.
        let mut walk = Walk::new(&self.root, self.root.clone());
        let mut done = Ok(());
        while let Some(batch) = walk.next().await {
            for listed in batch {
                done = done.and(match listed {
                    Listed::Entry(entry) => self.retain_one(&entry, accept).await,
                    Listed::Stray(_) => Ok(()),
                    Listed::Failed(e) => Err(e.into()),
                });
            }
        }
        done
    }

    fn stats(&self) -> &TierStats {
        self.stats.entries.store(self.index.len() as u64, Ordering::Relaxed);
        self.stats.bytes.store(self.index.weight(), Ordering::Relaxed);
        &self.stats
    }
}

/// Checks that files can be created in a folder.
fn tempfile_in(folder: &FilePath) -> std::io::Result<()> {
    let probe = folder.join("write-probe");
    let written = std::fs::write(&probe, b"x");
    let removed = std::fs::remove_file(probe);
    written.and(removed)
}
