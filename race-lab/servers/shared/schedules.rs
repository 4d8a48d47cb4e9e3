//! The same misfortunes for every version of hyper: a simulated transport with its own will, thousands of schedules, and
//! in each of them the ledger must say what the peer saw.
//!
//! A schedule is all in its seed: where the requests are split, when a read or a write is not ready, how much a write takes,
//! whether the peer half-closes, resets, or gives up. Nothing waits for a clock; what is not ready is polled again.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use ledger::{Cause, Entry, Observer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::ThisHyper;
use crate::order::pattern;
use crate::connection::Connection;
use crate::server::{Lab, Serve};

/// Schedules of one run; their seeds are 0 to this, so that a failure names the one to look at.
const SCHEDULES: u64 = 3000;
/// Reads that find nothing before the peer gives the connection up.
const PATIENCE: u32 = 200;
/// No schedule needs more polls of its transport.
const MOST_POLLS: u32 = 100_000;

/// splitmix64, by Sebastiano Vigna: small, and the same everywhere.
struct Chance(u64);

impl Chance {
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

/// What the peer has seen when all is over.
#[derive(Default)]
struct Seen {
    received: Vec<u8>,
    polls: u32,
}

/// The transport of one schedule.
struct Transport {
    chance: Chance,
    /// Pieces of the requests, each readable after so many reads that find nothing.
    input: VecDeque<(u32, Vec<u8>)>,
    /// The peer shuts its writing side down after its last request.
    half_closes: bool,
    idle: u32,
    /// Bytes that fit before the peer reads again; it reads now and then.
    room: usize,
    capacity: usize,
    /// The peer resets after having taken so many bytes.
    resets_after: Option<usize>,
    seen: Arc<Mutex<Seen>>,
}

impl Transport {
    /// Not now: the task is woken at once and finds another moment.
    fn later<T>(&mut self, context: &Context<'_>) -> Poll<io::Result<T>> {
        let mut seen = self.seen.lock().expect("no holder panics");
        seen.polls += 1;
        if seen.polls > MOST_POLLS {
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
        let received = this.seen.lock().expect("no holder panics").received.len();
        if this.resets_after.is_some_and(|limit| received >= limit) {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        if this.room == 0 || this.chance.one_in(8) {
            // The peer reads meanwhile, or does not yet.
            if this.chance.one_in(4) {
                this.room = this.capacity;
            }
            return this.later(context);
        }
        let mut taken = bytes.len().min(this.room);
        if taken > 1 && this.chance.one_in(3) {
            taken = 1 + this.chance.below(taken as u64 - 1) as usize;
        }
        this.room -= taken;
        this.seen.lock().expect("no holder panics").received.extend_from_slice(&bytes[..taken]);
        Poll::Ready(Ok(taken))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.chance.one_in(6) { self.later(context) } else { Poll::Ready(Ok(())) }
    }

    /// At once, as on a socket.
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

/// What a schedule sends, and the length of each answer's body.
fn requests(chance: &mut Chance) -> (VecDeque<(u32, Vec<u8>)>, Vec<usize>) {
    let mut bytes = Vec::new();
    let mut answers = Vec::new();
    let mut ends = Vec::new();
    for _ in 0..1 + chance.below(3) {
        let length = [0, 10, 5000, 60_000, 300_000][chance.below(5) as usize];
        let reading = ["drain", "boundary"][chance.below(2) as usize];
        let close = if chance.one_in(4) { "close" } else { "keep" };
        let says = if chance.one_in(5) { "connection: close\r\n" } else { "" };
        let part = "i".repeat(chance.below(2000) as usize);
        let form = format!("--plate\r\n\r\n{part}\r\n--plate--\r\n");
        bytes.extend_from_slice(
            format!(
                "POST /{reading}/{close}/held/{length} HTTP/1.1\r\nhost: lab\r\n{says}content-type: multipart/form-data; \
                 boundary=plate\r\ntransfer-encoding: chunked\r\n\r\n{:x}\r\n{form}\r\n",
                form.len()
            )
            .as_bytes(),
        );
        // The last chunk often comes by itself, and late.
        ends.push(bytes.len());
        bytes.extend_from_slice(b"0\r\n\r\n");
        ends.push(bytes.len());
        answers.push(length);
    }
    let mut input = VecDeque::new();
    let mut at = 0;
    for end in ends {
        if chance.one_in(3) {
            continue;
        }
        while at < end {
            let piece =
                if chance.one_in(2) { end - at } else { 1 + chance.below((end - at) as u64) as usize };
            input.push_back((chance.below(12) as u32, bytes[at..at + piece].to_vec()));
            at += piece;
        }
    }
    if at < bytes.len() {
        input.push_back((chance.below(12) as u32, bytes[at..].to_vec()));
    }
    (input, answers)
}

/// The answers that arrived whole, and the body bytes of one that began and did not.
fn judge(mut received: &[u8], answers: &[usize]) -> (u64, Option<u64>) {
    let mut whole = 0;
    for length in answers {
        let Some(head) = received.windows(4).position(|window| window == b"\r\n\r\n") else { break };
        let body = &received[head + 4..];
        if body.len() < *length {
            assert_eq!(body, &pattern(*length)[..body.len()], "the body is another one");
            return (whole, Some(body.len() as u64));
        }
        assert_eq!(&body[..*length], pattern(*length), "the body is another one");
        received = &body[*length..];
        whole += 1;
    }
    (whole, (!received.is_empty()).then_some(0))
}

/// Runs one schedule; returns the cause of its cut, if there was one.
fn run(seed: u64) -> Option<Cause> {
    let mut chance = Chance(seed);
    let (input, answers) = requests(&mut chance);
    let seen = Arc::new(Mutex::new(Seen::default()));
    let capacity = [500, 20_000, 219_264, usize::MAX][chance.below(4) as usize];
    let transport = Transport {
        input,
        half_closes: chance.one_in(5),
        idle: 0,
        room: capacity,
        capacity,
        resets_after: chance.one_in(10).then(|| chance.below(100_000) as usize),
        seen: seen.clone(),
        chance: Chance(chance.next()),
    };
    let lab = Arc::new(Lab::new(chance.one_in(2)));
    let verdicts = Verdicts::default();
    let stream = ledger::Ledger::new(verdicts.clone()).wrap(transport);
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(ThisHyper::serve(stream, lab, Arc::new(Connection::default())));

    let seen = seen.lock().expect("no holder panics");
    assert!(seen.polls <= MOST_POLLS, "seed {seed}: it never ends");
    let (whole, partial) = judge(&seen.received, &answers);
    let verdicts = verdicts.0.lock().expect("no holder panics");
    let said: Vec<u64> =
        verdicts.iter().filter(|verdict| verdict.cause.is_none()).map(|verdict| verdict.number).collect();
    assert_eq!(
        said,
        (0..whole).collect::<Vec<_>>(),
        "seed {seed}: whole for the peer are {whole}: {verdicts:?}"
    );
    let cuts: Vec<&Verdict> =
        verdicts.iter().filter(|verdict| verdict.cause.is_some() && verdict.began).collect();
    match (partial, &cuts[..]) {
        (None, []) => None,
        (Some(bytes), [cut]) => {
            assert_eq!((cut.number, cut.taken), (whole, bytes), "seed {seed}: {verdicts:?}");
            cut.cause
        }
        // Not even the status line was out.
        (Some(0), [])
            if verdicts.iter().any(|verdict| verdict.number == whole && verdict.cause.is_some()) =>
        {
            None
        }
        _ => panic!("seed {seed}: {partial:?} of answer {whole} arrived, the ledger says {verdicts:?}"),
    }
}

// DLV-003: in every schedule, on this hyper, fixed or not.
#[test]
fn the_ledger_says_what_the_peer_saw() {
    let mut lost_by_server = 0;
    for seed in 0..SCHEDULES {
        lost_by_server += u32::from(run(seed) == Some(Cause::ServerShutdown));
    }
    let fixed = matches!(env!("CARGO_PKG_NAME"), "lab-server-hyper-1-11-0" | "lab-server-hyper-1-12-0");
    println!("{}: lost its own bytes in {lost_by_server} of {SCHEDULES} schedules", env!("CARGO_PKG_NAME"));
    assert_eq!(lost_by_server > 0, !fixed, "{lost_by_server} of {SCHEDULES}");
}
