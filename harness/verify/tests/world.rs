//! A small model of a platform: it serves writes, replicates logs of rows and of objects, fails over and loses their
//! tails. What verification says of its runs is known beforehand.

use std::{collections::BTreeMap, time::Duration};

use crate::{
    ledger::History,
    model::{
        RunTime, SwitchKind, Token, Zone,
        event::{Event, What},
        measure::{Counts, EventMeasures, Finding, Integrity, Measures},
        observation::*,
        operation::*,
        salvage::SalvageClaim,
        token::Seen,
    },
    verify::{Finals, Input, verify},
};

pub const BALANCE: i64 = 1000;
pub const ACCOUNTS: u32 = 6;
pub const RUN: u32 = 0xabc;
/// The side that serves at first.
pub const EAST: Side = Side(0);
/// Of what is asked at the old side's doors.
const OLD_SIDE: u32 = 0x2000;

/// Milliseconds of the run.
pub fn ms(ms: u64) -> RunTime {
    RunTime(ms * 1_000_000)
}

/// What the client is told, and what is true.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    Ok,
    Fail,
    /// The object was stored, the row refused.
    FailAfterObject,
    /// No clear answer; whether it was done.
    Doubt(bool),
    /// No answer in the ledger at all; whether it was done.
    Silent(bool),
}

/// One transaction of the database's log.
#[derive(Debug, Clone)]
pub struct Effect {
    pub token: Token,
    pub kind: OpKind,
    pub key: Box<str>,
    pub object: Option<ObjectReference>,
    pub transfer: Option<Transfer>,
}

#[derive(Debug, Default)]
pub struct World {
    pub intents: Vec<Intent>,
    pub outcomes: Vec<Outcome>,
    pub events: Vec<Event>,
    pub observations: Vec<Observation>,
    pub salvages: Vec<SalvageClaim>,
    pub rows: Vec<Effect>,
    pub objects: Vec<ObjectVersion>,
    sequences: BTreeMap<u32, u32>,
    pub side: u8,
    pub epoch: u32,
    pub now: u64,
}

impl World {
    pub fn new() -> Self {
        Self { now: 10, ..Self::default() }
    }

    pub fn token(&mut self, stream: u32) -> Token {
        let next = self.sequences.entry(stream).or_default();
        *next += 1;
        Token { run: RUN, stream, sequence: *next - 1, epoch: self.epoch }
    }

    /// One operation at the old side's own doors, past the edge, told this; what is read is `key`.
    pub fn ask_old_side(&mut self, key: &str, store: Store, access: Access, told: Told, object: bool) {
        let token = self.token(OLD_SIDE);
        let kind = match (store, access) {
            (Store::Sql, Access::Read) => OpKind::ReadSql,
            (Store::Files, Access::Read) => OpKind::ReadFile,
            (_, Access::Write) => OpKind::Create,
        };
        let file = (store == Store::Files).then(|| {
            Box::new(FileIntent { object_key: format!("uuid-{token}/sha").into(), sha256: "sha".into(), bytes: 100 })
        });
        self.intents.push(Intent {
            token,
            environment: EnvironmentIndex(0),
            sent: ms(self.now),
            kind,
            lane: Lane::OldSide { side: EAST, store, access },
            key: if kind == OpKind::ReadSql { key.into() } else { format!("old-{token}").into() },
            contended: false,
            file,
            transfer: None,
        });
        let file_acked = object.then(|| Box::new(FileAck { at: ms(self.now + 1), version_id: "v".into() }));
        self.outcomes.push(Outcome { token, at: ms(self.now + 2), file_acked, told });
        self.now += 3;
    }

    /// One write of a key, sent and answered before the next.
    pub fn write(&mut self, stream: u32, kind: OpKind, key: &str, file: bool, answer: Answer) -> Token {
        let token = self.token(stream);
        let file = (file && kind != OpKind::Delete).then(|| {
            let sha256 = format!("sha-of-{token}");
            Box::new(FileIntent {
                object_key: format!("uuid-{token}/{sha256}").into(),
                sha256: sha256.into(),
                bytes: 100,
            })
        });
        self.operation(
            Intent {
                token,
                environment: EnvironmentIndex(0),
                sent: ms(self.now),
                kind,
                lane: Lane::Writer(stream as u16),
                key: key.into(),
                contended: false,
                file,
                transfer: None,
            },
            answer,
        )
    }

    pub fn transfer(&mut self, stream: u32, from: u32, to: u32, amount: i64, answer: Answer) -> Token {
        let token = self.token(stream);
        self.operation(
            Intent {
                token,
                environment: EnvironmentIndex(0),
                sent: ms(self.now),
                kind: OpKind::Transfer,
                lane: Lane::Writer(stream as u16),
                key: "".into(),
                contended: false,
                file: None,
                transfer: Some(Transfer { from, to, amount }),
            },
            answer,
        )
    }

    /// A read of a row that returned this.
    pub fn read(&mut self, stream: u32, key: &str, found: Option<Token>) -> Token {
        let token = self.token(stream);
        self.intents.push(Intent {
            token,
            environment: EnvironmentIndex(0),
            sent: ms(self.now),
            kind: OpKind::ReadSql,
            lane: Lane::Writer(stream as u16),
            key: key.into(),
            contended: false,
            file: None,
            transfer: None,
        });
        let told = Told::Ok { side: Some(Side(self.side)), local_only: false, found: found.map(Seen::Token) };
        self.outcomes.push(Outcome { token, at: ms(self.now + 2), file_acked: None, told });
        self.now += 3;
        token
    }

    pub fn operation(&mut self, intent: Intent, answer: Answer) -> Token {
        let token = intent.token;
        let object = intent.file.as_ref().map(|file| ObjectReference {
            object_key: file.object_key.clone(),
            version_id: format!("v-{token}").into(),
            sha256: file.sha256.clone(),
        });
        let done = matches!(answer, Answer::Ok | Answer::Doubt(true) | Answer::Silent(true));
        let stored = object.is_some() && (done || answer == Answer::FailAfterObject);
        if stored && let Some(file) = &intent.file {
            self.objects.push(ObjectVersion {
                object_key: file.object_key.clone(),
                version_id: format!("v-{token}").into(),
                content: Content::Body {
                    token: Some(Seen::Token(token)),
                    sha256: file.sha256.clone(),
                    bytes: u64::from(file.bytes),
                },
            });
        }
        let file_acked = object.as_ref().filter(|_| stored && !matches!(answer, Answer::Silent(_)));
        let file_acked =
            file_acked.map(|object| Box::new(FileAck { at: ms(self.now + 1), version_id: object.version_id.clone() }));
        if done {
            // The writer deletes the row before the object, which then gets a marker.
            if intent.kind == OpKind::Delete
                && let Some(old) = self.database().data.iter().find(|row| *row.key == *intent.key)
                && let Some(object) = old.object.clone()
            {
                let version_id = format!("marker-{token}").into();
                let content = Content::DeleteMarker;
                self.objects.push(ObjectVersion { object_key: object.object_key, version_id, content });
            }
            let (kind, key, transfer) = (intent.kind, intent.key.clone(), intent.transfer);
            self.rows.push(Effect { token, kind, key: key.into(), object, transfer });
        }
        let told = match answer {
            Answer::Ok => Some(Told::Ok { side: Some(Side(self.side)), local_only: false, found: None }),
            Answer::Fail | Answer::FailAfterObject => Some(Told::Fail { code: "23505".into() }),
            Answer::Doubt(_) => Some(Told::InDoubt { code: "timeout".into() }),
            Answer::Silent(_) => None,
        };
        if let Some(told) = told {
            self.outcomes.push(Outcome { token, at: ms(self.now + 2), file_acked, told });
        }
        self.intents.push(intent);
        self.now += 3;
        token
    }

    pub fn event(&mut self, what: What) {
        self.events.push(Event { at: ms(self.now), what });
    }

    /// The region is lost, with the last `rows` transactions and the last `objects` versions.
    pub fn fail_over(&mut self, id: &str, rows: usize, objects: usize) {
        self.switch(id, SwitchKind::Unplanned, rows, objects);
    }

    /// An attempt that is undone after all, and loses the last `rows` transactions.
    pub fn attempt(&mut self, id: &str, rows: usize) {
        let (environment, cause) = (EnvironmentIndex(0), ms(self.now));
        self.event(What::SwitchBegan { event: id.into(), kind: SwitchKind::Planned, environment, cause });
        self.rows.truncate(self.rows.len().saturating_sub(rows));
        self.now += 500;
        self.event(What::SwitchEnded { event: id.into(), environment, aborted: true, why: "stalled".into() });
    }

    /// A switch of a kind, which loses as much.
    pub fn switch(&mut self, id: &str, kind: SwitchKind, rows: usize, objects: usize) {
        let (environment, cause) = (EnvironmentIndex(0), ms(self.now));
        self.event(What::SwitchBegan { event: id.into(), kind, environment, cause });
        self.rows.truncate(self.rows.len().saturating_sub(rows));
        self.objects.truncate(self.objects.len().saturating_sub(objects));
        self.side = 1 - self.side;
        self.epoch += 1;
        self.now += 500;
        self.event(What::SwitchCompleted { event: id.into(), environment });
    }

    /// The zone that holds the seat is lost with the last `rows` transactions, and another one takes over: seen 100 ms after.
    pub fn lose_zone(&mut self, id: &str, zones: [u8; 2], rows: usize) {
        let (environment, side) = (EnvironmentIndex(0), Side(self.side));
        let seen = |zone: u8, before: u64| What::SeatSeen {
            environment,
            side,
            zone: Zone(zone),
            timeline: u32::from(zone),
            before: ms(before),
        };
        if !self.events.iter().any(|event| matches!(event.what, What::SeatSeen { .. })) {
            self.events.insert(0, Event { at: ms(1), what: seen(zones[0], 0) });
        }
        self.event(What::ZoneLost { event: id.into(), environment, cause: ms(self.now) });
        self.rows.truncate(self.rows.len().saturating_sub(rows));
        self.now += 500;
        self.event(seen(zones[1], self.now - 100));
    }

    /// The database as the log makes it.
    pub fn database(&self) -> SqlSnapshot {
        let mut data: BTreeMap<&str, DataRow> = BTreeMap::new();
        let mut snapshot = SqlSnapshot::default();
        let mut accounts: BTreeMap<u32, i64> = (0..ACCOUNTS).map(|account| (account, BALANCE)).collect();
        for effect in &self.rows {
            let token = Seen::Token(effect.token);
            let prev = data.get(&*effect.key).map(|row| row.token.clone());
            snapshot.history.push(HistoryRow { token: token.clone(), key: effect.key.clone(), prev });
            match (effect.kind, effect.transfer) {
                (OpKind::Delete, _) => drop(data.remove(&*effect.key)),
                (_, Some(Transfer { from, to, amount })) => {
                    for (account, amount) in [(from, -amount), (to, amount)] {
                        *accounts.entry(account).or_default() += amount;
                        snapshot.legs.push(Leg { token: token.clone(), account, amount });
                    }
                }
                _ => {
                    let (key, value) = (effect.key.clone(), effect.token.value().into());
                    data.insert(&effect.key, DataRow { key, token, value, object: effect.object.clone() });
                }
            }
        }
        snapshot.data = data.into_values().collect();
        snapshot.accounts = accounts.into_iter().collect();
        snapshot
    }

    pub fn bucket(&self) -> FilesSnapshot {
        FilesSnapshot { versions: self.objects.clone(), marked: Vec::new() }
    }

    pub fn observation(&self, boundary: Boundary) -> Observation {
        Observation {
            environment: EnvironmentIndex(0),
            side: Side(self.side),
            boundary,
            began: ms(self.now),
            ended: ms(self.now + 1),
            sql: Reading::Whole(self.database()),
            files: Reading::Whole(self.bucket()),
        }
    }

    pub fn observe(&mut self, id: &str) {
        self.observations.push(self.observation(Boundary::Event(id.into())));
        self.now += 2;
    }

    /// The end of the run: read twice.
    pub fn finish(mut self) -> Finished {
        self.event(What::Quiesced);
        for pass in [1, 2] {
            self.observations.push(self.observation(Boundary::Final { pass, serving: true }));
        }
        let end = ms(self.now);
        let World { intents, outcomes, events, observations, salvages, .. } = self;
        Finished { history: History::new(intents, outcomes).unwrap(), events, observations, salvages, end }
    }
}

/// A finished run.
pub struct Finished {
    pub history: History,
    pub events: Vec<Event>,
    pub observations: Vec<Observation>,
    pub salvages: Vec<SalvageClaim>,
    pub end: RunTime,
}

impl Finished {
    pub fn verify(&self) -> Measures {
        self.verify_all(&["sales"])
    }

    /// The same of a run with these environments.
    pub fn verify_all(&self, environments: &[&str]) -> Measures {
        let environments: Vec<_> = environments.iter().map(|name| name.parse().unwrap()).collect();
        let finals = || Finals::of(environments.len(), &self.events, &self.observations);
        let input = Input {
            run: RUN,
            environments: &environments,
            history: &self.history,
            events: &self.events,
            observations: &self.observations,
            salvages: &self.salvages,
            probe_period: Duration::from_millis(50),
            deadline: Duration::from_secs(2),
            account_balance: BALANCE,
            end: self.end,
        };
        verify(&input, finals)
    }

    /// Alters both final readings in the same way.
    pub fn tamper(&mut self, alter: impl Fn(&mut SqlSnapshot, &mut FilesSnapshot)) {
        for observation in &mut self.observations {
            if let (Boundary::Final { .. }, Reading::Whole(rows), Reading::Whole(versions)) =
                (&observation.boundary, &mut observation.sql, &mut observation.files)
            {
                alter(rows, versions);
            }
        }
    }
}

/// The event of this id.
pub fn event<'a>(measures: &'a Measures, id: &str) -> &'a EventMeasures {
    measures.events.iter().find(|event| event.id == id).unwrap()
}

/// How many findings of this id are in all.
pub fn found(measures: &Measures, id: Integrity) -> u64 {
    measures.findings.iter().filter(|finding| finding.id == id).map(|finding| finding.count).sum()
}

/// The findings of an event as (id, count).
pub fn findings(measures: &Measures) -> Vec<(Integrity, Option<Store>, u64)> {
    let line = |finding: &Finding| (finding.id, finding.store, finding.count);
    measures.findings.iter().map(line).collect()
}

/// Both balances, added up by hand.
pub fn assert_balanced(counts: &Counts) {
    let fates = counts.intact
        + counts.superseded
        + counts.lost()
        + counts.corrupt
        + counts.in_doubt_present
        + counts.in_doubt_absent
        + counts.fail_present
        + counts.fail_absent;
    assert_eq!(counts.intents, fates, "{counts:?}");
    let present = counts.intact + counts.superseded + counts.corrupt + counts.in_doubt_present + counts.fail_present;
    let found = present + counts.lost_found + counts.duplicate + counts.seeded + counts.foreign;
    assert_eq!(counts.found, found, "{counts:?}");
    assert_eq!(counts.residual, 0, "{counts:?}");
}
