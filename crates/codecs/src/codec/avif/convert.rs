//! Decoded AV1 samples to 8-bit planes or colours: ranges, depths and matrices (ITU-T H.273, 8.3).

use crate::Error;
use crate::codec::heif::Cicp;

/// 8-bit full-range codes for each code of `depth` bits.
#[derive(Debug)]
pub(super) struct Levels {
    luma: Vec<u8>,
    chroma: Vec<u8>,
}

/// The black level, and the ranges of luma and chroma, in codes of `depth` bits.
fn spans(depth: u8, full_range: bool) -> (f32, f32, f32) {
    let scale = (1_u32 << (depth - 8)) as f32;
    if full_range {
        let top = ((1_u32 << depth) - 1) as f32;
        (0.0, top, top)
    } else {
        (16.0 * scale, 219.0 * scale, 224.0 * scale)
    }
}

impl Levels {
    pub(super) fn new(depth: u8, full_range: bool) -> Self {
        let (black, luma, chroma) = spans(depth, full_range);
        let half = (1_u32 << (depth - 1)) as f32;
        let table = |zero: f32, span: f32, add: f32| {
            (0..1_u32 << depth)
                .map(|v| ((v as f32 - zero) * 255.0 / span + add).round().clamp(0.0, 255.0) as u8)
                .collect()
        };
        Self { luma: table(black, luma, 0.0), chroma: table(half, chroma, 128.0) }
    }

    /// Maps samples of plane `index`.
    pub(super) fn map(&self, index: usize, samples: &[u16], out: &mut [u8]) {
        let table = if index == 0 { &self.luma } else { &self.chroma };
        // Samples are within their depth; the mask removes bounds checks, and protects against broken streams.
        let mask = table.len() - 1;
        for (o, &v) in out.iter_mut().zip(samples) {
            *o = table[usize::from(v) & mask];
        }
    }
}

/// Converts Y Cb Cr samples to R G B in fixed point with 16 fractional bits.
#[derive(Debug)]
pub(super) struct Matrix {
    luma: i32,
    black: i32,
    half: i32,
    /// The contributions of Cb and Cr to R, G and B.
    cb: [i32; 3],
    cr: [i32; 3],
    /// The samples are G, B and R themselves.
    identity: bool,
}

impl Matrix {
    /// # Errors
    /// [`Error::Unsupported`] for matrices that need linear light or have no closed form.
    pub(super) fn new(cicp: Cicp, depth: u8) -> Result<Self, Error> {
        let (black, luma, chroma) = spans(depth, cicp.full_range);
        let by = |span: f32, weight: f32| (weight * 255.0 / span * 65536.0).round() as i32;
        let base = Self {
            luma: by(luma, 1.0),
            black: black as i32,
            half: 1 << (depth - 1),
            cb: [0; 3],
            cr: [0; 3],
            identity: false,
        };
        let (kr, kb) = match cicp.matrix {
            0 => return Ok(Self { identity: true, ..base }),
            1 => (0.2126, 0.0722),
            4 => (0.30, 0.11),
            // Unspecified counts as BT.601, as in JFIF and in other readers of AVIF.
            2 | 5 | 6 => (0.299, 0.114),
            7 => (0.212, 0.087),
            8 => {
                let k = by(chroma, 1.0);
                return Ok(Self { cb: [-k, k, -k], cr: [k, 0, -k], ..base });
            }
            9 => (0.2627, 0.0593),
            12 if cicp.primaries == 1 => (0.2126, 0.0722),
            12 if cicp.primaries == 9 => (0.2627, 0.0593),
            other => return Err(Error::Unsupported(format!("AVIF: matrix coefficients {other}"))),
        };
        let kg: f32 = 1.0 - kr - kb;
        Ok(Self {
            cb: [0, by(chroma, -2.0 * kb * (1.0 - kb) / kg), by(chroma, 2.0 * (1.0 - kb))],
            cr: [by(chroma, 2.0 * (1.0 - kr)), by(chroma, -2.0 * kr * (1.0 - kr) / kg), 0],
            ..base
        })
    }

    /// Whether planes in this matrix equal those of JFIF after conversion of range and depth.
    pub(super) fn is_jfif(cicp: Cicp) -> bool {
        matches!(cicp.matrix, 2 | 5 | 6)
    }

    /// Writes one row of `CHANNELS` = 3 or 4 bytes a pixel; alpha is left as it is. `luma`, `cb` and
    /// `cr` have the same length.
    pub(super) fn row<const CHANNELS: usize>(&self, luma: &[u16], cb: &[u16], cr: &[u16], out: &mut [u8]) {
        const ROUND: i32 = 1 << 15;
        let code = |v: i32| (v >> 16).clamp(0, 255) as u8;
        let pixels = out.as_chunks_mut::<CHANNELS>().0.iter_mut();
        let samples = luma.iter().zip(cb.iter().zip(cr));
        if self.identity {
            let of = |v: u16| code((i32::from(v) - self.black) * self.luma + ROUND);
            for (p, (&g, (&b, &r))) in pixels.zip(samples) {
                p[0] = of(r);
                p[1] = of(g);
                p[2] = of(b);
            }
            return;
        }
        for (p, (&y, (&u, &v))) in pixels.zip(samples) {
            let y = (i32::from(y) - self.black) * self.luma + ROUND;
            let (u, v) = (i32::from(u) - self.half, i32::from(v) - self.half);
            p[0] = code(y + self.cb[0] * u + self.cr[0] * v);
            p[1] = code(y + self.cb[1] * u + self.cr[1] * v);
            p[2] = code(y + self.cb[2] * u + self.cr[2] * v);
        }
    }
}

/// Doubles a row of chroma with the weights 3 : 1 of a triangle, samples sited between luma samples.
pub(super) fn widen(half: &[u16], out: &mut [u16]) {
    let (Some(first), Some(last)) = (half.first(), half.last()) else { return };
    if let Some(o) = out.first_mut() {
        *o = *first;
    }
    if let Some(o) = out.get_mut(half.len() * 2 - 1) {
        *o = *last;
    }
    for (pair, o) in half.windows(2).zip(out[1..].as_chunks_mut::<2>().0) {
        *o = [(pair[0] * 3 + pair[1] + 2) >> 2, (pair[0] + pair[1] * 3 + 2) >> 2];
    }
}

/// Mixes two rows of chroma 3 : 1.
pub(super) fn mix(near: &mut [u16], far: &[u16]) {
    for (n, &f) in near.iter_mut().zip(far) {
        *n = (*n * 3 + f + 2) >> 2;
    }
}

/// Divides premultiplied colours by alpha.
pub(in crate::codec) fn unmultiply(rgba: &mut [u8]) {
    for p in rgba.as_chunks_mut::<4>().0 {
        let a = u32::from(p[3]);
        if a == 0 {
            p[..3].fill(0);
        } else if a < 255 {
            for v in &mut p[..3] {
                *v = ((u32::from(*v) * 255 + a / 2) / a).min(255) as u8;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Levels, Matrix, unmultiply, widen};
    use crate::codec::heif::Cicp;

    fn cicp(matrix: u8, full_range: bool) -> Cicp {
        Cicp { primaries: 1, transfer: 13, matrix, full_range }
    }

    #[test]
    fn levels_reach_both_ends_at_every_depth() {
        for depth in [8, 10, 12] {
            let scale = 1_u16 << (depth - 8);
            let mut out = [0; 3];
            Levels::new(depth, false).map(0, &[16 * scale, 235 * scale, 0], &mut out);
            assert_eq!(out, [0, 255, 0]);
            Levels::new(depth, true).map(0, &[0, (1 << depth) - 1, 1 << (depth - 1)], &mut out);
            assert_eq!(out, [0, 255, 128]);
            Levels::new(depth, true).map(1, &[0, 128 * scale, (1 << depth) - 1], &mut out);
            assert_eq!((out[0], out[1], out[2]), (0, 128, 255));
        }
    }

    #[test]
    fn known_colours_come_out_of_every_matrix() {
        // Red by the formulas of H.273, 8 bits.
        for (matrix, full, codes, expected) in [
            (6, true, [76, 85, 255], [255, 0, 0]),
            (1, false, [63, 102, 240], [255, 0, 0]),
            (9, false, [74, 97, 240], [255, 0, 0]),
            (0, true, [10, 20, 30], [30, 10, 20]),
            (8, true, [100, 128, 128], [100, 100, 100]),
            (2, false, [235, 128, 128], [255, 255, 255]),
        ] {
            for depth in [8_u8, 10, 12] {
                let codes: [u16; 3] = codes.map(|v| match (full, depth) {
                    (true, 8) | (false, _) => v << (depth - 8),
                    // Neutral chroma is half of the codes, not 128/255 of the top.
                    (true, _) if v == 128 => v << (depth - 8),
                    (true, _) => (u32::from(v) * ((1 << depth) - 1) / 255) as u16,
                });
                let mut out = [0; 3];
                Matrix::new(cicp(matrix, full), depth).unwrap().row::<3>(
                    &codes[..1],
                    &codes[1..2],
                    &codes[2..],
                    &mut out,
                );
                for (a, b) in out.iter().zip(expected) {
                    assert!(a.abs_diff(b) <= 2, "matrix {matrix} depth {depth}: {out:?}");
                }
            }
        }
        assert!(Matrix::new(cicp(14, true), 8).is_err());
    }

    #[test]
    fn chroma_is_interpolated_and_alpha_divided_out() {
        let mut out = [0; 5];
        widen(&[0, 100, 200], &mut out);
        assert_eq!(out, [0, 25, 75, 125, 175]);
        let mut p = [50, 100, 128, 128, 9, 9, 9, 0];
        unmultiply(&mut p);
        assert_eq!(p, [100, 199, 255, 128, 0, 0, 0, 0]);
    }
}
