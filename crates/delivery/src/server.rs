//! A server: its listeners, the connections that they accept, and their number.

use std::future::Future;
use std::io;
use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use ledger::Probe;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinHandle;

use crate::config::Config;
use crate::connection::{Connection, LEAST_HEADER_BYTES};
use crate::drain::{Drain, DrainReport};
use crate::hang_up::{HangUp, HangUps};
use crate::head_memory::HeadMemory;
use crate::listen::Listener;
use crate::peer::Peer;
use crate::request::RequestBody;
use crate::response::BoxError;
use crate::stats::{Stats, bump};
use crate::transport::Transport;

/// The highest limit of connections.
const CONNECTION_LIMIT: usize = 1 << 20;
/// Pause after an accept failed for lack of descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

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
    heads: HeadMemory,
    next: AtomicU64,
    /// `None`: the kernel gave no epoll instance.
    hang_ups: OnceLock<Option<HangUps>>,
}

/// A running server: its listeners and its connections.
///
/// Dropping it closes the listeners; open connections continue. To stop gracefully, call
/// [`shutdown`](Self::shutdown) first.
#[derive(Debug)]
pub struct Server {
    connections: Connections,
    accepting: Mutex<Vec<JoinHandle<()>>>,
}

impl Server {
    /// Accepts connections and serves their requests by `service`, on the tokio runtime within which it is called.
    ///
    /// If a service panics, the response is 500; a response body that panics or fails is a counted cut. When the client
    /// leaves (a reset, a closed Unix socket, an HTTP/2 stream reset), the service's future or the response body is dropped
    /// at once. A client that only shuts down its writing side still gets its response.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn start<F, Fut, B>(config: Config, listeners: Vec<Listener>, service: F) -> Self
    where
        F: Fn(Request<RequestBody>) -> Fut + Clone + Send + Sync + 'static,
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

    /// The connections, for example to serve a stream of another source.
    pub fn connections(&self) -> &Connections {
        &self.connections
    }

    /// Stops gracefully. The listeners, idle connections and tunnels are closed at once, and the other connections
    /// accept no further request. Responses in progress have until `deadline` from now; those not complete by then are cut,
    /// counted as `drain_deadline`, and reset. Returns when no connection is open.
    pub async fn shutdown(&self, deadline: Duration) -> DrainReport {
        let accepting = std::mem::take(&mut *self.accepting.lock().unwrap_or_else(PoisonError::into_inner));
        let report = self.connections.shutdown(deadline).await;
        for task in accepting {
            // The task ends when the drain begins; only a panic is an error here.
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
    F: Fn(Request<RequestBody>) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Response<B>> + Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let mut drain = connections.inner.drain.subscribe();
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
            () = drain.begun() => return,
            accepted = next() => accepted,
        };
        let slot = tokio::select! {
            biased;
            () = drain.begun() => return,
            slot = connections.slot() => slot,
        };
        let Some(slot) = slot else { return };
        let (connections, service) = (connections.clone(), service.clone());
        tokio::spawn(async move {
            let (transport, peer) = accepted;
            connections.serve_socket(transport, peer, slot, service).await;
        });
    }
}

/// Whether the peer closed the connection before it was accepted: the listener still works.
fn concerns_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionRefused
    )
}

/// A slot of the connection limit, counted while it exists.
struct Slot {
    stats: Arc<Stats>,
    _permit: OwnedSemaphorePermit,
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.stats.connections_open.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Connections {
    /// Connections with these settings.
    pub fn new(config: Config) -> Self {
        let capacity = config.max_connections.clamp(1, CONNECTION_LIMIT);
        let drain = Drain::new(u32::try_from(capacity).unwrap_or(u32::MAX));
        Self {
            inner: Arc::new(Inner {
                heads: HeadMemory::new(config.head_memory, config.max_header_bytes.max(LEAST_HEADER_BYTES)),
                config: Arc::new(config),
                stats: Arc::new(Stats::default()),
                drain,
                next: AtomicU64::new(0),
                hang_ups: OnceLock::new(),
            }),
        }
    }

    /// The counters.
    pub fn stats(&self) -> Arc<Stats> {
        Arc::clone(&self.inner.stats)
    }

    /// See [`Server::shutdown`]. Later connections are closed without a response.
    pub async fn shutdown(&self, deadline: Duration) -> DrainReport {
        self.inner.drain.run(&self.inner.stats, deadline).await
    }

    /// Serves one connection over any stream, without TLS. `probe` queries the transport;
    /// [`ledger::NoProbe`] for a transport without a socket. Returns when the connection is closed. Dropping the future closes it at once
    /// and gives the verdicts that are due then.
    pub async fn serve_stream<S, F, Fut, B>(&self, stream: S, probe: &'static dyn Probe<S>, service: F)
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
        F: Fn(Request<RequestBody>) -> Fut + Clone + Send + Sync + 'static,
        Fut: Future<Output = Response<B>> + Send + 'static,
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let Some(slot) = self.slot().await else { return };
        let transport = Transport::custom(stream, probe);
        self.connection(transport, Peer::Other, HangUp::never()).serve(service).await;
        drop(slot);
    }

    /// Waits for a slot. `None`: the server is shutting down.
    async fn slot(&self) -> Option<Slot> {
        let slots: Arc<Semaphore> = self.inner.drain.slots();
        let permit = slots.acquire_owned().await.ok()?;
        bump(&self.inner.stats.connections_total);
        bump(&self.inner.stats.connections_open);
        Some(Slot { stats: self.stats(), _permit: permit })
    }

    async fn serve_socket<F, Fut, B>(&self, transport: Transport, peer: Peer, slot: Slot, service: F)
    where
        F: Fn(Request<RequestBody>) -> Fut + Clone + Send + Sync + 'static,
        Fut: Future<Output = Response<B>> + Send + 'static,
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        if let Some(transport) = self.secure(transport, peer).await {
            let hang_up = transport.socket().map_or_else(HangUp::never, |socket| self.observe(socket));
            Box::pin(self.connection(transport, peer, hang_up).serve(service)).await;
        }
        drop(slot);
    }

    /// Adds TLS if it is configured. `None`: the handshake failed.
    async fn secure(&self, transport: Transport, peer: Peer) -> Option<Transport> {
        let config = &self.inner.config;
        let Some(tls) = &config.tls else { return Some(transport) };
        let Transport::Tcp(stream) = transport else { return Some(transport) };
        let mut drain = self.inner.drain.subscribe();
        let handshake = tokio::time::timeout(config.header_timeout, tls.acceptor().accept(stream));
        let error = tokio::select! {
            () = drain.begun() => return None,
            result = handshake => match result {
                Ok(Ok(stream)) => return Some(Transport::Tls(Box::new(stream))),
                Ok(Err(error)) => error,
                Err(_) => io::ErrorKind::TimedOut.into(),
            },
        };
        bump(&self.inner.stats.tls_failures);
        tracing::debug!(%peer, %error, "TLS handshake failed");
        None
    }

    fn observe(&self, socket: BorrowedFd<'_>) -> HangUp {
        let create = || HangUps::new().map_err(|error| report_unobserved(&error)).ok();
        let hang_ups = self.inner.hang_ups.get_or_init(create);
        let observed = hang_ups
            .as_ref()
            .and_then(|hang_ups| hang_ups.observe(socket).map_err(|error| report_unobserved(&error)).ok());
        observed.unwrap_or_else(HangUp::never)
    }

    fn connection(&self, transport: Transport, peer: Peer, hang_up: HangUp) -> Connection {
        Connection {
            config: Arc::clone(&self.inner.config),
            stats: self.stats(),
            drain: self.inner.drain.subscribe(),
            heads: self.inner.heads.clone(),
            number: self.inner.next.fetch_add(1, Ordering::Relaxed),
            transport,
            peer,
            hang_up,
        }
    }
}

fn report_unobserved(error: &io::Error) {
    tracing::warn!(%error, "a client that leaves is noticed only when its response is written");
}
