//! The images of an AVIF file: the primary image, which is a coded picture or a grid of them, and its alpha.
//! See ISO/IEC 23008-12 and the AVIF specification.

use std::ops::Range;

use super::error::{damaged, unsupported};
use super::sequence::SequenceHeader;
use crate::codec::heif::{Cicp, Extents, File, Item, Meta, Property, Reader, SHARED_BYTES};
use crate::{Error, Format, Orientation};
use work::Work;

/// The primary image and its alpha, if any.
#[derive(Debug)]
pub(super) struct Avif {
    pub(super) colour: Image,
    pub(super) alpha: Option<Image>,
    /// Colours were multiplied by alpha.
    pub(super) premultiplied: bool,
    /// The file contains an image sequence beside the still image.
    pub(super) sequence: bool,
    pub(super) orientation: Orientation,
    /// The file gives a clean aperture that is not used.
    pub(super) ignored_aperture: bool,
    pub(super) icc: Option<Range<usize>>,
    /// Code points of the container; `None`: those of the AV1 sequence header count.
    pub(super) cicp: Option<Cicp>,
}

/// A picture, alone or in tiles.
#[derive(Debug)]
pub(super) struct Image {
    /// May be less than the tiles have, as in a grid that ends within them.
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) columns: u32,
    pub(super) tile_width: u32,
    pub(super) tile_height: u32,
    /// The data of each tile in the file, row by row.
    pub(super) tiles: Vec<Extents>,
    /// The header of the first tile; the others must be of the same kind.
    pub(super) sequence: SequenceHeader,
}

const MAX_SIDE: u32 = 65536;

impl Avif {
    pub(super) fn parse(bytes: &[u8], work: &Work) -> Result<Self, Error> {
        let file = File::parse(bytes, Format::Avif, work)?;
        Ok(Self { sequence: file.sequence, ..assemble(&file.meta, bytes)? })
    }

    /// Code points of the container, or else of the stream.
    pub(super) fn cicp(&self) -> Cicp {
        self.cicp.unwrap_or(self.colour.sequence.cicp)
    }
}

fn assemble(meta: &Meta<'_>, bytes: &[u8]) -> Result<Avif, Error> {
    let primary = meta.primary()?;
    for (property, essential) in meta.properties_of(primary) {
        if let (Property::Unknown(kind), true) = (property, essential) {
            return Err(unsupported(&format!("the essential property {}", kind.escape_ascii())));
        }
    }
    let mut out = Avif {
        colour: image(meta, bytes, primary)?,
        alpha: None,
        premultiplied: false,
        sequence: false,
        orientation: Orientation::Upright,
        ignored_aperture: false,
        icc: None,
        cicp: None,
    };
    let (mut turns, mut mirror) = (0, None);
    let mut aperture = None;
    for (property, _) in meta.properties_of(primary) {
        match property {
            Property::Cicp(c) => out.cicp = Some(*c),
            Property::Icc(range) => out.icc = Some(range.clone()),
            Property::Rotate(n) => {
                // A turn after a mirror equals the opposite turn before it.
                turns = if mirror.is_some() { (turns + 4 - n) % 4 } else { (turns + n) % 4 };
            }
            Property::Mirror(axis) => mirror = Some(*axis),
            Property::CleanAperture(part) => aperture = Some(*part),
            _ => {}
        }
    }
    out.orientation = orientation(turns, mirror);
    let is_alpha = |item: &Item| {
        meta.properties_of(item)
            .any(|(p, _)| matches!(p, Property::Auxiliary(range) if is_alpha_urn(&bytes[range.clone()])))
    };
    if let Some(item) = meta.referrer(*b"auxl", primary.id, is_alpha) {
        let image = image(meta, bytes, item)?;
        if (image.width, image.height) != (out.colour.width, out.colour.height) {
            return Err(unsupported("alpha whose size differs from the image"));
        }
        out.premultiplied = meta.referrer(*b"prem", item.id, |from| from.id == primary.id).is_some();
        out.alpha = Some(image);
    }
    // Browsers use a clean aperture at the top left corner, which removes padding, and ignore all others.
    if let Some(aperture) = aperture {
        match aperture.at_origin((out.colour.width, out.colour.height)) {
            Some((width, height)) => {
                for image in std::iter::once(&mut out.colour).chain(&mut out.alpha) {
                    (image.width, image.height) = (width, height);
                }
            }
            None => out.ignored_aperture = true,
        }
    }
    Ok(out)
}

/// Whether the URN of an `auxC` box marks an alpha plane.
fn is_alpha_urn(text: &[u8]) -> bool {
    [b"urn:mpeg:mpegB:cicp:systems:auxiliary:alpha".as_slice(), b"urn:mpeg:hevc:2015:auxid:1"]
        .into_iter()
        .any(|urn| text.strip_prefix(urn).is_some_and(|rest| matches!(rest.first(), None | Some(0))))
}

fn image(meta: &Meta<'_>, bytes: &[u8], item: &Item) -> Result<Image, Error> {
    match &item.kind {
        b"av01" => {
            let (width, height) = size(meta, item)?;
            let data = extents(item)?;
            data.total(bytes)?;
            Ok(Image {
                width,
                height,
                columns: 1,
                tile_width: width,
                tile_height: height,
                tiles: vec![data],
                sequence: sequence(meta, bytes, item)?,
            })
        }
        b"grid" => grid(meta, bytes, item),
        other => Err(unsupported(&format!("a primary item of type {}", other.escape_ascii()))),
    }
}

fn grid(meta: &Meta<'_>, bytes: &[u8], item: &Item) -> Result<Image, Error> {
    let no_tiles = || damaged("a grid has no tiles");
    let body = extents(item)?.single(bytes)?.ok_or_else(|| unsupported("a grid in several extents"))?;
    let mut r = Reader::within(bytes, &body, Format::Avif);
    let _version = r.u8()?;
    let wide = if r.u8()? & 1 == 0 { 2 } else { 4 };
    let (rows, columns) = (u32::from(r.u8()?) + 1, u32::from(r.u8()?) + 1);
    let (width, height) = (r.number(wide)? as u32, r.number(wide)? as u32);
    check_size(width, height)?;
    let mut first = None;
    let mut tiles: Vec<Extents> = Vec::new();
    let mut seen = std::collections::HashSet::new();
    let mut total = 0_usize;
    for id in meta.targets(*b"dimg", item.id).ok_or_else(no_tiles)? {
        // An identifier occurs at most once in a list of references (8.11.12 of ISO/IEC 14496-12), which bounds the tiles.
        let tile = meta.find(id).filter(|t| &t.kind == b"av01" && seen.insert(id)).ok_or_else(no_tiles)?;
        let tile_size = size(meta, tile)?;
        if tile_size != first.map_or(tile_size, |(_, size)| size) {
            return Err(damaged("grid tiles differ in size"));
        }
        first.get_or_insert((tile, tile_size));
        let data = extents(tile)?;
        total = total.saturating_add(data.total(bytes)?);
        tiles.push(data);
    }
    let (first, (tile_width, tile_height)) = first.ok_or_else(no_tiles)?;
    if tiles.len() as u64 != u64::from(rows) * u64::from(columns) {
        return Err(no_tiles());
    }
    if total > bytes.len() + tiles.len() * SHARED_BYTES {
        return Err(damaged("most data of the grid tiles is shared"));
    }
    if u64::from(tile_width) * u64::from(columns) < u64::from(width)
        || u64::from(tile_height) * u64::from(rows) < u64::from(height)
        || tile_width * (columns - 1) >= width
        || tile_height * (rows - 1) >= height
    {
        return Err(damaged("the tiles do not fill the grid"));
    }
    if rows * columns > 1 && (tile_width % 2 != 0 || tile_height % 2 != 0) {
        return Err(unsupported("a grid of tiles with odd sides"));
    }
    let sequence = sequence(meta, bytes, first)?;
    Ok(Image { width, height, columns, tile_width, tile_height, tiles, sequence })
}

fn size(meta: &Meta<'_>, item: &Item) -> Result<(u32, u32), Error> {
    let found = meta
        .properties_of(item)
        .find_map(|(p, _)| if let Property::Size(w, h) = p { Some((*w, *h)) } else { None });
    let (width, height) = found.ok_or_else(|| damaged("an image has no size"))?;
    check_size(width, height)?;
    Ok((width, height))
}

/// The sequence header from the configuration, or else from the data.
fn sequence(meta: &Meta<'_>, bytes: &[u8], item: &Item) -> Result<SequenceHeader, Error> {
    let config = meta
        .properties_of(item)
        .find_map(|(p, _)| if let Property::Av1Config(range) = p { Some(range) } else { None })
        .ok_or_else(|| damaged("an image has no configuration"))?;
    if let Some(header) = SequenceHeader::find(&bytes[config.clone()])? {
        return Ok(header);
    }
    let first = extents(item)?.first(bytes)?;
    SequenceHeader::find(&bytes[first])?.ok_or_else(|| damaged("no sequence header"))
}

fn extents(item: &Item) -> Result<Extents, Error> {
    item.extents.ok_or_else(|| damaged("an image has no data"))
}

fn check_size(width: u32, height: u32) -> Result<(), Error> {
    if width == 0 || height == 0 {
        return Err(damaged("a side has zero pixels"));
    }
    if width > MAX_SIDE || height > MAX_SIDE {
        return Err(Error::TooLarge(format!("the AVIF image has {width} × {height} pixels")));
    }
    Ok(())
}

/// Anticlockwise quarter turns, then a mirror, as an EXIF orientation.
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

    /// The position of a pixel after the orientation is applied, on a 3 × 3 board.
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
