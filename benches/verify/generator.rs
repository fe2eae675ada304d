//! A run's folder, made from a seed as a real run leaves it: plan, events, ledger, readings.
//!
//! The load is the one of a scenario that says nothing of it: 100 writes a second by six writers (creates, overwrites of
//! own and contended keys, deletes, transfers; a tenth with an object) and eight lanes of probes, ten a second each. In
//! the middle the primary dies with two seconds of rows and a tenth of a second of objects that have not crossed; for
//! three seconds nothing is answered, or refused; the other side takes over and is read; the old one comes back, is
//! protected, and at the end both are read twice. The second pass begins elsewhere in each table, as Postgres's
//! synchronised scans do.

use std::{collections::HashMap, fs::File, io::Write as _, path::Path, time::Duration};

use geodrill::{
    api::{Region, control::SwitchKind},
    conduct::folder::{Layout, RunFile},
    guarantee,
    ledger::{Writer, reads},
    model::{
        RunTime, Token,
        event::{Event, What},
        fault::{Fault, FaultRecord},
        observation::{
            Boundary, Content, DataRow, FilesSnapshot, HistoryRow, Leg, ObjectReference, ObjectVersion, Observation,
            Reading, SqlSnapshot,
        },
        operation::{
            Access, Connection, EnvironmentIndex, FileAck, FileIntent, Intent, Lane, OpKind, Outcome, Side, Store,
            Told, Transfer,
        },
        plan::Plan,
        testbed::TestbedName,
        token::Seen,
    },
    os::files,
    scenario::{self, Catalogue},
    workload::schedule::{ACCOUNT_BALANCE, ACCOUNTS, CONTENDED_KEYS, contended_key},
};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const SCENARIO: &str = "\
geodrill: 1
name: verification
environments: [{ id: sales, kind: dataverse-production }]
timeline:
  - { id: outage, when: { at: 1s }, inject: { region.outage: { region: east } } }
expect:
  - { guarantee: dataverse.unplanned.loss, environment: sales, step: failover-1, at_most: 10s }
";

const RUN: u32 = 0xbe4c_0001;
const WRITERS: usize = 6;
/// Operations of a cycle of a tenth of a second: ten writes and a probe of each kind.
const CYCLE: u64 = 18;
const SLOT: Duration = Duration::from_nanos(100_000_000 / CYCLE);
/// Slots before the outage in which rows, and objects, do not cross any more; slots after it without any service.
const ROWS_HELD: u64 = 20 * CYCLE;
const OBJECTS_HELD: u64 = CYCLE;
const DOWN: u64 = 30 * CYCLE;
/// Operations handed to the ledger at once.
const BATCH: usize = 4096;
const OWN_KEYS_MAX: usize = 512;
const FILE_BYTES: u32 = 4096;

/// What verification has to find.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Truth {
    /// Acknowledged rows that the outage took.
    pub rows: u64,
    /// Acknowledged objects that it took.
    pub objects: u64,
}

/// Makes the folder of a run of `count` operations.
pub fn generate(folder: &Path, count: u64, seed: u64) -> Truth {
    let layout = Layout::new(folder);
    layout.create().expect("a folder for the run");
    let mut maker = Maker::new(&layout, count, seed);
    for slot in 0..count {
        maker.operation(slot);
    }
    maker.finish(&layout, seed)
}

fn plan() -> Plan {
    let catalogue = Catalogue::of(TestbedName::Native, guarantee::promises());
    scenario::parse("verification.yaml", SCENARIO, Path::new("."), &catalogue)
        .unwrap_or_else(|diagnostics| panic!("{}", diagnostics.render(false)))
}

/// One stream, and the keys that it knows to be there.
struct Stream {
    id: u32,
    next: u32,
    keys: Vec<Box<str>>,
}

struct Maker {
    random: ChaCha8Rng,
    /// The slot of the outage.
    outage: u64,
    ledger: Writer,
    intents: Vec<Intent>,
    outcomes: Vec<Outcome>,
    events: Vec<Event>,
    reads: std::path::PathBuf,
    streams: Vec<Stream>,
    last_stream: u32,
    epoch: u32,
    rows: SqlSnapshot,
    /// The place of each key's row.
    places: HashMap<Box<str>, usize>,
    versions: FilesSnapshot,
    /// What stands in rows that have not crossed.
    held: HashMap<Box<str>, Option<Token>>,
    truth: Truth,
}

impl Maker {
    fn new(layout: &Layout, count: u64, seed: u64) -> Self {
        let accounts = (0..ACCOUNTS).map(|account| (account, ACCOUNT_BALANCE)).collect();
        let mut maker = Self {
            random: ChaCha8Rng::seed_from_u64(seed),
            outage: count / 2,
            ledger: Writer::create(&layout.ledger()).expect("a new ledger"),
            intents: Vec::with_capacity(BATCH),
            outcomes: Vec::with_capacity(BATCH),
            events: Vec::new(),
            reads: layout.reads(),
            streams: Vec::new(),
            last_stream: 0x1000,
            epoch: 0,
            rows: SqlSnapshot { accounts, ..SqlSnapshot::default() },
            places: HashMap::new(),
            versions: FilesSnapshot::default(),
            held: HashMap::new(),
            truth: Truth::default(),
        };
        maker.renew_streams();
        maker
    }

    /// Streams of the writers, then one for each kind of probe.
    fn renew_streams(&mut self) {
        self.streams = (0..WRITERS as u32 + 8).map(|place| self.last_stream + place).map(Stream::new).collect();
        self.last_stream += WRITERS as u32 + 8;
    }

    fn operation(&mut self, slot: u64) {
        if slot == self.outage {
            self.lose_region(slot);
        } else if slot == self.outage + DOWN {
            self.serve_again(slot);
        } else if slot == self.outage + 2 * DOWN {
            self.observe(slot, Side(1), &Boundary::Event("failover-1".to_owned()));
        }
        if slot.is_multiple_of(10 * CYCLE) {
            let lag_s = if self.is_held(slot, ROWS_HELD) { 2.0 } else { 0.02 };
            let due = slot < self.outage;
            self.say(
                slot,
                What::Lag {
                    environment: EnvironmentIndex(0),
                    sql_s: Some(lag_s),
                    files_s: Some(0.03),
                    files_missing: None,
                    due,
                },
            );
        }
        let place = slot % CYCLE;
        let intent = match place.checked_sub(10) {
            None => self.write(slot, (slot / CYCLE * 10 + place) as usize % WRITERS),
            Some(kind) => self.probe(slot, kind as usize),
        };
        self.send(slot, intent);
        if self.intents.len() == BATCH {
            self.flush();
        }
    }

    fn intent(
        &mut self,
        slot: u64,
        stream: usize,
        lane: Lane,
        kind: OpKind,
        key: Box<str>,
        bytes: Option<u32>,
    ) -> Intent {
        let Stream { id, next, .. } = &mut self.streams[stream];
        let token = Token { run: RUN, stream: *id, sequence: *next, epoch: self.epoch };
        *next += 1;
        let file = bytes.map(|bytes| {
            let hash: [u8; 32] = self.random.random();
            let sha256: Box<str> = hex::encode(hash).into();
            let uuid = uuid::Builder::from_random_bytes(self.random.random()).into_uuid();
            Box::new(FileIntent { object_key: format!("{uuid}/{sha256}").into(), sha256, bytes })
        });
        let contended = key.starts_with("contended");
        Intent {
            token,
            environment: EnvironmentIndex(0),
            sent: at(slot),
            kind,
            lane,
            key: key.into(),
            contended,
            file,
            transfer: None,
        }
    }

    fn write(&mut self, slot: u64, writer: usize) -> Intent {
        let drawn = self.random.random_range(0..100);
        let contended = self.random.random_bool(0.5);
        let bytes = self.random.random_bool(0.1).then_some(FILE_BYTES);
        let own = self.streams[writer].keys.len();
        let picked = if own > 0 { Some(self.random.random_range(0..own)) } else { None };
        let lane = Lane::Writer(writer as u16);
        match (drawn, picked) {
            (60..85, _) if contended => {
                let key = contended_key(self.random.random_range(0..CONTENDED_KEYS));
                self.intent(slot, writer, lane, OpKind::Overwrite, key, bytes)
            }
            (60..85, Some(own)) => {
                let key = self.streams[writer].keys[own].clone();
                self.intent(slot, writer, lane, OpKind::Overwrite, key, bytes)
            }
            (85..95, Some(own)) => {
                let key = self.streams[writer].keys.swap_remove(own);
                self.intent(slot, writer, lane, OpKind::Delete, key, None)
            }
            (95.., _) => {
                let from = self.random.random_range(0..ACCOUNTS);
                let to = (from + self.random.random_range(1..ACCOUNTS)) % ACCOUNTS;
                let amount = self.random.random_range(1..=100);
                let intent = self.intent(slot, writer, lane, OpKind::Transfer, "".into(), None);
                Intent { transfer: Some(Transfer { from, to, amount }), ..intent }
            }
            _ => {
                let Stream { id, next, .. } = self.streams[writer];
                let key: Box<str> = format!("own-{id:06x}-{next:x}").into();
                let keys = &mut self.streams[writer].keys;
                if keys.len() == OWN_KEYS_MAX {
                    keys.swap_remove(0);
                }
                keys.push(key.clone());
                self.intent(slot, writer, lane, OpKind::Create, key, bytes)
            }
        }
    }

    fn probe(&mut self, slot: u64, kind: usize) -> Intent {
        let store = if kind < 4 { Store::Sql } else { Store::Files };
        let access = if kind % 4 < 2 { Access::Write } else { Access::Read };
        let connection = if kind.is_multiple_of(2) { Connection::LongLived } else { Connection::Fresh };
        let lane = Lane::Probe { store, access, connection };
        let stream = WRITERS + kind;
        let Stream { id, next, .. } = self.streams[stream];
        match (store, access) {
            (Store::Sql, Access::Write) => {
                self.intent(slot, stream, lane, OpKind::Overwrite, format!("probe-{id:06x}").into(), None)
            }
            (Store::Files, Access::Write) => {
                let key = format!("probe-{id:06x}-{next:x}").into();
                self.intent(slot, stream, lane, OpKind::Create, key, Some(256))
            }
            (Store::Sql, Access::Read) => {
                self.intent(slot, stream, lane, OpKind::ReadSql, contended_key(next % CONTENDED_KEYS), None)
            }
            (Store::Files, Access::Read) => self.intent(slot, stream, lane, OpKind::ReadFile, "".into(), Some(256)),
        }
    }

    /// Before the outage, and not crossing any more.
    fn is_held(&self, slot: u64, slots: u64) -> bool {
        slot < self.outage && slot + slots >= self.outage
    }

    /// What becomes of an operation, and what its client is told.
    fn send(&mut self, slot: u64, intent: Intent) {
        let latency = Duration::from_micros(self.random.random_range(1_000..9_000));
        let at = intent.sent.plus(latency);
        let token = intent.token;
        let is_down = slot >= self.outage && slot < self.outage + DOWN;
        let (told, file_acked) = if is_down && slot < self.outage + CYCLE {
            (Told::InDoubt { code: "deadline".into() }, None)
        } else if is_down {
            (Told::Fail { code: "connect: Connection refused (os error 111)".into() }, None)
        } else {
            let version_id: Box<str> =
                uuid::Builder::from_random_bytes(self.random.random()).into_uuid().to_string().into();
            let is_object = intent.file.is_some() && intent.kind.is_write();
            let object = intent.file.as_ref().filter(|_| is_object).map(|file| ObjectReference {
                object_key: file.object_key.clone(),
                version_id: version_id.clone(),
                sha256: file.sha256.clone(),
            });
            if let Some(object) = &object {
                self.put(slot, &intent, object);
            }
            let found = match intent.kind {
                OpKind::ReadSql => self.stands(&intent.key).map(Seen::Token),
                OpKind::ReadFile => Some(Seen::Token(Token { sequence: 0, stream: 0, ..token })),
                _ => self.apply(slot, &intent, object).map(Seen::Token),
            };
            let side = if intent.kind == OpKind::ReadFile { None } else { Some(Side(self.epoch as u8)) };
            let file_acked = is_object.then(|| Box::new(FileAck { at: intent.sent.plus(latency / 2), version_id }));
            (Told::Ok { side, local_only: false, found }, file_acked)
        };
        self.outcomes.push(Outcome { token, at, file_acked, told });
        self.intents.push(intent);
    }

    fn put(&mut self, slot: u64, intent: &Intent, object: &ObjectReference) {
        if self.is_held(slot, OBJECTS_HELD) {
            self.truth.objects += 1;
            return;
        }
        let bytes = intent.file.as_ref().map_or(0, |file| u64::from(file.bytes));
        let content = Content::Body { token: Some(Seen::Token(intent.token)), sha256: object.sha256.clone(), bytes };
        let (object_key, version_id) = (object.object_key.clone(), object.version_id.clone());
        self.versions.versions.push(ObjectVersion { object_key, version_id, content });
    }

    fn stands(&self, key: &str) -> Option<Token> {
        if let Some(held) = self.held.get(key) {
            return *held;
        }
        match self.rows.data[*self.places.get(key)?].token {
            Seen::Token(token) => Some(token),
            Seen::Foreign(_) => None,
        }
    }

    /// The database's transaction; what stood in the row before.
    fn apply(&mut self, slot: u64, intent: &Intent, object: Option<ObjectReference>) -> Option<Token> {
        let before = if intent.kind == OpKind::Transfer { None } else { self.stands(&intent.key) };
        if self.is_held(slot, ROWS_HELD) {
            self.truth.rows += 1;
            if intent.kind != OpKind::Transfer {
                let after = Some(intent.token).filter(|_| intent.kind != OpKind::Delete);
                self.held.insert((*intent.key).into(), after);
            }
            return before;
        }
        let (token, key) = (Seen::Token(intent.token), Box::<str>::from(&*intent.key));
        let prev = before.map(Seen::Token);
        self.rows.history.push(HistoryRow { token: token.clone(), key: key.clone(), prev });
        match (intent.kind, intent.transfer) {
            (_, Some(Transfer { from, to, amount })) => {
                for (account, amount) in [(from, -amount), (to, amount)] {
                    self.rows.legs.push(Leg { token: token.clone(), account, amount });
                    self.rows.accounts[account as usize].1 += amount;
                }
            }
            (OpKind::Delete, _) => self.delete(&key, intent.token),
            _ => {
                let row = DataRow { key: key.clone(), token, value: intent.token.value().into(), object };
                if let Some(place) = self.places.get(&key) {
                    self.rows.data[*place] = row;
                } else {
                    self.places.insert(key, self.rows.data.len());
                    self.rows.data.push(row);
                }
            }
        }
        before
    }

    /// The row goes, and its object gets a marker.
    fn delete(&mut self, key: &str, by: Token) {
        let Some(place) = self.places.remove(key) else { return };
        let row = self.rows.data.swap_remove(place);
        if let Some(moved) = self.rows.data.get(place) {
            self.places.insert(moved.key.clone(), place);
        }
        if let Some(object) = row.object {
            let version_id = format!("marker-of-{by}").into();
            let marker = ObjectVersion { object_key: object.object_key, version_id, content: Content::DeleteMarker };
            self.versions.versions.push(marker);
        }
    }

    fn say(&mut self, slot: u64, what: What) {
        self.events.push(Event { at: at(slot), what });
    }

    fn lose_region(&mut self, slot: u64) {
        let fault = Fault::RegionOutage { region: "east".parse::<Region>().expect("a name") };
        let record = FaultRecord {
            step: "outage".to_owned(),
            fault,
            requested: at(slot),
            effective: Some(at(slot)),
            proof: "its processes are gone and its links are cut".to_owned(),
            healed: None,
            healing: None,
            unproven: false,
        };
        self.say(slot, What::Fault(record));
        let (environment, cause) = (EnvironmentIndex(0), at(slot));
        self.say(
            slot,
            What::SwitchBegan { event: "failover-1".into(), kind: SwitchKind::Unplanned, environment, cause },
        );
        // After an operation in doubt, a hand goes on with a new stream; rows that have not crossed are gone.
        self.renew_streams();
        self.held.clear();
    }

    fn serve_again(&mut self, slot: u64) {
        self.epoch = 1;
        self.renew_streams();
        self.say(slot, What::SwitchCompleted { event: "failover-1".into(), environment: EnvironmentIndex(0) });
    }

    fn observe(&mut self, slot: u64, side: Side, boundary: &Boundary) {
        let now = at(slot);
        let observation = Observation {
            environment: EnvironmentIndex(0),
            side,
            boundary: boundary.clone(),
            began: now,
            ended: now.plus(Duration::from_micros(100)),
            sql: Reading::Whole(std::mem::take(&mut self.rows)),
            files: Reading::Whole(std::mem::take(&mut self.versions)),
        };
        reads::write(&self.reads, &observation).expect("a reading can be written");
        if let (Reading::Whole(rows), Reading::Whole(versions)) = (observation.sql, observation.files) {
            (self.rows, self.versions) = (rows, versions);
        }
    }

    fn flush(&mut self) {
        self.ledger.intents(&self.intents).expect("the ledger takes intents");
        self.ledger.outcomes(&self.outcomes).expect("the ledger takes outcomes");
        self.intents.clear();
        self.outcomes.clear();
    }

    fn finish(mut self, layout: &Layout, seed: u64) -> Truth {
        self.flush();
        self.ledger.close().expect("the ledger is closed");
        let end = self.events.last().map_or(0, |event| event.at.0 / SLOT.as_nanos() as u64) + 20 * CYCLE;
        let environment = EnvironmentIndex(0);
        let detail = "written after the claim, found there".to_owned();
        self.say(end, What::Protected { environment, replica: Side(0), seen: true, detail });
        self.say(end, What::Quiesced);
        self.say(end, What::Direction { environment, serving: Side(1), wrong: Vec::new() });
        for (side, serving) in [(Side(1), true), (Side(0), false)] {
            for pass in [1, 2] {
                self.observe(end, side, &Boundary::Final { pass, serving });
                let SqlSnapshot { history, data, legs, .. } = &mut self.rows;
                begin_elsewhere(history);
                begin_elsewhere(data);
                begin_elsewhere(legs);
            }
        }
        let lines: Vec<String> =
            self.events.iter().map(|event| serde_json::to_string(event).expect("an event is JSON")).collect();
        let mut file = File::create(layout.events()).expect("a file for events");
        file.write_all((lines.join("\n") + "\n").as_bytes()).expect("events can be written");
        let run = RunFile {
            plan: plan(),
            seed,
            phase_seed: None,
            run: RUN,
            testbed: "native".to_owned(),
            versions: Vec::new(),
            started: "2026-01-01T00:00:00Z".to_owned(),
            ended: at(end + CYCLE),
        };
        files::write_json(&layout.run(), &run).expect("run.json can be written");
        self.truth
    }
}

impl Stream {
    fn new(id: u32) -> Self {
        Self { id, next: 0, keys: Vec::new() }
    }
}

fn begin_elsewhere<T>(rows: &mut [T]) {
    rows.rotate_left(rows.len() / 3);
}

/// When a slot begins; the run has stood for a second by then.
fn at(slot: u64) -> RunTime {
    RunTime(1_000_000_000 + slot * SLOT.as_nanos() as u64)
}
