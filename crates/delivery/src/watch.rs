//! What the task of a connection has to know to enforce its deadlines.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

use tokio::time::Instant;

use crate::config::Config;

/// First bytes of an HTTP/2 connection.
const PREFACE: &[u8] = b"PRI";

#[derive(Debug)]
struct State {
    /// Requests whose response is not complete.
    under_way: usize,
    /// Requests whose response has not begun: their work is worth cancelling.
    unanswered: usize,
    /// The last byte in either direction, or the last request that ended.
    last: Instant,
    /// When the head that is arriving began.
    head_since: Option<Instant>,
    write_blocked: bool,
    /// Bytes of the preface seen so far; `None` once it is known that it is none.
    preface: Option<usize>,
    http2: bool,
    /// HTTP/2 responses that gave a frame to the connection and were not asked for the next one since:
    /// the peer's flow control holds them. In no order; bounded by the streams allowed at once.
    handed: Vec<(u64, Instant)>,
}

/// Shared by the transport, the service and the task of one connection.
#[derive(Debug)]
pub(crate) struct Watch {
    state: Mutex<State>,
}

/// What is to be done about a connection now, or when to look again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    At(Instant),
    HeadTimeout,
    Idle,
    /// A stream waits for its peer's flow control for too long.
    Stalled,
}

/// How often a connection with work under way is asked whether its peer is still there.
pub(crate) const HANG_UP_INTERVAL: Duration = Duration::from_millis(100);

impl Watch {
    pub(crate) fn new() -> Self {
        let now = Instant::now();
        Self {
            state: Mutex::new(State {
                under_way: 0,
                unanswered: 0,
                last: now,
                head_since: Some(now),
                write_blocked: false,
                preface: Some(0),
                http2: false,
                handed: Vec::new(),
            }),
        }
    }

    fn with<R>(&self, f: impl FnOnce(&mut State) -> R) -> R {
        f(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn read(&self, bytes: &[u8]) {
        let now = Instant::now();
        self.with(|state| {
            state.last = now;
            if let Some(seen) = state.preface {
                let n = bytes.len().min(PREFACE.len() - seen);
                let same = bytes[..n] == PREFACE[seen..seen + n];
                state.preface = (same && seen + n < PREFACE.len()).then_some(seen + n);
                state.http2 = same && seen + n == PREFACE.len();
            }
            if !bytes.is_empty() && state.under_way == 0 && !state.http2 {
                state.head_since.get_or_insert(now);
            }
            if state.http2 {
                state.head_since = None;
            }
        });
    }

    pub(crate) fn active(&self) {
        let now = Instant::now();
        self.with(|state| state.last = now);
    }

    pub(crate) fn write_blocked(&self, blocked: bool) {
        self.with(|state| state.write_blocked = blocked);
    }

    pub(crate) fn request_begins(&self) {
        self.with(|state| {
            state.under_way += 1;
            state.unanswered += 1;
            state.head_since = None;
        });
    }

    pub(crate) fn answer_begins(&self) {
        self.with(|state| state.unanswered -= 1);
    }

    pub(crate) fn request_ends(&self) {
        let now = Instant::now();
        self.with(|state| {
            state.under_way -= 1;
            state.last = now;
        });
    }

    /// A body gave a frame away and waits to be asked for the next.
    pub(crate) fn handed(&self, request: u64) {
        let now = Instant::now();
        self.with(|state| state.handed.push((request, now)));
    }

    /// The body was asked again, or is over.
    pub(crate) fn asked(&self, request: u64) {
        self.with(|state| state.handed.retain(|(other, _)| *other != request));
    }

    /// Whether work is under way that nobody has seen an answer of.
    pub(crate) fn unanswered(&self) -> bool {
        self.with(|state| state.unanswered > 0)
    }

    /// Requests whose response body is not given away yet.
    pub(crate) fn under_way(&self) -> usize {
        self.with(|state| state.under_way)
    }

    pub(crate) fn due(&self, config: &Config) -> Due {
        let now = Instant::now();
        let Config { header_timeout, idle_timeout, write_stall_timeout, .. } = *config;
        self.with(|state| {
            let stall = state.handed.iter().map(|(_, since)| *since + write_stall_timeout).min();
            if stall.is_some_and(|at| at <= now) {
                return Due::Stalled;
            }
            if state.unanswered > 0 {
                return Due::At(now + HANG_UP_INTERVAL);
            }
            if state.under_way > 0 || state.write_blocked {
                // The deadline for blocked writes is at work.
                return Due::At(stall.map_or(now + idle_timeout, |at| at.min(now + idle_timeout)));
            }
            if let Some(since) = state.head_since {
                let at = since + header_timeout;
                return if at <= now { Due::HeadTimeout } else { Due::At(at) };
            }
            let at = state.last + idle_timeout;
            if at <= now { Due::Idle } else { Due::At(at) }
        })
    }
}
