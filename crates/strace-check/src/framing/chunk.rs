//! Chunked bodies, as long as their framing is visible.

use ledger::http1::chunk_size;

use super::piece::Part;
use super::{Outgoing, State};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Chunk {
    Size(Vec<u8>),
    /// Data and its line end.
    Data(u64),
    /// After the last chunk: trailers up to an empty line.
    Trailer(Vec<u8>),
}

impl Outgoing {
    /// Continues a chunked body; returns the number of bytes used.
    pub(super) fn chunks(&mut self, piece: Part<'_>) -> u64 {
        let State::Chunked(chunk) = &mut self.state else { return 0 };
        match chunk {
            Chunk::Data(missing) => {
                let used = piece.length.min(*missing);
                *missing -= used;
                if *missing == 0 {
                    *chunk = Chunk::Size(Vec::new());
                }
                used
            }
            Chunk::Size(line) | Chunk::Trailer(line) => {
                let Some(byte) = piece.visible.first() else {
                    // The framing is no longer visible.
                    self.state = State::Unknown;
                    return 0;
                };
                line.push(*byte);
                if line.ends_with(b"\r\n") && line.len() > 2 || line.len() > 256 {
                    self.chunk_line();
                }
                1
            }
        }
    }

    fn chunk_line(&mut self) {
        let State::Chunked(chunk) = &mut self.state else { return };
        *chunk = match chunk {
            Chunk::Size(line) => match chunk_size(line.trim_ascii()).map(|size| size.checked_add(2)) {
                Some(Some(2)) => Chunk::Trailer(Vec::new()),
                Some(Some(size)) => Chunk::Data(size),
                _ => {
                    self.state = State::Unknown;
                    return;
                }
            },
            Chunk::Trailer(_) => Chunk::Trailer(Vec::new()),
            Chunk::Data(left) => Chunk::Data(*left),
        };
    }
}
