//! The figures of `/metrics`, in the Prometheus text format.

use std::fmt::Write as _;
use std::sync::atomic::Ordering;

use crate::app::App;

pub(crate) fn text(app: &App, stats: &delivery::Stats) -> String {
    let mut out = String::new();
    stats.write_prometheus("wholeplate", &mut out);
    let pool = &app.pool.stats;
    let rows = [
        ("images_made_total", "counter", "Images made.", pool.made.load(Ordering::Relaxed)),
        (
            "images_failed_total",
            "counter",
            "Images that could not be made.",
            pool.failed.load(Ordering::Relaxed),
        ),
        (
            "images_refused_total",
            "counter",
            "Images refused by admission.",
            pool.refused.load(Ordering::Relaxed),
        ),
        (
            "images_cancelled_total",
            "counter",
            "Images nobody waited for.",
            pool.cancelled.load(Ordering::Relaxed),
        ),
        ("images_internal_errors_total", "counter", "Faults of ours.", pool.panicked.load(Ordering::Relaxed)),
        ("image_peak_bytes", "gauge", "Most that one image held.", pool.peak_bytes.load(Ordering::Relaxed)),
        (
            "pixel_memory_free_bytes",
            "gauge",
            "Memory for pixels and results that is free.",
            app.pool.free_bytes(),
        ),
        ("input_memory_bytes", "gauge", "Memory that inputs take.", app.inputs.used() as u64),
    ];
    for (name, kind, help, value) in rows {
        let _ = writeln!(
            out,
            "# HELP wholeplate_{name} {help}\n# TYPE wholeplate_{name} {kind}\nwholeplate_{name} {value}"
        );
    }
    out
}
