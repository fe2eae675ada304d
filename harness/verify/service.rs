//! What customers were served of the offered load before a switch and after it: whether the other side can take the traffic.
//!
//! Of what came after, the best stretch counts: a region that can take the load does so for a while at least, whatever else the
//! drill does to it; one that cannot never does, since no stretch is shorter than what a backlog of retries could fill.

use std::time::Duration;

use super::{
    rate::BEFORE,
    timeline::{Ack, Switch},
};
use crate::model::{
    RunTime,
    measure::{Served, Service},
};

/// How long the load takes to run evenly: at its beginning it makes up for the time that its connections took.
const BEGINNING: Duration = Duration::from_secs(1);
/// The stretch after.
const AFTER: Duration = Duration::from_secs(3);
/// The shortest stretch before that says anything.
const BEFORE_MIN: Duration = Duration::from_secs(2);

/// Both stretches, of the acknowledgements of the load; `None` where there was no switch, or one of them is too short.
pub(super) fn served(load: &[Ack], switch: &Switch) -> Option<Served> {
    let switched = switch.switched?;
    let (first, last) = (load.first()?.at, load.last()?.at);
    let from = RunTime(switch.began.0.saturating_sub(RunTime::from_duration(BEFORE).0)).max(first.plus(BEGINNING));
    let span = switch.began.since(from);
    if span < BEFORE_MIN {
        return None;
    }
    let place = |at: RunTime| load.partition_point(|ack| ack.at < at);
    let before = service(&load[place(from)..place(switch.began)], span);
    let end = switch.until.min(last);
    let starts = std::iter::once(switched).chain(load[place(switched)..].iter().map(|ack| ack.at));
    let stretches = starts.take_while(|start| start.plus(AFTER) <= end);
    let stretches = stretches.map(|start| &load[place(start)..place(start.plus(AFTER))]);
    let after = stretches.reduce(|best, next| if next.len() > best.len() { next } else { best })?;
    Some(Served { before, after: service(after, AFTER) })
}

fn service(acks: &[Ack], span: Duration) -> Service {
    let mut took: Vec<u32> = acks.iter().map(|ack| ack.took_us).collect();
    let p99 = took.len().saturating_sub(1) * 99 / 100;
    let p99_s = (!took.is_empty()).then(|| f64::from(*took.select_nth_unstable(p99).1) / 1e6);
    Service { acked_per_s: acks.len() as f64 / span.as_secs_f64(), p99_s }
}
