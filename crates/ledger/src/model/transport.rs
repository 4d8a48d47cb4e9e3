//! The simulated transport: a stream for the server, a kernel in between, and a handle for the peer.

use std::collections::VecDeque;
use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

use super::schedule::{Kind, Schedule, WriteStep};
use crate::socket::Probe;

/// How the connection ended for the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It has not ended.
    Open,
    /// A clean end of file.
    Eof,
    /// A reset from the server's side.
    Reset,
    /// A reset by the peer itself.
    Own,
}

#[derive(Debug)]
pub(super) struct State {
    kind: Kind,
    capacity: usize,
    /// Input on its way to the server, piece by piece.
    inbox: VecDeque<Vec<u8>>,
    /// The peer has ended its writing side.
    input_ended: bool,
    /// Accepted by the stream and not yet given to the kernel.
    held: Vec<u8>,
    /// Accepted by the kernel and not yet acknowledged.
    queue: VecDeque<u8>,
    pub(super) received: Vec<u8>,
    fin: bool,
    linger_zero: bool,
    /// The server has dropped its end.
    closed: bool,
    /// On a Unix socket: the peer reads a reset after the data.
    reset_after_data: bool,
    pub(super) end: End,
    /// Responses that the peer has in full.
    pub(super) complete: usize,
    /// The server asked for a shutdown.
    pub(super) shutdown_passed_on: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
    /// The two halves of the peer.
    pub(super) peer: [Option<Waker>; 2],
}

impl State {
    fn wake_peer(&mut self) {
        for waker in &mut self.peer {
            if let Some(waker) = waker.take() {
                waker.wake();
            }
        }
    }

    fn wake_server(&mut self) {
        for waker in [self.reader.take(), self.writer.take()].into_iter().flatten() {
            waker.wake();
        }
    }

    pub(super) fn ended(&self) -> bool {
        self.end != End::Open
    }

    /// The server's kernel ends the connection by a reset: the queued bytes are lost.
    fn reset_by_server(&mut self) {
        if !self.ended() {
            self.queue.clear();
            self.end = End::Reset;
            self.wake_peer();
        }
    }

    pub(super) fn reset_by_peer(&mut self) {
        if !self.ended() {
            self.end = End::Own;
            self.wake_peer();
            self.wake_server();
        }
    }

    /// Bytes from the peer arrive.
    pub(super) fn arrive(&mut self, piece: Vec<u8>) {
        if self.ended() {
            return;
        }
        if !self.closed {
            self.inbox.push_back(piece);
            self.wake_server();
        } else if self.kind == Kind::Tcp {
            self.reset_by_server();
        }
    }

    pub(super) fn end_input(&mut self) {
        self.input_ended = true;
        self.wake_server();
    }

    /// Moves up to `most` bytes to the peer, and the end after the last.
    pub(super) fn deliver(&mut self, most: usize) {
        let n = most.min(self.queue.len());
        self.received.extend(self.queue.drain(..n));
        if n > 0
            && let Some(writer) = self.writer.take()
        {
            writer.wake();
        }
        self.see_end();
    }

    pub(super) fn see_end(&mut self) {
        if self.queue.is_empty() && self.fin && !self.ended() {
            self.end = if self.reset_after_data { End::Reset } else { End::Eof };
            self.wake_peer();
        }
    }

    pub(super) fn has_data(&self) -> bool {
        !self.queue.is_empty()
    }

    fn close(&mut self) {
        self.closed = true;
        // Bytes that were not flushed were not sent.
        self.held.clear();
        let unread = !self.inbox.is_empty();
        match self.kind {
            Kind::Tcp if self.linger_zero || unread => self.reset_by_server(),
            Kind::Tcp => self.fin = true,
            Kind::Unix => {
                self.reset_after_data = unread && !self.fin;
                self.fin = true;
            }
        }
        self.wake_peer();
    }
}

/// Shared by both ends.
#[derive(Clone, Debug)]
pub(super) struct Wire(Arc<Mutex<State>>);

impl Wire {
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The server's end of the simulated transport.
#[derive(Debug)]
pub struct Simulated {
    wire: Wire,
    holds: bool,
    vectored: bool,
    writes: Cycle<WriteStep>,
    flushes: Cycle<Duration>,
    write_pause: Option<Pin<Box<Sleep>>>,
    flush_pause: Option<Pin<Box<Sleep>>>,
    flush_paused: bool,
    /// Bytes were written since the last flush succeeded. Other flushes do not wait.
    unflushed: bool,
}

#[derive(Debug)]
struct Cycle<T> {
    items: Vec<T>,
    next: usize,
}

impl<T: Copy> Cycle<T> {
    fn next(&mut self) -> Option<T> {
        let item = self.items.get(self.next).copied();
        self.next = (self.next + 1) % self.items.len().max(1);
        item
    }
}

/// Both ends of a transport that behaves as `schedule` says.
pub(super) fn pair(schedule: &Schedule) -> (Simulated, Wire) {
    let wire = Wire(Arc::new(Mutex::new(State {
        kind: schedule.kind,
        capacity: schedule.capacity,
        inbox: VecDeque::new(),
        input_ended: false,
        held: Vec::new(),
        queue: VecDeque::new(),
        received: Vec::new(),
        fin: false,
        linger_zero: false,
        closed: false,
        reset_after_data: false,
        end: End::Open,
        complete: 0,
        shutdown_passed_on: false,
        reader: None,
        writer: None,
        peer: [None, None],
    })));
    let stream = Simulated {
        wire: wire.clone(),
        holds: schedule.holds,
        vectored: schedule.vectored,
        writes: Cycle { items: schedule.writes.clone(), next: 0 },
        flushes: Cycle { items: schedule.flushes.clone(), next: 0 },
        write_pause: None,
        flush_pause: None,
        flush_paused: false,
        unflushed: false,
    };
    (stream, wire)
}

impl Simulated {
    fn take(&mut self, cx: &mut Context<'_>, bufs: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let wanted: usize = bufs.iter().map(|buf| buf.len()).sum();
        if let Some(pause) = &mut self.write_pause {
            std::task::ready!(pause.as_mut().poll(cx));
            self.write_pause = None;
        }
        let mut state = self.wire.lock();
        match state.end {
            End::Own => return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
            _ if state.fin => return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
            _ => {}
        }
        let room = state.capacity.saturating_sub(state.queue.len() + state.held.len());
        if room == 0 {
            if self.holds {
                // A full buffer is passed on when possible, as TLS does.
                pass_on(&mut state);
            }
            state.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let most = match self.writes.next() {
            Some(WriteStep::Take(most)) => most,
            Some(WriteStep::Pend(time)) => {
                drop(state);
                let mut pause = Box::pin(tokio::time::sleep(time));
                if pause.as_mut().poll(cx).is_pending() {
                    self.write_pause = Some(pause);
                } else {
                    cx.waker().wake_by_ref();
                }
                return Poll::Pending;
            }
            None => usize::MAX,
        };
        let n = most.min(room).min(wanted);
        let bytes = bufs.iter().flat_map(|buf| buf.iter().copied()).take(n);
        if self.holds {
            state.held.extend(bytes);
        } else {
            state.queue.extend(bytes);
        }
        state.wake_peer();
        drop(state);
        self.unflushed = true;
        Poll::Ready(Ok(n))
    }

    /// Waits once for the pause of this flush.
    fn pause_flush(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.flush_paused && self.unflushed {
            self.flush_paused = true;
            let time = self.flushes.next().unwrap_or_default();
            self.flush_pause = (!time.is_zero()).then(|| Box::pin(tokio::time::sleep(time)));
        }
        if let Some(pause) = &mut self.flush_pause {
            std::task::ready!(pause.as_mut().poll(cx));
            self.flush_pause = None;
        }
        Poll::Ready(())
    }
}

fn pass_on(state: &mut State) {
    let held = std::mem::take(&mut state.held);
    if !held.is_empty() {
        state.queue.extend(held);
        state.wake_peer();
    }
}

impl AsyncRead for Simulated {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut state = self.wire.lock();
        if state.end == End::Own {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        if let Some(mut piece) = state.inbox.pop_front() {
            let n = piece.len().min(buf.remaining());
            buf.put_slice(&piece[..n]);
            if n < piece.len() {
                state.inbox.push_front(piece.split_off(n));
            }
            return Poll::Ready(Ok(()));
        }
        if state.input_ended {
            return Poll::Ready(Ok(()));
        }
        state.reader = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl AsyncWrite for Simulated {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.take(cx, &[IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.take(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.vectored
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        std::task::ready!(self.pause_flush(cx));
        (self.flush_paused, self.unflushed) = (false, false);
        let mut state = self.wire.lock();
        if state.end == End::Own {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        pass_on(&mut state);
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        std::task::ready!(self.pause_flush(cx));
        (self.flush_paused, self.unflushed) = (false, false);
        let mut state = self.wire.lock();
        if state.end == End::Own {
            return Poll::Ready(Err(io::ErrorKind::NotConnected.into()));
        }
        state.shutdown_passed_on = true;
        pass_on(&mut state);
        state.fin = true;
        state.wake_peer();
        Poll::Ready(Ok(()))
    }
}

impl Drop for Simulated {
    fn drop(&mut self) {
        self.wire.lock().close();
    }
}

/// Answers the ledger's questions about a [`Simulated`] transport.
#[derive(Clone, Copy, Debug, Default)]
pub struct SimulatedProbe;

impl Probe<Simulated> for SimulatedProbe {
    fn queued(&self, stream: &Simulated) -> Option<u64> {
        let state = stream.wire.lock();
        let fin = usize::from(state.fin && state.end == End::Open);
        (state.kind == Kind::Tcp).then(|| (state.queue.len() + fin) as u64)
    }

    fn unread(&self, stream: &Simulated) -> bool {
        !stream.wire.lock().inbox.is_empty()
    }

    fn reset_on_close(&self, stream: &Simulated) -> bool {
        let mut state = stream.wire.lock();
        state.linger_zero = true;
        state.kind == Kind::Tcp
    }
}
