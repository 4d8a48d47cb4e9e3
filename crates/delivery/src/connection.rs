//! One connection: served by hyper in a ledgered stream, observed for its deadlines, and closed only when the peer has
//! acknowledged everything.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use hyper_util::server::conn::auto;
use ledger::{Cause, Closing, Handle, Ledger, Linger};
use tokio::sync::oneshot;
use tokio::time::{Instant, Sleep};

use crate::activity::{Activity, Due};
use crate::config::Config;
use crate::drain::DrainSignal;
use crate::exchange::Shared;
use crate::hang_up::HangUp;
use crate::head_memory::{Head, HeadMemory};
use crate::observer::ConnectionObserver;
use crate::peer::Peer;
use crate::request::RequestBody;
use crate::respond::respond;
use crate::response::BoxError;
use crate::stats::{Stats, bump};
use crate::tasks::Tasks;
use crate::timed::{TimedTransport, TransportProbe};
use crate::transport::Transport;
use crate::tunnel::PendingTunnel;

/// Smallest read buffer that hyper accepts.
pub(crate) const LEAST_HEADER_BYTES: usize = 8192;
/// Bytes of a request body that arrive on HTTP/2 before the service reads it, and of all bodies of a connection.
pub const STREAM_WINDOW: u32 = 256 << 10;
const CONNECTION_WINDOW: u32 = 2 * STREAM_WINDOW;
/// How long an idle HTTP/2 connection may take to close after its GOAWAY.
const GOAWAY_TIMEOUT: Duration = Duration::from_secs(1);

/// A connection that was accepted.
pub(crate) struct Connection {
    pub(crate) config: Arc<Config>,
    pub(crate) stats: Arc<Stats>,
    pub(crate) drain: DrainSignal,
    pub(crate) heads: HeadMemory,
    pub(crate) number: u64,
    pub(crate) transport: Transport,
    pub(crate) peer: Peer,
    pub(crate) hang_up: HangUp,
}

impl Connection {
    /// Serves the connection. Returns when it is closed.
    pub(crate) async fn serve<F, Fut, B>(self, service: F)
    where
        F: Fn(Request<RequestBody>) -> Fut + Clone + Send + Sync + 'static,
        Fut: Future<Output = Response<B>> + Send + 'static,
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let Self { config, stats, drain, heads, number, transport, peer, hang_up } = self;
        let activity = Arc::new(Activity::new(Head::new(heads)));
        let observer = Arc::new(ConnectionObserver::new(
            Arc::clone(&stats),
            peer,
            config.observer.clone(),
            Arc::clone(&activity),
            config.ledger,
        ));
        let tls = transport.is_tls();
        let mut ledger = Ledger::new(Arc::clone(&observer)).buffered(tls).follow(config.ledger);
        if let Some(name) = &config.id_header {
            ledger = ledger.id_header(name);
        }
        let timed = TimedTransport::new(transport, Arc::clone(&activity), config.stall_timeout);
        let (give_back, given_back) = oneshot::channel();
        let stream = ledger.wrap_with(timed, &TransportProbe).reclaim(move |closing| {
            // The receiver is dropped only when this connection's future is: then there is nothing to wait for.
            let _ = give_back.send(closing);
        });
        let tasks = Tasks::default();
        let shared = Arc::new(Shared {
            config: Arc::clone(&config),
            observer: Arc::clone(&observer),
            activity: Arc::clone(&activity),
            handle: stream.handle(),
            connection: number,
            tls,
            tasks: tasks.clone(),
            tunnel: Mutex::new(None),
        });
        let mut deadlines = Deadlines {
            config: Arc::clone(&config),
            stats: Arc::clone(&stats),
            observer: Arc::clone(&observer),
            activity,
            handle: stream.handle(),
            drain,
            hang_up,
            tasks: tasks.clone(),
        };
        let service = service_fn({
            let shared = Arc::clone(&shared);
            move |request| {
                let response = respond(Arc::clone(&shared), service.clone(), request);
                async move { Ok::<_, std::convert::Infallible>(response.await) }
            }
        });
        {
            let http = http(&config, tasks.clone());
            let connection = pin!(http.serve_connection_with_upgrades(TokioIo::new(stream), service));
            deadlines.http(connection, auto::UpgradeableConnection::graceful_shutdown, peer).await;
        }
        deadlines.activity.heads_end();
        // Streams of HTTP/2 get their verdicts here, before the connection counts as closed.
        tasks.end().await;
        let tunnel = shared.tunnel.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(tunnel) = tunnel {
            deadlines.tunnel(tunnel, peer).await;
        }
        drop(shared);
        if let Ok(closing) = given_back.await {
            deadlines.close(closing).await;
        }
        observer.settle_http2(deadlines.handle.cause().unwrap_or(Cause::PeerReset));
    }
}

/// Drives the stages of a connection until they end, or a deadline ends them.
struct Deadlines {
    config: Arc<Config>,
    stats: Arc<Stats>,
    observer: Arc<ConnectionObserver>,
    activity: Arc<Activity>,
    handle: Handle,
    drain: DrainSignal,
    hang_up: HangUp,
    /// One for each HTTP/2 stream.
    tasks: Tasks,
}

/// The event that ends a wait for a connection.
enum Step<E> {
    Ended(Result<(), E>),
    /// The client has left while its request is in progress.
    HungUp,
    /// Deadlines have to be checked.
    Check,
}

impl Deadlines {
    /// Serves HTTP until the connection ends or becomes a tunnel.
    async fn http<C, E>(&mut self, mut connection: Pin<&mut C>, shut_down: impl Fn(Pin<&mut C>), peer: Peer)
    where
        C: Future<Output = Result<(), E>>,
        E: std::fmt::Display,
    {
        let mut deadline = self.drain.clone();
        let mut drain = self.drain.clone();
        let mut draining = false;
        let mut goodbye = None;
        let mut timer = pin!(tokio::time::sleep(self.config.header_timeout));
        loop {
            let step = tokio::select! {
                biased;
                step = self.step(connection.as_mut(), timer.as_mut(), goodbye.is_some()) => step,
                () = drain.begun(), if !draining => {
                    draining = true;
                    shut_down(connection.as_mut());
                    continue;
                }
                () = wait_until(goodbye), if goodbye.is_some() => return,
                () = deadline.deadline(), if draining => return self.handle.set_cause(Cause::DrainDeadline),
            };
            match step {
                Step::Ended(Ok(())) => return,
                Step::Ended(Err(error)) => {
                    tracing::debug!(%peer, %error, "connection ended");
                    return;
                }
                Step::HungUp => {
                    bump(&self.stats.hang_ups);
                    return self.handle.set_cause(Cause::PeerReset);
                }
                Step::Check => {
                    if self.unacknowledged() {
                        self.handle.check_acknowledged();
                        self.activity.checked();
                    }
                    let next = match self.due() {
                        Due::At(next) => next,
                        Due::HeadTimeout => return bump(&self.stats.header_timeouts),
                        Due::StreamsOverdue => {
                            for task in self.activity.cut_overdue(&self.config) {
                                match task {
                                    Some(task) => self.tasks.abort(task),
                                    None => return self.handle.set_cause(Cause::WriteStall),
                                }
                            }
                            Instant::now()
                        }
                        Due::SlowReader => return self.handle.set_cause(Cause::SlowReader),
                        Due::Idle => {
                            if goodbye.is_none() {
                                bump(&self.stats.idle_closes);
                                shut_down(connection.as_mut());
                                goodbye = Some(Instant::now() + GOAWAY_TIMEOUT);
                            }
                            Instant::now() + self.config.idle_timeout
                        }
                    };
                    timer.as_mut().reset(next);
                }
            }
        }
    }

    /// Copies a tunnel to its end. A tunnel is never complete: a drain ends it at once.
    async fn tunnel(&mut self, tunnel: PendingTunnel, peer: Peer) {
        bump(&self.stats.tunnels_total);
        let _open = Count::new(&self.stats.tunnels_open);
        let mut drain = self.drain.clone();
        let mut copy = pin!(tunnel.run());
        loop {
            let idle_at = self.activity.last() + self.config.tunnel_idle_timeout;
            tokio::select! {
                biased;
                result = &mut copy => {
                    if let Err(error) = result {
                        tracing::debug!(%peer, %error, "tunnel failed");
                        self.handle.set_cause(Cause::Transport);
                    }
                    return;
                }
                () = drain.begun() => return self.handle.set_cause(Cause::DrainDeadline),
                () = poll_fn(|cx| if self.hang_up.poll(cx) { Poll::Ready(()) } else { Poll::Pending }) => {
                    return self.handle.set_cause(Cause::PeerReset);
                }
                () = tokio::time::sleep_until(idle_at) => {
                    if self.activity.last() + self.config.tunnel_idle_timeout <= Instant::now() {
                        return self.handle.set_cause(Cause::WriteStall);
                    }
                }
            }
        }
    }

    /// Closes the connection gracefully, at the drain deadline at the latest.
    async fn close(&mut self, closing: Closing<TimedTransport>) {
        let Config { response_timeout, min_rate, .. } = *self.config;
        let mut linger: Linger = self.config.linger;
        (linger.time, linger.min_rate) = (response_timeout, min_rate);
        let handle = &self.handle;
        let drain = &mut self.drain;
        tokio::select! {
            biased;
            () = closing.finish(linger, tokio::time::sleep) => {}
            // The cause is set before the close is dropped, which gives the last verdicts.
            () = async {
                drain.deadline().await;
                handle.set_cause(Cause::DrainDeadline);
            } => {}
        }
    }

    /// Whether the connection has all of a response that has no verdict yet: no poll reports an acknowledgement.
    fn unacknowledged(&self) -> bool {
        self.observer.awaits_verdict(self.activity.in_progress())
    }

    fn due(&self) -> Due {
        self.activity.due(&self.config, self.unacknowledged())
    }

    /// Drives a connection until the next event.
    async fn step<C, E>(
        &self,
        mut connection: Pin<&mut C>,
        mut timer: Pin<&mut Sleep>,
        leaving: bool,
    ) -> Step<E>
    where
        C: Future<Output = Result<(), E>>,
    {
        poll_fn(|cx: &mut Context<'_>| {
            if let Poll::Ready(result) = connection.as_mut().poll(cx) {
                return Poll::Ready(Step::Ended(result));
            }
            // Without a request in progress hyper reads, and notices a client that leaves by itself.
            if self.hang_up.poll(cx) && self.activity.in_progress() > 0 {
                return Poll::Ready(Step::HungUp);
            }
            // The poll may have brought a deadline nearer.
            match self.due() {
                Due::At(at) if at < timer.deadline() => timer.as_mut().reset(at),
                Due::At(_) => {}
                Due::Idle if leaving => {}
                // Overdue: the poll may have ended a flush that hid it when the timer fired.
                Due::HeadTimeout | Due::StreamsOverdue | Due::SlowReader | Due::Idle => {
                    return Poll::Ready(Step::Check);
                }
            }
            timer.as_mut().poll(cx).map(|()| Step::Check)
        })
        .await
    }
}

/// Increments a counter until it is dropped.
struct Count<'a>(&'a std::sync::atomic::AtomicU64);

impl<'a> Count<'a> {
    fn new(counter: &'a std::sync::atomic::AtomicU64) -> Self {
        bump(counter);
        Self(counter)
    }
}

impl Drop for Count<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, std::sync::atomic::Ordering::Relaxed);
    }
}

async fn wait_until(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time).await,
        None => std::future::pending().await,
    }
}

fn http(config: &Config, tasks: Tasks) -> auto::Builder<Tasks> {
    let header_bytes = config.max_header_bytes.max(LEAST_HEADER_BYTES);
    let mut builder = auto::Builder::new(tasks);
    builder
        .http1()
        // A client that has shut down its writing side still gets its response (DLV-006).
        .half_close(true)
        // `Activity` has the deadlines: hyper's would count idle time as part of the next head.
        .header_read_timeout(None)
        .max_buf_size(header_bytes);
    builder
        .http2()
        .max_concurrent_streams(config.max_streams)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_header_list_size(u32::try_from(header_bytes).unwrap_or(u32::MAX));
    builder
}
