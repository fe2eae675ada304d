//! `*.deploy.licensed`: ordered without the product's licence a deployment was refused; ordered again with it, and with nothing
//! else changed, it was done. That the second was done shows that it was the licence which the first had lacked.

use super::{Case, Ruling};
use crate::model::{
    event::{UnlicensedAnswer, What},
    verdict::Verdict,
};

pub(super) fn rule(case: &Case<'_>) -> Ruling {
    let answer = case.evidence.events.iter().find_map(|event| match &event.what {
        What::OrderedUnlicensed { environment, answer } if *environment == case.index => Some(answer),
        _ => None,
    });
    let is_deployed = case
        .evidence
        .events
        .iter()
        .any(|event| matches!(&event.what, What::Deployed { environment, .. } if *environment == case.index));
    match answer {
        None => Ruling::inconclusive("not exercised: no deployment was ordered without a licence"),
        Some(UnlicensedAnswer::Deployed) => Ruling::violated("it was deployed for a tenant without the licence"),
        Some(UnlicensedAnswer::Unknown(why)) => {
            Ruling::inconclusive(format!("whether it is deployed without a licence is not known: {why}"))
        }
        Some(UnlicensedAnswer::Refused(_)) if !is_deployed => {
            Ruling::inconclusive("without a licence it was refused, and with it no deployment was observed")
        }
        Some(UnlicensedAnswer::Refused(_)) => Ruling::new(Verdict::Held),
    }
}
