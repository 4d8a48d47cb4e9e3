//! Activity on one connection, and the deadlines that follow from it.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::task::{Context, Poll};
use std::time::Duration;

use ledger::Cause;
use tokio::task::Id;
use tokio::time::Instant;

use crate::config::Config;
use crate::head_memory::Head;

/// First bytes of an HTTP/2 connection.
const PREFACE: &[u8] = b"PRI";
/// First and longest interval between two checks whether the peer has acknowledged a response; it doubles in between.
const FIRST_CHECK: Duration = Duration::from_millis(10);
const LAST_CHECK: Duration = Duration::from_secs(1);

/// The time that a response has waited for its reader, and its bytes so far.
#[derive(Clone, Copy, Debug, Default)]
struct Pace {
    bytes: u64,
    waited: Duration,
    waiting_since: Option<Instant>,
}

impl Pace {
    fn wait(&mut self) {
        self.waiting_since.get_or_insert_with(Instant::now);
    }

    fn resume(&mut self) {
        if let Some(since) = self.waiting_since.take() {
            self.waited += since.elapsed();
        }
    }

    /// The nearer deadline of a stream, and the cause of its cut. `moved`: when a byte of it last moved, if that is known
    /// better than from the pieces that were taken.
    fn due(&self, config: &Config, moved: Option<Instant>) -> Option<(Instant, Cause)> {
        let since = self.waiting_since?;
        let stall = moved.map_or(since, |moved| moved.max(since)) + config.stall_timeout;
        let slow = self.deadline(config).map(|at| (at, Cause::SlowReader));
        slow.filter(|(at, _)| *at <= stall).or(Some((stall, Cause::WriteStall)))
    }

    /// The deadline of the whole response (OPS-007). Time in which the body waits for its source does not count.
    fn deadline(&self, config: &Config) -> Option<Instant> {
        let since = self.waiting_since?;
        let whole =
            Duration::from_secs(self.bytes / config.min_rate.max(1)).saturating_add(config.response_timeout);
        since.checked_add(whole.saturating_sub(self.waited))
    }
}

/// An HTTP/2 response in progress, which waits for the peer's flow control.
#[derive(Debug)]
struct Stream {
    request: u64,
    /// The task that serves it.
    task: Option<Id>,
    pace: Pace,
    /// Why it was ended.
    cut: Option<Cause>,
}

#[derive(Debug)]
struct State {
    /// Requests whose response body has not yet been given to the connection in full.
    in_progress: usize,
    /// The last byte in either direction, or the last request that ended.
    last: Instant,
    /// When the head that is arriving began.
    head_since: Option<Instant>,
    /// Its memory.
    head: Head,
    write_blocked: bool,
    /// All responses since the connection last had nothing to write.
    pace: Pace,
    /// Bytes of the preface seen so far; `None` once it is known that there is none.
    preface: Option<usize>,
    http2: bool,
    /// HTTP is over: the connection is a tunnel, or is being closed.
    heads_over: bool,
    /// The HTTP/2 responses in progress. In no order; at most one for each allowed stream.
    streams: Vec<Stream>,
    /// Checks for acknowledgement since the last request ended.
    checks: u32,
    /// Since when responses that the connection has in full await acknowledgement, without progress.
    unacknowledged_since: Option<Instant>,
}

/// Shared by the transport, the exchanges and the task of one connection.
#[derive(Debug)]
pub(crate) struct Activity {
    state: Mutex<State>,
}

/// The action due on a connection now, or the time of the next check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    At(Instant),
    HeadTimeout,
    Idle,
    /// Streams have waited too long for their peer's flow control: [`Activity::cut_overdue`].
    StreamsOverdue,
    /// The reader has taken too long for a whole response.
    SlowReader,
}

impl Activity {
    pub(crate) fn new(head: Head) -> Self {
        let now = Instant::now();
        Self {
            state: Mutex::new(State {
                in_progress: 0,
                last: now,
                head_since: Some(now),
                head,
                write_blocked: false,
                pace: Pace::default(),
                preface: Some(0),
                http2: false,
                heads_over: false,
                streams: Vec::new(),
                checks: 0,
                unacknowledged_since: None,
            }),
        }
    }

    fn with<R>(&self, f: impl FnOnce(&mut State) -> R) -> R {
        f(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Waits until more of a request head may be read.
    pub(crate) fn poll_room(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.with(|state| state.head.poll_room(cx))
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
            if !bytes.is_empty() && state.in_progress == 0 && !state.http2 && !state.heads_over {
                state.head_since.get_or_insert(now);
            }
            if state.http2 {
                state.head_since = None;
            }
            if state.head_since.is_some() {
                state.head.arrived(bytes.len());
            }
        });
    }

    /// No more heads come: what follows belongs to a tunnel, or is discarded.
    pub(crate) fn heads_end(&self) {
        self.with(|state| {
            state.heads_over = true;
            state.head_since = None;
            state.head.complete();
        });
    }

    /// Bytes were written.
    pub(crate) fn moved(&self) {
        let now = Instant::now();
        self.with(|state| state.last = now);
    }

    /// When a byte moved in either direction, or a request ended.
    pub(crate) fn last(&self) -> Instant {
        self.with(|state| state.last)
    }

    pub(crate) fn write_blocked(&self, blocked: bool) {
        self.with(|state| {
            state.write_blocked = blocked;
            if blocked {
                state.pace.wait();
            } else {
                state.pace.resume();
            }
        });
    }

    pub(crate) fn request_begins(&self) {
        self.with(|state| {
            if state.in_progress == 0 && !state.write_blocked {
                state.pace = Pace::default();
            }
            state.in_progress += 1;
            state.head_since = None;
            state.head.complete();
        });
    }

    /// The response to a request on HTTP/2 has begun.
    pub(crate) fn stream_begins(&self, request: u64) {
        let task = tokio::task::try_id();
        let stream = Stream { request, task, pace: Pace::default(), cut: None };
        self.with(|state| state.streams.push(stream));
    }

    /// The tasks of streams that are overdue, which are to be ended. `None` stands for one that cannot be ended by itself.
    pub(crate) fn cut_overdue(&self, config: &Config) -> Vec<Option<Id>> {
        let now = Instant::now();
        self.with(|state| {
            let moved = state.moved_alone();
            let open = state.streams.iter_mut().filter(|stream| stream.cut.is_none());
            let overdue = open.filter_map(|stream| {
                let (at, cause) = stream.pace.due(config, moved)?;
                (at <= now).then(|| {
                    stream.cut = Some(cause);
                    stream.task
                })
            });
            overdue.collect()
        })
    }

    /// Why a stream was ended here, if it was.
    pub(crate) fn cut(&self, request: u64) -> Option<Cause> {
        self.with(|state| state.streams.iter().find(|stream| stream.request == request)?.cut)
    }

    /// Adds bytes to a response.
    pub(crate) fn response_bytes(&self, request: u64, bytes: u64) {
        self.with(|state| {
            state.pace.bytes = state.pace.bytes.saturating_add(bytes);
            if let Some(pace) = state.stream(request) {
                pace.bytes = pace.bytes.saturating_add(bytes);
            }
        });
    }

    /// An HTTP/2 body gave a frame to the connection, which asks for the next one when the peer's flow control admits it.
    pub(crate) fn stream_waits(&self, request: u64) {
        self.with(|state| state.stream(request).map_or((), Pace::wait));
    }

    /// The connection asked an HTTP/2 body for a frame.
    pub(crate) fn stream_goes_on(&self, request: u64) {
        self.with(|state| state.stream(request).map_or((), Pace::resume));
    }

    pub(crate) fn request_ends(&self, request: u64) {
        let now = Instant::now();
        self.with(|state| {
            state.streams.retain(|stream| stream.request != request);
            state.in_progress -= 1;
            state.last = now;
            state.checks = 0;
        });
    }

    /// Requests whose response body has not been given to the connection in full.
    pub(crate) fn in_progress(&self) -> usize {
        self.with(|state| state.in_progress)
    }

    /// A response has got its verdict.
    pub(crate) fn verdict(&self) {
        self.with(|state| state.unacknowledged_since = None);
    }

    /// `unacknowledged`: responses that the connection has in full have no verdict yet.
    pub(crate) fn due(&self, config: &Config, unacknowledged: bool) -> Due {
        let now = Instant::now();
        let Config { header_timeout, idle_timeout, response_timeout, .. } = *config;
        self.with(|state| {
            let moved = state.moved_alone();
            let open = state.streams.iter().filter(|stream| stream.cut.is_none());
            let streams = open.filter_map(|stream| stream.pace.due(config, moved)).map(|(at, _)| at).min();
            if streams.is_some_and(|at| at <= now) {
                return Due::StreamsOverdue;
            }
            let slow = state.pace.deadline(config);
            // An HTTP/2 response that the connection has in full may still wait for the peer's flow control.
            let held = if unacknowledged && state.http2 {
                Some(*state.unacknowledged_since.get_or_insert(now) + response_timeout)
            } else {
                state.unacknowledged_since = None;
                None
            };
            let slow = [slow, held].into_iter().flatten().min();
            if slow.is_some_and(|at| at <= now) {
                return Due::SlowReader;
            }
            let check = unacknowledged.then(|| now + state.check_interval());
            let soonest = [streams, slow, check].into_iter().flatten().min();
            let at = |at: Instant| Due::At(soonest.map_or(at, |soonest| soonest.min(at)));
            if state.in_progress > 0 || state.write_blocked {
                return at(now + idle_timeout);
            }
            if let Some(since) = state.head_since {
                let head = since + header_timeout;
                return if head <= now { Due::HeadTimeout } else { at(head) };
            }
            let idle = state.last + idle_timeout;
            if idle <= now { Due::Idle } else { at(idle) }
        })
    }

    /// An acknowledgement was checked for.
    pub(crate) fn checked(&self) {
        self.with(|state| state.checks = state.checks.saturating_add(1));
    }
}

impl State {
    fn stream(&mut self, request: u64) -> Option<&mut Pace> {
        self.streams.iter_mut().find(|stream| stream.request == request).map(|stream| &mut stream.pace)
    }

    /// When the last byte moved, if all bytes are those of one stream. Otherwise the pieces of each have to show whether it
    /// moves.
    fn moved_alone(&self) -> Option<Instant> {
        (self.streams.len() == 1).then_some(self.last)
    }

    fn check_interval(&self) -> Duration {
        (FIRST_CHECK * (1 << self.checks.min(10))).min(LAST_CHECK)
    }
}
