//! `*.loss`: the recovery-point age against its bound, or nothing lost at all.

use super::{Case, Ruling};
use crate::model::{promise::Modality, verdict::Verdict};

pub(super) fn rule(case: &Case<'_>) -> Ruling {
    // Whatever an attempt that was undone cost is a loss all the same.
    let undone = case.event.filter(|event| event.aborted && event.recovery_point.operations > 0);
    if let Some(event) = undone.filter(|_| case.promise.modality == Modality::Zero) {
        let operations = event.recovery_point.operations;
        let why = format!("{operations} acknowledged operations are gone after an attempt that was aborted");
        return Ruling::violated(why).with_figures(Some(0.0), event.recovery_point.age_s).with_count(operations);
    }
    let event = match case.observed_switch() {
        Ok((event, _)) => event,
        Err(ruling) => return ruling,
    };
    if let Some(why) = &event.unobserved {
        return Ruling::inconclusive(format!("what survived was not observed: {why}"));
    }
    let (age, operations) = (event.recovery_point.age_s, event.recovery_point.operations);
    let zero = case.promise.modality == Modality::Zero;
    let tested = if zero { Some(0.0) } else { case.tested() };
    let stressed = tested.filter(|_| !zero).map(|bound| event.dose_s.is_some_and(|dose| dose > bound));
    let min_acked = case.evidence.plan.workload.min_acked;
    let ruling = if zero && operations > 0 {
        Ruling::violated(format!("{operations} acknowledged operations are gone"))
    } else if tested.is_some_and(|bound| age > bound) {
        Ruling::violated(format!("the first lost operation was {age:.3} s old when service was cut"))
    } else if event.acked_before < min_acked {
        Ruling::inconclusive(format!(
            "only {} acknowledgements in the five seconds before, fewer than {min_acked}",
            event.acked_before
        ))
    } else {
        Ruling::new(Verdict::Held)
    };
    Ruling { stressed, ..ruling }.with_figures(tested, age).with_count(operations)
}
