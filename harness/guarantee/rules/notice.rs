//! `*.notice`: a notice reached the examiner's own receiver before the new side's first acknowledgement.

use super::{Case, Ruling};
use crate::{
    api::control::{NoticeKind, SwitchKind},
    model::{event::What, verdict::Verdict},
};

pub(super) fn rule(case: &Case<'_>) -> Ruling {
    let (event, switched) = match case.observed_switch() {
        Ok(observed) => observed,
        Err(ruling) => return ruling,
    };
    let wanted = match event.kind {
        Some(SwitchKind::Planned) => NoticeKind::PlannedFailover,
        Some(SwitchKind::Failback) => NoticeKind::Failback,
        Some(SwitchKind::Unplanned) | None => NoticeKind::UnplannedFailover,
    };
    let first = case.evidence.events.iter().find_map(|happened| match &happened.what {
        What::NoticeReceived { environment, kind, .. }
            if *environment == case.index && *kind == wanted && happened.at >= event.began =>
        {
            Some(happened.at)
        }
        _ => None,
    });
    match first {
        Some(at) if at < switched => Ruling::new(Verdict::Held),
        Some(at) => Ruling::violated(format!(
            "the notice came {:.0} ms after traffic was switched",
            at.since(switched).as_secs_f64() * 1e3
        )),
        None => Ruling::violated("no notice was received"),
    }
}
