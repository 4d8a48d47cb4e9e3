//! Turns and mirrors: the eight symmetries of a rectangle.

use codecs::{Orientation, Plane, Raster};
use recipe::{Flip, Rotate};
use work::Work;

use crate::Error;
use crate::rect::Area;

/// One of the eight symmetries: a transposition if `transpose`, then a mirror on each axis if set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Turn {
    pub transpose: bool,
    pub flip_x: bool,
    pub flip_y: bool,
}

impl Turn {
    const fn new(transpose: bool, flip_x: bool, flip_y: bool) -> Self {
        Self { transpose, flip_x, flip_y }
    }

    /// The turn that makes stored pixels upright.
    #[must_use]
    pub const fn from_orientation(orientation: Orientation) -> Self {
        match orientation {
            Orientation::Upright => Self::new(false, false, false),
            Orientation::MirrorHorizontal => Self::new(false, true, false),
            Orientation::Rotate180 => Self::new(false, true, true),
            Orientation::MirrorVertical => Self::new(false, false, true),
            Orientation::Transpose => Self::new(true, false, false),
            Orientation::Rotate90 => Self::new(true, true, false),
            Orientation::Transverse => Self::new(true, true, true),
            Orientation::Rotate270 => Self::new(true, false, true),
        }
    }

    #[must_use]
    pub const fn from_flip(flip: Flip) -> Self {
        match flip {
            Flip::Horizontal => Self::new(false, true, false),
            Flip::Vertical => Self::new(false, false, true),
            Flip::Both => Self::new(false, true, true),
        }
    }

    /// Clockwise.
    #[must_use]
    pub const fn from_rotate(rotate: Rotate) -> Self {
        match rotate {
            Rotate::None => Self::new(false, false, false),
            Rotate::Quarter => Self::new(true, true, false),
            Rotate::Half => Self::new(false, true, true),
            Rotate::ThreeQuarters => Self::new(true, false, true),
        }
    }

    /// This turn, and then `other`.
    #[must_use]
    pub const fn then(self, other: Self) -> Self {
        // A later transposition swaps the axes of the mirrors.
        let (x, y) = if other.transpose { (self.flip_y, self.flip_x) } else { (self.flip_x, self.flip_y) };
        Self::new(self.transpose != other.transpose, x != other.flip_x, y != other.flip_y)
    }

    /// The turn that undoes this one.
    #[must_use]
    pub const fn inverse(self) -> Self {
        if self.transpose { Self::new(true, self.flip_y, self.flip_x) } else { self }
    }

    #[must_use]
    pub const fn is_identity(self) -> bool {
        !self.transpose && !self.flip_x && !self.flip_y
    }

    #[must_use]
    pub const fn swaps_axes(self) -> bool {
        self.transpose
    }

    /// The position of a rectangle of an image of `size` after the turn.
    #[must_use]
    pub fn map_rect(self, area: Area, size: (f64, f64)) -> Area {
        let (mut a, mut size) = (area, size);
        if self.transpose {
            a = Area { x: a.y, y: a.x, width: a.height, height: a.width };
            size = (size.1, size.0);
        }
        if self.flip_x {
            a.x = size.0 - a.x - a.width;
        }
        if self.flip_y {
            a.y = size.1 - a.y - a.height;
        }
        a
    }
}

/// Turns a whole image.
///
/// # Errors
/// Budget, deadline, cancellation.
pub fn turn(raster: Raster, turn: Turn, work: &Work) -> Result<Raster, Error> {
    if turn.is_identity() {
        return Ok(raster);
    }
    let _turn = work.stage("turn");
    let (width, height) =
        if turn.transpose { (raster.height, raster.width) } else { (raster.width, raster.height) };
    let layout = raster.layout;
    let planes = raster.planes.into_iter().map(|p| turn_plane(&p, turn, work)).collect::<Result<_, _>>()?;
    Ok(Raster { layout, width, height, planes })
}

fn turn_plane(from: &Plane, turn: Turn, work: &Work) -> Result<Plane, Error> {
    match from.channels {
        1 => turn_samples::<1>(from, turn, work),
        3 => turn_samples::<3>(from, turn, work),
        _ => turn_samples::<4>(from, turn, work),
    }
}

fn turn_samples<const N: usize>(from: &Plane, turn: Turn, work: &Work) -> Result<Plane, Error> {
    let (w, h) = if turn.transpose { (from.height, from.width) } else { (from.width, from.height) };
    let mut to = Plane::new(w, h, N, work)?;
    let (source, _) = from.data.as_chunks::<N>();
    let (target, _) = to.data.as_chunks_mut::<N>();
    let (fw, w, h) = (from.width as usize, w as usize, h as usize);
    // In blocks, so that both sides of a transposition fit the cache.
    const BLOCK: usize = 32;
    for by in (0..h).step_by(BLOCK) {
        work.check()?;
        for bx in (0..w).step_by(BLOCK) {
            for y in by..(by + BLOCK).min(h) {
                let sy = if turn.flip_y { h - 1 - y } else { y };
                for x in bx..(bx + BLOCK).min(w) {
                    let sx = if turn.flip_x { w - 1 - x } else { x };
                    let at = if turn.transpose { sx * fw + sy } else { sy * fw + sx };
                    target[y * w + x] = source[at];
                }
            }
        }
    }
    Ok(to)
}

#[cfg(test)]
mod tests {
    use codecs::{Layout, Raster};
    use recipe::{Flip, Rotate};
    use work::{Budget, Work};

    use super::{Turn, turn};
    use crate::rect::Area;

    fn all() -> impl Iterator<Item = Turn> {
        (0..8).map(|bits| Turn::new(bits & 1 != 0, bits & 2 != 0, bits & 4 != 0))
    }

    fn sample(work: &Work) -> Raster {
        let mut raster = Raster::new(Layout::Gray, 3, 2, work).unwrap();
        raster.data_mut().copy_from_slice(&[1, 2, 3, 4, 5, 6]);
        raster
    }

    #[test]
    fn turns_compose_as_their_pixels_do() {
        let work = Work::new(Budget::new(1 << 20));
        for a in all() {
            for b in all() {
                let stepwise = turn(turn(sample(&work), a, &work).unwrap(), b, &work).unwrap();
                let at_once = turn(sample(&work), a.then(b), &work).unwrap();
                assert_eq!(stepwise.data(), at_once.data(), "{a:?} then {b:?}");
            }
            assert!(a.then(a.inverse()).is_identity());
            let area = Area { x: 1.0, y: 0.0, width: 2.0, height: 1.0 };
            let turned = a.map_rect(area, (3.0, 2.0));
            let size = if a.swaps_axes() { (2.0, 3.0) } else { (3.0, 2.0) };
            assert_eq!(a.inverse().map_rect(turned, size), area);
        }
    }

    // URL-070, URL-072, URL-073
    #[test]
    fn a_quarter_turn_is_clockwise() {
        let work = Work::new(Budget::new(1 << 20));
        let quarter = turn(sample(&work), Turn::from_rotate(Rotate::Quarter), &work).unwrap();
        assert_eq!((quarter.width, quarter.height, quarter.data()), (2, 3, &[4u8, 1, 5, 2, 6, 3][..]));
        assert_eq!(Turn::from_flip(Flip::Both), Turn::from_rotate(Rotate::Half));
        let flip_then_turn = Turn::from_flip(Flip::Horizontal).then(Turn::from_rotate(Rotate::Quarter));
        let pixels = turn(sample(&work), flip_then_turn, &work).unwrap();
        assert_eq!(pixels.data(), &[6u8, 3, 5, 2, 4, 1][..]);
    }
}
