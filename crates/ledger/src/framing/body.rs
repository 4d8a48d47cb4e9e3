//! The framing of a message body. Payload bytes are skipped by arithmetic and never read.

use super::lines::Lines;
use crate::http1::chunk_size;

/// The kind of the next bytes of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Body {
    Length(u64),
    ChunkSize,
    Chunk(u64),
    /// The line end after a chunk's data.
    ChunkEnd,
    Trailers,
    UntilClose,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum State {
    /// Before or within the first line.
    #[default]
    Start,
    Headers,
    Body(Body),
    /// After `101` or an accepted `CONNECT`.
    Tunnel,
    /// The bytes are not HTTP/1.
    Unparsable,
}

/// Follows one step of a body. Returns the next state, or `None` when the message is complete. Adds the payload bytes
/// to `payload`.
pub(super) fn step_body(
    body: Body,
    lines: &mut Lines,
    input: &mut &[u8],
    payload: &mut u64,
) -> Option<State> {
    let skip = |input: &mut &[u8], left: u64, payload: &mut u64| {
        let n = left.min(input.len() as u64);
        *input = &input[usize::try_from(n).unwrap_or(input.len())..];
        *payload += n;
        left - n
    };
    match body {
        Body::Length(left) => match skip(input, left, payload) {
            0 => None,
            left => Some(State::Body(Body::Length(left))),
        },
        Body::Chunk(left) => Some(State::Body(match skip(input, left, payload) {
            0 => Body::ChunkEnd,
            left => Body::Chunk(left),
        })),
        Body::ChunkSize => {
            let size = lines.next(input, chunk_size);
            Some(match size {
                None => State::Body(Body::ChunkSize),
                Some(Some(0)) => State::Body(Body::Trailers),
                Some(Some(size)) => State::Body(Body::Chunk(size)),
                Some(None) => State::Unparsable,
            })
        }
        Body::ChunkEnd => Some(match lines.next(input, <[u8]>::is_empty) {
            None => State::Body(Body::ChunkEnd),
            Some(true) => State::Body(Body::ChunkSize),
            Some(false) => State::Unparsable,
        }),
        Body::Trailers => match lines.next(input, <[u8]>::is_empty) {
            Some(true) => None,
            Some(false) | None => Some(State::Body(Body::Trailers)),
        },
        Body::UntilClose => {
            *payload += input.len() as u64;
            *input = &[];
            Some(State::Body(Body::UntilClose))
        }
    }
}
