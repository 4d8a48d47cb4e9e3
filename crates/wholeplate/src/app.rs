//! What all routes share.

use std::sync::Arc;

use delivery::Peer;
use tokio::sync::Semaphore;

use crate::access::Access;
use crate::admission::{Client, MemoryPool, MemoryPools, Pool};
use crate::config::{Config, Mebibytes};
use crate::counters::Counters;
use crate::health::Health;
use crate::request::RequestContext;
use crate::sources::Fetcher;
use crate::telemetry::Exporter;

/// The service without its sockets.
#[derive(Debug)]
pub(crate) struct App {
    pub(crate) config: Config,
    pub(crate) access: Access,
    pub(crate) fetcher: Fetcher,
    pub(crate) pool: Pool,
    /// Memory for the inputs of all requests.
    pub(crate) inputs: MemoryPool,
    /// Places for requests that are passed on: half of the connections (OPS-036).
    pub(crate) passed_on: Arc<Semaphore>,
    /// Disk space for uploads.
    pub(crate) spool: MemoryPool,
    pub(crate) health: Health,
    pub(crate) counters: Counters,
    /// Where spans go, if anywhere.
    pub(crate) exporter: Option<Exporter>,
}

impl App {
    /// # Errors
    /// A message that names the setting that cannot be used.
    pub(crate) fn new(config: Config, exporter: Option<Exporter>) -> Result<Arc<Self>, String> {
        let size = |setting: Mebibytes| usize::try_from(setting.bytes()).unwrap_or(usize::MAX);
        let MemoryPools { inputs, pixels } = MemoryPools::of(size(config.memory));
        let access = Access::new(&config)?;
        let spool = MemoryPool::new(size(config.spool));
        let fetcher = Fetcher::new(&config, &inputs)?;
        let models = crate::models::load(config.segment_model.as_deref(), &config.upscale_model)?;
        let pool = Pool::new(&config, pixels, models)?;
        let passed_on = Arc::new(Semaphore::new((config.max_connections / 2).max(1)));
        let (health, counters) = (Health::default(), Counters::default());
        Ok(Arc::new(Self {
            config,
            access,
            fetcher,
            pool,
            inputs,
            passed_on,
            spool,
            health,
            counters,
            exporter,
        }))
    }

    /// Whom the work of a request is accounted to: its address, or the value of the header of `client-header`.
    pub(crate) fn client(&self, request: &RequestContext) -> Client {
        let named = self.config.client_header.as_ref().and_then(|name| request.headers.get(name));
        match (named, &request.client) {
            (Some(name), _) => Client::named(name.as_bytes()),
            (None, Peer::Tcp(address)) => Client::Address(address.ip()),
            (None, _) => Client::Local,
        }
    }
}
