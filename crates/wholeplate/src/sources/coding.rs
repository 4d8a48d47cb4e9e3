//! Content codings of sources, undone within the limit for sources (OPS-030).

use std::io::{self, Read};

use brotli_decompressor::Decompressor;
use bytes::Bytes;
use flate2::bufread::GzDecoder;
use flate2::{Decompress, FlushDecompress, Status};
use http::{HeaderMap, header};

use crate::admission::MemoryPool;
use crate::error::ApiError;
use crate::fields::joined;

/// The first bytes of a gzip member.
const GZIP: [u8; 2] = [0x1f, 0x8b];
/// Bytes that are decoded at a time.
const STEP: usize = 64 << 10;
/// What the Brotli decoder reads at a time.
const BROTLI_BUFFER: usize = 16 << 10;
/// More codings than this in a row are refused.
const MOST_CODINGS: usize = 4;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Coding {
    Gzip,
    /// Zlib, as the standard says, or raw deflate, as some servers send.
    Deflate,
    Brotli,
}

impl Coding {
    fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Deflate => "deflate",
            Self::Brotli => "br",
        }
    }
}

/// The codings of a response, in the order in which they were applied.
pub(super) fn codings(headers: &HeaderMap) -> Result<Vec<Coding>, ApiError> {
    let list = joined(headers, header::CONTENT_ENCODING);
    let mut found = Vec::new();
    for name in list.iter().flat_map(|list| list.split(',')).map(str::trim) {
        match name.to_ascii_lowercase().as_str() {
            "" | "identity" => {}
            "gzip" | "x-gzip" => found.push(Coding::Gzip),
            "deflate" => found.push(Coding::Deflate),
            "br" => found.push(Coding::Brotli),
            _ => {
                let visible: String = name.chars().filter(char::is_ascii_graphic).take(40).collect();
                return Err(ApiError::SourceCoding { coding: visible });
            }
        }
    }
    if found.len() > MOST_CODINGS {
        return Err(ApiError::SourceCoding { coding: "more than four in a row".to_owned() });
    }
    Ok(found)
}

/// Undoes `codings`, the last one first. `None`: the body is not coded. Blocks.
pub(super) fn decode(
    bytes: &[u8],
    codings: &[Coding],
    limit: u64,
    memory: &MemoryPool,
) -> Result<Option<Bytes>, ApiError> {
    let mut decoded: Option<Bytes> = None;
    for coding in codings.iter().rev() {
        if let Some(next) = undo(decoded.as_deref().unwrap_or(bytes), *coding, limit, memory)? {
            decoded = Some(next);
        }
    }
    Ok(decoded)
}

/// `None`: the bytes do not have this coding.
fn undo(bytes: &[u8], coding: Coding, limit: u64, memory: &MemoryPool) -> Result<Option<Bytes>, ApiError> {
    if coding == Coding::Gzip {
        return if bytes.starts_with(&GZIP) { members(bytes, limit, memory).map(Some) } else { Ok(None) };
    }
    if codecs::Format::sniff(bytes).is_some() {
        return Ok(None);
    }
    let mut output = Output::new(limit, memory)?;
    let done = match coding {
        Coding::Brotli => output.take_all(Decompressor::new(bytes, BROTLI_BUFFER)),
        _ => output.inflate(bytes, is_zlib(bytes)),
    };
    match done {
        Ok(()) => Ok(Some(output.finish())),
        // What does not even begin as this coding is not coded.
        Err(Stopped::Damaged) if output.bytes.is_empty() => Ok(None),
        Err(stopped) => Err(stopped.into_error(coding, limit)),
    }
}

/// All members of a gzip file. Bytes behind the last one are not part of it.
fn members(bytes: &[u8], limit: u64, memory: &MemoryPool) -> Result<Bytes, ApiError> {
    let mut output = Output::new(limit, memory)?;
    let mut rest = bytes;
    while rest.starts_with(&GZIP) {
        let mut member = GzDecoder::new(rest);
        output.take_all(&mut member).map_err(|stopped| stopped.into_error(Coding::Gzip, limit))?;
        rest = member.into_inner();
    }
    Ok(output.finish())
}

/// Whether bytes begin with a zlib header (RFC 1950).
fn is_zlib(bytes: &[u8]) -> bool {
    matches!(bytes, [first, second, ..]
        if first & 0x0f == 8 && u16::from_be_bytes([*first, *second]).is_multiple_of(31))
}

/// Why decoding stopped early.
#[derive(Debug)]
enum Stopped {
    Damaged,
    TooLarge,
    NoMemory,
}

impl Stopped {
    fn into_error(self, coding: Coding, limit: u64) -> ApiError {
        match self {
            Self::Damaged => ApiError::SourceCodingDamaged { coding: coding.name() },
            Self::TooLarge => ApiError::SourceTooLarge { limit },
            Self::NoMemory => ApiError::SourcesBusy,
        }
    }
}

/// Decoded bytes, with memory that is taken as they come.
struct Output {
    bytes: Vec<u8>,
    held: crate::admission::MemoryPermit,
    limit: u64,
}

impl Output {
    fn new(limit: u64, memory: &MemoryPool) -> Result<Self, ApiError> {
        let held = memory.try_take(STEP).map_err(|_| ApiError::SourcesBusy)?;
        Ok(Self { bytes: Vec::new(), held, limit })
    }

    fn take_all(&mut self, mut decoder: impl Read) -> Result<(), Stopped> {
        let mut step = vec![0; STEP];
        loop {
            let count = match decoder.read(&mut step) {
                Ok(0) => return Ok(()),
                Ok(count) => count,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => return Err(Stopped::Damaged),
            };
            self.push(&step[..count])?;
        }
    }

    /// Zlib or raw deflate. Readers of flate2 take a cut stream for a whole one, so its state is asked for here.
    fn inflate(&mut self, bytes: &[u8], zlib: bool) -> Result<(), Stopped> {
        let mut decoder = Decompress::new(zlib);
        let mut step = vec![0; STEP];
        loop {
            let (taken, made) = (decoder.total_in(), decoder.total_out());
            let rest = usize::try_from(taken).ok().and_then(|taken| bytes.get(taken..)).unwrap_or_default();
            let status = decoder.decompress(rest, &mut step, FlushDecompress::None);
            let status = status.map_err(|_| Stopped::Damaged)?;
            let produced = usize::try_from(decoder.total_out() - made).unwrap_or(STEP);
            self.push(&step[..produced.min(STEP)])?;
            match status {
                Status::StreamEnd => return Ok(()),
                _ if produced == 0 && decoder.total_in() == taken => return Err(Stopped::Damaged),
                _ => {}
            }
        }
    }

    fn push(&mut self, piece: &[u8]) -> Result<(), Stopped> {
        let length = self.bytes.len() + piece.len();
        if length as u64 > self.limit {
            return Err(Stopped::TooLarge);
        }
        if length > self.held.bytes() {
            self.held.grow_to(length + length / 2).map_err(|_| Stopped::NoMemory)?;
        }
        if length > self.bytes.capacity() {
            self.bytes.reserve_exact(self.held.bytes() - self.bytes.len());
        }
        self.bytes.extend_from_slice(piece);
        Ok(())
    }

    fn finish(self) -> Bytes {
        self.held.into_bytes(self.bytes)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
    use http::{HeaderMap, HeaderValue, header};

    use super::{Coding, codings, decode};
    use crate::admission::MemoryPools;
    use crate::error::ApiError;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn zlib(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn raw(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    /// `abc` by the reference encoder.
    const BROTLI_ABC: [u8; 7] = [0x0b, 0x01, 0x80, 0x61, 0x62, 0x63, 0x03];

    fn undone(bytes: &[u8], codings: &[Coding]) -> Result<Vec<u8>, ApiError> {
        let memory = MemoryPools::of(1 << 30).inputs;
        let decoded = decode(bytes, codings, 1 << 20, &memory)?;
        Ok(decoded.map_or_else(|| bytes.to_vec(), |decoded| decoded.to_vec()))
    }

    // OPS-030
    #[test]
    fn codings_are_undone_in_reverse_order() {
        let text = b"abc".repeat(1000);
        assert_eq!(undone(&gzip(&text), &[Coding::Gzip]).unwrap(), text);
        assert_eq!(undone(&zlib(&text), &[Coding::Deflate]).unwrap(), text);
        assert_eq!(undone(&raw(&text), &[Coding::Deflate]).unwrap(), text);
        assert_eq!(undone(&BROTLI_ABC, &[Coding::Brotli]).unwrap(), b"abc");
        assert_eq!(undone(&gzip(&zlib(&text)), &[Coding::Deflate, Coding::Gzip]).unwrap(), text);
        assert_eq!(undone(&[gzip(b"ab"), gzip(b"cd")].concat(), &[Coding::Gzip]).unwrap(), b"abcd");
        assert_eq!(undone(&[gzip(b"ab"), vec![0; 9]].concat(), &[Coding::Gzip]).unwrap(), b"ab");
    }

    // OPS-030
    #[test]
    fn what_is_not_coded_is_taken_as_it_is() {
        let png = b"\x89PNG\r\n\x1a\n and so on";
        for coding in [Coding::Gzip, Coding::Deflate, Coding::Brotli] {
            assert_eq!(undone(png, &[coding]).unwrap(), png, "{coding:?}");
        }
        assert_eq!(undone(b"", &[Coding::Gzip]).unwrap(), b"");
    }

    // OPS-030
    #[test]
    fn bombs_and_cut_bodies_are_errors() {
        let bomb = vec![0; 2 << 20];
        for (bytes, coding) in [(gzip(&bomb), Coding::Gzip), (zlib(&bomb), Coding::Deflate)] {
            assert_eq!(undone(&bytes, &[coding]), Err(ApiError::SourceTooLarge { limit: 1 << 20 }));
        }
        let mut state = 1_u32;
        let noise: Vec<u8> = (0..200_000)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 24) as u8
            })
            .collect();
        for (whole, coding) in
            [(gzip(&noise), Coding::Gzip), (zlib(&noise), Coding::Deflate), (raw(&noise), Coding::Deflate)]
        {
            let error = undone(&whole[..100_000], &[coding]);
            assert_eq!(error, Err(ApiError::SourceCodingDamaged { coding: coding.name() }));
        }
    }

    // OPS-030
    #[test]
    fn an_unknown_coding_is_named() {
        let of = |text: &'static str| {
            codings(&HeaderMap::from_iter([(header::CONTENT_ENCODING, HeaderValue::from_static(text))]))
        };
        assert_eq!(
            of("x-gzip, identity,DEFLATE , br").unwrap(),
            [Coding::Gzip, Coding::Deflate, Coding::Brotli]
        );
        let error = of("gzip, zstd").unwrap_err();
        assert!(error.body().contains("zstd") && error.status() == 415, "{error}");
        assert!(of("gzip,gzip,gzip,gzip,gzip").is_err());
    }
}
