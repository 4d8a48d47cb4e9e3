//! Content codings of sources, undone within the limits for sources (OPS-030): bytes, memory, time.

use std::io::{self, Read};

use brotli_decompressor::Decompressor;
use bytes::Bytes;
use flate2::{Crc, Decompress, FlushDecompress, Status};
use http::{HeaderMap, header};
use work::Work;

use crate::admission::{MemoryPermit, MemoryPool};
use crate::error::ApiError;
use crate::fields::joined;

/// The first bytes of a gzip member.
const GZIP: [u8; 2] = [0x1f, 0x8b];
/// Bytes that are decoded at a time.
const STEP: usize = 64 << 10;
/// Coded bytes that a decoder reads between two looks at the clock: a stream can go on without any output.
const INPUT_STEP: usize = 16 << 10;
/// More codings than this in a row are refused.
const MOST_CODINGS: usize = 4;
/// Members without content that a gzip file may have. Writers end a file with one.
const MOST_EMPTY: usize = 1000;
/// What is still coded may be longer than the body by a quarter and this: coded bytes hardly compress once more. Without the
/// bound, each of four codings could make the work for the next a thousand times as much.
const EXPANSION: usize = 64 << 10;
/// An inflate decoder: its window, its tables.
const INFLATE_BYTES: usize = 64 << 10;
/// A Brotli decoder besides its window and its prefix codes.
const BROTLI_BYTES: usize = 128 << 10;
/// The most that the prefix codes of a Brotli stream take, and what one byte of a stream can make of them: the shortest
/// code has 12 bits, and the largest table 1080 entries of 4 bytes, which are copied as their list grows.
const BROTLI_TABLES: usize = 4 << 20;
const BROTLI_TABLES_PER_BYTE: usize = 4 << 10;

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

    /// Whether bytes may have this coding.
    fn may_be_of(self, bytes: &[u8]) -> bool {
        match self {
            Self::Gzip => bytes.starts_with(&GZIP),
            Self::Deflate | Self::Brotli => codecs::Format::sniff(bytes).is_none(),
        }
    }

    /// What a decoder of these bytes takes, besides its output.
    fn decoder_bytes(self, bytes: &[u8]) -> usize {
        let decoder = match self {
            Self::Gzip | Self::Deflate => INFLATE_BYTES,
            Self::Brotli => {
                let window = 1_usize << window_bits(bytes.first().copied().unwrap_or_default());
                let tables = bytes.len().saturating_mul(BROTLI_TABLES_PER_BYTE).min(BROTLI_TABLES);
                // The half of it that was there before it grew to its whole size is copied.
                window + window / 2 + tables + BROTLI_BYTES
            }
        };
        decoder + STEP
    }
}

/// The size of the window that a Brotli stream announces in its first byte, as a power of two (RFC 7932, section 9.1). The
/// value for large windows, which are no part of the coding, makes the decoder refuse the stream.
fn window_bits(first: u8) -> u32 {
    match (first & 1, first >> 1 & 7, first >> 4 & 7) {
        (0, _, _) => 16,
        (_, 0, 0 | 1) => 17,
        (_, 0, n) => 8 + u32::from(n),
        (_, n, _) => 17 + u32::from(n),
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

/// What undoing the codings of a body may use.
#[derive(Debug, Clone, Copy)]
pub(super) struct DecodeLimits<'a> {
    /// Bytes of the source.
    pub(super) length: u64,
    pub(super) memory: &'a MemoryPool,
    pub(super) work: &'a Work,
}

/// Undoes `codings`, the last one first. `None`: the body is not coded. Blocks.
pub(super) fn decode(
    bytes: &[u8],
    codings: &[Coding],
    limits: DecodeLimits<'_>,
) -> Result<Option<Bytes>, ApiError> {
    let most_coded = bytes.len() + bytes.len() / 4 + EXPANSION;
    let mut decoded: Option<Bytes> = None;
    let mut left = codings;
    while let Some((coding, others)) = left.split_last() {
        left = others;
        let coded = decoded.as_deref().unwrap_or(bytes);
        if !coding.may_be_of(coded) {
            continue;
        }
        let done = undo(coded, *coding, Still { codings: left, most: most_coded }, limits);
        if let Some(next) = done.map_err(|stopped| stopped.into_error(*coding, coded, limits))? {
            decoded = Some(next);
        }
    }
    Ok(decoded)
}

/// The codings that a body has once one was undone, and how long it may be with them.
#[derive(Debug, Clone, Copy)]
struct Still<'a> {
    codings: &'a [Coding],
    most: usize,
}

/// `None`: the bytes do not have this coding.
fn undo(
    bytes: &[u8],
    coding: Coding,
    still: Still<'_>,
    limits: DecodeLimits<'_>,
) -> Result<Option<Bytes>, Stopped> {
    let _decoder = limits.memory.try_take(coding.decoder_bytes(bytes)).map_err(|_| Stopped::NoMemory)?;
    let mut output = Output::new(still, limits)?;
    let done = match coding {
        Coding::Gzip => return output.gunzip(bytes).map(|()| Some(output.finish())),
        Coding::Brotli => output.unbrotli(bytes),
        Coding::Deflate => Inflate::new(is_zlib(bytes)).run(bytes, &mut output, None).map(|_| ()),
    };
    match done {
        Ok(()) => Ok(Some(output.finish())),
        // What does not even begin as this coding is not coded.
        Err(Stopped::Damaged) if output.bytes.is_empty() => Ok(None),
        Err(stopped) => Err(stopped),
    }
}

/// Whether bytes begin with a zlib header (RFC 1950).
fn is_zlib(bytes: &[u8]) -> bool {
    matches!(bytes, [first, second, ..]
        if first & 0x0f == 8 && u16::from_be_bytes([*first, *second]).is_multiple_of(31))
}

/// The length of the header of a gzip member (RFC 1952), if it is one.
fn gzip_header(bytes: &[u8]) -> Option<usize> {
    const HEADER_SUM: u8 = 1 << 1;
    const EXTRA: u8 = 1 << 2;
    const NAME: u8 = 1 << 3;
    const COMMENT: u8 = 1 << 4;
    const RESERVED: u8 = 0xe0;
    let [0x1f, 0x8b, 8, flags, ..] = *bytes else { return None };
    if flags & RESERVED != 0 {
        return None;
    }
    let number = |at: usize| Some(u16::from_le_bytes(*bytes.get(at..)?.first_chunk()?));
    let mut length = 10;
    if flags & EXTRA != 0 {
        length += 2 + usize::from(number(length)?);
    }
    for field in [NAME, COMMENT] {
        if flags & field != 0 {
            length += bytes.get(length..)?.iter().position(|byte| *byte == 0)? + 1;
        }
    }
    if flags & HEADER_SUM != 0 {
        let mut sum = Crc::new();
        sum.update(bytes.get(..length)?);
        if sum.sum() & 0xffff != u32::from(number(length)?) {
            return None;
        }
        length += 2;
    }
    (length <= bytes.len()).then_some(length)
}

/// Why decoding stopped early.
#[derive(Debug)]
enum Stopped {
    Damaged,
    TooLarge,
    NoMemory,
    /// More than [`MOST_EMPTY`] members.
    Empty,
    /// What is still coded is longer than any writer makes it.
    Expands,
    /// The clock of the request.
    Clock(work::Error),
}

impl Stopped {
    fn into_error(self, coding: Coding, bytes: &[u8], limits: DecodeLimits<'_>) -> ApiError {
        let (needs, has) = (coding.decoder_bytes(bytes), limits.memory.total());
        let unsupported = |coding: &str| ApiError::SourceCoding { coding: coding.to_owned() };
        match self {
            Self::Damaged => ApiError::SourceCodingDamaged { coding: coding.name() },
            Self::TooLarge => ApiError::SourceTooLarge { limit: limits.length },
            Self::NoMemory if needs > has => {
                ApiError::SourceNeedsMemory { needs: needs.div_ceil(1 << 20), has: has >> 20 }
            }
            Self::NoMemory => ApiError::SourcesBusy,
            Self::Empty => unsupported("gzip with more than 1000 empty members"),
            Self::Expands => unsupported("several, each of which expands the next"),
            Self::Clock(error) => error.into(),
        }
    }
}

/// Decoded bytes, with memory that is taken as they come.
struct Output<'a> {
    bytes: Vec<u8>,
    held: MemoryPermit,
    still: Still<'a>,
    limits: DecodeLimits<'a>,
}

impl<'a> Output<'a> {
    fn new(still: Still<'a>, limits: DecodeLimits<'a>) -> Result<Self, Stopped> {
        let held = limits.memory.try_take(0).map_err(|_| Stopped::NoMemory)?;
        Ok(Self { bytes: Vec::new(), held, still, limits })
    }

    /// All members of a gzip file. Bytes behind the last one are not part of it.
    fn gunzip(&mut self, bytes: &[u8]) -> Result<(), Stopped> {
        let mut inflate = Inflate::new(false);
        let (mut rest, mut empty) = (bytes, 0);
        while rest.starts_with(&GZIP) {
            let body = gzip_header(rest).and_then(|length| rest.get(length..)).ok_or(Stopped::Damaged)?;
            let (before, mut sum) = (self.bytes.len(), Crc::new());
            let length = inflate.run(body, self, Some(&mut sum))?;
            let (trailer, next) =
                body.get(length..).and_then(<[u8]>::split_first_chunk::<8>).ok_or(Stopped::Damaged)?;
            let announced = u64::from_le_bytes(*trailer);
            if announced != u64::from(sum.sum()) | u64::from(sum.amount()) << 32 {
                return Err(Stopped::Damaged);
            }
            empty += usize::from(before == self.bytes.len());
            if empty > MOST_EMPTY {
                return Err(Stopped::Empty);
            }
            inflate.decoder.reset(false);
            rest = next;
        }
        Ok(())
    }

    fn unbrotli(&mut self, bytes: &[u8]) -> Result<(), Stopped> {
        let clock = self.limits.work;
        let mut decoder = Decompressor::new(Timed { bytes, clock }, INPUT_STEP);
        let mut step = vec![0; STEP];
        loop {
            let count = match decoder.read(&mut step) {
                Ok(0) => return Ok(()),
                Ok(count) => count,
                Err(_) => {
                    clock.check().map_err(Stopped::Clock)?;
                    return Err(Stopped::Damaged);
                }
            };
            self.push(&step[..count])?;
        }
    }

    /// Adds decoded bytes, and looks at the clock.
    fn push(&mut self, piece: &[u8]) -> Result<(), Stopped> {
        self.limits.work.check().map_err(Stopped::Clock)?;
        let length = self.bytes.len() + piece.len();
        if length as u64 > self.limits.length {
            return Err(Stopped::TooLarge);
        }
        if length > self.held.bytes() {
            self.held.grow_to(length + length / 2).map_err(|_| Stopped::NoMemory)?;
        }
        if length > self.bytes.capacity() {
            self.bytes.reserve_exact(self.held.bytes() - self.bytes.len());
        }
        self.bytes.extend_from_slice(piece);
        if length > self.still.most {
            if self.still.codings.iter().any(|coding| coding.may_be_of(&self.bytes)) {
                return Err(Stopped::Expands);
            }
            // The other codings were announced, but are not there.
            self.still.most = usize::MAX;
        }
        Ok(())
    }

    fn finish(self) -> Bytes {
        self.held.into_bytes(self.bytes)
    }
}

/// An inflate decoder, for one stream after another: what a new one costs is more than an empty stream.
struct Inflate {
    decoder: Decompress,
    step: Vec<u8>,
}

impl Inflate {
    fn new(zlib: bool) -> Self {
        Self { decoder: Decompress::new(zlib), step: vec![0; STEP] }
    }

    /// Decodes one stream; gives its length. Readers of flate2 take a cut stream for a whole one, so its state is asked for
    /// here.
    fn run(
        &mut self,
        bytes: &[u8],
        output: &mut Output<'_>,
        mut sum: Option<&mut Crc>,
    ) -> Result<usize, Stopped> {
        let mut taken = 0;
        loop {
            let rest = bytes.get(taken..).unwrap_or_default();
            let input = rest.get(..INPUT_STEP).unwrap_or(rest);
            let (read, made) = (self.decoder.total_in(), self.decoder.total_out());
            let status = self.decoder.decompress(input, &mut self.step, FlushDecompress::None);
            let status = status.map_err(|_| Stopped::Damaged)?;
            let read = usize::try_from(self.decoder.total_in() - read).unwrap_or(INPUT_STEP);
            let made = usize::try_from(self.decoder.total_out() - made).unwrap_or(STEP);
            let piece = &self.step[..made.min(STEP)];
            if let Some(sum) = &mut sum {
                sum.update(piece);
            }
            output.push(piece)?;
            taken += read;
            match status {
                Status::StreamEnd => return Ok(taken),
                _ if read == 0 && made == 0 => return Err(Stopped::Damaged),
                _ => {}
            }
        }
    }
}

/// Coded bytes that are not read on when the time is over.
struct Timed<'a> {
    bytes: &'a [u8],
    clock: &'a Work,
}

impl Read for Timed<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.clock.check().map_err(io::Error::other)?;
        self.bytes.read(into)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
    use http::{HeaderMap, HeaderValue, header};

    use work::{Budget, Work};

    use super::{Coding, DecodeLimits, MOST_EMPTY, codings, decode, window_bits};
    use crate::admission::{MemoryPool, MemoryPools};
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
        undone_within(&MemoryPools::of(1 << 30).inputs, bytes, codings)
    }

    fn undone_within(memory: &MemoryPool, bytes: &[u8], codings: &[Coding]) -> Result<Vec<u8>, ApiError> {
        let limits = DecodeLimits { length: 1 << 20, memory, work: &Work::unlimited() };
        let decoded = decode(bytes, codings, limits)?;
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

    // OPS-030: RFC 1952 in full, and sums that do not fit.
    #[test]
    fn headers_and_sums_of_gzip_members_are_checked() {
        let plain = gzip(b"abc");
        let with = |flags: u8, fields: &[u8], body: &[u8]| {
            let mut member = plain[..10].to_vec();
            member[3] = flags;
            [&member, fields, body].concat()
        };
        let body = &plain[10..];
        let mut sum = flate2::Crc::new();
        sum.update(&with(2, b"", b""));
        let sum = (sum.sum() as u16).to_le_bytes();
        for whole in [
            with(1, b"", body),
            with(4, b"\x02\0xy", body),
            with(8 | 16, b"name\0comment\0", body),
            with(2, &sum, body),
        ] {
            assert_eq!(undone(&whole, &[Coding::Gzip]).unwrap(), b"abc", "{whole:?}");
        }
        let mut wrong_sum = plain.clone();
        wrong_sum[plain.len() - 8] ^= 1;
        let mut wrong_length = plain.clone();
        wrong_length[plain.len() - 1] ^= 1;
        for damaged in [
            with(0x20, b"", body),
            with(4, b"\xff\xff", body),
            with(8, b"name", b""),
            with(2, b"\0\0", body),
            wrong_sum,
            wrong_length,
            plain[..9].to_vec(),
            plain[..plain.len() - 1].to_vec(),
            [&plain[..], b"\x1f\x8b"].concat(),
        ] {
            let error = undone(&damaged, &[Coding::Gzip]);
            assert_eq!(error, Err(ApiError::SourceCodingDamaged { coding: "gzip" }), "{damaged:?}");
        }
    }

    // OPS-005, OPS-030: a body of 147 kB took 12 s, by layers of empty members.
    #[test]
    fn members_and_codings_that_only_cost_are_refused() {
        let members = |count| [gzip(b"").repeat(count), gzip(b"abc")].concat();
        assert_eq!(undone(&members(MOST_EMPTY), &[Coding::Gzip]).unwrap(), b"abc");
        let error = undone(&members(MOST_EMPTY + 1), &[Coding::Gzip]).unwrap_err();
        assert_eq!((error.status().as_u16(), error.number()), (415, 9412), "{error}");
        // Members with content are as many as they like.
        assert_eq!(undone(&gzip(b"a").repeat(5000), &[Coding::Gzip]).unwrap().len(), 5000);

        let layer = gzip(&[gzip(b"a").repeat(40_000), gzip(b"abc")].concat());
        assert!(layer.len() < 8 << 10);
        for coding in [Coding::Gzip, Coding::Deflate, Coding::Brotli] {
            let error = undone(&layer, &[coding, Coding::Gzip]);
            assert_eq!(error.unwrap_err().status(), 415, "{coding:?}");
        }
        // A coding that was announced twice and applied once.
        let text = b"<svg xmlns='http://www.w3.org/2000/svg'>".repeat(10_000);
        assert_eq!(undone(&gzip(&text), &[Coding::Gzip, Coding::Gzip]).unwrap(), text);
    }

    // OPS-005
    #[test]
    fn decoding_stops_at_its_deadline_and_when_nobody_waits() {
        let memory = MemoryPools::of(1 << 30).inputs;
        let cancelled = Work::unlimited();
        cancelled.cancel.cancel();
        let late = Work { deadline: Some(std::time::Instant::now()), ..Work::new(Budget::new(0)) };
        for (bytes, coding) in [
            (gzip(b"abc"), Coding::Gzip),
            (zlib(b"abc"), Coding::Deflate),
            (BROTLI_ABC.to_vec(), Coding::Brotli),
        ] {
            for (work, expected) in [(&cancelled, 9528), (&late, 9529)] {
                let limits = DecodeLimits { length: 1 << 20, memory: &memory, work };
                let error = decode(&bytes, &[coding], limits).unwrap_err();
                assert_eq!(error.number(), expected, "{coding:?}");
            }
        }
    }

    // OPS-007: windows of 16 MiB were taken from nowhere.
    #[test]
    fn decoders_take_their_memory_from_the_pool() {
        // A window of 16 MiB, announced by `abc`.
        let large = [&[0x0f], &BROTLI_ABC[1..]].concat();
        for (bytes, coding, needs) in [
            (large, Coding::Brotli, 24 << 20),
            (BROTLI_ABC.to_vec(), Coding::Brotli, 6 << 20),
            (gzip(b"abc"), Coding::Gzip, 64 << 10),
            (zlib(b"abc"), Coding::Deflate, 64 << 10),
        ] {
            let memory = MemoryPool::new(needs + (1 << 20));
            assert_eq!(undone_within(&memory, &bytes, &[coding]).unwrap(), b"abc");
            let held = memory.try_take(1 << 20).unwrap();
            assert_eq!(undone_within(&memory, &bytes, &[coding]), Err(ApiError::SourcesBusy), "{coding:?}");
            drop(held);
            assert_eq!(memory.used(), 0);
            let never = undone_within(&MemoryPool::new(needs), &bytes, &[coding]).unwrap_err();
            assert_eq!((never.status().as_u16(), never.number()), (503, 9527), "{coding:?}");
        }
    }

    // RFC 7932, section 9.1
    #[test]
    fn window_sizes_of_brotli_are_those_of_its_table() {
        let table = [
            (0b000_0000, 16),
            (0b010_0001, 10),
            (0b111_0001, 15),
            (0b000_0001, 17),
            (0b000_0011, 18),
            (0b000_1111, 24),
        ];
        for (first, bits) in table {
            assert_eq!(window_bits(first), bits, "{first:b}");
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
