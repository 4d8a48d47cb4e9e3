//! The tiers of the cache: opened from the settings, swept after purges.

use std::any::Any;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use store::{BucketTier, Entry, FolderTier, Found, Head, Key, Reserve, Tier, TierOptions, Tiers};

use super::keys::SourceName;
use super::purge::{Purges, Stamp, Subject};
use super::waits::Waits;
use crate::admission::MemoryPool;

/// How long an entry that is read from a slow tier may wait for memory.
const MEMORY_WAIT: Duration = Duration::from_millis(200);
/// After a sweep there is none for so many times as long as it took, and at most for the time below.
const SWEEP_REST: u32 = 9;
const MAX_SWEEP_REST: Duration = Duration::from_secs(60);
const WARNING_INTERVAL: Duration = Duration::from_secs(60);

/// What the settings say about the cache.
#[derive(Debug, Clone)]
pub(crate) struct CacheSettings {
    pub(crate) enabled: bool,
    pub(crate) memory: usize,
    /// Bytes that may wait to be written to each slow tier.
    pub(crate) max_waiting: usize,
    pub(crate) folder: Option<PathBuf>,
    pub(crate) folder_bytes: u64,
    pub(crate) bucket: Option<String>,
    pub(crate) bucket_timeout: Duration,
    /// The largest entry that is read back: no larger one was ever stored.
    pub(crate) max_entry: usize,
}

/// The head that every entry of the cache begins with.
pub(crate) trait Stamped {
    fn stamp(&self) -> Stamp;
    fn subject(&self) -> &Subject;
}

/// A head that entries are read with.
pub(crate) trait ReadHead: Stamped + serde::de::DeserializeOwned + Send + Sync + 'static {}

impl<H: Stamped + serde::de::DeserializeOwned + Send + Sync + 'static> ReadHead for H {}

/// An entry that may be used.
#[derive(Debug)]
pub(crate) struct Kept<H> {
    pub(crate) head: Arc<H>,
    pub(crate) body: Bytes,
    pub(crate) tier: Tier,
}

/// Memory, folder and bucket with the purges that rule them.
#[derive(Debug)]
pub(crate) struct CacheTiers {
    enabled: bool,
    tiers: Arc<Tiers>,
    pub(crate) purges: Arc<Purges>,
    reads: ReadMemory,
    /// `None` without a bucket.
    bucket_timeout: Option<Duration>,
    sweep: Arc<Sweep>,
    last_warning: Mutex<Option<Instant>>,
}

/// One sweep at a time, and at most one of each kind that waits.
#[derive(Debug, Default)]
struct Sweep {
    turn: tokio::sync::Mutex<()>,
    /// Without and with the bucket.
    waiting: [AtomicBool; 2],
}

/// Entries that are read take their memory from that of inputs, which nobody waits for while holding pixels.
#[derive(Debug)]
struct ReadMemory(MemoryPool);

#[async_trait]
impl Reserve for ReadMemory {
    async fn reserve(&self, bytes: usize) -> Option<Box<dyn Any + Send + Sync>> {
        let permit = self.0.take(bytes, MEMORY_WAIT).await.ok()?;
        Some(Box::new(permit))
    }
}

/// The part of a head that purges look at.
#[derive(serde::Deserialize)]
pub(crate) struct StampedHead {
    stamp: Stamp,
    #[serde(default)]
    subject: Subject,
}

impl Stamped for StampedHead {
    fn stamp(&self) -> Stamp {
        self.stamp
    }

    fn subject(&self) -> &Subject {
        &self.subject
    }
}

/// The head of an entry that no purge has named; `asked`: the names of the sources as the request has them.
fn allowed<H: ReadHead>(purges: &Purges, head: &Head, asked: &[&SourceName]) -> Option<Arc<H>> {
    let head = head.parsed(|json| serde_json::from_slice::<H>(json).ok())?;
    purges.allow(head.stamp(), head.subject(), asked).then_some(head)
}

/// The same for heads of any kind. They are parsed each time: what is kept of them is of their own kind.
fn is_allowed(purges: &Purges, head: &Head) -> bool {
    let head = serde_json::from_slice::<StampedHead>(head);
    head.is_ok_and(|head| purges.allow(head.stamp, &head.subject, &[]))
}

fn kept<H: ReadHead>(found: Found) -> Option<Kept<H>> {
    let Found { entry, tier } = found;
    let head = entry.head.parsed(|json| serde_json::from_slice(json).ok())?;
    Some(Kept { head, body: entry.body, tier })
}

impl CacheTiers {
    /// Opens the tiers. Call it inside a tokio runtime.
    ///
    /// # Errors
    /// A message that names the setting that cannot be used.
    pub(crate) async fn open(settings: &CacheSettings, memory: MemoryPool) -> Result<Self, String> {
        let folder = match &settings.folder {
            Some(path) => {
                let opened = FolderTier::open(path, settings.folder_bytes);
                Some(opened.map_err(|e| format!("cache-dir: {e}"))?)
            }
            None => None,
        };
        let bucket = match &settings.bucket {
            Some(url) => Some(store::open_bucket(url).map_err(|e| format!("cache-store: {e}"))?),
            None => None,
        };
        let purges = Purges::open(settings.folder.clone(), bucket.clone())?;
        if bucket.is_some() {
            // Without the purges of others nothing of theirs is used; the first round need not wait for its turn.
            let first = tokio::time::timeout(2 * settings.bucket_timeout, purges.poll()).await;
            if !matches!(first, Ok(Ok(_))) {
                tracing::warn!("cache-store: purges of other nodes could not be read yet");
            }
        }
        let tiers = Tiers::start(TierOptions {
            memory: settings.memory,
            folder,
            bucket: bucket
                .as_ref()
                .map(|bucket| BucketTier::new(bucket, settings.bucket_timeout, settings.max_entry)),
            max_waiting: settings.max_waiting,
        });
        Ok(Self {
            enabled: settings.enabled,
            tiers: Arc::new(tiers),
            purges: Arc::new(purges),
            reads: ReadMemory(memory),
            bucket_timeout: bucket.map(|_| settings.bucket_timeout),
            sweep: Arc::default(),
            last_warning: Mutex::default(),
        })
    }

    pub(crate) fn is_enabled(&self) -> bool {
        self.enabled
    }

    /// An entry in memory, without waiting.
    pub(crate) fn get_now<H: ReadHead>(&self, key: &Key, asked: &[&SourceName]) -> Option<Kept<H>> {
        let accept = |head: &Head| allowed::<H>(&self.purges, head, asked).is_some();
        let entry = self.tiers.get_now(key, &accept)?;
        kept(Found { entry, tier: Tier::Memory })
    }

    /// An entry for a request that has waited for the bucket as `wait` says.
    pub(crate) async fn get<H: ReadHead>(
        &self,
        key: &Key,
        asked: &[&SourceName],
        wait: &Waits,
    ) -> Option<Kept<H>> {
        let accept = |head: &Head| allowed::<H>(&self.purges, head, asked).is_some();
        if let Some(found) = self.tiers.get_near(key, &accept, &self.reads).await {
            return kept(found);
        }
        let limit = 2 * self.bucket_timeout?;
        kept(wait.within(limit, self.tiers.get_far(key, &accept, &self.reads)).await?)
    }

    /// Stores an entry, unless a purge has named it since it began; such a purge removes it later, too.
    pub(crate) fn put(&self, key: Key, head: &(impl serde::Serialize + Stamped), body: &Bytes) {
        let Ok(json) = serde_json::to_vec(head) else { return };
        if json.len() > Entry::MAX_HEAD {
            return;
        }
        let (purges, stamp, subject) = (Arc::clone(&self.purges), head.stamp(), head.subject().clone());
        let still = move || purges.allow(stamp, &subject, &[]);
        self.tiers.put(key, &Entry { head: json.into(), body: body.clone() }, Arc::new(still));
    }

    /// Removes an entry: from memory at once, from the slow tiers in the background.
    pub(crate) fn remove(&self, key: Key) {
        self.tiers.memory().delete(&key);
        let tiers = Arc::clone(&self.tiers);
        tokio::spawn(async move { tiers.remove(&key).await });
    }

    /// Whether anything of this size is kept.
    pub(crate) fn keeps(&self, bytes: usize) -> bool {
        self.tiers.keeps(bytes)
    }

    pub(crate) fn stats(&self) -> &Tiers {
        &self.tiers
    }

    /// Removes all from memory, at once.
    pub(crate) fn clear_memory(&self) {
        self.tiers.memory().clear();
    }

    /// Removes what was purged from every tier, in the background. It is not used any more as it is.
    pub(crate) fn sweep_all(&self) {
        self.start_sweep(true);
    }

    /// The same for memory and this node's folder: the node that was asked to purge sweeps the bucket.
    pub(crate) fn sweep_near(&self) {
        self.start_sweep(false);
    }

    fn start_sweep(&self, with_bucket: bool) {
        // A sweep that waits for its turn will see this purge as well.
        if self.sweep.waiting[usize::from(with_bucket)].swap(true, Ordering::AcqRel) {
            return;
        }
        let (tiers, purges, sweep) =
            (Arc::clone(&self.tiers), Arc::clone(&self.purges), Arc::clone(&self.sweep));
        tokio::spawn(async move {
            let _turn = sweep.turn.lock().await;
            sweep.waiting[usize::from(with_bucket)].store(false, Ordering::Release);
            let began = Instant::now();
            let (memory, of_memory) = (Arc::clone(&tiers), Arc::clone(&purges));
            let swept = tokio::task::spawn_blocking(move || {
                memory.retain_in_memory(&|head| is_allowed(&of_memory, head));
            });
            let accept = |head: &Head| is_allowed(&purges, head);
            let done = match with_bucket {
                true => tiers.retain_in_slow_tiers(&accept).await,
                false => tiers.retain_in_folder(&accept).await,
            };
            if let Err(e) = done {
                tracing::warn!("cache: purged entries could not all be removed, they stay unused: {e}");
            }
            let _ = swept.await;
            // The turn is kept for a while: many purges do not make a sweep that never ends.
            tokio::time::sleep((began.elapsed() * SWEEP_REST).min(MAX_SWEEP_REST)).await;
        });
    }

    /// Counts the error, with one warning a minute.
    pub(crate) fn purges_failed(&self, error: &store::Error) {
        self.tiers.count_bucket_error();
        let mut last = self.last_warning.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if last.is_none_or(|last| last.elapsed() >= WARNING_INTERVAL) {
            *last = Some(Instant::now());
            tracing::warn!("cache-store: purges of other nodes cannot be read: {error}");
        }
    }
}
