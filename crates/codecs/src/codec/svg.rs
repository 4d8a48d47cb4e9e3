//! SVG: recognised, measured and made harmless, never drawn.
//!
//! [`sanitise`] is what a server sends instead of the file: scripts, event handlers, links to other documents and
//! references to other origins are gone. `svg-hush` lets through what it knows; before it sees the text, that has
//! been decoded, its entities settled, and its style sheets written anew.

use std::borrow::Cow;

use crate::{Codec, DecodeSpec, Error, Format, Layout, Probe, RowSource};
use work::Work;

mod css;
mod decode;
mod detect;
mod entities;
mod size;
mod tidy;

pub(crate) use detect::is_svg;

/// The SVG "codec": it can only probe.
#[derive(Debug)]
pub(crate) struct Svg;

/// The largest file that is looked into. A drawing beyond this is a bitmap in disguise.
pub const MAX_BYTES: usize = 16 << 20;

fn damaged(reason: impl Into<String>) -> Error {
    Error::Malformed { format: Format::Svg, reason: reason.into() }
}

impl Codec for Svg {
    fn format(&self) -> Format {
        Format::Svg
    }

    /// Width and height in CSS pixels from the root element: its `width` and `height`, else those of
    /// its `viewBox`; a size that the file does not say is 0. The whole file is read: what cannot be sanitised cannot
    /// be described either.
    fn probe(&self, bytes: &[u8], _work: &Work) -> Result<Probe, Error> {
        let text = document(bytes)?;
        let (width, height) = tidy::read(&text, None)?;
        // Of the text, which is what the work is about: a compressed file says little of it.
        let mut probe = Probe::new(Format::Svg, width, height, text.len());
        probe.alpha = true;
        Ok(probe)
    }

    fn decoded_layout(&self, _probe: &Probe, _spec: DecodeSpec) -> Layout {
        Layout::Rgba
    }

    fn decode_bytes(&self, _probe: &Probe, _spec: DecodeSpec) -> u64 {
        0
    }

    fn decode<'a>(
        &self,
        _bytes: &'a [u8],
        _probe: &Probe,
        _spec: DecodeSpec,
        _work: &'a Work,
    ) -> Result<Box<dyn RowSource + 'a>, Error> {
        Err(Error::Unsupported("SVG is passed through, not drawn".to_owned()))
    }
}

/// Gives the file without what can act or call home, as plain UTF-8.
///
/// # Errors
/// [`Error::TooLarge`] beyond [`MAX_BYTES`]; [`Error::Malformed`] when it is no well-formed SVG, its entities grow
/// beyond bounds, or it nests too deep; budget, deadline.
pub fn sanitise(bytes: &[u8], work: &Work) -> Result<Vec<u8>, Error> {
    let text = document(bytes)?;
    work.check()?;
    // The text where it was decoded, a style sheet, and the same sheet cleaned.
    let _held = work.take(2 * text.len())?;
    let mut tidied = Bounded::new(text.len(), work)?;
    tidy::read(&text, Some(&mut tidied))?;
    drop(text);
    let mut out = Bounded::new(tidied.bytes.len(), work)?;
    let mut filter = svg_hush::Filter::new();
    filter.set_data_url_filter(svg_hush::data_url_filter::allow_standard_images);
    let result = filter.filter(tidied.bytes.as_slice(), &mut out);
    if let Some(error) = out.failure {
        return Err(error);
    }
    result.map_err(|e| damaged(e.to_string()))?;
    if out.bytes.is_empty() {
        return Err(damaged("nothing is left"));
    }
    Ok(out.bytes)
}

/// The most that [`sanitise`] takes, for a file whose text is as long as a probe says: the text, its style sheets
/// twice, and what is written in two steps, whose buffers double.
#[must_use]
pub fn peak_bytes(probe: &Probe) -> u64 {
    7 * probe.file_size
}

/// The text of a file, bounded, and without anything that an XML parser would expand or fetch.
fn document(bytes: &[u8]) -> Result<Cow<'_, str>, Error> {
    if bytes.len() > MAX_BYTES {
        return Err(Error::TooLarge(format!(
            "the SVG file has {} bytes, more than {MAX_BYTES}",
            bytes.len()
        )));
    }
    if !is_svg(bytes) {
        return Err(Error::NotAnImage);
    }
    entities::settle(decode::text(bytes)?)
}

/// Takes what is written, within the budget.
struct Bounded<'a> {
    bytes: Vec<u8>,
    held: work::Reservation,
    limit: usize,
    failure: Option<Error>,
    work: &'a Work,
}

impl<'a> Bounded<'a> {
    /// For what is written of a text of `length` bytes, and is about as large.
    fn new(length: usize, work: &'a Work) -> Result<Self, Error> {
        let limit = length * 2 + 4096;
        Ok(Self { bytes: Vec::new(), held: work.take(0)?, limit, failure: None, work })
    }

    fn failure(&mut self) -> Error {
        self.failure.take().unwrap_or_else(|| damaged("it cannot be written"))
    }
}

impl std::io::Write for Bounded<'_> {
    fn write(&mut self, part: &[u8]) -> std::io::Result<usize> {
        let needed = self.bytes.len() + part.len();
        let mut allowed = self.work.check().map_err(Error::from);
        if needed > self.limit {
            allowed = Err(damaged("the file grows beyond twice its size"));
        }
        if allowed.is_ok() && needed > self.bytes.capacity() {
            let capacity = needed.max(self.bytes.capacity() * 2).max(4096).min(self.limit);
            allowed = self.held.grow_to(capacity).map_err(Error::from);
            if allowed.is_ok() {
                self.bytes.reserve_exact(capacity - self.bytes.len());
            }
        }
        if let Err(error) = allowed {
            self.failure = Some(error);
            return Err(std::io::ErrorKind::Other.into());
        }
        self.bytes.extend_from_slice(part);
        Ok(part.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
