//! Limits of fonts. Each bounds work or memory that the font libraries do not bound themselves. All are above the figures
//! of common fonts; the tests contain the largest measured ones.

/// Tables of a font.
pub(crate) const MAX_TABLES: usize = 128;
/// Faces of a collection.
pub(crate) const MAX_FACES: u32 = 256;
/// Encoding records of a `cmap`.
pub(crate) const MAX_ENCODINGS: usize = 256;
/// Subtables of `kern` and `kerx`, and of all chains of `morx` together.
pub(crate) const MAX_STATE_SUBTABLES: usize = 256;
/// Steps of reading `GSUB` and `GPOS` once, after expansion: shared rules, records and coverage tables count
/// each time.
pub(crate) const MAX_RULE_STEPS: u64 = 4_000_000;
/// Glyphs that one glyph may become by substitutions.
pub(crate) const MAX_GROWTH: u64 = 64;
/// Most rules tried for all glyphs of a text.
pub(crate) const MAX_SHAPING_STEPS: u64 = 200_000_000;
/// Parts of a composite glyph, after expansion.
pub(crate) const MAX_GLYPH_PARTS: u32 = 4096;
/// Depth of composite glyphs.
pub(crate) const MAX_GLYPH_DEPTH: u32 = 16;
/// Points of a glyph, after expansion.
pub(crate) const MAX_GLYPH_POINTS: u32 = 20_000;
/// Bytes of charstrings that one glyph evaluates, after expansion of its subroutine calls.
pub(crate) const MAX_CHARSTRING_BYTES: usize = 256 * 1024;
/// Regions of CFF2 variation data: an operator has at most 513 operands.
pub(crate) const MAX_REGIONS: u16 = 512;
/// Layers of a colour glyph.
pub(crate) const MAX_LAYERS: usize = 256;
/// Bitmap strikes.
pub(crate) const MAX_STRIKES: u32 = 64;
/// Longest side of a glyph's embedded bitmap in pixels.
pub(crate) const MAX_BITMAP_SIDE: u32 = 2048;
/// Pairs of points within a glyph, summed over the distinct glyphs of a text: the automatic hinter compares pairs.
pub(crate) const MAX_POINT_PAIRS: u64 = 1_000_000_000;
/// Pixels painted for one text: glyphs that overlap count each time.
pub(crate) const MAX_PAINTED_PIXELS: u64 = 1_000_000_000;
