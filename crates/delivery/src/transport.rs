//! The byte stream under a connection: TCP or Unix, in the clear or under TLS, with the deadline for
//! writes that make no progress.

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use ledger::{Probe, socket};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::Sleep;
use tokio_rustls::server::TlsStream;

use crate::sentinel::Sentinel;
use crate::watch::Watch;

/// Who is at the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Peer {
    /// A TCP client.
    Tcp(SocketAddr),
    /// A process on this machine, as far as the kernel names it.
    Unix {
        /// Its process id when it connected.
        pid: Option<i32>,
        /// The user it ran as when it connected.
        uid: Option<u32>,
    },
    /// A transport that is no socket.
    Other,
}

impl std::fmt::Display for Peer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix { pid: Some(pid), .. } => write!(f, "unix:pid={pid}"),
            Self::Unix { .. } => f.write_str("unix"),
            Self::Other => f.write_str("other"),
        }
    }
}

/// An accepted socket.
#[derive(Debug)]
pub(crate) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(stream) => stream.as_fd(),
            Self::Unix(stream) => stream.as_fd(),
        }
    }
}

macro_rules! forward {
    ($self:ident, $inner:ident => $call:expr) => {
        match $self.get_mut() {
            Self::Tcp($inner) => $call,
            Self::Unix($inner) => $call,
        }
    };
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        forward!(self, inner => Pin::new(inner).poll_read(cx, buf))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        forward!(self, inner => Pin::new(inner).poll_write(cx, buf))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        forward!(self, inner => Pin::new(inner).poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        forward!(self, inner => Pin::new(inner).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        forward!(self, inner => Pin::new(inner).poll_shutdown(cx))
    }
}

/// What the connection needs to ask a transport beside reading and writing.
pub(crate) trait Wire: AsyncRead + AsyncWrite + Send + Unpin + 'static {
    /// How the ledger asks it.
    fn probe() -> &'static dyn Probe<Guarded<Self>>
    where
        Self: Sized;
    /// The socket at the bottom, if there is one.
    fn fd(&self) -> Option<BorrowedFd<'_>>;
    /// Bytes that were accepted and that the peer has not taken yet, if that can be known. It serves to
    /// see progress that is too small to make room for another write.
    fn queued(&self) -> Option<u64> {
        self.fd().and_then(|fd| socket::queued(fd).ok())
    }
    /// It keeps accepted bytes for itself until it is flushed.
    fn buffered() -> bool
    where
        Self: Sized;
}

struct SocketProbe;

impl<W: Wire + HasSocket> Probe<Guarded<W>> for SocketProbe {
    fn queued(&self, stream: &Guarded<W>) -> Option<u64> {
        match stream.inner.socket() {
            Stream::Tcp(tcp) => socket::queued(tcp.as_fd()).ok(),
            Stream::Unix(_) => None,
        }
    }

    fn unread(&self, stream: &Guarded<W>) -> bool {
        socket::unread(stream.inner.socket().as_fd()).is_ok_and(|bytes| bytes > 0)
    }

    fn reset_on_close(&self, stream: &Guarded<W>) -> bool {
        match stream.inner.socket() {
            Stream::Tcp(tcp) => socket::reset_on_close(tcp.as_fd()).is_ok(),
            Stream::Unix(_) => false,
        }
    }

    fn failed(&self, stream: &Guarded<W>) -> bool {
        socket::failed(stream.inner.socket().as_fd())
    }
}

/// A transport that ends in a socket.
trait HasSocket {
    fn socket(&self) -> &Stream;
}

impl HasSocket for Stream {
    fn socket(&self) -> &Stream {
        self
    }
}

impl HasSocket for Box<TlsStream<Stream>> {
    fn socket(&self) -> &Stream {
        self.get_ref().0
    }
}

impl Wire for Stream {
    fn probe() -> &'static dyn Probe<Guarded<Self>> {
        &SocketProbe
    }

    fn fd(&self) -> Option<BorrowedFd<'_>> {
        Some(self.as_fd())
    }

    fn buffered() -> bool {
        false
    }
}

impl Wire for Box<TlsStream<Stream>> {
    fn probe() -> &'static dyn Probe<Guarded<Self>> {
        &SocketProbe
    }

    fn fd(&self) -> Option<BorrowedFd<'_>> {
        Some(self.socket().as_fd())
    }

    fn buffered() -> bool {
        true
    }
}

/// A transport that is no socket of ours: a pipe, a simulation, a stream of another library.
pub(crate) struct Foreign<S: 'static> {
    pub(crate) inner: S,
    pub(crate) probe: &'static dyn Probe<S>,
}

struct ForeignProbe;

impl<S: AsyncRead + AsyncWrite + Send + Unpin + 'static> Probe<Guarded<Foreign<S>>> for ForeignProbe {
    fn queued(&self, stream: &Guarded<Foreign<S>>) -> Option<u64> {
        stream.inner.probe.queued(&stream.inner.inner)
    }

    fn unread(&self, stream: &Guarded<Foreign<S>>) -> bool {
        stream.inner.probe.unread(&stream.inner.inner)
    }

    fn reset_on_close(&self, stream: &Guarded<Foreign<S>>) -> bool {
        stream.inner.probe.reset_on_close(&stream.inner.inner)
    }

    fn failed(&self, stream: &Guarded<Foreign<S>>) -> bool {
        stream.inner.probe.failed(&stream.inner.inner)
    }
}

impl<S: AsyncRead + AsyncWrite + Send + Unpin + 'static> Wire for Foreign<S> {
    fn probe() -> &'static dyn Probe<Guarded<Self>> {
        &ForeignProbe
    }

    fn fd(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    fn queued(&self) -> Option<u64> {
        self.probe.queued(&self.inner)
    }

    fn buffered() -> bool {
        false
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Foreign<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Foreign<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().inner).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().inner).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_shutdown(cx)
    }
}

/// A write that waits for the peer.
struct Stall {
    patience: Pin<Box<Sleep>>,
    /// What was queued when the patience was last renewed.
    queued: Option<u64>,
}

/// A transport whose blocked writes have a deadline and whose activity is noted.
pub(crate) struct Guarded<W: Wire> {
    pub(crate) inner: W,
    watch: Arc<Watch>,
    sentinel: Arc<Sentinel>,
    patience: Duration,
    stall: Option<Stall>,
}

impl<W: Wire> Guarded<W> {
    pub(crate) fn new(inner: W, watch: Arc<Watch>, sentinel: Arc<Sentinel>, patience: Duration) -> Self {
        if let Some(fd) = inner.fd() {
            sentinel.post(fd);
        }
        Self { inner, watch, sentinel, patience, stall: None }
    }

    /// Applies the deadline to the outcome of an attempt to write.
    /// `moves` tells whether bytes move when it is over: hyper flushes whenever it looks at a connection, and a flush
    /// of nothing is no activity, however long it takes.
    fn progress<T>(
        &mut self,
        cx: &mut Context<'_>,
        outcome: Poll<io::Result<T>>,
        moves: bool,
    ) -> Poll<io::Result<T>> {
        if outcome.is_ready() {
            if self.stall.take().is_some() {
                self.watch.write_blocked(false);
                if moves {
                    self.watch.active();
                }
            }
            return outcome;
        }
        let patience = self.patience;
        if self.stall.is_none() {
            self.watch.write_blocked(true);
            let queued = self.inner.queued();
            self.stall = Some(Stall { patience: Box::pin(tokio::time::sleep(patience)), queued });
        }
        while let Some(stall) = &mut self.stall
            && stall.patience.as_mut().poll(cx).is_ready()
        {
            // The kernel wakes a writer when a good part of the queue is free, not at every byte: a
            // reader may be at work and still too slow for that.
            let queued = self.inner.queued();
            if queued.is_none() || queued >= stall.queued {
                return Poll::Ready(Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    "the peer took no byte in time",
                )));
            }
            stall.queued = queued;
            stall.patience.as_mut().reset(tokio::time::Instant::now() + patience);
        }
        Poll::Pending
    }
}

impl<W: Wire> Drop for Guarded<W> {
    fn drop(&mut self) {
        // Before the descriptor is closed and its number can mean another socket.
        self.sentinel.withdraw();
    }
}

impl<W: Wire> AsyncRead for Guarded<W> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        let mut outcome = Pin::new(&mut this.inner).poll_read(cx, buf);
        // A TLS client that finishes sending without saying so in TLS has still only finished sending. Whether its request
        // is whole, HTTP's own framing tells.
        if let Poll::Ready(Err(error)) = &outcome
            && error.kind() == io::ErrorKind::UnexpectedEof
        {
            outcome = Poll::Ready(Ok(()));
        }
        if outcome.is_ready() {
            this.watch.read(&buf.filled()[before..]);
        }
        outcome
    }
}

impl<W: Wire> AsyncWrite for Guarded<W> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let outcome = Pin::new(&mut this.inner).poll_write(cx, buf);
        if outcome.is_ready() {
            // Not so for a flush: the HTTP connection flushes whenever it is polled.
            this.watch.active();
        }
        this.progress(cx, outcome, true)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let outcome = Pin::new(&mut this.inner).poll_write_vectored(cx, bufs);
        if outcome.is_ready() {
            this.watch.active();
        }
        this.progress(cx, outcome, true)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let outcome = Pin::new(&mut this.inner).poll_flush(cx);
        this.progress(cx, outcome, false)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let outcome = Pin::new(&mut this.inner).poll_shutdown(cx);
        this.progress(cx, outcome, false)
    }
}
