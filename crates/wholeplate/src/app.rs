//! What all doors share, and the way from a recipe to an image.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use imaging::{Body, Rendered};
use recipe::{Input, Recipe, Warnings};

use crate::config::Config;
use crate::error::Fault;
use crate::memory::{Share, Shares};
use crate::pool::{Given, Made, Pool};
use crate::source::{Asker, Fetcher};
use crate::trace::Exporter;

/// Overlays and fonts of one request that are fetched at once.
const FETCHES_AT_ONCE: usize = 6;

/// The service without its sockets.
#[derive(Debug)]
pub(crate) struct App {
    pub(crate) config: Config,
    pub(crate) fetcher: Fetcher,
    pub(crate) pool: Pool,
    /// Memory for the inputs of all requests.
    pub(crate) inputs: Share,
    /// Where spans go, if anywhere.
    pub(crate) exporter: Option<Exporter>,
}

/// An image and how it was made.
#[derive(Debug)]
pub(crate) struct Product {
    /// Holds its memory until the last byte has been delivered.
    pub(crate) body: Bytes,
    /// What is known of the result, without its bytes.
    pub(crate) rendered: Rendered,
    pub(crate) queued: Duration,
    pub(crate) warnings: Warnings,
    /// Time spent on fetching overlays and fonts.
    pub(crate) fetched: Duration,
}

impl App {
    /// # Errors
    /// A message that names the setting that cannot be used.
    pub(crate) fn new(config: Config, exporter: Option<Exporter>) -> Result<Arc<Self>, String> {
        let Shares { inputs, pixels } = Shares::of(config.memory << 20);
        let fetcher = Fetcher::new(&config, &inputs)?;
        let models = crate::models::load(config.segment_model.as_deref(), &config.upscale_model)?;
        let pool = Pool::new(&config, pixels, models)?;
        Ok(Arc::new(Self { config, fetcher, pool, inputs, exporter }))
    }

    /// Carries out a recipe. `supplied[i]` is input `i`, where the door has it; overlays by URL
    /// and fonts are fetched here, but only those that can be seen in the result.
    pub(crate) async fn produce(
        &self,
        mut recipe: Recipe,
        supplied: &[Given],
        asker: &Asker,
    ) -> Result<Product, Fault> {
        recipe.prune();
        let used = recipe.used_images();
        let began = Instant::now();
        let wanted = recipe.inputs.iter().enumerate().map(|(i, input)| {
            let used = used.get(i).copied().unwrap_or(false);
            let supplied = supplied.get(i).cloned().unwrap_or(Given::Nothing);
            async move {
                Ok::<Given, Fault>(match (input, supplied) {
                    _ if !used => Given::Nothing,
                    (Input::Supplied, Given::Nothing) => {
                        return Err(Fault::bad_request(format_args!("image {i} is missing")));
                    }
                    (Input::Supplied, supplied) => supplied,
                    (Input::Url(url), _) => Given::Bytes(self.fetcher.overlay(url, asker).await?.bytes),
                    (Input::Text(text), _) => Given::Bytes(self.fetcher.font(&text.font_url, asker).await?),
                })
            }
        });
        let wanted: Vec<_> = wanted.collect();
        let given: Vec<Given> = stream::iter(wanted).buffered(FETCHES_AT_ONCE).try_collect().await?;
        let fetched = began.elapsed();
        let first = given.first().cloned();
        let mut warnings = recipe.warnings();
        let Made { mut rendered, notices, queued, held } =
            self.pool.make(recipe, given, &asker.trace).await?;
        warnings.extend(notices);
        let body = match std::mem::replace(&mut rendered.body, Body::Input) {
            Body::Bytes(bytes) => held.tie(bytes),
            Body::Input => first.map(|first| first.open()).transpose()?.flatten().unwrap_or_default(),
        };
        Ok(Product { body, rendered, queued, warnings, fetched })
    }
}
