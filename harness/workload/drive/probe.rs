//! Probes: one operation of one kind of access at a fixed period, to measure how long that access is interrupted.
//!
//! A lane has several hands, so that a probe is sent on time though those before it still wait; the first hand that is
//! free sends. A long-lived connection has one hand, but where a probe of files also commits a row: what the database
//! does then must not keep the next object waiting.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use tokio::{
    task::JoinSet,
    time::{Instant, sleep_until},
};

use super::{Stall, desk::Desk, hand::Hand, sql::Sql, stop::Stop};
use crate::{
    model::{
        RunTime,
        operation::{Access, Connection, Lane, OpKind, Store},
        plan::Workload,
    },
    workload::schedule::{CONTENDED_KEYS, Wanted, contended_key},
};

/// Every kind of access that is probed.
pub(super) const KINDS: [Kind; 8] = {
    use Access::{Read, Write};
    use Connection::{Fresh, LongLived};
    use Store::{Files, Sql};
    [
        Kind { store: Sql, access: Write, connection: LongLived },
        Kind { store: Sql, access: Write, connection: Fresh },
        Kind { store: Sql, access: Read, connection: LongLived },
        Kind { store: Sql, access: Read, connection: Fresh },
        Kind { store: Files, access: Write, connection: LongLived },
        Kind { store: Files, access: Write, connection: Fresh },
        Kind { store: Files, access: Read, connection: LongLived },
        Kind { store: Files, access: Read, connection: Fresh },
    ]
};

/// Bytes of a probe's file.
const FILE_BYTES: u32 = 256;

/// A new connection costs a handshake of several milliseconds of computing at both ends.
const FRESH_PERIOD_MIN: Duration = Duration::from_millis(100);

/// Hands of one lane at most. A machine that falls behind must not be given ever more to do at once: everything would miss
/// its deadline and nothing be answered at all.
const HANDS_MAX: u32 = 4;

/// Probes of one lane that may wait without holding up the next. While nothing answers, what is past these is sent four times a
/// deadline: often enough to see service come back where waiting probes are never answered, and not so often that the first
/// answers are late for all the others that come with them.
const WAITING_MAX: usize = 2;

/// Later than this, a probe says so: a gap in its answers may then be the examiner's own.
const LATE: Duration = Duration::from_millis(100);

/// One kind of access.
#[derive(Debug, Clone, Copy)]
pub(super) struct Kind {
    store: Store,
    access: Access,
    connection: Connection,
}

impl Kind {
    fn period(self, workload: &Workload) -> Duration {
        let period = workload.probe_period.max(Duration::from_millis(1));
        if self.connection == Connection::Fresh { period.max(FRESH_PERIOD_MIN) } else { period }
    }

    /// Hands enough for as many as can be in flight.
    fn hands(self) -> u32 {
        match (self.connection, self.store, self.access) {
            (Connection::LongLived, Store::Sql, _) | (Connection::LongLived, Store::Files, Access::Read) => 1,
            _ => HANDS_MAX,
        }
    }

    fn hand(self, desk: &Arc<Desk>) -> Hand {
        let Self { store, access, connection } = self;
        let target = if access == Access::Write { desk.app("probe") } else { desk.reader() };
        // The row that goes with a probe of files is not what is measured.
        let sql = Sql::new(target, if store == Store::Sql { connection } else { Connection::LongLived });
        let files = desk.files(access == Access::Write, connection);
        Hand::new(desk, Lane::Probe { store, access, connection }, sql, files)
    }

    async fn send(self, hand: &mut Hand) {
        let stream = hand.stream;
        match (self.store, self.access) {
            (Store::Sql, Access::Write) => {
                // One key for each stream: the table does not grow, and a key has one writer.
                let key = format!("probe-{:06x}", stream.id).into();
                hand.write(&Wanted::write(OpKind::Overwrite, key, false, false), 0).await.map(drop)
            }
            (Store::Files, Access::Write) => {
                let key = format!("probe-{:06x}-{:x}", stream.id, stream.next).into();
                hand.write(&Wanted::write(OpKind::Create, key, false, true), FILE_BYTES).await.map(drop)
            }
            (Store::Sql, Access::Read) => {
                hand.read_row(contended_key(stream.next % CONTENDED_KEYS), true).await.map(drop)
            }
            (Store::Files, Access::Read) => {
                let (file, _) = super::prepare::seeded_object(hand.desk.house.run, hand.desk.environment());
                hand.read_file(file).await.map(drop)
            }
        };
    }
}

/// Sends probes of one kind until the load stops; returns once all have ended.
pub(super) async fn run(
    kind: Kind,
    desk: Arc<Desk>,
    workload: Workload,
    start: RunTime,
    stalls: tokio::sync::broadcast::Sender<Stall>,
    mut stop: Stop,
) {
    let clock = desk.house.clock;
    let period = kind.period(&workload);
    let mut free: BTreeMap<u32, Hand> = (0..kind.hands()).map(|place| (place, kind.hand(&desk))).collect();
    let mut in_flight = JoinSet::new();
    let (mut due, mut sent) = (start, Instant::now());
    while stop.until(Instant::from_std(clock.instant(due))).await {
        let late = clock.now().since(due);
        if late > LATE {
            // Nobody may be listening.
            let _ = stalls.send(Stall { at: due, seconds: late.as_secs_f64() });
        }
        while let Some(Ok((place, hand))) = in_flight.try_join_next() {
            free.insert(place, hand);
        }
        let patience = sent + workload.deadline / HANDS_MAX;
        while free.is_empty() || (in_flight.len() >= WAITING_MAX && Instant::now() < patience) {
            tokio::select! {
                Some(Ok((place, hand))) = in_flight.join_next() => drop(free.insert(place, hand)),
                () = sleep_until(patience), if !free.is_empty() => {}
                else => break,
            }
        }
        // It may have waited long.
        if stop.is_set() {
            break;
        }
        let Some((place, mut hand)) = free.pop_first() else {
            desk.house.give_up(format!("no hand is left to probe {kind:?}"));
            return;
        };
        sent = Instant::now();
        in_flight.spawn(async move {
            kind.send(&mut hand).await;
            (place, hand)
        });
        due = next(due, clock.now(), period);
    }
    while in_flight.join_next().await.is_some() {}
}

/// The next tick that is not past: those missed are not made up for.
fn next(due: RunTime, now: RunTime, period: Duration) -> RunTime {
    let period = u64::try_from(period.as_nanos()).unwrap_or(u64::MAX);
    let missed = now.0.saturating_sub(due.0) / period;
    RunTime(due.0.saturating_add(period.saturating_mul(missed + 1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missed_ticks_are_skipped_and_the_phase_is_kept() {
        let next = |due, now| next(RunTime(due), RunTime(now), Duration::from_nanos(10)).0;
        assert_eq!(next(100, 100), 110);
        assert_eq!(next(100, 109), 110);
        assert_eq!(next(100, 110), 120, "a tick that is now is not sent twice");
        assert_eq!(next(100, 157), 160);
    }
}
