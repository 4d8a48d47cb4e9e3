//! One figure for memory, `memory` in MiB, and how it is shared out: what the process takes itself, inputs, and pixels
//! with the results that wait for their readers.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Memory is counted in pieces of this many bytes.
const PIECE: usize = 4 << 10;
/// Code, threads, connections and tables, in bytes; of a small memory, a quarter.
const PROCESS: usize = 128 << 20;

/// What each kind of use may take.
#[derive(Debug, Clone)]
pub(crate) struct Shares {
    /// Sources, uploads and fonts.
    pub(crate) inputs: Share,
    /// Images while they are made, and results until they are delivered.
    pub(crate) pixels: Share,
}

impl Shares {
    /// Shares out `total` bytes. The shares are apart, so that inputs that wait for pixels never hold what they wait for.
    pub(crate) fn of(total: usize) -> Self {
        let images = total - (total / 4).min(PROCESS);
        let inputs = images / 3;
        Self { inputs: Share::new(inputs), pixels: Share::new(images - inputs) }
    }
}

/// Bytes that are taken before they are allocated. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Share {
    free: Arc<Semaphore>,
    total: usize,
}

/// The share is used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Full;

impl Share {
    fn new(bytes: usize) -> Self {
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

    /// Takes `bytes` if they are there.
    pub(crate) fn try_take(&self, bytes: usize) -> Result<Hold, Full> {
        let permit = Arc::clone(&self.free).try_acquire_many_owned(pieces(bytes)).map_err(|_| Full)?;
        Ok(Hold { permit, free: Arc::clone(&self.free) })
    }

    /// Takes `bytes`, and waits until they are there, in the order of asking.
    ///
    /// # Errors
    /// After `wait`, and at once for what is never there.
    pub(crate) async fn take(&self, bytes: usize, wait: Duration) -> Result<Hold, Full> {
        if bytes > self.total {
            return Err(Full);
        }
        let permit = tokio::time::timeout(wait, Arc::clone(&self.free).acquire_many_owned(pieces(bytes)));
        let permit = permit.await.map_err(|_| Full)?.map_err(|_| Full)?;
        Ok(Hold { permit, free: Arc::clone(&self.free) })
    }
}

/// Bytes of a share, given back on drop.
#[derive(Debug)]
pub(crate) struct Hold {
    permit: OwnedSemaphorePermit,
    free: Arc<Semaphore>,
}

impl Hold {
    pub(crate) fn bytes(&self) -> usize {
        self.permit.num_permits() * PIECE
    }

    /// Takes more, if it is there.
    ///
    /// # Errors
    /// What is held stays held.
    pub(crate) fn grow_to(&mut self, bytes: usize) -> Result<(), Full> {
        let more = pieces(bytes.saturating_sub(self.bytes()));
        self.permit.merge(Arc::clone(&self.free).try_acquire_many_owned(more).map_err(|_| Full)?);
        Ok(())
    }

    /// Gives back all but `bytes`, which it keeps as far as it has them.
    pub(crate) fn shrink_to(&mut self, bytes: usize) {
        let kept = (pieces(bytes) as usize).min(self.permit.num_permits());
        drop(self.permit.split(self.permit.num_permits() - kept));
    }

    /// Ties this memory to the bytes that take it: it is given back with the last of their clones and slices.
    pub(crate) fn tie<B: AsRef<[u8]> + Send + 'static>(self, bytes: B) -> Bytes {
        Bytes::from_owner(Tied { bytes, _held: self })
    }
}

struct Tied<B> {
    bytes: B,
    _held: Hold,
}

impl<B: AsRef<[u8]>> AsRef<[u8]> for Tied<B> {
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

    use super::{Share, Shares};

    #[test]
    fn the_shares_stay_below_the_whole() {
        for mib in [64, 100, 512, 1024, 65_536] {
            let total = mib << 20;
            let Shares { inputs, pixels } = Shares::of(total);
            assert!(inputs.total() + pixels.total() < total);
            assert!(pixels.total() > total / 3 && inputs.total() > total / 6, "{mib}");
        }
    }

    #[test]
    fn memory_is_given_back_with_the_last_slice_of_its_bytes() {
        let share = Share::new(1 << 20);
        let mut hold = share.try_take(100_000).unwrap();
        assert!(hold.grow_to(2 << 20).is_err());
        assert_eq!(hold.bytes(), 102_400);
        hold.grow_to(200_000).unwrap();
        hold.shrink_to(50_000);
        assert_eq!(share.used(), 53_248);
        let bytes = hold.tie(vec![1; 50_000]);
        let slice = bytes.slice(10..20);
        drop(bytes);
        assert_eq!(share.used(), 53_248);
        drop(slice);
        assert_eq!(share.used(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn who_asks_for_too_much_is_told_so_and_who_asks_too_soon_waits() {
        let share = Share::new(1 << 20);
        assert!(share.take(2 << 20, Duration::from_secs(1)).await.is_err());
        let held = share.try_take(1 << 20).unwrap();
        assert!(share.take(1, Duration::from_secs(1)).await.is_err());
        let waiting = share.take(1 << 20, Duration::from_secs(1));
        let (taken, ()) = tokio::join!(waiting, async { drop(held) });
        assert!(taken.is_ok());
    }
}
