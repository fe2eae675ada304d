//! `*.replica.at-deployment`: when deployment was answered, both replicas existed and held the first write; where it was
//! converted to production, when that was.

use super::{Case, Ruling};
use crate::model::{event::What, verdict::Verdict};

pub(super) fn rule(case: &Case<'_>) -> Ruling {
    let seen = case.evidence.events.iter().rev().find_map(|event| match &event.what {
        What::Converted { environment, sql_replica, files_replica, .. } if *environment == case.index => {
            Some([("SQL", Some(*sql_replica)), ("files", Some(*files_replica))])
        }
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
