//! From the bytes of a file to its text: inflated, and in UTF-8, whatever it was written in.

use std::borrow::Cow;
use std::io::Read;

use super::{MAX_BYTES, damaged};
use crate::{Error, Format};

/// Enough of a file to find its root element in.
const HEAD: usize = 16 << 10;
/// A drawing deflates to a tenth, seldom to a hundredth: what unpacks to more of its size was made to.
const MAX_RATIO: usize = 256;

const GZIP: [u8; 2] = [0x1F, 0x8B];
const UTF16_LE: [u8; 2] = [0xFF, 0xFE];
const UTF16_BE: [u8; 2] = [0xFE, 0xFF];
const UTF8: [u8; 3] = [0xEF, 0xBB, 0xBF];

/// The beginning of what may be a drawing, in an encoding that holds ASCII.
pub(super) fn head(bytes: &[u8]) -> Cow<'_, [u8]> {
    let mut head = Cow::Borrowed(bytes);
    if bytes.starts_with(&GZIP) {
        let mut inflated = Vec::new();
        // As far as it goes: this is about what it might be, not whether it is whole.
        let _ = flate2::read::MultiGzDecoder::new(bytes).take(HEAD as u64).read_to_end(&mut inflated);
        head = inflated.into();
    }
    match utf16_units(&head[..head.len().min(2 * HEAD)]) {
        Some(units) => String::from_utf16_lossy(&units).into_bytes().into(),
        None => head,
    }
}

/// The text of a file, without byte order mark. What its XML declaration says of the encoding is no longer so.
pub(super) fn text(bytes: &[u8]) -> Result<Cow<'_, str>, Error> {
    let bytes = if bytes.starts_with(&GZIP) { inflate(bytes)?.into() } else { Cow::Borrowed(bytes) };
    if let Some(units) = utf16_units(&bytes) {
        if bytes.len() % 2 != 0 {
            return Err(Error::Truncated(Format::Svg));
        }
        let text = String::from_utf16(&units).map_err(|_| damaged("it is no UTF-16"))?;
        return Ok(text.into());
    }
    let marked = bytes.starts_with(&UTF8);
    match declared(&bytes).filter(|_| !marked).as_deref() {
        None | Some("utf-8" | "utf8" | "us-ascii" | "ascii") => {}
        Some("iso-8859-1" | "latin1") => return Ok(bytes.iter().map(|&b| char::from(b)).collect()),
        Some(other) => return Err(damaged(format!("the encoding {other} is not read"))),
    }
    let skipped = if marked { UTF8.len() } else { 0 };
    match bytes {
        Cow::Borrowed(bytes) => std::str::from_utf8(&bytes[skipped..]).map(Cow::Borrowed).map_err(|_| ()),
        Cow::Owned(bytes) => String::from_utf8(bytes)
            .map(|mut text| {
                text.drain(..skipped);
                text.into()
            })
            .map_err(|_| ()),
    }
    .map_err(|()| damaged("it is no UTF-8, and does not declare what it is"))
}

fn inflate(bytes: &[u8]) -> Result<Vec<u8>, Error> {
    let limit = MAX_BYTES.min(bytes.len().saturating_mul(MAX_RATIO));
    let mut inflated = Vec::new();
    flate2::read::MultiGzDecoder::new(bytes).take(limit as u64 + 1).read_to_end(&mut inflated).map_err(
        |e| match e.kind() {
            std::io::ErrorKind::UnexpectedEof => Error::Truncated(Format::Svg),
            _ => damaged(format!("it cannot be inflated: {e}")),
        },
    )?;
    if inflated.len() > limit {
        return Err(Error::TooLarge(format!("the compressed SVG file unpacks to more than {limit} bytes")));
    }
    Ok(inflated)
}

fn utf16_units(bytes: &[u8]) -> Option<Vec<u16>> {
    let unit: fn([u8; 2]) -> u16 = match *bytes.first_chunk()? {
        UTF16_LE => u16::from_le_bytes,
        UTF16_BE => u16::from_be_bytes,
        _ => return None,
    };
    Some(bytes[2..].chunks_exact(2).map(|pair| unit([pair[0], pair[1]])).collect())
}

/// The encoding of an XML declaration, in lower case.
fn declared(bytes: &[u8]) -> Option<String> {
    let declaration = bytes.strip_prefix(b"<?xml")?;
    let end = declaration.windows(2).take(1024).position(|w| w == b"?>")?;
    let declaration = std::str::from_utf8(&declaration[..end]).ok()?;
    let (_, after) = declaration.split_once("encoding")?;
    let value = after.trim_start().strip_prefix('=')?.trim_start();
    let quote = value.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    Some(value[1..].split_once(quote)?.0.to_ascii_lowercase())
}
