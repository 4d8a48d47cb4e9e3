//! Fonts: unpacked and checked once, before a font library reads them.

use std::fmt;
use std::sync::Arc;

use read_fonts::FontRef;
use work::{Reservation, Work};

use crate::{
    Error,
    check::{
        outlines,
        rules::{self, RuleCost},
        tables,
    },
    container,
    error::font,
};

/// A checked font. Clones share its bytes.
#[derive(Clone)]
pub struct Font(Arc<Loaded>);

struct Loaded {
    bytes: Vec<u8>,
    _memory: Reservation,
    cost: RuleCost,
    /// Points of TrueType glyphs.
    points: Vec<u32>,
}

impl fmt::Debug for Font {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Font")
            .field("bytes", &self.0.bytes.len())
            .field("cost", &self.0.cost)
            .finish_non_exhaustive()
    }
}

impl Font {
    /// Unpacks and checks a font file (TTF, OTF, WOFF, WOFF2, the first face of a TTC).
    ///
    /// # Errors
    /// [`Error::Font`] with the reason; [`Error::Work`].
    pub fn load(file: &[u8], work: &Work) -> Result<Self, Error> {
        let container::Sfnt { mut bytes, mut memory } = container::unpack(file, work)?;
        work.check()?;
        tables::reduce(&mut bytes)?;
        let face = FontRef::from_index(&bytes, 0).map_err(|_| font("its table directory is damaged"))?;
        tables::check(&face)?;
        let points = outlines::check_composites(&face, work)?;
        let cost = rules::cost(&face, work)?;
        memory.grow_to(bytes.capacity() + 4 * points.len())?;
        Ok(Self(Arc::new(Loaded { bytes, _memory: memory, cost, points })))
    }

    pub(crate) fn face(&self) -> Result<FontRef<'_>, Error> {
        FontRef::from_index(&self.0.bytes, 0).map_err(|_| font("its table directory is damaged"))
    }

    pub(crate) fn cost(&self) -> RuleCost {
        self.0.cost
    }

    pub(crate) fn points(&self) -> &[u32] {
        &self.0.points
    }
}

impl AsRef<[u8]> for Font {
    fn as_ref(&self) -> &[u8] {
        &self.0.bytes
    }
}
