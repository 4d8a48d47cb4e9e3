//! Entries and their keys.

use std::any::Any;
use std::fmt;
use std::ops::Deref;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;

/// Length of the group in a key.
pub const GROUP_BYTES: usize = 16;
const ID_BYTES: usize = 16;

/// The key of an entry. The entries of a group can be removed together.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    pub group: [u8; GROUP_BYTES],
    pub id: [u8; ID_BYTES],
}

impl Key {
    /// A key from the first 16 bytes of two digests.
    #[must_use]
    pub fn new(group: &[u8; 32], id: &[u8; 32]) -> Self {
        let first = |digest: &[u8; 32]| {
            let mut half = [0; 16];
            half.copy_from_slice(&digest[..16]);
            half
        };
        Self { group: first(group), id: first(id) }
    }

    /// The path below the root of a folder or bucket. The first level has 256 folders, which keeps each of them short.
    pub(crate) fn path(&self) -> String {
        let group = hex(&self.group);
        format!("{}/{group}/{}", &group[..2], hex(&self.id))
    }

    /// The path of a group's folder.
    pub(crate) fn group_path(group: &[u8; GROUP_BYTES]) -> String {
        let group = hex(group);
        format!("{}/{group}", &group[..2])
    }

    /// The key of a path that [`Key::path`] made; `None` for other paths.
    pub(crate) fn of_path(path: &str) -> Option<Self> {
        let mut parts = path.rsplit('/');
        let id = unhex(parts.next()?)?;
        let group = parts.next()?;
        let key = Self { group: unhex(group)?, id };
        (parts.next()? == group.get(..2)?).then_some(key)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", hex(&self.group), hex(&self.id))
    }
}

/// The head of an entry. Cheap to clone.
#[derive(Clone, Default)]
pub struct Head {
    bytes: Bytes,
    parsed: Arc<OnceLock<Arc<dyn Any + Send + Sync>>>,
}

impl Head {
    /// The value that `parse` reads from the bytes. The first one is kept for all clones of this head; a head that is
    /// read as several types is parsed anew for all but the first.
    pub fn parsed<T: Any + Send + Sync>(&self, parse: impl FnOnce(&[u8]) -> Option<T>) -> Option<Arc<T>> {
        if let Some(Ok(value)) = self.parsed.get().map(|value| Arc::clone(value).downcast()) {
            return Some(value);
        }
        let value = Arc::new(parse(&self.bytes)?);
        let _ = self.parsed.set(Arc::<T>::clone(&value));
        Some(value)
    }

    pub(crate) fn bytes(&self) -> &Bytes {
        &self.bytes
    }
}

impl From<Bytes> for Head {
    fn from(bytes: Bytes) -> Self {
        Self { bytes, parsed: Arc::default() }
    }
}

impl From<Vec<u8>> for Head {
    fn from(bytes: Vec<u8>) -> Self {
        Bytes::from(bytes).into()
    }
}

impl Deref for Head {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl PartialEq for Head {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}

impl Eq for Head {}

impl fmt::Debug for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.bytes.fmt(f)
    }
}

/// A stored blob. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Metadata of the caller, readable without the body. At most [`Entry::MAX_HEAD`] bytes.
    pub head: Head,
    pub body: Bytes,
}

impl Entry {
    /// The longest head that is stored.
    pub const MAX_HEAD: usize = 64 << 10;

    /// Bytes of head and body.
    #[must_use]
    pub fn len(&self) -> usize {
        self.head.len() + self.body.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

fn hex(bytes: &[u8]) -> String {
    use fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut out, byte| {
        let _ = write!(out, "{byte:02x}");
        out
    })
}

fn unhex(text: &str) -> Option<[u8; 16]> {
    let digit = |b: u8| match b {
        b'0'..=b'9' => Some(b - b'0'),
        b'a'..=b'f' => Some(b - b'a' + 10),
        _ => None,
    };
    let text: &[u8; 32] = text.as_bytes().try_into().ok()?;
    let mut bytes = [0; 16];
    for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::{Head, Key};

    #[test]
    fn a_head_is_parsed_once_for_all_its_clones() {
        let head = Head::from(b"17".to_vec());
        let number = |text: &[u8]| std::str::from_utf8(text).ok()?.parse::<u32>().ok();
        let clone = head.clone();
        assert_eq!(*head.parsed(number).unwrap(), 17);
        assert_eq!(*clone.parsed::<u32>(|_| panic!("parsed twice")).unwrap(), 17);
        // As another type it is parsed, and the first stays.
        assert_eq!(*head.parsed(|text| Some(text.len())).unwrap(), 2);
        assert_eq!(*head.parsed::<u32>(|_| None).unwrap(), 17);
        assert!(Head::from(b"x".to_vec()).parsed(number).is_none());
    }

    #[test]
    fn only_the_path_of_a_key_is_parsed_as_a_key() {
        let key = Key::new(&[0xa7; 32], &[0x0b; 32]);
        assert_eq!(Key::of_path(&key.path()), Some(key));
        assert_eq!(Key::of_path(&format!("some/prefix/{}", key.path())), Some(key));
        for other in
            ["", "lock", "a7/x/y", &key.path()[1..], &key.path().to_uppercase(), &format!("{}#1", key.path())]
        {
            assert_eq!(Key::of_path(other), None, "{other}");
        }
    }
}
