//! What the core wants done.

use super::record::Record;
use crate::api::{
    Region, Zone, compute,
    control::{Exposure, OperationView, Tenant},
    node::Command,
    permit::PermitReply,
    route::Route,
};

/// Names a question asked of the core, so that its answer finds its way back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AskId(pub u64);

/// Names a call to a node, a compute or the edge; never used twice in the life of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId(pub u64);

/// One effect. It has no `Debug`: grants and commands carry credentials.
#[derive(Clone)]
pub enum Effect {
    /// Persist these, all or none, before any effect after them, of this step or of a later one. At most one a step,
    /// always the first.
    Journal(Vec<Record>),
    /// Send a command to a zone's node; its end comes back as [`super::Event::CallEnded`].
    Command {
        /// Names the call.
        call: CallId,
        /// Whose node.
        region: Region,
        /// In which of its zones.
        zone: Zone,
        /// The command.
        command: Box<Command>,
    },
    /// Send a command to a zone's compute; its end comes back as [`super::Event::CallEnded`].
    Compute {
        /// Names the call.
        call: CallId,
        /// Whose compute.
        region: Region,
        /// In which of its zones.
        zone: Zone,
        /// The command.
        command: compute::Command,
    },
    /// Set a route at the edge; its end comes back as [`super::Event::CallEnded`].
    Route {
        /// Names the call.
        call: CallId,
        /// The route.
        route: Route,
    },
    /// Deliver a notice of the journal; once every subscriber was tried, [`super::Event::NoticeAttempted`].
    Notify {
        /// Its number.
        notice: u64,
    },
    /// Answer a holder.
    Permits {
        /// The question.
        ask: AskId,
        /// The answer.
        reply: PermitReply,
    },
    /// Answer an order.
    Answer {
        /// The question.
        ask: AskId,
        /// The answer.
        result: Result<OrderAnswer, Refused>,
    },
}

/// An order that was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OrderAnswer {
    /// Tenant set.
    Tenant(Tenant),
    /// An operation has begun.
    Operation(OperationView),
    /// Exposure granted or ended.
    Exposure(Exposure),
}

/// An order that was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct Refused {
    /// 404 unknown, 409 not now, 422 not allowed.
    pub status: u16,
    /// What is wrong and what to do.
    pub why: String,
}

impl Refused {
    /// Something unknown.
    pub fn unknown(why: impl Into<String>) -> Self {
        Self { status: 404, why: why.into() }
    }

    /// Not now.
    pub fn not_now(why: impl Into<String>) -> Self {
        Self { status: 409, why: why.into() }
    }

    /// Not allowed.
    pub fn not_allowed(why: impl Into<String>) -> Self {
        Self { status: 422, why: why.into() }
    }
}
