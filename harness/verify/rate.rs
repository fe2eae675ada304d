//! Rates of acknowledgement: how much was written before a fault, and when the rate before was reached again.

use std::time::Duration;

use super::timeline::{Ack, Switch};
use crate::model::RunTime;

/// The time before a fault in which acknowledgements are counted.
pub(super) const BEFORE: Duration = Duration::from_secs(5);

/// The time over which a rate is reckoned after it.
const WINDOW: Duration = Duration::from_secs(1);

/// The share of the rate before that counts as back.
const SHARE: f64 = 0.95;

/// Writes acknowledged in the five seconds before this moment.
pub(super) fn acked_before(acks: &[Ack], began: RunTime) -> u64 {
    let from = RunTime(began.0.saturating_sub(RunTime::from_duration(BEFORE).0));
    between(acks, from, began).iter().filter(|ack| ack.is_write).count() as u64
}

/// The acknowledgements from one moment until another, both included.
pub(super) fn between(acks: &[Ack], from: RunTime, until: RunTime) -> &[Ack] {
    let first = acks.partition_point(|ack| ack.at < from);
    let end = acks.partition_point(|ack| ack.at <= until);
    &acks[first..end.max(first)]
}

/// Of the acknowledgements of the load: how many a second there were in the five seconds before this moment, or since the
/// first if that is less; `None` if there were none.
pub(super) fn before(load: &[Ack], began: RunTime) -> Option<f64> {
    let from = RunTime(began.0.saturating_sub(RunTime::from_duration(BEFORE).0).max(load.first()?.at.0));
    let (count, span) = (between(load, from, began).len(), began.since(from).as_secs_f64());
    (count > 0 && span > 0.0).then(|| count as f64 / span)
}

/// Of the acknowledgements of the load: seconds from the first of the new side to the first window that has 95 % of the rate before.
pub(super) fn back_to_rate(load: &[Ack], switch: &Switch) -> Option<f64> {
    let switched = switch.switched?;
    let needed = SHARE * before(load, switch.began)? * WINDOW.as_secs_f64();
    let start = load.partition_point(|ack| ack.at < switched);
    let mut end = start;
    // A window may begin at the switch or at any acknowledgement after it.
    let starts = std::iter::once((start, switched)).chain((start..load.len()).map(|place| (place, load[place].at)));
    for (place, at) in starts {
        if at >= switch.until {
            return None;
        }
        let until = at.plus(WINDOW);
        end = end.max(place);
        while load.get(end).is_some_and(|next| next.at < until) {
            end += 1;
        }
        if (end - place) as f64 >= needed {
            return Some(at.since(switched).as_secs_f64());
        }
    }
    None
}
