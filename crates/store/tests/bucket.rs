//! The bucket tier and the order of the tiers, with the library's in-memory store and with faults.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, ObjectStoreExt,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use store::{
    Blobs, Bucket, BucketTier, Entry, Error, FolderTier, Head, Key, Tier, TierOptions, Tiers, Unbounded,
    open_bucket,
};

const WORKS: u8 = 0;
const REFUSES: u8 = 1;
const HANGS: u8 = 2;
/// Reads hang, writes do not.
const READS_HANG: u8 = 3;

/// A store that fails on request.
#[derive(Debug)]
struct Faulty {
    inner: InMemory,
    mode: AtomicU8,
}

impl Faulty {
    fn new() -> Arc<Self> {
        Arc::new(Self { inner: InMemory::new(), mode: AtomicU8::new(WORKS) })
    }

    fn set(&self, mode: u8) {
        self.mode.store(mode, Ordering::Relaxed);
    }

    async fn gate(&self, read: bool) -> Result<()> {
        match self.mode.load(Ordering::Relaxed) {
            WORKS => Ok(()),
            READS_HANG if !read => Ok(()),
            REFUSES => Err(object_store::Error::Generic { store: "faulty", source: "refused".into() }),
            _ => std::future::pending().await,
        }
    }
}

impl fmt::Display for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("faulty")
    }
}

#[async_trait]
impl ObjectStore for Faulty {
    async fn put_opts(&self, path: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.gate(false).await?;
        self.inner.put_opts(path, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        path: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(path, options).await
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> Result<GetResult> {
        self.gate(true).await?;
        self.inner.get_opts(path, options).await
    }

    fn delete_stream(&self, paths: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(paths)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

fn key(n: u8) -> Key {
    Key::new(&[n; 32], &[n; 32])
}

fn entry(n: u8) -> Entry {
    Entry { head: vec![n; 3].into(), body: Bytes::from(vec![n; 4000]) }
}

fn tier(objects: &Arc<Faulty>) -> BucketTier {
    BucketTier::new(&Bucket::new(Arc::clone(objects) as _), Duration::from_millis(200), 1 << 20)
}

fn tiers(objects: &Arc<Faulty>, folder: Option<&std::path::Path>) -> Tiers {
    let folder = folder.map(|folder| FolderTier::open(folder, 8 << 20).unwrap());
    let bucket = Some(tier(objects));
    Tiers::start(TierOptions { memory: 1 << 20, folder, bucket, max_waiting: 1 << 20 })
}

// CAC-050
#[tokio::test]
async fn another_node_finds_an_entry_in_the_bucket_and_then_in_its_own_tiers() {
    let objects = Faulty::new();
    let folder = tempfile::tempdir().unwrap();
    let (one, other) = (tiers(&objects, None), tiers(&objects, Some(folder.path())));
    one.put(key(1), &entry(1), Arc::new(|| true));
    one.flush().await;
    let found = other.get(&key(1), &|_| true, &Unbounded).await.unwrap();
    assert_eq!((found.tier, found.entry), (Tier::Bucket, entry(1)));
    let found = other.get(&key(1), &|_| true, &Unbounded).await.unwrap();
    assert_eq!((found.tier, found.entry), (Tier::Memory, entry(1)));
    other.flush().await;
    other.memory().delete(&key(1));
    let found = other.get(&key(1), &|_| true, &Unbounded).await.unwrap();
    assert_eq!((found.tier, found.entry), (Tier::Folder, entry(1)));
}

// CAC-051: an unreachable or slow store is a miss within its timeout, and is paused after five errors.
#[tokio::test(start_paused = true)]
async fn a_store_that_fails_or_hangs_counts_as_a_miss() {
    for mode in [REFUSES, HANGS] {
        let objects = Faulty::new();
        let tier = tier(&objects);
        tier.put(key(1), entry(1)).await.unwrap();
        objects.set(mode);
        for _ in 0..5 {
            let began = tokio::time::Instant::now();
            let done = tier.get(&key(1), &Unbounded).await;
            assert!(matches!(done, Err(Error::Timeout(_) | Error::Store(_))), "{done:?}");
            assert!(began.elapsed() <= Duration::from_millis(210));
        }
        assert!(matches!(tier.get(&key(1), &Unbounded).await, Err(Error::Paused)));
        assert!(matches!(tier.put(key(1), entry(1)).await, Err(Error::Paused)));
        assert_eq!(tier.stats().errors.load(Ordering::Relaxed), 5);
    }
}

// CAC-051: writes have more time than reads, so that they may succeed all the while.
#[tokio::test(start_paused = true)]
async fn a_store_whose_reads_are_slow_is_left_alone_although_it_takes_writes() {
    let objects = Faulty::new();
    let tier = tier(&objects);
    objects.set(READS_HANG);
    for n in 0..5 {
        assert!(matches!(tier.get(&key(n), &Unbounded).await, Err(Error::Timeout(_))));
        if n < 4 {
            tier.put(key(n), entry(n)).await.unwrap();
        }
    }
    assert!(matches!(tier.get(&key(1), &Unbounded).await, Err(Error::Paused)));
}

// CAC-051
#[tokio::test]
async fn a_damaged_object_is_removed_and_counted() {
    let objects = Faulty::new();
    let tier = tier(&objects);
    tier.put(key(1), entry(1)).await.unwrap();
    let path = Path::from(format!("blobs/01/{0}/{0}", "01".repeat(16)));
    let mut bytes = objects.inner.get(&path).await.unwrap().bytes().await.unwrap().to_vec();
    bytes[2000] ^= 4;
    objects.inner.put(&path, bytes.into()).await.unwrap();
    assert!(matches!(tier.get(&key(1), &Unbounded).await, Err(Error::Damaged(_))));
    assert!(tier.get(&key(1), &Unbounded).await.unwrap().is_none());
    assert_eq!(tier.stats().damaged.load(Ordering::Relaxed), 1);
    assert_eq!(tier.stats().errors.load(Ordering::Relaxed), 0);
}

// CAC-041: an entry that is refused while its write is queued is stored in no tier.
#[tokio::test]
async fn a_write_refused_in_the_queue_is_not_stored() {
    let objects = Faulty::new();
    let tiers = tiers(&objects, None);
    let still = Arc::new(std::sync::atomic::AtomicBool::new(true));
    let asked = Arc::clone(&still);
    tiers.put(key(1), &entry(1), Arc::new(move || asked.load(Ordering::Relaxed)));
    // The writer has not run yet: this test has one thread.
    still.store(false, Ordering::Relaxed);
    tiers.flush().await;
    tiers.memory().delete(&key(1));
    assert!(tiers.get(&key(1), &|_| true, &Unbounded).await.is_none());
    let asked = Arc::clone(&still);
    tiers.put(key(2), &entry(2), Arc::new(move || asked.load(Ordering::Relaxed)));
    assert!(tiers.get(&key(2), &|_| true, &Unbounded).await.is_none());
}

// CAC-040
#[tokio::test]
async fn rejected_entries_are_removed_from_every_tier() {
    let objects = Faulty::new();
    let folder = tempfile::tempdir().unwrap();
    let tiers = tiers(&objects, Some(folder.path()));
    for n in 1..5 {
        tiers.put(key(n), &entry(n), Arc::new(|| true));
    }
    tiers.flush().await;
    let keep = |head: &Head| head[0] != 2;
    tiers.retain_in_memory(&keep);
    tiers.retain_in_slow_tiers(&keep).await.unwrap();
    tiers.remove_group(&key(3).group).await.unwrap();
    for n in 1..5 {
        let found = tiers.get(&key(n), &|_| true, &Unbounded).await;
        assert_eq!(found.is_some(), n == 1 || n == 4, "{n}");
    }
    assert_eq!(
        objects.inner.list_with_delimiter(Some(&Path::from("blobs"))).await.unwrap().common_prefixes.len(),
        2
    );
}

#[test]
fn the_error_of_an_invalid_bucket_url_names_the_expected_forms() {
    for url in
        ["bucket", "ftp://bucket", "s3://", "s3://bucket?x=y", "http://host/bucket", "s3://key:secret@bucket"]
    {
        let message = open_bucket(url).unwrap_err().to_string();
        assert!(message.contains(url) && message.contains("s3://bucket/prefix"), "{message}");
    }
}

#[tokio::test]
async fn objects_are_listed_in_order_after_a_name() {
    let bucket = Bucket::new(Faulty::new() as _);
    for name in ["c", "a", "b"] {
        bucket.write(&format!("purge/{name}"), Bytes::from(name)).await.unwrap();
    }
    assert_eq!(bucket.list("purge", "a", 10).await.unwrap(), ["b", "c"]);
    assert_eq!(bucket.list("purge", "", 10).await.unwrap(), ["a", "b", "c"]);
    assert_eq!(bucket.read("purge/b", 10).await.unwrap().as_deref(), Some(&b"b"[..]));
    assert!(bucket.read("purge/b", 0).await.is_err());
    bucket.delete("purge/b").await.unwrap();
    assert_eq!(bucket.read("purge/b", 10).await.unwrap(), None);
    bucket.delete("purge/b").await.unwrap();
}
