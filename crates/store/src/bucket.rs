//! Buckets of S3, Google Cloud Storage and Azure, and the bucket tier, which several nodes can share.

use std::sync::Arc;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt};
use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::client::ClientOptions;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use object_store::{ObjectStore, ObjectStoreExt, RetryConfig};

use crate::blobs::{Accept, Blobs, Reserve};
use crate::entry::{Entry, GROUP_BYTES, Key};
use crate::error::Error;
use crate::frame;
use crate::stats::TierStats;
use crate::warning::RateLimitedWarning;

/// Timeout of all operations except reads that a request waits for.
const BACKGROUND_TIMEOUT: Duration = Duration::from_secs(10);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// Consecutive errors after which the tier sends no requests for [`PAUSE`].
const ERRORS_BEFORE_PAUSE: u32 = 5;
const PAUSE: Duration = Duration::from_secs(2);
/// Objects that a sweep reads or removes concurrently.
const SWEEP_CONCURRENCY: usize = 8;
const BLOBS: &str = "blobs";

/// The objects of a bucket below a prefix.
#[derive(Debug, Clone)]
pub struct Bucket {
    objects: Arc<dyn ObjectStore>,
}

/// The parts of a bucket's URL.
struct BucketUrl<'a> {
    provider: Provider,
    /// Scheme and name: `s3://bucket`.
    root: &'a str,
    prefix: &'a str,
}

#[derive(Clone, Copy)]
enum Provider {
    S3,
    Google,
    Azure,
}

impl<'a> BucketUrl<'a> {
    fn parse(url: &'a str) -> Result<Self, Error> {
        let expected = || Error::Url {
            url: url.to_owned(),
            problem: "expected s3://bucket/prefix, gs://bucket/prefix or az://container/prefix".to_owned(),
        };
        let (scheme, rest) = url.split_once("://").ok_or_else(expected)?;
        let provider = match scheme {
            "s3" => Provider::S3,
            "gs" => Provider::Google,
            "az" => Provider::Azure,
            _ => return Err(expected()),
        };
        let (name, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        if name.is_empty() || rest.contains(['?', '#', '@']) {
            return Err(expected());
        }
        Ok(Self { provider, root: &url[..scheme.len() + 3 + name.len()], prefix })
    }
}

/// Whether a URL is one that [`open_bucket`] takes. Nothing else is looked at.
///
/// # Errors
/// The form that is expected.
pub fn check_bucket_url(url: &str) -> Result<(), Error> {
    BucketUrl::parse(url).map(drop)
}

/// Opens `s3://bucket/prefix`, `gs://bucket/prefix` or `az://container/prefix`. Credentials, regions and endpoints
/// come from the usual environment variables of the provider. No request is sent yet.
///
/// # Errors
/// If the URL has another form, or the settings are inconsistent.
pub fn open_bucket(url: &str) -> Result<Bucket, Error> {
    let bad = |problem: String| Error::Url { url: url.to_owned(), problem };
    let BucketUrl { provider, root, prefix } = BucketUrl::parse(url)?;
    let client = ClientOptions::new().with_connect_timeout(CONNECT_TIMEOUT).with_timeout(BACKGROUND_TIMEOUT);
    // A retry would take longer than a request waits. The request computes its result instead.
    let retry = RetryConfig { max_retries: 0, ..RetryConfig::default() };
    let library = |e: object_store::Error| bad(e.to_string());
    let plain_http = |names: &[&str]| {
        // Plain HTTP is allowed if the operator configured such an endpoint.
        names.iter().any(|name| std::env::var(name).is_ok_and(|url| url.starts_with("http://")))
    };
    let objects: Arc<dyn ObjectStore> = match provider {
        Provider::S3 => {
            let client = client.with_allow_http(plain_http(&[
                "AWS_ENDPOINT_URL",
                "AWS_ENDPOINT",
                "AWS_ENDPOINT_URL_S3",
            ]));
            let s3 = AmazonS3Builder::from_env().with_url(root).with_client_options(client).with_retry(retry);
            Arc::new(s3.build().map_err(library)?)
        }
        Provider::Google => {
            let gcs = GoogleCloudStorageBuilder::from_env().with_url(root);
            Arc::new(gcs.with_client_options(client).with_retry(retry).build().map_err(library)?)
        }
        Provider::Azure => {
            let client = client.with_allow_http(plain_http(&["AZURE_STORAGE_ENDPOINT", "AZURE_ENDPOINT"]));
            let azure = MicrosoftAzureBuilder::from_env().with_url(root);
            Arc::new(azure.with_client_options(client).with_retry(retry).build().map_err(library)?)
        }
    };
    let prefix = Path::parse(prefix.trim_matches('/')).map_err(|e| bad(e.to_string()))?;
    Ok(Bucket { objects: Arc::new(PrefixStore::new(objects, prefix)) })
}

impl Bucket {
    /// A bucket from any implementation of the library's trait.
    #[must_use]
    pub fn new(objects: Arc<dyn ObjectStore>) -> Self {
        Self { objects }
    }

    /// The library's interface, for objects that are not entries.
    #[must_use]
    pub fn objects(&self) -> &Arc<dyn ObjectStore> {
        &self.objects
    }

    /// Writes a small object.
    ///
    /// # Errors
    /// If the object could not be written within ten seconds.
    pub async fn write(&self, name: &str, bytes: Bytes) -> Result<(), Error> {
        within(BACKGROUND_TIMEOUT, async { Ok(self.objects.put(&Path::from(name), bytes.into()).await?) })
            .await
            .map(drop)
    }

    /// Reads an object of at most `limit` bytes; `None` if it is missing.
    ///
    /// # Errors
    /// If the object could not be read within ten seconds, or is larger.
    pub async fn read(&self, name: &str, limit: u64) -> Result<Option<Bytes>, Error> {
        within(BACKGROUND_TIMEOUT, async {
            let found = match self.objects.get(&Path::from(name)).await {
                Ok(found) => found,
                Err(object_store::Error::NotFound { .. }) => return Ok(None),
                Err(e) => return Err(e.into()),
            };
            if found.meta.size > limit {
                return Err(Error::TooLarge(usize::try_from(found.meta.size).unwrap_or(usize::MAX)));
            }
            Ok(Some(found.bytes().await?))
        })
        .await
    }

    /// At most `limit` names below `folder` that are greater than `after`, sorted.
    ///
    /// # Errors
    /// If the folder could not be listed within ten seconds.
    pub async fn list(&self, folder: &str, after: &str, limit: usize) -> Result<Vec<String>, Error> {
        let folder_path = Path::from(folder);
        let after = Path::from(format!("{folder}/{after}"));
        within(BACKGROUND_TIMEOUT, async {
            let list = self.objects.list_with_offset(Some(&folder_path), &after);
            let names = list.map_ok(|meta| meta.location.filename().unwrap_or_default().to_owned());
            let mut names: Vec<String> = names.take(limit).try_collect().await?;
            names.sort_unstable();
            Ok(names)
        })
        .await
    }

    /// Removes an object. A missing object is no error.
    ///
    /// # Errors
    /// If the object could not be removed within ten seconds.
    pub async fn delete(&self, name: &str) -> Result<(), Error> {
        within(BACKGROUND_TIMEOUT, async {
            match self.objects.delete(&Path::from(name)).await {
                Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
                Err(e) => Err(e.into()),
            }
        })
        .await
    }
}

async fn within<T>(limit: Duration, work: impl Future<Output = Result<T, Error>> + Send) -> Result<T, Error> {
    tokio::time::timeout(limit, work).await.map_err(|_| Error::Timeout(limit))?
}

/// Entries in a bucket.
#[derive(Debug)]
pub struct BucketTier {
    objects: Arc<dyn ObjectStore>,
    timeout: Duration,
    max_entry: usize,
    health: Mutex<Health>,
    stats: TierStats,
    warning: RateLimitedWarning,
}

/// The state of a circuit breaker: after repeated errors the tier is paused, so that requests do not wait for it.
#[derive(Debug, Default)]
struct Health {
    errors_in_a_row: u32,
    paused_until: Option<Instant>,
}

impl BucketTier {
    /// A read that takes longer than `timeout` counts as a miss. Entries above `max_entry` bytes are neither written
    /// nor read.
    #[must_use]
    pub fn new(bucket: &Bucket, timeout: Duration, max_entry: usize) -> Self {
        Self {
            objects: Arc::new(PrefixStore::new(Arc::clone(bucket.objects()), BLOBS)),
            timeout,
            max_entry,
            health: Mutex::default(),
            stats: TierStats::default(),
            warning: RateLimitedWarning::new("store"),
        }
    }

    fn health(&self) -> std::sync::MutexGuard<'_, Health> {
        self.health.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn is_paused(&self) -> bool {
        self.health().paused_until.is_some_and(|until| Instant::now() < until)
    }

    /// Counts the outcome of a read, which a request waits for.
    fn observe_read<T>(&self, done: &Result<T, Error>) {
        if done.is_ok() {
            *self.health() = Health::default();
        }
        self.observe(done);
    }

    /// Counts the outcome of a request to the bucket. A write in the background has more time: that it succeeds does not
    /// mean that reads are fast enough.
    fn observe<T>(&self, done: &Result<T, Error>) {
        match done {
            Ok(_) => {}
            Err(Error::Damaged(_)) => TierStats::count(&self.stats.damaged),
            Err(Error::Paused | Error::Memory(_)) => {}
            Err(e) => {
                TierStats::count(&self.stats.errors);
                self.warning.warn(e);
                let mut health = self.health();
                health.errors_in_a_row = health.errors_in_a_row.saturating_add(1);
                if health.errors_in_a_row >= ERRORS_BEFORE_PAUSE {
                    health.paused_until = Some(Instant::now() + PAUSE);
                }
            }
        }
    }

    async fn fetch(&self, key: &Key, reserve: &dyn Reserve) -> Result<Option<Entry>, Error> {
        let found = match self.objects.get(&Path::from(key.path())).await {
            Ok(found) => found,
            Err(object_store::Error::NotFound { .. }) => return Ok(None),
            Err(e) => return Err(e.into()),
        };
        let len = usize::try_from(found.meta.size).unwrap_or(usize::MAX);
        if len > self.max_entry {
            return Err(Error::TooLarge(len));
        }
        let permit = reserve.reserve(len).await.ok_or(Error::Memory(len))?;
        let stored = found.bytes().await?;
        frame::decode_reserved(stored, permit, *key).await.map(Some)
    }

    async fn delete(&self, path: &Path) -> Result<(), Error> {
        let done = within(BACKGROUND_TIMEOUT, async {
            match self.objects.delete(path).await {
                Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
                Err(e) => Err(e.into()),
            }
        });
        let done = done.await;
        self.observe(&done);
        done
    }
}

#[async_trait]
impl Blobs for BucketTier {
    async fn get(&self, key: &Key, reserve: &dyn Reserve) -> Result<Option<Entry>, Error> {
        if self.is_paused() {
            return Err(Error::Paused);
        }
        let began = Instant::now();
        let done = within(self.timeout, self.fetch(key, reserve)).await;
        self.stats.latency.observe(began.elapsed());
        self.observe_read(&done);
        if matches!(done, Err(Error::Damaged(_))) {
            let _ = self.delete(&Path::from(key.path())).await;
        }
        done
    }

    async fn put(&self, key: Key, entry: Entry) -> Result<(), Error> {
        if frame::stored_len(&entry) > self.max_entry as u64 || entry.head.len() > Entry::MAX_HEAD {
            return Err(Error::TooLarge(entry.len()));
        }
        if self.is_paused() {
            return Err(Error::Paused);
        }
        let payload = tokio::task::spawn_blocking(move || frame::encode(&key, &entry));
        let payload = payload.await.map_err(object_store::Error::from)?;
        let path = Path::from(key.path());
        let done = within(BACKGROUND_TIMEOUT, async { Ok(self.objects.put(&path, payload).await?) }).await;
        self.observe(&done);
        done.map(drop)
    }

    async fn remove(&self, key: &Key) -> Result<(), Error> {
        self.delete(&Path::from(key.path())).await
    }

    async fn remove_group(&self, group: &[u8; GROUP_BYTES]) -> Result<(), Error> {
        let list = self.objects.list(Some(&Path::from(Key::group_path(group))));
        list.map_err(Error::from)
            .try_for_each_concurrent(
                SWEEP_CONCURRENCY,
                |meta| async move { self.delete(&meta.location).await },
            )
            .await
    }

    async fn retain(&self, accept: Accept<'_>) -> Result<(), Error> {
        let list = self.objects.list(None).map_err(Error::from);
        list.try_for_each_concurrent(SWEEP_CONCURRENCY, |meta| async move {
            if Key::of_path(meta.location.as_ref()).is_none() {
                return Ok(());
            }
            let beginning = 0..meta.size.min((frame::HEADER + Entry::MAX_HEAD) as u64);
            let read = async { Ok(self.objects.get_range(&meta.location, beginning).await?) };
            let beginning = within(BACKGROUND_TIMEOUT, read).await?;
            if frame::peek_head(&beginning).is_ok_and(|head| accept(&head)) {
                return Ok(());
            }
            self.delete(&meta.location).await
        })
        .await
    }

    fn stats(&self) -> &TierStats {
        &self.stats
    }
}
