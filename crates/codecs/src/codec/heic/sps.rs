//! The sequence parameter set of HEVC (ITU-T H.265, 7.3.2.2), up to size and colours. The library parses it too, but
//! exposes neither the size before cropping, which it allocates, nor the colours.

/// The fields of a sequence parameter set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sequence {
    /// 0 none, 1 4:2:0, 2 4:2:2, 3 4:4:4.
    pub(super) chroma: u8,
    /// Width before cropping.
    pub(super) width: u32,
    pub(super) height: u32,
    /// Bits of a sample of luma.
    pub(super) depth: u8,
    pub(super) full_range: bool,
    /// Primaries, transfer and matrix by ITU-T H.273; 2 if unspecified.
    pub(super) codes: (u8, u8, u8),
}

/// Bits of a unit without emulation prevention bytes.
struct Bits<'a> {
    bytes: &'a [u8],
    /// Bits of `bytes[0]` that have been read.
    used: u32,
    zeros: u32,
}

impl Bits<'_> {
    fn bit(&mut self) -> Option<u32> {
        if self.used == 0 && self.zeros >= 2 && self.bytes.first() == Some(&3) {
            self.bytes = &self.bytes[1..];
            self.zeros = 0;
        }
        let byte = *self.bytes.first()?;
        let bit = u32::from(byte >> (7 - self.used)) & 1;
        self.used += 1;
        if self.used == 8 {
            self.used = 0;
            self.zeros = if byte == 0 { self.zeros + 1 } else { 0 };
            self.bytes = &self.bytes[1..];
        }
        Some(bit)
    }

    fn bits(&mut self, count: u32) -> Option<u32> {
        (0..count).try_fold(0u32, |v, _| Some(v << 1 | self.bit()?))
    }

    fn flag(&mut self) -> Option<bool> {
        Some(self.bit()? == 1)
    }

    /// Exponential Golomb, of at most 31 bits.
    fn number(&mut self) -> Option<u32> {
        let mut length = 0;
        while !self.flag()? {
            length += 1;
            if length > 30 {
                return None;
            }
        }
        Some((1 << length) - 1 + self.bits(length)?)
    }

    fn numbers(&mut self, count: u32) -> Option<()> {
        (0..count).try_for_each(|_| self.number().map(drop))
    }
}

impl Sequence {
    pub(super) fn is_one(unit: &[u8]) -> bool {
        unit.first().is_some_and(|byte| byte >> 1 & 63 == 33)
    }

    /// `None` if the unit ends before its size.
    pub(super) fn read(unit: &[u8]) -> Option<Self> {
        let mut bits = Bits { bytes: unit.get(2..)?, used: 0, zeros: 0 };
        bits.bits(4)?;
        let layers = bits.bits(3)?;
        bits.bits(1)?;
        profile(&mut bits, layers)?;
        bits.number()?;
        let chroma = bits.number()?;
        if chroma == 3 {
            bits.bit()?;
        }
        let (width, height) = (bits.number()?, bits.number()?);
        if bits.flag()? {
            bits.numbers(4)?;
        }
        let depth = bits.number()?.checked_add(8)?;
        let mut found = Self {
            chroma: u8::try_from(chroma).ok()?,
            width,
            height,
            depth: u8::try_from(depth).ok()?,
            full_range: false,
            codes: (2, 2, 2),
        };
        if let Some((full_range, codes)) = colours(&mut bits, layers) {
            (found.full_range, found.codes) = (full_range, codes);
        }
        Some(found)
    }
}

fn profile(bits: &mut Bits<'_>, layers: u32) -> Option<()> {
    bits.bits(32)?;
    bits.bits(32)?;
    bits.bits(32)?;
    let mut present = Vec::new();
    for _ in 0..layers {
        present.push((bits.flag()?, bits.flag()?));
    }
    if layers > 0 {
        bits.bits(2 * (8 - layers))?;
    }
    for (profile, level) in present {
        if profile {
            bits.bits(32)?;
            bits.bits(32)?;
            bits.bits(24)?;
        }
        if level {
            bits.bits(8)?;
        }
    }
    Some(())
}

/// Range and code points; `None` if absent, or after structures that still pictures do not have (custom scaling lists,
/// more than one set of reference pictures).
fn colours(bits: &mut Bits<'_>, layers: u32) -> Option<(bool, (u8, u8, u8))> {
    bits.number()?;
    let order = bits.number()?.checked_add(4)?;
    let each = bits.flag()?;
    bits.numbers(3 * if each { layers + 1 } else { 1 })?;
    bits.numbers(6)?;
    if bits.flag()? && bits.flag()? {
        return None;
    }
    bits.bits(2)?;
    if bits.flag()? {
        bits.bits(8)?;
        bits.numbers(2)?;
        bits.bit()?;
    }
    match bits.number()? {
        0 => {}
        1 => {
            let pictures = bits.number()?.checked_add(bits.number()?).filter(|&n| n <= 16)?;
            for _ in 0..pictures {
                bits.number()?;
                bits.bit()?;
            }
        }
        _ => return None,
    }
    if bits.flag()? {
        for _ in 0..bits.number()?.min(32) {
            bits.bits(order.min(16) + 1)?;
        }
    }
    bits.bits(2)?;
    if !bits.flag()? {
        return None;
    }
    if bits.flag()? && bits.bits(8)? == 255 {
        bits.bits(32)?;
    }
    if bits.flag()? {
        bits.bit()?;
    }
    if !bits.flag()? {
        return None;
    }
    bits.bits(3)?;
    let full_range = bits.flag()?;
    let codes = if bits.flag()? {
        let mut code = || Some(bits.bits(8)? as u8);
        (code()?, code()?, code()?)
    } else {
        (2, 2, 2)
    };
    Some((full_range, codes))
}
