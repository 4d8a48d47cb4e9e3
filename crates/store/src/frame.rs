//! The stored form of an entry: a fixed header with version, lengths and a digest, then head and body.

use std::any::Any;

use bytes::{Bytes, BytesMut};
use object_store::PutPayload;
use sha2::{Digest, Sha256};

use crate::entry::{Entry, Head, Key};
use crate::error::Error;

/// Format name and version. Another version counts as damaged.
const MAGIC: &[u8; 8] = b"WPBLOB\x00\x01";
const DIGEST: usize = 32;
/// Magic, length of the head, length of the body, digest.
pub(crate) const HEADER: usize = 8 + 4 + 8 + DIGEST;

/// Includes the key, so that an entry under another name is detected.
fn digest(key: &Key, head: &[u8], body: &[u8]) -> [u8; DIGEST] {
    let digest = Sha256::new()
        .chain_update(key.group)
        .chain_update(key.id)
        .chain_update((head.len() as u64).to_le_bytes())
        .chain_update(head)
        .chain_update(body);
    digest.finalize().into()
}

pub(crate) fn stored_len(entry: &Entry) -> u64 {
    (HEADER + entry.len()) as u64
}

/// Hashes the whole entry, so call it on a blocking thread.
pub(crate) fn encode(key: &Key, entry: &Entry) -> PutPayload {
    let mut header = BytesMut::with_capacity(HEADER);
    header.extend_from_slice(MAGIC);
    header.extend_from_slice(&u32::try_from(entry.head.len()).unwrap_or(u32::MAX).to_le_bytes());
    header.extend_from_slice(&(entry.body.len() as u64).to_le_bytes());
    header.extend_from_slice(&digest(key, &entry.head, &entry.body));
    PutPayload::from_iter([header.freeze(), entry.head.bytes().clone(), entry.body.clone()])
}

/// Checks header and digest, and returns the entry as slices of `stored`. Hashes the whole entry.
pub(crate) fn decode(key: &Key, stored: &Bytes) -> Result<Entry, Error> {
    let (head, body_len, expected) = split(stored)?;
    let body = stored.slice(HEADER + head.len()..);
    if body.len() as u64 != body_len {
        return Err(Error::Damaged("the body has another length than its header says"));
    }
    if digest(key, &head, &body) != expected {
        return Err(Error::Damaged("the digest does not match"));
    }
    Ok(Entry { head: head.into(), body })
}

/// Stored bytes with their memory permit.
struct Reserved {
    bytes: Bytes,
    _permit: Box<dyn Any + Send + Sync>,
}

impl AsRef<[u8]> for Reserved {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// Checks stored bytes on a blocking thread. The permit lives as long as the entry.
pub(crate) async fn decode_reserved(
    stored: Bytes,
    permit: Box<dyn Any + Send + Sync>,
    key: Key,
) -> Result<Entry, Error> {
    let stored = Bytes::from_owner(Reserved { bytes: stored, _permit: permit });
    let checked = tokio::task::spawn_blocking(move || decode(&key, &stored));
    checked.await.map_err(object_store::Error::from)?
}

/// The head of an entry, from its first bytes alone. The digest is not checked.
pub(crate) fn peek_head(stored: &Bytes) -> Result<Head, Error> {
    split(stored).map(|(head, _, _)| head.into())
}

fn split(stored: &Bytes) -> Result<(Bytes, u64, [u8; DIGEST]), Error> {
    let header = stored.get(..HEADER).ok_or(Error::Damaged("shorter than its header"))?;
    let (magic, rest) = header.split_at(8);
    if magic != MAGIC {
        return Err(Error::Damaged("not an entry of this version"));
    }
    let (head_len, rest) = rest.split_at(4);
    let (body_len, expected) = rest.split_at(8);
    let head_len = head_len.try_into().map_or(u32::MAX, u32::from_le_bytes) as usize;
    let body_len = body_len.try_into().map_or(u64::MAX, u64::from_le_bytes);
    if head_len > Entry::MAX_HEAD || HEADER + head_len > stored.len() {
        return Err(Error::Damaged("the head is longer than the entry"));
    }
    let mut digest = [0; DIGEST];
    digest.copy_from_slice(expected);
    Ok((stored.slice(HEADER..HEADER + head_len), body_len, digest))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::{decode, encode, peek_head};
    use crate::entry::{Entry, Key};

    fn stored(key: &Key, entry: &Entry) -> Bytes {
        Bytes::from(encode(key, entry).iter().flat_map(|b| b.to_vec()).collect::<Vec<_>>())
    }

    // CAC-033
    #[test]
    fn every_flipped_bit_truncation_and_wrong_key_is_detected() {
        let key = Key::new(&[1; 32], &[2; 32]);
        let entry = Entry {
            head: Bytes::from_static(b"head").into(),
            body: Bytes::from_static(b"a body of some bytes"),
        };
        let whole = stored(&key, &entry);
        assert_eq!(decode(&key, &whole).unwrap(), entry);
        assert_eq!(peek_head(&whole.slice(..60)).unwrap(), entry.head);
        for at in 0..whole.len() * 8 {
            let mut bytes = whole.to_vec();
            bytes[at / 8] ^= 1 << (at % 8);
            assert!(decode(&key, &bytes.into()).is_err(), "bit {at}");
        }
        for length in 0..whole.len() {
            assert!(decode(&key, &whole.slice(..length)).is_err(), "{length} bytes");
        }
        let mut longer = whole.to_vec();
        longer.push(0);
        assert!(decode(&key, &longer.into()).is_err());
        assert!(decode(&Key::new(&[1; 32], &[3; 32]), &whole).is_err());
        assert!(decode(&Key::new(&[3; 32], &[2; 32]), &whole).is_err());
    }
}
