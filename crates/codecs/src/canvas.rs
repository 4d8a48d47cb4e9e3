//! The canvas of an animation: frames are composited onto it, copied out, and disposed of.

use crate::pixels::Plane;
use crate::{Error, Layout, PlaneRows, Raster, RowSource, Rows};
use work::Work;

/// A rectangle on the canvas, in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Rect {
    pub(crate) x: u32,
    pub(crate) y: u32,
    pub(crate) width: u32,
    pub(crate) height: u32,
}

impl Rect {
    pub(crate) fn whole(width: u32, height: u32) -> Self {
        Self { x: 0, y: 0, width, height }
    }

    /// The part that lies on a canvas of this size.
    pub(crate) fn clipped(self, width: u32, height: u32) -> Self {
        let (x, y) = (self.x.min(width), self.y.min(height));
        Self { x, y, width: self.width.min(width - x), height: self.height.min(height - y) }
    }

    pub(crate) fn is_empty(self) -> bool {
        self.width == 0 || self.height == 0
    }
}

/// The composited canvas: R G B A, straight alpha, initially transparent.
#[derive(Debug)]
pub(crate) struct Canvas {
    pub(crate) raster: Raster,
}

impl Canvas {
    pub(crate) fn new(width: u32, height: u32, work: &Work) -> Result<Self, Error> {
        Ok(Self { raster: Raster::new(Layout::Rgba, width, height, work)? })
    }

    /// `width` pixels of row `y` from column `x`.
    pub(crate) fn span(&mut self, x: u32, y: u32, width: u32) -> &mut [u8] {
        let row = self.raster.planes[0].row_mut(y);
        &mut row[x as usize * 4..(x + width) as usize * 4]
    }

    pub(crate) fn clear(&mut self, rect: Rect) {
        let rect = rect.clipped(self.raster.width, self.raster.height);
        for y in rect.y..rect.y + rect.height {
            self.span(rect.x, y, rect.width).fill(0);
        }
    }

    /// A copy of a rectangle, to be put back by [`Canvas::restore`].
    pub(crate) fn save(&mut self, rect: Rect, work: &Work) -> Result<(Rect, Plane), Error> {
        let rect = rect.clipped(self.raster.width, self.raster.height);
        let mut kept = Plane::new(rect.width, rect.height, 4, work)?;
        for y in 0..rect.height {
            kept.row_mut(y).copy_from_slice(self.span(rect.x, rect.y + y, rect.width));
        }
        Ok((rect, kept))
    }

    pub(crate) fn restore(&mut self, (rect, kept): &(Rect, Plane)) {
        for y in 0..rect.height {
            self.span(rect.x, rect.y + y, rect.width).copy_from_slice(kept.row(y));
        }
    }

    /// A copy of the whole canvas.
    pub(crate) fn copy(&self, work: &Work) -> Result<Raster, Error> {
        let mut copy = Raster::new(Layout::Rgba, self.raster.width, self.raster.height, work)?;
        copy.data_mut().copy_from_slice(self.raster.data());
        Ok(copy)
    }
}

/// Composites straight-alpha pixels with Porter and Duff's "over".
pub(crate) fn blend_over(under: &mut [u8], over: &[u8]) {
    for (u, o) in under.as_chunks_mut::<4>().0.iter_mut().zip(over.as_chunks::<4>().0) {
        match o[3] {
            255 => *u = *o,
            0 => {}
            alpha => {
                let (a, rest) = (u32::from(alpha), u32::from(u[3]) * (255 - u32::from(alpha)));
                // Alpha of the result, times 255.
                let sum = a * 255 + rest;
                for c in 0..3 {
                    let mixed = u32::from(o[c]) * a * 255 + u32::from(u[c]) * rest;
                    u[c] = ((mixed + sum / 2) / sum) as u8;
                }
                u[3] = ((sum + 127) / 255) as u8;
            }
        }
    }
}

/// The smallest rectangle outside which two canvases of the same size are equal.
pub(crate) fn changed(before: &Raster, after: &Raster) -> Rect {
    let (width, height) = (after.width as usize, after.height as usize);
    let stride = width * 4;
    let (a, b) = (before.data(), after.data());
    let row = |y: usize| (&a[y * stride..][..stride], &b[y * stride..][..stride]);
    let differs = |&y: &usize| {
        let (p, q) = row(y);
        p != q
    };
    let Some(top) = (0..height).find(differs) else { return Rect::default() };
    let bottom = (top..height).rfind(differs).unwrap_or(top);
    let (mut left, mut right) = (width, 0);
    for y in top..=bottom {
        let (p, q) = row(y);
        let (p, q) = (p.as_chunks::<4>().0, q.as_chunks::<4>().0);
        if let Some(x) = (0..left).find(|&x| p[x] != q[x]) {
            left = x;
        }
        if let Some(x) = (right..width).rfind(|&x| p[x] != q[x]) {
            right = x + 1;
        }
    }
    Rect { x: left as u32, y: top as u32, width: (right - left) as u32, height: (bottom + 1 - top) as u32 }
}

/// A finished image, yielded by rows.
#[derive(Debug)]
pub(crate) struct RasterRows {
    raster: Raster,
    at: u32,
}

impl RasterRows {
    pub(crate) fn new(raster: Raster) -> Self {
        Self { raster, at: 0 }
    }
}

impl RowSource for RasterRows {
    fn layout(&self) -> Layout {
        self.raster.layout
    }

    fn size(&self) -> (u32, u32) {
        (self.raster.width, self.raster.height)
    }

    fn next_rows(&mut self) -> Result<Option<Rows<'_>>, Error> {
        const GROUP: u32 = 32;
        let (from, to) = (self.at, (self.at + GROUP).min(self.raster.height));
        if from == to {
            return Ok(None);
        }
        self.at = to;
        let height = u64::from(self.raster.height);
        let parts = self.raster.planes.iter().map(|p| {
            let share = |y: u32| (u64::from(p.height) * u64::from(y)).div_ceil(height) as u32;
            let (first, end) = (share(from), share(to));
            let stride = p.stride();
            PlaneRows {
                first,
                count: end - first,
                data: &p.data[first as usize * stride..end as usize * stride],
            }
        });
        Ok(Some(parts.collect()))
    }
}
