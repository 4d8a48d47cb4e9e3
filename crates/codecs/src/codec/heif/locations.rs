//! The item location box (ISO/IEC 14496-12, 8.11.3): the position of an item's data in the file.

use std::ops::Range;

use super::reader::{Reader, damaged, unsupported};
use crate::{Error, Format};

/// Extents of all items of a file.
const MAX_EXTENTS: usize = 1 << 16;

/// Bytes of the fields of one extent.
#[derive(Debug, Clone, Copy)]
struct FieldSizes {
    index: usize,
    offset: usize,
    length: usize,
}

/// The extents of one item. They are read from the box again each time, so that items may share them without copies.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Extents {
    /// Position of the first extent in the file.
    at: usize,
    count: u16,
    fields: FieldSizes,
    base: usize,
    /// The range that offsets refer to, and that must contain the data: the `idat` box or the file.
    container: (usize, usize),
    /// The data is in this file, and not in another item.
    supported: bool,
    format: Format,
}

/// An entry of the box: the item's identifier and its extents.
pub(crate) type Location = (u32, Extents);

/// Reads the box, entry by entry. The extents are skipped.
pub(crate) fn read(
    r: &mut Reader<'_>,
    idat: &Range<usize>,
    mut each: impl FnMut(Location) -> Result<(), Error>,
) -> Result<(), Error> {
    let (version, _) = r.version_and_flags()?;
    let sizes = r.u16()?;
    let nibble = |at: u32| usize::from(sizes >> at & 15);
    let base_size = nibble(4);
    let fields =
        FieldSizes { index: if version > 0 { nibble(0) } else { 0 }, offset: nibble(12), length: nibble(8) };
    if [fields.offset, fields.length, base_size, fields.index].iter().any(|s| ![0, 4, 8].contains(s)) {
        return Err(r.damaged("item location fields that are not 0, 4 or 8 bytes"));
    }
    let wide = if version < 2 { 2 } else { 4 };
    let items = r.number(wide)?;
    let mut extents = 0;
    for _ in 0..items {
        let id = r.number(wide)? as u32;
        let method = if version > 0 { r.u16()? & 15 } else { 0 };
        let external = r.u16()? != 0;
        let base = r.number(base_size)?;
        let count = r.u16()?;
        if fields.bytes() == 0 && count > 1 {
            // All of them would refer to the same bytes.
            return Err(r.damaged("several extents without offset and length"));
        }
        extents += usize::from(count);
        if extents > MAX_EXTENTS {
            return Err(unsupported(r.format, "more than 65,536 extents"));
        }
        let at = r.at;
        r.take(usize::from(count) * fields.bytes())?;
        let container = if method == 1 { (idat.start, idat.end) } else { (0, r.bytes.len()) };
        let base = usize::try_from(base).map_err(|_| r.damaged("an item location out of range"))?;
        let supported = !external && method <= 1;
        each((id, Extents { at, count, fields, base, container, supported, format: r.format }))?;
    }
    Ok(())
}

impl FieldSizes {
    fn bytes(self) -> usize {
        self.index + self.offset + self.length
    }
}

impl Extents {
    /// The parts of the item's data, in order, each inside the file.
    pub(crate) fn ranges(self, bytes: &[u8]) -> impl Iterator<Item = Result<Range<usize>, Error>> {
        let step = self.fields.bytes();
        (0..usize::from(self.count)).map(move |i| {
            let at = self.at + i * step;
            let mut r = Reader::within(bytes, &(at..at + step), self.format);
            r.take(self.fields.index)?;
            let (offset, length) = (r.number(self.fields.offset)?, r.number(self.fields.length)?);
            self.range(offset, length)
                .filter(|range| range.end <= bytes.len())
                .ok_or(Error::Truncated(self.format))
        })
    }

    fn range(self, offset: u64, length: u64) -> Option<Range<usize>> {
        let (origin, end) = self.container;
        let start = usize::try_from(offset).ok()?.checked_add(self.base)?.checked_add(origin)?;
        let stop = match usize::try_from(length).ok()? {
            // To the end.
            0 => end,
            n => start.checked_add(n)?,
        };
        (start <= stop && stop <= end).then_some(start..stop)
    }

    /// Total bytes of all parts, which lie inside the file.
    pub(crate) fn total(self, bytes: &[u8]) -> Result<usize, Error> {
        if !self.supported {
            return Err(unsupported(self.format, "image data in another file or item"));
        }
        let mut total = 0_usize;
        for range in self.ranges(bytes) {
            total = total.saturating_add(range?.len());
        }
        match total {
            0 => Err(damaged(self.format, "an image has no data")),
            n if n > bytes.len() => Err(damaged(self.format, "an item is larger than the file")),
            n => Ok(n),
        }
    }

    /// The only part of the data.
    pub(crate) fn single(self, bytes: &[u8]) -> Result<Option<Range<usize>>, Error> {
        self.total(bytes)?;
        if self.count == 1 { self.ranges(bytes).next().transpose() } else { Ok(None) }
    }

    /// The first part of the data.
    pub(crate) fn first(self, bytes: &[u8]) -> Result<Range<usize>, Error> {
        self.total(bytes)?;
        self.ranges(bytes).next().ok_or_else(|| damaged(self.format, "an image has no data"))?
    }
}
