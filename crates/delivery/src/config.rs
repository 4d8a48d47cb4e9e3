//! The settings of a server and their bounds.

use std::sync::Arc;
use std::time::Duration;

use ledger::{Linger, Observer};

/// Settings of a [`Server`](crate::Server). All times and sizes are bounds, and all of them are honoured on
/// TCP and Unix sockets alike.
#[derive(Clone)]
#[non_exhaustive]
pub struct Config {
    /// How long a request head (and a TLS handshake) may take from its first byte to its last.
    pub header_timeout: Duration,
    /// How long a connection may stay open with no request under way.
    pub idle_timeout: Duration,
    /// How long a blocked write may go without the peer taking a single byte. Progress counts, not the
    /// total time: a slow reader is served to the end.
    pub write_stall_timeout: Duration,
    /// How long a request body may go without a byte arriving; reading it then fails.
    pub body_stall_timeout: Duration,
    /// Connections served at once, at most 2^20; one more for each listener is accepted and waits, the
    /// others wait in the listen backlog.
    pub max_connections: usize,
    /// Largest request head in bytes; less than 8192 counts as 8192. A larger one is answered 431 (HTTP/1) or refused
    /// (HTTP/2).
    pub max_header_bytes: usize,
    /// Requests under way at once on one HTTP/2 connection.
    pub max_streams: u32,
    /// Unread request body that is read and discarded *before* the answer is sent, in bytes. A request
    /// with more left than this is answered first.
    pub request_drain_bytes: u64,
    /// How long to wait for the end of a request before it is answered all the same.
    pub request_drain_time: Duration,
    /// How long no byte of such a request may arrive before it is answered all the same: a client that pauses may be
    /// waiting for the answer.
    pub request_drain_idle: Duration,
    /// Bounds of the lingering close, which also apply to what is read of a request after its answer.
    pub linger: Linger,
    /// Whether responses are followed on the wire. Off, only the order of closing is kept.
    pub ledger: bool,
    /// The response header that identifies a response in reports, such as `x-request-id`.
    pub id_header: Option<Arc<str>>,
    /// Told every verdict, beside the counters and the log.
    pub observer: Option<Arc<dyn Observer>>,
    /// Certificate and key; every TCP listener then speaks TLS. Unix sockets stay in the clear.
    pub tls: Option<crate::tls::Tls>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            header_timeout: Duration::from_secs(15),
            idle_timeout: Duration::from_secs(75),
            write_stall_timeout: Duration::from_secs(30),
            body_stall_timeout: Duration::from_secs(30),
            max_connections: 4096,
            max_header_bytes: 64 << 10,
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
            .field("write_stall_timeout", &self.write_stall_timeout)
            .field("body_stall_timeout", &self.body_stall_timeout)
            .field("max_connections", &self.max_connections)
            .field("max_header_bytes", &self.max_header_bytes)
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
