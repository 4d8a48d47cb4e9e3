//! Sources: fetched once for all who ask, kept as long as they may be, revalidated when they are stale.

use std::pin::Pin;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, StatusCode, header};
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;

use super::CacheStatus;
use super::figures::CacheFigures;
use super::freshness::{CacheOverride, Freshness, Usable, same_variant, varied_headers};
use super::keys::{self, Fingerprint, SourceName};
use super::purge::{Stamp, Subject};
use super::single_flight::Flights;
use super::tiers::{CacheTiers, Stamped, StampedHead};
use super::waits::Waits;
use crate::access::Turn;
use crate::admission::InputData;
use crate::error::ApiError;
use crate::sources::{FetchError, Fetched, status_error};

/// Refreshes in the background at once; more wait for the next request.
const BACKGROUND_REFRESHES: usize = 64;
/// Bytes of tags that are kept; the head of an entry is bounded.
const MAX_TAG_BYTES: usize = 16 << 10;
/// Bytes from which hashing leaves the async threads.
const HASHED_INLINE: usize = 64 << 10;

const CACHE_TAG: &str = "cache-tag";

/// Headers of a source that answers inherit, or that decide about them.
const KEPT_HEADERS: [HeaderName; 9] = [
    header::CACHE_CONTROL,
    header::EXPIRES,
    header::DATE,
    header::ETAG,
    header::LAST_MODIFIED,
    header::CONTENT_LOCATION,
    header::ACCESS_CONTROL_ALLOW_ORIGIN,
    HeaderName::from_static("timing-allow-origin"),
    HeaderName::from_static("cross-origin-resource-policy"),
];

pub(crate) type FetchFuture = Pin<Box<dyn Future<Output = Result<Fetched, FetchError>> + Send>>;

/// Fetches one source, under these conditions.
pub(crate) type FetchSource = Arc<dyn Fn(HeaderMap) -> FetchFuture + Send + Sync>;

/// A source that is wanted, and how to fetch it.
#[derive(Clone)]
pub(crate) struct SourceQuery {
    pub(crate) name: SourceName,
    /// The name under which it is kept.
    pub(crate) kept_as: SourceName,
    /// Request headers that differ between requests for one URL.
    pub(crate) sent: HeaderMap,
    pub(crate) worker: CacheOverride,
    /// What is kept is not used without asking, however fresh it is.
    pub(crate) revalidates: bool,
    pub(crate) fetch: FetchSource,
    /// What the client has, for a fetch that nobody else shares.
    pub(crate) conditions: HeaderMap,
    /// Taken before the origin is asked.
    pub(crate) turn: Turn,
    pub(crate) wait: Arc<Waits>,
}

/// What is kept of a source besides its bytes.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct SourceRecord {
    stamp: Stamp,
    subject: Subject,
    pub(crate) freshness: Freshness,
    status: u16,
    /// The digest of the bytes; `None` for an error.
    pub(crate) version: Option<Fingerprint>,
    headers: Vec<(String, String)>,
    varied: Vec<(String, String)>,
}

impl Stamped for SourceRecord {
    fn stamp(&self) -> Stamp {
        self.stamp
    }

    fn subject(&self) -> &Subject {
        &self.subject
    }
}

impl SourceRecord {
    /// The headers that were kept.
    pub(crate) fn headers(&self) -> HeaderMap {
        let pairs =
            self.headers.iter().filter_map(|(name, value)| Some((name.parse().ok()?, value.parse().ok()?)));
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append::<HeaderName>(name, value);
        }
        headers
    }

    pub(crate) fn subject(&self) -> &Subject {
        &self.subject
    }

    /// The conditions under which the source need not be sent again; empty if there are none.
    fn conditions(&self) -> HeaderMap {
        let mut conditions = HeaderMap::new();
        let headers = self.headers();
        // An error is asked for anew, and so is what a redirect led to: its validators are not those of the URL.
        if self.version.is_none() || headers.contains_key(header::CONTENT_LOCATION) {
            return conditions;
        }
        if let Some(etag) = headers.get(header::ETAG) {
            conditions.insert(header::IF_NONE_MATCH, etag.clone());
        } else if let Some(date) = headers.get(header::LAST_MODIFIED) {
            conditions.insert(header::IF_MODIFIED_SINCE, date.clone());
        }
        conditions
    }
}

/// The bytes of a source, as they are kept.
#[derive(Debug, Serialize)]
struct BytesHead {
    stamp: Stamp,
    subject: Subject,
}

impl Stamped for BytesHead {
    fn stamp(&self) -> Stamp {
        self.stamp
    }

    fn subject(&self) -> &Subject {
        &self.subject
    }
}

/// A source that can be used now.
#[derive(Debug, Clone)]
pub(crate) struct Resolved {
    pub(crate) record: Arc<SourceRecord>,
    pub(crate) status: CacheStatus,
    /// There if it was wanted, or had to be fetched anyway.
    pub(crate) body: Option<InputData>,
    /// Whether results of it may be kept.
    pub(crate) kept: bool,
    /// The client has it already: the origin said so.
    pub(crate) not_modified: bool,
}

impl Resolved {
    pub(crate) fn version(&self) -> Fingerprint {
        self.record.version.unwrap_or_default()
    }
}

/// An error and its `cf-cache-status`.
#[derive(Debug, Clone)]
pub(crate) struct SourceError {
    pub(crate) error: ApiError,
    pub(crate) status: CacheStatus,
    pub(crate) age: Option<u64>,
    /// The origin was reached: its CORS headers, if any.
    pub(crate) headers: HeaderMap,
}

impl From<ApiError> for SourceError {
    fn from(error: ApiError) -> Self {
        Self { error, status: CacheStatus::Miss, age: None, headers: HeaderMap::new() }
    }
}

/// What one fetch brought, shared by all who waited for it.
#[derive(Debug, Clone)]
struct Outcome {
    record: Arc<SourceRecord>,
    body: Option<InputData>,
    kept: bool,
    revalidated: bool,
}

/// Keys of fetches: the record, and whether the request is conditional.
type FlightKey = (store::Key, bool);
#[derive(Debug, Default)]
pub(crate) struct SourceFlights(Flights<FlightKey, Result<Outcome, FetchError>>);

impl SourceFlights {
    pub(crate) fn forget_all(&self) {
        self.0.forget_all();
    }
}

/// Resolves sources through the tiers. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Sources {
    tiers: Arc<CacheTiers>,
    flights: Arc<SourceFlights>,
    refreshes: Arc<Semaphore>,
    figures: Arc<CacheFigures>,
}

impl Sources {
    pub(crate) fn new(
        tiers: Arc<CacheTiers>,
        flights: Arc<SourceFlights>,
        figures: Arc<CacheFigures>,
    ) -> Self {
        Self { tiers, flights, refreshes: Arc::new(Semaphore::new(BACKGROUND_REFRESHES)), figures }
    }

    /// A source as of now. With `need_bytes` its bytes are there.
    ///
    /// # Errors
    /// What the origin or the way to it did, also if that is kept.
    pub(crate) async fn resolve(
        &self,
        query: &SourceQuery,
        need_bytes: bool,
    ) -> Result<Resolved, SourceError> {
        if !self.tiers.is_enabled() {
            return self.fetch_alone(query).await;
        }
        let key = self.key(query);
        let Some(record) = self.record(&key, query).await else {
            return Ok(self.fetch(query, key, None, CacheStatus::Miss).await?);
        };
        let usable = match record.freshness.usable(SystemTime::now()) {
            Usable::Fresh | Usable::WhileRevalidating if query.revalidates => {
                Usable::AfterRevalidation { on_error: false }
            }
            usable => usable,
        };
        match usable {
            Usable::Fresh => self.kept(query, key, record, CacheStatus::Hit, need_bytes).await,
            Usable::WhileRevalidating => {
                self.refresh(query, key, &record);
                self.kept(query, key, record, CacheStatus::Updating, need_bytes).await
            }
            Usable::AfterRevalidation { on_error } => {
                let fetched = self.fetch(query, key, Some(&record), CacheStatus::Expired).await;
                let resolved = match fetched {
                    Err(Failed { outage: true, .. }) if on_error && record.version.is_some() => {
                        return self.kept(query, key, record, CacheStatus::Stale, need_bytes).await;
                    }
                    fetched => fetched?,
                };
                if need_bytes && resolved.body.is_none() {
                    let status = resolved.status;
                    return self.kept(query, key, resolved.record, status, true).await;
                }
                Ok(resolved)
            }
        }
    }

    /// Without a cache every request fetches for itself.
    async fn fetch_alone(&self, query: &SourceQuery) -> Result<Resolved, SourceError> {
        query.turn.take()?;
        let fetched = (query.fetch)(query.conditions.clone()).await;
        let fetched = fetched.map_err(|failure| Failed::of(failure).error)?;
        let record = SourceRecord {
            stamp: self.tiers.purges.stamp(),
            subject: Subject::default(),
            freshness: Freshness::none(),
            status: StatusCode::OK.as_u16(),
            version: None,
            headers: kept_headers(&fetched.headers),
            varied: Vec::new(),
        };
        let status = CacheStatus::Dynamic;
        let not_modified = fetched.body.is_none();
        Ok(Resolved { record: Arc::new(record), status, body: fetched.body, kept: false, not_modified })
    }

    fn key(&self, query: &SourceQuery) -> store::Key {
        keys::source_record(&query.kept_as, &keys::variant(&query.sent, &query.worker))
    }

    fn bytes_key(query: &SourceQuery, version: &Fingerprint) -> store::Key {
        keys::source_bytes(&query.kept_as, version)
    }

    async fn record(&self, key: &store::Key, query: &SourceQuery) -> Option<Arc<SourceRecord>> {
        let found = self.tiers.get::<SourceRecord>(key, &[&query.name], &query.wait).await?;
        same_variant(&found.head.varied, &query.sent).then_some(found.head)
    }

    /// Uses what is kept; if its bytes are wanted and gone, they are fetched.
    async fn kept(
        &self,
        query: &SourceQuery,
        key: store::Key,
        record: Arc<SourceRecord>,
        status: CacheStatus,
        need_bytes: bool,
    ) -> Result<Resolved, SourceError> {
        let Some(version) = record.version else {
            return Err(SourceError {
                error: status_error(record.status()),
                status,
                age: Some(record.freshness.age(SystemTime::now())),
                headers: record.headers(),
            });
        };
        if !need_bytes {
            return Ok(Resolved { record, status, body: None, kept: true, not_modified: false });
        }
        let bytes_key = Self::bytes_key(query, &version);
        match self.tiers.get::<StampedHead>(&bytes_key, &[&query.name], &query.wait).await {
            Some(found) => {
                let body = Some(InputData::Bytes(found.body));
                Ok(Resolved { record, status, body, kept: true, not_modified: false })
            }
            None => Ok(self.fetch(query, key, None, CacheStatus::Miss).await?),
        }
    }

    fn refresh(&self, query: &SourceQuery, key: store::Key, record: &Arc<SourceRecord>) {
        let Ok(place) = Arc::clone(&self.refreshes).try_acquire_owned() else { return };
        let (this, record) = (self.clone(), Arc::clone(record));
        // The client has its answer: this work is not its own.
        let query = SourceQuery { turn: Turn::free(), wait: Arc::default(), ..query.clone() };
        tokio::spawn(async move {
            let _place = place;
            let _ = this.fetch(&query, key, Some(&record), CacheStatus::Updating).await;
        });
    }

    /// Asks the origin, once for all who ask now. `status` is for a whole new source.
    async fn fetch(
        &self,
        query: &SourceQuery,
        key: store::Key,
        known: Option<&Arc<SourceRecord>>,
        status: CacheStatus,
    ) -> Result<Resolved, Failed> {
        query.turn.take().map_err(|error| Failed { error: error.into(), outage: false })?;
        let conditions = known.map(|record| record.conditions()).unwrap_or_default();
        let conditional = !conditions.is_empty();
        let (this, task_query, record) = (self.clone(), query.clone(), known.cloned());
        let flight = self.flights.0.run((key, conditional), move || async move {
            this.fetch_and_keep(task_query, key, record, conditions).await
        });
        let (outcome, joined) = flight.await;
        if joined && query.wait.joins() {
            self.figures.count_shared();
        }
        match outcome {
            Ok(fetch) => {
                let status = match (fetch.kept, fetch.revalidated) {
                    (false, _) => CacheStatus::Bypass,
                    (true, true) => CacheStatus::Revalidated,
                    (true, false) => status,
                };
                let Outcome { record, body, kept, .. } = fetch;
                Ok(Resolved { record, status, body, kept, not_modified: false })
            }
            Err(failure) => Err(Failed::of(failure)),
        }
    }

    async fn fetch_and_keep(
        self,
        query: SourceQuery,
        key: store::Key,
        known: Option<Arc<SourceRecord>>,
        conditions: HeaderMap,
    ) -> Result<Outcome, FetchError> {
        // Another flight may have landed since the caller looked.
        if let Some(outcome) = self.fetched_meanwhile(&query, &key, known.as_deref()) {
            return Ok(outcome);
        }
        let stamp = self.tiers.purges.stamp();
        // The source is as old as the request for it, at most (RFC 9111, section 4.2.3).
        let now = SystemTime::now();
        let fetched = (query.fetch)(conditions.clone()).await;
        let fetched = match fetched {
            Err(failure) => {
                self.keep_failure(&query, key, stamp, &failure, now);
                return Err(failure);
            }
            Ok(fetched) => fetched,
        };
        let Some(body) = fetched.body else {
            // A 304 to a request without conditions has no body to go with it.
            let known = known.filter(|_| !conditions.is_empty());
            let known = known.ok_or_else(|| FetchError::from(status_error(StatusCode::NOT_MODIFIED)))?;
            let headers = updated(&known.headers(), &fetched.headers);
            let freshness = Freshness::of(StatusCode::OK, &headers, &query.sent, &query.worker, now);
            let kept = freshness.is_ok();
            let tagged = fetched.headers.contains_key(CACHE_TAG);
            let record = SourceRecord {
                stamp,
                subject: if tagged { subject(&query, &fetched.headers) } else { known.subject.clone() },
                freshness: freshness.unwrap_or_else(|_| known.freshness.clone()),
                headers: kept_headers(&headers),
                varied: varied_headers(&headers, &query.sent),
                ..(*known).clone()
            };
            let record = Arc::new(record);
            if kept {
                self.tiers.put(key, &*record, &Bytes::new());
            } else {
                self.tiers.remove(key);
            }
            return Ok(Outcome { record, body: None, kept, revalidated: true });
        };
        let version = fingerprint(&body).await?;
        let freshness = Freshness::of(StatusCode::OK, &fetched.headers, &query.sent, &query.worker, now);
        let subject = subject(&query, &fetched.headers);
        let mut record = SourceRecord {
            stamp,
            subject,
            freshness: Freshness::none(),
            status: StatusCode::OK.as_u16(),
            version: Some(version),
            headers: kept_headers(&fetched.headers),
            varied: varied_headers(&fetched.headers, &query.sent),
        };
        let kept = freshness.is_ok();
        if let Ok(freshness) = freshness {
            record.freshness = freshness;
            let head = BytesHead { stamp, subject: record.subject.clone() };
            // A source that found no room in memory is not kept there.
            if let InputData::Bytes(bytes) = &body {
                self.tiers.put(Self::bytes_key(&query, &version), &head, bytes);
            }
            self.tiers.put(key, &record, &Bytes::new());
        } else if known.is_some() {
            // The old source is no longer what its origin has.
            self.tiers.remove(key);
        }
        Ok(Outcome { record: Arc::new(record), body: Some(body), kept, revalidated: false })
    }

    /// A fresh source that is in memory as a whole, or that another flight has confirmed since `known` was read.
    fn fetched_meanwhile(
        &self,
        query: &SourceQuery,
        key: &store::Key,
        known: Option<&SourceRecord>,
    ) -> Option<Outcome> {
        let asked = [&query.name];
        let record = self.tiers.get_now::<SourceRecord>(key, &asked)?.head;
        let fresh = record.freshness.usable(SystemTime::now()) == Usable::Fresh;
        let version = record.version.filter(|_| fresh && same_variant(&record.varied, &query.sent))?;
        if known.is_some_and(|known| known.stamp == record.stamp) {
            return None;
        }
        let revalidated = known.is_some_and(|known| known.version == Some(version));
        let bytes = self.tiers.get_now::<StampedHead>(&Self::bytes_key(query, &version), &asked);
        let body = bytes.map(|kept| InputData::Bytes(kept.body));
        if body.is_none() && known.is_none() {
            return None;
        }
        Some(Outcome { record, body, kept: true, revalidated })
    }

    fn keep_failure(
        &self,
        query: &SourceQuery,
        key: store::Key,
        stamp: Stamp,
        failure: &FetchError,
        now: SystemTime,
    ) {
        let (Some(status), headers) = (&failure.status, &failure.headers) else { return };
        let Ok(freshness) = Freshness::of(*status, headers, &query.sent, &query.worker, now) else { return };
        let record = SourceRecord {
            stamp,
            subject: subject(query, headers),
            freshness,
            status: status.as_u16(),
            version: None,
            headers: kept_headers(headers),
            varied: varied_headers(headers, &query.sent),
        };
        self.tiers.put(key, &record, &Bytes::new());
    }
}

impl SourceRecord {
    fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }
}

/// A fetch that failed, and whether a stale source may take its place.
#[derive(Debug)]
struct Failed {
    error: SourceError,
    outage: bool,
}

impl Failed {
    fn of(failure: FetchError) -> Self {
        Self {
            outage: failure.is_outage(),
            error: SourceError {
                status: CacheStatus::Miss,
                age: None,
                headers: *failure.headers,
                error: failure.error,
            },
        }
    }
}

impl From<Failed> for SourceError {
    fn from(failed: Failed) -> Self {
        failed.error
    }
}

/// The digest of an input, off the async threads if that takes long.
pub(crate) async fn fingerprint(input: &InputData) -> Result<Fingerprint, ApiError> {
    if let InputData::Bytes(bytes) = input
        && bytes.len() <= HASHED_INLINE
    {
        return Ok(keys::fingerprint(bytes));
    }
    let input = input.clone();
    let hashed = tokio::task::spawn_blocking(move || keys::input_fingerprint(&input));
    hashed.await.unwrap_or_else(|_| Err(ApiError::internal("hashing an input failed")))
}

fn kept_headers(headers: &HeaderMap) -> Vec<(String, String)> {
    let mut kept = Vec::new();
    for name in KEPT_HEADERS {
        let values = headers.get_all(&name).iter().filter_map(|value| value.to_str().ok());
        kept.extend(values.map(|value| (name.as_str().to_owned(), value.to_owned())));
    }
    kept
}

/// Headers that were kept, updated by those of a 304 (RFC 9111, section 3.2).
fn updated(kept: &HeaderMap, confirmed: &HeaderMap) -> HeaderMap {
    let mut headers = kept.clone();
    for name in confirmed.keys() {
        headers.remove(name);
        for value in confirmed.get_all(name) {
            headers.append(name.clone(), value.clone());
        }
    }
    headers
}

/// The source's name and its tags: those of `Cache-Tag` and those of the Worker.
fn subject(query: &SourceQuery, headers: &HeaderMap) -> Subject {
    // Whatever its bytes mean, the other tags of the line count.
    let lines: Vec<_> =
        headers.get_all(CACHE_TAG).iter().map(|v| String::from_utf8_lossy(v.as_bytes())).collect();
    let named = lines.iter().flat_map(|line| line.split(',')).map(str::trim).filter(|tag| !tag.is_empty());
    let mut length = 0;
    // The Worker's first: an origin may send more than is kept.
    let tags = query.worker.tags.iter().map(String::as_str).chain(named);
    let tags = tags.map(str::to_owned).take_while(|tag| {
        length += tag.len() + 3;
        length <= MAX_TAG_BYTES
    });
    Subject { sources: vec![query.name.clone()], tags: tags.collect() }
}

impl std::fmt::Debug for SourceQuery {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SourceQuery")
            .field("name", &self.name)
            .field("worker", &self.worker)
            .finish_non_exhaustive()
    }
}
