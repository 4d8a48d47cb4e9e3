//! The whole delivery path on a transport controlled by the test: no step begins before the previous one is done.

use std::io;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use delivery::{Cause, Config, Connections, RequestBody};
use http::{Request, Response};
use ledger::Probe;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::support::{Odd, Then, Verdicts};

/// The controls and records of the transport. It has no waker: the test polls again after each change.
#[derive(Clone, Debug, Default)]
struct Cues {
    /// Flushes and shutdowns stay pending until these are set.
    flush: bool,
    shutdown: bool,
    input: Vec<u8>,
    written: usize,
    flushes_asked: usize,
    flushed: usize,
    /// Attempts to shut down, pending ones included.
    shutdowns_asked: usize,
    resets: usize,
    /// Bytes that the peer has not acknowledged.
    queued: u64,
    fin: bool,
    dropped: bool,
}

#[derive(Clone, Debug, Default)]
struct Shared(Arc<Mutex<Cues>>);

impl Shared {
    fn cues(&self) -> MutexGuard<'_, Cues> {
        self.0.lock().unwrap()
    }

    /// From now on no step is pending.
    fn go(&self) {
        let mut cues = self.cues();
        (cues.flush, cues.shutdown) = (true, true);
    }

    /// The current state.
    fn seen(&self) -> Cues {
        self.cues().clone()
    }
}

#[derive(Debug)]
struct Cued(Shared);

impl Drop for Cued {
    fn drop(&mut self) {
        self.0.cues().dropped = true;
    }
}

impl AsyncRead for Cued {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut cues = self.0.cues();
        if cues.input.is_empty() {
            return Poll::Pending;
        }
        let n = cues.input.len().min(buf.remaining());
        buf.put_slice(&cues.input[..n]);
        cues.input.drain(..n);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Cued {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.0.cues().written += buf.len();
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut cues = self.0.cues();
        cues.flushes_asked += 1;
        // Like a socket, a flush without written bytes does not wait.
        if !cues.flush && cues.flushed < cues.written {
            return Poll::Pending;
        }
        cues.flushed = cues.written;
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut cues = self.0.cues();
        cues.shutdowns_asked += 1;
        if !cues.shutdown {
            return Poll::Pending;
        }
        cues.fin = true;
        Poll::Ready(Ok(()))
    }
}

struct CuedProbe;

impl Probe<Cued> for CuedProbe {
    fn queued(&self, stream: &Cued) -> Option<u64> {
        // Including the FIN, if sent.
        let cues = stream.0.cues();
        Some(cues.queued + u64::from(cues.fin))
    }

    fn unread(&self, stream: &Cued) -> bool {
        !stream.0.cues().input.is_empty()
    }

    fn reset_on_close(&self, stream: &Cued) -> bool {
        stream.0.cues().resets += 1;
        true
    }
}

/// More polls than the path needs for its possible progress.
const POLLS: usize = 20;

fn poll(future: Pin<&mut impl Future<Output = ()>>) -> bool {
    let mut future = future;
    let mut cx = Context::from_waker(Waker::noop());
    (0..POLLS).any(|_| future.as_mut().poll(&mut cx).is_ready())
}

fn connections(verdicts: &Verdicts) -> Connections {
    let mut config = Config::default();
    config.observer = Some(Arc::new(verdicts.clone()));
    Connections::new(config)
}

const LAST: &[u8] = b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";

async fn ten(_: Request<RequestBody>) -> Response<Odd> {
    Odd::whole(10)
}

async fn three_of_ten(_: Request<RequestBody>) -> Response<Odd> {
    Odd::answer(10, 3, Then::Fails)
}

// The clock is paused and nothing waits: no deadline is involved.
#[tokio::test(start_paused = true)]
async fn the_close_waits_for_the_flush_and_the_end_for_the_shutdown() {
    let (shared, verdicts) = (Shared::default(), Verdicts::default());
    shared.cues().input = LAST.to_vec();
    let connections = connections(&verdicts);
    let mut serving = pin!(connections.serve_stream(Cued(shared.clone()), &CuedProbe, ten));
    assert!(!poll(serving.as_mut()));
    {
        let cues = shared.seen();
        assert!(cues.written > 10 && cues.flushes_asked > 0, "{cues:?}");
        assert_eq!((cues.flushed, cues.shutdowns_asked, cues.dropped), (0, 0, false), "a flush is under way");
    }
    shared.cues().flush = true;
    assert!(!poll(serving.as_mut()));
    {
        let cues = shared.seen();
        assert_eq!(cues.flushed, cues.written);
        assert!(cues.shutdowns_asked > 0 && !cues.dropped, "a shutdown is under way: {cues:?}");
    }
    shared.cues().shutdown = true;
    assert!(poll(serving.as_mut()));
    assert!(shared.seen().dropped);
    assert_eq!(shared.seen().resets, 0);
    assert_eq!(verdicts.list(), [(Some(10), 10, None)]);
}

// DLV-002
#[tokio::test(start_paused = true)]
async fn a_response_with_body_owed_is_never_shut_down() {
    let (shared, verdicts) = (Shared::default(), Verdicts::default());
    shared.cues().input = LAST.to_vec();
    shared.go();
    let connections = connections(&verdicts);
    let mut serving = pin!(connections.serve_stream(Cued(shared.clone()), &CuedProbe, three_of_ten));
    assert!(poll(serving.as_mut()));
    let cues = shared.seen();
    assert_eq!((cues.shutdowns_asked, cues.resets, cues.dropped), (0, 1, true));
    assert_eq!(verdicts.list(), [(Some(10), 3, Some(Cause::BodyError))]);
}

// DLV-008: the lingering close ends with the drain, with that cause.
#[tokio::test(start_paused = true)]
async fn a_lingering_close_ends_at_the_drain_deadline() {
    let (shared, verdicts) = (Shared::default(), Verdicts::default());
    // The peer is sending another request: closing now loses the queued bytes.
    shared.cues().input = [LAST, b"GET /"].concat();
    shared.go();
    shared.cues().queued = 50;
    let mut config = Config::default();
    config.observer = Some(Arc::new(verdicts.clone()));
    config.linger.stall = Duration::from_secs(24 * 3600);
    let connections = Connections::new(config);
    let serving = tokio::spawn({
        let (connections, stream) = (connections.clone(), Cued(shared.clone()));
        async move { connections.serve_stream(stream, &CuedProbe, ten).await }
    });
    // It lingers: the paused clock advances only if everything else is idle.
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(shared.seen().fin && !serving.is_finished());
    assert_eq!(verdicts.list(), []);
    let report = connections.shutdown(Duration::from_secs(5)).await;
    assert_eq!((report.cut, report.open), (1, 0));
    assert_eq!(verdicts.list(), [(Some(10), 10, Some(Cause::DrainDeadline))]);
    serving.await.unwrap();
}
