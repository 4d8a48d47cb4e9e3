//! Growth: how many glyphs one glyph may become by repeated substitutions.

use work::Work;

use crate::{Error, limits::MAX_GROWTH};

/// After this many rounds, a chain of substitutions that still grows counts as endless. A chain that doubles
/// exceeds [`MAX_GROWTH`] earlier.
const ROUNDS: usize = 8;

/// The substitutions of a font, over all lookups.
#[derive(Debug, Default)]
pub(crate) struct Growth {
    /// From a glyph to `glyphs[start..end]`.
    edges: Vec<(u16, u32, u32)>,
    glyphs: Vec<u16>,
}

impl Growth {
    pub(crate) fn add(&mut self, glyph: u16, becomes: impl Iterator<Item = u16>) {
        let start = self.glyphs.len();
        self.glyphs.extend(becomes);
        let index = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        self.edges.push((glyph, index(start), index(self.glyphs.len())));
    }

    /// The largest number of glyphs that a glyph becomes; more than [`MAX_GROWTH`] if it is endless.
    pub(crate) fn most(&self, work: &Work) -> Result<u64, Error> {
        let mut sizes = vec![1_u64; usize::from(u16::MAX) + 1];
        let longest = self.edges.iter().map(|(_, start, end)| end - start).max().unwrap_or(1);
        if longest <= 1 {
            return Ok(1);
        }
        for _ in 0..ROUNDS {
            work.check()?;
            let mut next = sizes.clone();
            for (glyph, start, end) in &self.edges {
                let becomes = self.glyphs.get(*start as usize..*end as usize).unwrap_or_default();
                let size =
                    becomes.iter().fold(0_u64, |sum, glyph| sum.saturating_add(sizes[usize::from(*glyph)]));
                let known = &mut next[usize::from(*glyph)];
                *known = (*known).max(size.min(MAX_GROWTH + 1));
            }
            if next == sizes {
                break;
            }
            sizes = next;
        }
        Ok(sizes.into_iter().max().unwrap_or(1))
    }
}
