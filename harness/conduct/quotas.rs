//! Whether each region is held to its quota of the processors: read back from whoever holds it, with every process of the region.

use std::thread::available_parallelism;

use super::recorder::Recorder;
use crate::{
    model::{event::What, plan::Plan},
    testbed::{QuotaSeen, Testbed, TestbedError},
};

/// Looks at each region that has a quota, and says what was seen. A region that is lost has no process to be held.
pub(super) async fn look(plan: &Plan, testbed: &dyn Testbed, recorder: &Recorder) {
    let machine_milli = available_parallelism().map_or(u64::MAX, |count| 1_000 * count.get() as u64);
    let together_milli: u64 = plan.regions.quotas().map(|(_, milli)| u64::from(milli)).sum();
    for (region, wanted_milli) in plan.regions.quotas() {
        let seen = testbed.quota(region).await;
        let held = seen.as_ref().map_or(0, |seen| seen.held);
        let trouble = match together_milli > machine_milli {
            true => Some(format!(
                "both regions may use {} thousandths of a processor together, and the machine has {machine_milli}",
                together_milli
            )),
            false => trouble(wanted_milli, seen),
        };
        recorder.say(What::Quota { region: region.clone(), wanted_milli, held, trouble });
    }
}

fn trouble(wanted_milli: u32, seen: Result<QuotaSeen, TestbedError>) -> Option<String> {
    match seen {
        Err(error) => Some(error.to_string()),
        Ok(QuotaSeen { milli: Some(milli), outside, .. }) if milli.abs_diff(wanted_milli) <= wanted_milli / 20 => {
            (!outside.is_empty()).then(|| format!("not held to it: {}", outside.join(", ")))
        }
        Ok(QuotaSeen { milli, .. }) => {
            Some(format!("{milli:?} thousandths of a processor were read back, and not {wanted_milli}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quota_is_in_force_if_it_is_read_back_and_nobody_is_outside() {
        let seen = |milli, outside: &[&str]| {
            Ok(QuotaSeen { milli, held: 9, outside: outside.iter().map(|name| (*name).to_owned()).collect() })
        };
        assert_eq!(trouble(800, seen(Some(800), &[])), None);
        assert!(trouble(800, seen(Some(800), &["process 7"])).unwrap().contains("process 7"));
        assert!(trouble(800, seen(Some(1_600), &[])).unwrap().contains("1600"));
        assert!(trouble(800, seen(None, &[])).is_some());
        assert!(trouble(800, Err(TestbedError::Unusable("be root".to_owned()))).unwrap().contains("be root"));
    }
}
