//! The memory that libwebp needs for lossless data besides pixels, found without decoding it.
//!
//! libwebp allocates tables of about 12 kB for each group of prefix codes, and 20 bits of a file are enough for a
//! group. Their number follows from an image in the header, which is read here; the transforms before it are
//! skipped. See RFC 9649, sections 3.4 to 3.8.
//!
//! Data that cannot be read up to there is no error: libwebp refuses it before it allocates tables.

use std::sync::LazyLock;

use work::Work;

/// Bytes of libwebp's `HTreeGroup` on 64-bit machines.
const GROUP_BYTES: u64 = 568;
/// Entries, of 4 bytes, of the tables of a group: red, blue, alpha, distances; green by the bits of the colour cache.
const OTHER_ENTRIES: u64 = 3 * 630 + 410;
const GREEN_ENTRIES: [u64; 12] = [654, 656, 658, 662, 670, 686, 718, 782, 912, 1168, 1680, 2704];
const MAX_GROUPS: u64 = 1 << 16;
/// Above this number, libwebp keeps only the groups that are used.
const SPARSE_GROUPS: u64 = 1000;
/// The shortest group: five codes of one symbol, each 4 bits.
const GROUP_BITS: u64 = 20;
/// Bytes of the reader's own tables.
const OWN_BYTES: usize = 128 << 10;

const LITERALS: usize = 256;
const LENGTHS: usize = 24;
const DISTANCES: usize = 40;
/// The order in which the lengths of the code for code lengths are stored.
const LENGTH_ORDER: [usize; 19] = [17, 18, 0, 1, 2, 3, 4, 5, 16, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];

/// Columns to the left and rows up of the pixels that the first 120 distances stand for: the near ones first.
static NEAR: LazyLock<Vec<(i64, i64)>> = LazyLock::new(|| {
    let row = |y| (-7..=8).map(move |x| (x, y));
    let mut near: Vec<(i64, i64)> = (0..8).flat_map(row).filter(|&(x, y)| y > 0 || x > 0).collect();
    near.sort_by_key(|&(x, y)| (x * x + y * y, x.abs(), x < 0));
    near
});

/// How many pixels of images of groups are read: as many as the file has bytes, and some more. libwebp's encoder
/// writes at most 2600 for an image.
pub(super) struct Tiles(u64);

impl Tiles {
    pub(super) fn for_file(bytes: usize) -> Self {
        Self((1 << 16) + bytes as u64)
    }
}

/// The end of reading before the result is known.
enum Stop {
    Damaged,
    Work(work::Error),
}

impl From<work::Error> for Stop {
    fn from(error: work::Error) -> Self {
        Self::Work(error)
    }
}

/// Bytes that libwebp's decoder holds for tables and for the images within the header. `data` begins after the
/// size of the image.
pub(super) fn table_bytes(
    data: &[u8],
    (width, height): (u32, u32),
    tiles: &mut Tiles,
    work: &Work,
) -> Result<u64, work::Error> {
    let _own = work.take(OWN_BYTES)?;
    let mut header = Header { bits: Bits { data, at: 0 }, images: 0, tiles, work };
    let tables = match header.tables(u64::from(width), u64::from(height)) {
        Ok(bytes) => bytes,
        Err(Stop::Damaged) => 0,
        Err(Stop::Work(error)) => return Err(error),
    };
    Ok(header.images + tables)
}

/// Bits of the data, the lowest of each byte first.
struct Bits<'a> {
    data: &'a [u8],
    at: usize,
}

impl Bits<'_> {
    fn left(&self) -> u64 {
        (self.data.len() as u64 * 8).saturating_sub(self.at as u64)
    }

    /// At most 24 bits.
    fn read(&mut self, count: u32) -> Result<u32, Stop> {
        if u64::from(count) > self.left() {
            return Err(Stop::Damaged);
        }
        let bytes = self.data[self.at / 8..].iter().take(4);
        let word = bytes.enumerate().fold(0, |word, (i, &byte)| word | u32::from(byte) << (8 * i));
        let value = word >> (self.at % 8) & ((1 << count) - 1);
        self.at += count as usize;
        Ok(value)
    }

    fn flag(&mut self) -> Result<bool, Stop> {
        let byte = self.data.get(self.at / 8).ok_or(Stop::Damaged)?;
        let set = byte >> (self.at % 8) & 1 != 0;
        self.at += 1;
        Ok(set)
    }

    /// A length or distance from its symbol and the bits that follow.
    fn extent(&mut self, symbol: u16) -> Result<u64, Stop> {
        let symbol = u32::from(symbol);
        if symbol < 4 {
            return Ok(u64::from(symbol) + 1);
        }
        let extra = (symbol - 2) / 2;
        let base = (2 + symbol % 2) << extra;
        Ok(u64::from(base + self.read(extra)?) + 1)
    }
}

/// A canonical prefix code. Symbols are read bit by bit, so that the time is proportional to the length of the data.
struct Code {
    /// Number of codes of each length.
    counts: [u32; 16],
    symbols: Vec<u16>,
}

impl Code {
    fn new(lengths: &[u8]) -> Result<Self, Stop> {
        let mut counts = [0_u32; 16];
        for &length in lengths {
            counts[usize::from(length)] += 1;
        }
        counts[0] = 0;
        let symbols: u32 = counts.iter().sum();
        let filled: u32 = counts.iter().enumerate().map(|(length, &n)| n << (15 - length)).sum();
        if symbols == 0 || symbols > 1 && filled != 1 << 15 {
            return Err(Stop::Damaged);
        }
        let mut places = [0_usize; 16];
        for length in 1..15 {
            places[length + 1] = places[length] + counts[length] as usize;
        }
        let mut sorted = vec![0; symbols as usize];
        for (symbol, &length) in lengths.iter().enumerate().filter(|(_, length)| **length > 0) {
            let place = &mut places[usize::from(length)];
            sorted[*place] = symbol as u16;
            *place += 1;
        }
        Ok(Self { counts, symbols: sorted })
    }

    fn read(bits: &mut Bits<'_>, alphabet: usize) -> Result<Self, Stop> {
        if bits.flag()? {
            let (two, wide) = (bits.flag()?, bits.flag()?);
            let first = bits.read(if wide { 8 } else { 1 })?;
            let second = if two { bits.read(8)? } else { first };
            // libwebp ignores a symbol that is not in the alphabet.
            let mut symbols = vec![first.min(second) as u16, first.max(second) as u16];
            symbols.dedup();
            symbols.retain(|&symbol| usize::from(symbol) < alphabet);
            if symbols.is_empty() {
                return Err(Stop::Damaged);
            }
            let mut counts = [0; 16];
            counts[1] = symbols.len() as u32;
            return Ok(Self { counts, symbols });
        }
        let mut lengths = vec![0_u8; alphabet];
        let mut own = [0_u8; 19];
        let count = bits.read(4)? as usize + 4;
        for &symbol in &LENGTH_ORDER[..count] {
            own[symbol] = bits.read(3)? as u8;
        }
        let own = Self::new(&own)?;
        let mut left = alphabet;
        if bits.flag()? {
            let width = 2 + 2 * bits.read(3)?;
            left = 2 + bits.read(width)? as usize;
            if left > alphabet {
                return Err(Stop::Damaged);
            }
        }
        let (mut at, mut last) = (0, 8);
        while at < alphabet && left > 0 {
            left -= 1;
            let (length, times) = match own.symbol(bits)? {
                16 => (last, 3 + bits.read(2)?),
                17 => (0, 3 + bits.read(3)?),
                18 => (0, 11 + bits.read(7)?),
                length => (length as u8, 1),
            };
            if length > 0 {
                last = length;
            }
            let end = at + times as usize;
            lengths.get_mut(at..end).ok_or(Stop::Damaged)?.fill(length);
            at = end;
        }
        Self::new(&lengths)
    }

    /// The symbol of a code that has only one, which takes no bits.
    fn only(&self) -> Option<u16> {
        if let [symbol] = self.symbols[..] { Some(symbol) } else { None }
    }

    fn symbol(&self, bits: &mut Bits<'_>) -> Result<u16, Stop> {
        if let Some(symbol) = self.only() {
            return Ok(symbol);
        }
        let (mut code, mut first, mut before) = (0, 0, 0);
        for &count in &self.counts[1..] {
            code += u32::from(bits.flag()?);
            if code < first + count {
                return Ok(self.symbols[(before + code - first) as usize]);
            }
            before += count;
            first = (first + count) * 2;
            code *= 2;
        }
        Err(Stop::Damaged)
    }
}

struct Header<'a> {
    bits: Bits<'a>,
    /// Bytes of the images before the pixels.
    images: u64,
    tiles: &'a mut Tiles,
    work: &'a Work,
}

impl Header<'_> {
    fn tables(&mut self, mut width: u64, height: u64) -> Result<u64, Stop> {
        let mut seen = 0;
        while self.bits.flag()? {
            let kind = self.bits.read(2)?;
            if seen & 1 << kind != 0 {
                return Err(Stop::Damaged);
            }
            seen |= 1 << kind;
            match kind {
                // Predictors and the colour transform.
                0 | 1 => {
                    let (width, height) = self.tiles(width, height)?;
                    self.image(width, height, None)?;
                }
                // Subtract green.
                2 => {}
                // A palette. Pixels with few colours are packed.
                _ => {
                    let colours = u64::from(self.bits.read(8)?) + 1;
                    self.image(colours, 1, None)?;
                    width = match colours {
                        0..=2 => width.div_ceil(8),
                        3..=4 => width.div_ceil(4),
                        5..=16 => width.div_ceil(2),
                        _ => width,
                    };
                }
            }
        }
        let cache = self.cache_bits()?;
        let groups = if self.bits.flag()? { self.groups(width, height)? } else { 1 };
        let entries = OTHER_ENTRIES + GREEN_ENTRIES[cache as usize];
        Ok(groups * (GROUP_BYTES + 4 * entries) + (8 << cache))
    }

    /// Reads the side of square tiles; yields how many cover the image, and counts the image that has one pixel for each.
    fn tiles(&mut self, width: u64, height: u64) -> Result<(u64, u64), Stop> {
        let side = 4 << self.bits.read(3)?;
        let (width, height) = (width.div_ceil(side), height.div_ceil(side));
        self.images += 4 * width * height;
        Ok((width, height))
    }

    fn cache_bits(&mut self) -> Result<u32, Stop> {
        if !self.bits.flag()? {
            return Ok(0);
        }
        Some(self.bits.read(4)?).filter(|bits| (1..=11).contains(bits)).ok_or(Stop::Damaged)
    }

    /// The number of groups whose tables are kept. Tables that end with the data are not counted: their memory is
    /// never touched.
    fn groups(&mut self, width: u64, height: u64) -> Result<u64, Stop> {
        let (columns, rows) = self.tiles(width, height)?;
        let tiles = columns * rows;
        let Some(rest) = self.tiles.0.checked_sub(tiles) else {
            return Ok(MAX_GROUPS.min(self.bits.left() / GROUP_BITS + 1));
        };
        self.tiles.0 = rest;
        let _held = self.work.take(4 * tiles as usize)?;
        let mut pixels = Vec::with_capacity(tiles as usize);
        self.image(columns, rows, Some(&mut pixels))?;
        let mut used = [0_u64; MAX_GROUPS as usize / 64];
        for pixel in pixels {
            // The red and green bytes.
            let group = pixel >> 8 & 0xFFFF;
            used[group as usize / 64] |= 1 << (group % 64);
        }
        let last = used.iter().rposition(|&word| word != 0).unwrap_or(0);
        let mut groups = last as u64 * 64 + u64::from(64 - used[last].leading_zeros());
        if groups > SPARSE_GROUPS || groups > width * height {
            self.images += 4 * groups;
            groups = used.iter().map(|word| u64::from(word.count_ones())).sum();
        }
        Ok(groups.min(self.bits.left() / GROUP_BITS + 1))
    }

    /// Reads an image without transforms and groups. Its pixels, A R G B, are kept only where asked for: where an image
    /// ends does not depend on them.
    fn image(&mut self, width: u64, height: u64, mut pixels: Option<&mut Vec<u32>>) -> Result<(), Stop> {
        let cache_bits = self.cache_bits()?;
        let colours = if cache_bits == 0 { 0 } else { 1 << cache_bits };
        let mut code = |alphabet| Code::read(&mut self.bits, alphabet);
        let green = code(LITERALS + LENGTHS + colours)?;
        let others = [code(LITERALS)?, code(LITERALS)?, code(LITERALS)?];
        let distances = code(DISTANCES)?;
        let total = width * height;
        let argb = |green: u16, [red, blue, alpha]: [u16; 3]| {
            u32::from_be_bytes([alpha as u8, red as u8, green as u8, blue as u8])
        };
        // An image of one colour takes no bits, whatever its size.
        if let (Some(green), [Some(r), Some(b), Some(a)]) = (green.only(), others.each_ref().map(Code::only))
        {
            let colour = match usize::from(green) {
                ..LITERALS => Some(argb(green, [r, b, a])),
                // The cache begins with zeros.
                symbol if symbol >= LITERALS + LENGTHS => Some(0),
                _ => None,
            };
            if let (Some(colour), Some(pixels)) = (colour, pixels.as_deref_mut()) {
                pixels.resize(total as usize, colour);
            }
            return if colour.is_some() { Ok(()) } else { Err(Stop::Damaged) };
        }
        let mut cache = vec![0_u32; if pixels.is_some() { colours } else { 0 }];
        let (mut at, mut symbols) = (0, 0_u32);
        while at < total {
            if symbols.is_multiple_of(1 << 14) {
                self.work.check()?;
            }
            symbols = symbols.wrapping_add(1);
            let bits = &mut self.bits;
            let symbol = green.symbol(bits)?;
            let (from, count) = match usize::from(symbol) {
                ..LITERALS => {
                    let [red, blue, alpha] = &others;
                    let rest = [red.symbol(bits)?, blue.symbol(bits)?, alpha.symbol(bits)?];
                    if let Some(pixels) = pixels.as_deref_mut() {
                        pixels.push(argb(symbol, rest));
                    }
                    (at, 1)
                }
                index if index < LITERALS + LENGTHS => {
                    let count = bits.extent(symbol - LITERALS as u16)?;
                    let distance = distances.symbol(bits)?;
                    let distance = distance_in_rows(bits.extent(distance)?, width);
                    let from = at.checked_sub(distance).ok_or(Stop::Damaged)?;
                    if count > total - at {
                        return Err(Stop::Damaged);
                    }
                    if let Some(pixels) = pixels.as_deref_mut() {
                        for i in from..from + count {
                            pixels.push(pixels[i as usize]);
                        }
                    }
                    (at, count)
                }
                index => {
                    if let Some(pixels) = pixels.as_deref_mut() {
                        pixels.push(cache[index - LITERALS - LENGTHS]);
                    }
                    (at, 1)
                }
            };
            at += count;
            if let Some(pixels) = pixels.as_deref().filter(|_| cache_bits > 0) {
                for &pixel in &pixels[from as usize..] {
                    cache[(pixel.wrapping_mul(0x1E35_A7BD) >> (32 - cache_bits)) as usize] = pixel;
                }
            }
        }
        Ok(())
    }
}

/// The distance in pixels, in the order of reading, to a pixel that was read before.
fn distance_in_rows(distance: u64, width: u64) -> u64 {
    match NEAR.get(distance as usize - 1) {
        Some(&(x, y)) => u64::try_from(y * width as i64 + x).unwrap_or(0).max(1),
        None => distance - NEAR.len() as u64,
    }
}

#[cfg(test)]
mod tests {
    use super::{Bits, GREEN_ENTRIES, GROUP_BYTES, Header, NEAR, OTHER_ENTRIES, Tiles, table_bytes};
    use work::{Budget, Work};

    /// Bits as text, in the order of reading; spaces are ignored.
    fn bits(text: &str) -> Vec<u8> {
        let mut bits: Vec<char> = text.chars().filter(|c| !c.is_whitespace()).collect();
        bits.resize(bits.len().next_multiple_of(8), '0');
        let byte = |eight: &[char]| eight.iter().rev().fold(0, |byte, c| byte << 1 | u8::from(*c == '1'));
        bits.chunks(8).map(byte).collect()
    }

    /// The groups of an image of 64 × 64 pixels whose header is `header`, and of which `groups` can be read; 0 if it is refused.
    fn groups(header: &str, groups: usize, cache: usize) -> u64 {
        let text = [header, &"1000".repeat(5 * groups)].concat();
        let (data, work) = (bits(&text), Work::new(Budget::new(1 << 20)));
        let bits = Bits { data: &data, at: 0 };
        let mut header = Header { bits, images: 0, tiles: &mut Tiles::for_file(0), work: &work };
        header.tables(64, 64).unwrap_or(0) / (GROUP_BYTES + 4 * (OTHER_ENTRIES + GREEN_ENTRIES[cache]))
    }

    /// A code of one symbol, or of two.
    fn symbols(first: u8, second: Option<u8>) -> String {
        let byte = |v: u8| -> String { (0..8).map(|i| if v >> i & 1 == 1 { '1' } else { '0' }).collect() };
        let second = second.map(byte);
        format!("1{}1{}{}", u8::from(second.is_some()), byte(first), second.unwrap_or_default())
    }

    #[test]
    fn the_number_of_groups_follows_from_their_image() {
        let none = "1000";
        // No transform, no cache, one group.
        assert_eq!(groups("0 0 0", 1, 0), 1);
        assert_eq!(groups("0 1 1101 0", 1, 11), 1);
        // Tiles of 32 pixels: four. Green, the low byte of the group, is 2 or 9.
        let image = |green: &str| ["0 0 1 110 0", green, none, none, none, none].concat();
        assert_eq!(groups(&(image(&symbols(2, Some(9))) + "0000"), 20, 0), 3);
        assert_eq!(groups(&(image(&symbols(2, Some(9))) + "0010"), 20, 0), 10);
        // All tiles have one colour.
        assert_eq!(groups(&image(&symbols(7, None)), 20, 0), 8);
        // Above a thousand, only those that are used are kept: red, the high byte, is 0 or 255.
        let red = ["0 0 1 110 0", none, &symbols(0, Some(255)), none, none, none].concat();
        assert_eq!(groups(&(red + "0111"), 70_000, 0), 2);
        // What the file has no room for is never allocated, and a file that ends before is refused.
        assert_eq!(groups(&image(&symbols(200, None)), 20, 0), 21);
        assert_eq!(groups("0 0 1", 0, 0), 0);
        // A transform twice, and a code that is not full, are refused as well.
        assert_eq!(groups("1 01 1 01 0 0 0", 20, 0), 0);
    }

    // An image of groups takes a few bytes of a frame, and 65,536 pixels to read: 16,384 times.
    #[test]
    fn the_images_of_all_frames_together_are_bounded_by_the_file() {
        let header = ["0 0 1 000 0", &symbols(7, None), &"1000".repeat(4), &"1000".repeat(5 * 20)].concat();
        let (data, work) = (bits(&header), Work::new(Budget::new(1 << 20)));
        let mut tiles = Tiles::for_file(data.len());
        let mut read = || table_bytes(&data, (1024, 1024), &mut tiles, &work).unwrap();
        // Eight groups; then as many as the data could hold.
        let group = GROUP_BYTES + 4 * (OTHER_ENTRIES + GREEN_ENTRIES[0]);
        assert_eq!((read() / group, read() / group), (8 + 21, 22 + 21));
        assert_eq!(work.budget.used(), 0);
    }

    #[test]
    fn copies_and_the_colour_cache_are_followed() {
        let zeros = |n: u8| -> String {
            let bits = (0..7).map(|i| if (n - 11) >> i & 1 == 1 { '1' } else { '0' });
            format!("11{}", bits.collect::<String>())
        };
        // Lengths of codes: 0, 1 and 2 as two bits, a run of zeros as 11.
        let lengths = "0 1000 000 010 010 010 010 0";
        // Green: 2 as 0, a copy of one pixel as 10, the cache's second place as 11. Red is 255: the group is above
        // a thousand, so that the number of different pixels counts.
        let green = format!("{lengths} 00 00 01 {} {} 10 {} 10", zeros(138), zeros(115), zeros(24));
        // The second distance is one pixel to the left.
        let others = [&symbols(255, None), "1000", "1000", &symbols(1, None)].concat();
        let image = |pixels: &str| ["0 0 1 110 1 1000", &green, &others, pixels].concat();
        assert_eq!(groups(&image("0 10 0 10"), 20, 0), 1);
        // The place has the first pixel, or is empty.
        assert_eq!(groups(&image("0 11 10 0"), 20, 0), 1);
        assert_eq!(groups(&image("11 0 11 10"), 20, 0), 2);
        // A copy of what is not there is refused.
        assert_eq!(groups(&image("10 0 0 0"), 20, 0), 0);
        assert_eq!(NEAR[..4], [(0, 1), (1, 0), (1, 1), (-1, 1)]);
        assert_eq!((NEAR.len(), NEAR[119]), (120, (8, 7)));
    }
}
