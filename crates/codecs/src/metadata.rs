//! Metadata copied from a file: ICC profiles, EXIF.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use work::{Error, Reservation, Work};

/// A copy of a part of a file. Its bytes are reserved in the request's budget until the last clone is dropped; clones are cheap.
#[derive(Clone)]
pub struct Metadata(Arc<Held>);

struct Held {
    bytes: Box<[u8]>,
    _reservation: Reservation,
}

impl Metadata {
    /// Copies `bytes`, after reserving their memory.
    ///
    /// # Errors
    /// [`Error::MemoryBudget`].
    pub fn copy(bytes: &[u8], work: &Work) -> Result<Self, Error> {
        let reservation = work.take(bytes.len())?;
        Ok(Self(Arc::new(Held { bytes: bytes.into(), _reservation: reservation })))
    }
}

impl Deref for Metadata {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0.bytes
    }
}

impl PartialEq for Metadata {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Metadata {}

impl fmt::Debug for Metadata {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Metadata({} bytes)", self.len())
    }
}

#[cfg(test)]
mod tests {
    use super::Metadata;
    use work::{Budget, Work};

    #[test]
    fn a_copy_counts_until_its_last_clone_is_dropped() {
        let work = Work::new(Budget::new(10));
        let copy = Metadata::copy(b"12345678", &work).unwrap();
        let clone = copy.clone();
        assert!(Metadata::copy(b"123", &work).is_err());
        drop(copy);
        assert_eq!((&*clone, work.budget.used()), (b"12345678".as_slice(), 8));
        drop(clone);
        assert_eq!(work.budget.used(), 0);
    }
}
