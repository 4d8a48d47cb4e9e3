//! Embedded bitmaps: the announced sizes of a glyph's bitmaps.

use read_fonts::{FontRef, TableProvider, tables::bitmap::BitmapContent, types::GlyphId};

use crate::{
    Error,
    error::font,
    limits::{MAX_BITMAP_SIDE, MAX_STRIKES},
};

/// Whether a font has embedded bitmaps at all.
pub(crate) fn has_any(face: &FontRef<'_>) -> bool {
    face.sbix().is_ok() || face.cblc().is_ok()
}

/// Refuses a glyph with a bitmap that is too large in any strike, itself or scaled to `size`: the library
/// chooses the strike.
pub(crate) fn check(face: &FontRef<'_>, glyph: u16, size: f32, max_side: u32) -> Result<(), Error> {
    let id = GlyphId::new(u32::from(glyph));
    let mut pictures: Vec<(f32, u32, u32)> = vec![];
    if let Ok(sbix) = face.sbix() {
        let strikes = sbix.strikes();
        limit_strikes(strikes.len())?;
        for strike in strikes.iter().filter_map(Result::ok) {
            let Ok(Some(data)) = strike.glyph_data(id) else { continue };
            if data.graphic_type() == read_fonts::types::Tag::new(b"dupe") {
                return Err(font("a bitmap refers to the bitmap of another glyph"));
            }
            let (width, height) = png_size(data.data());
            pictures.push((f32::from(strike.ppem()), width, height));
        }
    }
    if let (Ok(cblc), Ok(cbdt)) = (face.cblc(), face.cbdt()) {
        let sizes = cblc.bitmap_sizes();
        limit_strikes(sizes.len())?;
        for strike in sizes {
            let Ok(location) = strike.location(cblc.offset_data(), id) else { continue };
            let Ok(data) = cbdt.data(&location) else { continue };
            let (width, height) = match data.content {
                BitmapContent::Data(_, bytes) => png_size(bytes),
                BitmapContent::Composite(_) => return Err(font("a bitmap is composed of other bitmaps")),
            };
            // Other forms have at most 255 pixels a side.
            let (width, height) = if width == 0 { (255, 255) } else { (width, height) };
            pictures.push((f32::from(strike.ppem_y()), width, height));
        }
    }
    for (ppem, width, height) in pictures {
        let side = width.max(height);
        if side > MAX_BITMAP_SIDE {
            return Err(font(format!(
                "a bitmap is {width}×{height} pixels large (at most {MAX_BITMAP_SIDE} on a side)"
            )));
        }
        let scaled = side as f32 * size / ppem.max(1.0);
        if scaled > max_side as f32 {
            let scaled = scaled.min(1e9) as u32;
            return Err(Error::TooLarge { width: scaled, height: scaled, limit: max_side });
        }
    }
    Ok(())
}

fn limit_strikes(count: usize) -> Result<(), Error> {
    if count > MAX_STRIKES as usize {
        return Err(font(format!("it has {count} sizes of bitmaps (at most {MAX_STRIKES})")));
    }
    Ok(())
}

/// The size in a PNG's first chunk; nothing for other data, which has at most 255 pixels a side or is not drawn.
fn png_size(data: &[u8]) -> (u32, u32) {
    let number = |at: usize| data.get(at..)?.first_chunk().map(|b| u32::from_be_bytes(*b));
    match (data.starts_with(b"\x89PNG"), number(16), number(20)) {
        (true, Some(width), Some(height)) => (width, height),
        _ => (0, 0),
    }
}
