//! The memory tier: bounded by weight, with scan-resistant eviction.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use quick_cache::sync::Cache;
use quick_cache::{DefaultHashBuilder, Lifecycle, OptionsBuilder, Weighter};

use crate::blobs::{Accept, Blobs, Reserve};
use crate::entry::{Entry, GROUP_BYTES, Key};
use crate::error::Error;
use crate::stats::TierStats;

/// The overhead of an entry: its slot in the index, two allocations and their counters.
const OVERHEAD: usize = 320;
/// A head counts as often as its length: beside its bytes there is what callers parse from them.
const HEAD_WEIGHT: usize = 4;
/// The expected size of an entry, from which the capacity of the index follows. A wrong value costs a rehash.
const TYPICAL_ENTRY: usize = 32 << 10;
/// The percentage of the capacity for indexed entries. The rest is for evicted entries that responses still send.
const INDEXED_PERCENT: usize = 80;

/// Entries in memory.
#[derive(Debug)]
pub struct MemoryTier {
    cache: Cache<Key, Entry, EntryWeight, DefaultHashBuilder, CountEvictions>,
    /// Bytes of all live entries, indexed or evicted.
    held: Arc<AtomicUsize>,
    capacity: usize,
    stats: Arc<TierStats>,
}

#[derive(Debug, Clone)]
struct EntryWeight;

impl Weighter<Key, Entry> for EntryWeight {
    fn weight(&self, _key: &Key, entry: &Entry) -> u64 {
        weight(entry) as u64
    }
}

fn weight(entry: &Entry) -> usize {
    HEAD_WEIGHT * entry.head.len() + entry.body.len() + OVERHEAD
}

#[derive(Debug, Clone)]
struct CountEvictions(Arc<TierStats>);

impl Lifecycle<Key, Entry> for CountEvictions {
    type RequestState = ();

    fn begin_request(&self) {}

    fn on_evict(&self, _state: &mut (), _key: Key, _entry: Entry) {
        TierStats::count(&self.0.evictions);
    }
}

/// Bytes that are counted until they are freed.
struct Counted {
    bytes: Box<[u8]>,
    counted: usize,
    held: Arc<AtomicUsize>,
}

impl Counted {
    /// A copy that counts `times` its length.
    fn copy(bytes: &[u8], times: usize, held: &Arc<AtomicUsize>) -> Bytes {
        let counted = times * bytes.len();
        held.fetch_add(counted, Ordering::Relaxed);
        Bytes::from_owner(Self { bytes: bytes.into(), counted, held: Arc::clone(held) })
    }
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.held.fetch_sub(self.counted, Ordering::Relaxed);
    }
}

impl MemoryTier {
    /// A tier that never holds more than `capacity` bytes, including evicted entries that responses still send.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        let stats = Arc::<TierStats>::default();
        let indexed = (capacity / 100 * INDEXED_PERCENT) as u64;
        // One shard, because an entry must fit into a shard and may take half of the capacity.
        let options = OptionsBuilder::new()
            .shards(1)
            .weight_capacity(indexed)
            .estimated_items_capacity((capacity / TYPICAL_ENTRY).max(64))
            .build();
        let evictions = CountEvictions(Arc::clone(&stats));
        let cache = match options {
            Ok(options) => {
                Cache::with_options(options, EntryWeight, DefaultHashBuilder::default(), evictions)
            }
            Err(_) => Cache::with(64, indexed, EntryWeight, DefaultHashBuilder::default(), evictions),
        };
        Self { cache, held: Arc::default(), capacity, stats }
    }

    /// The size of the largest entry: half of the capacity.
    #[must_use]
    pub fn max_entry(&self) -> usize {
        self.capacity / 2
    }

    /// Bytes of all live entries, including evicted ones that responses still send.
    #[must_use]
    pub fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }

    #[must_use]
    pub fn lookup(&self, key: &Key) -> Option<Entry> {
        self.cache.get(key)
    }

    /// Copies an entry into the tier. Returns false if the entry is too large, or if evicted entries that responses still
    /// send leave no room.
    pub fn insert(&self, key: Key, entry: &Entry) -> bool {
        let wanted = weight(entry);
        let indexed = usize::try_from(self.cache.weight()).unwrap_or(usize::MAX);
        let overhead = self.cache.len() * OVERHEAD;
        let evicted = (self.held() + overhead).saturating_sub(indexed);
        if wanted > self.max_entry() || self.indexed_capacity() + evicted > self.capacity {
            self.cache.remove(&key);
            return false;
        }
        let copy = Entry {
            head: Counted::copy(&entry.head, HEAD_WEIGHT, &self.held).into(),
            body: Counted::copy(&entry.body, 1, &self.held),
        };
        // What is replaced has not given way to others, and the library reports both.
        let replaced = u64::from(self.cache.peek(&key).is_some());
        self.cache.insert(key, copy);
        self.stats.evictions.fetch_sub(replaced, Ordering::Relaxed);
        // Evicted entries that responses still send free no memory.
        let fits = self.held() + self.cache.len() * OVERHEAD <= self.capacity;
        if !fits {
            self.cache.remove(&key);
        }
        fits
    }

    fn indexed_capacity(&self) -> usize {
        self.capacity / 100 * INDEXED_PERCENT
    }

    pub fn delete(&self, key: &Key) {
        self.cache.remove(key);
    }

    /// Removes the entries that `keep` rejects.
    pub fn retain_if(&self, keep: impl Fn(&Key, &Entry) -> bool) {
        for (key, entry) in self.cache.iter().filter(|(key, entry)| !keep(key, entry)) {
            // What was stored under the key since then was not asked about.
            self.cache.remove_if(&key, |now| now.head.as_ptr() == entry.head.as_ptr());
        }
    }

    /// Removes all entries.
    pub fn clear(&self) {
        self.cache.clear();
    }

    /// Updates the gauges of the statistics.
    pub fn refresh_stats(&self) {
        self.stats.entries.store(self.cache.len() as u64, Ordering::Relaxed);
        self.stats.bytes.store(self.cache.weight(), Ordering::Relaxed);
    }
}

#[async_trait]
impl Blobs for MemoryTier {
    async fn get(&self, key: &Key, _reserve: &dyn Reserve) -> Result<Option<Entry>, Error> {
        Ok(self.lookup(key))
    }

    async fn put(&self, key: Key, entry: Entry) -> Result<(), Error> {
        if self.insert(key, &entry) { Ok(()) } else { Err(Error::TooLarge(entry.len())) }
    }

    async fn remove(&self, key: &Key) -> Result<(), Error> {
        self.delete(key);
        Ok(())
    }

    async fn remove_group(&self, group: &[u8; GROUP_BYTES]) -> Result<(), Error> {
        self.retain_if(|key, _| key.group != *group);
        Ok(())
    }

    async fn retain(&self, accept: Accept<'_>) -> Result<(), Error> {
        self.retain_if(|_, entry| accept(&entry.head));
        Ok(())
    }

    fn stats(&self) -> &TierStats {
        self.refresh_stats();
        &self.stats
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::MemoryTier;
    use crate::entry::{Entry, Head, Key};

    fn key(n: u32) -> Key {
        let mut id = [0; 32];
        id[..4].copy_from_slice(&n.to_le_bytes());
        Key::new(&[0; 32], &id)
    }

    fn entry(len: usize) -> Entry {
        Entry { head: Head::default(), body: Bytes::from(vec![7; len]) }
    }

    // CAC-031
    #[test]
    fn a_scan_of_ten_times_the_capacity_keeps_the_hot_set() {
        let tier = MemoryTier::new(8 << 20);
        let body = entry(10_000);
        // A quarter of the capacity, with one insertion and two hits for each entry.
        let hot = (2 << 20) / 10_000;
        for n in 0..hot {
            assert!(tier.insert(key(n), &body));
        }
        for _ in 0..2 {
            for n in 0..hot {
                assert!(tier.lookup(&key(n)).is_some());
            }
        }
        for n in 0..(80 << 20) / 10_000 {
            let scanned = key(1_000_000 + n);
            if tier.lookup(&scanned).is_none() {
                tier.insert(scanned, &body);
            }
        }
        let hits = (0..hot).filter(|n| tier.lookup(&key(*n)).is_some()).count();
        assert!(hits * 100 >= hot as usize * 80, "{hits} of {hot}");
    }

    // CAC-030
    #[test]
    fn evicted_entries_count_until_their_last_clone_is_dropped() {
        let tier = MemoryTier::new(1 << 20);
        let body = entry(50_000);
        let mut sending = Vec::new();
        for n in 0..200 {
            tier.insert(key(n), &body);
            sending.extend(tier.lookup(&key(n)));
            assert!(tier.held() <= 1 << 20, "{} bytes after {n}", tier.held());
        }
        assert!(sending.len() < 30);
        sending.clear();
        assert!(tier.insert(key(500), &body));
        assert!(tier.held() <= 1 << 20);
    }

    // CAC-070
    #[test]
    fn an_entry_that_is_replaced_is_not_evicted() {
        let tier = MemoryTier::new(1 << 20);
        for n in [1, 1, 1, 2] {
            assert!(tier.insert(key(n), &entry(1000)));
        }
        tier.refresh_stats();
        let figure =
            |counter: &std::sync::atomic::AtomicU64| counter.load(std::sync::atomic::Ordering::Relaxed);
        assert_eq!((figure(&tier.stats.entries), figure(&tier.stats.evictions)), (2, 0));
    }

    // CAC-037
    #[test]
    fn an_entry_above_half_of_the_capacity_is_not_stored() {
        let tier = MemoryTier::new(1 << 20);
        assert!(tier.insert(key(1), &entry((512 << 10) - 1000)));
        assert!(tier.lookup(&key(1)).is_some());
        assert!(!tier.insert(key(2), &entry(513 << 10)));
        // The older, smaller entry under this key is out of date and is removed.
        assert!(!tier.insert(key(1), &entry(513 << 10)));
        assert!(tier.lookup(&key(1)).is_none());
    }
}
