//! Buffers of a write, as far as strace prints them.

/// Most visible bytes kept of a buffer that the kernel did not accept.
const KEPT_VISIBLE: usize = 16 << 10;

/// One buffer of a write: its length, and the beginning of it that strace printed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) length: u64,
    pub(crate) visible: Vec<u8>,
}

impl Piece {
    /// The visible bytes between two offsets.
    pub(super) fn part(&self, from: u64, to: u64) -> Part<'_> {
        let seen = self.visible.len();
        let clamp = |at: u64| usize::try_from(at).map_or(seen, |at| at.min(seen));
        Part { length: to - from, visible: &self.visible[clamp(from)..clamp(to)] }
    }
}

/// A borrowed part of a [`Piece`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Part<'a> {
    pub(super) length: u64,
    pub(super) visible: &'a [u8],
}

/// The part of a write between two offsets, with only as many visible bytes as a head needs.
pub(super) fn slice(pieces: &[Piece], from: u64, to: u64) -> Vec<Piece> {
    let mut parts = Vec::new();
    let mut start = 0;
    for piece in pieces {
        let end = start + piece.length;
        let (a, b) = (from.max(start), to.min(end));
        if a < b {
            let part = piece.part(a - start, b - start);
            let kept = part.visible.len().min(KEPT_VISIBLE);
            parts.push(Piece { length: part.length, visible: part.visible[..kept].to_vec() });
        }
        start = end;
    }
    parts
}
