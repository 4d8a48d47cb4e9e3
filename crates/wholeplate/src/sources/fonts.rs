//! Fonts that were fetched for texts, kept for a while.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use quick_cache::Weighter;
use quick_cache::sync::Cache;

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

/// The file behind a font's URL. Nothing looks at it before its text is measured, within the limits of the request.
#[derive(Debug, Clone)]
pub(crate) struct FetchedFont {
    url: String,
    pub(crate) bytes: Bytes,
    /// How long it may be kept; `None` if not at all, or if it is kept already.
    until: Option<Instant>,
}

impl FetchedFont {
    pub(super) fn new(url: &str, bytes: Bytes, lifetime: &Lifetime) -> Self {
        let seconds = lifetime.seconds().unwrap_or(FONT_LIFETIME).min(FONT_LIFETIME);
        let until = (seconds > 0).then(|| Instant::now() + Duration::from_secs(seconds));
        Self { url: url.to_owned(), bytes, until }
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

    pub(super) fn get(&self, url: &str) -> Option<FetchedFont> {
        let (bytes, until) = self.0.get(url)?;
        (Instant::now() < until).then(|| FetchedFont { url: url.to_owned(), bytes, until: None })
    }

    /// Keeps a font until `until`.
    pub(super) fn insert(&self, font: &FetchedFont) {
        let Some(until) = font.until else { return };
        self.0.insert(font.url.clone(), (font.bytes.clone(), until));
    }
}
