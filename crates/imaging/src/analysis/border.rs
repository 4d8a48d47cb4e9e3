//! Detects a uniform border, which may be noisy from lossy compression, or transparent.

use codecs::Raster;
use recipe::choices::border_difference;
use recipe::{BorderTrim, Color};
use work::Work;

use crate::Error;
use crate::choices::{TRIM_PIXELS_PER_STRAY, TRIM_SHORT_LINE, TRIM_STRAY_REACH};
use crate::rect::Window;

/// Columns examined together, so that memory is read by rows.
const BLOCK: usize = 64;

/// The window inside the border and `keep` pixels of the border; `None` if the whole image is border. The colour
/// of the border is the given one, or the one that most of the outermost pixels share. A difference is the
/// largest over the channels, on premultiplied colours, so that all fully transparent pixels are equal.
///
/// # Errors
/// Deadline and cancellation.
pub fn find(image: &Raster, trim: &BorderTrim, work: &Work) -> Result<Option<Window>, Error> {
    let (width, height) = (image.width as usize, image.height as usize);
    if width == 0 || height == 0 {
        return Ok(None);
    }
    let view = View {
        image,
        channels: image.layout.channels(0),
        tolerance: border_difference(trim.tolerance).into(),
    };
    let colour = match trim.color {
        Some(Color { r, g, b, a }) => premultiplied([r, g, b, a]),
        None => view.detect(),
    };
    let row_is_border = |y: usize| -> Result<bool, Error> {
        if y.is_multiple_of(64) {
            work.check()?;
        }
        if view.is_plain(y, colour) {
            return Ok(true);
        }
        let mut line = Line::default();
        for x in 0..width {
            line.add(view.difference(view.at(x, y), colour), view.tolerance);
            if line.is_broken(width) {
                break;
            }
        }
        Ok(line.is_border(width))
    };
    let mut top = 0;
    while top < height && row_is_border(top)? {
        top += 1;
    }
    if top == height {
        return Ok(None);
    }
    let mut bottom = height;
    while bottom > top + 1 && row_is_border(bottom - 1)? {
        bottom -= 1;
    }
    let left = view.columns(0..width, top..bottom, colour, work)?;
    if left == width {
        // The remaining rows contain only stray pixels.
        return Ok(None);
    }
    let right = width - view.columns((left + 1..width).rev(), top..bottom, colour, work)?;
    let keep = trim.keep as usize;
    let spread = |from: usize, to: usize, full: usize| {
        let from = from.saturating_sub(keep);
        (from as u32, (to.saturating_add(keep).min(full) - from) as u32)
    };
    let (x, w) = spread(left, right, width);
    let (y, h) = spread(top, bottom, height);
    Ok(Some(Window { x, y, width: w, height: h }))
}

/// The pixels of a row or column that differ from the border.
#[derive(Debug, Clone, Copy, Default)]
struct Line {
    strays: usize,
    broken: bool,
}

impl Line {
    fn add(&mut self, difference: i32, tolerance: i32) {
        if difference > tolerance {
            self.strays += 1;
            self.broken |= difference > tolerance * TRIM_STRAY_REACH;
        }
    }

    fn is_broken(self, length: usize) -> bool {
        let allowed = if length < TRIM_SHORT_LINE { 0 } else { length.div_ceil(TRIM_PIXELS_PER_STRAY) };
        self.broken || self.strays > allowed
    }

    fn is_border(self, length: usize) -> bool {
        !self.is_broken(length)
    }
}

#[derive(Debug, Clone, Copy)]
struct View<'a> {
    image: &'a Raster,
    channels: usize,
    tolerance: i32,
}

impl View<'_> {
    /// A pixel as premultiplied RGBA.
    fn at(&self, x: usize, y: usize) -> [i32; 4] {
        let p = &self.image.planes[0].row(y as u32)[x * self.channels..][..self.channels];
        premultiplied(match *p {
            [g] => [g, g, g, 255],
            [r, g, b] => [r, g, b, 255],
            [r, g, b, a, ..] => [r, g, b, a],
            _ => [0; 4],
        })
    }

    /// Whether all pixels of a row are border: the usual case, and fast to check.
    fn is_plain(&self, y: usize, colour: [i32; 4]) -> bool {
        let row = self.image.planes[0].row(y as u32);
        if self.channels == 4 && colour[3] == 0 {
            return row.chunks_exact(4).all(|p| p[3] == 0);
        }
        // Premultiplying does not change opaque colours.
        let reach = if self.channels == 4 { 0 } else { self.tolerance as u8 };
        let wanted = colour.map(|c| c as u8);
        colour[3] == 255
            && row
                .chunks_exact(self.channels)
                .all(|p| p.iter().zip(wanted).all(|(v, w)| v.abs_diff(w) <= reach))
    }

    fn difference(&self, a: [i32; 4], b: [i32; 4]) -> i32 {
        a.iter().zip(&b).map(|(a, b)| (a - b).abs()).max().unwrap_or(0)
    }

    /// The candidates are the medians of the outermost line of each side; the one nearest to most outermost pixels is taken.
    fn detect(&self) -> [i32; 4] {
        let (w, h) = (self.image.width as usize, self.image.height as usize);
        let sides: [Vec<[i32; 4]>; 4] = [
            (0..w).map(|x| self.at(x, 0)).collect(),
            (0..w).map(|x| self.at(x, h - 1)).collect(),
            (0..h).map(|y| self.at(0, y)).collect(),
            (0..h).map(|y| self.at(w - 1, y)).collect(),
        ];
        let median = |side: &Vec<[i32; 4]>| {
            std::array::from_fn(|c| {
                let mut values: Vec<i32> = side.iter().map(|p| p[c]).collect();
                let middle = values.len() / 2;
                *values.select_nth_unstable(middle).1
            })
        };
        let votes = |colour: [i32; 4]| {
            sides.iter().flatten().filter(|p| self.difference(**p, colour) <= self.tolerance).count()
        };
        let mut best = ([0; 4], 0);
        for colour in sides.iter().map(median) {
            let n = votes(colour);
            if n > best.1 {
                best = (colour, n);
            }
        }
        best.0
    }

    /// How many of `columns`, from the first on, are border within `rows`.
    fn columns(
        &self,
        columns: impl Iterator<Item = usize>,
        rows: std::ops::Range<usize>,
        colour: [i32; 4],
        work: &Work,
    ) -> Result<usize, Error> {
        let mut columns = columns.peekable();
        let mut found = 0;
        while columns.peek().is_some() {
            let block: Vec<usize> = columns.by_ref().take(BLOCK).collect();
            let mut lines = vec![Line::default(); block.len()];
            // Columns after a broken one are not examined.
            let mut open = block.len();
            for y in rows.clone() {
                if y.is_multiple_of(64) {
                    work.check()?;
                }
                for i in 0..open {
                    let line = &mut lines[i];
                    line.add(self.difference(self.at(block[i], y), colour), self.tolerance);
                    if line.is_broken(rows.len()) {
                        open = i;
                        break;
                    }
                }
                if open == 0 {
                    break;
                }
            }
            found += open;
            if open < block.len() {
                break;
            }
        }
        Ok(found)
    }
}

fn premultiplied([r, g, b, a]: [u8; 4]) -> [i32; 4] {
    let scaled = |c: u8| (i32::from(c) * i32::from(a) + 127) / 255;
    [scaled(r), scaled(g), scaled(b), a.into()]
}
