//! A simulated transport and schedules of its misfortunes, for testing servers and ledgers without a
//! kernel: partial writes, writes and flushes that are not ready, peers that stall, reset, half-close,
//! pipeline, hold back the end of a request, and requests cut at any byte.
//!
//! Everything follows from a seed, and all time is tokio's: on a runtime whose clock is paused, a
//! thousand runs with their stalls of minutes take seconds, and a run that failed can be repeated.
//!
//! 1. [`Schedule::from_seed`] draws what happens.
//! 2. [`play`] gives the server's end of the transport to a closure that serves one connection on it, with
//!    any server on [`AsyncRead`](tokio::io::AsyncRead) + [`AsyncWrite`](tokio::io::AsyncWrite). For its
//!    n-th request the server must do what [`Schedule::exchanges`]`[n]` says, as far as it lives to.
//! 3. [`judge`] lays what the peer saw beside the ledger's verdicts.
//!
//! The server stays responsible for its own deadlines; a peer may stall for good.

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

/// What the peer saw.
#[derive(Clone, Debug)]
pub struct Sighting {
    /// Responses received in full, every byte right.
    pub complete: usize,
    /// Bytes of a further response, head included, that were received.
    pub partial: usize,
    /// How the connection ended.
    pub end: End,
    /// The server closed the connection. `false`: it hung until the run was given up.
    pub served: bool,
    /// A response was not what the schedule says.
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

/// Plays a schedule. `serve` gets the server's end and serves one connection on it; when its future is
/// ready, the connection must be dropped.
pub async fn play<F, Fut>(schedule: &Schedule, serve: F) -> Sighting
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
    // What is not over by then is judged as it stands.
    let _ = tokio::time::timeout(RUN_LIMIT, all).await;
    let state = wire.lock();
    let reading = Reading::of(schedule, &state.received);
    Sighting {
        complete: reading.complete,
        partial: state.received.len() - reading.offset,
        end: state.end,
        served: done[0],
        wrong: reading.wrong,
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
        // Without its head nobody could answer it.
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
    let mut reading = Reading::default();
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
                // It reads no more; all it can still learn is that the connection was reset.
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
        reading.go_on(schedule, &state.received);
        if reading.complete > state.complete {
            state.complete = reading.complete;
            if let Some(waker) = state.peer[0].take() {
                waker.wake();
            }
        }
    }
}

/// How far the peer can make sense of what it received. It reads HTTP in its own plain way, so that a
/// mistake in the ledger's framing shows.
#[derive(Debug, Default)]
struct Reading {
    complete: usize,
    /// Where the response begins that is not complete.
    offset: usize,
    wrong: Option<String>,
}

impl Reading {
    fn of(schedule: &Schedule, bytes: &[u8]) -> Self {
        let mut reading = Self::default();
        reading.go_on(schedule, bytes);
        reading
    }

    fn go_on(&mut self, schedule: &Schedule, bytes: &[u8]) {
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

/// What the server's side of a run claims to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// The ledger watches a server that may lose bytes. It must find every loss; on TCP it may doubt
    /// what was not acknowledged when the server closed.
    Watched,
    /// The server also closes in good order: nothing is lost but by the peer's doing.
    Delivered,
}

/// Lays what the peer saw beside the verdicts.
///
/// # Errors
/// Says which promise was broken: a response that the peer misses and that is not reported as cut, a
/// false alarm, a tidy end after a cut, two verdicts on one response, or a server that hangs.
pub fn judge(
    schedule: &Schedule,
    claim: Claim,
    sighting: &Sighting,
    verdicts: &[(Entry, Option<Cause>)],
) -> Result<(), String> {
    if !sighting.served {
        return Err("the server hangs".into());
    }
    if let Some(wrong) = &sighting.wrong {
        return Err(wrong.clone());
    }
    let peer_quit = sighting.end == End::Own || matches!(schedule.quit, Quit::StallAt(_));
    let mut seen = vec![0u32; schedule.exchanges.len()];
    for (entry, cause) in verdicts {
        let number = usize::try_from(entry.number).unwrap_or(usize::MAX);
        match seen.get_mut(number) {
            Some(count) => *count += 1,
            None => return Err(format!("a verdict on response {number}, which does not exist")),
        }
        let received = number < sighting.complete;
        match cause {
            None if received => {}
            // It lost interest after its kernel, or ours, had all of it: no sender can know.
            None if peer_quit => {}
            None => return Err(format!("response {number} is whole for the ledger, not for the peer")),
            Some(Cause::UnackedAtReset) if received && claim == Claim::Watched => {}
            Some(cause) if received => {
                return Err(format!("response {number} is cut ({cause}) for the ledger, whole for the peer"));
            }
            Some(cause) if claim == Claim::Delivered && !peer_quit && entry.status.is_some() => {
                return Err(format!("response {number} was lost ({cause}) with a peer that waited for it"));
            }
            Some(_) if entry.status.is_some() && schedule.kind == Kind::Tcp => {
                if sighting.end == End::Eof {
                    return Err(format!("response {number} is cut and the peer saw a tidy end"));
                }
            }
            Some(_) => {}
        }
    }
    if let Some(number) = seen.iter().position(|count| *count > 1) {
        return Err(format!("{} verdicts on response {number}", seen[number]));
    }
    if claim == Claim::Delivered && !peer_quit && sighting.complete != schedule.owed() {
        return Err(format!("{} responses received, {} owed", sighting.complete, schedule.owed()));
    }
    let begun = sighting.complete + usize::from(sighting.partial > 0);
    if let Some(number) = seen[..begun].iter().position(|count| *count == 0) {
        return Err(format!("no verdict on response {number}"));
    }
    Ok(())
}
