//! Counters for the metrics.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};

use ledger::Cause;

/// Counters of a server since its start. PeerParser them is cheap.
#[derive(Debug, Default)]
pub struct Stats {
    pub(crate) connections_open: AtomicU64,
    pub(crate) connections_total: AtomicU64,
    pub(crate) accept_errors: AtomicU64,
    pub(crate) tls_failures: AtomicU64,
    pub(crate) header_timeouts: AtomicU64,
    pub(crate) idle_closes: AtomicU64,
    pub(crate) hang_ups: AtomicU64,
    pub(crate) requests_total: AtomicU64,
    pub(crate) requests_open: AtomicU64,
    pub(crate) handler_panics: AtomicU64,
    pub(crate) undrained: AtomicU64,
    pub(crate) whole: AtomicU64,
    pub(crate) abandoned: AtomicU64,
    pub(crate) unbegun: AtomicU64,
    pub(crate) tunnels_open: AtomicU64,
    pub(crate) tunnels_total: AtomicU64,
    pub(crate) bytes: AtomicU64,
    pub(crate) cuts: [AtomicU64; Cause::ALL.len()],
}

pub(crate) fn bump(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

macro_rules! readers {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {$(
        $(#[$doc])*
        pub fn $name(&self) -> u64 {
            self.$name.load(Ordering::Relaxed)
        }
    )*};
}

impl Stats {
    readers! {
        /// Connections open now, including those in their lingering close.
        connections_open,
        /// Connections accepted.
        connections_total,
        /// Failed attempts to accept a connection.
        accept_errors,
        /// TLS handshakes that failed or took too long.
        tls_failures,
        /// Connections closed because a request head took too long.
        header_timeouts,
        /// Connections closed because nothing happened on them.
        idle_closes,
        /// Connections whose peer left while its request was in progress.
        hang_ups,
        /// Requests given to the service.
        requests_total,
        /// Requests whose response has no verdict yet: it is being produced or written, or awaits acknowledgement.
        requests_open,
        /// Handlers that panicked.
        handler_panics,
        /// Requests whose response was sent before their end was read.
        undrained,
        /// Responses delivered whole.
        whole,
        /// Requests whose client left before it received a byte of a response. They are not cuts.
        abandoned,
        /// Pipelined requests that the service never got, because their connection closed after an earlier response. These
        /// are not cuts; the client may send them again.
        unbegun,
        /// Connections that are tunnels now, after an upgrade.
        tunnels_open,
        /// Connections that became tunnels.
        tunnels_total,
        /// Bytes written, heads included, before encryption.
        bytes,
    }

    /// Responses that were cut for one cause.
    pub fn cuts(&self, cause: Cause) -> u64 {
        self.cuts[cause.index()].load(Ordering::Relaxed)
    }

    /// Responses that were cut.
    pub fn cut(&self) -> u64 {
        self.cuts.iter().map(|count| count.load(Ordering::Relaxed)).sum()
    }

    /// Appends all figures in the Prometheus text format; names begin with `prefix`, for example
    /// `wholeplate_delivery`.
    pub fn write_prometheus(&self, prefix: &str, out: &mut String) {
        let mut write = |name: &str, kind: &str, help: &str, value: u64| {
            let _ = writeln!(
                out,
                "# HELP {prefix}_{name} {help}\n# TYPE {prefix}_{name} {kind}\n{prefix}_{name} {value}"
            );
        };
        write("connections_open", "gauge", "Connections open now.", self.connections_open());
        write("connections_total", "counter", "Connections accepted.", self.connections_total());
        write("accept_errors_total", "counter", "Failed accepts.", self.accept_errors());
        write("tls_failures_total", "counter", "Failed TLS handshakes.", self.tls_failures());
        write("header_timeouts_total", "counter", "Heads that took too long.", self.header_timeouts());
        write("idle_closes_total", "counter", "Idle connections closed.", self.idle_closes());
        write("hang_ups_total", "counter", "Clients that left before their response.", self.hang_ups());
        write("requests_total", "counter", "Requests served.", self.requests_total());
        write("requests_open", "gauge", "Requests whose response has no verdict yet.", self.requests_open());
        write("handler_panics_total", "counter", "Handlers that panicked.", self.handler_panics());
        write(
            "undrained_total",
            "counter",
            "Responses sent before the end of their request.",
            self.undrained(),
        );
        write("responses_whole_total", "counter", "Responses sent whole.", self.whole());
        write(
            "responses_abandoned_total",
            "counter",
            "Clients that left before a byte of their response.",
            self.abandoned(),
        );
        write(
            "requests_unbegun_total",
            "counter",
            "Pipelined requests that the service never got.",
            self.unbegun(),
        );
        write("tunnels_open", "gauge", "Connections that are tunnels now.", self.tunnels_open());
        write("tunnels_total", "counter", "Connections that became tunnels.", self.tunnels_total());
        write("bytes_total", "counter", "Bytes written.", self.bytes());
        let _ = writeln!(
            out,
            "# HELP {prefix}_responses_cut_total Responses cut short.\n\
             # TYPE {prefix}_responses_cut_total counter"
        );
        for cause in Cause::ALL {
            let count = self.cuts(cause);
            let _ = writeln!(out, "{prefix}_responses_cut_total{{cause=\"{cause}\"}} {count}");
        }
    }
}
