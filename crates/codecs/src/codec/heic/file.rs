//! The structure of a HEIC file, checked before anything is allocated from its figures.

use heic_rs::context::Context;
use heic_rs::props::ItemProps;
use heic_rs::{ChromaFormat, Grid, MatrixCoefficients, Nclx, Range, transform};

use super::sps::Sequence;
use super::{damaged, failed, padded};
use crate::codec::heif;
use crate::{Error, Format};
use work::Work;

/// A picture of 100 megapixels has some 400 tiles of a phone's size.
const MOST_TILES: usize = 1024;

/// A picture: one coded picture, or a grid of them.
pub(super) struct Picture {
    pub(super) grid: Option<Grid>,
    /// Items, in the order of the grid.
    pub(super) tiles: Vec<u32>,
    pub(super) depth: u8,
    chroma: ChromaFormat,
    /// Luma samples in all coded pictures, and in the largest.
    coded: u64,
    largest: u64,
}

/// A file that can be decoded.
pub(super) struct Heic<'a> {
    pub(super) context: Context<'a>,
    /// Properties of the primary item.
    pub(super) props: ItemProps<'a>,
    pub(super) colour: Picture,
    pub(super) alpha: Option<Picture>,
    /// The colour space of the samples.
    pub(super) nclx: Nclx,
    /// The upright size.
    pub(super) size: (u32, u32),
}

impl<'a> Heic<'a> {
    pub(super) fn parse(bytes: &'a [u8], work: &Work) -> Result<Self, Error> {
        let context = Context::open(bounded(bytes, work)?).map_err(failed)?;
        let id = context.meta.primary;
        let props = context.props(id).map_err(failed)?;
        if context.meta.props.unknown_essential(id).is_some() {
            return Err(Error::Unsupported("HEIC: an unknown essential property".to_owned()));
        }
        let (width, height) = context.coded_size(id, &props).map_err(failed)?;
        if width == 0 || height == 0 {
            return Err(damaged("the width or height is 0"));
        }
        let size = transform::transformed_size(width, height, &props.transforms).map_err(failed)?;
        let (colour, sequence) = Picture::read(&context, id, (width, height))?;
        let alpha = match context.alpha_item(id).map_err(failed)? {
            Some(alpha) => Some(Picture::read(&context, alpha, (width, height))?.0),
            None => None,
        };
        let mut nclx = props.nclx;
        // A grid may have it in its tiles only.
        if nclx.is_none()
            && let Some(&tile) = colour.tiles.first()
        {
            nclx = context.props(tile).map_err(failed)?.nclx;
        }
        let nclx = resolve_nclx(nclx, &sequence)?;
        Ok(Self { context, props, colour, alpha, nclx, size })
    }

    /// Peak bytes of all samples during decoding.
    pub(super) fn bytes(&self) -> u64 {
        self.colour.bytes().saturating_add(self.alpha.as_ref().map_or(0, Picture::bytes))
    }
}

impl Picture {
    /// The picture of an item that is `width` × `height`, and the sequence of its first coded picture.
    fn read(
        context: &Context<'_>,
        item: u32,
        (width, height): (u32, u32),
    ) -> Result<(Self, Sequence), Error> {
        let (grid, tiles) = match context.grid(item).map_err(failed)? {
            Some((grid, tiles)) => {
                if (grid.output_width, grid.output_height) != (width, height) {
                    return Err(damaged("the size of the grid differs from the image"));
                }
                (Some(grid), tiles)
            }
            None => (None, vec![item]),
        };
        if tiles.len() > MOST_TILES {
            return Err(Error::Unsupported(format!("HEIC: more than {MOST_TILES} tiles")));
        }
        let (mut coded, mut largest) = (0u64, 0u64);
        let mut first = None;
        for &tile in &tiles {
            let props = context.props(tile).map_err(failed)?;
            let config = props.hvcc.ok_or(heic_rs::Error::MissingBox("hvcC")).map_err(failed)?;
            let sets = config.parameter_sets();
            let mut most = 0;
            // The coded picture selects one of them: none may be too large.
            for set in sets.iter().filter(|set| Sequence::is_one(set)) {
                let sequence =
                    Sequence::read(set).ok_or_else(|| damaged("a sequence parameter set ends early"))?;
                // The library fails on such pictures, or returns wrong colours.
                if matches!(sequence.chroma, 2 | 3) {
                    return Err(Error::Unsupported("HEIC: 4:2:2 and 4:4:4".to_owned()));
                }
                most = most.max(u64::from(sequence.width) * u64::from(sequence.height));
                first.get_or_insert(sequence);
            }
            coded = coded.saturating_add(most);
            largest = largest.max(most);
        }
        let sequence = first.ok_or_else(|| damaged("no sequence"))?;
        if coded > padded(width, height) {
            return Err(damaged("the coded pictures are much larger than the visible image"));
        }
        let chroma =
            ChromaFormat::from_idc(sequence.chroma).ok_or_else(|| damaged("an unknown chroma format"))?;
        Ok((Self { grid, tiles, depth: sequence.depth, chroma, coded, largest }, sequence))
    }

    pub(super) fn is_gray(&self) -> bool {
        self.chroma == ChromaFormat::Monochrome
    }

    /// Two bytes for each sample of all coded pictures, of the assembled grid, and of the filters' copies of the
    /// picture being decoded.
    fn bytes(&self) -> u64 {
        let halves = match self.chroma {
            ChromaFormat::Monochrome => 2,
            _ => 3,
        };
        let whole = self.grid.map_or(0, |g| u64::from(g.output_width) * u64::from(g.output_height));
        self.coded.saturating_add(whole).saturating_add(3 * self.largest / 2).saturating_mul(halves)
    }
}

/// The part of the file that is given to the library. The library trusts every count of the container and copies every
/// list, so that they are checked first. It refuses files with bytes after their boxes, so that those are cut off.
fn bounded<'a>(bytes: &'a [u8], work: &Work) -> Result<&'a [u8], Error> {
    let file = heif::File::parse(bytes, Format::Heic, work)?;
    let pictures = file.meta.items().iter().filter(|i| matches!(&i.kind, b"hvc1" | b"hev1" | b"grid"));
    let boxes = &bytes[..file.end];
    let mut total = 0_usize;
    let mut allowed = bytes.len();
    let mut inside = true;
    for extents in pictures.filter_map(|item| item.extents) {
        // The library reports an item without data.
        total = total.saturating_add(extents.total(bytes).unwrap_or(0));
        allowed += heif::SHARED_BYTES;
        inside &= extents.total(boxes).is_ok();
    }
    if total > allowed {
        return Err(damaged("most data of the items is shared"));
    }
    Ok(if inside { boxes } else { bytes })
}

/// The colour space of the samples: from the container, else from the coded picture, else BT.601.
fn resolve_nclx(nclx: Option<Nclx>, sequence: &Sequence) -> Result<Nclx, Error> {
    let mut nclx = nclx.unwrap_or_else(|| {
        let (primaries, transfer, matrix) = sequence.codes;
        Nclx {
            primaries: primaries.into(),
            transfer: transfer.into(),
            matrix: MatrixCoefficients::from_code(matrix.into()),
            matrix_code: matrix.into(),
            range: if sequence.full_range { Range::Full } else { Range::Limited },
        }
    });
    match nclx.matrix {
        MatrixCoefficients::Unspecified => nclx.matrix = MatrixCoefficients::Bt601,
        MatrixCoefficients::Other(code) => {
            return Err(Error::Unsupported(format!("HEIC: matrix coefficients {code}")));
        }
        _ => {}
    }
    Ok(nclx)
}
