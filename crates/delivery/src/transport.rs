//! The byte stream under a connection: TCP, TLS over TCP, a Unix socket, or a stream of the caller.

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::Pin;
use std::task::{Context, Poll};

use ledger::{Probe, socket};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::server::TlsStream;

pub(crate) enum Transport {
    Tcp(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
    Unix(UnixStream),
    Custom(Box<dyn Custom>),
}

/// A stream of the caller: a pipe, a simulation, a stream of another library.
pub(crate) trait Custom: AsyncRead + AsyncWrite + Send + Unpin {
    fn queued(&self) -> Option<u64>;
    fn unread(&self) -> bool;
    fn reset_on_close(&self) -> bool;
    fn failed(&self) -> bool;
}

impl Transport {
    /// `probe` queries the stream.
    pub(crate) fn custom<S>(stream: S, probe: &'static dyn Probe<S>) -> Self
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        Self::Custom(Box::new(Probed { stream, probe }))
    }

    pub(crate) fn is_tls(&self) -> bool {
        matches!(self, Self::Tls(_))
    }

    /// The socket, if there is one.
    pub(crate) fn socket(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Self::Tcp(stream) => Some(stream.as_fd()),
            Self::Tls(stream) => Some(stream.get_ref().0.as_fd()),
            Self::Unix(stream) => Some(stream.as_fd()),
            Self::Custom(_) => None,
        }
    }

    /// The accepted bytes that the peer has not acknowledged yet, if known. Shows progress that is too small to make room
    /// for another write.
    pub(crate) fn backlog(&self) -> Option<u64> {
        match self {
            Self::Custom(stream) => stream.queued(),
            _ => self.socket().and_then(|socket| socket::queued(socket).ok()),
        }
    }

    /// See [`Probe::queued`].
    pub(crate) fn queued(&self) -> Option<u64> {
        match self {
            // Bytes accepted by a Unix socket are received.
            Self::Unix(_) => None,
            _ => self.backlog(),
        }
    }

    /// See [`Probe::unread`].
    pub(crate) fn unread(&self) -> bool {
        match self {
            Self::Custom(stream) => stream.unread(),
            _ => self.socket().is_some_and(|socket| socket::unread(socket).is_ok_and(|bytes| bytes > 0)),
        }
    }

    /// See [`Probe::reset_on_close`].
    pub(crate) fn reset_on_close(&self) -> bool {
        match self {
            Self::Custom(stream) => stream.reset_on_close(),
            Self::Unix(_) => false,
            _ => self.socket().is_some_and(|socket| socket::reset_on_close(socket).is_ok()),
        }
    }

    /// See [`Probe::failed`].
    pub(crate) fn failed(&self) -> bool {
        match self {
            Self::Custom(stream) => stream.failed(),
            _ => self.socket().is_some_and(socket::failed),
        }
    }
}

macro_rules! forward {
    ($self:ident, $inner:ident => $call:expr) => {
        match $self.get_mut() {
            Self::Tcp($inner) => $call,
            Self::Tls($inner) => $call,
            Self::Unix($inner) => $call,
            Self::Custom($inner) => $call,
        }
    };
}

impl AsyncRead for Transport {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        forward!(self, inner => Pin::new(inner).poll_read(cx, buf))
    }
}

impl AsyncWrite for Transport {
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
        match self {
            Self::Tcp(stream) => stream.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
            Self::Unix(stream) => stream.is_write_vectored(),
            Self::Custom(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        forward!(self, inner => Pin::new(inner).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        forward!(self, inner => Pin::new(inner).poll_shutdown(cx))
    }
}

struct Probed<S: 'static> {
    stream: S,
    probe: &'static dyn Probe<S>,
}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Custom for Probed<S> {
    fn queued(&self) -> Option<u64> {
        self.probe.queued(&self.stream)
    }

    fn unread(&self) -> bool {
        self.probe.unread(&self.stream)
    }

    fn reset_on_close(&self) -> bool {
        self.probe.reset_on_close(&self.stream)
    }

    fn failed(&self) -> bool {
        self.probe.failed(&self.stream)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Probed<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Probed<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}
