//! Text inputs become pictures.

use codecs::{Format, Layout, Probe, Raster};
use recipe::{TextSource, choices};
use work::Work;

use crate::Error;

fn rendered(source: &TextSource, font: &[u8]) -> Result<text::Raster, Error> {
    let c = source.color;
    let request = text::Request {
        fonts: &[font],
        text: &source.content,
        size: source.size * choices::TEXT_PIXELS_PER_UNIT,
        colour: [c.r, c.g, c.b, c.a],
    };
    let limits = text::Limits { max_chars: choices::TEXT_MAX_CHARS, ..text::Limits::default() };
    text::render(&request, &limits).map_err(|e| match e {
        text::Error::Font(why) => Error::Font(format!("the font cannot be used: {why}")),
        text::Error::TooLarge { .. } | text::Error::TooLong { .. } => Error::TooLarge(e.to_string()),
        other => Error::Option(format!("text: {other}")),
    })
}

/// Whether a file can be used as a font.
///
/// # Errors
/// [`Error::Font`].
pub fn check(font: &[u8]) -> Result<(), Error> {
    text::check(font).map_err(|e| Error::Font(e.to_string()))
}

/// What the header of a text would say if it were a file: a transparent image of the size that it takes with this
/// font.
///
/// # Errors
/// [`Error::Font`]; [`Error::TooLarge`] by the limits of texts.
pub fn probe(source: &TextSource, font: &[u8]) -> Result<Probe, Error> {
    let made = rendered(source, font)?;
    let mut probe = Probe::new(Format::Png, made.width, made.height, 0);
    probe.alpha = true;
    Ok(probe)
}

/// Renders a text with the font file `font` on a transparent ground.
///
/// # Errors
/// As [`probe`]; budget.
pub fn render(source: &TextSource, font: &[u8], work: &Work) -> Result<Raster, Error> {
    let made = rendered(source, font)?;
    let mut image = Raster::new(Layout::Rgba, made.width, made.height, work)?;
    image.data_mut().copy_from_slice(&made.rgba);
    Ok(image)
}
