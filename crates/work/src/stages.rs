//! The time that each stage of a request took, if it is recorded. Otherwise the clock is not read.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Most rows recorded for one request. Stages of an animation run once for each frame and share a row.
const MOST_ROWS: usize = 256;

/// One stage of the work. Where rows flow through several stages in turn, all runs of a stage count as one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stage {
    pub name: &'static str,
    /// The step of the recipe that it belongs to.
    pub step: Option<usize>,
    /// Beginning of the first run.
    pub began: Instant,
    /// End of the last one.
    pub ended: Instant,
    /// Time within the runs.
    pub busy: Duration,
    pub runs: u32,
}

/// A log of stages, or none. Cheap to clone; all clones are one log.
#[derive(Debug, Clone, Default)]
pub struct Stages(Option<Arc<Mutex<Log>>>);

#[derive(Debug, Default)]
struct Log {
    step: Option<usize>,
    rows: Vec<Stage>,
}

impl Stages {
    /// A log that records stages.
    #[must_use]
    pub fn kept() -> Self {
        Self(Some(Arc::default()))
    }

    /// Assigns the following stages to this step of the recipe.
    pub fn at_step(&self, step: Option<usize>) {
        self.with(|log| log.step = step);
    }

    /// A run of the stage `name`, from now until the result is dropped.
    #[must_use = "the run ends when this is dropped"]
    pub fn run(&self, name: &'static str) -> Running<'_> {
        Running { stages: self, name, began: self.0.as_ref().map(|_| Instant::now()) }
    }

    /// The recorded stages, in the order of their first runs.
    #[must_use]
    pub fn rows(&self) -> Vec<Stage> {
        let mut rows = Vec::new();
        self.with(|log| rows.clone_from(&log.rows));
        rows.sort_by_key(|stage| stage.began);
        rows
    }

    fn with(&self, f: impl FnOnce(&mut Log)) {
        if let Some(log) = &self.0 {
            f(&mut log.lock().unwrap_or_else(PoisonError::into_inner));
        }
    }
}

/// A running stage.
#[derive(Debug)]
pub struct Running<'a> {
    stages: &'a Stages,
    name: &'static str,
    began: Option<Instant>,
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let Some(began) = self.began else { return };
        let ended = Instant::now();
        self.stages.with(|log| {
            let (name, step, busy) = (self.name, log.step, ended.saturating_duration_since(began));
            // The row is nearly always one of the last.
            let known = log.rows.iter().rposition(|row| row.name == name && row.step == step);
            if let Some(row) = known.and_then(|i| log.rows.get_mut(i)) {
                row.ended = ended;
                row.busy += busy;
                row.runs = row.runs.saturating_add(1);
            } else if log.rows.len() < MOST_ROWS {
                log.rows.push(Stage { name, step, began, ended, busy, runs: 1 });
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::Stages;

    #[test]
    fn runs_of_one_stage_share_a_row_and_steps_have_their_own() {
        let stages = Stages::kept();
        for step in [0, 0, 1] {
            stages.at_step(Some(step));
            drop(stages.run("decode"));
            drop(stages.run("resize"));
        }
        let rows = stages.rows();
        let recorded: Vec<_> = rows.iter().map(|s| (s.name, s.step, s.runs)).collect();
        assert_eq!(
            recorded,
            [("decode", Some(0), 2), ("resize", Some(0), 2), ("decode", Some(1), 1), ("resize", Some(1), 1)]
        );
        assert!(rows.iter().all(|s| s.began <= s.ended && s.busy <= s.ended - s.began));
    }

    #[test]
    fn nothing_is_kept_by_default_and_a_log_has_a_bound() {
        let stages = Stages::default();
        drop(stages.run("decode"));
        assert!(stages.rows().is_empty());
        let stages = Stages::kept();
        for step in 0..10_000 {
            stages.at_step(Some(step));
            drop(stages.run("decode"));
        }
        assert_eq!(stages.rows().len(), super::MOST_ROWS);
    }
}
