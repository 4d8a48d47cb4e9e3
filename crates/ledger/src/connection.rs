//! The ledger of one connection: what its framing promises, what was written, what was acknowledged, and the verdicts.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use crate::entry::{Entry, Event, Protocol};
use crate::framing::Framing;
use crate::verdict::{Cause, Handle, Observer};

/// Responses that await acknowledgement. When more tiny responses are pipelined into one send queue, the oldest count as
/// whole without it.
const UNACKNOWLEDGED_LIMIT: usize = 4096;

#[derive(Debug)]
struct Unacknowledged {
    entry: Entry,
    /// Offset in the outgoing stream just after the response's last byte.
    end: u64,
}

pub(crate) struct ConnectionLedger {
    observer: Arc<dyn Observer>,
    handle: Handle,
    /// `None`: the framing is not followed; only the order of closing is kept.
    framing: Option<Framing>,
    /// The transport buffers bytes (TLS): they count as written when a flush has succeeded.
    buffered: bool,
    written: u64,
    flushed: u64,
    unacknowledged: VecDeque<Unacknowledged>,
    failure: Option<Cause>,
    peer_ended: bool,
    shutdown_requested: bool,
    fin_sent: bool,
    closed: bool,
}

impl std::fmt::Debug for ConnectionLedger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ConnectionLedger")
            .field("framing", &self.framing)
            .field("written", &self.written)
            .field("unacknowledged", &self.unacknowledged.len())
            .field("failure", &self.failure)
            .finish_non_exhaustive()
    }
}

impl ConnectionLedger {
    pub(crate) fn new(observer: Arc<dyn Observer>, framing: Option<Framing>, buffered: bool) -> Self {
        Self {
            observer,
            handle: Handle::default(),
            framing,
            buffered,
            written: 0,
            flushed: 0,
            unacknowledged: VecDeque::new(),
            failure: None,
            peer_ended: false,
            shutdown_requested: false,
            fin_sent: false,
            closed: false,
        }
    }

    pub(crate) fn handle(&self) -> &Handle {
        &self.handle
    }

    pub(crate) fn protocol(&self) -> Protocol {
        self.framing.as_ref().map_or(Protocol::Opaque, Framing::protocol)
    }

    /// The connection carries another protocol: there are no verdicts.
    pub(crate) fn is_tunnel(&self) -> bool {
        self.framing.as_ref().is_some_and(|framing| framing.protocol() == Protocol::Opaque)
    }

    pub(crate) fn read(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            self.peer_ended = true;
        } else {
            self.follow(|framing, on| framing.read(bytes, on), self.written);
        }
    }

    /// The transport accepted `parts`, in this order.
    pub(crate) fn wrote<'p>(&mut self, parts: impl IntoIterator<Item = &'p [u8]>) {
        let before = self.written;
        for part in parts {
            self.written += part.len() as u64;
            self.follow(|framing, on| framing.wrote(part, on), self.written);
        }
        if !self.buffered {
            self.flushed = self.written;
        }
        self.observer.written(self.written - before);
    }

    fn follow(&mut self, step: impl FnOnce(&mut Framing, &mut dyn FnMut(Event)), written: u64) {
        let Some(framing) = &mut self.framing else { return };
        let (unacknowledged, observer) = (&mut self.unacknowledged, &self.observer);
        step(framing, &mut |event| match event {
            Event::Written { entry, tail } => {
                if unacknowledged.len() >= UNACKNOWLEDGED_LIMIT
                    && let Some(oldest) = unacknowledged.pop_front()
                {
                    observer.whole(&oldest.entry);
                }
                unacknowledged.push_back(Unacknowledged { entry, end: written - tail });
            }
            Event::Reset { entry, by_peer } => {
                observer.cut(&entry, if by_peer { Cause::PeerReset } else { Cause::StreamReset });
            }
        });
    }

    /// Returns whether the flush moved bytes.
    pub(crate) fn flushed(&mut self) -> bool {
        std::mem::replace(&mut self.flushed, self.written) < self.written
    }

    pub(crate) fn failed(&mut self, error: &io::Error) {
        self.failure.get_or_insert_with(|| Cause::of(error));
    }

    pub(crate) fn failure(&self) -> Option<Cause> {
        self.failure
    }

    /// Whether a response awaits acknowledgement.
    pub(crate) fn awaits_acknowledgement(&self) -> bool {
        !self.unacknowledged.is_empty()
    }

    pub(crate) fn peer_ended(&self) -> bool {
        self.peer_ended
    }

    pub(crate) fn request_open(&self) -> bool {
        !self.peer_ended && self.framing.as_ref().is_none_or(Framing::request_open)
    }

    pub(crate) fn fin_sent(&mut self) {
        self.fin_sent = true;
        self.flushed = self.written;
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed
    }

    /// Payload bytes still unacknowledged when the socket reports `queued`.
    pub(crate) fn outstanding(&self, queued: Option<u64>) -> u64 {
        // The FIN is the last thing in the queue and counts for one.
        queued.unwrap_or(0).saturating_sub(u64::from(self.fin_sent))
    }

    /// Reports the responses that were acknowledged as whole.
    pub(crate) fn settle(&mut self, queued: Option<u64>) {
        let outstanding = self.outstanding(queued);
        while let Some(front) = self.unacknowledged.front() {
            // Under TLS the queue counts more bytes than were written here, which only delays the verdict.
            if front.end > self.flushed || front.end + outstanding > self.written {
                return;
            }
            self.observer.whole(&front.entry);
            self.unacknowledged.pop_front();
        }
    }

    pub(crate) fn shutdown_requested(&mut self) {
        self.shutdown_requested = true;
    }

    /// The framing was not followed and the server did not shut down: a response may be incomplete.
    pub(crate) fn perhaps_incomplete(&self) -> bool {
        self.framing.is_none() && !self.shutdown_requested
    }

    /// A response has begun and its end was not written.
    pub(crate) fn response_open(&mut self) -> bool {
        if self.shutdown_requested && self.failure.is_none() && self.handle.cause().is_none() {
            self.follow(|framing, on| framing.fin_sent(on), self.written);
        }
        self.framing.as_ref().is_some_and(Framing::response_open)
    }

    /// A response has begun, or a request was read and got no response.
    fn unfinished(&mut self) -> bool {
        self.response_open() || self.framing.as_ref().is_some_and(Framing::response_owed)
    }

    fn cause(&self) -> Cause {
        self.handle.cause().or(self.failure).unwrap_or(match (self.shutdown_requested, self.peer_ended) {
            (_, true) => Cause::PeerClosed,
            (true, false) => Cause::ServerShutdown,
            (false, false) => Cause::Dropped,
        })
    }

    /// Reports everything that is not complete as cut.
    pub(crate) fn cut_unfinished(&mut self) {
        if !self.unfinished() {
            return;
        }
        let cause = self.cause();
        let entries = self.framing.as_mut().map(Framing::take_unfinished).unwrap_or_default();
        for entry in &entries {
            self.observer.cut(entry, cause);
        }
    }

    /// Reports responses that were not acknowledged as cut: the connection ends by a reset.
    pub(crate) fn cut_unacknowledged(&mut self, queued: Option<u64>) {
        self.settle(queued);
        let cause = self.handle.cause().unwrap_or(Cause::UnackedAtReset);
        while let Some(unacknowledged) = self.unacknowledged.pop_front() {
            self.observer.cut(&unacknowledged.entry, cause);
        }
    }

    /// Reports responses that were not acknowledged as whole: the kernel continues to send them after the close.
    pub(crate) fn assume_acknowledged(&mut self) {
        if self.flushed < self.written {
            // The transport still buffers bytes and was never flushed.
            self.cut_unacknowledged(None);
        }
        while let Some(unacknowledged) = self.unacknowledged.pop_front() {
            self.observer.whole(&unacknowledged.entry);
        }
    }

    pub(crate) fn close(&mut self) {
        self.closed = true;
    }
}
