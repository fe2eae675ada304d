//! `*.replica.at-deployment`: when deployment was answered, both replicas existed and held the first write.

use super::{Case, Ruling};
use crate::model::{event::What, verdict::Verdict};

pub(super) fn rule(case: &Case<'_>) -> Ruling {
    let seen = case.evidence.events.iter().find_map(|event| match &event.what {
        What::Deployed { environment, sql_replica, files_replica, .. } if *environment == case.index => {
            Some([("SQL", *sql_replica), ("files", *files_replica)])
        }
        _ => None,
    });
    let Some(seen) = seen else { return Ruling::inconclusive("not exercised: no deployment was observed") };
    if let Some((store, _)) = seen.iter().find(|(_, replica)| *replica == Some(false)) {
        return Ruling::violated(format!("the replica of {store} was not there when deployment was answered"));
    }
    match seen.iter().find(|(_, replica)| replica.is_none()) {
        Some((store, _)) => Ruling::inconclusive(format!("whether there was a replica of {store} was not looked at")),
        None => Ruling::new(Verdict::Held),
    }
}
