//! Painting one image onto another: placement, tiling, opacity and the Porter–Duff operators.
//!
//! Operators after T. Porter and T. Duff, "Compositing digital images" (SIGGRAPH 1984), restricted to the
//! rectangle of the overlay (or of its row, column or plane of tiles): the base outside it does not change.

use std::ops::Range;

use codecs::{Layout, Raster};
use recipe::{Color, Composite, Draw, Repeat};
use work::Work;

use super::flatten;
use crate::Error;

/// Rows painted between two checks of the deadline.
const ROWS_PER_CHECK: usize = 64;

/// Whether any pixel of a base of size `base` (width, height) lies under the overlay.
#[must_use]
pub fn touches(base: (u32, u32), overlay: (u32, u32), draw: &Draw) -> bool {
    let place = OverlayPlacement::new(base, overlay, draw);
    !place.x.is_empty() && !place.y.is_empty()
}

/// Paints `overlay` onto `base`, whose size does not change. Offsets are distances from an edge and may be negative;
/// an axis without an offset is centred. A tiled axis is filled from edge to edge, with one tile at the position of a
/// single overlay. An RGB base stays RGB while the operator keeps it opaque, and becomes RGBA otherwise.
///
/// # Errors
/// Budget, deadline, cancellation.
pub fn draw(base: Raster, overlay: &Raster, draw: &Draw, work: &Work) -> Result<Raster, Error> {
    let place = OverlayPlacement::new((base.width, base.height), (overlay.width, overlay.height), draw);
    if draw.is_identity() || place.x.is_empty() || place.y.is_empty() {
        return Ok(base);
    }
    let solid = !overlay.layout.has_alpha() && draw.opacity >= 1.0;
    let mut base = match (base.layout, draw.composite) {
        (Layout::Rgba, _) => base,
        (_, Composite::Out | Composite::Xor) => flatten::to_rgba(base, work)?,
        (_, Composite::In) if !solid => flatten::to_rgba(base, work)?,
        _ => flatten::to_rgb(base, Color::WHITE, work)?,
    };
    let operator = Operator::new(base.layout, draw);
    let n = base.layout.channels(0);
    let tiled = place.tiled_x;
    let span = place.x.clone();
    let _held = work.take(span.len() * 4)?;
    let mut row = vec![0u8; span.len() * 4];
    let mut painted = 0;
    let from = overlay.layout.channels(0);
    for v in 0..overlay.height {
        let mut lines = place.rows_of(v).peekable();
        if lines.peek().is_none() {
            continue;
        }
        let source = overlay.planes[0].row(v);
        let coverage = Coverage::of(source, overlay.layout, draw.opacity);
        if coverage == Coverage::None && operator.keeps_uncovered() {
            continue;
        }
        let copies = coverage == Coverage::Full && operator.replaces();
        // Rows that already have the right layout are used directly, others are converted to RGBA.
        let ready = if !tiled && (overlay.layout == Layout::Rgba || (copies && overlay.layout == base.layout))
        {
            let first = place.phase_x(span.start);
            &source[first * from..][..span.len() * from]
        } else {
            tile_row(source, from, place.phase_x(span.start), &mut row);
            &row[..]
        };
        for y in lines {
            painted += 1;
            if painted % ROWS_PER_CHECK == 0 {
                work.check()?;
            }
            let target = &mut base.planes[0].row_mut(y)[span.start * n..span.end * n];
            if !copies {
                operator.paint(target, ready);
            } else if ready.len() == target.len() {
                target.copy_from_slice(ready);
            } else {
                for (t, p) in target.chunks_exact_mut(3).zip(ready.chunks_exact(4)) {
                    t.copy_from_slice(&p[..3]);
                }
            }
        }
    }
    Ok(base)
}

/// The position of an overlay on a base.
#[derive(Debug)]
struct OverlayPlacement {
    /// Columns and rows of the base that are painted.
    x: Range<usize>,
    y: Range<usize>,
    /// Base coordinates of the overlay's top left corner; may be outside.
    origin: (i64, i64),
    overlay: (i64, i64),
    tiled_x: bool,
    tiled_y: bool,
}

impl OverlayPlacement {
    fn new(base: (u32, u32), overlay: (u32, u32), draw: &Draw) -> Self {
        let tiled_x = matches!(draw.repeat, Repeat::Both | Repeat::X);
        let tiled_y = matches!(draw.repeat, Repeat::Both | Repeat::Y);
        let o = draw.offsets;
        let (x0, x) = axis(base.0, overlay.0, o.left, o.right, tiled_x);
        let (y0, y) = axis(base.1, overlay.1, o.top, o.bottom, tiled_y);
        let overlay = (i64::from(overlay.0), i64::from(overlay.1));
        Self { x, y, origin: (x0, y0), overlay, tiled_x, tiled_y }
    }

    /// The column of the overlay that is painted on column `x` of the base.
    fn phase_x(&self, x: usize) -> usize {
        (x as i64 - self.origin.0).rem_euclid(self.overlay.0.max(1)) as usize
    }

    /// The rows of the base that show row `v` of the overlay.
    fn rows_of(&self, v: u32) -> impl Iterator<Item = u32> + use<> {
        let at = self.origin.1 + i64::from(v);
        let height = self.overlay.1.max(1);
        let Range { start, end } = self.y;
        let (first, step) = if self.tiled_y {
            (at.rem_euclid(height), height as usize)
        } else {
            // One row or none: the step is larger than any image.
            (at, usize::MAX)
        };
        let inside = first >= start as i64 && first < end as i64;
        let first = if inside { first as usize } else { end };
        (first..end).step_by(step).map(|y| y as u32)
    }
}

/// Start of the overlay on one axis, and the part of the base that it covers.
fn axis(base: u32, overlay: u32, near: Option<i32>, far: Option<i32>, tiled: bool) -> (i64, Range<usize>) {
    let (full, part) = (i64::from(base), i64::from(overlay));
    let start = match (near, far) {
        (Some(near), _) => i64::from(near),
        (None, Some(far)) => full - part - i64::from(far),
        (None, None) => (full - part).div_euclid(2),
    };
    let covered = if overlay == 0 {
        0..0
    } else if tiled {
        0..base as usize
    } else {
        let end = (start + part).clamp(0, full);
        start.clamp(0, end) as usize..end as usize
    };
    (start, covered)
}

/// How much of the base a row of the overlay hides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Coverage {
    None,
    Some,
    Full,
}

impl Coverage {
    fn of(row: &[u8], layout: Layout, opacity: f32) -> Self {
        if opacity <= 0.0 {
            return Self::None;
        }
        let (mut all, mut any) = (255, 0);
        if layout.has_alpha() {
            for p in row.chunks_exact(4) {
                all &= p[3];
                any |= p[3];
            }
        } else {
            any = 255;
        }
        match (any, all) {
            (0, _) => Self::None,
            (_, 255) if opacity >= 1.0 => Self::Full,
            _ => Self::Some,
        }
    }
}

/// Fills `row` (RGBA) with pixels of `source` from column `first` on, repeatedly.
fn tile_row(source: &[u8], channels: usize, first: usize, row: &mut [u8]) {
    let width = source.len() / channels;
    let once = width.min(row.len() / 4);
    let pixels = source.chunks_exact(channels).cycle().skip(first);
    for (t, p) in row[..once * 4].chunks_exact_mut(4).zip(pixels) {
        t.copy_from_slice(&match p {
            [g] => [*g, *g, *g, 255],
            [r, g, b] => [*r, *g, *b, 255],
            p => [p[0], p[1], p[2], p[3]],
        });
    }
    let mut filled = once * 4;
    while filled < row.len() {
        let more = filled.min(row.len() - filled);
        row.copy_within(..more, filled);
        filled += more;
    }
}

/// An operator and an opacity, for a base of one layout.
#[derive(Debug, Clone, Copy)]
struct Operator {
    composite: Composite,
    opaque_base: bool,
    opacity: f32,
}

impl Operator {
    fn new(base: Layout, draw: &Draw) -> Self {
        let opaque_base = !base.has_alpha();
        let composite = match draw.composite {
            // Equal on an opaque base: `in` gets here only with an opaque overlay.
            Composite::Atop | Composite::In if opaque_base => Composite::Over,
            other => other,
        };
        Self { composite, opaque_base, opacity: draw.opacity.clamp(0.0, 1.0) }
    }

    /// Whether the base does not change under transparent pixels.
    fn keeps_uncovered(self) -> bool {
        !matches!(self.composite, Composite::In | Composite::Out)
    }

    /// Whether the result equals the overlay where the overlay is opaque.
    fn replaces(self) -> bool {
        self.composite == Composite::Over
    }

    /// Paints a row of RGBA pixels onto a row of the base.
    fn paint(self, base: &mut [u8], over: &[u8]) {
        if self.opaque_base {
            return match self.composite {
                Composite::Lighter => self.lighter_on_rgb(base, over),
                _ => self.over_rgb(base, over),
            };
        }
        match self.composite {
            Composite::Over => self.blend(base, over, |f, b| (f, b * (1.0 - f))),
            Composite::In => self.blend(base, over, |f, b| (f * b, 0.0)),
            Composite::Atop => self.blend(base, over, |f, b| (f * b, b * (1.0 - f))),
            Composite::Out => self.blend(base, over, |f, b| (f * (1.0 - b), 0.0)),
            Composite::Xor => self.blend(base, over, |f, b| (f * (1.0 - b), b * (1.0 - f))),
            Composite::Lighter => self.blend(base, over, |f, b| (f, b)),
        }
    }

    /// `over` on an opaque base, alpha in 1/65536.
    fn over_rgb(self, base: &mut [u8], over: &[u8]) {
        let opacity = (self.opacity * 65536.0).round() as u32;
        for (t, p) in base.chunks_exact_mut(3).zip(over.chunks_exact(4)) {
            let alpha = (u32::from(p[3]) * opacity + 127) / 255;
            for (t, &c) in t.iter_mut().zip(p) {
                let sum = u32::from(c) * alpha + u32::from(*t) * (65536 - alpha);
                *t = ((sum + 32768) >> 16) as u8;
            }
        }
    }

    /// `lighter` on an opaque base: the sum, saturated.
    fn lighter_on_rgb(self, base: &mut [u8], over: &[u8]) {
        let opacity = (self.opacity * 65536.0).round() as u32;
        for (t, p) in base.chunks_exact_mut(3).zip(over.chunks_exact(4)) {
            let alpha = (u32::from(p[3]) * opacity + 127) / 255;
            for (t, &c) in t.iter_mut().zip(p) {
                let more = (u32::from(c) * alpha + 32768) >> 16;
                *t = (u32::from(*t) + more).min(255) as u8;
            }
        }
    }

    /// Straight colours, weighted by the fractions of overlay and base that `share` computes from their alphas (0–1).
    /// The sum exceeds one only for `lighter`, which saturates.
    #[inline(always)]
    fn blend(self, base: &mut [u8], over: &[u8], share: impl Fn(f32, f32) -> (f32, f32)) {
        let scale = self.opacity / 255.0;
        for (t, p) in base.chunks_exact_mut(4).zip(over.chunks_exact(4)) {
            let (front, back) = share(f32::from(p[3]) * scale, f32::from(t[3]) / 255.0);
            let alpha = (front + back).min(1.0);
            let inverse = if alpha > 0.0 { 1.0 / alpha } else { 0.0 };
            for i in 0..3 {
                let c = (f32::from(p[i]) * front + f32::from(t[i]) * back).min(255.0);
                t[i] = (c * inverse + 0.5) as u8;
            }
            t[3] = (alpha * 255.0 + 0.5) as u8;
        }
    }
}
