//! `*.replication.lag`: the largest lag of either store, over the time in which a replica was due.

use super::{Case, Ruling};
use crate::model::{promise::Modality, verdict::Verdict};

pub(super) fn rule(case: &Case<'_>) -> Ruling {
    let lags = case.evidence.measures.lags.iter().filter(|lag| lag.environment == case.index && lag.samples > 0);
    let (mut samples, mut stores, mut largest, mut dose) = (0, 0, 0.0_f64, 0.0_f64);
    for lag in lags {
        samples += lag.samples;
        stores += 1;
        largest = largest.max(lag.max_s);
        dose = dose.max(lag.unguarded_s);
    }
    let tested = case.tested();
    // What is only typical is judged if the scenario sets a bound of its own, and told otherwise.
    let judged = if case.promise.modality == Modality::Typical { case.at_most } else { tested };
    let ruling = match judged {
        _ if stores == 0 => return Ruling::inconclusive("not exercised: lag was not sampled"),
        Some(bound) if largest > bound => Ruling::violated(format!("{largest:.3} s behind")),
        _ if stores == 1 => Ruling::inconclusive("the lag of one store alone was sampled"),
        Some(_) => Ruling::new(Verdict::Held),
        None => Ruling::new(Verdict::Reported),
    };
    // A lag is kept by holding writes off, or not at all.
    let stressed = judged.map(|bound| dose > bound);
    Ruling { stressed, ..ruling }.with_figures(judged.or(tested), largest).with_count(samples)
}
