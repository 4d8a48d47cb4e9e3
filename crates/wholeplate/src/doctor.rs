//! `wholeplate doctor`: checks whether the service can start with a configuration, and looks for weak or slow settings.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::io::ErrorKind;
use std::net::{TcpStream, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::time::Duration;

use url::Url;

use delivery::Listener;

use crate::access::Access;
use crate::admission::MemoryPool;
use crate::app::{App, cache_settings};
use crate::cache::tiers::CacheTiers;
use crate::cli::Settings;
use crate::config::{Address, Config, Layers, Listen};
use crate::purge::AdminToken;
use crate::sources::{Origin, Pattern};
use crate::telemetry::Exporter;
use crate::{sandbox, server, stdout};

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

/// Does what the service does at its start, part by part, so that one problem does not hide another.
fn check(config: &Config) -> Vec<Finding> {
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(e) => return vec![Finding::Bad(format!("runtime: {e}"))],
    };
    let mut findings = runtime.block_on(sockets(config));
    findings.extend(files(config));
    if let Err(problem) = Exporter::from_env(runtime.handle().clone()) {
        findings.push(Finding::Bad(problem));
    }
    if let Some(Origin::Http(url)) = &config.origin {
        findings.push(origin(url));
    }
    findings.extend(runtime.block_on(cache(config)));
    findings.extend(runtime.block_on(service(config)));
    findings.push(temporary_folder());
    findings.push(memory(config));
    findings.push(workers(config));
    findings.push(open_files(config));
    findings.push(kernel());
    if config.allow_private_network && config.allow_origin.iter().any(Pattern::is_every_host) {
        let text = "allow-private-network: with allow-origin '*', every URL may have the service fetch from any address of \
                    its own network; name the hosts in allow-origin";
        findings.push(Finding::Weak(text.to_owned()));
    }
    findings
}

/// Opens every address at once, as the service does.
async fn sockets(config: &Config) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut open = Vec::new();
    if let Listen::At(address) = &config.listen {
        let address = address.as_str();
        match server::listen_on(address).await {
            Ok(listener) => {
                findings.push(Finding::Good(format!("listen: {address} is free")));
                open.push(listener);
            }
            Err(problem) => findings.push(Finding::Bad(problem)),
        }
    }
    if let Some(path) = &config.unix {
        match server::listen_on_socket(config, path) {
            Ok(listener) => {
                findings.push(Finding::Good(format!("unix: {} can be made", path.display())));
                open.push(listener);
            }
            Err(problem) => findings.push(Finding::Bad(problem)),
        }
    }
    if open.is_empty() && findings.is_empty() && std::env::var_os("LISTEN_FDS").is_none() {
        let text =
            "listen: 'none', and there is no unix: the service starts with inherited sockets only (systemd)";
        findings.push(Finding::Weak(text.to_owned()));
    }
    let public: Vec<_> = open.iter().filter_map(Listener::tcp_address).collect();
    findings.extend(server::open_blob_header(config, public.iter().copied()).map(Finding::Weak));
    if let Some(address) = config.admin.as_ref().map(Address::as_str) {
        let port = address.rsplit_once(':').and_then(|(_, port)| port.parse().ok());
        findings.push(match server::listen_for_admin(address).await {
            Ok(_) => Finding::Good(format!("admin: {address} is free")),
            Err(_) if public.iter().any(|listen| Some(listen.port()) == port) => {
                Finding::Bad(format!("admin: {address} is the address of listen too; choose another port"))
            }
            Err(problem) => Finding::Bad(problem),
        });
    }
    findings
}

/// The files that are read once, at the start.
fn files(config: &Config) -> Vec<Finding> {
    let read = |name: &str, path: &Option<PathBuf>, problem: Option<String>| {
        let path = path.as_ref()?;
        Some(match problem {
            None => Finding::Good(format!("{name}: {} can be used", path.display())),
            Some(problem) => Finding::Bad(problem),
        })
    };
    let token = config.admin_token_file.as_deref().and_then(|file| AdminToken::read(file).err());
    let findings = [
        read("sign-key-file", &config.sign_key_file, Access::new(config).err()),
        read("tls-cert", &config.tls_cert, config.delivery().err()),
        read("admin-token-file", &config.admin_token_file, token),
    ];
    findings.into_iter().flatten().collect()
}

/// Opens the cache. What that leaves in its folder is removed: it would belong to the user of this command, not to
/// that of the service.
async fn cache(config: &Config) -> Option<Finding> {
    let settings = cache_settings(config);
    let traces = settings.folder.as_deref().map(Traces::of);
    let opened = CacheTiers::open(&settings, MemoryPool::new(1 << 20)).await;
    let problem = opened.as_ref().err().cloned();
    drop(opened);
    if let Some(traces) = traces {
        traces.remove(problem.is_none());
    }
    if let Some(problem) = problem {
        return Some(Finding::Bad(problem));
    }
    let name = if settings.folder.is_some() { "cache-dir" } else { "cache-store" };
    (settings.folder.is_some() || settings.bucket.is_some())
        .then(|| Finding::Good(format!("{name}: the cache can be opened")))
}

/// What a folder and its parents were before.
struct Traces<'a> {
    folder: &'a Path,
    /// The folders that did not exist, the innermost first.
    missing: Vec<&'a Path>,
    names: BTreeSet<OsString>,
}

impl<'a> Traces<'a> {
    fn of(folder: &'a Path) -> Self {
        let is_missing = |path: &&Path| !path.as_os_str().is_empty() && !path.exists();
        let missing = folder.ancestors().take_while(is_missing).collect();
        Self { folder, missing, names: names(folder) }
    }

    /// With `locked` no other process used the folder meanwhile: what is new in it is our own.
    fn remove(self, locked: bool) {
        let found = if locked { names(self.folder) } else { BTreeSet::new() };
        for name in found.difference(&self.names) {
            let path = self.folder.join(name);
            // A folder with something in it stays.
            let _ = if path.is_dir() { std::fs::remove_dir(path) } else { std::fs::remove_file(path) };
        }
        for folder in self.missing {
            let _ = std::fs::remove_dir(folder);
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

fn names(folder: &Path) -> BTreeSet<OsString> {
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    entries.filter_map(|entry| Some(entry.ok()?.file_name())).collect()
}

/// Everything else that the service makes at its start.
async fn service(config: &Config) -> Option<Finding> {
    let has_models = config.segment_model.is_some() || !config.upscale_model.is_empty();
    // Without what has a check of its own.
    let rest =
        Config { sign_key_file: None, signed: None, cache_dir: None, cache_store: None, ..config.clone() };
    match App::new(rest, None).await {
        Ok(_) => has_models.then(|| Finding::Good("models: all files can be used".to_owned())),
        Err(problem) => Some(Finding::Bad(problem)),
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
