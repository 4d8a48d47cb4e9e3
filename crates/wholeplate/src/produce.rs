//! From a recipe and its inputs to a result: fetch what is missing, then render.

use std::time::Instant;

use futures_util::{StreamExt, TryStreamExt, stream};
use recipe::{Input, Recipe, Warnings};

use crate::admission::{Client, InputData, RenderOutcome};
use crate::app::App;
use crate::error::ApiError;
use crate::sources::SourceRequest;

/// Overlays and fonts of one request that are fetched at once.
const FETCHES_AT_ONCE: usize = 6;

/// A recipe, and what its parser had to warn of.
#[derive(Debug)]
pub(crate) struct Task {
    pub(crate) recipe: Recipe,
    pub(crate) warnings: Warnings,
    /// Whom the work is accounted to.
    pub(crate) client: Client,
    /// Where the source is, for metrics.
    pub(crate) host: String,
}

impl App {
    /// Carries out a recipe. `supplied[i]` is input `i`, where the route has it; overlays by URL and fonts are fetched
    /// here, but only those that can be seen in the result. The outcome has all warnings of the request.
    pub(crate) async fn produce(
        &self,
        task: Task,
        supplied: &[InputData],
        request: &SourceRequest,
    ) -> Result<RenderOutcome, ApiError> {
        let Task { mut recipe, mut warnings, client, host } = task;
        recipe.prune();
        let began = Instant::now();
        let inputs = self.inputs_of(&recipe, supplied, request).await?;
        let fetched = began.elapsed();
        warnings.extend(recipe.warnings());
        let mut outcome = self.pool.render(recipe, inputs, &client, &request.trace).await?;
        self.counters.image(&host, outcome.source_type, outcome.rendered.content_type);
        warnings.extend(outcome.warnings);
        outcome.warnings = warnings;
        outcome.fetched = fetched;
        Ok(outcome)
    }

    /// The bytes of all inputs that can be seen in the result.
    async fn inputs_of(
        &self,
        recipe: &Recipe,
        supplied: &[InputData],
        request: &SourceRequest,
    ) -> Result<Vec<InputData>, ApiError> {
        let used = recipe.used_images();
        let fetches = recipe.inputs.iter().enumerate().map(|(i, input)| {
            let used = used.get(i).copied().unwrap_or(false);
            let supplied = supplied.get(i).cloned().unwrap_or(InputData::Nothing);
            async move {
                Ok::<InputData, ApiError>(match (input, supplied) {
                    _ if !used => InputData::Nothing,
                    (Input::Supplied, InputData::Nothing) => {
                        return Err(ApiError::bad_request(format_args!("image {i} is missing")));
                    }
                    (Input::Supplied, supplied) => supplied,
                    (Input::Url(url), _) => InputData::Bytes(self.fetcher.overlay(url, request).await?),
                    (Input::Text(text), _) => {
                        InputData::Bytes(self.fetcher.font(&text.font_url, request).await?)
                    }
                })
            }
        });
        let fetches: Vec<_> = fetches.collect();
        stream::iter(fetches).buffered(FETCHES_AT_ONCE).try_collect().await
    }
}
