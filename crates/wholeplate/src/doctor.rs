//! `wholeplate doctor`: checks whether the service can start with a configuration, and looks for weak or slow settings.

use std::fmt::Write as _;
use std::io::ErrorKind;
use std::net::{TcpListener, TcpStream, ToSocketAddrs};
use std::path::Path;
use std::time::Duration;

use url::Url;

use crate::cli::Settings;
use crate::config::{Config, Layers, Listen};
use crate::sources::Origin;
use crate::{models, sandbox, stdout};

/// How long an origin may take to accept a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// The result of one check.
enum Finding {
    Good(String),
    /// The service starts, but something is slow or weak.
    Weak(String),
    /// The service does not start, or refuses work.
    Bad(String),
}

/// Prints a report of all checks.
///
/// # Errors
/// If a check failed.
pub(crate) fn run(settings: Settings) -> Result<(), String> {
    let layers = Layers::read(settings.file.as_deref(), std::env::vars_os(), settings.given);
    let findings = match layers.and_then(|layers| layers.config()) {
        Ok(config) => {
            let mut findings = vec![Finding::Good("configuration: every setting can be used".to_owned())];
            findings.extend(check(&config));
            findings
        }
        Err(problem) => vec![Finding::Bad(format!("configuration: {problem}"))],
    };
    let mut report = String::new();
    for finding in &findings {
        let (mark, text) = match finding {
            Finding::Good(text) => ("ok  ", text),
            Finding::Weak(text) => ("warn", text),
            Finding::Bad(text) => ("FAIL", text),
        };
        let _ = writeln!(report, "{mark}  {text}");
    }
    stdout::write(report.as_bytes())?;
    let bad = findings.iter().filter(|f| matches!(f, Finding::Bad(_))).count();
    if bad == 0 { Ok(()) } else { Err(format!("{bad} checks failed")) }
}

fn check(config: &Config) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Listen::At(address) = &config.listen {
        findings.push(port("listen", address.as_str()));
    }
    if let Some(address) = &config.admin {
        findings.push(port("admin", address.as_str()));
    }
    if let Some(path) = &config.unix {
        findings.push(socket_folder(path));
    }
    if let Some(Origin::Http(url)) = &config.origin {
        findings.push(origin(url));
    }
    findings.push(temporary_folder());
    findings.push(memory(config));
    findings.push(workers(config));
    findings.push(open_files(config));
    if config.segment_model.is_some() || !config.upscale_model.is_empty() {
        findings.push(match models::load(config.segment_model.as_deref(), &config.upscale_model) {
            Ok(_) => Finding::Good("models: all files can be used".to_owned()),
            Err(problem) => Finding::Bad(problem),
        });
    }
    findings.push(kernel());
    findings
}

fn port(setting: &str, address: &str) -> Finding {
    match TcpListener::bind(address) {
        Ok(_) => Finding::Good(format!("{setting}: {address} is free")),
        Err(e) => {
            Finding::Bad(format!("{setting}: {address}: {e}; stop what uses it, or choose another port"))
        }
    }
}

/// An origin may start after the service.
fn origin(url: &Url) -> Finding {
    let host = url.host_str().unwrap_or_default();
    let port = url.port_or_known_default().unwrap_or_default();
    let connected = format!("{host}:{port}").to_socket_addrs().and_then(|addresses| {
        let mut last = std::io::Error::new(ErrorKind::NotFound, "the name has no address");
        for address in addresses {
            match TcpStream::connect_timeout(&address, CONNECT_TIMEOUT) {
                Ok(_) => return Ok(()),
                Err(error) => last = error,
            }
        }
        Err(last)
    });
    // Credentials of the URL are not shown.
    let shown = format!("{}://{host}:{port}", url.scheme());
    match connected {
        Ok(()) => Finding::Good(format!("origin: {shown} accepts connections")),
        Err(e) => Finding::Weak(format!("origin: {shown}: {e}; start it, or correct --origin")),
    }
}

fn socket_folder(path: &Path) -> Finding {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    match tempfile::tempfile_in(folder) {
        Ok(_) => Finding::Good(format!("unix: {} can be written to", folder.display())),
        Err(e) if e.kind() == ErrorKind::NotFound => {
            Finding::Bad(format!("unix: the folder {} does not exist; create it", folder.display()))
        }
        Err(e) => Finding::Bad(format!("unix: {}: {e}", folder.display())),
    }
}

fn temporary_folder() -> Finding {
    let folder = std::env::temp_dir();
    if let Err(e) = tempfile::tempfile_in(&folder) {
        return Finding::Bad(format!(
            "spool: {}: {e}; set TMPDIR to a folder that can be written to",
            folder.display()
        ));
    }
    if is_in_memory(&folder) {
        let text = "is in memory (tmpfs), so that large uploads take memory that `memory` does not count; set TMPDIR to a disk";
        return Finding::Weak(format!("spool: {} {text}", folder.display()));
    }
    Finding::Good(format!("spool: {} can be written to", folder.display()))
}

/// Whether the file system of a folder is a tmpfs. The longest matching mount point decides.
fn is_in_memory(folder: &Path) -> bool {
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let under = mounts.lines().filter_map(|line| {
        let mut fields = line.split(' ');
        let (point, kind) = (fields.nth(1)?, fields.next()?);
        folder.starts_with(point).then_some((point.len(), kind))
    });
    under.max_by_key(|(length, _)| *length).is_some_and(|(_, kind)| kind == "tmpfs")
}

fn memory(config: &Config) -> Finding {
    let wanted = config.memory.bytes();
    let told = |text: &str| text.trim().parse::<u64>().ok();
    let group = std::fs::read_to_string("/sys/fs/cgroup/memory.max").ok().and_then(|t| told(&t));
    let machine = std::fs::read_to_string("/proc/meminfo").ok().and_then(|text| {
        let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
        told(line.trim().trim_end_matches("kB")).map(|kib| kib << 10)
    });
    let Some(has) = group.into_iter().chain(machine).min() else {
        return Finding::Weak("memory: the memory of this machine cannot be read".to_owned());
    };
    let (wanted_mib, has_mib) = (wanted >> 20, has >> 20);
    if wanted > has {
        return Finding::Bad(format!(
            "memory: {wanted_mib} MiB are set, and the machine or container has {has_mib}"
        ));
    }
    if wanted > has / 10 * 9 {
        return Finding::Weak(format!("memory: {wanted_mib} of {has_mib} MiB leave little to the system"));
    }
    Finding::Good(format!("memory: {wanted_mib} of {has_mib} MiB"))
}

fn workers(config: &Config) -> Finding {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    match config.workers() {
        n if n > cores => {
            Finding::Weak(format!("workers: {n} on {cores} cores share their time; every image takes longer"))
        }
        n => Finding::Good(format!("workers: {n} on {cores} cores")),
    }
}

fn open_files(config: &Config) -> Finding {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).maximum;
    match limit {
        Some(limit) if limit < 3 * config.max_connections as u64 => Finding::Weak(format!(
            "max-connections: {} may need more than the {limit} open files that are allowed; raise the limit (LimitNOFILE=)",
            config.max_connections
        )),
        _ => {
            Finding::Good(format!("max-connections: {} fit the limit of open files", config.max_connections))
        }
    }
}

fn kernel() -> Finding {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let release = release.trim();
    if sandbox::has_landlock() {
        return Finding::Good(format!("kernel: {release}, with Landlock"));
    }
    Finding::Weak(format!(
        "kernel: {release} has no Landlock, so that the process is not limited in the files it may open; Linux 5.13 or \
         later has it"
    ))
}
