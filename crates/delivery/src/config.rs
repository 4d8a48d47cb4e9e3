//! The settings of a server and their bounds.

use std::sync::Arc;
use std::time::Duration;

use ledger::{Linger, Observer};

/// Settings of a [`Server`](crate::Server). All times and sizes are bounds; all of them apply to
/// TCP and Unix sockets.
#[derive(Clone)]
#[non_exhaustive]
pub struct Config {
    /// How long a request head (and a TLS handshake) may take from its first byte to its last.
    pub header_timeout: Duration,
    /// How long a connection may stay open without a request in progress.
    pub idle_timeout: Duration,
    /// How long the peer may accept no byte of a blocked write.
    pub stall_timeout: Duration,
    /// How long a response may wait for its reader in all, plus the time that its bytes take at `min_rate`. The time in
    /// which the body waits for its source does not count. A connection that takes longer is reset and counted as
    /// [`Cause::SlowReader`](ledger::Cause::SlowReader).
    pub response_timeout: Duration,
    /// Bytes per second; see `response_timeout`.
    pub min_rate: u64,
    /// How long a tunnel (after an upgrade) may carry no byte.
    pub tunnel_idle_timeout: Duration,
    /// How long no byte of a request body may arrive; reading it then fails.
    pub body_stall_timeout: Duration,
    /// Connections served at once, at most 2^20. Each listener accepts one more, which waits; the others wait in the listen
    /// backlog.
    pub max_connections: usize,
    /// Largest request head in bytes; less than 8192 counts as 8192. A larger one is answered 431 (HTTP/1) or refused
    /// (HTTP/2).
    pub max_header_bytes: usize,
    /// Bytes that HTTP/1 request heads may hold together while they arrive, besides the first 8 KiB of each. More of a head
    /// is read when there is room; `header_timeout` bounds the wait.
    pub head_memory: usize,
    /// Concurrent requests on one HTTP/2 connection.
    pub max_streams: u32,
    /// Bytes of an unread request body that are read and discarded *before* the response is sent. If more is left, the
    /// response is sent first.
    pub request_drain_bytes: u64,
    /// How long to wait for the end of a request before the response is sent.
    pub request_drain_time: Duration,
    /// How long no byte of such a request may arrive before the response is sent: a client that pauses may be waiting for
    /// it.
    pub request_drain_idle: Duration,
    /// Bounds of the lingering close. `discard_time` and `discard_bytes` also bound the reading of a request after its
    /// response; `response_timeout` and `min_rate` replace `time` and `min_rate` here.
    pub linger: Linger,
    /// Whether the framing of responses is followed. Connections are closed gracefully in either case.
    pub ledger: bool,
    /// The response header that identifies a response in reports, such as `x-request-id`.
    pub id_header: Option<Arc<str>>,
    /// Receives every verdict, in addition to the counters and the log.
    pub observer: Option<Arc<dyn Observer>>,
    /// Certificate and key; every TCP listener then uses TLS. Unix sockets do not.
    pub tls: Option<crate::tls::Tls>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            header_timeout: Duration::from_secs(15),
            idle_timeout: Duration::from_secs(75),
            stall_timeout: Duration::from_secs(30),
            response_timeout: Duration::from_secs(120),
            min_rate: 16_000,
            tunnel_idle_timeout: Duration::from_secs(3600),
            body_stall_timeout: Duration::from_secs(30),
            max_connections: 4096,
            max_header_bytes: 64 << 10,
            head_memory: 32 << 20,
            max_streams: 128,
            request_drain_bytes: 8 << 20,
            request_drain_time: Duration::from_secs(5),
            request_drain_idle: Duration::from_secs(1),
            linger: Linger::default(),
            ledger: true,
            id_header: Some(Arc::from("x-request-id")),
            observer: None,
            tls: None,
        }
    }
}

impl std::fmt::Debug for Config {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Config")
            .field("header_timeout", &self.header_timeout)
            .field("idle_timeout", &self.idle_timeout)
            .field("stall_timeout", &self.stall_timeout)
            .field("response_timeout", &self.response_timeout)
            .field("min_rate", &self.min_rate)
            .field("tunnel_idle_timeout", &self.tunnel_idle_timeout)
            .field("body_stall_timeout", &self.body_stall_timeout)
            .field("max_connections", &self.max_connections)
            .field("max_header_bytes", &self.max_header_bytes)
            .field("head_memory", &self.head_memory)
            .field("max_streams", &self.max_streams)
            .field("request_drain_bytes", &self.request_drain_bytes)
            .field("request_drain_time", &self.request_drain_time)
            .field("request_drain_idle", &self.request_drain_idle)
            .field("linger", &self.linger)
            .field("ledger", &self.ledger)
            .field("id_header", &self.id_header)
            .field("observer", &self.observer.is_some())
            .field("tls", &self.tls)
            .finish()
    }
}
