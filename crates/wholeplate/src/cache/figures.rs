//! `wholeplate_cache_…` of `/metrics`.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};

use store::{LATENCY_BOUNDS, Tier, TierStats, Tiers};

use super::CacheStatus;

/// Counters of the cache since the start.
#[derive(Debug, Default)]
pub(crate) struct CacheFigures {
    /// By status, then by tier: memory, disk, store, none.
    requests: [[AtomicU64; 4]; CacheStatus::ALL.len()],
    shared: AtomicU64,
}

const TIER_LABELS: [&str; 4] = ["memory", "disk", "store", "none"];

fn slot(tier: Option<Tier>) -> usize {
    match tier {
        Some(Tier::Memory) => 0,
        Some(Tier::Folder) => 1,
        Some(Tier::Bucket) => 2,
        None => 3,
    }
}

impl CacheFigures {
    pub(crate) fn count_request(&self, status: CacheStatus, tier: Option<Tier>) {
        let at = CacheStatus::ALL.iter().position(|other| *other == status);
        if let Some(row) = at.and_then(|at| self.requests.get(at)) {
            row[slot(tier)].fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(crate) fn count_shared(&self) {
        self.shared.fetch_add(1, Ordering::Relaxed);
    }

    /// Appends the figures in the Prometheus text format.
    pub(crate) fn write(&self, tiers: Option<&Tiers>, out: &mut String) {
        head(
            out,
            "requests_total",
            "counter",
            "Answers by cache status and by the tier that they came from.",
        );
        for (status, row) in CacheStatus::ALL.iter().zip(&self.requests) {
            for (tier, count) in TIER_LABELS.iter().zip(row) {
                let count = count.load(Ordering::Relaxed);
                if count > 0 {
                    let status = status.as_str().to_ascii_lowercase();
                    let _ = writeln!(
                        out,
                        "wholeplate_cache_requests_total{{status=\"{status}\",tier=\"{tier}\"}} {count}"
                    );
                }
            }
        }
        head(out, "shared_total", "counter", "Answers that joined another request's work.");
        let _ = writeln!(out, "wholeplate_cache_shared_total {}", self.shared.load(Ordering::Relaxed));
        let Some(tiers) = tiers else { return };
        let stats = tiers.stats();
        type Figure = fn(&TierStats) -> &AtomicU64;
        let rows: [(&str, &str, &str, Figure); 5] = [
            ("bytes", "gauge", "Bytes of the entries in each tier.", |s| &s.bytes),
            ("entries", "gauge", "Entries in each tier.", |s| &s.entries),
            ("evictions_total", "counter", "Entries that gave way to others.", |s| &s.evictions),
            ("damaged_total", "counter", "Entries that were damaged, noticed and dropped.", |s| &s.damaged),
            ("errors_total", "counter", "Failed reads and writes.", |s| &s.errors),
        ];
        for (name, kind, help, figure) in rows {
            head(out, name, kind, help);
            for (tier, stats) in &stats {
                // Nobody counts what is in a bucket.
                if *tier == Tier::Bucket && kind == "gauge" {
                    continue;
                }
                let (label, value) = (TIER_LABELS[slot(Some(*tier))], figure(stats).load(Ordering::Relaxed));
                let _ = writeln!(out, "wholeplate_cache_{name}{{tier=\"{label}\"}} {value}");
            }
        }
        head(
            out,
            "dropped_writes_total",
            "counter",
            "Entries not written because a slow tier did not keep up.",
        );
        let _ = writeln!(out, "wholeplate_cache_dropped_writes_total {}", tiers.dropped_writes());
        if let Some((_, stats)) = stats.iter().find(|(tier, _)| *tier == Tier::Bucket) {
            latency(stats, out);
        }
    }
}

fn head(out: &mut String, name: &str, kind: &str, help: &str) {
    let _ = writeln!(out, "# HELP wholeplate_cache_{name} {help}\n# TYPE wholeplate_cache_{name} {kind}");
}

fn latency(stats: &TierStats, out: &mut String) {
    head(out, "store_seconds", "histogram", "Time of reads from the shared store.");
    let mut total = 0;
    let bounds = LATENCY_BOUNDS.iter().map(ToString::to_string).chain(["+Inf".to_owned()]);
    for (bound, count) in bounds.zip(&stats.latency.counts) {
        total += count.load(Ordering::Relaxed);
        let _ = writeln!(out, "wholeplate_cache_store_seconds_bucket{{le=\"{bound}\"}} {total}");
    }
    let micros = stats.latency.sum_micros.load(Ordering::Relaxed);
    let _ = writeln!(out, "wholeplate_cache_store_seconds_sum {}", micros as f64 / 1e6);
    let _ = writeln!(out, "wholeplate_cache_store_seconds_count {total}");
}
