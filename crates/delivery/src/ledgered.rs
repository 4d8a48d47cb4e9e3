//! From the ledger's verdicts to counters, log lines and the owner's observer.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ledger::{Cause, Entry, Observer, Protocol};

use crate::receipt::{Outcome, Receipts};
use crate::stats::{Stats, bump};
use crate::transport::Peer;

/// The account of one connection.
pub(crate) struct Account {
    pub(crate) stats: Arc<Stats>,
    pub(crate) peer: Peer,
    pub(crate) observer: Option<Arc<dyn Observer>>,
    /// HTTP/2 responses whose body was handed to the connection to its end.
    given: AtomicU64,
    /// HTTP/2 responses whose end was seen on the wire.
    ended: AtomicU64,
    /// Of HTTP/1 responses that are under way.
    pub(crate) receipts: Receipts,
    /// Whether the wire is followed, so that there are verdicts.
    followed: bool,
    /// Requests handed to the service.
    begun: AtomicU64,
    /// Those of them without a verdict.
    open: AtomicU64,
}

impl Account {
    pub(crate) fn new(
        stats: Arc<Stats>,
        peer: Peer,
        observer: Option<Arc<dyn Observer>>,
        followed: bool,
    ) -> Self {
        Self {
            stats,
            peer,
            observer,
            given: AtomicU64::new(0),
            ended: AtomicU64::new(0),
            receipts: Receipts::default(),
            followed,
            begun: AtomicU64::new(0),
            open: AtomicU64::new(0),
        }
    }

    /// A request was handed to the service. Returns its number on the connection.
    pub(crate) fn request_begins(&self) -> u64 {
        bump(&self.stats.requests_total);
        bump(&self.stats.requests_open);
        bump(&self.open);
        self.begun.fetch_add(1, Ordering::Relaxed)
    }

    /// The response body was given away or dropped. With the wire not being followed there will be no other verdict.
    pub(crate) fn body_over(&self) {
        if !self.followed {
            self.judged(1);
        }
    }

    /// So many requests have got their verdict, as far as there are so many.
    fn judged(&self, count: u64) {
        let left = |open: u64| Some(open.saturating_sub(count));
        if let Ok(open) = self.open.fetch_update(Ordering::Relaxed, Ordering::Relaxed, left) {
            self.stats.requests_open.fetch_sub(open.min(count), Ordering::Relaxed);
        }
    }

    /// On HTTP/1 a response may also be the HTTP layer's own, to a head that it refused: no request was begun for that.
    fn judged_http1(&self, entry: &Entry) {
        if entry.number < self.begun.load(Ordering::Relaxed) {
            self.judged(1);
        }
    }

    /// Whether more responses wait for their verdict than bodies are under way.
    pub(crate) fn awaits_verdict(&self, under_way: usize) -> bool {
        self.open.load(Ordering::Relaxed) > under_way as u64
    }

    /// An HTTP/2 body was handed over to its end. With the wire not being followed that has to do.
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

    /// The connection is over: HTTP/2 responses that were handed over and never ended on the wire were
    /// lost on the way.
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

impl Drop for Account {
    /// The connection is over, and so are its streams: what has no verdict by now gets none.
    fn drop(&mut self) {
        self.judged(u64::MAX);
    }
}

fn outcome(entry: &Entry, cut: Option<Cause>) -> Outcome {
    Outcome { promised: entry.promised, delivered: entry.taken, cut }
}

/// An HTTP/2 response as counted at its body.
pub(crate) struct BodyEntry<'a> {
    /// `None`: the answer had not begun.
    pub(crate) status: Option<u16>,
    pub(crate) promised: Option<u64>,
    pub(crate) given: u64,
    pub(crate) id: Option<&'a str>,
}

impl Observer for Account {
    fn whole(&self, entry: &Entry) {
        bump(&self.stats.whole);
        if entry.protocol == Protocol::Http2 {
            bump(&self.ended);
            self.judged(1);
        } else {
            self.judged_http1(entry);
            self.receipts.tell(entry.number, &outcome(entry, None));
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
            // Counted at the body, or as lost on the way when the connection is over.
        } else if entry.status.is_none() && entry.number >= self.begun.load(Ordering::Relaxed) {
            // Nobody began to answer it, so no answer was cut: the connection closed behind one before it.
            bump(&self.stats.unbegun);
            tracing::debug!(%cause, peer = %self.peer, "request never begun");
        } else if entry.status.is_none() && matches!(cause, Cause::PeerReset | Cause::PeerClosed) {
            bump(&self.stats.abandoned);
            tracing::debug!(%cause, peer = %self.peer, "client went away before its answer");
        } else {
            bump(&self.stats.cuts[cause.index()]);
            tracing::warn!(
                %cause,
                peer = %self.peer,
                status = entry.status,
                promised = entry.promised,
                written = entry.taken,
                id = entry.id.as_deref(),
                protocol = "http/1",
                "response cut"
            );
            self.receipts.tell(entry.number, &outcome(entry, Some(cause)));
        }
        if let Some(observer) = &self.observer {
            observer.cut(entry, cause);
        }
    }

    fn taken(&self, bytes: u64) {
        self.stats.bytes.fetch_add(bytes, Ordering::Relaxed);
        if let Some(observer) = &self.observer {
            observer.taken(bytes);
        }
    }
}
