//! The clock of a trace, from the time stamps that strace printed.

use super::Watch;
use crate::prefix::Stamp;

const DAY: u64 = 24 * 3600 * 1_000_000;

impl Watch {
    /// Advances the clock to this line.
    pub(super) fn tick(&mut self, stamp: Option<&Stamp>) {
        self.clock = match (stamp, self.clock) {
            (Some(Stamp::Epoch(time)), _) => Some(*time),
            (Some(Stamp::OfDay(time)), Some(before)) => {
                let today = (before - before % DAY).saturating_add(*time);
                // Midnight, in either direction: lines of several threads may be slightly out of order.
                Some(if today.saturating_add(DAY / 2) < before {
                    today.saturating_add(DAY)
                } else if today > before.saturating_add(DAY / 2) {
                    today.saturating_sub(DAY)
                } else {
                    today
                })
            }
            (Some(Stamp::OfDay(time)), None) => Some(*time),
            (Some(Stamp::Since(time)), before) => Some(before.unwrap_or(0).saturating_add(*time)),
            (None, before) => before,
        };
    }
}
