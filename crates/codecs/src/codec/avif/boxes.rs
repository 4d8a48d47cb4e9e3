//! The HEIF container of AVIF: items, where they lie, what is said of them, how they refer to each other.
//! See ISO/IEC 14496-12, ISO/IEC 23008-12 and the AVIF specification.

use std::ops::Range;

use super::sequence::SequenceHeader;
use crate::{Error, Format, Orientation};

/// What can be shown: the primary image and, if there is one, its alpha.
#[derive(Debug)]
pub(super) struct Avif {
    pub(super) colour: Image,
    pub(super) alpha: Option<Image>,
    /// Colours were multiplied by alpha.
    pub(super) premultiplied: bool,
    /// A film comes with the still image.
    pub(super) film: bool,
    pub(super) orientation: Orientation,
    pub(super) icc: Option<Range<usize>>,
    /// Code points said by the container; else those of the AV1 sequence header count.
    pub(super) cicp: Option<Cicp>,
}

/// Code points of ITU-T H.273.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cicp {
    pub(super) primaries: u8,
    pub(super) transfer: u8,
    pub(super) matrix: u8,
    pub(super) full_range: bool,
}

/// A picture, alone or in tiles.
#[derive(Debug)]
pub(super) struct Image {
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) columns: u32,
    pub(super) tile_width: u32,
    pub(super) tile_height: u32,
    /// Where the data of each tile lies in the file, tile by tile, row by row.
    pub(super) tiles: Vec<Vec<Range<usize>>>,
    /// Of the first tile; the others must be of the same kind.
    pub(super) sequence: SequenceHeader,
}

const MAX_ITEMS: usize = 4096;
const MAX_SIDE: u32 = 65536;

pub(super) fn damaged(reason: &str) -> Error {
    Error::Malformed { format: Format::Avif, reason: reason.to_owned() }
}

fn unsupported(what: &str) -> Error {
    Error::Unsupported(format!("AVIF: {what}"))
}

const TRUNCATED: Error = Error::Truncated(Format::Avif);

/// Big-endian numbers within `bytes[at..end]`.
#[derive(Clone)]
struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    end: usize,
}

struct Header {
    kind: [u8; 4],
    body: Range<usize>,
}

impl<'a> Reader<'a> {
    fn within(bytes: &'a [u8], range: &Range<usize>) -> Self {
        Self { bytes, at: range.start, end: range.end }
    }

    fn take(&mut self, n: usize) -> Result<&'a [u8], Error> {
        let end = self.at.checked_add(n).filter(|&e| e <= self.end).ok_or(damaged("a box is too short"))?;
        let part = self.bytes.get(self.at..end).ok_or(TRUNCATED)?;
        self.at = end;
        Ok(part)
    }

    /// A number of 0, 1, 2, 3, 4 or 8 bytes.
    fn number(&mut self, n: usize) -> Result<u64, Error> {
        Ok(self.take(n)?.iter().fold(0, |v, &b| v << 8 | u64::from(b)))
    }

    fn u8(&mut self) -> Result<u8, Error> {
        Ok(self.number(1)? as u8)
    }

    fn u16(&mut self) -> Result<u16, Error> {
        Ok(self.number(2)? as u16)
    }

    fn u32(&mut self) -> Result<u32, Error> {
        Ok(self.number(4)? as u32)
    }

    fn kind(&mut self) -> Result<[u8; 4], Error> {
        Ok(self.take(4)?.try_into().unwrap_or_default())
    }

    /// Version and flags of a full box.
    fn full(&mut self) -> Result<(u8, u32), Error> {
        let v = self.u32()?;
        Ok(((v >> 24) as u8, v & 0xFF_FFFF))
    }

    /// The next box; `self` then stands behind it.
    fn header(&mut self) -> Result<Option<Header>, Error> {
        if self.at >= self.end {
            return Ok(None);
        }
        let start = self.at;
        let small = self.u32()?;
        let kind = self.kind()?;
        let size = match small {
            0 => self.end - start,
            1 => usize::try_from(self.number(8)?).map_err(|_| damaged("box size"))?,
            n => n as usize,
        };
        let end = start.checked_add(size).filter(|&e| e >= self.at).ok_or(damaged("box size"))?;
        if end > self.end {
            // At the top level the file is too short, elsewhere the box around is.
            return Err(if self.end == self.bytes.len() { TRUNCATED } else { damaged("box size") });
        }
        let body = self.at..end;
        self.at = end;
        Ok(Some(Header { kind, body }))
    }

    fn rest(&self) -> usize {
        self.end - self.at
    }
}

#[derive(Debug, Default)]
struct Item {
    id: u32,
    kind: [u8; 4],
    /// Indices into the list of properties, from 1, in the order said; true = essential.
    properties: Vec<(usize, bool)>,
    extents: Vec<Range<usize>>,
}

#[derive(Debug)]
enum Property {
    Size(u32, u32),
    Av1Config(Range<usize>),
    Cicp(Cicp),
    Icc(Range<usize>),
    /// Quarter turns against the clock.
    Rotate(u8),
    /// 0: top and bottom change places, 1: left and right do.
    Mirror(u8),
    /// The URN that says what an auxiliary image is.
    Auxiliary(Range<usize>),
    /// Known, and of no meaning to a decoder of the whole image.
    Other,
    Unknown([u8; 4]),
}

#[derive(Debug, Default)]
struct Meta {
    primary: u32,
    items: Vec<Item>,
    properties: Vec<Property>,
    /// Kind, from, to.
    references: Vec<([u8; 4], u32, Vec<u32>)>,
}

impl Avif {
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, Error> {
        let mut top = Reader::within(bytes, &(0..bytes.len()));
        let mut meta = None;
        let mut movie = false;
        let mut first = true;
        while top.rest() > 0 {
            if top.rest() < 8 {
                return Err(TRUNCATED);
            }
            let Some(header) = top.header()? else { break };
            if first && &header.kind != b"ftyp" {
                return Err(Error::NotAnImage);
            }
            first = false;
            movie |= &header.kind == b"moov";
            if &header.kind == b"meta" && meta.is_none() {
                meta = Some(Meta::parse(bytes, &header.body)?);
            }
        }
        let missing = if movie { unsupported("a film without a still image") } else { TRUNCATED };
        Ok(Self { film: movie, ..meta.ok_or(missing)?.assemble(bytes)? })
    }
}

impl Meta {
    fn parse(bytes: &[u8], body: &Range<usize>) -> Result<Self, Error> {
        let mut meta = Self::default();
        let mut reader = Reader::within(bytes, body);
        reader.full()?;
        let mut locations = None;
        let mut idat = 0..0;
        while let Some(header) = reader.header()? {
            let mut r = Reader::within(bytes, &header.body);
            match &header.kind {
                b"hdlr" => {
                    r.full()?;
                    r.u32()?;
                    if &r.kind()? != b"pict" {
                        return Err(unsupported("a file without a still image"));
                    }
                }
                b"pitm" => meta.primary = if r.full()?.0 == 0 { u32::from(r.u16()?) } else { r.u32()? },
                b"iinf" => meta.infos(&mut r)?,
                b"iloc" => locations = Some(r),
                b"idat" => idat = header.body,
                b"iref" => meta.references(&mut r)?,
                b"iprp" => {
                    while let Some(inner) = r.header()? {
                        let mut r = Reader::within(bytes, &inner.body);
                        match &inner.kind {
                            b"ipco" => meta.properties(&mut r)?,
                            b"ipma" => meta.associations(&mut r)?,
                            _ => {}
                        }
                    }
                }
                _ => {}
            }
        }
        meta.locations(&mut locations.ok_or(damaged("no item locations"))?, &idat)?;
        Ok(meta)
    }

    fn item(&mut self, id: u32) -> Result<&mut Item, Error> {
        if let Some(at) = self.items.iter().position(|i| i.id == id) {
            return Ok(&mut self.items[at]);
        }
        if self.items.len() >= MAX_ITEMS {
            return Err(unsupported("more than 4096 items"));
        }
        self.items.push(Item { id, ..Item::default() });
        let last = self.items.len() - 1;
        Ok(&mut self.items[last])
    }

    fn infos(&mut self, r: &mut Reader<'_>) -> Result<(), Error> {
        let _count = if r.full()?.0 == 0 { u64::from(r.u16()?) } else { u64::from(r.u32()?) };
        while let Some(header) = r.header()? {
            if &header.kind != b"infe" {
                continue;
            }
            let mut r = Reader::within(r.bytes, &header.body);
            let id = match r.full()?.0 {
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

    fn references(&mut self, r: &mut Reader<'_>) -> Result<(), Error> {
        let width = if r.full()?.0 == 0 { 2 } else { 4 };
        while let Some(header) = r.header()? {
            let mut r = Reader::within(r.bytes, &header.body);
            let from = r.number(width)? as u32;
            let count = r.u16()?;
            let to = (0..count).map(|_| Ok(r.number(width)? as u32)).collect::<Result<Vec<_>, Error>>()?;
            if self.references.len() >= MAX_ITEMS {
                return Err(unsupported("more than 4096 references"));
            }
            self.references.push((header.kind, from, to));
        }
        Ok(())
    }

    fn properties(&mut self, r: &mut Reader<'_>) -> Result<(), Error> {
        while let Some(header) = r.header()? {
            let body = header.body;
            let mut r = Reader::within(r.bytes, &body);
            let property = match &header.kind {
                b"ispe" => {
                    r.full()?;
                    Property::Size(r.u32()?, r.u32()?)
                }
                b"av1C" => {
                    r.take(4)?;
                    Property::Av1Config(body)
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
                b"auxC" => {
                    r.full()?;
                    let start = r.at;
                    let length =
                        r.bytes[start..body.end].iter().position(|&b| b == 0).unwrap_or(body.end - start);
                    Property::Auxiliary(start..start + length)
                }
                b"pixi" | b"pasp" | b"clli" | b"mdcv" | b"cclv" | b"amve" | b"a1lx" | b"ndwt" | b"reve" => {
                    Property::Other
                }
                other => Property::Unknown(*other),
            };
            if self.properties.len() >= MAX_ITEMS {
                return Err(unsupported("more than 4096 properties"));
            }
            self.properties.push(property);
        }
        Ok(())
    }

    fn associations(&mut self, r: &mut Reader<'_>) -> Result<(), Error> {
        let (version, flags) = r.full()?;
        let count = r.u32()?;
        for _ in 0..count {
            let id = if version == 0 { u32::from(r.u16()?) } else { r.u32()? };
            let n = r.u8()?;
            let item = self.item(id)?;
            for _ in 0..n {
                let (index, essential) = if flags & 1 == 0 {
                    let v = r.u8()?;
                    (usize::from(v & 0x7F), v & 0x80 != 0)
                } else {
                    let v = r.u16()?;
                    (usize::from(v & 0x7FFF), v & 0x8000 != 0)
                };
                if item.properties.len() >= 256 {
                    return Err(damaged("an item with more than 256 properties"));
                }
                item.properties.push((index, essential));
            }
        }
        Ok(())
    }

    fn locations(&mut self, r: &mut Reader<'_>, idat: &Range<usize>) -> Result<(), Error> {
        let (version, _) = r.full()?;
        let sizes = r.u16()?;
        let nibble = |at: u32| usize::from(sizes >> at & 15);
        let (offset_size, length_size, base_size) = (nibble(12), nibble(8), nibble(4));
        let index_size = if version > 0 { nibble(0) } else { 0 };
        if [offset_size, length_size, base_size, index_size].iter().any(|s| ![0, 4, 8].contains(s)) {
            return Err(damaged("item location sizes"));
        }
        let wide = if version < 2 { 2 } else { 4 };
        let count = r.number(wide)?;
        let limit = r.bytes.len();
        let mut sum = 0;
        for _ in 0..count {
            let id = r.number(wide)? as u32;
            let method = if version > 0 { r.u16()? & 15 } else { 0 };
            let elsewhere = r.u16()? != 0 || method > 1;
            let base = r.number(base_size)?;
            let extents = r.u16()?;
            let item = self.item(id)?;
            item.extents.clear();
            for _ in 0..extents {
                r.number(index_size)?;
                let (offset, length) = (r.number(offset_size)?, r.number(length_size)?);
                if elsewhere || item.extents.len() >= MAX_ITEMS || sum >= MAX_ITEMS * 4 {
                    continue;
                }
                sum += 1;
                let (shift, end) = if method == 1 { (idat.start, idat.end) } else { (0, usize::MAX) };
                let start = usize::try_from(base)
                    .ok()
                    .zip(usize::try_from(offset).ok())
                    .and_then(|(b, o)| b.checked_add(o)?.checked_add(shift))
                    .ok_or(damaged("item location"))?;
                // A length of zero means: to the end.
                let stop = match usize::try_from(length).map_err(|_| damaged("item location"))? {
                    0 => end.min(limit),
                    n => start.checked_add(n).filter(|&e| e <= end).ok_or(damaged("item location"))?,
                };
                item.extents.push(start..stop);
            }
        }
        Ok(())
    }

    fn find(&self, id: u32) -> Option<&Item> {
        self.items.iter().find(|i| i.id == id)
    }

    fn of<'s>(&'s self, item: &'s Item) -> impl Iterator<Item = &'s Property> {
        item.properties.iter().filter_map(|(i, _)| self.properties.get(i.checked_sub(1)?))
    }

    fn assemble(&self, bytes: &[u8]) -> Result<Avif, Error> {
        let primary = self.find(self.primary).ok_or(damaged("no primary item"))?;
        for &(i, essential) in &primary.properties {
            let property = i.checked_sub(1).and_then(|i| self.properties.get(i));
            if let (true, Some(Property::Unknown(kind))) = (essential, property) {
                return Err(unsupported(&format!("the essential property {}", kind.escape_ascii())));
            }
            // A crop that is not essential may be left out by its own word.
            if matches!(property, Some(Property::Unknown([b'c', b'l', b'a', b'p']))) {
                return Err(unsupported("a clean aperture"));
            }
        }
        let mut out = Avif {
            colour: self.image(bytes, primary)?,
            alpha: None,
            premultiplied: false,
            film: false,
            orientation: Orientation::Upright,
            icc: None,
            cicp: None,
        };
        let (mut turns, mut mirror) = (0, None);
        for property in self.of(primary) {
            match property {
                Property::Cicp(c) => out.cicp = Some(*c),
                Property::Icc(range) => out.icc = Some(range.clone()),
                Property::Rotate(n) => {
                    // After a mirror, a turn is the opposite turn before it.
                    turns = if mirror.is_some() { (turns + 4 - n) % 4 } else { (turns + n) % 4 };
                }
                Property::Mirror(axis) => mirror = Some(*axis),
                _ => {}
            }
        }
        out.orientation = orientation(turns, mirror);
        let alpha = self.references.iter().find_map(|(kind, from, to)| {
            (kind == b"auxl" && to.contains(&self.primary)).then(|| self.find(*from)).flatten().filter(
                |item| {
                    self.of(item).any(|p| {
                        matches!(p, Property::Auxiliary(urn) if matches!(
                            &bytes[urn.clone()],
                            b"urn:mpeg:mpegB:cicp:systems:auxiliary:alpha" | b"urn:mpeg:hevc:2015:auxid:1"
                        ))
                    })
                },
            )
        });
        if let Some(item) = alpha {
            let image = self.image(bytes, item)?;
            if (image.width, image.height) != (out.colour.width, out.colour.height) {
                return Err(unsupported("alpha of another size than the image"));
            }
            out.premultiplied = self
                .references
                .iter()
                .any(|(kind, from, to)| kind == b"prem" && *from == self.primary && to.contains(&item.id));
            out.alpha = Some(image);
        }
        Ok(out)
    }

    fn image(&self, bytes: &[u8], item: &Item) -> Result<Image, Error> {
        match &item.kind {
            b"av01" => {
                let (width, height) = self.size(item)?;
                Ok(Image {
                    width,
                    height,
                    columns: 1,
                    tile_width: width,
                    tile_height: height,
                    tiles: vec![extents(bytes, item)?],
                    sequence: self.sequence(bytes, item)?,
                })
            }
            b"grid" => self.grid(bytes, item),
            other => Err(unsupported(&format!("a primary item of type {}", other.escape_ascii()))),
        }
    }

    fn grid(&self, bytes: &[u8], item: &Item) -> Result<Image, Error> {
        let parts = extents(bytes, item)?;
        let [body] = parts.as_slice() else { return Err(unsupported("a grid in pieces")) };
        let mut r = Reader::within(bytes, body);
        let _version = r.u8()?;
        let wide = if r.u8()? & 1 == 0 { 2 } else { 4 };
        let (rows, columns) = (u32::from(r.u8()?) + 1, u32::from(r.u8()?) + 1);
        let (width, height) = (r.number(wide)? as u32, r.number(wide)? as u32);
        check_size(width, height)?;
        let ids = self
            .references
            .iter()
            .find(|(kind, from, _)| kind == b"dimg" && *from == item.id)
            .map(|(_, _, to)| to)
            .filter(|to| to.len() as u32 == rows * columns)
            .ok_or(damaged("a grid without its tiles"))?;
        let first = self.find(ids[0]).ok_or(damaged("a grid without its tiles"))?;
        let (tile_width, tile_height) = self.size(first)?;
        if u64::from(tile_width) * u64::from(columns) < u64::from(width)
            || u64::from(tile_height) * u64::from(rows) < u64::from(height)
            || tile_width * (columns - 1) >= width
            || tile_height * (rows - 1) >= height
        {
            return Err(damaged("a grid that its tiles do not fill"));
        }
        if rows * columns > 1 && (tile_width % 2 != 0 || tile_height % 2 != 0) {
            return Err(unsupported("a grid of tiles with odd sides"));
        }
        let mut tiles = Vec::with_capacity(ids.len());
        for id in ids {
            let tile =
                self.find(*id).filter(|t| &t.kind == b"av01").ok_or(damaged("a grid tile is missing"))?;
            if self.size(tile)? != (tile_width, tile_height) {
                return Err(damaged("grid tiles differ in size"));
            }
            tiles.push(extents(bytes, tile)?);
        }
        let sequence = self.sequence(bytes, first)?;
        Ok(Image { width, height, columns, tile_width, tile_height, tiles, sequence })
    }

    fn size(&self, item: &Item) -> Result<(u32, u32), Error> {
        let (width, height) = self
            .of(item)
            .find_map(|p| if let Property::Size(w, h) = p { Some((*w, *h)) } else { None })
            .ok_or(damaged("an image without its size"))?;
        check_size(width, height)?;
        Ok((width, height))
    }

    /// The sequence header from the configuration, or else from the data.
    fn sequence(&self, bytes: &[u8], item: &Item) -> Result<SequenceHeader, Error> {
        let config = self
            .of(item)
            .find_map(|p| if let Property::Av1Config(range) = p { Some(range) } else { None })
            .ok_or(damaged("an image without its configuration"))?;
        if let Some(header) = SequenceHeader::find(&bytes[config.start + 4..config.end])? {
            return Ok(header);
        }
        let data = extents(bytes, item)?;
        let first = data.first().ok_or(damaged("an image without data"))?;
        SequenceHeader::find(&bytes[first.clone()])?.ok_or(damaged("no sequence header"))
    }
}

fn check_size(width: u32, height: u32) -> Result<(), Error> {
    if width == 0 || height == 0 {
        return Err(damaged("a side of zero pixels"));
    }
    if width > MAX_SIDE || height > MAX_SIDE {
        return Err(Error::TooLarge(format!("the AVIF image has {width} × {height} pixels")));
    }
    Ok(())
}

/// The item's parts, all of which lie inside the file.
fn extents(bytes: &[u8], item: &Item) -> Result<Vec<Range<usize>>, Error> {
    if item.extents.is_empty() {
        return Err(damaged("an image without data"));
    }
    if item.extents.iter().any(|e| e.end > bytes.len() || e.start > e.end) {
        return Err(TRUNCATED);
    }
    Ok(item.extents.clone())
}

/// Quarter turns against the clock, then a mirror, as an EXIF orientation.
fn orientation(turns: u8, mirror: Option<u8>) -> Orientation {
    match (turns % 4, mirror) {
        (0, None) => Orientation::Upright,
        (1, None) => Orientation::Rotate270,
        (2, None) => Orientation::Rotate180,
        (_, None) => Orientation::Rotate90,
        (0, Some(1)) | (2, Some(0)) => Orientation::MirrorHorizontal,
        (0 | 2, Some(_)) => Orientation::MirrorVertical,
        (1, Some(0)) | (3, Some(1)) => Orientation::Transpose,
        (_, Some(_)) => Orientation::Transverse,
    }
}

#[cfg(test)]
mod tests {
    use super::orientation;
    use crate::Orientation;

    /// Where the top left pixel and its right neighbour of an upright-to-be image go, on a 3 × 3 board.
    fn apply(o: Orientation, (x, y): (i32, i32)) -> (i32, i32) {
        match o {
            Orientation::Upright => (x, y),
            Orientation::MirrorHorizontal => (2 - x, y),
            Orientation::Rotate180 => (2 - x, 2 - y),
            Orientation::MirrorVertical => (x, 2 - y),
            Orientation::Transpose => (y, x),
            Orientation::Rotate90 => (2 - y, x),
            Orientation::Transverse => (2 - y, 2 - x),
            Orientation::Rotate270 => (y, 2 - x),
        }
    }

    #[test]
    fn turns_and_mirrors_are_one_orientation() {
        for turns in 0..4 {
            for mirror in [None, Some(0), Some(1)] {
                for at in [(0, 0), (1, 0), (0, 2)] {
                    let mut p = at;
                    for _ in 0..turns {
                        p = (p.1, 2 - p.0);
                    }
                    match mirror {
                        Some(0) => p.1 = 2 - p.1,
                        Some(_) => p.0 = 2 - p.0,
                        None => {}
                    }
                    assert_eq!(apply(orientation(turns, mirror), at), p, "{turns} {mirror:?}");
                }
            }
        }
    }
}
