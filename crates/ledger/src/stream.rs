//! The stream between an HTTP server and its transport, and how it is closed.

use std::io::{self, IoSlice};
use std::os::fd::AsFd;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::connection::ConnectionLedger;
use crate::entry::Protocol;
use crate::framing::Framing;
use crate::socket::{NoProbe, Probe, probe_for};
use crate::verdict::{Handle, Observer};

/// Makes ledgered streams that report to one observer.
#[derive(Clone)]
pub struct Ledger {
    observer: Arc<dyn Observer>,
    id_header: Option<Arc<str>>,
    buffered: bool,
    follow: bool,
}

impl std::fmt::Debug for Ledger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ledger")
            .field("id_header", &self.id_header)
            .field("buffered", &self.buffered)
            .field("follow", &self.follow)
            .finish_non_exhaustive()
    }
}

impl Ledger {
    /// Verdicts go to `observer`.
    pub fn new(observer: impl Observer + 'static) -> Self {
        Self { observer: Arc::new(observer), id_header: None, buffered: false, follow: true }
    }

    /// Names the response header (such as `x-request-id`) whose value identifies a response in
    /// [`Entry::id`](crate::Entry::id). At most 128 bytes of it are kept.
    #[must_use]
    pub fn id_header(mut self, name: &str) -> Self {
        self.id_header = Some(Arc::from(name));
        self
    }

    /// The transport buffers accepted bytes until it is flushed, as TLS does: they count as written only when a flush has
    /// succeeded.
    #[must_use]
    pub fn buffered(mut self, buffered: bool) -> Self {
        self.buffered = buffered;
        self
    }

    /// `false`: the framing is not followed, and [`Observer::written`] is the only report. The stream is closed as usual.
    /// For measuring the cost of following.
    #[must_use]
    pub fn follow(mut self, follow: bool) -> Self {
        self.follow = follow;
        self
    }

    /// Wraps any stream. Bytes that the stream accepts count as received.
    pub fn wrap<S>(&self, stream: S) -> Ledgered<S> {
        self.wrap_with(stream, &NoProbe)
    }

    /// Wraps a socket: on TCP, bytes that the peer has not acknowledged do not count as received, and a cut
    /// ends in a reset.
    pub fn wrap_socket<S: AsFd>(&self, stream: S) -> Ledgered<S> {
        let probe = probe_for(&stream);
        self.wrap_with(stream, probe)
    }

    /// Wraps a stream whose transport answers the questions of `probe`.
    pub fn wrap_with<S>(&self, stream: S, probe: &'static dyn Probe<S>) -> Ledgered<S> {
        let framing = self.follow.then(|| Framing::new(self.id_header.as_deref()));
        Ledgered {
            core: Some(Core {
                ledger: ConnectionLedger::new(Arc::clone(&self.observer), framing, self.buffered),
                inner: stream,
                probe,
            }),
            reclaim: None,
        }
    }
}

/// A stream and its ledger. Dropping it gives the last verdicts.
pub(crate) struct Core<S: 'static> {
    pub(crate) ledger: ConnectionLedger,
    pub(crate) inner: S,
    pub(crate) probe: &'static dyn Probe<S>,
}

impl<S> Core<S> {
    pub(crate) fn settle(&mut self) {
        if self.ledger.awaits_acknowledgement() {
            self.ledger.settle(self.probe.queued(&self.inner));
        }
    }

    /// Cuts everything that is not complete. If a response had begun, makes the close a reset if possible, and returns `true`:
    /// the connection has all its verdicts. A request without a byte of its response is reported, but does not cause a
    /// reset, which would discard earlier responses in the queue.
    pub(crate) fn cut(&mut self) -> bool {
        let under_way = self.ledger.response_open();
        self.ledger.cut_unfinished();
        if under_way {
            self.reset();
        }
        under_way
    }

    /// Makes the close a reset, if the transport has resets.
    pub(crate) fn reset(&mut self) {
        if self.probe.reset_on_close(&self.inner) {
            // The reset discards what earlier responses still have in the queue.
            let queued = self.probe.queued(&self.inner);
            self.ledger.cut_unacknowledged(queued);
        } else {
            self.ledger.assume_acknowledged();
        }
        self.ledger.close();
    }

    /// The last verdicts, without waiting for anything.
    pub(crate) fn conclude(&mut self) {
        if self.ledger.is_closed() || self.cut() {
            return;
        }
        self.settle();
        if self.ledger.awaits_acknowledgement() {
            let queue_is_lost = self.ledger.failure().is_some()
                || self.probe.unread(&self.inner)
                || self.ledger.request_open();
            if queue_is_lost {
                let queued = self.probe.queued(&self.inner);
                self.ledger.cut_unacknowledged(queued);
            } else {
                self.ledger.assume_acknowledged();
            }
        }
        self.ledger.close();
    }
}

impl<S> Drop for Core<S> {
    fn drop(&mut self) {
        self.conclude();
    }
}

/// A stream with a ledger of the HTTP responses that are written to it.
///
/// Give it to the server in place of the stream. It passes reads, writes, vectored writes and flushes through. It
/// intervenes in one case: it does not pass on a `shutdown` while a response is incomplete, so that the peer reads no
/// clean end of file. On TCP the close becomes a reset.
pub struct Ledgered<S: 'static> {
    core: Option<Core<S>>,
    reclaim: Option<Reclaim<S>>,
}

type Reclaim<S> = Box<dyn FnOnce(Closing<S>) + Send>;

impl<S> std::fmt::Debug for Ledgered<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ledgered")
            .field("ledger", &self.core.as_ref().map(|core| &core.ledger))
            .finish_non_exhaustive()
    }
}

impl<S> Ledgered<S> {
    /// A handle to the connection, for its owner.
    pub fn handle(&self) -> Handle {
        self.core.as_ref().map(|core| core.ledger.handle().clone()).unwrap_or_default()
    }

    /// The protocol as seen so far.
    pub fn protocol(&self) -> Protocol {
        self.core.as_ref().map_or(Protocol::Opaque, |core| core.ledger.protocol())
    }

    /// When the server drops the stream, passes it to `reclaim` instead of closing it, so that the owner
    /// can close it gracefully with [`Closing::finish`](crate::Closing::finish). From then on `shutdown` by the server only
    /// flushes, except in a tunnel: `finish` closes.
    #[must_use]
    pub fn reclaim(mut self, reclaim: impl FnOnce(Closing<S>) + Send + 'static) -> Self {
        self.reclaim = Some(Box::new(reclaim));
        self
    }

    /// The wrapped stream.
    pub fn stream(&self) -> Option<&S> {
        self.core.as_ref().map(|core| &core.inner)
    }
}

impl<S> Drop for Ledgered<S> {
    fn drop(&mut self) {
        if let (Some(core), Some(reclaim)) = (self.core.take(), self.reclaim.take()) {
            reclaim(Closing { core });
        }
    }
}

/// A stream that its server has dropped and that is not closed yet. Dropping it closes it without waiting.
pub struct Closing<S: 'static> {
    pub(crate) core: Core<S>,
}

impl<S> std::fmt::Debug for Closing<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Closing").field("ledger", &self.core.ledger).finish_non_exhaustive()
    }
}

fn not_connected() -> io::Error {
    io::Error::from(io::ErrorKind::NotConnected)
}

impl<S: AsyncRead + Unpin> AsyncRead for Ledgered<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Some(core) = &mut self.core else { return Poll::Ready(Err(not_connected())) };
        if core.ledger.handle().take_check() {
            core.settle();
        }
        let before = buf.filled().len();
        match ready!(Pin::new(&mut core.inner).poll_read(cx, buf)) {
            Ok(()) => {
                // New input usually comes with the acknowledgement of earlier responses.
                core.settle();
                if buf.filled().len() > before || buf.remaining() > 0 {
                    core.ledger.read(&buf.filled()[before..]);
                }
                Poll::Ready(Ok(()))
            }
            Err(error) => {
                core.ledger.failed(&error);
                Poll::Ready(Err(error))
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Ledgered<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let Some(core) = &mut self.core else { return Poll::Ready(Err(not_connected())) };
        match ready!(Pin::new(&mut core.inner).poll_write(cx, buf)) {
            Ok(n) => {
                core.ledger.wrote([&buf[..n]]);
                core.settle();
                Poll::Ready(Ok(n))
            }
            Err(error) => {
                core.ledger.failed(&error);
                Poll::Ready(Err(error))
            }
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let Some(core) = &mut self.core else { return Poll::Ready(Err(not_connected())) };
        match ready!(Pin::new(&mut core.inner).poll_write_vectored(cx, bufs)) {
            Ok(n) => {
                let mut left = n;
                core.ledger.wrote(bufs.iter().map_while(|buf| {
                    let part = left.min(buf.len());
                    left -= part;
                    (part > 0 || buf.is_empty()).then(|| &buf[..part])
                }));
                core.settle();
                Poll::Ready(Ok(n))
            }
            Err(error) => {
                core.ledger.failed(&error);
                Poll::Ready(Err(error))
            }
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.core.as_ref().is_some_and(|core| core.inner.is_write_vectored())
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(core) = &mut self.core else { return Poll::Ready(Err(not_connected())) };
        match ready!(Pin::new(&mut core.inner).poll_flush(cx)) {
            Ok(()) => {
                // Servers flush whenever they poll a connection; only a flush that moves bytes is worth a system call.
                if core.ledger.flushed() {
                    core.settle();
                }
                Poll::Ready(Ok(()))
            }
            Err(error) => {
                core.ledger.failed(&error);
                Poll::Ready(Err(error))
            }
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let Some(core) = &mut this.core else { return Poll::Ready(Err(not_connected())) };
        core.ledger.shutdown_requested();
        // A tunnel may end in one direction and continue in the other.
        if this.reclaim.is_some() && !core.ledger.is_tunnel() {
            // The owner that reclaims the stream closes it, after the peer has acknowledged everything.
            return Pin::new(this).poll_flush(cx);
        }
        if core.ledger.is_closed() || core.cut() {
            return Poll::Ready(Ok(()));
        }
        match ready!(Pin::new(&mut core.inner).poll_shutdown(cx)) {
            Ok(()) => {
                core.ledger.fin_sent();
                core.settle();
                Poll::Ready(Ok(()))
            }
            Err(error) => {
                core.ledger.failed(&error);
                Poll::Ready(Err(error))
            }
        }
    }
}
