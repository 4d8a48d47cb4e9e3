//! What all routes share.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use delivery::Peer;
use edge::Edge;
use imaging::OutputLimits;
use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;

use crate::access::Access;
use crate::admission::{Client, InputSpace, MemoryPool, MemoryPools, Pool};
use crate::cache::keys::{Engine, Fingerprint};
use crate::cache::report::Failure;
use crate::cache::tiers::{CacheSettings, CacheTiers};
use crate::cache::{Cache, CacheStatus};
use crate::config::{Config, Mebibytes};
use crate::counters::Counters;
use crate::edge_origin;
use crate::error::ApiError;
use crate::health::Health;
use crate::request::RequestContext;
use crate::sources::Fetcher;
use crate::telemetry::Exporter;
use crate::transformation::UrlTransformations;

/// The service without its sockets.
#[derive(Debug)]
pub(crate) struct App {
    pub(crate) config: Config,
    pub(crate) access: Access,
    /// What results depend on besides their inputs and recipe.
    pub(crate) engine: Engine,
    pub(crate) fetcher: Fetcher,
    pub(crate) transformations: UrlTransformations,
    pub(crate) pool: Pool,
    /// Memory and disk space for the inputs of all requests.
    pub(crate) inputs: InputSpace,
    /// Memory for the heads of all requests.
    pub(crate) requests: MemoryPool,
    pub(crate) cache: Arc<Cache>,
    /// Places for requests that are passed on: half of the connections (OPS-036).
    pub(crate) passed_on: Arc<Semaphore>,
    /// The way to the origin of whatever is not ours, in edge mode.
    pub(crate) edge: Option<Edge>,
    pub(crate) health: Health,
    pub(crate) counters: Counters,
    pub(crate) started: SystemTime,
    /// Where spans go, if anywhere.
    pub(crate) exporter: Option<Exporter>,
}

impl App {
    /// # Errors
    /// A message that names the setting that cannot be used.
    pub(crate) async fn new(config: Config, exporter: Option<Exporter>) -> Result<Arc<Self>, String> {
        let size = |setting: Mebibytes| usize::try_from(setting.bytes()).unwrap_or(usize::MAX);
        let settings = cache_settings(&config);
        // The cache's memory is part of the whole, not beside it.
        let MemoryPools { inputs, pixels, requests } = MemoryPools::of(size(config.memory) - settings.memory);
        let access = Access::new(&config)?;
        let inputs = InputSpace { memory: inputs, disk: MemoryPool::new(size(config.spool)) };
        // What is read from the slow tiers counts as input: a request that holds it may still wait for pixels.
        let cache = Arc::new(Cache::new(CacheTiers::open(&settings, inputs.memory.clone()).await?));
        let models = crate::models::load(config.segment_model.as_deref(), &config.upscale_model)?;
        let engine = engine(&config)?;
        let pool = Pool::new(&config, pixels, models)?;
        let fetcher = Fetcher::new(&config, &inputs, pool.compute())?;
        let passed_on = Arc::new(Semaphore::new((config.max_connections / 2).max(1)));
        let edge = edge_origin::open(&config, &passed_on, &inputs.memory)?;
        let (health, counters) = (Health::default(), Counters::default());
        Ok(Arc::new(Self {
            config,
            access,
            engine,
            fetcher,
            transformations: UrlTransformations::default(),
            pool,
            inputs,
            requests,
            cache,
            passed_on,
            edge,
            health,
            counters,
            started: SystemTime::now(),
            exporter,
        }))
    }

    /// Whom the work of a request is accounted to: its address, or the value of the header of `client-header`.
    pub(crate) fn client(&self, request: &RequestContext) -> Client {
        let header = self.config.client_header.as_ref();
        let last = header.and_then(|name| request.headers.get_all(name).iter().next_back());
        match (last.and_then(|value| Client::named(value.as_bytes())), &request.client) {
            (Some(named), _) => named,
            (None, Peer::Tcp(address)) => Client::at(address.ip()),
            (None, _) => Client::Local,
        }
    }

    /// An error before anything was fetched or looked up.
    pub(crate) fn failure(&self, error: ApiError) -> Failure {
        let mut failure = Failure::from(error);
        if !self.cache.is_enabled() {
            failure.report.status = CacheStatus::Dynamic;
        }
        failure
    }
}

/// The engine with the settings that change results. A result that is kept belongs to them: another process may read it.
fn engine(config: &Config) -> Result<Engine, String> {
    let mut settings = Vec::new();
    let mut add = |name, value: Option<String>| settings.extend(value.map(|value| (name, value)));
    // Without `..`: a new limit changes results too.
    let OutputLimits { max_width, max_height, max_pixels, formats, max_animation_frames } =
        config.output_limits()?;
    add("max-width", max_width.map(|n| n.to_string()));
    add("max-height", max_height.map(|n| n.to_string()));
    add("max-output-pixels", max_pixels.map(|n| n.to_string()));
    add("max-animation-frames", max_animation_frames.map(|n| n.to_string()));
    let formats = formats.iter().flatten().map(|format| format.name().to_owned()).collect();
    for (name, mut list) in [
        ("allowed-formats", formats),
        ("extra-inputs", config.extra_inputs.clone()),
        ("refused-inputs", config.refused_inputs.clone()),
    ] {
        list.sort();
        list.dedup();
        add(name, Some(list.join(",")).filter(|list| !list.is_empty()));
    }
    for path in config.segment_model.iter().chain(&config.upscale_model) {
        let digest = file_fingerprint(path).map_err(|e| format!("{}: {e}", path.display()))?;
        add("model", Some(format!("{digest:?}")));
    }
    Ok(Engine::new(&settings))
}

fn file_fingerprint(path: &Path) -> std::io::Result<Fingerprint> {
    let mut file = BufReader::with_capacity(1 << 20, File::open(path)?);
    let mut digest = Sha256::new();
    loop {
        let piece = file.fill_buf()?;
        if piece.is_empty() {
            return Ok(digest.finalize().into());
        }
        digest.update(piece);
        let length = piece.len();
        file.consume(length);
    }
}

/// The least part of `memory` that is left to images: three quarters.
const CACHE_SHARE: usize = 4;

/// Results that wait to be written to a slow tier hold their memory: a sixteenth of `memory` at most for each tier.
const WRITE_SHARE: usize = 16;
const MAX_WAITING: usize = 64 << 20;

pub(crate) fn cache_settings(config: &Config) -> CacheSettings {
    let bytes = |size: u64| usize::try_from(size).unwrap_or(usize::MAX);
    let wanted = bytes(config.cache_memory.bytes());
    let possible = bytes(config.memory.bytes()) / CACHE_SHARE;
    if config.cache && wanted > possible {
        tracing::info!(
            "cache-memory: {} MiB, a quarter of memory, instead of {}",
            possible >> 20,
            config.cache_memory
        );
    }
    CacheSettings {
        enabled: config.cache,
        memory: if config.cache { wanted.min(possible) } else { 0 },
        max_waiting: (bytes(config.memory.bytes()) / WRITE_SHARE).min(MAX_WAITING),
        folder: config.cache_dir.clone().filter(|_| config.cache),
        folder_bytes: config.cache_disk.bytes(),
        bucket: config.cache_store.clone().filter(|_| config.cache),
        bucket_timeout: config.cache_store_timeout.duration(),
        max_entry: bytes(config.max_source.0).max(MAX_RESULT),
    }
}

/// Larger entries are not read back from a bucket.
const MAX_RESULT: usize = 256 << 20;
