//! Who there is, and how a run is disturbed.

use std::collections::BTreeMap;

use crate::api::control::SwitchKind;

/// Somebody who sends or receives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Who {
    Control,
    Node(usize),
    Compute(usize),
    Edge,
}

impl Who {
    /// A number of its own.
    pub fn index(self) -> usize {
        match self {
            Who::Control => 0,
            Who::Edge => 1,
            Who::Node(region) => 2 + region,
            Who::Compute(region) => 4 + region,
        }
    }
}

/// How a run is disturbed.
#[derive(Debug, Clone)]
pub struct Chaos {
    pub seed: u64,
    /// Messages take up to this long.
    pub delay_ms: u64,
    /// Messages lost, and messages delivered a second time up to 3 s later, in a hundred.
    pub lost: u32,
    pub repeated: u32,
    /// Clocks run apart by up to 1 %.
    pub drift: bool,
    /// Journal writes at which somebody is killed.
    pub kills: BTreeMap<usize, Kill>,
    /// Links that carry nothing in a span of time, one way.
    pub cuts: Vec<Cut>,
    /// Times at which a region dies and returns.
    pub outages: Vec<(usize, u64, u64)>,
    /// Times at which a node's process is started anew.
    pub node_restarts: Vec<(usize, u64)>,
    /// Times at which an operator orders a failover of whatever is active in a region.
    pub orders: Vec<(usize, u64)>,
    /// Times at which an operator orders the conversion of `talk`.
    pub conversions: Vec<u64>,
    /// Times at which a customer opens a support ticket for `books`.
    pub tickets: Vec<u64>,
    /// What the operator orders.
    pub ordered: SwitchKind,
    /// Calls in a hundred at which a node fails without doing anything.
    pub failing: u32,
    /// The step whose first entry stalls the west's receiver.
    pub stall_at: Option<&'static str>,
    /// The step whose first entry loses a region.
    pub lose_at: Option<(&'static str, usize)>,
    /// The west's receiver streams nothing.
    pub stalled: bool,
    /// Times in which it does not.
    pub stalls: Vec<(u64, u64)>,
    /// Files replicate to nobody.
    pub files_stalled: bool,
    /// Nodes say that nothing streams.
    pub unstreamed: bool,
    /// Age of the oldest file that nodes say the other region lacks, milliseconds; 0: it lacks none.
    pub owed_ms: u64,
}

impl Default for Chaos {
    fn default() -> Self {
        Self {
            seed: 0,
            delay_ms: 0,
            lost: 0,
            repeated: 0,
            drift: false,
            kills: BTreeMap::new(),
            cuts: Vec::new(),
            outages: Vec::new(),
            node_restarts: Vec::new(),
            orders: Vec::new(),
            conversions: Vec::new(),
            tickets: Vec::new(),
            ordered: SwitchKind::Unplanned,
            failing: 0,
            stall_at: None,
            lose_at: None,
            stalled: false,
            stalls: Vec::new(),
            files_stalled: false,
            unstreamed: false,
            owed_ms: 0,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kill {
    /// Control, before the write is durable.
    BeforeWrite,
    /// Control, once it is durable and before anything is performed.
    AfterWrite,
    /// A region's node, as the write becomes durable: it is started anew and knows what is on its disk alone.
    Node(usize),
}

#[derive(Debug, Clone, Copy)]
pub struct Cut {
    pub from: Who,
    pub to: Who,
    pub begin_ms: u64,
    pub end_ms: u64,
}
