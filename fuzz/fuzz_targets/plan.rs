#![no_main]
//! Any recipe with any image headers: planning is arithmetic, its sizes keep the limits. Each picture is 12 bytes, see
//! [`picture`]; the rest is a recipe.

use std::sync::Arc;

use codecs::{Animation, Format, Orientation, Probe, Subsampling};
use imaging::plan::PlannedStep;
use imaging::{Limits, PlanKind};

const PICTURES: usize = 3;

fn picture(bytes: &[u8; 12]) -> Probe {
    let long = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
    let [.., format, orientation, flags, frames] = *bytes;
    let format = Format::ALL[usize::from(format) % Format::ALL.len()];
    let side = |v: u32| if flags & 1 == 0 { v % 5000 + 1 } else { v.max(1) };
    let mut probe = Probe::new(format, side(long(0)), side(long(4)), long(0) as usize % 100_000_000);
    probe.alpha = flags & 2 != 0;
    probe.progressive = flags & 4 != 0;
    probe.subsampling = (flags & 8 != 0).then_some(Subsampling::S420);
    probe.orientation = Orientation::from_exif(u16::from(orientation % 9));
    probe.animation = (frames > 0).then(|| Animation { frames: u32::from(frames).pow(2), loops: 0 });
    probe
}

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let Some((pictures, rest)) = input.split_at_checked(12 * PICTURES) else { return };
    let Some(recipe) = fuzz::recipes::recipe(rest, PICTURES) else { return };
    let pictures = pictures.as_chunks().0.iter();
    let probes: Vec<Option<Arc<Probe>>> = pictures.map(|bytes| Some(Arc::new(picture(bytes)))).collect();
    let limits = Arc::new(Limits::default());
    let work = fuzz::work();
    let planned = fuzz::measured("planning", || imaging::plan(&Arc::new(recipe), &probes, &limits, &work));
    let Ok(plan) = planned else { return };
    let fits = |(width, height): (u32, u32)| {
        width <= limits.max_dimension
            && height <= limits.max_dimension
            && u64::from(width) * u64::from(height) <= limits.max_pixels
    };
    if matches!(plan.kind, PlanKind::Still | PlanKind::Animation { .. }) {
        assert!(fits((plan.output.width, plan.output.height)), "the result is too large\n{plan}");
        assert!(plan.cost.peak_bytes > 0 && plan.cost.cpu_ns > 0, "a plan without cost\n{plan}");
    }
    for step in &plan.steps {
        if let PlannedStep::Transform(step) = step {
            assert!(fits(step.largest), "a step is too large\n{plan}");
        }
    }
    assert!(!plan.to_string().is_empty());
});
