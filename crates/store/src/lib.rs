//! Blobs in memory, in a folder and in buckets: framed, checked, bounded.
//!
//! The crate knows nothing of HTTP or images. An [`Entry`] is a small head, which the caller gives a meaning, and a
//! body. [`Blobs`] is implemented by [`MemoryTier`], [`FolderTier`] and [`BucketTier`]; [`Tiers`] asks them in turn.

mod blobs;
mod bucket;
mod entry;
mod error;
mod folder;
mod frame;
mod memory;
mod stats;
mod tiers;
mod warning;
mod writer;

pub use self::blobs::{Accept, Blobs, Reserve, Unbounded};
pub use self::bucket::{Bucket, BucketTier, open_bucket};
pub use self::entry::{Entry, GROUP_BYTES, Key};
pub use self::error::Error;
pub use self::folder::FolderTier;
pub use self::memory::MemoryTier;
pub use self::stats::{LATENCY_BOUNDS, Latency, TierStats};
pub use self::tiers::{Found, Tier, TierOptions, Tiers};

use std::any::Any;

use bytes::Bytes;

/// Stored bytes with the memory that was reserved for them.
struct Reserved {
    bytes: Bytes,
    _permit: Box<dyn Any + Send + Sync>,
}

impl AsRef<[u8]> for Reserved {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// Checks stored bytes off the async threads. The permit lives as long as the entry.
async fn entry_in(stored: Bytes, permit: Box<dyn Any + Send + Sync>, key: Key) -> Result<Entry, Error> {
    let stored = Bytes::from_owner(Reserved { bytes: stored, _permit: permit });
    let checked = tokio::task::spawn_blocking(move || frame::decode(&key, &stored));
    checked.await.map_err(object_store::Error::from)?
}
