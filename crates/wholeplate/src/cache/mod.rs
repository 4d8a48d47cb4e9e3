//! The result cache: sources and results, by what they mean, for as long as their origins allow.
//!
//! * `keys`: names and keys; `freshness`: lifetimes; `purge`: what a purge makes unusable; `purge_file`: purges in the cache folder
//! * `single_flight`: one computation for all who ask at once
//! * `sources`: fetch, revalidate and keep sources; `results`: compute and keep results
//! * `worker`: what a Worker says about caching; `report`: what the cache did for an answer
//! * `waits`: how long a request waits for the bucket
//! * `tiers`: memory, folder and bucket, opened from the settings; `figures`: metrics

pub(crate) mod figures;
pub(crate) mod freshness;
pub(crate) mod keys;
pub(crate) mod purge;
mod purge_file;
pub(crate) mod report;
pub(crate) mod results;
pub(crate) mod single_flight;
pub(crate) mod sources;
pub(crate) mod tiers;
pub(crate) mod waits;
pub(crate) mod worker;

use std::sync::Arc;

use store::Tier;

use self::figures::CacheFigures;
use self::purge::{Purges, Target};
use self::results::{ResultFlights, Results};
use self::sources::{SourceFlights, Sources};
use self::tiers::CacheTiers;

/// `cf-cache-status`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum CacheStatus {
    /// Kept and fresh.
    Hit,
    /// Was stale; the source was fetched anew.
    Expired,
    /// Was stale; the source confirmed it.
    Revalidated,
    /// Stale, while another request fetches the source.
    Updating,
    /// Stale, because the source could not be asked.
    Stale,
    /// Was not there.
    Miss,
    /// Must not be kept.
    Bypass,
    /// The cache is off.
    Dynamic,
}

impl CacheStatus {
    pub(crate) const ALL: [Self; 8] = [
        Self::Hit,
        Self::Expired,
        Self::Revalidated,
        Self::Updating,
        Self::Stale,
        Self::Miss,
        Self::Bypass,
        Self::Dynamic,
    ];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Hit => "HIT",
            Self::Expired => "EXPIRED",
            Self::Revalidated => "REVALIDATED",
            Self::Updating => "UPDATING",
            Self::Stale => "STALE",
            Self::Miss => "MISS",
            Self::Bypass => "BYPASS",
            Self::Dynamic => "DYNAMIC",
        }
    }

    /// Whether an answer with this status has an `age`.
    pub(crate) fn has_age(self) -> bool {
        !matches!(self, Self::Miss | Self::Bypass | Self::Dynamic)
    }
}

/// The word for a tier in `cf-resized: internal=…/`.
pub(crate) fn tier_word(tier: Tier) -> &'static str {
    match tier {
        Tier::Memory => "ram",
        Tier::Folder => "disk",
        Tier::Bucket => "store",
    }
}

/// The cache of one process.
#[derive(Debug)]
pub(crate) struct Cache {
    pub(crate) sources: Sources,
    pub(crate) results: Results,
    tiers: Arc<CacheTiers>,
    source_flights: Arc<SourceFlights>,
    result_flights: Arc<ResultFlights>,
    pub(crate) figures: Arc<CacheFigures>,
}

impl Cache {
    pub(crate) fn new(tiers: CacheTiers) -> Self {
        let tiers = Arc::new(tiers);
        let source_flights = Arc::<SourceFlights>::default();
        let result_flights = Arc::<ResultFlights>::default();
        let figures = Arc::<CacheFigures>::default();
        Self {
            sources: Sources::new(Arc::clone(&tiers), Arc::clone(&source_flights), Arc::clone(&figures)),
            results: Results::new(Arc::clone(&tiers), Arc::clone(&result_flights), Arc::clone(&figures)),
            tiers,
            source_flights,
            result_flights,
            figures,
        }
    }

    pub(crate) fn is_enabled(&self) -> bool {
        self.tiers.is_enabled()
    }

    pub(crate) fn tiers(&self) -> &CacheTiers {
        &self.tiers
    }

    pub(crate) fn purges(&self) -> &Purges {
        &self.tiers.purges
    }

    /// Purges: counts at once, removes in the background.
    ///
    /// # Errors
    /// Where the purge could not be written. It counts on this node all the same.
    pub(crate) async fn purge(&self, targets: Vec<Target>) -> Result<(), String> {
        let everything = targets.contains(&Target::Everything);
        let marker = self.tiers.purges.mark(targets);
        self.forget();
        if everything {
            self.tiers.clear_memory();
        }
        self.tiers.sweep_all();
        self.tiers.purges.publish(&marker).await
    }

    /// Nobody joins what began before a purge.
    fn forget(&self) {
        self.source_flights.forget_all();
        self.result_flights.forget_all();
    }

    /// Reads the purges of other nodes, again and again.
    pub(crate) async fn follow_purges(self: Arc<Self>, interval: std::time::Duration) {
        let mut ticks = tokio::time::interval(interval);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            match self.tiers.purges.poll().await {
                Ok(true) => {
                    self.forget();
                    self.tiers.sweep_near();
                }
                Ok(false) => {}
                Err(e) => self.tiers.purges_failed(&e),
            }
        }
    }
}
