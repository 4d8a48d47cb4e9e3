//! The meta box of HEIF (ISO/IEC 23008-12, ISO/IEC 14496-12, 8.11): items, their properties, and their references to each
//! other.

use std::collections::HashMap;
use std::ops::Range;

use super::locations::{self, Extents};
use super::reader::{Reader, damaged, unsupported};
use crate::{Error, Format};
use work::{Reservation, Work};

/// Most items, properties and references of a file.
const MAX_ITEMS: usize = 4096;
/// Most targets of all references together.
const MAX_TARGETS: usize = 16 * MAX_ITEMS;
/// Most entries of all boxes that associate properties with items: one for each item in each box.
const MAX_ENTRIES: usize = 4 * MAX_ITEMS;
/// Most associations of properties with items.
const MAX_ASSOCIATIONS: usize = 16 * MAX_ITEMS;
/// Boxes between two checks of the deadline.
const BOXES_PER_CHECK: u32 = 1024;

/// Code points of ITU-T H.273.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cicp {
    pub(crate) primaries: u8,
    pub(crate) transfer: u8,
    pub(crate) matrix: u8,
    pub(crate) full_range: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Item {
    pub(crate) id: u32,
    pub(crate) kind: [u8; 4],
    properties: Vec<Association>,
    pub(crate) extents: Option<Extents>,
}

/// A property of an item.
#[derive(Debug, Clone, Copy)]
struct Association {
    /// Index into the list of properties, from 1.
    index: u16,
    essential: bool,
}

#[derive(Debug)]
pub(crate) enum Property {
    Size(u32, u32),
    Av1Config(Range<usize>),
    Cicp(Cicp),
    Icc(Range<usize>),
    /// Anticlockwise quarter turns.
    Rotate(u8),
    /// 0: top and bottom are swapped, 1: left and right.
    Mirror(u8),
    CleanAperture(Aperture),
    /// The URN of the type of an auxiliary image.
    Auxiliary(Range<usize>),
    /// Known, and not relevant to decoding.
    Other,
    Unknown([u8; 4]),
}

/// A part of the image around its centre, as fractions: width and height, and the offset of its centre from that of
/// the image (12.1.4 of ISO/IEC 14496-12).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Aperture {
    size: [(i32, i32); 2],
    offset: [(i32, i32); 2],
}

impl Aperture {
    /// Width and height if it is a part in whole pixels that begins at the top left corner.
    pub(crate) fn at_origin(self, (width, height): (u32, u32)) -> Option<(u32, u32)> {
        let [width, height] = [(width, 0), (height, 1)].map(|(image, side)| {
            let (image, (n, d), (offset, offset_d)) = (i64::from(image), self.size[side], self.offset[side]);
            let (n, d, offset, offset_d) =
                (i64::from(n), i64::from(d), i64::from(offset), i64::from(offset_d));
            if n <= 0 || d <= 0 || offset_d <= 0 || n % d != 0 {
                return None;
            }
            let size = n / d;
            let starts_at_zero = (image - size) * offset_d + 2 * offset == 0;
            if size <= image && starts_at_zero { u32::try_from(size).ok() } else { None }
        });
        width.zip(height)
    }
}

/// References of one kind from one item to others. The list is read from the file when needed.
#[derive(Debug, Clone, Copy)]
struct Reference {
    kind: [u8; 4],
    from: u32,
    /// Position of the list, and bytes of an identifier.
    at: usize,
    width: usize,
    count: u16,
}

#[derive(Debug)]
pub(crate) struct Meta<'a> {
    bytes: &'a [u8],
    format: Format,
    primary: u32,
    items: Vec<Item>,
    index: HashMap<u32, usize>,
    properties: Vec<Property>,
    associations: usize,
    entries: usize,
    references: Vec<Reference>,
    targets: usize,
    held: Reservation,
}

impl<'a> Meta<'a> {
    /// Parses the content of the box in `reader`.
    pub(crate) fn parse(mut reader: Reader<'a>, work: &Work) -> Result<Self, Error> {
        let (bytes, format) = (reader.bytes, reader.format);
        let mut meta = Self {
            bytes,
            format,
            primary: 0,
            items: Vec::new(),
            index: HashMap::new(),
            properties: Vec::new(),
            associations: 0,
            entries: 0,
            references: Vec::new(),
            targets: 0,
            held: work.take(0)?,
        };
        reader.version_and_flags()?;
        let mut location_box = None;
        let mut idat = 0..0;
        let mut boxes = 0_u32;
        while let Some(header) = reader.next_box()? {
            let mut r = reader.inside(&header.body);
            match &header.kind {
                b"hdlr" => {
                    r.version_and_flags()?;
                    r.u32()?;
                    if &r.kind()? != b"pict" {
                        return Err(unsupported(format, "a file without a still image"));
                    }
                }
                b"pitm" => {
                    let version = r.version_and_flags()?.0;
                    meta.primary = if version == 0 { u32::from(r.u16()?) } else { r.u32()? };
                }
                b"iinf" => meta.read_infos(&mut r, work)?,
                b"iloc" => location_box = Some(r),
                b"idat" => idat = header.body,
                b"iref" => meta.read_references(&mut r, work)?,
                b"iprp" => {
                    while let Some(inner) = r.next_box()? {
                        let mut r = r.inside(&inner.body);
                        match &inner.kind {
                            b"ipco" => meta.read_properties(&mut r)?,
                            b"ipma" => meta.read_associations(&mut r)?,
                            _ => {}
                        }
                        tick(&mut boxes, work)?;
                    }
                }
                _ => {}
            }
            meta.held.grow_to(meta.bytes_held())?;
            tick(&mut boxes, work)?;
        }
        let mut location_box = location_box.ok_or_else(|| damaged(format, "no item locations"))?;
        locations::read(&mut location_box, &idat, |(id, extents)| {
            tick(&mut boxes, work)?;
            meta.item(id)?.extents = Some(extents);
            Ok(())
        })?;
        meta.held.grow_to(meta.bytes_held())?;
        Ok(meta)
    }

    /// Bytes of all lists, which are bounded by the limits above.
    fn bytes_held(&self) -> usize {
        self.items.capacity() * (size_of::<Item>() + 2 * size_of::<(u32, usize)>())
            + self.properties.capacity() * size_of::<Property>()
            + self.associations * size_of::<Association>() * 2
            + self.references.capacity() * size_of::<Reference>()
    }

    /// The item, created at its first use.
    fn item(&mut self, id: u32) -> Result<&mut Item, Error> {
        let next = self.items.len();
        let at = *self.index.entry(id).or_insert(next);
        if at == next {
            if next >= MAX_ITEMS {
                return Err(unsupported(self.format, "more than 4096 items"));
            }
            self.items.push(Item { id, ..Item::default() });
        }
        Ok(&mut self.items[at])
    }

    fn read_infos(&mut self, r: &mut Reader<'_>, work: &Work) -> Result<(), Error> {
        let count_bytes = if r.version_and_flags()?.0 == 0 { 2 } else { 4 };
        r.take(count_bytes)?;
        let mut boxes = 0;
        while let Some(header) = r.next_box()? {
            tick(&mut boxes, work)?;
            if &header.kind != b"infe" {
                continue;
            }
            let mut r = r.inside(&header.body);
            let id = match r.version_and_flags()?.0 {
                2 => u32::from(r.u16()?),
                3 => r.u32()?,
                _ => continue,
            };
            let protected = r.u16()? != 0;
            let kind = r.kind()?;
            self.item(id)?.kind = if protected { *b"drm " } else { kind };
        }
        Ok(())
    }

    fn read_references(&mut self, r: &mut Reader<'_>, work: &Work) -> Result<(), Error> {
        let width = if r.version_and_flags()?.0 == 0 { 2 } else { 4 };
        let mut boxes = 0;
        while let Some(header) = r.next_box()? {
            tick(&mut boxes, work)?;
            let mut r = r.inside(&header.body);
            let from = r.number(width)? as u32;
            let count = r.u16()?;
            let at = r.at;
            r.take(usize::from(count) * width)?;
            self.targets += usize::from(count);
            if self.references.len() >= MAX_ITEMS || self.targets > MAX_TARGETS {
                return Err(unsupported(self.format, "more than 4096 references, or 65,536 items in them"));
            }
            self.references.push(Reference { kind: header.kind, from, at, width, count });
        }
        Ok(())
    }

    fn read_properties(&mut self, r: &mut Reader<'_>) -> Result<(), Error> {
        while let Some(header) = r.next_box()? {
            let body = header.body;
            let mut r = r.inside(&body);
            let property = match &header.kind {
                b"ispe" => {
                    r.version_and_flags()?;
                    Property::Size(r.u32()?, r.u32()?)
                }
                b"av1C" => {
                    r.take(4)?;
                    Property::Av1Config(r.at..body.end)
                }
                b"colr" => match &r.kind()? {
                    b"nclx" => Property::Cicp(Cicp {
                        primaries: r.u16()?.min(255) as u8,
                        transfer: r.u16()?.min(255) as u8,
                        matrix: r.u16()?.min(255) as u8,
                        full_range: r.u8()? & 0x80 != 0,
                    }),
                    b"prof" | b"rICC" => Property::Icc(r.at..body.end),
                    _ => Property::Other,
                },
                b"irot" => Property::Rotate(r.u8()? & 3),
                b"imir" => Property::Mirror(r.u8()? & 1),
                b"clap" => {
                    let mut fraction =
                        || -> Result<_, Error> { Ok((r.u32()?.cast_signed(), r.u32()?.cast_signed())) };
                    Property::CleanAperture(Aperture {
                        size: [fraction()?, fraction()?],
                        offset: [fraction()?, fraction()?],
                    })
                }
                b"auxC" => {
                    r.version_and_flags()?;
                    Property::Auxiliary(r.at..body.end)
                }
                b"pixi" | b"pasp" | b"clli" | b"mdcv" | b"cclv" | b"amve" | b"a1lx" | b"ndwt" | b"reve" => {
                    Property::Other
                }
                other => Property::Unknown(*other),
            };
            if self.properties.len() >= MAX_ITEMS {
                return Err(unsupported(self.format, "more than 4096 properties"));
            }
            self.properties.push(property);
        }
        Ok(())
    }

    fn read_associations(&mut self, r: &mut Reader<'_>) -> Result<(), Error> {
        let (version, flags) = r.version_and_flags()?;
        let count = r.u32()?;
        // Identifiers in the box are unique (8.11.14 of ISO/IEC 14496-12).
        self.entries = self.entries.saturating_add(count as usize);
        if self.entries > MAX_ENTRIES {
            return Err(unsupported(self.format, "properties of more than 16,384 items"));
        }
        for _ in 0..count {
            let id = if version == 0 { u32::from(r.u16()?) } else { r.u32()? };
            let n = r.u8()?;
            self.associations += usize::from(n);
            if self.associations > MAX_ASSOCIATIONS {
                return Err(unsupported(self.format, "more than 65,536 properties of items"));
            }
            let item = self.item(id)?;
            if item.properties.len() + usize::from(n) > 256 {
                return Err(damaged(self.format, "an item with more than 256 properties"));
            }
            for _ in 0..n {
                item.properties.push(if flags & 1 == 0 {
                    let v = r.u8()?;
                    Association { index: u16::from(v & 0x7F), essential: v & 0x80 != 0 }
                } else {
                    let v = r.u16()?;
                    Association { index: v & 0x7FFF, essential: v & 0x8000 != 0 }
                });
            }
        }
        Ok(())
    }

    pub(crate) fn primary(&self) -> Result<&Item, Error> {
        self.find(self.primary).ok_or_else(|| damaged(self.format, "no primary item"))
    }

    #[cfg(feature = "heic")]
    pub(crate) fn items(&self) -> &[Item] {
        &self.items
    }

    pub(crate) fn find(&self, id: u32) -> Option<&Item> {
        self.index.get(&id).and_then(|&at| self.items.get(at))
    }

    fn property(&self, association: Association) -> Option<&Property> {
        self.properties.get(usize::from(association.index).checked_sub(1)?)
    }

    /// The properties of `item` in the order of the file, and whether a reader must understand each.
    pub(crate) fn properties_of(&self, item: &Item) -> impl Iterator<Item = (&Property, bool)> {
        item.properties.iter().filter_map(|&a| Some((self.property(a)?, a.essential)))
    }

    /// The targets of the first reference of this kind from `from`.
    pub(crate) fn targets(&self, kind: [u8; 4], from: u32) -> Option<impl Iterator<Item = u32>> {
        let reference = self.references.iter().find(|r| r.kind == kind && r.from == from)?;
        Some(self.targets_of(*reference))
    }

    /// The first accepted item that refers to `to` by this kind.
    pub(crate) fn referrer(&self, kind: [u8; 4], to: u32, accept: impl Fn(&Item) -> bool) -> Option<&Item> {
        let mut candidates = self.references.iter().filter(|r| r.kind == kind);
        candidates.find_map(|r| {
            let item = self.find(r.from).filter(|item| accept(item))?;
            self.targets_of(*r).any(|id| id == to).then_some(item)
        })
    }

    fn targets_of(&self, reference: Reference) -> impl Iterator<Item = u32> {
        let length = usize::from(reference.count) * reference.width;
        let list = self.bytes.get(reference.at..reference.at + length).unwrap_or_default();
        list.chunks_exact(reference.width).map(|id| id.iter().fold(0, |v, &b| v << 8 | u32::from(b)))
    }
}

/// Checks the deadline every [`BOXES_PER_CHECK`] boxes.
pub(crate) fn tick(boxes: &mut u32, work: &Work) -> Result<(), Error> {
    *boxes = boxes.wrapping_add(1);
    if boxes.is_multiple_of(BOXES_PER_CHECK) {
        work.check()?;
    }
    Ok(())
}
