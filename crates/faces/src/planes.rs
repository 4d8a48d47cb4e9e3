//! The network's operations on planes of floats, stored one after the other.

use crate::weights::Weights;

/// `channels` planes of `height` rows of `width` samples.
pub(crate) struct Planes {
    pub(crate) channels: usize,
    pub(crate) width: usize,
    pub(crate) height: usize,
    pub(crate) data: Vec<f32>,
}

/// Samples in a block of a point-wise convolution, so that its output fits the first-level cache.
const BLOCK: usize = 512;

impl Planes {
    fn new(channels: usize, width: usize, height: usize) -> Self {
        Self { channels, width, height, data: vec![0.0; channels * width * height] }
    }

    fn area(&self) -> usize {
        self.width * self.height
    }

    /// The sample of a channel; 0 outside.
    pub(crate) fn at(&self, channel: usize, x: usize, y: usize) -> f32 {
        self.data.get(channel * self.area() + y * self.width + x).copied().unwrap_or(0.0)
    }

    /// The picture (RGB, `size` large, black beyond it up to `padded`), convolved by 3 × 3 in steps of 2, and rectified.
    pub(crate) fn from_picture(
        rgb: &[u8],
        size: (usize, usize),
        padded: (usize, usize),
        channels: usize,
        weights: &mut Weights,
    ) -> Self {
        let (kernel, bias) = (weights.next(channels * 27), weights.next(channels));
        let mut out = Self::new(channels, padded.0 / 2, padded.1 / 2);
        let (w, area) = (out.width, out.area());
        // A row of samples for each of the kernel's 27 places.
        let mut taps = vec![0f32; 27 * w];
        for y in 0..out.height {
            taps.fill(0.0);
            for (place, tap) in taps.chunks_exact_mut(w).enumerate() {
                let (dy, dx, colour) = (place / 9, place / 3 % 3, 2 - place % 3);
                let Some(row) = (2 * y + dy).checked_sub(1).filter(|&y| y < size.1) else { continue };
                let row = &rgb[row * size.0 * 3..][..size.0 * 3];
                for (x, tap) in tap.iter_mut().enumerate() {
                    if let Some(x) = (2 * x + dx).checked_sub(1).filter(|&x| x < size.0) {
                        *tap = f32::from(row[x * 3 + colour]);
                    }
                }
            }
            for (channel, (kernel, bias)) in kernel.chunks_exact(27).zip(&bias).enumerate() {
                let to = &mut out.data[channel * area + y * w..][..w];
                to.fill(*bias);
                kernel.iter().zip(taps.chunks_exact(w)).for_each(|(k, tap)| add(to, tap, *k));
            }
        }
        out.rectify();
        out
    }

    /// A point-wise convolution to `channels`, and a depth-wise one of 3 × 3 after it, 0 beyond the edges.
    pub(crate) fn separable(&self, channels: usize, weights: &mut Weights) -> Self {
        let (kernel, bias) = (weights.next(channels * self.channels), weights.next(channels));
        let pointwise = self.pointwise(channels, &kernel, &bias);
        let (kernel, bias) = (weights.next(9 * channels), weights.next(channels));
        pointwise.depthwise(&kernel, &bias)
    }

    /// The same, with negative samples set to 0.
    pub(crate) fn separable_rectified(&self, channels: usize, weights: &mut Weights) -> Self {
        let mut out = self.separable(channels, weights);
        out.rectify();
        out
    }

    fn pointwise(&self, channels: usize, kernel: &[f32], bias: &[f32]) -> Self {
        let mut out = Self::new(channels, self.width, self.height);
        let area = self.area();
        for from in (0..area).step_by(BLOCK) {
            let length = BLOCK.min(area - from);
            for (channel, (kernel, bias)) in kernel.chunks_exact(self.channels).zip(bias).enumerate() {
                let to = &mut out.data[channel * area + from..][..length];
                to.fill(*bias);
                for (k, plane) in kernel.iter().zip(self.data.chunks_exact(area)) {
                    add(to, &plane[from..from + length], *k);
                }
            }
        }
        out
    }

    fn depthwise(&self, kernel: &[f32], bias: &[f32]) -> Self {
        let mut out = Self::new(self.channels, self.width, self.height);
        let (w, h, n) = (self.width, self.height, self.channels);
        let planes = out.data.chunks_exact_mut(w * h).zip(self.data.chunks_exact(w * h));
        for (channel, (to, from)) in planes.enumerate() {
            let k = |row: usize, column: usize| kernel[(row * 3 + column) * n + channel];
            to.fill(bias[channel]);
            for (y, to) in to.chunks_exact_mut(w).enumerate() {
                for row in 0..3 {
                    let Some(at) = (y + row).checked_sub(1).filter(|&at| at < h) else { continue };
                    let from = &from[at * w..][..w];
                    add(&mut to[1..], from, k(row, 0));
                    add(to, from, k(row, 1));
                    add(to, &from[1..], k(row, 2));
                }
            }
        }
        out
    }

    fn rectify(&mut self) {
        self.data.iter_mut().for_each(|v| *v = v.max(0.0));
    }

    /// Max pooling of 2 × 2.
    pub(crate) fn max_pooled(&self) -> Self {
        let mut out = Self::new(self.channels, self.width / 2, self.height / 2);
        let rows = self.data.chunks_exact(2 * self.width);
        for (to, rows) in out.data.chunks_exact_mut((self.width / 2).max(1)).zip(rows) {
            let (above, below) = rows.split_at(self.width);
            for (to, (a, b)) in to.iter_mut().zip(above.chunks_exact(2).zip(below.chunks_exact(2))) {
                *to = a[0].max(a[1]).max(b[0]).max(b[1]);
            }
        }
        out
    }

    /// Adds `half`, enlarged to twice its size by nearest neighbour.
    pub(crate) fn add_doubled(&mut self, half: &Self) {
        let wide = self.width.max(1);
        for (y, row) in self.data.chunks_exact_mut(wide).enumerate() {
            // Planes have an even height, so that the rows of all channels can be counted through.
            let from = &half.data[y / 2 * half.width..][..half.width];
            row.chunks_exact_mut(2).zip(from).for_each(|(to, v)| to.iter_mut().for_each(|to| *to += v));
        }
    }
}

/// `to` += `from` × `k`, up to the shorter length.
fn add(to: &mut [f32], from: &[f32], k: f32) {
    to.iter_mut().zip(from).for_each(|(to, from)| *to += from * k);
}
