//! The net: a backbone of six stages, the last three of which are joined from the coarsest to the finest, and
//! three heads on each of these.

use codecs::Error;
use work::Work;

use crate::GRAIN;
use crate::planes::Planes;
use crate::weights::Weights;

/// What the net says on one grid.
pub(crate) struct Level {
    /// Pixels of the picture between the places of the grid.
    pub(crate) step: usize,
    /// Whether it is a face: one channel, before the logistic function.
    pub(crate) class: Planes,
    /// Whether its box is right: one channel, before the logistic function.
    pub(crate) sure: Planes,
    /// The middle from the place, across and down, in steps; the logarithm of width and height in steps.
    pub(crate) place: Planes,
}

/// Shows `size` pixels of RGB to the net, and each level of its answer to `take`.
pub(crate) fn run(
    rgb: &[u8],
    size: (usize, usize),
    work: &Work,
    mut take: impl FnMut(&Level),
) -> Result<(), Error> {
    let weights = &mut Weights::new();
    let padded = (size.0.next_multiple_of(GRAIN), size.1.next_multiple_of(GRAIN));
    let mut planes = Planes::from_picture(rgb, size, padded, 16, weights);
    work.check()?;
    planes = planes.separable_rectified(16, weights);
    planes = planes.halved();
    let mut stage = |planes: &Planes, middle: usize, channels: usize| {
        work.check()?;
        let planes = planes.separable_rectified(middle, weights);
        work.check()?;
        Ok::<_, Error>(planes.separable_rectified(channels, weights))
    };
    planes = stage(&planes, 16, 32)?;
    planes = stage(&planes, 32, 64)?;
    let fine = stage(&planes.halved(), 64, 64)?;
    drop(planes);
    let middle = stage(&fine.halved(), 64, 64)?;
    let coarse = stage(&middle.halved(), 64, 64)?;
    let mut above: Option<Planes> = None;
    for (mut planes, step) in [(coarse, 32), (middle, 16), (fine, 8)] {
        work.check()?;
        if let Some(above) = &above {
            planes.add_doubled(above);
        }
        let joined = planes.separable_rectified(64, weights);
        take(&Level {
            step,
            class: joined.separable(1, weights),
            sure: joined.separable(1, weights),
            place: joined.separable(4, weights),
        });
        above = Some(joined);
    }
    debug_assert!(weights.is_used_up());
    Ok(())
}
