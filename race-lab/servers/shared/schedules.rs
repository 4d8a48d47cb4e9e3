//! A simulated transport runs the same thousands of schedules on every version of hyper. In each of them the ledger's
//! verdict must match the peer's view.
//!
//! A schedule is determined by its seed: where requests are split, when a read or a write is not ready, how many bytes a write
//! accepts, whether the peer half-closes, resets, or gives up. No clock is used; an operation that is not ready is polled again.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use ledger::{Cause, Entry, Observer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::ThisHyper;
use crate::connection::Connection;
use crate::response_spec::pattern;
use crate::server::{Lab, Serve};

/// The number of schedules. The seeds are 0 to this number, and a failure prints its seed.
const SCHEDULES: u64 = 3000;
/// Empty reads before the peer closes the connection.
const PATIENCE: u32 = 200;
/// Polls of the transport after which a schedule counts as endless.
const MOST_POLLS: u32 = 100_000;

/// splitmix64, by Sebastiano Vigna: small, and the same everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    fn one_in(&mut self, limit: u64) -> bool {
        self.below(limit) == 0
    }
}

/// The peer's view at the end.
#[derive(Default)]
struct PeerView {
    received: Vec<u8>,
    polls: u32,
}

/// The transport of one schedule.
struct Transport {
    random: Random,
    /// Pieces of the requests, each readable after so many empty reads.
    input: VecDeque<(u32, Vec<u8>)>,
    /// The peer shuts down its writing side after its last request.
    half_closes: bool,
    idle: u32,
    /// Free bytes until the peer reads again.
    room: usize,
    capacity: usize,
    /// The peer resets after this many bytes.
    resets_after: Option<usize>,
    view: Arc<Mutex<PeerView>>,
}

impl Transport {
    /// Returns pending and wakes the task at once.
    fn later<T>(&mut self, context: &Context<'_>) -> Poll<io::Result<T>> {
        let mut view = self.view.lock().expect("no holder panics");
        view.polls += 1;
        if view.polls > MOST_POLLS {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

impl AsyncRead for Transport {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        match this.input.front_mut() {
            Some((0, _)) => {
                if let Some((_, mut piece)) = this.input.pop_front() {
                    let taken = piece.len().min(buffer.remaining());
                    buffer.put_slice(&piece[..taken]);
                    if taken < piece.len() {
                        this.input.push_front((0, piece.split_off(taken)));
                    }
                }
                Poll::Ready(Ok(()))
            }
            Some((wait, _)) => {
                *wait -= 1;
                this.later(context)
            }
            None if this.half_closes || this.idle >= PATIENCE => Poll::Ready(Ok(())),
            None => {
                this.idle += 1;
                this.later(context)
            }
        }
    }
}

impl AsyncWrite for Transport {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        this.idle = 0;
        let received = this.view.lock().expect("no holder panics").received.len();
        if this.resets_after.is_some_and(|limit| received >= limit) {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        if this.room == 0 || this.random.one_in(8) {
            // The peer may read in the meantime.
            if this.random.one_in(4) {
                this.room = this.capacity;
            }
            return this.later(context);
        }
        let mut taken = bytes.len().min(this.room);
        if taken > 1 && this.random.one_in(3) {
            taken = 1 + this.random.below(taken as u64 - 1) as usize;
        }
        this.room -= taken;
        this.view.lock().expect("no holder panics").received.extend_from_slice(&bytes[..taken]);
        Poll::Ready(Ok(taken))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.random.one_in(6) { self.later(context) } else { Poll::Ready(Ok(())) }
    }

    /// Ready at once, as on a socket.
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// One verdict of the ledger.
#[derive(Clone, Debug)]
struct Verdict {
    number: u64,
    began: bool,
    taken: u64,
    /// None when it was whole.
    cause: Option<Cause>,
}

#[derive(Clone, Default)]
struct Verdicts(Arc<Mutex<Vec<Verdict>>>);

impl Verdicts {
    fn add(&self, entry: &Entry, cause: Option<Cause>) {
        let began = entry.status.is_some();
        let verdict = Verdict { number: entry.number, began, taken: entry.written, cause };
        self.0.lock().expect("no holder panics").push(verdict);
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

/// The requests of a schedule, and the length of each response's body.
fn requests(random: &mut Random) -> (VecDeque<(u32, Vec<u8>)>, Vec<usize>) {
    let mut bytes = Vec::new();
    let mut lengths = Vec::new();
    let mut ends = Vec::new();
    for _ in 0..1 + random.below(3) {
        let length = [0, 10, 5000, 60_000, 300_000][random.below(5) as usize];
        let reading = ["drain", "boundary"][random.below(2) as usize];
        let close = if random.one_in(4) { "close" } else { "keep" };
        let says = if random.one_in(5) { "connection: close\r\n" } else { "" };
        let part = "i".repeat(random.below(2000) as usize);
        let form = format!("--plate\r\n\r\n{part}\r\n--plate--\r\n");
        bytes.extend_from_slice(
            format!(
                "POST /{reading}/{close}/held/{length} HTTP/1.1\r\nhost: lab\r\n{says}content-type: multipart/form-data; \
                 boundary=plate\r\ntransfer-encoding: chunked\r\n\r\n{:x}\r\n{form}\r\n",
                form.len()
            )
            .as_bytes(),
        );
        // The last chunk is often a separate, late piece.
        ends.push(bytes.len());
        bytes.extend_from_slice(b"0\r\n\r\n");
        ends.push(bytes.len());
        lengths.push(length);
    }
    let mut input = VecDeque::new();
    let mut at = 0;
    for end in ends {
        if random.one_in(3) {
            continue;
        }
        while at < end {
            let piece =
                if random.one_in(2) { end - at } else { 1 + random.below((end - at) as u64) as usize };
            input.push_back((random.below(12) as u32, bytes[at..at + piece].to_vec()));
            at += piece;
        }
    }
    if at < bytes.len() {
        input.push_back((random.below(12) as u32, bytes[at..].to_vec()));
    }
    (input, lengths)
}

/// The number of whole responses, and the body bytes of an incomplete one.
fn judge(mut received: &[u8], lengths: &[usize]) -> (u64, Option<u64>) {
    let mut whole = 0;
    for length in lengths {
        let Some(head) = received.windows(4).position(|window| window == b"\r\n\r\n") else { break };
        let body = &received[head + 4..];
        if body.len() < *length {
            assert_eq!(body, &pattern(*length)[..body.len()], "the body differs");
            return (whole, Some(body.len() as u64));
        }
        assert_eq!(&body[..*length], pattern(*length), "the body differs");
        received = &body[*length..];
        whole += 1;
    }
    (whole, (!received.is_empty()).then_some(0))
}

/// Runs one schedule; returns the cause of its cut, if there was one.
fn run(seed: u64) -> Option<Cause> {
    let mut random = Random(seed);
    let (input, lengths) = requests(&mut random);
    let view = Arc::new(Mutex::new(PeerView::default()));
    let capacity = [500, 20_000, 219_264, usize::MAX][random.below(4) as usize];
    let transport = Transport {
        input,
        half_closes: random.one_in(5),
        idle: 0,
        room: capacity,
        capacity,
        resets_after: random.one_in(10).then(|| random.below(100_000) as usize),
        view: view.clone(),
        random: Random(random.next()),
    };
    let lab = Arc::new(Lab::new(random.one_in(2)));
    let verdicts = Verdicts::default();
    let stream = ledger::Ledger::new(verdicts.clone()).wrap(transport);
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(ThisHyper::serve(stream, lab, Arc::new(Connection::default())));

    let view = view.lock().expect("no holder panics");
    assert!(view.polls <= MOST_POLLS, "seed {seed}: the schedule does not end");
    let (whole, partial) = judge(&view.received, &lengths);
    let verdicts = verdicts.0.lock().expect("no holder panics");
    let reported_whole: Vec<u64> =
        verdicts.iter().filter(|verdict| verdict.cause.is_none()).map(|verdict| verdict.number).collect();
    assert_eq!(
        reported_whole,
        (0..whole).collect::<Vec<_>>(),
        "seed {seed}: {whole} responses are whole for the peer: {verdicts:?}"
    );
    let cuts: Vec<&Verdict> =
        verdicts.iter().filter(|verdict| verdict.cause.is_some() && verdict.began).collect();
    match (partial, &cuts[..]) {
        (None, []) => None,
        (Some(bytes), [cut]) => {
            assert_eq!((cut.number, cut.taken), (whole, bytes), "seed {seed}: {verdicts:?}");
            cut.cause
        }
        // Not even the status line was written.
        (Some(0), [])
            if verdicts.iter().any(|verdict| verdict.number == whole && verdict.cause.is_some()) =>
        {
            None
        }
        _ => panic!("seed {seed}: {partial:?} of response {whole} arrived, the ledger reports {verdicts:?}"),
    }
}

// DLV-003: in every schedule, on this version of hyper, with or without the bug.
#[test]
fn verdicts_match_the_peers_view() {
    let mut lost_by_server = 0;
    for seed in 0..SCHEDULES {
        lost_by_server += u32::from(run(seed) == Some(Cause::ServerShutdown));
    }
    let fixed = matches!(env!("CARGO_PKG_NAME"), "lab-server-hyper-1-11-0" | "lab-server-hyper-1-12-0");
    println!("{}: lost its own bytes in {lost_by_server} of {SCHEDULES} schedules", env!("CARGO_PKG_NAME"));
    assert_eq!(lost_by_server > 0, !fixed, "{lost_by_server} of {SCHEDULES}");
}
