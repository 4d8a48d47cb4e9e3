//! Warnings about a failing tier: at most one per minute.

use std::fmt::Display;
use std::sync::Mutex;
use std::time::{Duration, Instant};

const INTERVAL: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(crate) struct RateLimitedWarning {
    tier: &'static str,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    last: Option<Instant>,
    suppressed: u64,
}

impl RateLimitedWarning {
    pub(crate) fn new(tier: &'static str) -> Self {
        Self { tier, state: Mutex::default() }
    }

    pub(crate) fn warn(&self, problem: impl Display) {
        if let Some(suppressed) = self.due(Instant::now()) {
            tracing::warn!(tier = self.tier, suppressed, "cache: {problem}");
        }
    }

    /// The number of warnings suppressed since the last one; `None` if this one is suppressed too.
    fn due(&self, now: Instant) -> Option<u64> {
        let mut state = self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if state.last.is_some_and(|last| now.duration_since(last) < INTERVAL) {
            state.suppressed += 1;
            return None;
        }
        state.last = Some(now);
        Some(std::mem::take(&mut state.suppressed))
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::RateLimitedWarning;

    // CAC-034
    #[test]
    fn one_warning_per_minute_counts_the_suppressed_ones() {
        let warning = RateLimitedWarning::new("disk");
        let start = Instant::now();
        assert_eq!(warning.due(start), Some(0));
        for second in 1..60 {
            assert_eq!(warning.due(start + Duration::from_secs(second)), None);
        }
        assert_eq!(warning.due(start + Duration::from_secs(60)), Some(59));
    }
}
