//! Memory, folder and bucket together: asked in this order, the slower ones written behind the request.

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

/// Writes to a bucket at once.
const BUCKET_WRITES: usize = 4;

/// A tier by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Tier {
    Memory,
    Folder,
    Bucket,
}

/// An entry and where it was found.
#[derive(Debug, Clone)]
pub struct Found {
    pub entry: Entry,
    pub tier: Tier,
}

/// The tiers to use.
#[derive(Debug)]
pub struct TierOptions {
    /// Bytes in memory.
    pub memory: usize,
    pub folder: Option<FolderTier>,
    pub bucket: Option<BucketTier>,
    /// Bytes that may wait to be written to each slow tier.
    pub max_waiting: usize,
}

/// The tiers in their order.
#[derive(Debug)]
pub struct Tiers {
    memory: MemoryTier,
    folder: Option<(Arc<FolderTier>, Writer)>,
    bucket: Option<(Arc<BucketTier>, Writer)>,
    /// Writes that were not queued because the tier did not keep up.
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
            tokio::spawn(async move {
                if let Err(e) = rebuilding.rebuild().await {
                    tracing::warn!("cache: the folder could not be listed: {e}");
                }
            });
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

    /// The first accepted entry under a key; it is in the faster tiers afterwards. A tier that fails counts as empty.
    pub async fn get(&self, key: &Key, accept: Accept<'_>, reserve: &dyn Reserve) -> Option<Found> {
        match self.get_near(key, accept, reserve).await {
            Some(found) => Some(found),
            None => self.get_far(key, accept, reserve).await,
        }
    }

    /// The same from this machine: memory and the folder.
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

    /// The same from the bucket.
    pub async fn get_far(&self, key: &Key, accept: Accept<'_>, reserve: &dyn Reserve) -> Option<Found> {
        let (bucket, _) = self.bucket.as_ref()?;
        let entry = bucket.get(key, reserve).await.ok().flatten().filter(|entry| accept(&entry.head))?;
        self.memory.insert(*key, &entry);
        if let Some((_, writer)) = &self.folder {
            self.queue(writer, *key, entry.clone(), Arc::new(|| true));
        }
        Some(Found { entry, tier: Tier::Bucket })
    }

    /// Stores an entry: in memory at once, in the slower tiers soon. `still` is asked again before and after the slow
    /// writes; what it refuses is not kept.
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

    /// Waits until everything that was stored before is written.
    pub async fn flush(&self) {
        for writer in self.writers() {
            writer.flush().await;
        }
    }

    /// Whether an entry of so many bytes is kept anywhere.
    #[must_use]
    pub fn keeps(&self, bytes: usize) -> bool {
        self.folder.is_some() || self.bucket.is_some() || bytes <= self.memory.max_entry()
    }

    /// Removes an entry everywhere.
    pub async fn remove(&self, key: &Key) {
        self.memory.delete(key);
        for tier in self.slow() {
            let _ = tier.remove(key).await;
        }
    }

    /// Removes all entries of a group everywhere.
    ///
    /// # Errors
    /// The first tier that failed; the others are cleared all the same.
    pub async fn remove_group(&self, group: &[u8; GROUP_BYTES]) -> Result<(), Error> {
        self.memory.retain_if(|key, _| key.group != *group);
        let mut done = Ok(());
        for tier in self.slow() {
            done = done.and(tier.remove_group(group).await);
        }
        done
    }

    /// Removes what is not accepted from memory, at once.
    pub fn retain_in_memory(&self, accept: Accept<'_>) {
        self.memory.retain_if(|_, entry| accept(&entry.head));
    }

    /// Removes what is not accepted from the folder and the bucket. Reads every head.
    ///
    /// # Errors
    /// The first tier that failed; the others are cleared all the same.
    pub async fn retain_in_slow_tiers(&self, accept: Accept<'_>) -> Result<(), Error> {
        let mut done = Ok(());
        for tier in self.slow() {
            done = done.and(tier.retain(accept).await);
        }
        done
    }

    /// The same for the folder alone.
    ///
    /// # Errors
    /// What could not be read or removed.
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

    /// Figures of the tiers that are in use.
    #[must_use]
    pub fn stats(&self) -> Vec<(Tier, &TierStats)> {
        let mut all = vec![(Tier::Memory, Blobs::stats(&self.memory))];
        all.extend(self.folder.as_ref().map(|(folder, _)| (Tier::Folder, folder.stats())));
        all.extend(self.bucket.as_ref().map(|(bucket, _)| (Tier::Bucket, bucket.stats())));
        all
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
