//! Truths planted in healthy runs: each fate and mark, in random counts and in combination. Exactly these are found.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::world::*;
use crate::model::{
    Token,
    measure::{Counts, EventMeasures, Integrity, LossKind, LostWrite},
    observation::*,
    operation::{OpKind, Store},
    token::Seen,
};

/// What is planted; each has a key or a transfer of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Plant {
    Healthy,
    HealthyChain,
    HealthyDelete,
    HealthyFile,
    HealthyTransfer,
    FailAbsent,
    FailWithObject,
    DoubtPresent,
    DoubtAbsent,
    LostCreate,
    LostCreateHistoryOnly,
    LostOverwrite,
    Stale,
    StaleWithoutHistory,
    Resurrected,
    ResurrectedWithoutHistory,
    DataRowGone,
    EarlyRow,
    Value,
    RowHash,
    Misplaced,
    ForeignRow,
    ForeignData,
    Duplicate,
    DataCopied,
    FailPresent,
    TornLeg,
    TransferLost,
    ObjectGone,
    ObjectGoneMarked,
    BodyReplaced,
    BodyUnreadable,
    ForeignObject,
    SecondVersion,
    ReferenceLost,
}

const PLANTS: [Plant; 35] = {
    use Plant::*;
    [
        Healthy,
        HealthyChain,
        HealthyDelete,
        HealthyFile,
        HealthyTransfer,
        FailAbsent,
        FailWithObject,
        DoubtPresent,
        DoubtAbsent,
        LostCreate,
        LostCreateHistoryOnly,
        LostOverwrite,
        Stale,
        StaleWithoutHistory,
        Resurrected,
        ResurrectedWithoutHistory,
        DataRowGone,
        EarlyRow,
        Value,
        RowHash,
        Misplaced,
        ForeignRow,
        ForeignData,
        Duplicate,
        DataCopied,
        FailPresent,
        TornLeg,
        TransferLost,
        ObjectGone,
        ObjectGoneMarked,
        BodyReplaced,
        BodyUnreadable,
        ForeignObject,
        SecondVersion,
        ReferenceLost,
    ]
};

/// The writes that a plant needs, and then what is done behind the platform's back.
struct Planted {
    plant: Plant,
    key: String,
    tokens: Vec<Token>,
}

fn write(world: &mut World, place: usize, plant: Plant) -> Planted {
    use Answer::*;
    use OpKind::*;
    use Plant::*;
    let (stream, key) = (place as u32 % 5, format!("key-{place}"));
    // What answers badly retires its stream.
    let bad = 100 + place as u32;
    let script: &[(u32, OpKind, bool, Answer)] = match plant {
        Healthy | LostCreate | LostCreateHistoryOnly | DataRowGone | Value | Misplaced | Duplicate | DataCopied => {
            &[(stream, Create, false, Ok)]
        }
        HealthyChain | LostOverwrite | Stale | StaleWithoutHistory | EarlyRow => {
            &[(stream, Create, true, Ok), (stream, Overwrite, false, Ok), (stream, Overwrite, true, Ok)]
        }
        HealthyDelete => &[
            (stream, Create, true, Ok),
            (stream, Delete, false, Ok),
            (stream, Overwrite, false, Ok),
            (stream, Delete, false, Ok),
            (stream, Create, true, Ok),
        ],
        Resurrected | ResurrectedWithoutHistory => &[(stream, Create, false, Ok), (stream, Delete, false, Ok)],
        HealthyFile | RowHash | ObjectGone | ObjectGoneMarked | BodyReplaced | BodyUnreadable | SecondVersion
        | ReferenceLost => &[(stream, Create, true, Ok)],
        FailAbsent | FailPresent => &[(bad, Create, false, Fail)],
        FailWithObject => &[(bad, Create, true, FailAfterObject)],
        DoubtPresent => &[(bad, Create, true, Doubt(true)), (bad + 1000, Create, true, Silent(true))],
        DoubtAbsent => &[(bad, Create, true, Doubt(false)), (bad + 1000, Create, true, Silent(false))],
        HealthyTransfer | TornLeg | TransferLost | ForeignRow | ForeignData | ForeignObject => &[],
    };
    let mut tokens: Vec<Token> = Vec::new();
    for (number, (stream, kind, file, answer)) in script.iter().enumerate() {
        let key = if *stream >= 1000 { format!("{key}-{number}") } else { key.clone() };
        tokens.push(world.write(*stream, *kind, &key, *file, *answer));
    }
    if matches!(plant, HealthyTransfer | TornLeg | TransferLost) {
        let from = place as u32 % ACCOUNTS;
        tokens.push(world.transfer(stream, from, (from + 1) % ACCOUNTS, 7 + place as i64, Ok));
    }
    Planted { plant, key, tokens }
}

/// What must be found, beside what the healthy part comes to.
#[derive(Debug, Default)]
struct Truth {
    lost: BTreeSet<LostWrite>,
    gone_from_history: BTreeSet<Token>,
    counts: BTreeMap<&'static str, u64>,
}

impl Truth {
    fn loses(&mut self, token: Token, store: Store, kind: LossKind) {
        self.lost.insert(LostWrite { token, store, kind });
    }

    fn add(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    fn get(&self, what: &'static str) -> u64 {
        self.counts.get(what).copied().unwrap_or_default()
    }
}

fn is(seen: &Seen, token: Token) -> bool {
    *seen == Seen::Token(token)
}

fn alter(planted: &Planted, rows: &mut SqlSnapshot, versions: &mut FilesSnapshot, truth: &mut Truth) {
    use Plant::*;
    let Planted { plant, key, tokens } = planted;
    let last = tokens.last().copied();
    let first = tokens.first().copied();
    let forget = |rows: &mut SqlSnapshot, token: Token| rows.history.retain(|row| !is(&row.token, token));
    let drop_data = |rows: &mut SqlSnapshot| rows.data.retain(|row| *row.key != **key);
    let put_back = |rows: &mut SqlSnapshot, token: Token| {
        rows.data.retain(|row| *row.key != **key);
        let (key, value) = (key.as_str().into(), token.value().into());
        rows.data.push(DataRow { key, token: Seen::Token(token), value, object: None });
    };
    let version = |token: Token| format!("v-{token}");
    match (plant, first, last) {
        (LostCreate | LostCreateHistoryOnly, Some(token), _) => {
            forget(rows, token);
            if *plant == LostCreate {
                drop_data(rows);
            }
            truth.gone_from_history.insert(token);
            truth.loses(token, Store::Sql, LossKind::LostCreate);
        }
        (LostOverwrite, _, Some(token)) => {
            forget(rows, token);
            drop_data(rows);
            truth.gone_from_history.insert(token);
            truth.loses(token, Store::Sql, LossKind::LostCreate);
            truth.add("orphan");
        }
        (Stale | StaleWithoutHistory, _, Some(token)) => {
            put_back(rows, tokens[1]);
            truth.loses(token, Store::Sql, LossKind::Stale);
            truth.add("orphan");
            if *plant == StaleWithoutHistory {
                forget(rows, token);
                truth.gone_from_history.insert(token);
            }
        }
        (Resurrected | ResurrectedWithoutHistory, Some(created), Some(token)) => {
            put_back(rows, created);
            truth.loses(token, Store::Sql, LossKind::ResurrectedDelete);
            if *plant == ResurrectedWithoutHistory {
                forget(rows, token);
                truth.gone_from_history.insert(token);
            }
        }
        (DataRowGone, Some(token), _) => {
            drop_data(rows);
            truth.loses(token, Store::Sql, LossKind::LostCreate);
        }
        (EarlyRow, Some(token), _) => {
            forget(rows, token);
            truth.gone_from_history.insert(token);
            truth.loses(token, Store::Sql, LossKind::LostCreate);
            truth.add("hole by chain");
        }
        (Value, Some(token), _) => {
            let row = rows.data.iter_mut().find(|row| is(&row.token, token)).unwrap();
            row.value = row.value.to_uppercase().replace(|c: char| c.is_ascii_digit(), "A").into();
            truth.add("corrupt row");
        }
        (RowHash, Some(token), _) => {
            let row = rows.data.iter_mut().find(|row| is(&row.token, token)).unwrap();
            row.object.as_mut().unwrap().sha256 = "altered".into();
            truth.add("corrupt row");
        }
        (ReferenceLost, Some(token), _) => {
            rows.data.iter_mut().find(|row| is(&row.token, token)).unwrap().object = None;
            truth.add("corrupt row");
            truth.add("orphan");
            truth.add("orphan unexcused");
        }
        (Misplaced, Some(token), _) => {
            rows.history.iter_mut().find(|row| is(&row.token, token)).unwrap().key = "elsewhere".into();
            truth.add("corrupt row");
        }
        (ForeignRow | ForeignData, ..) => {
            let token = Seen::Foreign(format!("nobody's {key}").into());
            if *plant == ForeignRow {
                rows.history.push(HistoryRow { token: token.clone(), key: key.as_str().into(), prev: None });
            }
            rows.data.push(DataRow { key: key.as_str().into(), token, value: "x".into(), object: None });
            truth.add("foreign row");
        }
        (Duplicate, Some(token), _) => {
            let copy = rows.history.iter().find(|row| is(&row.token, token)).unwrap().clone();
            rows.history.push(copy);
            truth.add("duplicate row");
        }
        (DataCopied, Some(token), _) => {
            let mut copy = rows.data.iter().find(|row| is(&row.token, token)).unwrap().clone();
            copy.key = format!("copy of {key}").into();
            rows.data.push(copy);
            truth.add("duplicate row");
        }
        (FailPresent, Some(token), _) => {
            let row = HistoryRow { token: Seen::Token(token), key: key.as_str().into(), prev: None };
            rows.history.push(row);
            put_back(rows, token);
            truth.add("fail present");
        }
        (TornLeg, Some(token), _) => {
            rows.legs.retain(|leg| !(is(&leg.token, token) && leg.amount < 0));
            truth.add("torn");
        }
        (TransferLost, Some(token), _) => {
            forget(rows, token);
            for leg in rows.legs.iter().filter(|leg| is(&leg.token, token)) {
                rows.accounts[leg.account as usize].1 -= leg.amount;
            }
            rows.legs.retain(|leg| !is(&leg.token, token));
            truth.gone_from_history.insert(token);
            truth.loses(token, Store::Sql, LossKind::LostCreate);
        }
        (ObjectGone | ObjectGoneMarked, Some(token), _) => {
            versions.versions.retain(|found| *found.version_id != *version(token));
            truth.loses(token, Store::Files, LossKind::LostCreate);
            if *plant == ObjectGoneMarked {
                let row = rows.data.iter().find(|row| is(&row.token, token)).unwrap();
                versions.marked.extend(row.object.clone());
                truth.add("dangling marked");
            } else {
                truth.add("dangling unmarked");
            }
        }
        (BodyReplaced | BodyUnreadable, Some(token), _) => {
            let found = versions.versions.iter_mut().find(|found| *found.version_id == *version(token)).unwrap();
            truth.add("corrupt object");
            found.content = if *plant == BodyReplaced {
                Content::Body { token: Some(Seen::Token(token)), sha256: "x".into(), bytes: 3 }
            } else {
                truth.add("dangling unmarked");
                Content::Unreadable("short read".into())
            };
        }
        (ForeignObject, ..) => {
            let content = Content::Body { token: None, sha256: "x".into(), bytes: 3 };
            versions.versions.push(ObjectVersion { object_key: key.as_str().into(), version_id: "1".into(), content });
            truth.add("foreign object");
            truth.add("orphan");
            truth.add("orphan unexcused");
        }
        (SecondVersion, Some(token), _) => {
            let mut copy = versions.versions.iter().find(|found| *found.version_id == *version(token)).unwrap().clone();
            copy.version_id = "second".into();
            versions.versions.push(copy);
            truth.add("duplicate object");
        }
        // The first, overwritten one has an object that awaits clean-up.
        _ => {}
    }
    match plant {
        HealthyChain | EarlyRow | LostOverwrite | Stale | StaleWithoutHistory | FailWithObject => truth.add("orphan"),
        _ => {}
    }
}

/// Holes by their definition, with nothing but loops.
fn holes(run: &Finished, truth: &Truth) -> u64 {
    let acked = |token: &Token| run.history.outcomes().iter().find(|o| o.token == *token).filter(|o| o.told.is_ok());
    let later = |lost: &Token| {
        let Some(at) = acked(lost).map(|outcome| outcome.at) else { return false };
        run.history.intents.iter().any(|intent| {
            intent.sent > at
                && intent.token.epoch == lost.epoch
                && acked(&intent.token).is_some()
                && !truth.gone_from_history.contains(&intent.token)
        })
    };
    truth.gone_from_history.iter().filter(|lost| later(lost)).count() as u64
}

fn out_of_order(run: &Finished, truth: &Truth) -> u64 {
    let lost: Vec<Token> = truth.lost.iter().filter(|lost| lost.store == Store::Files).map(|lost| lost.token).collect();
    let outcome = |token: &Token| run.history.outcomes().iter().find(|o| o.token == *token);
    let survives = |token: &Token| outcome(token).is_some_and(|o| o.told.is_ok() && o.file_acked.is_some());
    let later = |token: &Token| {
        let at = outcome(token).unwrap().at;
        let intents = &run.history.intents;
        intents.iter().any(|intent| intent.sent > at && survives(&intent.token) && !lost.contains(&intent.token))
    };
    lost.iter().filter(|token| later(token)).count() as u64
}

fn compare(run: &Finished, end: &EventMeasures, truth: &Truth, healthy: (Counts, Counts)) {
    assert_eq!(end.lost.iter().copied().collect::<BTreeSet<_>>(), truth.lost);
    assert_eq!(end.lost.len(), truth.lost.len());
    let (sql, files) = (end.sql, end.files);
    assert_eq!(sql.corrupt, truth.get("corrupt row"));
    assert_eq!(sql.foreign, truth.get("foreign row"));
    assert_eq!(sql.duplicate, truth.get("duplicate row"));
    assert_eq!(sql.fail_present, truth.get("fail present"));
    assert_eq!(sql.torn, truth.get("torn"));
    assert_eq!(sql.hole, holes(run, truth));
    assert!(sql.hole >= truth.get("hole by chain"));
    assert_eq!(files.corrupt, truth.get("corrupt object"));
    assert_eq!(files.foreign, truth.get("foreign object"));
    assert_eq!(files.duplicate, truth.get("duplicate object"));
    assert_eq!(files.out_of_order, out_of_order(run, truth));
    assert_eq!(end.dangling_marked, truth.get("dangling marked"));
    assert_eq!(end.dangling_unmarked, truth.get("dangling unmarked"));
    assert_eq!(end.orphans, truth.get("orphan"));
    assert_eq!(end.orphans_unexcused, truth.get("orphan unexcused"));
    assert_eq!((sql.zombie, sql.late), (0, 0));
    // The clear answers of clients do not change by what is planted.
    assert_eq!((sql.intents, sql.acked), (healthy.0.intents, healthy.0.acked));
    assert_eq!((sql.in_doubt_present, sql.in_doubt_absent), (healthy.0.in_doubt_present, healthy.0.in_doubt_absent));
    assert_eq!((files.intents, files.acked), (healthy.1.intents, healthy.1.acked));
    assert_eq!(files.in_doubt_present, healthy.1.in_doubt_present);
    assert_balanced(&sql);
    assert_balanced(&files);
}

fn check(plants: &[Plant]) {
    let mut world = World::new();
    let planted: Vec<Planted> =
        plants.iter().enumerate().map(|(place, plant)| write(&mut world, place, *plant)).collect();
    let mut run = world.finish();
    let measures = run.verify();
    assert_eq!(measures.findings, [], "before anything is planted");
    let healthy = event(&measures, "end");
    assert!(healthy.lost.is_empty());
    let healthy = (healthy.sql, healthy.files);

    let mut truth = Truth::default();
    for (pass, observation) in run.observations.iter_mut().enumerate() {
        let (Reading::Whole(rows), Reading::Whole(versions)) = (&mut observation.sql, &mut observation.files) else {
            unreachable!("both are whole")
        };
        let mut here = Truth::default();
        planted.iter().for_each(|planted| alter(planted, rows, versions, &mut here));
        if pass == 0 {
            truth = here;
        }
    }
    let measures = run.verify();
    let end = event(&measures, "end");
    compare(&run, end, &truth, healthy);
    assert!(measures.books.iter().all(|books| books.balanced), "{:?}", measures.books);
    let expected = [
        (Integrity::SplitBrain, 0),
        (Integrity::Hole, end.sql.hole),
        (Integrity::Phantom, truth.get("fail present") + truth.get("foreign row") + truth.get("foreign object")),
        (Integrity::Duplicate, truth.get("duplicate row") + truth.get("duplicate object")),
        (Integrity::Corrupt, truth.get("corrupt row") + truth.get("corrupt object")),
        (Integrity::Torn, truth.get("torn")),
        (Integrity::DanglingUnmarked, truth.get("dangling unmarked")),
        (Integrity::StaleRead, 0),
        (Integrity::GhostRead, 0),
        (Integrity::Books, 0),
    ];
    for (id, count) in expected {
        assert_eq!(found(&measures, id), count, "{id:?}: {:?}", measures.findings);
    }
}

#[test]
fn each_alone_among_healthy_ones_is_found() {
    for plant in PLANTS {
        check(&[Plant::Healthy, Plant::HealthyChain, plant, Plant::HealthyFile, Plant::Healthy]);
        check(&[plant]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn any_combination_is_found_exactly(plants in proptest::collection::vec(0..PLANTS.len(), 0..40)) {
        check(&plants.into_iter().map(|place| PLANTS[place]).collect::<Vec<_>>());
    }
}
