//! Text to pixels, with the given fonts and no others: shaping (ligatures, marks, right-to-left), colour glyphs.
//!
//! [`render`] takes a string and gives a picture just as large as it needs: as wide as the longest line's advance,
//! as high as its lines, and larger where ink reaches beyond that (swashes, stacked marks).

#![forbid(unsafe_code)]

mod font;
mod raster;
mod sfnt;

use cosmic_text::fontdb::{Database, Source};
use cosmic_text::{Attrs, Buffer, Family, FontSystem, Metrics, Shaping, SwashCache, Wrap};
use thiserror::Error;

pub use raster::Raster;

/// What is to be rendered.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// Font files (TTF, OTF, WOFF, WOFF2, TTC); a character that the first lacks is taken from the next.
    pub fonts: &'a [&'a [u8]],
    /// Lines are separated by `\n`; nothing is wrapped.
    pub text: &'a str,
    /// Size of the em square in pixels, above 0.
    pub size: f32,
    /// Straight RGBA. Colour glyphs keep their own colours, and take its alpha.
    pub colour: [u8; 4],
}

/// What one text may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    pub max_chars: usize,
    /// Largest width and height of the picture in pixels.
    pub max_side: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_chars: 1000, max_side: 4096 }
    }
}

/// Why a text cannot be rendered.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Error {
    #[error("the font cannot be read: {0}")]
    Font(String),
    #[error("the text has {given} characters; {limit} are possible")]
    TooLong { given: usize, limit: usize },
    #[error("the text is {width}×{height} pixels large; {limit}×{limit} are possible")]
    TooLarge { width: u32, height: u32, limit: u32 },
    #[error("the text is empty, or the font has nothing to show for it")]
    Empty,
}

/// Whether a file can be used as a font.
///
/// # Errors
/// [`Error::Font`] says what is wrong with it.
pub fn check(font: &[u8]) -> Result<(), Error> {
    font::unpack(font).map(drop)
}

/// Renders a text on a transparent ground.
///
/// # Errors
/// No usable font, limits, nothing to be seen.
pub fn render(request: &Request<'_>, limits: &Limits) -> Result<Raster, Error> {
    let chars = request.text.chars().count();
    if chars > limits.max_chars {
        return Err(Error::TooLong { given: chars, limit: limits.max_chars });
    }
    let side = limits.max_side as f32;
    if !(request.size > 0.0 && request.size <= side) {
        let size = request.size.clamp(0.0, 1e9) as u32;
        return Err(Error::TooLarge { width: size, height: size, limit: limits.max_side });
    }
    let mut database = Database::new();
    for (number, font) in request.fonts.iter().enumerate() {
        let source = Source::Binary(std::sync::Arc::new(font::unpack(font)?));
        if database.load_font_source(source.clone()).is_empty() {
            // Fonts for the web often come without the names that a catalogue of fonts wants.
            database.push_face_info(font::nameless(source, number));
        }
    }
    let face = database.faces().next().ok_or_else(|| Error::Font("no face in it".to_owned()))?.clone();
    let family = face.families.first().map(|(name, _)| name.clone()).unwrap_or_default();
    let mut system = FontSystem::new_with_locale_and_db("en-US".to_owned(), database);
    let loaded =
        system.get_font(face.id, face.weight).ok_or_else(|| Error::Font("a damaged face".to_owned()))?;
    let metrics = loaded.as_swash().metrics(&[]);
    let em = f32::from(metrics.units_per_em.max(1));
    let line_height =
        ((metrics.ascent + metrics.descent.abs() + metrics.leading) / em * request.size).max(1.0);

    let attrs = Attrs::new()
        .family(Family::Name(&family))
        .weight(face.weight)
        .style(face.style)
        .stretch(face.stretch);
    let mut buffer = Buffer::new(&mut system, Metrics::new(request.size, line_height));
    buffer.set_wrap(Wrap::None);
    buffer.set_size(None, None);
    buffer.set_text(request.text, &attrs, Shaping::Advanced, None);
    buffer.shape_until_scroll(&mut system, false);
    let width = buffer.layout_runs().map(|run| run.line_w).fold(0.0, f32::max);
    let height = buffer.layout_runs().map(|run| run.line_top + run.line_height).fold(0.0, f32::max);
    let too_large = |w: f32, h: f32| Error::TooLarge {
        width: w.clamp(0.0, 1e9) as u32,
        height: h.clamp(0.0, 1e9) as u32,
        limit: limits.max_side,
    };
    if width.ceil() > side || height.ceil() > side {
        return Err(too_large(width.ceil(), height.ceil()));
    }
    if width <= 0.0 || height <= 0.0 {
        return Err(Error::Empty);
    }
    // Right-to-left lines end at the right edge of the longest.
    buffer.set_size(Some(width.ceil()), None);
    buffer.shape_until_scroll(&mut system, false);
    let mut cache = SwashCache::new();
    let glyphs = raster::place(&buffer, &mut system, &mut cache);
    let bounds = raster::bounds(&glyphs, width.ceil() as i32, height.ceil() as i32);
    if bounds.width() > limits.max_side || bounds.height() > limits.max_side {
        return Err(too_large(bounds.width() as f32, bounds.height() as f32));
    }
    Ok(raster::paint(&glyphs, bounds, request.colour))
}
