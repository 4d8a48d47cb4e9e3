//! The network: a backbone of six stages and three heads on each of the last three stages, which are merged from the
//! coarsest to the finest.

use codecs::Error;
use work::Work;

use crate::GRAIN;
use crate::planes::Planes;
use crate::weights::Weights;

/// The network's output on one grid.
pub(crate) struct Level {
    /// Pixels between neighbouring grid points.
    pub(crate) step: usize,
    /// Class logit: one channel.
    pub(crate) class: Planes,
    /// Objectness logit of the box: one channel.
    pub(crate) objectness: Planes,
    /// Offset of the box centre from the grid point, then the logarithm of width and height, all in steps.
    pub(crate) offsets: Planes,
}

/// Runs the network on `size` pixels of RGB and passes each level of its output to `take`.
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
    planes = planes.max_pooled();
    let mut stage = |planes: &Planes, middle: usize, channels: usize| {
        work.check()?;
        let planes = planes.separable_rectified(middle, weights);
        work.check()?;
        Ok::<_, Error>(planes.separable_rectified(channels, weights))
    };
    planes = stage(&planes, 16, 32)?;
    planes = stage(&planes, 32, 64)?;
    let fine = stage(&planes.max_pooled(), 64, 64)?;
    drop(planes);
    let middle = stage(&fine.max_pooled(), 64, 64)?;
    let coarse = stage(&middle.max_pooled(), 64, 64)?;
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
            objectness: joined.separable(1, weights),
            offsets: joined.separable(4, weights),
        });
        above = Some(joined);
    }
    debug_assert!(weights.is_used_up());
    Ok(())
}
