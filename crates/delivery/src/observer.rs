//! Passes the ledger's verdicts on to counters, the log and the observer of the configuration.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ledger::{Cause, Entry, Observer, Protocol};

use crate::activity::Activity;
use crate::peer::Peer;
use crate::receipt::{Outcome, Receipts};
use crate::stats::{Stats, bump};

/// The observer of one connection.
pub(crate) struct ConnectionObserver {
    pub(crate) stats: Arc<Stats>,
    pub(crate) peer: Peer,
    pub(crate) observer: Option<Arc<dyn Observer>>,
    activity: Arc<Activity>,
    /// HTTP/2 responses whose whole body was given to the connection.
    given: AtomicU64,
    /// HTTP/2 responses whose end was written.
    ended: AtomicU64,
    /// Receipts of HTTP/1 responses without a verdict.
    pub(crate) receipts: Receipts,
    /// Whether the framing is followed, so that there are verdicts.
    followed: bool,
    /// Requests given to the service.
    begun: AtomicU64,
    /// Requests without a verdict.
    open: AtomicU64,
}

impl ConnectionObserver {
    pub(crate) fn new(
        stats: Arc<Stats>,
        peer: Peer,
        observer: Option<Arc<dyn Observer>>,
        activity: Arc<Activity>,
        followed: bool,
    ) -> Self {
        Self {
            stats,
            peer,
            observer,
            activity,
            given: AtomicU64::new(0),
            ended: AtomicU64::new(0),
            receipts: Receipts::default(),
            followed,
            begun: AtomicU64::new(0),
            open: AtomicU64::new(0),
        }
    }

    /// Counts a request that is given to the service. Returns its number on the connection.
    pub(crate) fn request_begins(&self) -> u64 {
        bump(&self.stats.requests_total);
        bump(&self.stats.requests_open);
        bump(&self.open);
        self.begun.fetch_add(1, Ordering::Relaxed)
    }

    /// The connection has all of a response body, or the body was dropped. If the framing is not followed, this is the
    /// verdict.
    pub(crate) fn body_ended(&self) {
        if !self.followed {
            self.judged(1);
        }
    }

    /// Counts verdicts; at most as many as there are open requests.
    fn judged(&self, count: u64) {
        self.activity.verdict();
        let left = |open: u64| Some(open.saturating_sub(count));
        if let Ok(open) = self.open.fetch_update(Ordering::Relaxed, Ordering::Relaxed, left) {
            self.stats.requests_open.fetch_sub(open.min(count), Ordering::Relaxed);
        }
    }

    /// On HTTP/1 a response may be hyper's own, to a head that it refused without calling the service.
    fn judged_http1(&self, entry: &Entry) {
        if entry.number < self.begun.load(Ordering::Relaxed) {
            self.judged(1);
        }
    }

    /// Whether a response without a body in progress awaits its verdict.
    pub(crate) fn awaits_verdict(&self, in_progress: usize) -> bool {
        self.open.load(Ordering::Relaxed) > in_progress as u64
    }

    /// The connection has all of an HTTP/2 body. If the framing is not followed, this counts as whole.
    pub(crate) fn body_given(&self, followed: bool) {
        if followed {
            bump(&self.given);
        } else {
            bump(&self.stats.whole);
        }
    }

    /// An HTTP/2 body was dropped before its end.
    pub(crate) fn body_cut(&self, entry: &BodyEntry<'_>, cause: Cause) {
        if self.followed {
            self.judged(1);
        }
        if entry.status.is_none() && matches!(cause, Cause::PeerReset | Cause::PeerClosed) {
            bump(&self.stats.abandoned);
            return;
        }
        bump(&self.stats.cuts[cause.index()]);
        tracing::warn!(
            %cause,
            peer = %self.peer,
            status = entry.status,
            promised = entry.promised,
            written = entry.given,
            id = entry.id,
            protocol = "h2",
            "response cut"
        );
    }

    /// The connection has ended: HTTP/2 responses that it had in full and whose end was not written are cut.
    pub(crate) fn settle_http2(&self, cause: Cause) {
        let given = self.given.load(Ordering::Relaxed);
        let ended = self.ended.load(Ordering::Relaxed);
        let lost = given.saturating_sub(ended);
        if lost > 0 {
            self.stats.cuts[cause.index()].fetch_add(lost, Ordering::Relaxed);
            tracing::warn!(%cause, peer = %self.peer, lost, protocol = "h2", "responses cut");
        }
    }
}

impl Drop for ConnectionObserver {
    /// The connection has ended with its streams: requests without a verdict get none.
    fn drop(&mut self) {
        self.judged(u64::MAX);
    }
}

fn outcome(entry: &Entry, cut: Option<Cause>) -> Outcome {
    Outcome { promised: entry.promised, delivered: entry.written, cut }
}

/// An HTTP/2 response, counted when its body ends.
pub(crate) struct BodyEntry<'a> {
    /// `None`: the response had not begun.
    pub(crate) status: Option<u16>,
    pub(crate) promised: Option<u64>,
    pub(crate) given: u64,
    pub(crate) id: Option<&'a str>,
}

impl Observer for ConnectionObserver {
    fn whole(&self, entry: &Entry) {
        bump(&self.stats.whole);
        if entry.protocol == Protocol::Http2 {
            bump(&self.ended);
            self.judged(1);
        } else {
            self.judged_http1(entry);
            self.receipts.resolve(entry.number, &outcome(entry, None));
        }
        if let Some(observer) = &self.observer {
            observer.whole(entry);
        }
    }

    fn cut(&self, entry: &Entry, cause: Cause) {
        if entry.protocol != Protocol::Http2 {
            self.judged_http1(entry);
        }
        if entry.protocol == Protocol::Http2 {
            // Counted when the body ends, or when the connection ends.
        } else if entry.status.is_none() && entry.number >= self.begun.load(Ordering::Relaxed) {
            // The service never got the request: the connection closed after an earlier response.
            bump(&self.stats.unbegun);
            tracing::debug!(%cause, peer = %self.peer, "request never begun");
        } else if entry.status.is_none() && matches!(cause, Cause::PeerReset | Cause::PeerClosed) {
            bump(&self.stats.abandoned);
            tracing::debug!(%cause, peer = %self.peer, "client left before its response");
        } else {
            bump(&self.stats.cuts[cause.index()]);
            tracing::warn!(
                %cause,
                peer = %self.peer,
                status = entry.status,
                promised = entry.promised,
                written = entry.written,
                id = entry.id.as_deref(),
                protocol = "http/1",
                "response cut"
            );
            self.receipts.resolve(entry.number, &outcome(entry, Some(cause)));
        }
        if let Some(observer) = &self.observer {
            observer.cut(entry, cause);
        }
    }

    fn written(&self, bytes: u64) {
        self.stats.bytes.fetch_add(bytes, Ordering::Relaxed);
        if let Some(observer) = &self.observer {
            observer.written(bytes);
        }
    }
}
