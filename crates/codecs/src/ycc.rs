//! Conversion between R G B and Y Cb Cr: BT.601, in full range (JFIF) or limited range ("studio swing").
//!
//! Encoders of 4:2:0 formats gather their planes here while rows arrive, so that the interleaved
//! bitmap is never held.

use crate::pixels::Plane;
use crate::{Error, Layout, PlaneRows, Rows, Subsampling};
use work::Work;

/// Code values of black and white.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Range {
    /// 0–255.
    Full,
    /// Luma 16–235, chroma 16–240.
    Limited,
}

/// Table from full-range luma to limited range.
pub(crate) fn luma_to_limited() -> [u8; 256] {
    std::array::from_fn(|v| (16 + (v * 219 + 127) / 255) as u8)
}

/// Table from full-range chroma to limited range.
pub(crate) fn chroma_to_limited() -> [u8; 256] {
    std::array::from_fn(|v| scale_chroma(v as i32, 224, 255))
}

/// Table from limited-range luma to full range; values outside the range are clamped.
pub(crate) fn luma_to_full() -> [u8; 256] {
    std::array::from_fn(|v| (((v as i32 - 16) * 255 + 109).div_euclid(219)).clamp(0, 255) as u8)
}

/// Table from limited-range chroma to full range.
pub(crate) fn chroma_to_full() -> [u8; 256] {
    std::array::from_fn(|v| scale_chroma(v as i32, 255, 224))
}

fn scale_chroma(v: i32, by: i32, of: i32) -> u8 {
    (128 + ((v - 128) * by * 2 + of).div_euclid(of * 2)).clamp(0, 255) as u8
}

/// Coefficients in 1/65536.
struct Weights {
    y: [i32; 3],
    cb: [i32; 3],
    cr: [i32; 3],
    y_offset: i32,
}

const FULL: Weights =
    Weights { y: [19595, 38470, 7471], cb: [-11058, -21710, 32768], cr: [32768, -27439, -5329], y_offset: 0 };

const LIMITED: Weights =
    Weights { y: [16829, 33039, 6416], cb: [-9714, -19070, 28784], cr: [28784, -24103, -4681], y_offset: 16 };

/// Gathers an image of any layout into 4:2:0 planes and, with alpha, a plane of alpha.
pub(crate) struct Gather420 {
    layout: Layout,
    range: Range,
    width: u32,
    height: u32,
    pub(crate) y: Plane,
    pub(crate) cb: Option<Plane>,
    pub(crate) cr: Option<Plane>,
    /// Straight alpha; only for `Layout::Rgba`.
    pub(crate) alpha: Option<Plane>,
    /// Whether any alpha was below 255.
    pub(crate) translucent: bool,
    /// The buffered even row, until its odd row arrives.
    pending: Vec<u8>,
    /// Whether that row has no alpha below 255.
    pending_opaque: bool,
    rows: u32,
    luma: [u8; 256],
    chroma: [u8; 256],
}

impl Gather420 {
    /// `gray_chroma`: whether grey input gets neutral chroma planes.
    ///
    /// # Errors
    /// Budget; [`Error::Unsupported`] for layouts other than Gray, Rgb, Rgba and Y Cb Cr 4:2:0.
    pub(crate) fn new(
        layout: Layout,
        width: u32,
        height: u32,
        range: Range,
        gray_chroma: bool,
        work: &Work,
    ) -> Result<Self, Error> {
        if matches!(layout, Layout::Cmyk) || matches!(layout, Layout::Ycc(s) if s != Subsampling::S420) {
            return Err(Error::Unsupported(format!("{layout:?} pixels in a 4:2:0 encoder")));
        }
        let (cw, ch) = (width.div_ceil(2), height.div_ceil(2));
        let with_chroma = layout != Layout::Gray || gray_chroma;
        let chroma_plane = || -> Result<Option<Plane>, Error> {
            if !with_chroma {
                return Ok(None);
            }
            let mut plane = Plane::new(cw, ch, 1, work)?;
            if layout == Layout::Gray {
                plane.data.fill(128);
            }
            Ok(Some(plane))
        };
        let identity: [u8; 256] = std::array::from_fn(|v| v as u8);
        Ok(Self {
            layout,
            range,
            width,
            height,
            y: Plane::new(width, height, 1, work)?,
            cb: chroma_plane()?,
            cr: chroma_plane()?,
            alpha: if layout.has_alpha() { Some(Plane::new(width, height, 1, work)?) } else { None },
            translucent: false,
            pending: Vec::new(),
            pending_opaque: true,
            rows: 0,
            luma: if range == Range::Limited { luma_to_limited() } else { identity },
            chroma: if range == Range::Limited { chroma_to_limited() } else { identity },
        })
    }

    pub(crate) fn push(&mut self, rows: Rows<'_>) -> Result<(), Error> {
        match self.layout {
            Layout::Gray | Layout::Ycc(_) => {
                for (i, part) in rows.planes().iter().enumerate().take(self.layout.planes()) {
                    let (plane, table) = match i {
                        0 => (Some(&mut self.y), &self.luma),
                        1 => (self.cb.as_mut(), &self.chroma),
                        _ => (self.cr.as_mut(), &self.chroma),
                    };
                    if let Some(plane) = plane {
                        copy_mapped(plane, part, table)?;
                    }
                    if i == 0 {
                        self.rows = self.rows.max(part.first + part.count);
                    }
                }
            }
            Layout::Rgb | Layout::Rgba => {
                let Some(part) = rows.planes().first() else { return Ok(()) };
                let stride = self.width as usize * self.layout.channels(0);
                for row in part.data.chunks_exact(stride.max(1)).take(part.count as usize) {
                    self.interleaved_row(row)?;
                }
            }
            Layout::Cmyk => {}
        }
        Ok(())
    }

    /// Finishes the image: the chroma of a last single row is computed from that row alone.
    ///
    /// # Errors
    /// [`Error::Unsupported`] when rows are missing.
    pub(crate) fn finish(&mut self) -> Result<(), Error> {
        if !self.pending.is_empty() {
            let row = std::mem::take(&mut self.pending);
            self.chroma_row(&row, &row, self.pending_opaque, self.rows - 1);
        }
        if self.rows != self.height {
            return Err(Error::Unsupported(format!("{} of {} rows were given", self.rows, self.height)));
        }
        Ok(())
    }

    fn interleaved_row(&mut self, row: &[u8]) -> Result<(), Error> {
        let y = self.rows;
        if y >= self.height {
            return Err(Error::Unsupported("more rows than announced".to_owned()));
        }
        let w = self.weights();
        let offset = (w.y_offset << 16) + (1 << 15);
        let luma = |p: &[u8]| {
            ((w.y[0] * i32::from(p[0]) + w.y[1] * i32::from(p[1]) + w.y[2] * i32::from(p[2]) + offset) >> 16)
                as u8
        };
        let mut opaque = true;
        if self.layout == Layout::Rgba {
            for (out, p) in self.y.row_mut(y).iter_mut().zip(row.as_chunks::<4>().0) {
                *out = luma(p);
            }
            if let Some(alpha) = &mut self.alpha {
                let mut all = 255;
                for (out, p) in alpha.row_mut(y).iter_mut().zip(row.as_chunks::<4>().0) {
                    *out = p[3];
                    all &= p[3];
                }
                opaque = all == 255;
                self.translucent |= !opaque;
            }
        } else {
            for (out, p) in self.y.row_mut(y).iter_mut().zip(row.as_chunks::<3>().0) {
                *out = luma(p);
            }
        }
        self.rows += 1;
        if y.is_multiple_of(2) {
            self.pending.clear();
            self.pending.extend_from_slice(row);
            self.pending_opaque = opaque;
        } else {
            let above = std::mem::take(&mut self.pending);
            self.chroma_row(&above, row, self.pending_opaque && opaque, y);
            self.pending = above;
            self.pending.clear();
        }
        Ok(())
    }

    fn weights(&self) -> &'static Weights {
        match self.range {
            Range::Full => &FULL,
            Range::Limited => &LIMITED,
        }
    }

    /// Chroma of the row pair that `y` belongs to: the mean of 2 × 2 pixels, weighted by alpha.
    fn chroma_row(&mut self, above: &[u8], below: &[u8], opaque: bool, y: u32) {
        let w = self.weights();
        let n = self.layout.channels(0);
        let (Some(cb), Some(cr)) = (&mut self.cb, &mut self.cr) else { return };
        let (cb, cr) = (cb.row_mut(y / 2), cr.row_mut(y / 2));
        let pairs = above.len() / (2 * n);
        let first = match (opaque, n) {
            (true, 3) => opaque_chroma::<3>(w, above, below, cb, cr),
            (true, 4) => opaque_chroma::<4>(w, above, below, cb, cr),
            _ => 0,
        };
        for x in first..cb.len() {
            // The last column of an odd width counts twice.
            let (p, q) = if x < pairs { (x * 2 * n, (x * 2 + 1) * n) } else { (x * 2 * n, x * 2 * n) };
            let quad = [&above[p..p + n], &above[q..q + n], &below[p..p + n], &below[q..q + n]];
            let weight: i32 = if n == 4 { quad.iter().map(|p| i32::from(p[3])).sum() } else { 0 };
            let mut sum = [0_i32; 3];
            for c in 0..3 {
                sum[c] = if weight != 4 * 255 && weight != 0 {
                    let s: i32 = quad.iter().map(|p| i32::from(p[c]) * i32::from(p[3])).sum();
                    (s * 4 + weight / 2) / weight
                } else {
                    quad.iter().map(|p| i32::from(p[c])).sum()
                };
            }
            cb[x] = chroma_code(&w.cb, sum);
            cr[x] = chroma_code(&w.cr, sum);
        }
    }
}

/// The code value of the mean of four pixels, from their sum: 16 + 2 bits.
fn chroma_code(k: &[i32; 3], s: [i32; 3]) -> u8 {
    ((k[0] * s[0] + k[1] * s[1] + k[2] * s[2] + (128 << 18) + (1 << 17)) >> 18).clamp(0, 255) as u8
}

/// Chroma of all whole pairs of columns, in a loop that the compiler vectorises. Returns their number.
fn opaque_chroma<const N: usize>(
    w: &Weights,
    above: &[u8],
    below: &[u8],
    cb: &mut [u8],
    cr: &mut [u8],
) -> usize {
    let (above, below) = (above.as_chunks::<N>().0, below.as_chunks::<N>().0);
    let (above, below) = (above.as_chunks::<2>().0, below.as_chunks::<2>().0);
    for (((a, b), cb), cr) in above.iter().zip(below).zip(cb).zip(cr) {
        let sum = std::array::from_fn(|c| {
            i32::from(a[0][c]) + i32::from(a[1][c]) + i32::from(b[0][c]) + i32::from(b[1][c])
        });
        *cb = chroma_code(&w.cb, sum);
        *cr = chroma_code(&w.cr, sum);
    }
    above.len()
}

fn copy_mapped(plane: &mut Plane, part: &PlaneRows<'_>, table: &[u8; 256]) -> Result<(), Error> {
    let stride = plane.stride();
    let from = part.first as usize * stride;
    let out = plane
        .data
        .get_mut(from..from + part.count as usize * stride)
        .filter(|out| out.len() == part.data.len())
        .ok_or_else(|| Error::Unsupported("rows that do not match the announced image".to_owned()))?;
    for (o, &v) in out.iter_mut().zip(part.data) {
        *o = table[v as usize];
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{Gather420, Range, chroma_to_full, chroma_to_limited, luma_to_full, luma_to_limited};
    use crate::{Layout, PlaneRows, Rows};
    use work::{Budget, Work};

    #[test]
    fn ranges_map_there_and_back() {
        let (down, up) = (luma_to_limited(), luma_to_full());
        assert_eq!((down[0], down[255], up[16], up[235], up[0], up[255]), (16, 235, 0, 255, 0, 255));
        let (cdown, cup) = (chroma_to_limited(), chroma_to_full());
        assert_eq!((cdown[128], cup[128], cdown[255], cup[240], cup[16]), (128, 128, 240, 255, 1));
        for v in 0..=255_u8 {
            assert!(up[down[v as usize] as usize].abs_diff(v) <= 1);
            assert!(cup[cdown[v as usize] as usize].abs_diff(v) <= 1);
        }
    }

    /// The fast path for opaque rows gives the same result as the general one.
    #[test]
    fn opaque_rows_have_the_same_chroma_as_others() {
        for (width, height) in [(1, 1), (2, 2), (7, 5), (64, 3)] {
            let pixels: Vec<[u8; 3]> = (0..width * height)
                .map(|i: u32| [(i * 37) as u8, (i * 91 + 5) as u8, (i * 13 + 200) as u8])
                .collect();
            let planes = |layout: Layout, data: &[u8]| {
                let work = Work::new(Budget::new(1 << 20));
                let mut g = Gather420::new(layout, width, height, Range::Limited, false, &work).unwrap();
                g.push(Rows::one(PlaneRows { first: 0, count: height, data })).unwrap();
                g.finish().unwrap();
                (g.y.data.clone(), g.cb.take().unwrap().data, g.cr.take().unwrap().data)
            };
            let with_alpha = |a: u8| pixels.iter().flat_map(|p| [p[0], p[1], p[2], a]).collect::<Vec<u8>>();
            let expected = planes(Layout::Rgba, &with_alpha(0));
            assert!(planes(Layout::Rgba, &with_alpha(255)) == expected, "{width} × {height}");
            assert!(planes(Layout::Rgb, pixels.as_flattened()) == expected, "{width} × {height}");
        }
    }

    #[test]
    fn primaries_get_their_codes() {
        // From ITU-R BT.601 / JFIF: red is 76 85 255, in limited range 82 90 240 (rounded 81.5).
        for (range, expected) in [(Range::Full, [76, 85, 255]), (Range::Limited, [81, 90, 240])] {
            let work = Work::new(Budget::new(1 << 20));
            let mut g = Gather420::new(Layout::Rgb, 3, 3, range, false, &work).unwrap();
            let data = [255, 0, 0].repeat(9);
            g.push(Rows::one(PlaneRows { first: 0, count: 3, data: &data })).unwrap();
            g.finish().unwrap();
            assert!(g.y.data.iter().all(|y| y.abs_diff(expected[0]) <= 1), "{:?}", g.y.data);
            assert!(g.cb.unwrap().data.iter().all(|v| v.abs_diff(expected[1]) <= 1));
            assert!(g.cr.unwrap().data.iter().all(|v| v.abs_diff(expected[2]) <= 1));
        }
    }
}
