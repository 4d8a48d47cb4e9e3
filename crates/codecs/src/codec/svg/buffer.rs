//! Input and output of the SVG stages: a buffer that takes its memory from the budget as it grows, and a reader that
//! checks the deadline.

use std::io::{self, Read, Write};

use crate::Error;
use work::{Reservation, Work};

/// Bytes between two checks of the deadline.
const CHECK_EVERY: usize = 64 << 10;

/// A buffer with a limit. An error is kept, because [`Write`] cannot carry it.
pub(super) struct Buffer {
    inner: Held,
    limit: usize,
    too_large: fn() -> Error,
    failure: Option<Error>,
}

/// Bytes and the reservation that covers them.
pub(super) struct Held {
    pub(super) bytes: Vec<u8>,
    pub(super) held: Reservation,
}

impl Buffer {
    pub(super) fn new(limit: usize, too_large: fn() -> Error, work: &Work) -> Result<Self, Error> {
        let inner = Held { bytes: Vec::new(), held: work.take(0)? };
        Ok(Self { inner, limit, too_large, failure: None })
    }

    pub(super) fn push(&mut self, part: &[u8]) -> Result<(), Error> {
        let Held { bytes, held } = &mut self.inner;
        let needed = bytes.len() + part.len();
        if needed > self.limit {
            return Err((self.too_large)());
        }
        if needed > bytes.capacity() {
            let capacity = needed.max(bytes.capacity() * 2).max(4096).min(self.limit);
            held.grow_to(capacity)?;
            bytes.reserve_exact(capacity - bytes.len());
        }
        bytes.extend_from_slice(part);
        Ok(())
    }

    pub(super) fn into_inner(self) -> Held {
        self.inner
    }

    /// The bytes, or the error of a write.
    pub(super) fn finish(self) -> Result<Held, Error> {
        match self.failure {
            Some(error) => Err(error),
            None => Ok(self.inner),
        }
    }
}

impl Write for Buffer {
    fn write(&mut self, part: &[u8]) -> io::Result<usize> {
        match self.push(part) {
            Ok(()) => Ok(part.len()),
            Err(error) => {
                self.failure = Some(error);
                Err(io::ErrorKind::Other.into())
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Reads a slice and checks the deadline every [`CHECK_EVERY`] bytes, because the XML parser itself cannot be stopped.
pub(super) struct CheckedReader<'a> {
    rest: &'a [u8],
    until_check: usize,
    work: &'a Work,
    failure: Option<Error>,
}

impl<'a> CheckedReader<'a> {
    pub(super) fn new(bytes: &'a [u8], work: &'a Work) -> Self {
        Self { rest: bytes, until_check: 0, work, failure: None }
    }

    /// Why reading stopped early, if it did.
    pub(super) fn failure(&mut self) -> Option<Error> {
        self.failure.take()
    }
}

impl Read for CheckedReader<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.until_check == 0 {
            if let Err(error) = self.work.check() {
                self.failure = Some(error.into());
                return Err(io::ErrorKind::Other.into());
            }
            self.until_check = CHECK_EVERY;
        }
        let n = self.rest.len().min(buf.len()).min(self.until_check);
        let (part, rest) = self.rest.split_at(n);
        buf[..n].copy_from_slice(part);
        self.rest = rest;
        self.until_check -= n;
        Ok(n)
    }
}
