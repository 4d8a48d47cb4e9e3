//! The weights, in the order in which the network reads them.

/// Little-endian f32, written by `data/extract.py`.
static DATA: &[u8] = include_bytes!("../data/yunet.f32");

/// Bytes of all weights.
pub(crate) const BYTES: usize = 203_416;
const _: () = assert!(DATA.len() == BYTES);

/// The weights that have not been read yet.
pub(crate) struct Weights(&'static [u8]);

impl Weights {
    pub(crate) fn new() -> Self {
        Self(DATA)
    }

    /// The next `count` weights (fewer at the end).
    pub(crate) fn next(&mut self, count: usize) -> Vec<f32> {
        let (these, rest) = self.0.split_at(self.0.len().min(count * 4));
        self.0 = rest;
        these.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
    }

    pub(crate) fn is_used_up(&self) -> bool {
        self.0.is_empty()
    }
}
