//! A writer's lane: what its schedule says, one operation after another.

use tokio::time::Instant;

use super::{hand::Hand, stop::Stop};
use crate::{
    model::{RunTime, operation::Told},
    workload::schedule::{OwnKeys, WriterSchedule},
};

/// Sends what is due until the load stops. What is overdue by more than the deadline is not sent any more: its client
/// would have given up waiting.
pub(super) async fn run(mut hand: Hand, schedule: WriterSchedule, start: RunTime, file_bytes: u32, mut stop: Stop) {
    let house = hand.desk.house.clone();
    let mut own = OwnKeys::default();
    for due in schedule {
        let at = start.plus(due.at);
        let now = house.clock.now();
        let is_sent_at_once = at <= now && now.since(at) <= house.deadline && !stop.is_set();
        // What is overdue needs no timer, and its intent takes the outcome before it along.
        if !is_sent_at_once
            && (hand.settle().is_none() || !stop.until(Instant::from_std(house.clock.instant(at))).await)
        {
            return;
        }
        if house.clock.now().since(at) > house.deadline {
            house.tally.unsent();
            continue;
        }
        let stream = hand.stream;
        let wanted = own.wanted(&due.draw, stream.id, stream.next);
        match hand.write_and_hold(&wanted, file_bytes).await {
            None => return,
            Some(done) => match done.told {
                Told::Ok { .. } => own.acknowledged(&wanted, done.object_key),
                Told::Fail { .. } => {}
                // Its keys stay with the stream that was retired.
                Told::InDoubt { .. } => own = OwnKeys::default(),
            },
        }
    }
    // The schedule may have an end.
    hand.settle();
}
