//! Events of clients that leave while the HTTP layer does not read from their sockets.
//!
//! hyper owns the socket and reads nothing while a handler works on a response. One epoll instance for all connections
//! reports only `EPOLLHUP` and `EPOLLERR`: a reset, or a Unix peer that has closed both directions. A client that shut
//! down its writing side only has not left (DLV-006).

#![allow(unsafe_code)]

use std::collections::HashMap;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Context;

use futures_util::task::AtomicWaker;
use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use rustix::io::Errno;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::task::AbortHandle;

/// Most events read from the kernel in one call.
const BATCH: usize = 64;
const AT_ONCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };

type Signals = Arc<Mutex<HashMap<u64, Arc<Signal>>>>;

#[derive(Debug, Default)]
struct Signal {
    happened: AtomicBool,
    waker: AtomicWaker,
}

/// The sockets that are observed.
#[derive(Debug)]
pub(crate) struct HangUps {
    epoll: Arc<OwnedFd>,
    signals: Signals,
    next: AtomicU64,
    task: AbortHandle,
}

impl HangUps {
    /// Call within a tokio runtime.
    pub(crate) fn new() -> io::Result<Self> {
        let epoll = Arc::new(epoll::create(epoll::CreateFlags::CLOEXEC)?);
        let signals = Signals::default();
        // SAFETY: the `Arc` that the `AsyncFd` owns always gives the same descriptor, and keeps it open.
        let events = unsafe { AsyncFd::register_with_interest(Arc::clone(&epoll), Interest::READABLE) }?;
        let task = tokio::spawn(dispatch(events, Arc::clone(&signals))).abort_handle();
        Ok(Self { epoll, signals, next: AtomicU64::new(0), task })
    }

    /// Observes a socket until the returned value is dropped. The kernel forgets the socket when it is closed.
    pub(crate) fn observe(&self, socket: BorrowedFd<'_>) -> io::Result<HangUp> {
        let token = self.next.fetch_add(1, Ordering::Relaxed);
        let signal = Arc::new(Signal::default());
        let hang_up = HangUp(Some((token, Arc::clone(&signal), Arc::clone(&self.signals))));
        self.signals.lock().unwrap_or_else(PoisonError::into_inner).insert(token, signal);
        // EPOLLHUP and EPOLLERR are always reported.
        epoll::add(&self.epoll, socket, epoll::EventData::new_u64(token), epoll::EventFlags::ONESHOT)?;
        Ok(hang_up)
    }
}

impl Drop for HangUps {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn dispatch(epoll: AsyncFd<Arc<OwnedFd>>, signals: Signals) {
    loop {
        let Ok(mut ready) = epoll.readable().await else { return };
        if let Err(error) = take_events(epoll.get_ref(), &signals) {
            tracing::error!(%error, "clients that leave are no longer noticed");
            return;
        }
        ready.clear_ready();
    }
}

/// Signals all pending events.
fn take_events(epoll: &OwnedFd, signals: &Signals) -> io::Result<()> {
    let mut events = Vec::with_capacity(BATCH);
    loop {
        events.clear();
        let count = match epoll::wait(epoll, spare_capacity(&mut events), Some(&AT_ONCE)) {
            Ok(count) => count,
            Err(Errno::INTR) => continue,
            Err(error) => return Err(error.into()),
        };
        let signals = signals.lock().unwrap_or_else(PoisonError::into_inner);
        for event in &events {
            if let Some(signal) = signals.get(&event.data.u64()) {
                signal.happened.store(true, Ordering::Release);
                signal.waker.wake();
            }
        }
        if count < BATCH {
            return Ok(());
        }
    }
}

/// Whether one client has left.
pub(crate) struct HangUp(Option<(u64, Arc<Signal>, Signals)>);

impl HangUp {
    /// For a transport without a socket: never reports.
    pub(crate) fn never() -> Self {
        Self(None)
    }

    /// Whether the client has left; wakes the task when it does.
    pub(crate) fn poll(&self, cx: &Context<'_>) -> bool {
        self.0.as_ref().is_some_and(|(_, signal, _)| {
            signal.waker.register(cx.waker());
            signal.happened.load(Ordering::Acquire)
        })
    }
}

impl Drop for HangUp {
    fn drop(&mut self) {
        if let Some((token, _, signals)) = &self.0 {
            signals.lock().unwrap_or_else(PoisonError::into_inner).remove(token);
        }
    }
}
