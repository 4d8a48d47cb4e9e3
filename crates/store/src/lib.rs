//! Blobs in memory, in a folder and in buckets: framed, checked, bounded.
//!
//! The crate knows nothing of HTTP or images. An [`Entry`] has a body and a small head, which only the caller
//! interprets. [`MemoryTier`], [`FolderTier`] and [`BucketTier`] implement [`Blobs`]; [`Tiers`] combines them.

mod blobs;
mod bucket;
mod entry;
mod error;
mod folder;
mod frame;
mod memory;
mod stats;
mod tiers;
mod walk;
mod warning;
mod writer;

pub use self::blobs::{Accept, Blobs, Reserve, Unbounded};
pub use self::bucket::{Bucket, BucketTier, check_bucket_url, open_bucket};
pub use self::entry::{Entry, GROUP_BYTES, Head, Key};
pub use self::error::Error;
pub use self::folder::FolderTier;
pub use self::memory::MemoryTier;
pub use self::stats::{LATENCY_BOUNDS, Latency, TierStats};
pub use self::tiers::{Found, Tier, TierOptions, Tiers};
