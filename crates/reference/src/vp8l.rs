//! Lossless WebP data with many groups of prefix codes, which no encoder writes.

/// Bits, the lowest of each byte first.
#[derive(Default)]
struct Bits {
    bytes: Vec<u8>,
    used: u32,
}

impl Bits {
    fn put(&mut self, value: u32, count: u32) {
        for i in 0..count {
            if self.used.is_multiple_of(8) {
                self.bytes.push(0);
            }
            if let Some(last) = self.bytes.last_mut() {
                *last |= ((value >> i & 1) as u8) << (self.used % 8);
            }
            self.used += 1;
        }
    }

    /// A code of the one symbol 0, which takes no bits.
    fn single(&mut self) {
        self.put(0b0001, 4);
    }

    /// A code of `alphabet` symbols: the first 256 have eight bits each, the rest is not used.
    fn full(&mut self, alphabet: u32) {
        self.put(0, 1);
        // The code for code lengths has two symbols of one bit: 8, and 18 for a run of zeros.
        self.put(12 - 4, 4);
        for symbol in [17, 18, 0, 1, 2, 3, 4, 5, 16, 6, 7, 8] {
            self.put(u32::from(symbol == 8 || symbol == 18), 3);
        }
        self.put(0, 1);
        for _ in 0..256 {
            self.put(0, 1);
        }
        if alphabet > 256 {
            self.put(1, 1);
            self.put(alphabet - 256 - 11, 7);
        }
    }
}

/// A lossless stream of clear black pixels, as it follows the size of the image: tiles of 4 × 4 pixels, the groups one
/// after the other. The codes of a group have one symbol or, if `full`, 256.
#[must_use]
pub fn stream(width: u32, height: u32, groups: u32, full: bool) -> Vec<u8> {
    let mut bits = Bits::default();
    // No transform, no colour cache, but groups, in tiles of 4 × 4 pixels. Then their image, without a cache.
    bits.put(0b00_0100, 6);
    bits.put(0, 1);
    bits.full(280);
    bits.full(256);
    for _ in 0..3 {
        bits.single();
    }
    for tile in 0..width.div_ceil(4) * height.div_ceil(4) {
        let group = tile % groups;
        for byte in [group as u8, (group >> 8) as u8] {
            bits.put(u32::from(byte.reverse_bits()), 8);
        }
    }
    for _ in 0..groups {
        if full {
            for alphabet in [280, 256, 256, 256] {
                bits.full(alphabet);
            }
            bits.single();
        } else {
            for _ in 0..5 {
                bits.single();
            }
        }
    }
    let pixels = if full { 4 * width as usize * height as usize } else { 0 };
    bits.bytes.resize(bits.bytes.len() + pixels + 8, 0);
    bits.bytes
}

/// The content of a VP8L chunk with the stream.
#[must_use]
pub fn image(width: u32, height: u32, stream: &[u8]) -> Vec<u8> {
    let size = (width - 1) | (height - 1) << 14;
    [&[0x2F], &size.to_le_bytes()[..], stream].concat()
}
