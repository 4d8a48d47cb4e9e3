//! The setting `memory`, divided into pools: inputs, pixels with the results that wait for their readers, and requests. A part
//! is left to the process itself.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use edge::{HeadBudget, TakenMemory};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Memory is counted in pieces of this many bytes.
const PIECE: usize = 4 << 10;
/// Code, threads, connections, tables and requests, in bytes; of a small memory, a quarter.
const PROCESS: usize = 128 << 20;

/// What each kind of use may take.
#[derive(Debug, Clone)]
pub(crate) struct MemoryPools {
    /// Sources, uploads and fonts.
    pub(crate) inputs: MemoryPool,
    /// Images while they are made, and results until they are delivered.
    pub(crate) pixels: MemoryPool,
    /// Heads of requests, and what has arrived of bodies that nobody reads yet.
    pub(crate) requests: MemoryPool,
}

impl MemoryPools {
    /// Divides `total` bytes. Separate pools prevent hold-and-wait deadlock between inputs and pixels.
    pub(crate) fn of(total: usize) -> Self {
        let process = (total / 4).min(PROCESS);
        let images = total - process;
        let inputs = images / 3;
        Self {
            inputs: MemoryPool::new(inputs),
            pixels: MemoryPool::new(images - inputs),
            requests: MemoryPool::new(process / 2),
        }
    }
}

/// Bytes that are taken before they are allocated. Cheap to clone. Disk space is counted in the same way.
#[derive(Debug, Clone)]
pub(crate) struct MemoryPool {
    free: Arc<Semaphore>,
    total: usize,
}

/// The pool has too few free bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct MemoryFull;

impl MemoryPool {
    pub(crate) fn new(bytes: usize) -> Self {
        let pieces = bytes / PIECE;
        Self { free: Arc::new(Semaphore::new(pieces)), total: pieces * PIECE }
    }

    pub(crate) fn total(&self) -> usize {
        self.total
    }

    pub(crate) fn free(&self) -> usize {
        self.free.available_permits() * PIECE
    }

    pub(crate) fn used(&self) -> usize {
        self.total - self.free()
    }

    /// This pool for heads of responses.
    pub(crate) fn for_heads(&self) -> HeadBudget {
        let pool = self.clone();
        HeadBudget::new(move |bytes| pool.try_take(bytes).ok().map(|permit| Box::new(permit) as TakenMemory))
    }

    /// Takes `bytes` if they are there.
    pub(crate) fn try_take(&self, bytes: usize) -> Result<MemoryPermit, MemoryFull> {
        let permit = Arc::clone(&self.free).try_acquire_many_owned(pieces(bytes)).map_err(|_| MemoryFull)?;
        Ok(MemoryPermit { permit, free: Arc::clone(&self.free), share: None })
    }

    /// Takes `bytes`, and waits until they are there, in the order of asking.
    ///
    /// # Errors
    /// After `wait`, and at once for what is never there.
    pub(crate) async fn take(&self, bytes: usize, wait: Duration) -> Result<MemoryPermit, MemoryFull> {
        if bytes > self.total {
            return Err(MemoryFull);
        }
        let permit = tokio::time::timeout(wait, Arc::clone(&self.free).acquire_many_owned(pieces(bytes)));
        let permit = permit.await.map_err(|_| MemoryFull)?.map_err(|_| MemoryFull)?;
        Ok(MemoryPermit { permit, free: Arc::clone(&self.free), share: None })
    }
}

/// Bytes of a pool, given back on drop.
#[derive(Debug)]
pub(crate) struct MemoryPermit {
    permit: OwnedSemaphorePermit,
    free: Arc<Semaphore>,
    /// The same bytes of a pool that bounds a part of this one.
    share: Option<Box<MemoryPermit>>,
}

impl MemoryPermit {
    /// This permit, which gives back `share` as it gives back its own bytes.
    pub(crate) fn with_share(self, share: Option<Self>) -> Self {
        Self { share: share.map(Box::new), ..self }
    }

    pub(crate) fn bytes(&self) -> usize {
        self.permit.num_permits() * PIECE
    }

    /// Takes more, if it is there.
    ///
    /// # Errors
    /// What is held stays held.
    pub(crate) fn grow_to(&mut self, bytes: usize) -> Result<(), MemoryFull> {
        let more = pieces(bytes.saturating_sub(self.bytes()));
        self.permit.merge(Arc::clone(&self.free).try_acquire_many_owned(more).map_err(|_| MemoryFull)?);
        Ok(())
    }

    /// Gives back all but `bytes`, which it keeps as far as it has them.
    pub(crate) fn shrink_to(&mut self, bytes: usize) {
        let kept = (pieces(bytes) as usize).min(self.permit.num_permits());
        drop(self.permit.split(self.permit.num_permits() - kept));
        if let Some(share) = &mut self.share {
            share.shrink_to(bytes);
        }
    }

    /// `bytes` as [`Bytes`] that hold this permit until the last of their clones and slices is gone.
    pub(crate) fn into_bytes<B: AsRef<[u8]> + Send + 'static>(self, bytes: B) -> Bytes {
        Bytes::from_owner(Permitted { bytes, _permit: self })
    }
}

struct Permitted<B> {
    bytes: B,
    _permit: MemoryPermit,
}

impl<B: AsRef<[u8]>> AsRef<[u8]> for Permitted<B> {
    fn as_ref(&self) -> &[u8] {
        self.bytes.as_ref()
    }
}

/// Pieces for so many bytes; more than there can be if they are too many.
fn pieces(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(PIECE)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{MemoryPool, MemoryPools};

    #[test]
    fn the_pools_stay_below_the_whole() {
        for mib in [64, 100, 512, 1024, 65_536] {
            let total = mib << 20;
            let MemoryPools { inputs, pixels, requests } = MemoryPools::of(total);
            assert!(inputs.total() + pixels.total() + 2 * requests.total() <= total);
            assert!(pixels.total() > total / 3 && inputs.total() > total / 6, "{mib}");
        }
    }

    #[test]
    fn memory_is_given_back_with_the_last_slice_of_its_bytes() {
        let pool = MemoryPool::new(1 << 20);
        let mut permit = pool.try_take(100_000).unwrap();
        assert!(permit.grow_to(2 << 20).is_err());
        assert_eq!(permit.bytes(), 102_400);
        permit.grow_to(200_000).unwrap();
        permit.shrink_to(50_000);
        assert_eq!(pool.used(), 53_248);
        let bytes = permit.into_bytes(vec![1; 50_000]);
        let slice = bytes.slice(10..20);
        drop(bytes);
        assert_eq!(pool.used(), 53_248);
        drop(slice);
        assert_eq!(pool.used(), 0);
    }

    #[test]
    fn a_share_is_given_back_with_its_permit() {
        let (pool, part) = (MemoryPool::new(1 << 20), MemoryPool::new(1 << 19));
        let mut permit = pool.try_take(1 << 19).unwrap().with_share(part.try_take(1 << 19).ok());
        assert!(part.try_take(1).is_err());
        permit.shrink_to(1 << 12);
        assert_eq!((pool.used(), part.used()), (1 << 12, 1 << 12));
        drop(permit);
        assert_eq!((pool.used(), part.used()), (0, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn too_much_is_refused_at_once_and_what_is_in_use_is_waited_for() {
        let pool = MemoryPool::new(1 << 20);
        assert!(pool.take(2 << 20, Duration::from_secs(1)).await.is_err());
        let held = pool.try_take(1 << 20).unwrap();
        assert!(pool.take(1, Duration::from_secs(1)).await.is_err());
        let waiting = pool.take(1 << 20, Duration::from_secs(1));
        let (taken, ()) = tokio::join!(waiting, async { drop(held) });
        assert!(taken.is_ok());
    }
}
