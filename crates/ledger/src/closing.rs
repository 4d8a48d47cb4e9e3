//! The bounded lingering close: shut down the writing side, read and discard input, and keep the socket open until the
//! peer has acknowledged the outgoing queue, so that no reset can overtake the response.

use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::stream::Closing;
use crate::verdict::Cause;

/// Bounds of a lingering close.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Linger {
    /// How long the peer may acknowledge no byte of the outgoing queue.
    pub stall: Duration,
    /// How long the peer may take for the whole outgoing queue, plus the time that the queue takes at `min_rate`.
    pub time: Duration,
    /// Bytes per second; see `time`.
    pub min_rate: u64,
    /// How long to read and discard after everything was acknowledged, when the peer is still sending.
    pub discard_time: Duration,
    /// How many bytes to discard.
    pub discard_bytes: u64,
}

impl Default for Linger {
    /// 30 s without progress; 120 s and 16 kB/s for the queue; 2 s and 16 MiB of discarded input.
    fn default() -> Self {
        Self {
            stall: Duration::from_secs(30),
            time: Duration::from_secs(120),
            min_rate: 16_000,
            discard_time: Duration::from_secs(2),
            discard_bytes: 16 << 20,
        }
    }
}

impl Linger {
    /// How long the peer may take for a queue of so many bytes.
    fn limit(&self, queued: u64) -> Duration {
        self.time.saturating_add(Duration::from_secs(queued / self.min_rate.max(1)))
    }
}

/// First and longest pause between two queries of the queue; it doubles in between.
const FIRST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(50);
/// Reads in one poll before other tasks get their turn.
const READS_PER_TURN: usize = 64;

/// The outcome of a bounded wait for input.
enum Input {
    /// The time has passed; this many bytes came.
    Elapsed(u64),
    Ended,
    Failed,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Closing<S> {
    /// Closes the connection gracefully and gives the last verdicts.
    ///
    /// An incomplete response, or a tunnel for which a cause of failure was set, is cut at once: by a reset on TCP, on other transports by a close that leaves the framing
    /// incomplete. Otherwise the writing side is shut down, and the call returns when the peer has acknowledged
    /// everything and sends no more, or when the bounds of `linger` are reached; responses that are not acknowledged by then are cut. `sleep` is the
    /// runtime's timer, for example `tokio::time::sleep`. Dropping the future closes at once and gives the verdicts that
    /// are due then.
    pub async fn finish<F>(mut self, linger: Linger, sleep: impl Fn(Duration) -> F)
    where
        F: Future<Output = ()>,
    {
        let core = &mut self.core;
        if core.ledger.is_closed() || core.ledger.failure().is_some() || core.cut() {
            return;
        }
        let broken_tunnel = core.ledger.is_tunnel() && core.ledger.handle().cause().is_some();
        if core.ledger.perhaps_incomplete() || broken_tunnel {
            core.reset();
            return;
        }
        if !self.shut_down(linger, &sleep).await {
            return;
        }
        let core = &mut self.core;
        let mut outstanding = u64::MAX;
        let mut still = Duration::ZERO;
        let mut total = Duration::ZERO;
        let mut limit = None;
        let mut discarding = Duration::ZERO;
        let mut discarded = 0;
        let mut pause = FIRST_PAUSE;
        loop {
            let queued = core.probe.queued(&core.inner);
            core.ledger.settle(queued);
            let left = core.ledger.outstanding(queued);
            let limit = *limit.get_or_insert_with(|| linger.limit(left));
            if left == 0 {
                let peer_is_done = core.ledger.peer_ended()
                    || !(core.ledger.request_open() || core.probe.unread(&core.inner));
                if peer_is_done || discarding >= linger.discard_time || discarded > linger.discard_bytes {
                    break;
                }
                discarding += pause;
            }
            if left > 0 && core.probe.failed(&core.inner) {
                // Once the peer has ended there are no more reads that could fail.
                core.ledger.handle().set_cause(Cause::PeerReset);
                core.ledger.failed(&io::ErrorKind::ConnectionReset.into());
                break;
            }
            if left < outstanding {
                outstanding = left;
                still = Duration::ZERO;
                pause = FIRST_PAUSE;
            } else if still >= linger.stall {
                core.ledger.handle().set_cause(Cause::WriteStall);
                core.reset();
                break;
            }
            if left > 0 && total >= limit {
                core.ledger.handle().set_cause(Cause::SlowReader);
                core.reset();
                break;
            }
            if core.ledger.peer_ended() || discarded > linger.discard_bytes {
                sleep(pause).await;
            } else {
                match discard(core, pause, &sleep).await {
                    Input::Elapsed(bytes) => discarded += bytes,
                    Input::Ended => core.ledger.read(&[]),
                    Input::Failed => break,
                }
            }
            still += pause;
            total += pause;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Returns whether the writing side could be shut down in time.
    async fn shut_down<F>(&mut self, linger: Linger, sleep: &impl Fn(Duration) -> F) -> bool
    where
        F: Future<Output = ()>,
    {
        let mut timeout = pin!(sleep(linger.stall));
        let core = &mut self.core;
        let done = std::future::poll_fn(|cx| {
            if let Poll::Ready(result) = Pin::new(&mut core.inner).poll_shutdown(cx) {
                return Poll::Ready(Some(result));
            }
            timeout.as_mut().poll(cx).map(|()| None)
        })
        .await;
        match done {
            Some(Ok(())) => {
                core.ledger.fin_sent();
                true
            }
            Some(Err(error)) => {
                core.ledger.failed(&error);
                false
            }
            None => {
                core.ledger.handle().set_cause(Cause::WriteStall);
                core.reset();
                false
            }
        }
    }
}

/// Reads and discards input for the time of `pause`.
async fn discard<S, F>(
    core: &mut crate::stream::Core<S>,
    pause: Duration,
    sleep: &impl Fn(Duration) -> F,
) -> Input
where
    S: AsyncRead + Unpin,
    F: Future<Output = ()>,
{
    let mut timer = pin!(sleep(pause));
    let mut bytes = 0u64;
    std::future::poll_fn(|cx| {
        let mut scratch = [std::mem::MaybeUninit::<u8>::uninit(); 4096];
        for _ in 0..READS_PER_TURN {
            let mut buf = ReadBuf::uninit(&mut scratch);
            match Pin::new(&mut core.inner).poll_read(cx, &mut buf) {
                Poll::Ready(Ok(())) if buf.filled().is_empty() => return Poll::Ready(Input::Ended),
                Poll::Ready(Ok(())) => {
                    bytes += buf.filled().len() as u64;
                    core.ledger.read(buf.filled());
                }
                Poll::Ready(Err(error)) => {
                    core.ledger.failed(&error);
                    return Poll::Ready(Input::Failed);
                }
                Poll::Pending => return timer.as_mut().poll(cx).map(|()| Input::Elapsed(bytes)),
            }
        }
        // More is coming: return, so that the caller counts it.
        Poll::Ready(Input::Elapsed(bytes))
    })
    .await
}
