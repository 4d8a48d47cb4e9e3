//! What all routes share.

use std::sync::Arc;

use tokio::sync::Semaphore;

use crate::config::Config;
use crate::memory::{Share, Shares};
use crate::pool::Pool;
use crate::sources::Fetcher;
use crate::telemetry::Exporter;

/// The service without its sockets.
#[derive(Debug)]
pub(crate) struct App {
    pub(crate) config: Config,
    pub(crate) fetcher: Fetcher,
    pub(crate) pool: Pool,
    /// Memory for the inputs of all requests.
    pub(crate) inputs: Share,
    /// Places for requests that are passed on: half of the connections (OPS-036).
    pub(crate) passed_on: Arc<Semaphore>,
    /// Where spans go, if anywhere.
    pub(crate) exporter: Option<Exporter>,
}

impl App {
    /// # Errors
    /// A message that names the setting that cannot be used.
    pub(crate) fn new(config: Config, exporter: Option<Exporter>) -> Result<Arc<Self>, String> {
        let Shares { inputs, pixels } =
            Shares::of(usize::try_from(config.memory.bytes()).unwrap_or(usize::MAX));
        let fetcher = Fetcher::new(&config, &inputs)?;
        let models = crate::models::load(config.segment_model.as_deref(), &config.upscale_model)?;
        let pool = Pool::new(&config, pixels, models)?;
        let passed_on = Arc::new(Semaphore::new((config.max_connections / 2).max(1)));
        Ok(Arc::new(Self { config, fetcher, pool, inputs, passed_on, exporter }))
    }
}
