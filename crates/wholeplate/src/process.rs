//! The `process_*` figures that Prometheus clients report by convention, as far as the system tells them.

use std::fmt::Write as _;
use std::time::{SystemTime, UNIX_EPOCH};

/// Clock ticks of `/proc/self/stat` in a second: what Linux tells programs on every architecture that Rust supports.
const TICKS: f64 = 100.0;

pub(crate) fn write(started: SystemTime, out: &mut String) {
    let mut row = |name: &str, kind: &str, help: &str, value: Option<f64>| {
        if let Some(value) = value {
            let _ = writeln!(
                out,
                "# HELP process_{name} {help}\n# TYPE process_{name} {kind}\nprocess_{name} {value}"
            );
        }
    };
    let started = started.duration_since(UNIX_EPOCH).ok().map(|since| since.as_secs_f64());
    row("start_time_seconds", "gauge", "Start of the process since the Unix epoch.", started);
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    row("resident_memory_bytes", "gauge", "Resident memory.", resident(&status));
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    row("cpu_seconds_total", "counter", "User and system CPU time.", cpu(&stat));
    // One of them is the listing itself.
    let open = std::fs::read_dir("/proc/self/fd").ok().map(|files| files.count().saturating_sub(1) as f64);
    row("open_fds", "gauge", "Open file descriptors.", open);
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    row("max_fds", "gauge", "Limit on open file descriptors.", limit.map(|limit| limit as f64));
}

/// Bytes of the line `VmRSS`.
fn resident(status: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.trim().strip_suffix(" kB")?.trim().parse::<f64>().ok()? * 1024.0)
}

/// Fields 14 and 15. The name of the program, in parentheses, may hold spaces.
fn cpu(stat: &str) -> Option<f64> {
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace().skip(11);
    let ticks = fields.next()?.parse::<f64>().ok()? + fields.next()?.parse::<f64>().ok()?;
    Some(ticks / TICKS)
}

#[cfg(test)]
mod tests {
    use super::{cpu, resident};

    #[test]
    fn figures_are_read_from_proc() {
        assert_eq!(resident("Name:\tx\nVmRSS:\t   12 kB\nThreads:\t1\n"), Some(12_288.0));
        assert_eq!(cpu("7 (a ) b) S 1 2 3 4 5 6 7 8 9 10 250 50 0 0 20 0"), Some(3.0));
        assert_eq!((resident(""), cpu("7 (a) S")), (None, None));
    }
}
