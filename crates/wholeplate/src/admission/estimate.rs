//! How long a plan will take: the planner's figure, corrected by what such plans really took.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use imaging::{Format, Plan, PlanKind, Probe};

/// What every image costs besides its pixels.
const FIXED: Duration = Duration::from_micros(500);
/// Weight of the newest measurement.
const NEWEST: f64 = 0.2;
/// The least and most by which measurements change a figure.
const CORRECTION: std::ops::RangeInclusive<f64> = 0.02..=50.0;

/// Plans that are corrected together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Class {
    from: Format,
    to: Option<Format>,
    animated: bool,
}

/// An estimate, and what is needed to learn from what the work really took.
#[derive(Debug, Clone, Copy)]
pub(super) struct Estimate {
    class: Class,
    planned: Duration,
    /// The corrected figure.
    pub(super) time: Duration,
}

impl Estimate {
    /// The format of the first input.
    pub(super) fn source_format(&self) -> Format {
        self.class.from
    }
}

/// What has been learned, by class. There are few formats, so that it stays small.
#[derive(Debug, Default)]
pub(super) struct Estimator(Mutex<HashMap<Class, f64>>);

impl Estimator {
    pub(super) fn estimate(&self, plan: &Plan, probe: &Probe) -> Estimate {
        let animated = matches!(plan.kind, PlanKind::Animation { .. });
        let class = Class { from: probe.format, to: plan.output.format, animated };
        let planned = FIXED + Duration::from_nanos(plan.cost.cpu_ns);
        let corrections = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let correction = corrections.get(&class).copied().unwrap_or(1.0);
        Estimate { class, planned, time: planned.mul_f64(correction) }
    }

    /// The work of an estimate took `taken`.
    pub(super) fn learn(&self, estimate: &Estimate, taken: Duration) {
        let ratio = taken.as_secs_f64() / estimate.planned.as_secs_f64();
        let ratio = ratio.clamp(*CORRECTION.start(), *CORRECTION.end());
        let mut corrections = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = corrections.entry(estimate.class);
        entry.and_modify(|known| *known += NEWEST * (ratio - *known)).or_insert(ratio);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use work::Work;

    use super::*;

    fn planned(width: u32) -> (Plan, Arc<Probe>) {
        let mut file = Vec::new();
        let mut encoder = png::Encoder::new(&mut file, width, 100);
        encoder.set_color(png::ColorType::Grayscale);
        encoder.write_header().unwrap().write_image_data(&vec![0; width as usize * 100]).unwrap();
        let work = Work::unlimited();
        let probe = Arc::new(imaging::probe(&file, &work).unwrap());
        let recipe = recipe::Recipe::single(recipe::Transform::default(), recipe::Output::default());
        let limits = Arc::new(imaging::Limits::default());
        let plan = imaging::plan(&Arc::new(recipe), &[Some(Arc::clone(&probe))], &limits, &work).unwrap();
        (plan, probe)
    }

    // OPS-001: estimates are corrected by what such work really took.
    #[test]
    fn estimates_grow_with_pixels_and_follow_what_was_measured() {
        let estimator = Estimator::default();
        let (small, large) = (planned(100), planned(10_000));
        let of = |(plan, probe): &(Plan, Arc<Probe>)| estimator.estimate(plan, probe);
        assert!(of(&large).time > of(&small).time * 2);
        let before = of(&large);
        for _ in 0..30 {
            estimator.learn(&before, before.planned * 3);
        }
        let after = of(&large).time.as_secs_f64() / before.time.as_secs_f64();
        assert!((2.9..3.1).contains(&after), "{after}");
        // A single outlier moves them little.
        estimator.learn(&before, before.planned * 50);
        let outlier = of(&large).time.as_secs_f64() / before.time.as_secs_f64();
        assert!(outlier < 13.0, "{outlier}");
    }
}
