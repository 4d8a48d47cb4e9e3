//! The directories of a TIFF structure, in TIFF files and EXIF. Every read is bounds-checked.
//!
//! Source: TIFF 6.0 §2.

const BYTE: u16 = 1;
const UNDEFINED: u16 = 7;
pub(crate) const ASCII: u16 = 2;
const SHORT: u16 = 3;
const LONG: u16 = 4;

/// A TIFF structure and its byte order.
#[derive(Clone, Copy)]
pub(crate) struct Tiff<'a> {
    bytes: &'a [u8],
    little: bool,
}

/// One directory entry; `value` is the position of its value field (4 bytes).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry {
    pub(crate) tag: u16,
    kind: u16,
    pub(crate) count: u32,
    value: usize,
}

impl<'a> Tiff<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Option<Self> {
        let little = match bytes.get(..4)? {
            [b'I', b'I', 42, 0] => true,
            [b'M', b'M', 0, 42] => false,
            _ => return None,
        };
        Some(Self { bytes, little })
    }

    fn u16(self, at: usize) -> Option<u16> {
        let b = self.bytes.get(at..at.checked_add(2)?)?.try_into().ok()?;
        Some(if self.little { u16::from_le_bytes(b) } else { u16::from_be_bytes(b) })
    }

    pub(crate) fn u32(self, at: usize) -> Option<u32> {
        let b = self.bytes.get(at..at.checked_add(4)?)?.try_into().ok()?;
        Some(if self.little { u32::from_le_bytes(b) } else { u32::from_be_bytes(b) })
    }

    /// Position of the first directory.
    pub(crate) fn first(self) -> Option<usize> {
        Some(self.u32(4)? as usize).filter(|&at| at >= 8)
    }

    /// Position of the pointer to the next directory.
    pub(crate) fn next_pointer(self, directory: usize) -> Option<usize> {
        Some(directory + 2 + usize::from(self.u16(directory)?) * 12)
    }

    pub(crate) fn entries(self, directory: usize) -> impl Iterator<Item = Entry> {
        (0..usize::from(self.u16(directory).unwrap_or(0))).map_while(move |i| {
            let at = directory + 2 + i * 12;
            Some(Entry {
                tag: self.u16(at)?,
                kind: self.u16(at + 2)?,
                count: self.u32(at + 4)?,
                value: (at + 12 <= self.bytes.len()).then_some(at + 8)?,
            })
        })
    }

    pub(crate) fn find(self, directory: usize, tag: u16) -> Option<Entry> {
        self.entries(directory).find(|e| e.tag == tag)
    }

    /// The first number of a SHORT or LONG entry.
    pub(crate) fn number(self, entry: Entry) -> Option<u32> {
        match entry.kind {
            SHORT if entry.count >= 1 => self.u16(entry.value).map(u32::from),
            LONG if entry.count >= 1 => self.u32(entry.value),
            _ => None,
        }
    }

    /// The number of an entry with a single SHORT.
    pub(crate) fn short(self, entry: Entry) -> Option<u16> {
        if entry.kind == SHORT && entry.count == 1 { self.u16(entry.value) } else { None }
    }

    /// Writes a single SHORT or LONG number over an entry's value in `out`, a copy of this structure. A value of
    /// another type or count becomes a SHORT, or a LONG if the number is too large.
    pub(crate) fn put(self, out: &mut [u8], entry: Entry, number: u32) {
        let short = u16::try_from(number).ok().filter(|_| entry.kind != LONG);
        let (kind, value) = match (short, self.little) {
            (Some(v), true) => (SHORT, u32::from(v).to_le_bytes()),
            (Some(v), false) => (SHORT, (u32::from(v) << 16).to_be_bytes()),
            (None, true) => (LONG, number.to_le_bytes()),
            (None, false) => (LONG, number.to_be_bytes()),
        };
        let bytes = |v: u32, n: usize| {
            if self.little { v.to_le_bytes()[..n].to_vec() } else { v.to_be_bytes()[4 - n..].to_vec() }
        };
        let head = [bytes(kind.into(), 2), bytes(1, 4), value.to_vec()].concat();
        if let Some(place) = out.get_mut(entry.value - 6..entry.value + 4) {
            place.copy_from_slice(&head);
        }
    }

    /// The value of an ASCII entry.
    pub(crate) fn ascii(self, entry: Entry) -> Option<&'a [u8]> {
        (entry.kind == ASCII).then(|| self.value(entry)).flatten()
    }

    /// The value of a BYTE or UNDEFINED entry.
    pub(crate) fn bytes_of(self, entry: Entry) -> Option<&'a [u8]> {
        matches!(entry.kind, BYTE | UNDEFINED).then(|| self.value(entry)).flatten()
    }

    /// The value of an entry of single bytes.
    fn value(self, entry: Entry) -> Option<&'a [u8]> {
        let length = entry.count as usize;
        let at = if length <= 4 { entry.value } else { self.u32(entry.value)? as usize };
        self.bytes.get(at..at.checked_add(length)?)
    }
}
