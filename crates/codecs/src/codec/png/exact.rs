//! Images of few colours, stored losslessly as palette indices while their rows arrive, instead of as a
//! bitmap.

use crate::quantise::ColourSet;
use crate::{Error, ImageSpec, Layout};
use work::{Reservation, Work};

/// Rows as indices, one byte a pixel, as long as a palette contains their colours.
#[derive(Debug)]
pub(super) struct ExactPalette {
    layout: Layout,
    width: usize,
    pixels: usize,
    colours: ColourSet,
    indices: Vec<u8>,
    held: Reservation,
}

impl ExactPalette {
    pub(super) fn new(image: ImageSpec, work: &Work) -> Result<Self, Error> {
        // More than 16 greys take a byte in a palette too.
        let limit = if image.layout == Layout::Gray { 16 } else { 256 };
        Ok(Self {
            layout: image.layout,
            width: image.width as usize,
            pixels: image.width as usize * image.height as usize,
            colours: ColourSet::new(limit),
            indices: Vec::new(),
            held: work.take(0)?,
        })
    }

    /// Adds one row. `false`: the row has too many colours and was not added.
    pub(super) fn push(&mut self, row: &[u8]) -> Result<bool, Error> {
        let needed = self.indices.len() + self.width;
        if needed > self.indices.capacity() {
            let capacity =
                (2 * self.indices.capacity()).max(needed).max(64 << 10).min(self.pixels.max(needed));
            self.held.grow_to(capacity)?;
            self.indices.reserve_exact(capacity - self.indices.len());
        }
        let before = self.indices.len();
        let fits = match self.layout {
            Layout::Gray => self.row(row.iter().map(|&y| [y, y, y, 255])),
            Layout::Rgb => self.row(row.as_chunks::<3>().0.iter().map(|&[r, g, b]| [r, g, b, 255])),
            _ => self.row(row.as_chunks::<4>().0.iter().copied()),
        };
        if !fits {
            self.indices.truncate(before);
        }
        Ok(fits)
    }

    fn row(&mut self, pixels: impl Iterator<Item = [u8; 4]>) -> bool {
        let mut last = None;
        for pixel in pixels {
            let index = match last {
                Some((colour, index)) if colour == pixel => index,
                _ => match self.colours.index(pixel) {
                    Some(index) => index,
                    None => return false,
                },
            };
            last = Some((pixel, index));
            self.indices.push(index);
        }
        true
    }

    /// The original rows.
    pub(super) fn rows(&self) -> impl Iterator<Item = Vec<u8>> {
        let channels = self.layout.channels(0);
        self.indices.chunks_exact(self.width.max(1)).map(move |row| {
            row.iter()
                .flat_map(|&i| self.colours.colours[usize::from(i)].into_iter().take(channels))
                .collect()
        })
    }

    /// Palette and indices, the entries with transparency first.
    pub(super) fn into_indexed(mut self) -> (Vec<[u8; 4]>, Vec<u8>, Reservation) {
        let mut order: Vec<usize> = (0..self.colours.colours.len()).collect();
        order.sort_unstable_by_key(|&i| (self.colours.colours[i][3], self.colours.colours[i]));
        let mut places = [0_u8; 256];
        for (place, &i) in order.iter().enumerate() {
            places[i] = place as u8;
        }
        self.indices.iter_mut().for_each(|i| *i = places[usize::from(*i)]);
        (order.iter().map(|&i| self.colours.colours[i]).collect(), self.indices, self.held)
    }
}
