//! The LZW encoder of GIF (T. Welch 1984; GIF89a, appendix F): codes of growing width, least significant bit first, in
//! sub-blocks of up to 255 bytes. And a decoder for images whose code size is 1, which GIF does not allow.

use crate::Error;

/// Receives finished sub-blocks: length byte and data.
pub(super) type Emit<'a> = &'a mut dyn FnMut(&[u8]) -> Result<(), Error>;

const MAX_CODES: u32 = 4096;
const SLOTS: usize = 8192;
const EMPTY: u32 = u32::MAX;

/// Encodes one image at a time; the table is reused.
#[derive(Debug)]
pub(super) struct Encoder {
    /// A hash table with open addressing: prefix code and index (20 bits) above the code (12 bits).
    table: Vec<u32>,
    /// A length byte and up to 255 bytes.
    block: [u8; 256],
    filled: usize,
    bits: u64,
    count: u32,
}

impl Encoder {
    pub(super) fn new() -> Self {
        Self { table: vec![EMPTY; SLOTS], block: [0; 256], filled: 0, bits: 0, count: 0 }
    }

    /// Encodes indices of `code_size` (2–8) bits; the terminating empty sub-block is included.
    pub(super) fn encode(&mut self, indices: &[u8], code_size: u8, emit: Emit<'_>) -> Result<(), Error> {
        let clear = 1_u32 << code_size;
        let mut width = u32::from(code_size) + 1;
        let mut next = clear + 2;
        self.table.fill(EMPTY);
        self.put(clear, width, emit)?;
        let mut rest = indices.iter();
        if let Some(&first) = rest.next() {
            let mut prefix = u32::from(first);
            for &index in rest {
                let key = prefix << 8 | u32::from(index);
                let mut slot = (key.wrapping_mul(0x9E37_79B1) >> 19) as usize;
                let found = loop {
                    let entry = self.table[slot];
                    if entry >> 12 == key {
                        break Some(entry & 0xFFF);
                    }
                    if entry == EMPTY {
                        break None;
                    }
                    slot = (slot + 1) % SLOTS;
                };
                if let Some(code) = found {
                    prefix = code;
                    continue;
                }
                self.put(prefix, width, emit)?;
                if next < MAX_CODES {
                    self.table[slot] = key << 12 | next;
                    // The decoder adds this entry one code later, and only then increases the width.
                    width += u32::from(next == 1 << width);
                    next += 1;
                } else {
                    self.put(clear, width, emit)?;
                    self.table.fill(EMPTY);
                    width = u32::from(code_size) + 1;
                    next = clear + 2;
                }
                prefix = u32::from(index);
            }
            self.put(prefix, width, emit)?;
            width += u32::from(next == 1 << width && width < 12);
        }
        self.put(clear + 1, width, emit)?;
        if self.count > 0 {
            self.put(0, 8 - self.count, emit)?;
        }
        if self.filled > 0 {
            self.flush(emit)?;
        }
        emit(&[0])
    }

    fn put(&mut self, code: u32, width: u32, emit: Emit<'_>) -> Result<(), Error> {
        self.bits |= u64::from(code) << self.count;
        self.count += width;
        while self.count >= 8 {
            self.filled += 1;
            self.block[self.filled] = self.bits as u8;
            self.bits >>= 8;
            self.count -= 8;
            if self.filled == 255 {
                self.flush(emit)?;
            }
        }
        Ok(())
    }

    fn flush(&mut self, emit: Emit<'_>) -> Result<(), Error> {
        self.block[0] = self.filled as u8;
        let end = self.filled + 1;
        self.filled = 0;
        emit(&self.block[..end])
    }
}

/// Decodes images whose code size is 1: the codes have three bits from the second one on. GIF does not allow it and the
/// library reads the second code as two bits; Chromium shows such files.
pub(super) struct TwoColours {
    bits: u32,
    count: u32,
    width: u32,
    /// The prefix and last index of each code.
    table: Vec<(u16, u8)>,
    previous: Option<u16>,
    /// Indices of the last code, the first one last.
    pending: Vec<u8>,
    done: bool,
}

impl TwoColours {
    const CLEAR: u16 = 2;

    pub(super) fn new() -> Self {
        let mut decoder = Self {
            bits: 0,
            count: 0,
            width: 0,
            table: Vec::new(),
            previous: None,
            pending: Vec::new(),
            done: false,
        };
        decoder.clear();
        decoder
    }

    fn clear(&mut self) {
        (self.width, self.previous) = (2, None);
        self.table.clear();
        // Two indices and two codes without any.
        self.table.extend([(0, 0), (0, 1), (0, 0), (0, 0)]);
    }

    /// Fills `out` from `bytes`, which it advances. `None` after the last index, or where a code has no meaning; fewer than all
    /// bytes of `out` if `bytes` end before.
    pub(super) fn fill(&mut self, bytes: &mut &[u8], out: &mut [u8]) -> Option<usize> {
        let mut filled = 0;
        while filled < out.len() {
            if let Some(index) = self.pending.pop() {
                out[filled] = index;
                filled += 1;
                continue;
            }
            if self.done {
                return None;
            }
            while self.count < self.width {
                let Some((&byte, rest)) = bytes.split_first() else { return Some(filled) };
                self.bits |= u32::from(byte) << self.count;
                self.count += 8;
                *bytes = rest;
            }
            let code = (self.bits & ((1 << self.width) - 1)) as u16;
            self.bits >>= self.width;
            self.count -= self.width;
            self.code(code)?;
        }
        Some(filled)
    }

    fn code(&mut self, code: u16) -> Option<()> {
        match code {
            Self::CLEAR => self.clear(),
            _ if code == Self::CLEAR + 1 => self.done = true,
            _ => {
                let known = usize::from(code) < self.table.len();
                let from = if known { code } else { self.previous? };
                if usize::from(code) > self.table.len() || !known && self.table.len() == MAX_CODES as usize {
                    return None;
                }
                if !known {
                    self.pending.push(0);
                }
                let mut at = from;
                while at > Self::CLEAR {
                    let (prefix, index) = self.table[usize::from(at)];
                    self.pending.push(index);
                    at = prefix;
                }
                let first = at as u8;
                self.pending.push(first);
                if !known {
                    self.pending[0] = first;
                }
                if let Some(previous) = self.previous.filter(|_| self.table.len() < MAX_CODES as usize) {
                    self.table.push((previous, first));
                }
                self.previous = Some(code);
                if self.table.len() == 1 << self.width && self.width < 12 {
                    self.width += 1;
                }
            }
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Encoder, TwoColours};

    fn back(indices: &[u8], code_size: u8) -> Vec<u8> {
        let mut file = Vec::new();
        Encoder::new()
            .encode(indices, code_size, &mut |block| {
                assert_eq!(usize::from(block[0]) + 1, block.len());
                file.extend_from_slice(&block[1..]);
                Ok(())
            })
            .unwrap();
        weezl::decode::Decoder::new(weezl::BitOrder::Lsb, code_size).decode(&file).unwrap()
    }

    #[test]
    fn full_tables_and_every_width_are_restored() {
        // Noise fills the table of 4096 codes many times; a run gives the longest strings.
        let mut state = 1_u32;
        let noise: Vec<u8> = (0..200_000)
            .map(|i| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                if i % 5000 < 2000 { 7 } else { (state >> 24) as u8 }
            })
            .collect();
        for bits in 2..=8_u8 {
            let indices: Vec<u8> = noise.iter().map(|v| v & (255 >> (8 - bits))).collect();
            assert!(back(&indices, bits) == indices, "{bits} bits");
        }
    }

    /// As the library does for larger codes.
    fn two_colours_back(indices: &[u8], at_once: usize) -> Vec<u8> {
        let (mut decoder, mut out) = (TwoColours::new(), vec![0; indices.len()]);
        let mut at = 0;
        Encoder::new()
            .encode(indices, 1, &mut |block| {
                for mut bytes in block[1..].chunks(at_once) {
                    at += decoder.fill(&mut bytes, &mut out[at..]).unwrap();
                }
                Ok(())
            })
            .unwrap();
        assert_eq!(at, indices.len());
        out
    }

    #[test]
    fn codes_of_two_colours_are_restored() {
        let mut state = 1_u32;
        let noise: Vec<u8> = (0..200_000)
            .map(|i| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                if i % 5000 < 2000 { 1 } else { (state >> 31) as u8 }
            })
            .collect();
        assert!(two_colours_back(&noise, 7) == noise);
        for n in 0..200 {
            assert_eq!(two_colours_back(&noise[2500..2500 + n], 1), noise[2500..2500 + n]);
        }
        // An end before the first index, and a code above the next one.
        for bytes in [[0b1110_u8], [0b0101_0010]] {
            assert_eq!(TwoColours::new().fill(&mut &bytes[..], &mut [0; 9]), None);
        }
    }

    proptest! {
        /// Lengths around every change of width and of the end code's width.
        #[test]
        fn any_indices_are_restored(indices in prop::collection::vec(0_u8..4, 0..3000)) {
            prop_assert_eq!(back(&indices, 2), indices);
        }
    }
}
