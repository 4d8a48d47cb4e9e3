//! Text inputs: measured when the request is planned, painted when it is rendered.

use codecs::{Format, Layout, Probe, Raster};
use recipe::TextSource;
use recipe::choices::{TEXT_MAX_CHARS, TEXT_PIXELS_PER_UNIT};
use work::{Budget, Work};

use crate::Error;

/// Memory for a font and for painting with it, without the picture. The plan does not know the unpacked size of the font.
const TEXT_MEMORY: usize = 160 << 20;

/// The time of the request, and [`TEXT_MEMORY`].
fn text_work(work: &Work) -> Work {
    Work { budget: Budget::new(TEXT_MEMORY), ..work.clone() }
}

/// Whether a file can be used as a font.
///
/// # Errors
/// [`Error::Font`]; limits of the request.
pub fn check(font: &[u8], work: &Work) -> Result<(), Error> {
    text::Font::load(font, &text_work(work)).map(drop).map_err(from_text)
}

/// The header of a text as an image: transparent, with the text's size in this font. Nothing is painted.
///
/// # Errors
/// [`Error::Font`]; [`Error::TooLarge`] by the limits of texts; limits of the request.
pub fn probe(source: &TextSource, font: &[u8], work: &Work) -> Result<Probe, Error> {
    let layout = layout(source, font, &text_work(work))?;
    let mut probe = Probe::new(Format::Png, layout.width(), layout.height(), 0);
    probe.alpha = true;
    Ok(probe)
}

/// Paints a text with the font file `font` on a transparent background.
///
/// # Errors
/// As [`probe`].
pub fn render(source: &TextSource, font: &[u8], work: &Work) -> Result<Raster, Error> {
    let text_work = text_work(work);
    let layout = layout(source, font, &text_work)?;
    let mut image = Raster::new(Layout::Rgba, layout.width(), layout.height(), work)?;
    layout.paint_into(image.data_mut(), &text_work).map_err(from_text)?;
    Ok(image)
}

fn layout(source: &TextSource, font: &[u8], work: &Work) -> Result<text::Layout, Error> {
    let c = source.color;
    let fonts = [text::Font::load(font, work).map_err(from_text)?];
    let request = text::Request {
        fonts: &fonts,
        text: &source.content,
        size: source.size * TEXT_PIXELS_PER_UNIT,
        colour: [c.r, c.g, c.b, c.a],
    };
    let limits = text::Limits { max_chars: TEXT_MAX_CHARS, ..text::Limits::default() };
    text::Layout::new(&request, &limits, work).map_err(from_text)
}

fn from_text(error: text::Error) -> Error {
    match error {
        text::Error::Font(problem) => Error::Font(format!("the font cannot be used: {problem}")),
        text::Error::TooLarge { .. } | text::Error::TooLong { .. } => Error::TooLarge(error.to_string()),
        text::Error::Work(error) => Error::Work(error),
        other => Error::Option(format!("text: {other}")),
    }
}
