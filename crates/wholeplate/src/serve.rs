//! Opens the doors, answers, and stops in good order.

use std::io::IsTerminal;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use bytes::Bytes;
use delivery::{ConnInfo, Listener, Peer, Server, UnixOptions};
use http::{HeaderValue, Request, StatusCode};
use tracing_subscriber::EnvFilter;

use crate::app::App;
use crate::config::{Config, LogFormat};
use crate::door::{self, Entrance};
use crate::metrics;
use crate::respond::{self, Answer};
use crate::stdout;
use crate::trace::{self, Exporter, Trace};

/// Name of the header that identifies a response, in logs as on the wire.
const REQUEST_ID: &str = "x-request-id";
/// Files that are open whatever comes in, with room.
const OTHER_FILES: u64 = 64;
/// How long the last spans may take on their way to the collector.
const LAST_SPANS: Duration = Duration::from_secs(5);

/// Serves until SIGTERM, SIGINT, SIGHUP or SIGQUIT, then drains; a second signal ends that at once.
pub(crate) fn run(config: Config) -> Result<(), String> {
    start_logging(config.log);
    raise_open_files(config.max_connections);
    // The TLS library asks for a process-wide provider; the first one wins.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Runtime::new().map_err(|e| e.to_string())?;
    let exporter = Exporter::from_env(runtime.handle().clone())?;
    let app = App::new(config, exporter)?;
    let served = runtime.block_on(async {
        let config = &app.config;
        let listeners = listeners(config).await?;
        warn_of_open_blob_header(config, &listeners);
        let mut settings = config.delivery()?;
        settings.id_header = Some(Arc::from(REQUEST_ID));
        let tls = settings.tls.is_some();
        let mut lines: String =
            listeners.iter().map(|l| format!("listening on {}\n", address(l, tls))).collect();
        let service = {
            let app = Arc::clone(&app);
            move |request| identified(Arc::clone(&app), request)
        };
        // Asked for before the first line is printed: who reads it may stop us at once.
        let mut stop = Stop::new()?;
        let server = Server::start(settings, listeners, service);
        let admin = match &config.admin {
            Some(address) => Some(admin(&app, &server, address).await?),
            None => None,
        };
        if let Some((_, line)) = &admin {
            lines.push_str(&format!("{line}\n"));
        }
        // For whoever reads it: the service is there for others.
        if let Err(e) = stdout::write_through(lines.as_bytes()) {
            tracing::warn!("standard output: {e}");
        }
        stop.wait().await;
        let deadline = Duration::from_secs(config.drain_timeout);
        tracing::info!(
            seconds = config.drain_timeout,
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
            return Err(format!("stopped: {report}"));
        }
        tracing::info!("stopped: {report}");
        Ok(())
    });
    // The runtime still runs, and every response has had its verdict.
    if let Some(exporter) = &app.exporter {
        exporter.finish(LAST_SPANS);
    }
    served
}

async fn listeners(config: &Config) -> Result<Vec<Listener>, String> {
    let mut listeners = Listener::inherited().map_err(|e| format!("inherited sockets: {e}"))?;
    if config.listen != "none" {
        let address =
            resolve(&config.listen).await.map_err(|e| format!("--listen {}: {e}", config.listen))?;
        let listener = Listener::tcp(address).map_err(|e| format!("--listen {}: {e}", config.listen))?;
        listeners.push(listener);
    }
    if let Some(path) = &config.unix {
        let options = UnixOptions { mode: Some(config.mode()), uid: config.unix_uid, gid: config.unix_gid };
        let listener =
            Listener::unix(path, options).map_err(|e| format!("--unix {}: {e}", path.display()))?;
        listeners.push(listener);
    }
    if listeners.is_empty() {
        return Err("listen: 'none' leaves no door open; give --unix PATH, or inherit a socket".to_owned());
    }
    Ok(listeners)
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

/// Whoever can set the header of `cf` has this program fetch for them.
fn warn_of_open_blob_header(config: &Config, listeners: &[Listener]) {
    let Some(name) = &config.cf_blob_header else { return };
    for address in listeners.iter().filter_map(Listener::tcp_address).filter(|a| !a.ip().is_loopback()) {
        tracing::warn!(
            "cf-blob-header: {name} is believed on {address} too, where anybody may send it; use --unix for the \
             runtime, or see to it that nobody else reaches that address"
        );
    }
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

/// Answers, names the response, and logs it.
async fn identified(app: Arc<App>, request: Request<delivery::RequestBody>) -> Answer {
    let began = Instant::now();
    let unix = request.extensions().get::<ConnInfo>().is_some_and(|i| matches!(i.peer, Peer::Unix { .. }));
    let entrance = if unix { Entrance::Unix } else { Entrance::Tcp };
    let target = request.uri().path().to_owned();
    let method = request.method().clone();
    let timed = app.config.server_timing || trace::wants_timing(request.headers());
    let trace = Trace::begin(app.exporter.as_ref(), timed, &request);
    let id = trace.id().unwrap_or_else(|| request_id(&request));
    let mut answer = door::answer(app, entrance, request, &trace).await;
    // What an origin answered to a plain fetch is passed on as it is.
    if answer.body().whole().is_some() {
        if let Some(value) = trace.server_timing() {
            answer.headers_mut().insert(trace::SERVER_TIMING, value);
        }
        if let Ok(value) = HeaderValue::from_str(&id) {
            answer.headers_mut().insert(REQUEST_ID, value);
        }
    }
    trace.answered(&mut answer);
    let status = answer.status().as_u16();
    let millis = began.elapsed().as_millis();
    tracing::debug!(%id, %method, target, status, millis, "answered");
    answer
}

/// The trace id of the request's W3C trace context, or a new one of the same form.
fn request_id<B>(request: &Request<B>) -> String {
    let given = request.headers().get("traceparent").and_then(|v| v.to_str().ok()).and_then(|v| {
        let id = v.split('-').nth(1)?;
        let hex =
            id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit()) && id.bytes().any(|b| b != b'0');
        hex.then(|| id.to_ascii_lowercase())
    });
    given.unwrap_or_else(|| {
        let mut bytes = [0; 16];
        // Without randomness ids are alike, which only logs notice.
        let _ = getrandom::fill(&mut bytes);
        bytes.iter().map(|b| format!("{b:02x}")).collect()
    })
}

/// Figures and health, on an address of their own.
async fn admin(app: &Arc<App>, server: &Server, address: &str) -> Result<(Server, String), String> {
    let wrong = |e: std::io::Error| format!("--admin {address}: {e}");
    let listener = Listener::tcp(resolve(address).await.map_err(wrong)?).map_err(wrong)?;
    let line = format!("admin on {listener}");
    let (app, stats) = (Arc::clone(app), server.stats());
    let service = move |request: Request<delivery::RequestBody>| {
        let answer = match request.uri().path() {
            "/healthz" => respond::plain(StatusCode::OK, "text/plain; charset=utf-8", "ok\n".into()),
            "/metrics" => {
                let text = metrics::text(&app, &stats);
                respond::plain(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", text.into())
            }
            _ => {
                let text = Bytes::from_static(b"Not found. /metrics and /healthz are here.\n");
                respond::plain(StatusCode::NOT_FOUND, "text/plain; charset=utf-8", text)
            }
        };
        async move { answer }
    };
    Ok((Server::start(delivery::Config::default(), vec![listener], service), line))
}

fn start_logging(format: LogFormat) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // Files and collectors of logs take colours for noise.
    let builder = builder.with_ansi(std::io::stderr().is_terminal());
    // A subscriber that is there already is somebody else's choice.
    let _ = match format {
        LogFormat::Human => builder.try_init(),
        LogFormat::Json => builder.json().try_init(),
    };
}

/// SIGTERM and SIGINT; and SIGHUP and SIGQUIT, which would otherwise end the process with answers under way: a terminal
/// that is closed sends the one. These two only where they are not ignored, as under `nohup`.
struct Stop {
    signals: Vec<tokio::signal::unix::Signal>,
}

impl Stop {
    fn new() -> Result<Self, String> {
        use tokio::signal::unix::{SignalKind, signal};
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let kinds = [SignalKind::terminate(), SignalKind::interrupt()].into_iter();
        let kinds = kinds.chain(
            [SignalKind::hangup(), SignalKind::quit()].into_iter().filter(|kind| !ignores(&status, *kind)),
        );
        let signals = kinds.map(signal).collect::<Result<_, _>>().map_err(|e| format!("signals: {e}"))?;
        Ok(Self { signals })
    }

    async fn wait(&mut self) {
        std::future::poll_fn(|cx| {
            let came = self.signals.iter_mut().any(|signal| signal.poll_recv(cx).is_ready());
            if came { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
}

/// Whether a process ignores a signal, by its `/proc/PID/status`.
fn ignores(status: &str, kind: tokio::signal::unix::SignalKind) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    mask >> (kind.as_raw_value() - 1) & 1 == 1
}
