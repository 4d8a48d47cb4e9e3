//! The account of one connection: what the framing says, what was acknowledged, and the verdicts.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use crate::framing::{Entry, Event, Framing, Protocol};
use crate::verdict::{Blame, Cause, Observer};

/// Responses that wait for their acknowledgement. A connection that pipelines more than this many
/// tiny answers into one send queue has the oldest counted as whole when they are accepted.
const WAITING_LIMIT: usize = 4096;

#[derive(Debug)]
struct Waiting {
    entry: Entry,
    /// Offset in the outgoing stream just after the response's last byte.
    end: u64,
}

pub(crate) struct Book {
    observer: Arc<dyn Observer>,
    blame: Blame,
    /// `None`: the ledger is switched off, and only the closing order is kept.
    framing: Option<Framing>,
    /// The transport keeps bytes of its own (TLS): they count when a flush has gone through.
    buffered: bool,
    written: u64,
    flushed: u64,
    waiting: VecDeque<Waiting>,
    failure: Option<Cause>,
    peer_ended: bool,
    shutdown_asked: bool,
    fin_sent: bool,
    closed: bool,
}

impl std::fmt::Debug for Book {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Book")
            .field("framing", &self.framing)
            .field("written", &self.written)
            .field("waiting", &self.waiting.len())
            .field("failure", &self.failure)
            .finish_non_exhaustive()
    }
}

impl Book {
    pub(crate) fn new(observer: Arc<dyn Observer>, framing: Option<Framing>, buffered: bool) -> Self {
        Self {
            observer,
            blame: Blame::default(),
            framing,
            buffered,
            written: 0,
            flushed: 0,
            waiting: VecDeque::new(),
            failure: None,
            peer_ended: false,
            shutdown_asked: false,
            fin_sent: false,
            closed: false,
        }
    }

    pub(crate) fn blame(&self) -> &Blame {
        &self.blame
    }

    pub(crate) fn protocol(&self) -> Protocol {
        self.framing.as_ref().map_or(Protocol::Opaque, Framing::protocol)
    }

    pub(crate) fn read(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            self.peer_ended = true;
        } else {
            self.follow(|framing, on| framing.read(bytes, on), self.written);
        }
    }

    /// The transport took `parts`, one behind the other.
    pub(crate) fn wrote<'p>(&mut self, parts: impl IntoIterator<Item = &'p [u8]>) {
        let before = self.written;
        for part in parts {
            self.written += part.len() as u64;
            self.follow(|framing, on| framing.wrote(part, on), self.written);
        }
        if !self.buffered {
            self.flushed = self.written;
        }
        self.observer.taken(self.written - before);
    }

    fn follow(&mut self, step: impl FnOnce(&mut Framing, &mut dyn FnMut(Event)), written: u64) {
        let Some(framing) = &mut self.framing else { return };
        let (waiting, observer) = (&mut self.waiting, &self.observer);
        step(framing, &mut |event| match event {
            Event::Written { entry, tail } => {
                if waiting.len() >= WAITING_LIMIT
                    && let Some(oldest) = waiting.pop_front()
                {
                    observer.whole(&oldest.entry);
                }
                waiting.push_back(Waiting { entry, end: written - tail });
            }
            Event::Reset { entry, by_peer } => {
                observer.cut(&entry, if by_peer { Cause::PeerReset } else { Cause::StreamReset });
            }
        });
    }

    pub(crate) fn flushed(&mut self) {
        self.flushed = self.written;
    }

    pub(crate) fn failed(&mut self, error: &io::Error) {
        self.failure.get_or_insert_with(|| Cause::of(error));
    }

    pub(crate) fn failure(&self) -> Option<Cause> {
        self.failure
    }

    /// Whether any response waits to be acknowledged.
    pub(crate) fn waiting(&self) -> bool {
        !self.waiting.is_empty()
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

    /// Reports as whole what is known to have got across.
    pub(crate) fn settle(&mut self, queued: Option<u64>) {
        let outstanding = self.outstanding(queued);
        while let Some(front) = self.waiting.front() {
            // Under TLS more bytes are queued than were written here, which only delays the verdict.
            if front.end > self.flushed || front.end + outstanding > self.written {
                return;
            }
            self.observer.whole(&front.entry);
            self.waiting.pop_front();
        }
    }

    pub(crate) fn shutdown_asked(&mut self) {
        self.shutdown_asked = true;
    }

    /// Nothing was followed and the server did not ask for a shutdown: whether a response was under
    /// way is not known.
    pub(crate) fn left_in_the_dark(&self) -> bool {
        self.framing.is_none() && !self.shutdown_asked
    }

    /// A response has begun and its end was not written: closing now is a cut.
    pub(crate) fn response_open(&mut self) -> bool {
        if self.shutdown_asked && self.failure.is_none() && self.blame.get().is_none() {
            self.follow(|framing, on| framing.closing_in_order(on), self.written);
        }
        self.framing.as_ref().is_some_and(Framing::response_open)
    }

    /// A response has begun, or a request was read and not answered.
    fn unfinished(&mut self) -> bool {
        self.response_open() || self.framing.as_ref().is_some_and(Framing::answer_owed)
    }

    fn cause(&self) -> Cause {
        self.blame.get().or(self.failure).unwrap_or(match (self.shutdown_asked, self.peer_ended) {
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

    /// Reports what was written and is not acknowledged as cut: the connection ends by a reset.
    pub(crate) fn cut_unacknowledged(&mut self, queued: Option<u64>) {
        self.settle(queued);
        let cause = self.blame.get().unwrap_or(Cause::UnackedAtReset);
        while let Some(waiting) = self.waiting.pop_front() {
            self.observer.cut(&waiting.entry, cause);
        }
    }

    /// Reports what was written and is not acknowledged as whole: the kernel goes on sending it, and
    /// nothing is in sight that would make it stop.
    pub(crate) fn trust_kernel(&mut self) {
        if self.flushed < self.written {
            // The transport kept bytes for itself and was never flushed.
            self.cut_unacknowledged(None);
        }
        while let Some(waiting) = self.waiting.pop_front() {
            self.observer.whole(&waiting.entry);
        }
    }

    pub(crate) fn close(&mut self) {
        self.closed = true;
    }
}
