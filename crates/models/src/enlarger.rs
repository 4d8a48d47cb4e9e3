//! A model with ESRGAN's shape that enlarges two or four times, run tile by tile.

use std::path::Path;

use codecs::{Layout, Raster};
use imaging::{EnlargeModel, Error};
use work::Work;

use crate::LoadError;
use crate::network::{File, Network, text};

/// The expected shape of a model file.
const EXPECTED: &str = "one input of 1×3×H×W floats (any H and W, or fixed ones) and a last output of 1×3×2H×2W or \
                        1×3×4H×4W";

/// Height and width of a tile if the model accepts any size.
const TILE: usize = 128;
/// Overlap of neighbouring tiles in pixels, discarded on each side; less for small tiles.
const OVERLAP: usize = 10;

const OPTION: &str = "upscale";

/// A super-resolution network.
#[derive(Debug)]
pub(crate) struct Enlarger {
    network: Network,
    scale: usize,
}

impl Enlarger {
    pub(crate) fn load(path: &Path) -> Result<Self, LoadError> {
        let file = File::read(path, EXPECTED)?;
        let shape = |found| LoadError::Shape { path: path.to_owned(), found, expected: EXPECTED };
        let (height, width) = match file.input {
            [None | Some(1), None | Some(3), h, w]
                if [h, w].iter().flatten().all(|n| (4..=4096).contains(n)) =>
            {
                (h.unwrap_or(TILE), w.unwrap_or(TILE))
            }
            other => {
                let axes = other.map(|n| n.map_or("any".to_owned(), |n| n.to_string()));
                return Err(shape(format!("its input is {}", axes.join("×"))));
            }
        };
        let network = file.fixed([1, 3, height, width], EXPECTED)?;
        let scale = [2, 4].into_iter().find(|s| network.output == [1, 3, s * height, s * width]);
        let Some(scale) = scale else {
            let (input, output) = (text(network.input), text(network.output));
            return Err(shape(format!("its last output for an input of {input} is {output}")));
        };
        Ok(Self { network, scale })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.network.path
    }

    pub(crate) fn capability(&self) -> EnlargeModel {
        EnlargeModel { scale: self.scale as u32, bytes: self.network.bytes + self.io_bytes() as u64 }
    }

    /// Bytes of a tile as floats, and of the output.
    fn io_bytes(&self) -> usize {
        let pixels = |shape: [usize; 4]| shape.iter().product::<usize>();
        (pixels(self.network.input) + pixels(self.network.output)) * size_of::<f32>()
    }

    /// `image`: RGB, of any size.
    pub(crate) fn run(&self, image: &Raster, work: &Work) -> Result<Raster, Error> {
        let (width, height) = (image.width as usize, image.height as usize);
        if image.layout != Layout::Rgb || width == 0 || height == 0 {
            return Err(Error::Internal("upscale: the image is not RGB".to_owned()));
        }
        let _held = work.take(self.io_bytes())?;
        let side = |pixels: usize| u32::try_from(pixels * self.scale);
        let (Ok(w), Ok(h)) = (side(width), side(height)) else {
            return Err(Error::TooLarge("upscale: the image is too large".to_owned()));
        };
        let mut out = Raster::new(Layout::Rgb, w, h, work)?;
        let [_, _, tile_height, tile_width] = self.network.input;
        let mut input = vec![0.0; 3 * tile_height * tile_width];
        for rows in spans(height, tile_height) {
            for columns in spans(width, tile_width) {
                copy_tile(image, &mut input, (columns.from, rows.from), (tile_width, tile_height));
                let made = self.network.run(&input, OPTION, work)?;
                self.paste(&made, &mut out, &columns, &rows);
            }
        }
        Ok(out)
    }

    /// Copies the kept part of a tile.
    fn paste(&self, made: &[f32], out: &mut Raster, columns: &Span, rows: &Span) {
        let s = self.scale;
        let [_, _, th, tw] = self.network.output;
        let stride = out.width as usize * 3;
        let data = out.data_mut();
        for y in rows.keep.start * s..rows.keep.end * s {
            let line = &mut data[y * stride..][..stride];
            let from_y = y - rows.from * s;
            for x in columns.keep.start * s..columns.keep.end * s {
                let at = from_y * tw + x - columns.from * s;
                for (c, to) in line[x * 3..x * 3 + 3].iter_mut().enumerate() {
                    *to = (made[c * th * tw + at].clamp(0.0, 1.0) * 255.0).round() as u8;
                }
            }
        }
    }
}

/// Fills a tile from the image, channel by channel on a scale of 0 to 1; the image's edges are extended.
fn copy_tile(image: &Raster, tile: &mut [f32], (left, top): (usize, usize), (width, height): (usize, usize)) {
    let (last_x, last_y) = (image.width as usize - 1, image.height as usize - 1);
    for y in 0..height {
        let row = image.planes[0].row((top + y).min(last_y) as u32);
        for x in 0..width {
            let pixel = &row[(left + x).min(last_x) * 3..][..3];
            for (c, &v) in pixel.iter().enumerate() {
                tile[(c * height + y) * width + x] = f32::from(v) / 255.0;
            }
        }
    }
}

/// The position of a tile along one axis, in pixels of the image.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Span {
    /// Its first pixel.
    from: usize,
    /// The pixels that are kept. All tiles together keep every pixel once.
    keep: std::ops::Range<usize>,
}

/// The tiles of `tile` pixels along an axis of `length`; a tile longer than the image begins at its start.
fn spans(length: usize, tile: usize) -> Vec<Span> {
    let overlap = OVERLAP.min(tile / 8);
    let mut spans = Vec::new();
    let mut start = 0;
    while start < length {
        let from = start.saturating_sub(overlap).min(length.saturating_sub(tile));
        let end = if from + tile >= length { length } else { from + tile - overlap };
        spans.push(Span { from, keep: start..end });
        start = end;
    }
    spans
}

#[cfg(test)]
mod tests {
    use super::{OVERLAP, spans};

    #[test]
    fn tiles_keep_every_pixel_once_and_overlap_their_neighbours() {
        for tile in [4, 8, 16, 100, 128] {
            let overlap = OVERLAP.min(tile / 8);
            for length in (1..300).chain([1000, 1024, 4096]) {
                let mut next = 0;
                for span in spans(length, tile) {
                    assert_eq!(span.keep.start, next);
                    assert!(!span.keep.is_empty());
                    assert!(span.from <= span.keep.start && span.keep.end <= span.from + tile);
                    // Inside the image, with a margin towards each neighbour.
                    assert!(span.from + tile <= length || span.from == 0);
                    assert!(span.keep.start == 0 || span.keep.start - span.from >= overlap);
                    assert!(span.keep.end == length || span.from + tile - span.keep.end >= overlap);
                    next = span.keep.end;
                }
                assert_eq!(next, length);
            }
        }
    }
}
