//! Memory, folder and bucket combined: read in this order; folder and bucket are written in the background.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::blobs::{Accept, Blobs, Reserve};
use crate::bucket::BucketTier;
use crate::entry::{Entry, GROUP_BYTES, Key};
use crate::error::Error;
use crate::folder::FolderTier;
use crate::memory::MemoryTier;
use crate::stats::TierStats;
use crate::writer::{Still, Writer};

/// Concurrent writes to a bucket.
const BUCKET_WRITES: usize = 4;

/// The name of a tier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Tier {
    Memory,
    Folder,
    Bucket,
}

/// An entry and the tier that it came from.
#[derive(Debug, Clone)]
pub struct Found {
    pub entry: Entry,
    pub tier: Tier,
}

/// The configuration of the tiers.
#[derive(Debug)]
pub struct TierOptions {
    /// Capacity of the memory tier in bytes.
    pub memory: usize,
    pub folder: Option<FolderTier>,
    pub bucket: Option<BucketTier>,
    /// Bytes that may be queued for each slow tier.
    pub max_waiting: usize,
}

/// The tiers, from fast to slow.
#[derive(Debug)]
pub struct Tiers {
    memory: MemoryTier,
    folder: Option<(Arc<FolderTier>, Writer)>,
    bucket: Option<(Arc<BucketTier>, Writer)>,
    /// Writes that were dropped because the queue of a tier was full.
    dropped_writes: AtomicU64,
}

impl Tiers {
    /// Starts the writers and the rebuild of the folder's index. Call it inside a tokio runtime.
    #[must_use]
    pub fn start(options: TierOptions) -> Self {
        let TierOptions { memory, folder, bucket, max_waiting } = options;
        let folder = folder.map(|folder| {
            let folder = Arc::new(folder);
            let rebuilding = Arc::clone(&folder);
            tokio::spawn(async move { rebuilding.rebuild().await });
            let writer = Writer::start(Arc::clone(&folder) as Arc<dyn Blobs>, 1, max_waiting);
            (folder, writer)
        });
        let bucket = bucket.map(|bucket| {
            let bucket = Arc::new(bucket);
            let writer = Writer::start(Arc::clone(&bucket) as Arc<dyn Blobs>, BUCKET_WRITES, max_waiting);
            (bucket, writer)
        });
        Self { memory: MemoryTier::new(memory), folder, bucket, dropped_writes: AtomicU64::new(0) }
    }

    /// An entry in memory, without waiting.
    pub fn get_now(&self, key: &Key, accept: Accept<'_>) -> Option<Entry> {
        let entry = self.memory.lookup(key)?;
        if accept(&entry.head) {
            return Some(entry);
        }
        self.memory.delete(key);
        None
    }

    /// The first accepted entry under a key. It is copied to the faster tiers. A tier that fails counts as empty.
    pub async fn get(&self, key: &Key, accept: Accept<'_>, reserve: &dyn Reserve) -> Option<Found> {
        match self.get_near(key, accept, reserve).await {
            Some(found) => Some(found),
            None => self.get_far(key, accept, reserve).await,
        }
    }

    /// Like [`get`](Self::get), from memory and the folder only.
    pub async fn get_near(&self, key: &Key, accept: Accept<'_>, reserve: &dyn Reserve) -> Option<Found> {
        if let Some(entry) = self.get_now(key, accept) {
            return Some(Found { entry, tier: Tier::Memory });
        }
        if let Some((folder, _)) = &self.folder
            && let Ok(Some(entry)) = folder.get(key, reserve).await
        {
            if accept(&entry.head) {
                self.memory.insert(*key, &entry);
                return Some(Found { entry, tier: Tier::Folder });
            }
            let _ = folder.remove(key).await;
        }
        None
    }

    /// Like [`get`](Self::get), from the bucket only.
    pub async fn get_far(&self, key: &Key, accept: Accept<'_>, reserve: &dyn Reserve) -> Option<Found> {
        let (bucket, _) = self.bucket.as_ref()?;
        let entry = bucket.get(key, reserve).await.ok().flatten().filter(|entry| accept(&entry.head))?;
        self.memory.insert(*key, &entry);
        if let Some((_, writer)) = &self.folder {
            self.queue(writer, *key, entry.clone(), Arc::new(|| true));
        }
        Some(Found { entry, tier: Tier::Bucket })
    }

    /// Stores an entry: in memory at once, in the slower tiers in the background. `still` is called before and after each
    /// write; if it returns false, the entry is not kept.
    // The writers keep clones of `still`; callers make one for each entry.
    #[allow(clippy::needless_pass_by_value)]
    pub fn put(&self, key: Key, entry: &Entry, still: Still) {
        if !still() {
            return;
        }
        self.memory.insert(key, entry);
        if !still() {
            self.memory.delete(&key);
            return;
        }
        for writer in self.writers() {
            self.queue(writer, key, entry.clone(), Arc::clone(&still));
        }
    }

    fn queue(&self, writer: &Writer, key: Key, entry: Entry, still: Still) {
        if !writer.put(key, entry, still) {
            self.dropped_writes.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn writers(&self) -> impl Iterator<Item = &Writer> {
        let folder = self.folder.as_ref().map(|(_, writer)| writer);
        folder.into_iter().chain(self.bucket.as_ref().map(|(_, writer)| writer))
    }

    /// Waits until all queued writes have finished.
    pub async fn flush(&self) {
        for writer in self.writers() {
            writer.flush().await;
        }
    }

    /// Whether any tier accepts an entry of this size.
    #[must_use]
    pub fn keeps(&self, bytes: usize) -> bool {
        self.folder.is_some() || self.bucket.is_some() || bytes <= self.memory.max_entry()
    }

    /// Removes an entry from all tiers.
    pub async fn remove(&self, key: &Key) {
        self.memory.delete(key);
        for tier in self.slow() {
            let _ = tier.remove(key).await;
        }
    }

    /// Removes all entries of a group from all tiers.
    ///
    /// # Errors
    /// The error of the first tier that failed. The other tiers are cleared anyway.
    pub async fn remove_group(&self, group: &[u8; GROUP_BYTES]) -> Result<(), Error> {
        self.memory.retain_if(|key, _| key.group != *group);
        let mut done = Ok(());
        for tier in self.slow() {
            done = done.and(tier.remove_group(group).await);
        }
        done
    }

    /// Removes the entries that `accept` rejects from memory, at once.
    pub fn retain_in_memory(&self, accept: Accept<'_>) {
        self.memory.retain_if(|_, entry| accept(&entry.head));
    }

    /// Removes the entries that `accept` rejects from folder and bucket. Reads every head.
    ///
    /// # Errors
    /// The error of the first tier that failed. The other tiers are cleared anyway.
    pub async fn retain_in_slow_tiers(&self, accept: Accept<'_>) -> Result<(), Error> {
        let mut done = Ok(());
        for tier in self.slow() {
            done = done.and(tier.retain(accept).await);
        }
        done
    }

    /// Like [`retain_in_slow_tiers`](Self::retain_in_slow_tiers), for the folder only.
    ///
    /// # Errors
    /// If an entry could not be read or removed.
    pub async fn retain_in_folder(&self, accept: Accept<'_>) -> Result<(), Error> {
        match &self.folder {
            Some((folder, _)) => folder.retain(accept).await,
            None => Ok(()),
        }
    }

    fn slow(&self) -> impl Iterator<Item = &dyn Blobs> {
        let folder = self.folder.as_ref().map(|(folder, _)| &**folder as &dyn Blobs);
        folder.into_iter().chain(self.bucket.as_ref().map(|(bucket, _)| &**bucket as &dyn Blobs))
    }

    /// Statistics of the configured tiers.
    #[must_use]
    pub fn stats(&self) -> Vec<(Tier, &TierStats)> {
        let mut all = vec![(Tier::Memory, Blobs::stats(&self.memory))];
        all.extend(self.folder.as_ref().map(|(folder, _)| (Tier::Folder, folder.stats())));
        all.extend(self.bucket.as_ref().map(|(bucket, _)| (Tier::Bucket, bucket.stats())));
        all
    }

    /// Counts an error of the bucket with what is no entry.
    pub fn count_bucket_error(&self) {
        if let Some((bucket, _)) = &self.bucket {
            TierStats::count(&bucket.stats().errors);
        }
    }

    #[must_use]
    pub fn dropped_writes(&self) -> u64 {
        self.dropped_writes.load(Ordering::Relaxed)
    }

    #[must_use]
    pub fn memory(&self) -> &MemoryTier {
        &self.memory
    }
}
