//! What can happen to the core.

use super::effect::{AskId, CallId};
use crate::api::{
    EnvironmentId,
    control::{BackUp, Conversion, Copy, Deploy, Exposure, Failover, Restore, SupportTicket, Tenant},
    node::Answer,
    permit::{Credentials, PermitRequest},
    route::EdgeReport,
};

/// One event. It has no `Debug`: orders carry credentials.
#[derive(Clone)]
pub enum Event {
    /// The first event after [`super::Core::recover`]: whatever was under way is asked for again.
    Restarted {
        /// Milliseconds between the control plane's very first start and this one.
        age_ms: u64,
    },
    /// Time has passed.
    Tick,
    /// A compute or a node asks for permits.
    PermitAsked {
        /// Names the answer.
        ask: AskId,
        /// The message.
        request: PermitRequest,
    },
    /// The edge's sign of life.
    EdgeReported(EdgeReport),
    /// A call has ended, one way or the other.
    CallEnded {
        /// Which.
        call: CallId,
        /// The answer (`Done` from the edge), or why there is none.
        result: Result<Answer, CallFailure>,
    },
    /// Every subscriber has been tried once with this notice.
    NoticeAttempted {
        /// Its number.
        notice: u64,
    },
    /// A tenant's licences are set.
    TenantPut {
        /// Names the answer.
        ask: AskId,
        /// Tenant.
        name: String,
        /// Its licences.
        tenant: Tenant,
    },
    /// An environment is ordered.
    DeployOrdered {
        /// Names the answer.
        ask: AskId,
        /// The order.
        order: Deploy,
        /// Randomness is an input: made by the driver, used if the order is accepted.
        credentials: Box<Credentials>,
    },
    /// A conversion to production is ordered.
    ConversionOrdered {
        /// Names the answer.
        ask: AskId,
        /// The order.
        order: Conversion,
    },
    /// A support ticket is opened.
    TicketOrdered {
        /// Names the answer.
        ask: AskId,
        /// The order.
        order: SupportTicket,
    },
    /// A back-up is ordered.
    BackUpOrdered {
        /// Names the answer.
        ask: AskId,
        /// The order.
        order: BackUp,
    },
    /// A restore is ordered.
    RestoreOrdered {
        /// Names the answer.
        ask: AskId,
        /// The order.
        order: Restore,
    },
    /// A copy of production into a sandbox is ordered.
    CopyOrdered {
        /// Names the answer.
        ask: AskId,
        /// The order.
        order: Copy,
    },
    /// A deletion is ordered.
    DeletionOrdered {
        /// Names the answer.
        ask: AskId,
        /// Of what.
        environment: EnvironmentId,
    },
    /// A failover is ordered.
    FailoverOrdered {
        /// Names the answer.
        ask: AskId,
        /// The order.
        order: Failover,
    },
    /// Exposure is granted, or ended.
    ExposureOrdered {
        /// Names the answer.
        ask: AskId,
        /// Of what.
        environment: EnvironmentId,
        /// The order.
        order: Exposure,
    },
}

/// A call that brought no result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallFailure {
    /// Refused as outdated (HTTP 409): repeating it cannot help.
    pub outdated: bool,
    /// What was said.
    pub why: String,
}
