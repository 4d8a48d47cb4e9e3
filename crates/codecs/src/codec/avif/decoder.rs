//! AV1 pictures from rav1d, tile by tile.

use re_rav1d::dav1d::{Decoder, Error as Av1Error, PixelLayout, PlanarImageComponent, Plane, Settings};

use super::container::Image;
use super::error::damaged;
use super::obu;
use crate::codec::heif::Extents;
use crate::{Error, Format};
use work::{Reservation, Work};

/// Most frames in the data of one tile. A still picture has one, a layered one at most four; each takes a picture's memory.
const MAX_FRAMES: usize = 8;

/// The rows of an image of one or more tiles; one row of tiles is held at a time.
pub(super) struct Tiles<'a> {
    bytes: &'a [u8],
    image: Image,
    /// The decoded tiles of row `row`.
    decoded: Vec<Tile>,
    row: Option<u32>,
    work: &'a Work,
}

struct Tile {
    /// Luma, and chroma unless monochrome.
    planes: Vec<Plane>,
    strides: [usize; 2],
    _held: Reservation,
}

/// Bytes for decoding one row of tiles: the pictures, and the decoder's own tables for one of them.
pub(super) fn decoder_bytes(image: &Image) -> u64 {
    let columns = u64::from(image.columns);
    tile_bytes(image) * columns + u64::from(image.tile_width) * u64::from(image.tile_height) / 2 + (2 << 20)
}

/// A picture is stored in whole 128 × 128 blocks.
fn tile_bytes(image: &Image) -> u64 {
    let round = |v: u32| u64::from(v.next_multiple_of(128)) + 64;
    let samples = round(image.tile_width) * round(image.tile_height);
    let sequence = &image.sequence;
    let chroma = if sequence.monochrome {
        0
    } else {
        2 * (samples >> (sequence.subsampling.0 + sequence.subsampling.1))
    };
    (samples + chroma) * if sequence.depth > 8 { 2 } else { 1 }
}

impl<'a> Tiles<'a> {
    pub(super) fn new(bytes: &'a [u8], image: Image, work: &'a Work) -> Self {
        Self { bytes, image, decoded: Vec::new(), row: None, work }
    }

    pub(super) fn image(&self) -> &Image {
        &self.image
    }

    /// Decodes up to luma row `y`.
    pub(super) fn reach(&mut self, y: u32) -> Result<(), Error> {
        let row = y / self.image.tile_height;
        if self.row == Some(row) {
            return Ok(());
        }
        self.decoded.clear();
        self.row = None;
        let first = (row * self.image.columns) as usize;
        for i in first..first + self.image.columns as usize {
            self.work.check()?;
            let tile = self.decode(self.image.tiles[i])?;
            self.decoded.push(tile);
        }
        self.row = Some(row);
        Ok(())
    }

    fn decode(&self, parts: Extents) -> Result<Tile, Error> {
        let image = &self.image;
        let sequence = &image.sequence;
        if sequence.max_width < image.tile_width || sequence.max_height < image.tile_height {
            return Err(damaged("the picture is smaller than the container says"));
        }
        let size = parts.total(self.bytes)?;
        let own = u64::from(image.tile_width) * u64::from(image.tile_height) / 2 + (2 << 20);
        let _own = self.work.take(own as usize + size)?;
        let held = self.work.take(tile_bytes(image) as usize)?;
        let mut data = Vec::with_capacity(size);
        for part in parts.ranges(self.bytes) {
            data.extend_from_slice(&self.bytes[part?]);
        }
        if obu::frames(&data) > MAX_FRAMES {
            return Err(damaged("the stream has more frames than a layered still picture"));
        }
        let failed = |error: Av1Error| match error {
            Av1Error::NotEnoughMemory => Error::Work(work::Error::MemoryBudget { requested: held.bytes() }),
            other => Error::Malformed { format: Format::Avif, reason: format!("AV1: {other}") },
        };
        let mut settings = Settings::new();
        settings.set_n_threads(1);
        settings.set_max_frame_delay(1);
        settings.set_all_layers(false);
        settings.set_frame_size_limit(image.tile_width.saturating_mul(image.tile_height));
        let mut decoder = Decoder::with_settings(&settings).map_err(failed)?;
        let mut sent = decoder.send_data(data, None, None, None);
        let mut picture = None;
        // One unit of data may contain several layers, of which the last is the best.
        for _ in 0..64 {
            match decoder.get_picture() {
                Ok(p) => picture = Some(p),
                Err(Av1Error::Again) if matches!(sent, Err(Av1Error::Again)) => {}
                Err(Av1Error::Again) => break,
                Err(error) => return Err(failed(error)),
            }
            if matches!(sent, Err(Av1Error::Again)) {
                sent = decoder.send_pending_data();
            }
        }
        if let Err(error) = sent
            && error != Av1Error::Again
        {
            return Err(failed(error));
        }
        let picture = picture.ok_or(Error::Truncated(Format::Avif))?;
        let layout = match (sequence.monochrome, sequence.subsampling) {
            (true, _) => PixelLayout::I400,
            (false, (1, 1)) => PixelLayout::I420,
            (false, (1, _)) => PixelLayout::I422,
            (false, _) => PixelLayout::I444,
        };
        if (picture.width(), picture.height()) != (image.tile_width, image.tile_height)
            || picture.pixel_layout() != layout
            || picture.bit_depth() != usize::from(sequence.depth)
        {
            return Err(damaged("the stream contradicts the container"));
        }
        let strides = [PlanarImageComponent::Y, PlanarImageComponent::U]
            .map(|component| picture.stride(component) as usize);
        let planes = (0..if sequence.monochrome { 1 } else { 3 }).map(|i| picture.plane(i.into())).collect();
        Ok(Tile { planes, strides, _held: held })
    }

    /// Row `y` of plane `index` (in rows of that plane) as samples, `out.len()` of them. Its row of tiles must
    /// have been decoded; rows beyond it repeat its last row.
    pub(super) fn samples(&self, index: usize, y: u32, out: &mut [u16]) {
        let sequence = &self.image.sequence;
        let (sx, sy) = if index == 0 { (0, 0) } else { sequence.subsampling };
        let (tile_width, tile_height) =
            ((self.image.tile_width + u32::from(sx)) >> sx, (self.image.tile_height + u32::from(sy)) >> sy);
        let top = self.row.unwrap_or(0) * tile_height;
        let row = y.clamp(top, top + tile_height - 1) - top;
        for (tile, out) in self.decoded.iter().zip(out.chunks_mut(tile_width as usize)) {
            let plane: &[u8] = &tile.planes[index];
            let from = row as usize * tile.strides[index.min(1)];
            if sequence.depth == 8 {
                for (o, &v) in out.iter_mut().zip(&plane[from..]) {
                    *o = u16::from(v);
                }
            } else {
                for (o, v) in out.iter_mut().zip(plane[from..].as_chunks::<2>().0) {
                    *o = u16::from_ne_bytes(*v);
                }
            }
        }
    }
}
