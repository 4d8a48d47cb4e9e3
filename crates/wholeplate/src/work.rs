//! From a recipe and the bytes of its source to an answer.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use codecs::{Budget, Work};
use imaging::{Limits, Rendered, Supply};
use recipe::{Notice, Recipe};

use crate::error::Fault;

/// Bytes that one request may hold in buffers.
pub(crate) const REQUEST_BYTES: usize = 1 << 30;
/// Time that one request may compute.
const REQUEST_TIME: Duration = Duration::from_secs(30);

/// Probes, plans and renders. A panic in an image is that request's error.
pub(crate) fn make(recipe: &Recipe, bytes: &[u8], work: &Work) -> Result<(Rendered, Vec<Notice>), Fault> {
    let attempt = AssertUnwindSafe(|| {
        let probe = imaging::probe(bytes)?;
        let plan = imaging::plan(recipe, &[Some(probe)], &Limits::default())?;
        let mut rendered = imaging::render(&plan, &[Supply::Image(bytes)], work)?;
        let mut notices = plan.notices;
        notices.append(&mut rendered.notices);
        Ok((rendered, notices))
    });
    match catch_unwind(attempt) {
        Ok(done) => done.map_err(|e: imaging::Error| e.into()),
        Err(_) => Err(Fault::new(9523, 500, "internal error while processing the image")),
    }
}

pub(crate) fn means() -> Work {
    Work { deadline: Some(Instant::now() + REQUEST_TIME), ..Work::new(Budget::new(REQUEST_BYTES)) }
}
