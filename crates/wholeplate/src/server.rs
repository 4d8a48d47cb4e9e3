//! Opens the listeners, answers, and stops in good order.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use delivery::{DrainReport, Listener, Server, UnixOptions};
use http::{HeaderValue, Request, Version};
use http_body::Body as _;
use tokio::runtime::{Handle, Runtime};

use crate::admission::MemoryFull;
use crate::app::App;
use crate::config::{Config, Listen};
use crate::error::ApiError;
use crate::purge::AdminToken;
use crate::request::RequestContext;
use crate::respond::Response;
use crate::routes::{self, admin};
use crate::sandbox::{self, Calls, Files};
use crate::signals::StopSignals;
use crate::sources::{self, Origin};
use crate::stdout;
use crate::telemetry::{self, Exporter, Trace};

/// Name of the header that identifies a response, in logs as on the wire.
const REQUEST_ID: &str = "x-request-id";
/// Files that are open whatever comes in, with room.
const OTHER_FILES: u64 = 64;
/// Bytes of a header field besides its name and value.
const FIELD_BYTES: usize = 64;
/// After so long a client whose request found no memory may try again.
const REQUESTS_LATER: Duration = Duration::from_secs(1);
/// How long threads that still compute may take after the last response.
const LAST_THREADS: Duration = Duration::from_secs(1);
/// How long the last spans may take on their way to the collector.
const LAST_SPANS: Duration = Duration::from_secs(5);

/// Serves until SIGTERM, SIGINT, SIGHUP or SIGQUIT, then drains; a second signal ends that at once.
pub(crate) fn run(config: Config) -> Result<(), String> {
    let lines = |addresses: &[String]| {
        addresses.iter().map(|address| format!("listening on {address}\n")).collect::<String>()
    };
    telemetry::start_logging(config.log, telemetry::SERVER_LEVELS);
    let report = serve(config, None, lines)?;
    if report.cut > 0 || report.open > 0 {
        return Err(format!("stopped: {report}"));
    }
    Ok(())
}

/// The same in front of a development server, which may be cut at the end. `line` makes what is printed of the addresses.
pub(crate) fn run_in_front(
    config: Config,
    stop: StopSignals,
    line: impl FnOnce(&[String]) -> String,
) -> Result<(), String> {
    telemetry::start_logging(config.log, telemetry::DEVELOPMENT_LEVELS);
    serve(config, Some(stop), line).map(drop)
}

fn serve(
    config: Config,
    stop: Option<StopSignals>,
    lines: impl FnOnce(&[String]) -> String,
) -> Result<DrainReport, String> {
    raise_open_files(config.max_connections);
    // Before the threads of the runtime start: Landlock limits a thread and those that it starts.
    if config.no_sandbox {
        tracing::warn!("sandbox: off (no-sandbox)");
    } else {
        // A folder that does not exist yet cannot be named in the rules.
        if let Some(folder) = config.cache_dir.as_ref().filter(|_| config.cache) {
            std::fs::create_dir_all(folder)
                .map_err(|e| format!("cache-dir: {}: cannot be made: {e}", folder.display()))?;
        }
        sandbox::restrict_files(&files(&config)).log("limits on files (Landlock)");
    }
    let runtime = Runtime::new().map_err(|e| e.to_string())?;
    let admin_runtime = config.admin.is_some().then(admin_runtime).transpose()?;
    let exporter = Exporter::from_env(runtime.handle().clone())?;
    let app = runtime.block_on(App::new(config, exporter))?;
    let served = runtime.block_on(async {
        let config = &app.config;
        let token = config.admin_token_file.as_deref().map(AdminToken::read).transpose()?.map(Arc::new);
        if config.cache_store.is_some() && app.cache.is_enabled() {
            tokio::spawn(Arc::clone(&app.cache).follow_purges(config.purge_interval.duration()));
        }
        let listeners = listeners(config).await?;
        for text in open_blob_header(config, listeners.iter().filter_map(Listener::tcp_address)) {
            tracing::warn!("{text}");
        }
        let mut settings = config.delivery()?;
        settings.id_header = Some(Arc::from(REQUEST_ID));
        // Heads that are still arriving share half as much as requests in progress.
        settings.head_memory = app.requests.total() / 2;
        let tls = settings.tls.is_some();
        let mut lines = lines(&listeners.iter().map(|l| address(l, tls)).collect::<Vec<_>>());
        let service = {
            let app = Arc::clone(&app);
            move |request| handle(Arc::clone(&app), request)
        };
        // Asked for before the first line is printed: who reads it may stop us at once.
        let mut stop = match stop {
            Some(stop) => stop,
            None => StopSignals::new()?,
        };
        let server = Server::start(settings, listeners, service);
        let admin = match (&config.admin, &admin_runtime) {
            (Some(address), Some(runtime)) => {
                Some(admin_server(runtime, &app, &server, address.as_str(), token).await?)
            }
            _ => None,
        };
        // After the last listener is open: from here on no other can be opened.
        if !config.no_sandbox {
            sandbox::restrict_calls(Calls::Service).log("limits on system calls (seccomp)");
        }
        if let Some((_, line)) = &admin {
            lines.push_str(&format!("{line}\n"));
        }
        // For whoever reads it: the service is there for others.
        if let Err(e) = stdout::write_through(lines.as_bytes()) {
            tracing::warn!("standard output: {e}");
        }
        let watch = tokio::spawn(app.pool.clone().watch());
        let beat = {
            let app = Arc::clone(&app);
            tokio::spawn(async move { app.health.beat().await })
        };
        stop.wait().await;
        watch.abort();
        // OPS-014
        app.health.start_draining();
        let delay = config.drain_delay.duration();
        if !delay.is_zero() {
            tracing::info!(
                seconds = delay.as_secs_f64(),
                "stopping; requests are served until the delay is over"
            );
            tokio::select! {
                () = tokio::time::sleep(delay) => {}
                () = stop.wait() => {}
            }
        }
        let deadline = config.drain_timeout.duration();
        tracing::info!(
            seconds = deadline.as_secs_f64(),
            "stopping; responses under way are finished; a second signal cuts them"
        );
        let report = tokio::select! {
            report = server.shutdown(deadline) => report,
            report = async {
                stop.wait().await;
                tracing::warn!("asked again to stop: what is under way is cut");
                server.shutdown(Duration::ZERO).await
            } => report,
        };
        if report.cut > 0 || report.open > 0 {
            tracing::warn!("stopped: {report}");
        } else {
            tracing::info!("stopped: {report}");
        }
        beat.abort();
        Ok(report)
    });
    // The runtime still runs, and every response has had its verdict.
    if let Some(exporter) = &app.exporter {
        exporter.finish(LAST_SPANS);
    }
    // A thread that computes for nobody must not keep the process.
    drop(app);
    runtime.shutdown_timeout(LAST_THREADS);
    served
}

/// The files that the service needs while it runs. Logs and listening sockets are open, or files that the system
/// provides; a folder that a later part writes belongs to the list of `write`.
fn files(config: &Config) -> Files {
    let origin = config.origin.as_ref();
    Files::system()
        .read(origin.and_then(Origin::folder))
        .read(origin.map(Origin::credential_folders).unwrap_or_default())
        .read(config.segment_model.iter().chain(&config.upscale_model))
        .read(config.tls_cert.iter().chain(&config.tls_key).chain(&config.sign_key_file))
        .read(&config.admin_token_file)
        .read(config.cache_store.iter().flat_map(|_| sources::bucket_token_folders()))
        // Uploads that do not stay in memory.
        .write([std::env::temp_dir()])
        .write(config.cache_dir.iter().filter(|_| config.cache))
        .sockets(config.unix.iter().map(|path| sandbox::folder_of(path)))
}

async fn listeners(config: &Config) -> Result<Vec<Listener>, String> {
    let mut listeners = Listener::inherited().map_err(|e| format!("inherited sockets: {e}"))?;
    if let Listen::At(address) = &config.listen {
        listeners.push(listen_on(address.as_str()).await?);
    }
    if let Some(path) = &config.unix {
        listeners.push(listen_on_socket(config, path)?);
    }
    if listeners.is_empty() {
        return Err("listen: 'none' leaves no listener; give --unix PATH, or inherit a socket".to_owned());
    }
    Ok(listeners)
}

/// Opens the address of `listen`.
///
/// # Errors
/// A message that names the setting.
pub(crate) async fn listen_on(address: &str) -> Result<Listener, String> {
    let wrong = |e: std::io::Error| listen_error(address, &e);
    Listener::tcp(resolve(address).await.map_err(wrong)?).map_err(wrong)
}

/// Opens the address of `admin`.
///
/// # Errors
/// A message that names the setting.
pub(crate) async fn listen_for_admin(address: &str) -> Result<Listener, String> {
    let wrong = |e: std::io::Error| format!("--admin {address}: {e}");
    Listener::tcp(resolve(address).await.map_err(wrong)?).map_err(wrong)
}

/// Opens the socket of `unix`.
///
/// # Errors
/// A message that names the setting.
pub(crate) fn listen_on_socket(config: &Config, path: &Path) -> Result<Listener, String> {
    let options = UnixOptions { mode: Some(config.unix_mode.0), uid: config.unix_uid, gid: config.unix_gid };
    Listener::unix(path, options).map_err(|e| unix_error(path, &e))
}

/// Why an address cannot be listened on, and what to do.
pub(crate) fn listen_error(address: &str, error: &std::io::Error) -> String {
    if error.kind() == std::io::ErrorKind::AddrInUse {
        let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
        return format!(
            "listen: {address}: the port is in use by another program; stop that, or choose another port with --listen \
             {host}:PORT"
        );
    }
    format!("listen: {address}: {error}")
}

fn unix_error(path: &Path, error: &std::io::Error) -> String {
    match path.parent() {
        Some(folder) if error.kind() == std::io::ErrorKind::NotFound => {
            format!("--unix {}: the folder {} does not exist; create it", path.display(), folder.display())
        }
        _ => format!("--unix {}: {error}", path.display()),
    }
}

/// A connection takes a file, and may take another for its source and one for each spooled input. What a process gets
/// without asking, often 1024, is less than the connections that it admits.
fn raise_open_files(connections: usize) {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    let wanted = 3 * connections as u64 + OTHER_FILES;
    let before = limit.current.unwrap_or(u64::MAX);
    if before >= wanted {
        return;
    }
    let possible = limit.maximum.map_or(wanted, |most| most.min(wanted));
    limit.current = Some(possible);
    let now = if setrlimit(Resource::Nofile, limit).is_ok() { possible } else { before };
    if now < connections as u64 + OTHER_FILES {
        tracing::warn!(
            "{now} open files are allowed, and {connections} connections (--max-connections) may need more; raise the \
             limit (ulimit -n, LimitNOFILE=)"
        );
    }
}

/// Warnings of addresses where whoever can set the header of `cf` has this program fetch for them.
pub(crate) fn open_blob_header(
    config: &Config,
    addresses: impl Iterator<Item = SocketAddr>,
) -> impl Iterator<Item = String> {
    // In edge mode it is believed on the Unix socket alone.
    let name = config.cf_blob_header.as_ref().filter(|_| !config.pass_through);
    addresses.filter(|address| !address.ip().is_loopback()).filter_map(move |address| {
        let name = name?;
        Some(format!(
            "cf-blob-header: {name} is believed on {address} too, where anybody may send it; use --unix for the \
             runtime, or see to it that nobody else reaches that address"
        ))
    })
}

/// A listener's address as clients write it.
fn address(listener: &Listener, tls: bool) -> String {
    match listener.tcp_address() {
        Some(at) if tls => format!("https://{at}"),
        _ => listener.to_string(),
    }
}

async fn resolve(text: &str) -> std::io::Result<SocketAddr> {
    let mut found = tokio::net::lookup_host(text).await?;
    found.next().ok_or_else(|| std::io::Error::other("no address"))
}

/// The admin server has a thread of its own: a burst of requests, which keeps the other threads busy for hundreds of
/// milliseconds, must not look like a dead process (OPS-010).
fn admin_runtime() -> Result<Runtime, String> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(1).thread_name("admin").enable_all().build().map_err(|e| e.to_string())
}

/// Figures and health, on an address and a runtime of their own. Call this on the runtime that serves requests.
async fn admin_server(
    runtime: &Runtime,
    app: &Arc<App>,
    server: &Server,
    address: &str,
    token: Option<Arc<AdminToken>>,
) -> Result<(Server, String), String> {
    let (app, stats, main) = (Arc::clone(app), server.stats(), Handle::current());
    let service = move |request: Request<delivery::RequestBody>| {
        let (app, stats, main, token) = (Arc::clone(&app), Arc::clone(&stats), main.clone(), token.clone());
        async move { admin::respond(app, &stats, &main, token, request).await }
    };
    // Sockets belong to the runtime on which they are opened.
    let at = address.to_owned();
    let started = runtime.spawn(async move {
        let listener = listen_for_admin(&at).await?;
        let line = format!("admin on {listener}");
        Ok((Server::start(delivery::Config::default(), vec![listener], service), line))
    });
    started.await.map_err(|e| format!("--admin {address}: {e}"))?
}

/// Answers, names the response, and logs it.
async fn handle(app: Arc<App>, request: Request<delivery::RequestBody>) -> Response {
    let began = Instant::now();
    let timed = app.config.server_timing || telemetry::wants_timing(request.headers());
    let trace = Trace::begin(app.exporter.as_ref(), timed, &request);
    let id = trace.id().unwrap_or_else(|| telemetry::request_id(request.headers()));
    let held = app.requests.try_take(request_bytes(&request));
    let (head, body) = request.into_parts();
    let (method, path) = (head.method.clone(), telemetry::redacted(head.uri.path()).into_owned());
    let accepted = match &held {
        Ok(_) => RequestContext::new(head, trace.clone()),
        Err(MemoryFull) => Err(ApiError::Busy { expected: REQUESTS_LATER }),
    };
    let mut response = match accepted {
        Ok(request) => {
            tracing::trace!(%id, client = ?request.client, "accepted");
            routes::dispatch(&app, request, body).await
        }
        Err(error) => routes::refusal(&app, &path, error),
    };
    // What an origin answered to a plain fetch is passed on as it is.
    if response.body().whole().is_some() {
        if let Some(value) = trace.server_timing() {
            response.headers_mut().insert(telemetry::SERVER_TIMING, value);
        }
        if let Ok(value) = HeaderValue::from_str(&id) {
            response.headers_mut().insert(REQUEST_ID, value);
        }
    }
    app.counters.response(&response);
    trace.answered(&mut response);
    let status = response.status().as_u16();
    let millis = began.elapsed().as_millis();
    tracing::debug!(%id, %method, path, status, millis, "answered");
    response
}

/// Memory that a request takes until its response begins: its head and the state of its route, and what arrives of a body
/// before it is read. On HTTP/1 that stays in the connection's buffer.
fn request_bytes(request: &Request<delivery::RequestBody>) -> usize {
    let fields =
        request.headers().iter().map(|(name, value)| name.as_str().len() + value.len() + FIELD_BYTES);
    let head = request.uri().path().len() + request.uri().query().map_or(0, str::len) + fields.sum::<usize>();
    let body = request.body();
    let window = u64::from(delivery::STREAM_WINDOW);
    let unread = match request.version() {
        _ if body.is_end_stream() => 0,
        Version::HTTP_2 => body.size_hint().upper().map_or(window, |length| length.min(window)),
        _ => 0,
    };
    head + usize::try_from(unread).unwrap_or(usize::MAX)
}
