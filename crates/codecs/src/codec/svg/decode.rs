//! Decodes a file to UTF-8: inflates it, and decodes the declared encoding.

use std::borrow::Cow;
use std::io::{ErrorKind, Read};

use encoding_rs::{DecoderResult, Encoding, UTF_8, UTF_16BE, UTF_16LE};
use flate2::bufread::GzDecoder;

use super::buffer::{Buffer, Held};
use super::{MAX_BYTES, damaged};
use crate::{Error, Format};
use work::{Reservation, Work};

/// The root element has to begin within these bytes for a file to count as SVG.
const SNIFFED: usize = 16 << 10;
/// The root element's start tag has to end within these bytes of text.
pub(super) const HEAD: usize = 256 << 10;
/// Drawings are compressed to a tenth, rarely to a hundredth. A higher ratio is an attack.
const MAX_RATIO: usize = 256;
const CHUNK: usize = 64 << 10;

const GZIP: [u8; 2] = [0x1F, 0x8B];

/// The text of a file, and its reserved memory if it is a copy.
pub(super) struct Text<'a> {
    pub(super) text: Cow<'a, str>,
    pub(super) held: Reservation,
}

/// The beginning of a text.
pub(super) struct Head {
    pub(super) text: String,
    /// Whether more text follows.
    pub(super) cut: bool,
    /// Bytes of the whole text.
    pub(super) text_bytes: usize,
}

/// The beginning of a possible SVG as ASCII-compatible bytes, for detection by content.
pub(super) fn head(bytes: &[u8]) -> Cow<'_, [u8]> {
    let mut head = Cow::Borrowed(&bytes[..bytes.len().min(2 * SNIFFED)]);
    if bytes.starts_with(&GZIP) {
        let mut inflated = Vec::new();
        // Damage after the beginning is not relevant to detection.
        let _ = flate2::read::MultiGzDecoder::new(bytes).take(SNIFFED as u64).read_to_end(&mut inflated);
        head = inflated.into();
    }
    match utf16(&head) {
        Some((encoding, skip)) => {
            encoding.decode_without_bom_handling(&head[skip..]).0.into_owned().into_bytes().into()
        }
        None => head,
    }
}

/// The whole text, without byte order mark.
pub(super) fn text<'a>(bytes: &'a [u8], work: &Work) -> Result<Text<'a>, Error> {
    if !bytes.starts_with(&GZIP) {
        let (encoding, skip) = encoding_of(bytes)?;
        if encoding == UTF_8 {
            let text = std::str::from_utf8(&bytes[skip..]).map_err(|e| match e.error_len() {
                None => Error::Truncated(Format::Svg),
                Some(_) => undecodable(encoding),
            })?;
            return Ok(Text { text: Cow::Borrowed(text), held: work.take(0)? });
        }
    }
    let mut out = Buffer::new(MAX_BYTES, too_large, work)?;
    decode(bytes, work, &mut |part| out.push(part))?;
    let Held { bytes, held } = out.into_inner();
    let text = String::from_utf8(bytes).map_err(|_| undecodable(UTF_8))?;
    Ok(Text { text: Cow::Owned(text), held })
}

/// The first bytes of the text. The rest is decoded too, for its length and its errors, and dropped.
pub(super) fn measured_head(bytes: &[u8], work: &Work) -> Result<Head, Error> {
    let mut head = Vec::new();
    let mut text_bytes = 0;
    let _held = work.take(HEAD)?;
    decode(bytes, work, &mut |part| {
        let wanted = part.len().min(HEAD - head.len());
        head.extend_from_slice(&part[..wanted]);
        text_bytes += part.len();
        if text_bytes > MAX_BYTES {
            return Err(too_large());
        }
        Ok(())
    })?;
    let cut = text_bytes > head.len();
    let text = match String::from_utf8(head) {
        Ok(text) => text,
        // The limit may lie within a character.
        Err(error) => {
            let valid = error.utf8_error().valid_up_to();
            let mut bytes = error.into_bytes();
            bytes.truncate(valid);
            String::from_utf8(bytes).map_err(|_| undecodable(UTF_8))?
        }
    };
    Ok(Head { text, cut, text_bytes })
}

fn too_large() -> Error {
    Error::TooLarge(format!("the text of the SVG file is longer than {MAX_BYTES} bytes"))
}

fn undecodable(encoding: &'static Encoding) -> Error {
    damaged(format!("its bytes are not valid {}, and it declares no other encoding", encoding.name()))
}

/// Passes the text to `sink` in chunks of UTF-8, which may split a character.
fn decode(bytes: &[u8], work: &Work, sink: &mut dyn FnMut(&[u8]) -> Result<(), Error>) -> Result<(), Error> {
    let _held = work.take(2 * CHUNK)?;
    let mut decoder = None;
    let mut utf8 = vec![0; CHUNK];
    chunks(bytes, work, &mut |chunk, last| {
        let (mut rest, encoding, decoder) = match &mut decoder {
            Some((encoding, decoder)) => (chunk, *encoding, decoder),
            None => {
                let (encoding, skip) = encoding_of(chunk)?;
                let (_, new) = decoder.insert((encoding, encoding.new_decoder_without_bom_handling()));
                (&chunk[skip..], encoding, new)
            }
        };
        loop {
            let (result, read, written) = decoder.decode_to_utf8_without_replacement(rest, &mut utf8, last);
            rest = &rest[read..];
            sink(&utf8[..written])?;
            match result {
                DecoderResult::InputEmpty => return Ok(()),
                DecoderResult::OutputFull => {}
                DecoderResult::Malformed(..) if last && rest.is_empty() => {
                    return Err(Error::Truncated(Format::Svg));
                }
                DecoderResult::Malformed(..) => return Err(undecodable(encoding)),
            }
        }
    })
}

/// Receives a chunk, and whether it is the last.
type ChunkSink<'a> = &'a mut dyn FnMut(&[u8], bool) -> Result<(), Error>;

/// The bytes of a file, inflated, in chunks; the last one may be empty.
fn chunks(bytes: &[u8], work: &Work, sink: ChunkSink<'_>) -> Result<(), Error> {
    if !bytes.starts_with(&GZIP) {
        let count = bytes.len().div_ceil(CHUNK);
        for (i, chunk) in bytes.chunks(CHUNK).enumerate() {
            work.check()?;
            sink(chunk, i + 1 == count)?;
        }
        return Ok(());
    }
    let limit = MAX_BYTES.min(bytes.len().saturating_mul(MAX_RATIO));
    let mut reader = GzDecoder::new(bytes);
    let mut chunk = vec![0; CHUNK];
    let mut total = 0;
    loop {
        work.check()?;
        let mut filled = 0;
        while filled < CHUNK {
            match reader.read(&mut chunk[filled..]) {
                Ok(0) => {
                    let rest = reader.into_inner();
                    reader = GzDecoder::new(rest);
                    // Another member may follow, or padding, which gzip and browsers ignore.
                    if rest.iter().all(|&b| b == 0) {
                        break;
                    }
                }
                Ok(n) => filled += n,
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) if e.kind() == ErrorKind::UnexpectedEof => {
                    return Err(Error::Truncated(Format::Svg));
                }
                Err(e) => return Err(damaged(format!("its gzip data are damaged: {e}"))),
            }
        }
        total += filled;
        if total > limit {
            return Err(Error::TooLarge(format!(
                "the compressed SVG file expands to more than {limit} bytes"
            )));
        }
        let last = filled < CHUNK;
        sink(&chunk[..filled], last)?;
        if last {
            return Ok(());
        }
    }
}

/// The encoding of a text, and the length of its byte order mark.
fn encoding_of(bytes: &[u8]) -> Result<(&'static Encoding, usize), Error> {
    if let Some(found) = Encoding::for_bom(bytes).or_else(|| utf16(bytes)) {
        return Ok(found);
    }
    let Some(label) = declared(bytes) else { return Ok((UTF_8, 0)) };
    match Encoding::for_label_no_replacement(label.as_bytes()) {
        // The declaration itself was read as single bytes, so that it cannot be UTF-16: browsers use UTF-8.
        Some(encoding) if encoding == UTF_16LE || encoding == UTF_16BE => Ok((UTF_8, 0)),
        Some(encoding) => Ok((encoding, 0)),
        None => Err(damaged(format!(
            "its encoding '{}' is not supported (expected a label of the WHATWG Encoding Standard)",
            label.escape_default()
        ))),
    }
}

/// UTF-16, by its byte order mark or by a `<` in two bytes.
fn utf16(bytes: &[u8]) -> Option<(&'static Encoding, usize)> {
    match bytes {
        [0xFF, 0xFE, ..] => Some((UTF_16LE, 2)),
        [0xFE, 0xFF, ..] => Some((UTF_16BE, 2)),
        [b'<', 0, ..] => Some((UTF_16LE, 0)),
        [0, b'<', ..] => Some((UTF_16BE, 0)),
        _ => None,
    }
}

/// The encoding label of an XML declaration.
fn declared(bytes: &[u8]) -> Option<String> {
    let declaration = bytes.strip_prefix(b"<?xml")?;
    let end = declaration.windows(2).take(1024).position(|w| w == b"?>")?;
    let declaration = std::str::from_utf8(&declaration[..end]).ok()?;
    let (_, after) = declaration.split_once("encoding")?;
    let value = after.trim_start().strip_prefix('=')?.trim_start();
    let quote = value.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    Some(value[1..].split_once(quote)?.0.to_owned())
}
