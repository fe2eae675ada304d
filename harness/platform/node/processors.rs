//! What this node's group of processes may use of the processors, and how much it has used in the last seconds: by this the control
//! plane knows whether a region can carry what another one serves.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use crate::{api::permit::Processors, os::cgroup::Cgroup};

/// The stretch that is looked back upon.
const WINDOW: Duration = Duration::from_secs(5);
/// The shortest that says anything.
const WINDOW_MIN: Duration = Duration::from_secs(1);
/// How often it is looked.
const PERIOD: Duration = Duration::from_millis(500);

/// The node's own looks.
#[derive(Default)]
pub struct Meter {
    looks: VecDeque<(Instant, Duration)>,
}

impl Meter {
    /// What is known now; `None` without a quota, or when nothing is known yet.
    pub fn look(&mut self, now: Instant) -> Option<Processors> {
        // Whoever starts a node puts it into its group after that.
        let group = Cgroup::own()?;
        let allowed_milli = group.allowed()?;
        if self.looks.back().is_none_or(|(last, _)| now.saturating_duration_since(*last) >= PERIOD) {
            self.looks.push_back((now, group.used().ok()?));
        }
        // The kernel lets a quota be exceeded by a little, which is no sign of a load that needs more.
        Some(Processors { allowed_milli, used_milli: self.used(now)?.min(allowed_milli) })
    }

    fn used(&mut self, now: Instant) -> Option<u32> {
        while self.looks.get(1).is_some_and(|(at, _)| now.saturating_duration_since(*at) >= WINDOW) {
            self.looks.pop_front();
        }
        let ((from, before), (to, after)) = (self.looks.front()?, self.looks.back()?);
        let span = to.saturating_duration_since(*from);
        if span < WINDOW_MIN {
            return None;
        }
        let milli = after.saturating_sub(*before).as_micros() * 1_000 / span.as_micros();
        Some(u32::try_from(milli).unwrap_or(u32::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_used_is_told_of_the_last_seconds() {
        let start = Instant::now();
        let (second, tenth) = (Duration::from_secs(1), Duration::from_millis(100));
        let mut meter = Meter::default();
        meter.looks.push_back((start, Duration::ZERO));
        assert_eq!(meter.used(start), None);
        // Half a processor for ten seconds, then a tenth of one.
        for n in 1..=10 {
            meter.looks.push_back((start + n * second, n * 5 * tenth));
        }
        assert_eq!(meter.used(start + 10 * second), Some(500));
        for n in 11..=20 {
            meter.looks.push_back((start + n * second, 50 * tenth + (n - 10) * tenth));
        }
        assert_eq!(meter.used(start + 20 * second), Some(100));
        assert!(meter.looks.len() <= 7);
    }
}
