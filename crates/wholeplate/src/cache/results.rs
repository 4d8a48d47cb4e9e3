//! Results: computed once for all who ask, kept with what their headers need.

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use store::{Key, Tier};

use super::figures::CacheFigures;
use super::keys::SourceName;
use super::purge::{Stamp, Subject};
use super::single_flight::Flights;
use super::tiers::{CacheTiers, Kept, Stamped};
use super::waits::Waits;
use crate::error::ApiError;

/// What is kept of a result besides its bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ResultHead {
    pub(crate) stamp: Stamp,
    pub(crate) subject: Subject,
    pub(crate) content_type: String,
    /// Warnings of the plan and of the rendering.
    pub(crate) warnings: Vec<String>,
    /// `cf-resized` without its first word.
    pub(crate) timings: String,
}

impl Stamped for ResultHead {
    fn stamp(&self) -> Stamp {
        self.stamp
    }

    fn subject(&self) -> &Subject {
        &self.subject
    }
}

impl ResultHead {
    fn is_png(&self) -> bool {
        self.content_type == "image/png"
    }
}

/// Where a result is kept.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ResultKeys {
    pub(crate) own: Key,
    /// Of the recipe without an explicit quality that is the default: the same result, unless it is PNG.
    pub(crate) unless_png: Option<Key>,
}

impl ResultKeys {
    fn of(self, head: &ResultHead) -> Key {
        self.unless_png.filter(|_| !head.is_png()).unwrap_or(self.own)
    }
}

/// A finished result.
#[derive(Debug, Clone)]
pub(crate) struct RenderedResult {
    pub(crate) head: Arc<ResultHead>,
    pub(crate) body: Bytes,
}

/// A result and where it came from.
#[derive(Debug, Clone)]
pub(crate) struct Answered {
    pub(crate) result: RenderedResult,
    /// `None` if it was computed.
    pub(crate) tier: Option<Tier>,
}

/// Why a result could not be computed.
#[derive(Debug, Clone)]
pub(crate) enum ComputeError {
    Api(ApiError),
    /// The source is no longer the one that the result was to be of. Another attempt takes the new one.
    SourceChanged,
}

impl From<ApiError> for ComputeError {
    fn from(error: ApiError) -> Self {
        Self::Api(error)
    }
}

#[derive(Debug, Default)]
pub(crate) struct ResultFlights(Flights<Key, Result<RenderedResult, ComputeError>>);

impl ResultFlights {
    pub(crate) fn forget_all(&self) {
        self.0.forget_all();
    }
}

/// Finds and keeps results. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Results {
    tiers: Arc<CacheTiers>,
    flights: Arc<ResultFlights>,
    figures: Arc<CacheFigures>,
}

impl Results {
    pub(crate) fn new(
        tiers: Arc<CacheTiers>,
        flights: Arc<ResultFlights>,
        figures: Arc<CacheFigures>,
    ) -> Self {
        Self { tiers, flights, figures }
    }

    pub(crate) async fn find(
        &self,
        keys: ResultKeys,
        asked: &[&SourceName],
        wait: &Waits,
    ) -> Option<Answered> {
        if let Some(key) = &keys.unless_png
            && let Some(found) = self.find_one(key, asked, wait).await
            && !found.result.head.is_png()
        {
            return Some(found);
        }
        self.find_one(&keys.own, asked, wait).await
    }

    async fn find_one(&self, key: &Key, asked: &[&SourceName], wait: &Waits) -> Option<Answered> {
        let Kept { head, body, tier } = self.tiers.get(key, asked, wait).await?;
        Some(Answered { result: RenderedResult { head, body }, tier: Some(tier) })
    }

    /// Computes a result, once for all who ask for it now. It is kept if it is whole, `keep` says so and no purge has
    /// named it since `stamp`.
    ///
    /// # Errors
    /// Those of the computation; the next who asks tries anew.
    pub(crate) async fn compute<F>(
        &self,
        keys: ResultKeys,
        asked: &[&SourceName],
        keep: bool,
        wait: &Waits,
        make: impl FnOnce() -> F,
    ) -> Result<Answered, ComputeError>
    where
        F: Future<Output = Result<RenderedResult, ComputeError>> + Send + 'static,
    {
        let tiers = Arc::clone(&self.tiers);
        let flight = self.flights.0.run(keys.own, || {
            let work = make();
            let asked: Vec<SourceName> = asked.iter().map(|name| (*name).clone()).collect();
            async move {
                // Another flight may have landed since the caller looked.
                if keep && let Some(result) = made_meanwhile(&tiers, keys, &asked) {
                    return Ok(result);
                }
                let result = work.await?;
                if keep && tiers.keeps(result.body.len()) {
                    tiers.put(keys.of(&result.head), &*result.head, &result.body);
                }
                Ok(result)
            }
        });
        let (outcome, joined) = flight.await;
        if joined && wait.joins() {
            self.figures.count_shared();
        }
        Ok(Answered { result: outcome?, tier: None })
    }
}

/// A result in memory.
fn made_meanwhile(tiers: &CacheTiers, keys: ResultKeys, asked: &[SourceName]) -> Option<RenderedResult> {
    let asked: Vec<&SourceName> = asked.iter().collect();
    let find = |key: Key| {
        let Kept { head, body, .. } = tiers.get_now(&key, &asked)?;
        Some(RenderedResult { head, body })
    };
    let other = keys.unless_png.and_then(find).filter(|result| !result.head.is_png());
    other.or_else(|| find(keys.own))
}
