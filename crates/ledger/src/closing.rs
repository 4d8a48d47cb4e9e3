//! The bounded lingering close: the writing side is shut down, input is read and thrown away, and the
//! socket stays open until its queue has got across, so that no reset can overtake the answer.

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
    /// How long the peer may leave the outgoing queue without acknowledging a byte of it. A slow reader
    /// that makes progress is not cut.
    pub stall: Duration,
    /// How long to read and discard after everything was acknowledged, when the peer is still sending.
    pub discard_time: Duration,
    /// How many bytes to discard.
    pub discard_bytes: u64,
}

impl Default for Linger {
    /// 30 s without progress; 2 s and 16 MiB of discarded input.
    fn default() -> Self {
        Self { stall: Duration::from_secs(30), discard_time: Duration::from_secs(2), discard_bytes: 16 << 20 }
    }
}

/// First and longest pause between two looks at the queue; it doubles in between.
const FIRST_LOOK: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(50);
/// Reads taken in one go before other tasks get their turn.
const READS_PER_TURN: usize = 64;

/// What came out of waiting for input for a while.
enum Input {
    /// The time is over; this many bytes came.
    Elapsed(u64),
    Ended,
    Failed,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Closing<S> {
    /// Ends the connection in good order and gives the last verdicts.
    ///
    /// An incomplete response is cut at once: reset on TCP, on other transports a close that leaves the
    /// framing incomplete. Otherwise the writing side is shut down and the call returns when
    /// everything has got across and the peer is done, or when `linger` is used up; what is then not
    /// acknowledged is a cut. `sleep` is the runtime's timer, for example `tokio::time::sleep`.
    /// Dropping the future closes at once, with the verdicts that belong to that.
    pub async fn finish<F>(mut self, linger: Linger, sleep: impl Fn(Duration) -> F)
    where
        F: Future<Output = ()>,
    {
        let core = &mut self.core;
        if core.book.is_closed() || core.book.failure().is_some() || core.cut() {
            return;
        }
        if core.book.left_in_the_dark() {
            core.reset();
            return;
        }
        if !self.shut_down(linger, &sleep).await {
            return;
        }
        let core = &mut self.core;
        let mut outstanding = u64::MAX;
        let mut still = Duration::ZERO;
        let mut discarding = Duration::ZERO;
        let mut discarded = 0;
        let mut pause = FIRST_LOOK;
        loop {
            let queued = core.probe.queued(&core.inner);
            core.book.settle(queued);
            let left = core.book.outstanding(queued);
            if left == 0 {
                let peer_is_done =
                    core.book.peer_ended() || !(core.book.request_open() || core.probe.unread(&core.inner));
                if peer_is_done || discarding >= linger.discard_time || discarded > linger.discard_bytes {
                    break;
                }
                discarding += pause;
            }
            if left > 0 && core.probe.failed(&core.inner) {
                // Nobody reads any more once the peer has ended, so no read would tell.
                core.book.blame().set(Cause::PeerReset);
                core.book.failed(&io::ErrorKind::ConnectionReset.into());
                break;
            }
            if left < outstanding {
                outstanding = left;
                still = Duration::ZERO;
                pause = FIRST_LOOK;
            } else if still >= linger.stall {
                core.book.blame().set(Cause::WriteStall);
                core.reset();
                break;
            }
            if core.book.peer_ended() || discarded > linger.discard_bytes {
                sleep(pause).await;
            } else {
                match discard(core, pause, &sleep).await {
                    Input::Elapsed(bytes) => discarded += bytes,
                    Input::Ended => core.book.read(&[]),
                    Input::Failed => break,
                }
            }
            still += pause;
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
                core.book.fin_sent();
                true
            }
            Some(Err(error)) => {
                core.book.failed(&error);
                false
            }
            None => {
                core.book.blame().set(Cause::WriteStall);
                core.reset();
                false
            }
        }
    }
}

/// Reads and throws away for the time of `pause`.
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
                    core.book.read(buf.filled());
                }
                Poll::Ready(Err(error)) => {
                    core.book.failed(&error);
                    return Poll::Ready(Input::Failed);
                }
                Poll::Pending => return timer.as_mut().poll(cx).map(|()| Input::Elapsed(bytes)),
            }
        }
        // More is coming: give the loop its chance to count.
        Poll::Ready(Input::Elapsed(bytes))
    })
    .await
}
