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
}

impl Account {
    pub(crate) fn new(stats: Arc<Stats>, peer: Peer, observer: Option<Arc<dyn Observer>>) -> Self {
        Self {
            stats,
            peer,
            observer,
            given: AtomicU64::new(0),
            ended: AtomicU64::new(0),
            receipts: Receipts::default(),
        }
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
        } else {
            self.receipts.tell(entry.number, &outcome(entry, None));
        }
        if let Some(observer) = &self.observer {
            observer.whole(entry);
        }
    }

    fn cut(&self, entry: &Entry, cause: Cause) {
        if entry.protocol == Protocol::Http2 {
            // Counted at the body, or as lost on the way when the connection is over.
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
