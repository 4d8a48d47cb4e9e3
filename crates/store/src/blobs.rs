//! The trait that memory, folders and buckets have in common.

use std::any::Any;
use std::fmt::Debug;

use async_trait::async_trait;

use crate::entry::{Entry, GROUP_BYTES, Key};
use crate::error::Error;
use crate::stats::TierStats;

/// Says by an entry's head whether the entry may still be used.
pub type Accept<'a> = &'a (dyn Fn(&[u8]) -> bool + Send + Sync);

/// Gives memory for entries that are read. What it returns is held until the last clone of the body is gone.
#[async_trait]
pub trait Reserve: Debug + Send + Sync {
    /// `None` if there is no memory: the entry then counts as missing.
    async fn reserve(&self, bytes: usize) -> Option<Box<dyn Any + Send + Sync>>;
}

/// Gives memory to everybody, for tests and tools.
#[derive(Debug, Clone, Copy)]
pub struct Unbounded;

#[async_trait]
impl Reserve for Unbounded {
    async fn reserve(&self, _bytes: usize) -> Option<Box<dyn Any + Send + Sync>> {
        Some(Box::new(()))
    }
}

/// A place for entries.
#[async_trait]
pub trait Blobs: Debug + Send + Sync {
    /// The whole, checked entry; `None` if it is missing.
    ///
    /// # Errors
    /// What could not be read, or is damaged. A damaged entry has been dropped.
    async fn get(&self, key: &Key, reserve: &dyn Reserve) -> Result<Option<Entry>, Error>;

    /// Stores an entry in place of an older one with the same key: wholly or not at all.
    ///
    /// # Errors
    /// What could not be written.
    async fn put(&self, key: Key, entry: Entry) -> Result<(), Error>;

    /// Removes an entry. One that is missing is no error.
    ///
    /// # Errors
    /// What could not be removed.
    async fn remove(&self, key: &Key) -> Result<(), Error>;

    /// Removes all entries of a group.
    ///
    /// # Errors
    /// What could not be removed.
    async fn remove_group(&self, group: &[u8; GROUP_BYTES]) -> Result<(), Error>;

    /// Removes the entries that are not accepted. Reads every head: run it in the background.
    ///
    /// # Errors
    /// What could not be read or removed.
    async fn retain(&self, accept: Accept<'_>) -> Result<(), Error>;

    fn stats(&self) -> &TierStats;
}
