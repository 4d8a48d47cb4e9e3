//! A simulated transport with schedules of faults, for testing servers and ledgers without a
//! kernel: partial writes, writes and flushes that are not ready, peers that stall, reset, half-close,
//! pipeline, hold back the end of a request, and requests cut at any byte.
//!
//! A run is determined by its seed and uses tokio's clock: with a paused clock, a thousand runs with
//! stalls of minutes take seconds, and a failed run can be repeated.
//!
//! 1. [`Schedule::from_seed`] generates the events of a run.
//! 2. [`play`] gives the server's end of the transport to a closure that serves one connection on it, with
//!    any server on [`AsyncRead`](tokio::io::AsyncRead) + [`AsyncWrite`](tokio::io::AsyncWrite). For its
//!    n-th request the server must do what [`Schedule::exchanges`]`[n]` says, unless the connection ends before.
//! 3. [`judge`] compares the bytes that the peer received with the ledger's verdicts.
//!
//! The server needs deadlines of its own: a peer may stall forever.

mod schedule;
mod transport;

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::{Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use crate::entry::Entry;
use crate::verdict::{Cause, Observer};
pub use schedule::{Exchange, Framing, Kind, Piece, Quit, Reads, Schedule, WriteStep, body_byte};
pub use transport::{End, Simulated, SimulatedProbe};
use transport::{Wire, pair};

/// Longer than any deadline a server under test should have.
const RUN_LIMIT: Duration = Duration::from_secs(3600);

/// The connection as seen by the peer.
#[derive(Clone, Debug)]
pub struct PeerView {
    /// Responses received in full, every byte right.
    pub complete: usize,
    /// Bytes of a further response, head included, that were received.
    pub partial: usize,
    /// How the connection ended.
    pub end: End,
    /// The server closed the connection. `false`: it hung until the time limit of the run.
    pub served: bool,
    /// A difference between a response and the schedule.
    pub wrong: Option<String>,
    /// Whether the server's shutdown reached the transport.
    pub shutdown_passed_on: bool,
}

/// Keeps the verdicts of a run.
#[derive(Debug, Default)]
pub struct Verdicts {
    list: Mutex<Vec<(Entry, Option<Cause>)>>,
}

impl Verdicts {
    /// The verdicts in the order in which they were given; without a cause it is *whole*.
    pub fn list(&self) -> Vec<(Entry, Option<Cause>)> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn add(&self, entry: &Entry, cause: Option<Cause>) {
        self.list.lock().unwrap_or_else(PoisonError::into_inner).push((entry.clone(), cause));
    }
}

impl Observer for Verdicts {
    fn whole(&self, entry: &Entry) {
        self.add(entry, None);
    }

    fn cut(&self, entry: &Entry, cause: Cause) {
        self.add(entry, Some(cause));
    }
}

/// Plays a schedule. `serve` gets the server's end and serves one connection on it; the connection must be
/// dropped before the future is ready.
pub async fn play<F, Fut>(schedule: &Schedule, serve: F) -> PeerView
where
    F: FnOnce(Simulated) -> Fut,
    Fut: Future<Output = ()>,
{
    let (stream, wire) = pair(schedule);
    let mut serving = pin!(serve(stream));
    let mut sending = pin!(send(schedule, &wire));
    let mut receiving = pin!(receive(schedule, &wire));
    let mut done = [false; 3];
    let all = poll_fn(|cx| {
        done[0] = done[0] || serving.as_mut().poll(cx).is_ready();
        done[1] = done[1] || sending.as_mut().poll(cx).is_ready();
        done[2] = done[2] || receiving.as_mut().poll(cx).is_ready();
        if done == [true; 3] { Poll::Ready(()) } else { Poll::Pending }
    });
    // A run that has not ended by then is judged in its current state.
    let _ = tokio::time::timeout(RUN_LIMIT, all).await;
    let state = wire.lock();
    let parser = PeerParser::of(schedule, &state.received);
    PeerView {
        complete: parser.complete,
        partial: state.received.len() - parser.offset,
        end: state.end,
        served: done[0],
        wrong: parser.wrong,
        shutdown_passed_on: state.shutdown_passed_on,
    }
}

/// Waits, as one half of the peer, until `ready` gives a value.
async fn wait<T>(wire: &Wire, half: usize, mut ready: impl FnMut(&mut transport::State) -> Option<T>) -> T {
    poll_fn(|cx| {
        let mut state = wire.lock();
        if let Some(value) = ready(&mut state) {
            return Poll::Ready(value);
        }
        state.peer[half] = Some(cx.waker().clone());
        Poll::Pending
    })
    .await
}

async fn pause(time: Duration) {
    if !time.is_zero() {
        tokio::time::sleep(time).await;
    }
}

async fn send(schedule: &Schedule, wire: &Wire) {
    for (index, exchange) in schedule.exchanges.iter().enumerate() {
        if !schedule.pipelined {
            wait(wire, 0, |state| (state.complete >= index || state.ended()).then_some(())).await;
        }
        let last_exchange = index + 1 == schedule.exchanges.len();
        let last_piece = exchange.request.len() - 1;
        let sent: Vec<u8> =
            exchange.request[..last_piece].iter().flat_map(|(piece, _)| piece).copied().collect();
        // A request without its head could not be answered.
        let withholds = schedule.withholds_end && last_exchange && end_of_head(&sent).is_some();
        for (n, (piece, after)) in exchange.request.iter().enumerate() {
            if withholds && n == last_piece {
                wait(wire, 0, |state| (state.complete > index || state.ended()).then_some(())).await;
            }
            pause(*after).await;
            let mut state = wire.lock();
            if state.ended() {
                return;
            }
            state.arrive(piece.clone());
        }
    }
    if !schedule.half_closes {
        let all = schedule.exchanges.len();
        wait(wire, 0, |state| (state.complete >= all || state.ended()).then_some(())).await;
    }
    wire.lock().end_input();
}

async fn receive(schedule: &Schedule, wire: &Wire) {
    let mut parser = PeerParser::default();
    for (most, after) in schedule.reads.iter().cycle() {
        let more = wait(wire, 1, |state| {
            state.see_end();
            (state.has_data() || state.ended()).then(|| state.has_data())
        })
        .await;
        if !more {
            return;
        }
        pause(*after).await;
        let received = wire.lock().received.len();
        let most = match schedule.quit {
            Quit::StallAt(at) if received >= at => {
                // It no longer reads, and can only notice a reset.
                wait(wire, 1, |state| state.ended().then_some(())).await;
                return;
            }
            Quit::ResetAt(at) if received >= at => {
                wire.lock().reset_by_peer();
                return;
            }
            Quit::StallAt(at) | Quit::ResetAt(at) => (*most).min(at - received),
            Quit::Never => *most,
        };
        let mut state = wire.lock();
        state.deliver(most);
        parser.parse(schedule, &state.received);
        if parser.complete > state.complete {
            state.complete = parser.complete;
            if let Some(waker) = state.peer[0].take() {
                waker.wake();
            }
        }
    }
}

/// The peer's parser of responses. It shares no code with the ledger's framing, so that a mistake in one of
/// them is detected.
#[derive(Debug, Default)]
struct PeerParser {
    complete: usize,
    /// Start of the incomplete response.
    offset: usize,
    wrong: Option<String>,
}

impl PeerParser {
    fn of(schedule: &Schedule, bytes: &[u8]) -> Self {
        let mut parser = Self::default();
        parser.parse(schedule, bytes);
        parser
    }

    fn parse(&mut self, schedule: &Schedule, bytes: &[u8]) {
        while self.wrong.is_none() && self.offset < bytes.len() {
            let Some(exchange) = schedule.exchanges.get(self.complete) else {
                self.wrong = Some("more responses than requests".into());
                return;
            };
            match response(&bytes[self.offset..], exchange) {
                Ok(Some(length)) => {
                    self.offset += length;
                    self.complete += 1;
                }
                Ok(None) => return,
                Err(why) => self.wrong = Some(format!("response {}: {why}", self.complete)),
            }
        }
    }
}

fn end_of_head(bytes: &[u8]) -> Option<usize> {
    bytes.windows(4).position(|window| window == b"\r\n\r\n")
}

/// Length of the response at the start of `bytes`, if it is complete.
fn response(bytes: &[u8], exchange: &Exchange) -> Result<Option<usize>, String> {
    let Some(head) = end_of_head(bytes) else { return Ok(None) };
    let text = String::from_utf8_lossy(&bytes[..head]).to_ascii_lowercase();
    let start = head + 4;
    if exchange.head_only {
        return Ok(Some(start));
    }
    let field = |name: &str| {
        text.lines().find_map(|line| line.strip_prefix(name)).map(|value| value.trim().to_owned())
    };
    let (body, end) = if let Some(length) = field("content-length:") {
        let length: usize = length.parse().map_err(|_| format!("length {length}"))?;
        let Some(body) = bytes.get(start..start + length) else { return Ok(None) };
        (body.to_vec(), start + length)
    } else if field("transfer-encoding:").is_some() {
        let mut body = Vec::new();
        let mut at = start;
        loop {
            let Some(line) = bytes[at..].windows(2).position(|window| window == b"\r\n") else {
                return Ok(None);
            };
            let size = String::from_utf8_lossy(&bytes[at..at + line]).into_owned();
            let size = usize::from_str_radix(&size, 16).map_err(|_| format!("chunk size {size:?}"))?;
            at += line + 2;
            let Some(chunk) = bytes.get(at..at + size + 2) else { return Ok(None) };
            body.extend_from_slice(&chunk[..size]);
            at += size + 2;
            if size == 0 {
                break;
            }
        }
        (body, at)
    } else {
        return Err(format!("no framing in {text:?}"));
    };
    if body.len() != exchange.length() {
        return Err(format!("{} body bytes instead of {}", body.len(), exchange.length()));
    }
    if let Some(at) = body.iter().enumerate().position(|(at, byte)| *byte != body_byte(at)) {
        return Err(format!("wrong byte at {at}"));
    }
    Ok(Some(end))
}

/// The guarantee that the server under test gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// The ledger watches a server that may lose bytes. It must find every loss; on TCP it may also report
    /// responses as cut that were not acknowledged when the server closed.
    Watched,
    /// The server also closes gracefully: only the peer can cause a loss.
    Delivered,
}

/// Compares the peer's view with the verdicts.
///
/// # Errors
/// The broken guarantee: a response that the peer did not receive and that is not reported as cut, a
/// false alarm, a clean end of file after a cut, two verdicts on one response, or a server that hangs.
pub fn judge(
    schedule: &Schedule,
    claim: Claim,
    view: &PeerView,
    verdicts: &[(Entry, Option<Cause>)],
) -> Result<(), String> {
    if !view.served {
        return Err("the server hangs".into());
    }
    if let Some(wrong) = &view.wrong {
        return Err(wrong.clone());
    }
    let peer_quit = view.end == End::Own || matches!(schedule.quit, Quit::StallAt(_));
    let mut seen = vec![0u32; schedule.exchanges.len()];
    for (entry, cause) in verdicts {
        let number = usize::try_from(entry.number).unwrap_or(usize::MAX);
        match seen.get_mut(number) {
            Some(count) => *count += 1,
            None => return Err(format!("a verdict on response {number}, which does not exist")),
        }
        let received = number < view.complete;
        match cause {
            None if received => {}
            // The peer quit after its kernel, or ours, had all of the response: a sender cannot know that.
            None if peer_quit => {}
            None => {
                return Err(format!(
                    "response {number}: the ledger says whole, the peer did not receive all of it"
                ));
            }
            Some(Cause::UnackedAtReset) if received && claim == Claim::Watched => {}
            Some(cause) if received => {
                return Err(format!(
                    "response {number}: the ledger says cut ({cause}), the peer received all of it"
                ));
            }
            Some(cause) if claim == Claim::Delivered && !peer_quit && entry.status.is_some() => {
                return Err(format!("response {number} was lost ({cause}) although the peer waited for it"));
            }
            Some(_) if entry.status.is_some() && schedule.kind == Kind::Tcp => {
                if view.end == End::Eof {
                    return Err(format!("response {number} is cut and the peer read a clean end of file"));
                }
            }
            Some(_) => {}
        }
    }
    if let Some(number) = seen.iter().position(|count| *count > 1) {
        return Err(format!("{} verdicts on response {number}", seen[number]));
    }
    if claim == Claim::Delivered && !peer_quit && view.complete != schedule.owed() {
        return Err(format!("{} responses received, {} owed", view.complete, schedule.owed()));
    }
    let begun = view.complete + usize::from(view.partial > 0);
    if let Some(number) = seen[..begun].iter().position(|count| *count == 0) {
        return Err(format!("no verdict on response {number}"));
    }
    Ok(())
}
