//! `*.failback.condition`: traffic goes back only once the home region is online, fully operational and in step.

use super::{Case, Ruling};
use crate::model::{event::What, verdict::Verdict};

pub(super) fn rule(case: &Case<'_>) -> Ruling {
    let (event, switched) = match case.observed_switch() {
        Ok(observed) => observed,
        Err(ruling) => return ruling,
    };
    let Some(home) = event.to else { return Ruling::inconclusive("no switch") };
    let region = case.evidence.region(home);
    let broken = case.evidence.faults().into_iter().find(|fault| {
        // What breaks in the midst of it could not have been known. Of a region that is lost, nothing may be opened there.
        let until = if fault.fault.lost_region() == Some(region) { switched } else { event.began };
        fault.fault.impairs(region)
            && fault.effective.is_some_and(|effective| effective <= until)
            && fault.healed.is_none_or(|healed| healed > switched)
    });
    if let Some(fault) = broken {
        return Ruling::violated(format!("traffic went back to {region} while `{}` lasted", fault.step));
    }
    // Before any switch a region is in step since its deployment, as was seen then.
    let seen =
        case.evidence.events.iter().rev().filter(|happened| happened.at <= switched).find_map(
            |happened| match &happened.what {
                What::Protected { environment, replica, seen, .. }
                    if *environment == case.index && *replica == home =>
                {
                    Some(*seen)
                }
                What::SwitchCompleted { environment, event: other }
                    if *environment == case.index && *other != event.id =>
                {
                    Some(false)
                }
                _ => None,
            },
        );
    match seen {
        Some(true) => Ruling::new(Verdict::Held),
        _ => Ruling::inconclusive(format!("whether {region} was in step before was not seen")),
    }
}
