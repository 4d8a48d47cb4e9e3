//! Connections to the origin: one can be ended from outside, and holds the place of its request until that is sent.

use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};

use http::{Extensions, Uri};
use hyper_util::client::legacy::connect::{self, CaptureConnection, Connected, HttpConnector};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tower_service::Service;

use crate::place::Sending;

/// Opens connections as [`HttpConnector`] does.
#[derive(Clone, Debug)]
pub(crate) struct Connector(pub(crate) HttpConnector);

impl Service<Uri> for Connector {
    type Response = TokioIo<Connection>;
    type Error = <HttpConnector as Service<Uri>>::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, target: Uri) -> Self::Future {
        let connecting = self.0.call(target);
        Box::pin(async move {
            let stream = connecting.await?.into_inner();
            Ok(TokioIo::new(Connection { stream, handle: Handle::default() }))
        })
    }
}

/// A connection to the origin.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    handle: Handle,
}

/// Access to a connection for those that use it through hyper. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Handle(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    /// Why the connection has to end.
    cut: Option<&'static str>,
    closed: bool,
    /// A request that hyper has read to its end and the connection has not accepted yet.
    sending: Option<Sending>,
    waker: Option<Waker>,
}

impl Handle {
    /// That of the connection that a request uses, if it has one.
    pub(crate) fn of(request: &CaptureConnection) -> Option<Self> {
        let mut extras = Extensions::new();
        request.connection_metadata().as_ref()?.get_extras(&mut extras);
        extras.remove()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the connection: reading and writing fail with `why`.
    pub(crate) fn cut(&self, why: &'static str) {
        let waker = {
            let mut state = self.lock();
            state.cut.get_or_insert(why);
            state.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Keeps `sending` until everything written so far is sent, or the connection is closed.
    pub(crate) fn keep(&self, sending: Sending) {
        let mut state = self.lock();
        if !state.closed {
            state.sending = Some(sending);
        }
    }

    fn check(&self, cx: &Context<'_>) -> io::Result<()> {
        let mut state = self.lock();
        if let Some(why) = state.cut {
            return Err(io::Error::other(why));
        }
        match &mut state.waker {
            Some(waker) => waker.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
        Ok(())
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let mut state = self.handle.lock();
        state.closed = true;
        let sending = state.sending.take();
        drop(state);
        drop(sending);
    }
}

impl connect::Connection for Connection {
    fn connected(&self) -> Connected {
        self.stream.connected().extra(self.handle.clone())
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.handle.check(cx)?;
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.handle.check(cx)?;
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.handle.check(cx)?;
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
        let sent = self.handle.lock().sending.take();
        drop(sent);
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.handle.check(cx)?;
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
