//! SVG: detected, measured and sanitised, never rasterised.
//!
//! A server sends the output of [`sanitise`] instead of the file: scripts, event handlers, links to other documents and
//! references to other origins are removed. `svg-hush` keeps only elements and attributes that it knows. Before it
//! runs, the text is decoded to UTF-8 (`decode`), its entities are expanded (`entities`), and its elements and style
//! sheets are rewritten (`rewrite`, `css`).
//!
//! Every stage has limits: bytes ([`MAX_BYTES`]), ratio of compression, entities, depth, and the work of the XML
//! parser (`rewrite`). Deadline and cancellation are checked while bytes are inflated, decoded and
//! parsed.

use std::borrow::Cow;

use crate::{Codec, DecodeSpec, Error, Format, Layout, Probe, RowSource};
use work::{Reservation, Work};

mod buffer;
mod css;
mod decode;
mod detect;
mod entities;
mod rewrite;
mod size;

use buffer::{Buffer, CheckedReader};
pub(crate) use detect::is_svg;

/// The SVG codec, which can only probe.
#[derive(Debug)]
pub(crate) struct Svg;

/// Upper limit for the text of a file, compressed or not.
pub const MAX_BYTES: usize = 16 << 20;

fn damaged(reason: impl Into<String>) -> Error {
    Error::Malformed { format: Format::Svg, reason: reason.into() }
}

impl Codec for Svg {
    fn format(&self) -> Format {
        Format::Svg
    }

    /// Width and height in CSS pixels from the root element: its `width` and `height`, else those of its `viewBox`; 0
    /// if neither is given. The encoding is checked to the end of the file, the XML only up to the end of the root
    /// element's start tag: [`sanitise`] parses the rest.
    fn probe(&self, bytes: &[u8], work: &Work) -> Result<Probe, Error> {
        check_kind(bytes)?;
        let head = decode::measured_head(bytes, work)?;
        let root = entities::expanded_root(&head)?;
        let (width, height) = rewrite::root_size(&root, work)?;
        // The text determines the cost of the work, not the compressed bytes.
        let mut probe = Probe::new(Format::Svg, width, height, head.text_bytes);
        probe.alpha = true;
        Ok(probe)
    }

    fn decoded_layout(&self, _probe: &Probe, _spec: DecodeSpec) -> Layout {
        Layout::Rgba
    }

    fn decode_bytes(&self, _probe: &Probe, _spec: DecodeSpec) -> u64 {
        0
    }

    fn decode_pixel_ns(&self, _spec: DecodeSpec) -> u64 {
        // It is sanitised, never decoded.
        0
    }

    fn decode<'a>(
        &self,
        _bytes: &'a [u8],
        _probe: &Probe,
        _spec: DecodeSpec,
        _work: &'a Work,
    ) -> Result<Box<dyn RowSource + 'a>, Error> {
        Err(Error::Unsupported("SVG is passed through, not rasterised".to_owned()))
    }
}

/// The file as UTF-8 without anything that runs code or fetches.
///
/// # Errors
/// [`Error::TooLarge`] beyond [`MAX_BYTES`] or the limits on elements, depth and compression; [`Error::Malformed`] when
/// it is not a well-formed SVG or its entities expand beyond the limit; budget, deadline, cancellation.
pub fn sanitise(bytes: &[u8], work: &Work) -> Result<Vec<u8>, Error> {
    check_kind(bytes)?;
    let document = Document::new(bytes, work)?;
    let text_bytes = document.text.len();
    // One style sheet, and its cleaned copy.
    let _sheets = work.take(2 * text_bytes)?;
    let grown = || damaged("the sanitised file is more than twice as large as the source");
    let mut rewritten = Buffer::new(text_bytes * 2 + 4096, grown, work)?;
    let complexity = rewrite::Complexity::for_file(bytes.len(), work);
    rewrite::rewrite(&document.text, complexity, &mut rewritten, work)?;
    drop(document);
    let rewritten = rewritten.into_inner();

    let mut out = Buffer::new(rewritten.bytes.len() * 2 + 4096, grown, work)?;
    let mut filter = svg_hush::Filter::new();
    filter.set_data_url_filter(svg_hush::data_url_filter::allow_standard_images);
    let mut reader = CheckedReader::new(&rewritten.bytes, work);
    let result = filter.filter(&mut reader, &mut out);
    if let Some(error) = reader.failure() {
        return Err(error);
    }
    let mut out = out.finish()?;
    out.bytes.retain(|&byte| byte != rewrite::MARK);
    result.map_err(|e| damaged(e.to_string()))?;
    if out.bytes.is_empty() {
        return Err(damaged("no element is left after sanitising"));
    }
    Ok(out.bytes)
}

/// The peak memory of [`sanitise`] for a file with the text length of the probe: the text, a style sheet
/// twice, and two output buffers that double as they grow.
#[must_use]
pub fn peak_bytes(probe: &Probe) -> u64 {
    // Expanded entities are part of the resulting text.
    let text = probe.file_size + entities::MAX_EXPANSION as u64;
    7 * text
}

fn check_kind(bytes: &[u8]) -> Result<(), Error> {
    if bytes.len() > MAX_BYTES {
        return Err(Error::TooLarge(format!(
            "the SVG file has {} bytes; the limit is {MAX_BYTES}",
            bytes.len()
        )));
    }
    if !is_svg(bytes) {
        return Err(Error::NotAnImage);
    }
    Ok(())
}

/// The decoded text of a file, without XML declaration and doctype, its entities expanded.
struct Document<'a> {
    text: Cow<'a, str>,
    _held: Reservation,
}

impl<'a> Document<'a> {
    fn new(bytes: &'a [u8], work: &Work) -> Result<Self, Error> {
        let decode::Text { text, held } = decode::text(bytes, work)?;
        match entities::expanded(&text, work)? {
            entities::Expanded::Slice(start) => {
                let text = match text {
                    Cow::Borrowed(text) => Cow::Borrowed(&text[start..]),
                    Cow::Owned(mut text) => {
                        text.drain(..start);
                        Cow::Owned(text)
                    }
                };
                Ok(Self { text, _held: held })
            }
            entities::Expanded::Text(text, held) => Ok(Self { text: text.into(), _held: held }),
        }
    }
}
