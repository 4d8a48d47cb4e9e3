//! The memory tier of a node: the same eviction with the same options as `crates/store/src/memory.rs`.

use quick_cache::unsync::{Cache, DefaultLifecycle};
use quick_cache::{DefaultHashBuilder, OptionsBuilder, Weighter};

const OVERHEAD: u64 = 320;
const HEAD: u64 = 400;
const TYPICAL_ENTRY: u64 = 32 << 10;
const INDEXED_PERCENT: u64 = 80;

#[derive(Debug, Clone)]
struct ByBytes;

impl Weighter<u64, u32> for ByBytes {
    fn weight(&self, _key: &u64, bytes: &u32) -> u64 {
        u64::from(*bytes) + HEAD + OVERHEAD
    }
}

#[derive(Debug)]
pub struct Memory {
    cache: Cache<u64, u32, ByBytes>,
    largest: u64,
}

impl Memory {
    pub fn new(capacity: u64) -> Self {
        let options = OptionsBuilder::new()
            .shards(1)
            .weight_capacity(capacity / 100 * INDEXED_PERCENT)
            .estimated_items_capacity((capacity / TYPICAL_ENTRY).max(64) as usize)
            .build()
            .expect("all options are there");
        let hasher = DefaultHashBuilder::default();
        Self {
            cache: Cache::with_options(options, ByBytes, hasher, DefaultLifecycle::default()),
            largest: capacity / 2,
        }
    }

    pub fn has(&self, key: u64) -> bool {
        self.cache.get(&key).is_some()
    }

    pub fn insert(&mut self, key: u64, bytes: u64) {
        if bytes <= self.largest {
            self.cache.insert(key, bytes as u32);
        }
    }
}
