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
        (
            "workers_stuck_total",
            "counter",
            "Workers that went on long after compute-timeout.",
            pool.stuck.load(Ordering::Relaxed),
        ),
        ("queue_requests", "gauge", "Requests that wait for a worker.", app.pool.waiting() as u64),
        ("workers_busy", "gauge", "Workers in use.", app.pool.busy() as u64),
        ("spool_bytes", "gauge", "Disk space that inputs take.", app.inputs.disk.used() as u64),
        ("image_peak_bytes", "gauge", "Most that one image held.", pool.peak_bytes.load(Ordering::Relaxed)),
        (
            "pixel_memory_free_bytes",
            "gauge",
            "Memory for pixels and results that is free.",
            app.pool.free_bytes(),
        ),
        ("input_memory_bytes", "gauge", "Memory that inputs take.", app.inputs.memory.used() as u64),
    ];
    for (name, kind, help, value) in rows {
        let _ = writeln!(
            out,
            "# HELP wholeplate_{name} {help}\n# TYPE wholeplate_{name} {kind}\nwholeplate_{name} {value}"
        );
    }
    let seconds = [
        ("queue_seconds_total", "Time that images waited for workers and memory.", &pool.queued_micros),
        ("estimated_seconds_total", "Time that rendering was expected to take.", &pool.estimated_micros),
        ("render_seconds_total", "Time that rendering took.", &pool.taken_micros),
    ];
    for (name, help, micros) in seconds {
        let value = micros.load(Ordering::Relaxed) as f64 / 1e6;
        let _ = writeln!(
            out,
            "# HELP wholeplate_{name} {help}\n# TYPE wholeplate_{name} counter\nwholeplate_{name} {value}"
        );
    }
    app.counters.write(&mut out);
    let tiers = app.cache.is_enabled().then(|| app.cache.tiers().stats());
    app.cache.figures.write(tiers, &mut out);
    out
}
