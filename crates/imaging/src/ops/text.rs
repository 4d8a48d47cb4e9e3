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

/// The font of the last text: texts with the same file share it. `F` keeps the file's bytes.
#[derive(Debug)]
pub struct LastFont<F>(Option<LoadedFont<F>>);

#[derive(Debug)]
struct LoadedFont<F> {
    file: F,
    font: text::Font,
    /// Holds the font's memory, and has the rest of [`TEXT_MEMORY`].
    budget: Budget,
}

impl<F> Default for LastFont<F> {
    fn default() -> Self {
        Self(None)
    }
}

impl<F: AsRef<[u8]>> LastFont<F> {
    fn load(&mut self, file: F, work: &Work) -> Result<(text::Font, Work), Error> {
        // The bytes of the last file are still there: another one has another address.
        if !self.0.as_ref().is_some_and(|last| std::ptr::eq(last.file.as_ref(), file.as_ref())) {
            self.0 = None;
            let work = text_work(work);
            let font = text::Font::load(file.as_ref(), &work).map_err(from_text)?;
            self.0 = Some(LoadedFont { file, font, budget: work.budget });
        }
        let last = self.0.as_ref().ok_or_else(|| Error::Internal("a font was not kept".to_owned()))?;
        Ok((last.font.clone(), Work { budget: last.budget.clone(), ..work.clone() }))
    }
}

/// The header of a text as an image: transparent, with the text's size in this font. Nothing is painted.
///
/// # Errors
/// [`Error::Font`]; [`Error::TooLarge`] by the limits of texts; limits of the request.
pub fn probe<F: AsRef<[u8]>>(
    source: &TextSource,
    font: F,
    last: &mut LastFont<F>,
    work: &Work,
) -> Result<Probe, Error> {
    let (font, text_work) = last.load(font, work)?;
    let layout = layout(source, font, &text_work)?;
    let mut probe = Probe::new(Format::Png, layout.width(), layout.height(), 0);
    probe.alpha = true;
    Ok(probe)
}

/// Paints a text with the font file `font` on a transparent background.
///
/// # Errors
/// As [`probe`].
pub(crate) fn render<F: AsRef<[u8]>>(
    source: &TextSource,
    font: F,
    last: &mut LastFont<F>,
    work: &Work,
) -> Result<Raster, Error> {
    let (font, text_work) = last.load(font, work)?;
    let layout = layout(source, font, &text_work)?;
    let mut image = Raster::new(Layout::Rgba, layout.width(), layout.height(), work)?;
    layout.paint_into(image.data_mut(), &text_work).map_err(from_text)?;
    Ok(image)
}

fn layout(source: &TextSource, font: text::Font, work: &Work) -> Result<text::Layout, Error> {
    let c = source.color;
    let request = text::Request {
        fonts: &[font],
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

#[cfg(test)]
mod tests {
    use work::Work;

    use super::LastFont;

    const FONT: &[u8] = include_bytes!("../../../text/tests/fonts/latin.ttf");

    #[test]
    fn texts_with_one_font_share_it() {
        let work = Work::unlimited();
        let (one, other) = (FONT.to_vec(), FONT.to_vec());
        let mut last = LastFont::default();
        let mut load = |file| last.load(file, &work).map(|(font, _)| font);
        let address = |font: &text::Font| font.as_ref().as_ptr();
        let first = load(&one[..]).unwrap();
        assert_eq!(address(&load(&one[..]).unwrap()), address(&first));
        assert_ne!(address(&load(&other[..]).unwrap()), address(&first));
        assert!(load(&b"no font"[..]).is_err());
        assert!(load(&one[..]).is_ok());
    }
}
