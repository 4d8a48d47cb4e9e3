//! The trait of all tiers: memory, folder and bucket.

use std::any::Any;
use std::fmt::Debug;

use async_trait::async_trait;

use crate::entry::{Entry, GROUP_BYTES, Head, Key};
use crate::error::Error;
use crate::stats::TierStats;

/// Decides by the head of an entry whether the entry may still be used.
pub type Accept<'a> = &'a (dyn Fn(&Head) -> bool + Send + Sync);

/// Reserves memory for entries that are read. The permit is held until the last clone of the body is dropped.
#[async_trait]
pub trait Reserve: Debug + Send + Sync {
    /// `None` if no memory is free; the entry then counts as missing.
    async fn reserve(&self, bytes: usize) -> Option<Box<dyn Any + Send + Sync>>;
}

/// Permits every reservation, for tests and tools.
#[derive(Debug, Clone, Copy)]
pub struct Unbounded;

#[async_trait]
impl Reserve for Unbounded {
    async fn reserve(&self, _bytes: usize) -> Option<Box<dyn Any + Send + Sync>> {
        Some(Box::new(()))
    }
}

/// A tier: storage for entries.
#[async_trait]
pub trait Blobs: Debug + Send + Sync {
    /// The whole entry, after all checks; `None` if it is missing.
    ///
    /// # Errors
    /// If the entry could not be read, or is damaged. A damaged entry is removed.
    async fn get(&self, key: &Key, reserve: &dyn Reserve) -> Result<Option<Entry>, Error>;

    /// Stores an entry and replaces an older one with the same key. The write is atomic.
    ///
    /// # Errors
    /// If the entry could not be written.
    async fn put(&self, key: Key, entry: Entry) -> Result<(), Error>;

    /// Removes an entry. A missing entry is no error.
    ///
    /// # Errors
    /// If the entry could not be removed.
    async fn remove(&self, key: &Key) -> Result<(), Error>;

    /// Removes all entries of a group.
    ///
    /// # Errors
    /// If an entry could not be removed.
    async fn remove_group(&self, group: &[u8; GROUP_BYTES]) -> Result<(), Error>;

    /// Removes the entries that `accept` rejects. It reads every head, so run it in the background.
    ///
    /// # Errors
    /// If an entry could not be read or removed.
    async fn retain(&self, accept: Accept<'_>) -> Result<(), Error>;

    fn stats(&self) -> &TierStats;
}
