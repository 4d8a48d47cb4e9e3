//! The figures of `/metrics`, in the Prometheus text format.

use std::fmt::Write as _;
use std::sync::atomic::Ordering;

use crate::app::App;
use crate::process;

pub(crate) fn text(app: &App, stats: &delivery::Stats) -> String {
    let mut out = String::new();
    let version = env!("CARGO_PKG_VERSION");
    let _ = writeln!(
        out,
        "# HELP wholeplate_build_info The version of the program.\n# TYPE wholeplate_build_info gauge\n\
         wholeplate_build_info{{version=\"{version}\"}} 1"
    );
    stats.write_prometheus("wholeplate", &mut out);
    let pool = &app.pool.stats;
    let count = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
    let memory = app.pool.memory();
    let rows = [
        ("ready", "gauge", "1 while /readyz is 200.", u64::from(app.health.readiness(&app.pool).ready)),
        ("images_made_total", "counter", "Images made.", count(&pool.made)),
        ("images_failed_total", "counter", "Images that could not be made.", count(&pool.failed)),
        ("images_refused_total", "counter", "Images refused by admission.", count(&pool.refused)),
        ("images_cancelled_total", "counter", "Images nobody waited for.", count(&pool.cancelled)),
        ("images_internal_errors_total", "counter", "Faults of ours.", count(&pool.panicked)),
        (
            "workers_stuck_total",
            "counter",
            "Workers that went on long after compute-timeout.",
            count(&pool.stuck),
        ),
        ("queue_requests", "gauge", "Requests that wait for a worker.", app.pool.waiting() as u64),
        ("workers_busy", "gauge", "Workers in use.", app.pool.busy() as u64),
        ("workers", "gauge", "Workers there are.", app.config.workers() as u64),
        (
            "connections_limit",
            "gauge",
            "Connections that may be open: max-connections.",
            app.config.max_connections as u64,
        ),
        ("spool_bytes", "gauge", "Disk space that inputs take.", app.inputs.disk.used() as u64),
        ("spool_limit_bytes", "gauge", "Disk space that inputs may take.", app.inputs.disk.total() as u64),
        ("image_peak_bytes", "gauge", "Most that one image held.", count(&pool.peak_bytes)),
        (
            "pixel_memory_free_bytes",
            "gauge",
            "Memory for pixels and results that is free.",
            memory.free() as u64,
        ),
        ("pixel_memory_limit_bytes", "gauge", "Memory for pixels and results.", memory.total() as u64),
        ("input_memory_bytes", "gauge", "Memory that inputs take.", app.inputs.memory.used() as u64),
        ("input_memory_limit_bytes", "gauge", "Memory for inputs.", app.inputs.memory.total() as u64),
    ];
    for (name, kind, help, value) in rows {
        let _ = writeln!(
            out,
            "# HELP wholeplate_{name} {help}\n# TYPE wholeplate_{name} {kind}\nwholeplate_{name} {value}"
        );
    }
    pool.figures.write(&mut out);
    app.counters.write(&mut out);
    let tiers = app.cache.is_enabled().then(|| app.cache.tiers().stats());
    app.cache.figures.write(tiers, &mut out);
    process::write(app.started, &mut out);
    out
}
