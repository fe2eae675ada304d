//! Failover time in parts. Fault and first acknowledgement are measured; what lies between is the platform's word.
//!
//! The platform's clock is not ours. Its claims are laid beside each other by its own clock, and beside ours by the
//! claim that reached us quickest; no claim may lie outside the time that was measured, so the parts sum to the whole.

use super::{input::Input, timeline::Switch};
use crate::model::{
    RunTime, SwitchKind,
    event::What,
    measure::{EventKind, Phase},
    operation::EnvironmentIndex,
};

/// The claims that end each part, in the order of a failover.
const PARTS: [(&str, &str); 10] = [
    ("suspected", "region.suspected"),
    ("declared", "region.declared"),
    ("preflighted", "failover.preflighted"),
    ("noticed", "failover.notified"),
    ("drained", "failover.drained"),
    ("handed_over", "failover.handed-over"),
    ("caught_up", "failover.caught-up"),
    ("fenced", "failover.fenced"),
    ("promoted", "failover.promoted"),
    ("routed", "failover.routed"),
];

/// The same within a region.
const ZONE_PARTS: [(&str, &str); 6] = [
    ("suspected", "zone.suspected"),
    ("started", "zone.started"),
    ("fenced", "zone.fenced"),
    ("switched", "zone.switched"),
    ("promoted", "zone.promoted"),
    ("routed", "zone.routed"),
];

/// The parts of one switch; none if it was not observed.
pub(super) fn phases(input: &Input<'_>, environment: EnvironmentIndex, switch: &Switch) -> Vec<Phase> {
    let parts_of = |kind| if kind == EventKind::Zone { &ZONE_PARTS[..] } else { &PARTS };
    let seen = switch.switched.or(switch.moved.and_then(|moved| moved.opened));
    let (Some(of), Some(switched)) = (switch.kind.map(parts_of), seen) else { return Vec::new() };
    let name = input.environments.get(usize::from(environment.0));
    // (part, when the platform says that it was, when we heard of it), nanoseconds.
    let mut claims: Vec<Option<(u64, u64)>> = vec![None; of.len()];
    for event in input.events.iter().filter(|event| event.at >= switch.began && event.at < switch.until) {
        let What::Claim(claim) = &event.what else { continue };
        // What is thought of regions leads to an unplanned failover alone.
        if switch.switch() != Some(SwitchKind::Unplanned) && claim.name.starts_with("region.") {
            continue;
        }
        if claim.environment.is_some() && claim.environment.as_ref() != name {
            continue;
        }
        if let Some(place) = of.iter().position(|(_, name)| *name == claim.name) {
            let said = (claim.at_ms.saturating_mul(1_000_000), event.at.0);
            // A suspicion may be raised, cleared and raised again: the last one before the declaration counts.
            let is_fixed = claims[place].is_some() && (place != 0 || claims[1].is_some());
            if !is_fixed {
                claims[place] = Some(said);
            }
        }
    }
    let offset = claims.iter().flatten().map(|(said, heard)| i128::from(*heard) - i128::from(*said)).min();
    let mut parts = Vec::new();
    let mut last = switch.began.min(switched);
    for ((name, _), claim) in of.iter().zip(claims) {
        let Some((said, _)) = claim else { continue };
        let at = u64::try_from(i128::from(said) + offset.unwrap_or_default()).unwrap_or_default();
        let at = RunTime(at).clamp(last, switched);
        parts.push(Phase { name: (*name).to_owned(), seconds: at.since(last).as_secs_f64(), claim: true });
        last = at;
    }
    let rest = switched.since(last).as_secs_f64();
    parts.push(Phase { name: "first_ack".to_owned(), seconds: rest, claim: false });
    parts
}
