//! The data-loss guard: how much may be lost, and what is done long before that much is exposed.
//!
//! *Exposure* is the time back to the moment before which everything acknowledged is surely in the other region too. It is
//! counted on the clock of the one who grants permits, from [`Stamp`]s that holders give back, so that no two machines'
//! clocks are compared and a message that was delayed makes it larger, never smaller.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::role::Timers;

/// How long after its arrival a file is known to have arrived, at the latest, while nothing is held back: a version is first
/// looked for after 150 ms, then every 200 ms, and the compute asks every 500 ms what was found. Milliseconds.
pub const SCAN_MS: u64 = 1_000;
/// The longest pause before a write while the guard slows writes, milliseconds.
const PACE_MS_MAX: u64 = 200;
/// The shortest.
const PACE_MS_MIN: u64 = 20;

/// What the guard does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum GuardMode {
    /// Measures, and alerts at a third of the bound.
    Observe,
    /// Keeps the loss of an unplanned failover below the bound: slows writes, then withholds them, and refuses a failover
    /// that would lose more.
    Enforce,
}

impl GuardMode {
    /// Both.
    pub const ALL: [GuardMode; 2] = [Self::Observe, Self::Enforce];

    /// As files write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Observe => "observe",
            Self::Enforce => "enforce",
        }
    }
}

/// The guard as it is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Guard {
    /// What it does.
    pub mode: GuardMode,
    /// How much may be lost, milliseconds.
    pub bound_ms: u64,
}

impl Default for Guard {
    fn default() -> Self {
        Self::DOCUMENTED
    }
}

/// What a permit may outlive its grantor's count by: 1 % of drift of its lifetime, and the cut. Milliseconds.
pub fn skew_ms(timers: &Timers) -> u64 {
    timers.cut_ms + timers.permit_ms.div_ceil(100)
}

impl Guard {
    /// Observes the fifteen minutes that the products' documents name.
    pub const DOCUMENTED: Self = Self { mode: GuardMode::Observe, bound_ms: 900_000 };

    /// The least bound that can be kept under these timers: three times what is not known at any moment. Then writes are
    /// slowed before they are withheld, and an idle environment alerts nobody.
    pub fn least_bound_ms(timers: &Timers) -> u64 {
        3 * (timers.permit_ms + timers.poll_ms + SCAN_MS + skew_ms(timers))
    }

    /// When what is done.
    pub fn limits(&self, timers: &Timers) -> Limits {
        let unknown_ms = timers.permit_ms + timers.poll_ms + skew_ms(timers);
        Limits {
            alert_ms: self.bound_ms / 3,
            throttle_ms: self.bound_ms / 3 * 2,
            withhold_ms: self.bound_ms.saturating_sub(unknown_ms),
        }
    }
}

/// Exposures from which on something is done, milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Operators and customers are told.
    pub alert_ms: u64,
    /// Writes are slowed.
    pub throttle_ms: u64,
    /// Writes are withheld.
    pub withhold_ms: u64,
}

/// How far the guard has gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum GuardLevel {
    /// Nothing is done.
    #[default]
    Clear,
    /// People have been told.
    Alerted,
    /// Writes are slowed.
    Throttled,
    /// Writes are withheld.
    Withheld,
}

impl Limits {
    /// The level at an exposure, coming from `old`: it rises at each limit and falls, to the lowest at once, when the other
    /// side has caught up to less than three quarters of the first limit, so that nobody is told to and fro.
    pub fn level(&self, old: GuardLevel, exposure_ms: u64) -> GuardLevel {
        let reached = match exposure_ms {
            ms if ms >= self.withhold_ms => GuardLevel::Withheld,
            ms if ms >= self.throttle_ms => GuardLevel::Throttled,
            ms if ms >= self.alert_ms => GuardLevel::Alerted,
            _ => GuardLevel::Clear,
        };
        if exposure_ms < self.alert_ms / 4 * 3 { GuardLevel::Clear } else { reached.max(old) }
    }

    /// How long each write is held back at an exposure: nothing below the second limit, then more and more.
    pub fn pace_ms(&self, exposure_ms: u64) -> u64 {
        let Some(past) = exposure_ms.checked_sub(self.throttle_ms) else { return 0 };
        let whole = self.withhold_ms.saturating_sub(self.throttle_ms).max(1);
        PACE_MS_MIN + (PACE_MS_MAX - PACE_MS_MIN) * past.min(whole) / whole
    }
}

/// A moment of a grantor's, which holders give back: what they say in the same message was so at that moment or later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Stamp {
    /// Names the grantor's life: another number after each of its starts.
    pub life: u64,
    /// Milliseconds since its start, on its own clock.
    pub ms: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(bound_ms: u64) -> Limits {
        Guard { mode: GuardMode::Enforce, bound_ms }.limits(&Timers::default())
    }

    #[test]
    fn the_least_bound_leaves_room_for_every_limit() {
        let timers = Timers::default();
        let least = Guard::least_bound_ms(&timers);
        assert_eq!(least, 3 * (1_000 + 250 + 1_000 + 110));
        let Limits { alert_ms, throttle_ms, withhold_ms } = limits(least);
        assert!(alert_ms < throttle_ms && throttle_ms < withhold_ms, "{alert_ms} {throttle_ms} {withhold_ms}");
        assert_eq!(withhold_ms + timers.permit_ms + timers.poll_ms + skew_ms(&timers), least);
    }

    #[test]
    fn a_level_rises_at_its_limit_and_falls_once_the_other_side_has_caught_up() {
        use GuardLevel::{Alerted, Clear, Throttled, Withheld};
        let limits = limits(9_000);
        for (old, exposure_ms, level) in [
            (Clear, 2_999, Clear),
            (Clear, 3_000, Alerted),
            (Alerted, 2_500, Alerted),
            (Alerted, 2_000, Clear),
            (Clear, 6_000, Throttled),
            (Throttled, 5_000, Throttled),
            (Alerted, 7_640, Withheld),
            (Withheld, 3_000, Withheld),
            (Withheld, 2_249, Clear),
        ] {
            assert_eq!(limits.level(old, exposure_ms), level, "{old:?} at {exposure_ms}");
        }
    }

    #[test]
    fn writes_are_held_back_longer_the_more_is_exposed() {
        let limits = limits(9_000);
        let paces = [0, 5_999, 6_000, 6_820, 7_640, 100_000].map(|ms| limits.pace_ms(ms));
        assert_eq!(paces, [0, 0, 20, 110, 200, 200]);
    }
}
