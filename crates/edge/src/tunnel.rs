//! The origin's side of an upgraded connection.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::place::Place;

enum State {
    Waiting(OnUpgrade),
    Open(TokioIo<Upgraded>),
}

/// The origin's side of a tunnel. It waits for hyper to give the connection up.
pub(crate) struct Upgrading {
    origin: State,
    _place: Place,
}

impl Upgrading {
    pub(crate) fn new(origin: OnUpgrade, place: Place) -> Self {
        Self { origin: State::Waiting(origin), _place: place }
    }

    fn open(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Pin<&mut TokioIo<Upgraded>>>> {
        if let State::Waiting(origin) = &mut self.origin {
            let open = ready!(Pin::new(origin).poll(cx)).map_err(io::Error::other)?;
            self.origin = State::Open(TokioIo::new(open));
        }
        match &mut self.origin {
            State::Open(open) => Poll::Ready(Ok(Pin::new(open))),
            State::Waiting(_) => Poll::Pending,
        }
    }
}

impl AsyncRead for Upgrading {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(self.open(cx))?.poll_read(cx, buf)
    }
}

impl AsyncWrite for Upgrading {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.open(cx))?.poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.open(cx))?.poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.open(cx))?.poll_shutdown(cx)
    }
}
