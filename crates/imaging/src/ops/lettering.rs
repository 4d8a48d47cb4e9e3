//! Text inputs become pictures.

use codecs::{Raster, Work};
use recipe::TextSource;

use crate::Error;

/// Renders a text with the font file `font` on a transparent background.
///
/// # Errors
/// [`Error::Font`], budget.
pub fn render(_source: &TextSource, _font: &[u8], _work: &Work) -> Result<Raster, Error> {
    Err(Error::Font("text is not supported by this build".to_owned()))
}
