//! Connections: accepted, served by hyper in a ledgered stream, watched for their deadlines, and closed
//! only when what they owe has got across.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use hyper_util::server::conn::auto;
use ledger::{Cause, Ledger, Probe};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinHandle;
use tokio::time::{Instant, Sleep};

use crate::answer::{BoxError, Shared, answer};
use crate::config::Config;
use crate::drain::{Drain, DrainReport};
use crate::ledgered::Account;
use crate::listen::Listener;
use crate::request::Incoming;
use crate::sentinel::Sentinel;
use crate::stats::{Stats, bump};
use crate::tasks::Tasks;
use crate::transport::{Foreign, Guarded, Peer, Stream, Wire};
use crate::watch::{Due, HANG_UP_INTERVAL, Watch};

/// Most connections a server can be configured for.
const MOST_CONNECTIONS: usize = 1 << 20;
/// Smallest read buffer that hyper accepts.
const LEAST_HEADER_BYTES: usize = 8192;
/// Pause after an accept failed for a reason that lies with this process: out of descriptors, memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How long an idle HTTP/2 connection that was told to go away may take to do so.
const GOODBYE: Duration = Duration::from_secs(1);

/// Serves connections. Cheap to clone; all clones are one server.
#[derive(Clone, Debug)]
pub struct Connections {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    config: Arc<Config>,
    stats: Arc<Stats>,
    drain: Drain,
    next: AtomicU64,
}

/// A running server: its listeners and its connections.
///
/// Dropping it closes the listeners; connections that are open go on. To stop in good order, call
/// [`shutdown`](Self::shutdown) first.
#[derive(Debug)]
pub struct Server {
    connections: Connections,
    accepting: Mutex<Vec<JoinHandle<()>>>,
}

impl Server {
    /// Starts to accept connections and to answer their requests by `service`, on the tokio runtime
    /// within which it is called.
    ///
    /// A service that panics is answered 500 in its place; a response body that panics or fails is a
    /// counted cut. When the client goes away, the service's future is dropped;
    /// [`ConnInfo::gone`](crate::ConnInfo::gone) tells work elsewhere.
    pub fn start<F, Fut, B>(config: Config, listeners: Vec<Listener>, service: F) -> Self
    where
        F: Fn(Request<Incoming>) -> Fut + Clone + Send + Sync + 'static,
        Fut: Future<Output = Response<B>> + Send + 'static,
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let connections = Connections::new(config);
        let accepting = listeners
            .into_iter()
            .map(|listener| tokio::spawn(accept(connections.clone(), listener, service.clone())))
            .collect();
        Self { connections, accepting: Mutex::new(accepting) }
    }

    /// The counters.
    pub fn stats(&self) -> Arc<Stats> {
        self.connections.stats()
    }

    /// The connections, for example to serve a stream that comes from elsewhere.
    pub fn connections(&self) -> &Connections {
        &self.connections
    }

    /// Stops in good order. At once: the listeners are closed, idle connections end, and the others
    /// take no further request. Responses under way have until `deadline` from now; what is then not
    /// complete is cut, counted as `drain_deadline`, and reset. Returns when no connection is open.
    pub async fn shutdown(&self, deadline: Duration) -> DrainReport {
        let accepting = std::mem::take(&mut *self.accepting.lock().unwrap_or_else(PoisonError::into_inner));
        let report = self.connections.shutdown(deadline).await;
        for task in accepting {
            // It ends by itself on the order to drain; only a panic would make this an error.
            if let Err(error) = task.await {
                tracing::error!(%error, "accept task failed");
            }
        }
        report
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        for task in self.accepting.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            task.abort();
        }
    }
}

async fn accept<F, Fut, B>(connections: Connections, listener: Listener, service: F)
where
    F: Fn(Request<Incoming>) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Response<B>> + Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let mut ordered = connections.inner.drain.ordered();
    let stats = connections.stats();
    let next = async || loop {
        match listener.accept().await {
            Ok(accepted) => return accepted,
            Err(error) => {
                bump(&stats.accept_errors);
                tracing::warn!(%error, %listener, "accept failed");
                if !concerns_one_connection(&error) {
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    };
    loop {
        let accepted = tokio::select! {
            biased;
            () = ordered.draining() => return,
            accepted = next() => accepted,
        };
        let place = tokio::select! {
            biased;
            () = ordered.draining() => return,
            place = connections.place() => place,
        };
        let Some(place) = place else { return };
        let (connections, service) = (connections.clone(), service.clone());
        tokio::spawn(async move {
            let (stream, peer) = accepted;
            connections.serve_socket(stream, peer, place, service).await;
        });
    }
}

/// The connection was gone before it was accepted; the listener is well.
fn concerns_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionRefused
    )
}

/// A place among the connections, and their count.
struct Place {
    stats: Arc<Stats>,
    _permit: OwnedSemaphorePermit,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.stats.connections_open.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Connections {
    /// Connections with these settings.
    pub fn new(config: Config) -> Self {
        let capacity = config.max_connections.clamp(1, MOST_CONNECTIONS);
        let drain = Drain::new(u32::try_from(capacity).unwrap_or(u32::MAX));
        Self {
            inner: Arc::new(Inner {
                config: Arc::new(config),
                stats: Arc::new(Stats::default()),
                drain,
                next: AtomicU64::new(0),
            }),
        }
    }

    /// The counters.
    pub fn stats(&self) -> Arc<Stats> {
        Arc::clone(&self.inner.stats)
    }

    /// See [`Server::shutdown`]. Connections that come later are closed unserved.
    pub async fn shutdown(&self, deadline: Duration) -> DrainReport {
        self.inner.drain.run(&self.inner.stats, deadline).await
    }

    /// Serves one connection over any stream, in the clear. `probe` is asked about the transport below;
    /// [`ledger::NoProbe`] if there is nothing to ask. Returns when the connection is closed. Dropping
    /// the future closes it at once, with the verdicts that belong to that.
    pub async fn serve_stream<S, F, Fut, B>(&self, stream: S, probe: &'static dyn Probe<S>, service: F)
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
        F: Fn(Request<Incoming>) -> Fut + Clone + Send + Sync + 'static,
        Fut: Future<Output = Response<B>> + Send + 'static,
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let Some(place) = self.place().await else { return };
        self.serve_wire(Foreign { inner: stream, probe }, Peer::Other, false, &place, service).await;
    }

    /// Waits for a place. `None`: there will be none any more.
    async fn place(&self) -> Option<Place> {
        let places: Arc<Semaphore> = self.inner.drain.places();
        let permit = places.acquire_owned().await.ok()?;
        bump(&self.inner.stats.connections_total);
        bump(&self.inner.stats.connections_open);
        Some(Place { stats: self.stats(), _permit: permit })
    }

    async fn serve_socket<F, Fut, B>(&self, stream: Stream, peer: Peer, place: Place, service: F)
    where
        F: Fn(Request<Incoming>) -> Fut + Clone + Send + Sync + 'static,
        Fut: Future<Output = Response<B>> + Send + 'static,
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let config = &self.inner.config;
        let Some(tls) = config.tls.as_ref().filter(|_| matches!(stream, Stream::Tcp(_))) else {
            return Box::pin(self.serve_wire(stream, peer, false, &place, service)).await;
        };
        let mut ordered = self.inner.drain.ordered();
        let handshake = tokio::time::timeout(config.header_timeout, tls.acceptor().accept(stream));
        let shaken = tokio::select! {
            () = ordered.draining() => return,
            shaken = handshake => shaken,
        };
        match shaken {
            Ok(Ok(stream)) => {
                Box::pin(self.serve_wire(Box::new(stream), peer, true, &place, service)).await;
            }
            Ok(Err(error)) => {
                bump(&self.inner.stats.tls_failures);
                tracing::debug!(%peer, %error, "TLS handshake failed");
            }
            Err(_) => {
                bump(&self.inner.stats.tls_failures);
                tracing::debug!(%peer, "TLS handshake took too long");
            }
        }
    }

    /// `_place` is kept until the connection is closed.
    async fn serve_wire<W, F, Fut, B>(&self, wire: W, peer: Peer, tls: bool, _place: &Place, service: F)
    where
        W: Wire,
        F: Fn(Request<Incoming>) -> Fut + Clone + Send + Sync + 'static,
        Fut: Future<Output = Response<B>> + Send + 'static,
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let config = &self.inner.config;
        let account = Arc::new(Account::new(self.stats(), peer, config.observer.clone(), config.ledger));
        let watch = Arc::new(Watch::new());
        let sentinel = Arc::new(Sentinel::default());
        let mut books = Ledger::new(Arc::clone(&account)).buffered(W::buffered()).follow(config.ledger);
        if let Some(name) = &config.id_header {
            books = books.id_header(name);
        }
        let returned = Arc::new(Mutex::new(None));
        let io = Guarded::new(wire, Arc::clone(&watch), Arc::clone(&sentinel), config.write_stall_timeout);
        let io = books.wrap_with(io, W::probe()).reclaim({
            let returned = Arc::clone(&returned);
            move |closing| *returned.lock().unwrap_or_else(PoisonError::into_inner) = Some(closing)
        });
        let blame = io.blame();
        let tasks = Tasks::default();
        let shared = Arc::new(Shared {
            config: Arc::clone(config),
            account: Arc::clone(&account),
            watch: Arc::clone(&watch),
            blame: blame.clone(),
            connection: self.inner.next.fetch_add(1, Ordering::Relaxed),
            tls,
            tasks: tasks.clone(),
        });
        let service = service_fn(move |request| {
            let answer = answer(Arc::clone(&shared), service.clone(), request);
            async move { Ok::<_, std::convert::Infallible>(answer.await) }
        });
        let http = http(config, tasks.clone());
        let mut connection = Box::pin(http.serve_connection(TokioIo::new(io), service));
        let mut ordered = self.inner.drain.ordered();
        let mut deadline = self.inner.drain.ordered();
        let mut draining = false;
        let mut goodbye = None;
        let mut timer = pin!(tokio::time::sleep(config.header_timeout));
        loop {
            let step = tokio::select! {
                biased;
                step = step(connection.as_mut(), timer.as_mut(), || due(&watch, &account, config), goodbye.is_some()) => step,
                () = ordered.draining(), if !draining => Step::Drain,
                () = wait_until(goodbye), if goodbye.is_some() => break,
                () = deadline.deadline(), if draining => {
                    blame.set(Cause::DrainDeadline);
                    break;
                }
            };
            match step {
                Step::Over(Ok(())) => break,
                Step::Over(Err(error)) => {
                    tracing::debug!(%peer, %error, "connection ended");
                    break;
                }
                Step::Drain => {
                    draining = true;
                    connection.as_mut().graceful_shutdown();
                }
                Step::Look => {
                    if watch.unanswered() && sentinel.hung_up() {
                        bump(&self.inner.stats.hang_ups);
                        blame.set(Cause::PeerReset);
                        break;
                    }
                    let next = match due(&watch, &account, config) {
                        Due::At(next) => next,
                        Due::HeadTimeout => {
                            bump(&self.inner.stats.header_timeouts);
                            break;
                        }
                        Due::Stalled => {
                            blame.set(Cause::WriteStall);
                            break;
                        }
                        Due::Idle => {
                            if goodbye.is_none() {
                                bump(&self.inner.stats.idle_closes);
                                connection.as_mut().graceful_shutdown();
                                goodbye = Some(Instant::now() + GOODBYE);
                            }
                            Instant::now() + config.idle_timeout
                        }
                    };
                    timer.as_mut().reset(next);
                }
            }
        }
        drop(connection);
        // What HTTP/2 streams still hold ends here, and with it come their verdicts: before the connection counts as closed.
        tasks.end().await;
        let closing = returned.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(closing) = closing {
            tokio::select! {
                biased;
                () = closing.finish(config.linger, tokio::time::sleep) => {}
                // Said before the close is dropped, which gives the last verdicts.
                () = async {
                    deadline.deadline().await;
                    blame.set(Cause::DrainDeadline);
                } => {}
            }
        }
        account.settle_http2(blame.get().unwrap_or(Cause::PeerReset));
    }
}

async fn wait_until(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time).await,
        None => std::future::pending().await,
    }
}

/// What a connection has come to.
enum Step<E> {
    Over(Result<(), E>),
    /// The server is to stop.
    Drain,
    /// It is time to look at the deadlines.
    Look,
}

/// When to look at a connection again. A response may wait for the peer's acknowledgement, of which no poll tells.
fn due(watch: &Watch, account: &Account, config: &Config) -> Due {
    match watch.due(config) {
        Due::At(at) if account.awaits_verdict(watch.under_way()) => {
            Due::At(at.min(Instant::now() + HANG_UP_INTERVAL))
        }
        due => due,
    }
}

/// Drives a connection until something is to be decided.
async fn step<C, E>(
    mut connection: Pin<&mut C>,
    mut timer: Pin<&mut Sleep>,
    due: impl Fn() -> Due,
    leaving: bool,
) -> Step<E>
where
    C: Future<Output = Result<(), E>>,
{
    poll_fn(|cx| {
        if let Poll::Ready(result) = connection.as_mut().poll(cx) {
            return Poll::Ready(Step::Over(result));
        }
        // The poll may have brought a deadline nearer: a request is under way, a head has begun.
        match due() {
            Due::At(at) if at < timer.deadline() => timer.as_mut().reset(at),
            Due::At(_) => {}
            Due::Idle if leaving => {}
            // Overdue by now: the poll may have ended a flush that hid it when the timer ran out.
            Due::HeadTimeout | Due::Stalled | Due::Idle => return Poll::Ready(Step::Look),
        }
        timer.as_mut().poll(cx).map(|()| Step::Look)
    })
    .await
}

fn http(config: &Config, tasks: Tasks) -> auto::Builder<Tasks> {
    let header_bytes = config.max_header_bytes.max(LEAST_HEADER_BYTES);
    let mut builder = auto::Builder::new(tasks);
    builder
        .http1()
        // A client that has finished sending still gets its answer.
        .half_close(true)
        // Deadlines are the watch's: hyper's would count idle time as part of the next head.
        .header_read_timeout(None)
        .max_buf_size(header_bytes);
    builder
        .http2()
        .max_concurrent_streams(config.max_streams)
        .max_header_list_size(u32::try_from(header_bytes).unwrap_or(u32::MAX));
    builder
}
