//! What the core is told once, at its start.

use crate::api::{
    Region,
    role::{DoorPorts, Policy, Timers},
    sabotage::Sabotage,
};

/// The settings of a control plane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The two regions.
    pub regions: [Region; 2],
    /// Zones of each.
    pub zones: u8,
    /// Customers' ports; an environment uses one slot of them, the same in every site.
    pub doors: Vec<DoorPorts>,
    /// Timers.
    pub timers: Timers,
    /// How it decides.
    pub policy: Policy,
    /// How it is broken on purpose.
    pub sabotage: Option<Sabotage>,
}

impl Settings {
    /// The other region; `None` if this one is unknown.
    pub fn peer(&self, region: &Region) -> Option<&Region> {
        let [one, two] = &self.regions;
        match region {
            region if region == one => Some(two),
            region if region == two => Some(one),
            _ => None,
        }
    }

    /// How long after a grant of this control plane it may still be in use somewhere: its lifetime on the slowest clock
    /// allowed for, and the time a compute takes to cut.
    pub fn grant_lives_ms(&self) -> u64 {
        drifted(self.timers.permit_ms + self.timers.cut_ms)
    }
}

/// A time on somebody else's clock as the longest it can be on ours: 1 % of drift is allowed for, rounded up.
pub fn drifted(ms: u64) -> u64 {
    ms + ms.div_ceil(100)
}
