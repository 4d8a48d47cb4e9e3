//! Fonts that were fetched for texts, kept for a while.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use quick_cache::Weighter;
use quick_cache::sync::Cache;
use work::Work;

use crate::admission::MemoryPool;
use crate::respond::Lifetime;

/// Largest font file in bytes.
pub(super) const MAX_FONT: u64 = 20_000_000;
/// Fonts that are kept, about, and the bytes that they may take together.
const FONTS: usize = 64;
const FONT_CACHE: u64 = 64 << 20;
/// How long a font is used without asking for it again, in seconds; less if its origin says so.
const FONT_LIFETIME: u64 = 600;

/// What a font takes in the cache: its bytes.
#[derive(Debug, Clone)]
struct FontWeight;

impl Weighter<String, (Bytes, Instant)> for FontWeight {
    fn weight(&self, url: &String, (bytes, _): &(Bytes, Instant)) -> u64 {
        (url.len() + bytes.len()) as u64
    }
}

/// Font files by URL, and until when they are used. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct FontCache(Arc<Cache<String, (Bytes, Instant), FontWeight>>);

impl FontCache {
    pub(super) fn new(memory: &MemoryPool) -> Self {
        let bytes = FONT_CACHE.min(memory.total() as u64 / 2);
        Self(Arc::new(Cache::with_weighter(FONTS, bytes, FontWeight)))
    }

    pub(super) fn get(&self, url: &str) -> Option<Bytes> {
        let (bytes, until) = self.0.get(url)?;
        (Instant::now() < until).then_some(bytes)
    }

    /// Keeps a file if it is a font: an error page with status 200 is no font for the next text.
    pub(super) async fn insert(&self, url: &str, bytes: &Bytes, lifetime: &Lifetime) {
        let seconds = lifetime.seconds().unwrap_or(FONT_LIFETIME).min(FONT_LIFETIME);
        if seconds == 0 {
            return;
        }
        let checked = bytes.clone();
        let usable =
            tokio::task::spawn_blocking(move || imaging::check_font(&checked, &Work::unlimited()).is_ok());
        if usable.await.unwrap_or(false) {
            let until = Instant::now() + Duration::from_secs(seconds);
            self.0.insert(url.to_owned(), (bytes.clone(), until));
        }
    }
}
