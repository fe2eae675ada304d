//! The side that served before a switch, or the zone of it, asked directly: as a client, at its compute's own doors, past the edge and its
//! route, with the old epoch and with the new one in turn. Whatever is acknowledged there after the new side's first
//! acknowledgement was acknowledged by two sides.
//!
//! A door that is shut is met by a first line and nothing else, so that asking disturbs nobody.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{desk::Desk, hand::Hand, prepare::seeded_object, sql::Sql, stop::Stop};
use crate::{
    api::{
        EnvironmentId, Epoch,
        route::{Door, DoorStore, Preamble},
    },
    clients::door::Entrance,
    model::operation::{Access, Connection, EnvironmentIndex, Lane, OpKind, Side, Store},
    workload::schedule::{CONTENDED_KEYS, Wanted, contended_key},
};

/// How often each kind of access is asked for.
const PERIOD: Duration = Duration::from_millis(250);
/// How often it is looked whether clients are answered by another side.
const LOOK: Duration = Duration::from_millis(20);
/// Bytes of a file that is sent.
const FILE_BYTES: u32 = 256;

/// What is asked for.
pub(super) const KINDS: [(Store, Access); 4] = [
    (Store::Sql, Access::Write),
    (Store::Sql, Access::Read),
    (Store::Files, Access::Write),
    (Store::Files, Access::Read),
];

/// How the old side of an environment is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OldDoors {
    /// The side that it stands on: the other one, or the one that serves, of which another zone did before.
    pub side: Side,
    /// Port of its compute for SQL, on 127.0.0.1.
    pub sql: u16,
    /// For files.
    pub files: u16,
    /// The environment, as its compute knows it.
    pub environment: EnvironmentId,
    /// The epochs to come with, in turn.
    pub epochs: Vec<Epoch>,
}

/// Says how what served an environment before is reached now, of the side that answers its clients and how many changes of side
/// they have seen; `None`: there is none, or it has come back as a standby, so it may answer what a standby may.
pub type OldSide = Arc<dyn Fn(EnvironmentIndex, Side, u32) -> Option<OldDoors> + Send + Sync>;

/// Asks for one kind of access until the load stops.
pub(super) async fn run(desk: Arc<Desk>, store: Store, access: Access, doors: OldSide, mut stop: Stop) {
    let mut asking: Option<((u32, OldDoors), Hand)> = None;
    let (mut round, mut due, mut looked) = (0_u32, Instant::now(), None);
    while stop.until(Instant::now() + LOOK).await {
        let changes = desk.sides.epoch();
        let Some(serving) = desk.sides.side() else { continue };
        if looked == Some(changes) && Instant::now() < due {
            continue;
        }
        (looked, due) = (Some(changes), Instant::now() + PERIOD);
        let Some(found) = doors(desk.environment(), serving, changes) else { continue };
        let whom = (changes, OldDoors { epochs: Vec::new(), ..found.clone() });
        let hand = match &mut asking {
            Some((of, hand)) if *of == whom => hand,
            _ => &mut asking.insert((whom, hand(&desk, found.side, store, access))).1,
        };
        let Some(epoch) = found.epochs.get(round as usize % found.epochs.len().max(1)) else { continue };
        hand.enter_by(
            entrance(&found, *epoch, DoorStore::Sql, access),
            entrance(&found, *epoch, DoorStore::Files, access),
        );
        if send(hand, store, access, round).await.is_none() {
            return;
        }
        round = round.wrapping_add(1);
    }
}

fn hand(desk: &Arc<Desk>, side: Side, store: Store, access: Access) -> Hand {
    let target = if access == Access::Write { desk.app("old side") } else { desk.reader() };
    let sql = Sql::new(target, Connection::Fresh);
    let files = desk.files(access == Access::Write, Connection::Fresh);
    Hand::new(desk, Lane::OldSide { side, store, access }, sql, files)
}

fn entrance(doors: &OldDoors, epoch: Epoch, store: DoorStore, access: Access) -> Entrance {
    let door = if access == Access::Write { Door::Rw } else { Door::Ro };
    let port = if store == DoorStore::Sql { doors.sql } else { doors.files };
    Entrance { port, preamble: Preamble { environment: Some(doors.environment.clone()), epoch, store, door } }
}

/// One operation. `None`: it could not be recorded, and the load ends.
async fn send(hand: &mut Hand, store: Store, access: Access, round: u32) -> Option<()> {
    let stream = hand.stream;
    match (store, access) {
        (Store::Sql, Access::Write) => {
            let key = format!("old-{:06x}", stream.id).into();
            hand.write(&Wanted::write(OpKind::Overwrite, key, false, false), 0).await.map(drop)
        }
        (Store::Files, Access::Write) => {
            let key = format!("old-{:06x}-{:x}", stream.id, stream.next).into();
            hand.write(&Wanted::write(OpKind::Create, key, false, true), FILE_BYTES).await.map(drop)
        }
        (Store::Sql, Access::Read) => hand.read_row(contended_key(round % CONTENDED_KEYS), true).await.map(drop),
        (Store::Files, Access::Read) => {
            let (file, _) = seeded_object(hand.desk.house.run, hand.desk.environment());
            hand.read_file(file).await.map(drop)
        }
    }
}
