//! Memory of HTTP/1 request heads that have not arrived in full, bounded over all connections.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};

/// Bytes of a head that are not counted: ordinary heads never wait.
const UNCOUNTED: usize = 8 << 10;
/// Memory is counted in pieces of this many bytes.
const PIECE: usize = 8 << 10;

/// The memory of all connections. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct HeadMemory {
    free: Arc<Semaphore>,
    /// Bytes of the largest head.
    largest: usize,
}

impl HeadMemory {
    /// `largest`: bytes that a head can have. There is always room for one.
    pub(crate) fn new(bytes: usize, largest: usize) -> Self {
        let pieces = bytes.max(largest).div_ceil(PIECE).clamp(1, Semaphore::MAX_PERMITS);
        Self { free: Arc::new(Semaphore::new(pieces)), largest }
    }
}

type Waiting = Pin<Box<dyn Future<Output = Result<OwnedSemaphorePermit, AcquireError>> + Send>>;

/// The head that is arriving on one connection.
pub(crate) struct Head {
    memory: HeadMemory,
    bytes: usize,
    held: Option<OwnedSemaphorePermit>,
    waiting: Option<Waiting>,
}

impl std::fmt::Debug for Head {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Head").field("bytes", &self.bytes).field("held", &self.held).finish_non_exhaustive()
    }
}

impl Head {
    pub(crate) fn new(memory: HeadMemory) -> Self {
        Self { memory, bytes: 0, held: None, waiting: None }
    }

    /// Waits until there is memory for what has arrived of the head. Before that, no more of it is to be read: the deadline
    /// for heads ends a wait that is too long.
    pub(crate) fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let held = self.held.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let more = self.bytes.saturating_sub(UNCOUNTED).div_ceil(PIECE).saturating_sub(held);
        if more == 0 {
            return Poll::Ready(());
        }
        let memory = &self.memory.free;
        let waiting = self.waiting.get_or_insert_with(|| {
            Box::pin(Arc::clone(memory).acquire_many_owned(u32::try_from(more).unwrap_or(u32::MAX)))
        });
        let permit = ready!(waiting.as_mut().poll(cx));
        self.waiting = None;
        // It is never closed.
        if let Ok(permit) = permit {
            match &mut self.held {
                Some(held) => held.merge(permit),
                none => *none = Some(permit),
            }
        }
        Poll::Ready(())
    }

    /// `bytes` of it have arrived.
    pub(crate) fn arrived(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_add(bytes).min(self.memory.largest);
    }

    /// It has arrived in full: from here on it belongs to its request.
    pub(crate) fn complete(&mut self) {
        (self.bytes, self.held, self.waiting) = (0, None, None);
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use futures_util::FutureExt;

    use super::{Head, HeadMemory, PIECE, UNCOUNTED};

    #[tokio::test]
    async fn a_head_waits_until_another_is_complete() {
        let memory = HeadMemory::new(4 * PIECE, 5 * PIECE);
        let (mut first, mut second) = (Head::new(memory.clone()), Head::new(memory));
        let room = |head: &mut Head| poll_fn(|cx| head.poll_room(cx)).now_or_never().is_some();
        for head in [&mut first, &mut second] {
            head.arrived(UNCOUNTED);
            assert!(room(head));
        }
        first.arrived(4 * PIECE);
        assert!(room(&mut first));
        second.arrived(PIECE + 1);
        assert!(!room(&mut second));
        first.complete();
        assert!(room(&mut second));
    }
}
