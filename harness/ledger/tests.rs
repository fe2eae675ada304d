//! The ledger survives what it must survive and refuses what it must refuse.

use std::{fs, path::Path, sync::Arc};

use proptest::prelude::*;

use super::*;
use crate::model::{
    RunTime, Token,
    observation::*,
    operation::{EnvironmentIndex, FileAck, Intent, Lane, OpKind, Outcome, Side, Told},
    token::Seen,
};

fn token(stream: u32, sequence: u32) -> Token {
    Token { run: 7, stream, sequence, epoch: 0 }
}

fn intent(stream: u32, sequence: u32) -> Intent {
    Intent {
        token: token(stream, sequence),
        environment: EnvironmentIndex(0),
        sent: RunTime(u64::from(sequence) * 10),
        kind: OpKind::Create,
        lane: Lane::Writer(1),
        key: format!("k{stream}-{sequence}").into(),
        contended: false,
        file: None,
        transfer: None,
    }
}

fn outcome(stream: u32, sequence: u32) -> Outcome {
    Outcome {
        token: token(stream, sequence),
        at: RunTime(u64::from(sequence) * 10 + 5),
        file_acked: Some(Box::new(FileAck { at: RunTime(3), version_id: "v".into() })),
        told: Told::Ok { side: Some(Side(0)), local_only: false, found: None },
    }
}

fn write_three(folder: &Path) {
    let writer = Writer::create(folder).unwrap();
    writer.intents(&[intent(1, 0), intent(1, 1), intent(1, 2)]).unwrap();
    writer.outcome(&outcome(1, 1)).unwrap();
    writer.close().unwrap();
}

#[test]
fn what_was_written_is_read_back_in_order() {
    let folder = tempfile::tempdir().unwrap();
    write_three(folder.path());
    let history = read(folder.path()).unwrap();
    assert_eq!(history.intents, [intent(1, 0), intent(1, 1), intent(1, 2)]);
    assert_eq!(history.outcome(0), None);
    assert_eq!(history.outcome(1), Some(&outcome(1, 1)));
    assert_eq!(history.torn_at, None);
}

#[test]
fn bytes_are_with_the_kernel_before_a_call_returns() {
    let folder = tempfile::tempdir().unwrap();
    let writer = Writer::create(folder.path()).unwrap();
    writer.intent(&intent(1, 0)).unwrap();
    assert_eq!(read(folder.path()).unwrap().intents.len(), 1, "read back while the writer is open");
    writer.close().unwrap();
    writer.close().unwrap();
    assert!(writer.intent(&intent(1, 1)).is_err(), "closed is closed");
}

#[test]
fn a_ledger_belongs_to_its_owner_alone_and_is_never_written_over() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    write_three(folder.path());
    let mode = fs::metadata(folder.path().join(LEDGER_FILE)).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(Writer::create(folder.path()).unwrap_err().kind(), std::io::ErrorKind::AlreadyExists);
}

#[test]
fn many_threads_write_whole_frames() {
    let folder = tempfile::tempdir().unwrap();
    let writer = Arc::new(Writer::create(folder.path()).unwrap());
    std::thread::scope(|scope| {
        for stream in 0..8 {
            let writer = &writer;
            scope.spawn(move || {
                for sequence in 0..200 {
                    writer.intent(&intent(stream, sequence)).unwrap();
                    writer.outcome(&outcome(stream, sequence)).unwrap();
                }
            });
        }
    });
    writer.close().unwrap();
    let history = read(folder.path()).unwrap();
    assert_eq!(history.intents.len(), 1600);
    assert!(history.operations().all(|(intent, outcome)| outcome.is_some_and(|o| o.token == intent.token)));
}

#[test]
fn zeros_after_a_power_cut_are_a_torn_end() {
    let folder = tempfile::tempdir().unwrap();
    write_three(folder.path());
    let path = folder.path().join(LEDGER_FILE);
    let mut bytes = fs::read(&path).unwrap();
    let whole = bytes.len() as u64;
    bytes.extend_from_slice(&[0; 5000]);
    fs::write(&path, bytes).unwrap();
    assert_eq!(read(folder.path()).unwrap().torn_at, Some(whole));
}

#[test]
fn operations_named_twice_or_never_intended_are_refused() {
    let twice = History::new(vec![intent(1, 0), intent(1, 0)], vec![]);
    assert!(matches!(twice, Err(LedgerError::Twice(t)) if t == token(1, 0)));
    let twice = History::new(vec![intent(1, 0)], vec![outcome(1, 0), outcome(1, 0)]);
    assert!(matches!(twice, Err(LedgerError::Twice(_))));
    assert!(matches!(History::new(vec![], vec![outcome(1, 0)]), Err(LedgerError::NoIntent(_))));
}

#[test]
fn a_file_of_another_kind_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join(LEDGER_FILE), "something else altogether").unwrap();
    assert!(matches!(read(folder.path()), Err(LedgerError::Stranger { .. })));
    assert!(matches!(read(&folder.path().join("nowhere")), Err(LedgerError::Io { .. })));
}

fn observation(side: u8, pass: u8) -> Observation {
    Observation {
        environment: EnvironmentIndex(0),
        side: Side(side),
        boundary: Boundary::Final { pass, serving: side == 1 },
        began: RunTime(u64::from(pass)),
        ended: RunTime(9),
        sql: Reading::Whole(SqlSnapshot { accounts: vec![(1, 100)], ..SqlSnapshot::default() }),
        files: Reading::Down,
    }
}

#[test]
fn observations_come_back_and_damage_is_seen() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(reads::read_all(&folder.path().join("none")).unwrap(), []);
    for (side, pass) in [(1, 2), (1, 1), (0, 3)] {
        reads::write(folder.path(), &observation(side, pass)).unwrap();
    }
    let found = reads::read_all(folder.path()).unwrap();
    assert_eq!(found, [observation(1, 1), observation(1, 2), observation(0, 3)]);
    let event = Observation { boundary: Boundary::Event("../x".into()), ..observation(0, 1) };
    let path = reads::write(folder.path(), &event).unwrap();
    assert_eq!(path.parent(), Some(folder.path()));
    let whole = fs::read(&path).unwrap();
    for place in reads::MAGIC.len()..whole.len() {
        let mut bytes = whole.clone();
        bytes[place] ^= 0x10;
        fs::write(&path, &bytes).unwrap();
        assert!(reads::read(&path).is_err(), "byte {place} altered");
        fs::write(&path, &whole[..place]).unwrap();
        assert!(reads::read(&path).is_err(), "cut at {place}");
    }
}

/// Three times as many rows of each kind as go into a part, and one.
fn large() -> Observation {
    let object = |number: u32| ObjectReference {
        object_key: format!("o{number}").into(),
        version_id: "v".into(),
        sha256: "s".into(),
    };
    let seen = |number| Seen::Token(token(1, number));
    let key = |number| Box::from(format!("k{number}"));
    let all = || 0..1537;
    let history = |number| HistoryRow { token: seen(number), key: key(number), prev: Some(Seen::Foreign("x".into())) };
    let data = |number| DataRow {
        key: key(number),
        token: seen(number),
        value: "w".into(),
        object: Some(object(number)).filter(|_| number % 2 == 0),
    };
    let leg = |number| Leg { token: seen(number), account: number, amount: -1 };
    let version = |number| ObjectVersion {
        object_key: object(number).object_key,
        version_id: "v".into(),
        content: Content::Body { token: Some(seen(number)), sha256: "s".into(), bytes: 3 },
    };
    Observation {
        sql: Reading::Whole(SqlSnapshot {
            history: all().map(history).collect(),
            data: all().map(data).collect(),
            accounts: all().map(|number| (number, 7)).collect(),
            legs: all().map(leg).collect(),
        }),
        files: Reading::Whole(FilesSnapshot {
            versions: all().map(version).collect(),
            marked: all().map(object).collect(),
        }),
        ..observation(1, 1)
    }
}

#[test]
fn a_large_reading_lies_in_parts_and_comes_back_whole_from_the_disk_as_from_memory() {
    let folder = tempfile::tempdir().unwrap();
    let path = reads::write(folder.path(), &large()).unwrap();
    assert_eq!(reads::read(&path).unwrap(), large());
    let serving = |boundary: &Boundary| matches!(boundary, Boundary::Final { serving: true, .. });
    let counted = |found: &Found<'_>| {
        let (mut rows, mut parts) = ([0; 6], 0);
        let gone = found.parts(&mut |part| {
            parts += 1;
            let (table, count) = match &part {
                Part::History(rows) => (0, rows.len()),
                Part::Data(rows) => (1, rows.len()),
                Part::Accounts(rows) => (2, rows.len()),
                Part::Legs(rows) => (3, rows.len()),
                Part::Versions(rows) => (4, rows.len()),
                Part::Marked(rows) => (5, rows.len()),
            };
            rows[table] += count;
            assert!(rows[table + 1..].iter().all(|later| *later == 0), "tables come in their order");
        });
        assert_eq!(gone, Ok(()));
        (rows, parts)
    };
    let shelf = Shelf::open(folder.path()).unwrap();
    assert_eq!(counted(&shelf.last(EnvironmentIndex(0), &serving).unwrap()), ([1537; 6], 24));
    assert!(shelf.check().is_ok());
    let memory = vec![large()];
    assert_eq!(counted(&memory.last(EnvironmentIndex(0), &serving).unwrap()), ([1537; 6], 6));

    let bytes = fs::read(&path).unwrap();
    let more = [&bytes[..], &bytes[reads::MAGIC.len()..]].concat();
    fs::write(&path, more).unwrap();
    assert!(reads::read(&path).is_err(), "something follows");
}

#[test]
fn a_shelf_finds_the_last_reading_of_its_kind_and_one_damaged_file_spoils_all() {
    let folder = tempfile::tempdir().unwrap();
    assert!(Shelf::open(&folder.path().join("none")).unwrap().check().is_ok());
    let paths =
        [(1, 2), (1, 1), (0, 3)].map(|(side, pass)| reads::write(folder.path(), &observation(side, pass)).unwrap());
    let serving = |boundary: &Boundary| matches!(boundary, Boundary::Final { serving: true, .. });
    let accounts = |found: &Found<'_>| {
        let mut accounts = Vec::new();
        let mut take = |part: Part<&str>| {
            if let Part::Accounts(more) = part {
                accounts.extend(more);
            }
        };
        found.parts(&mut take).map(|()| accounts)
    };
    let shelf = Shelf::open(folder.path()).unwrap();
    let found = shelf.last(EnvironmentIndex(0), &serving).unwrap();
    assert_eq!((&found.head().boundary, found.head().began), (&observation(1, 2).boundary, RunTime(2)));
    assert_eq!((&found.head().sql, &found.head().files), (&Reading::Whole(()), &Reading::Down));
    assert_eq!(accounts(&found), Ok(vec![(1, 100)]));
    assert!(shelf.last(EnvironmentIndex(1), &serving).is_none());
    drop(found);
    assert!(shelf.check().is_ok());

    // The last byte of a file: one that is gone through, and one that is not.
    for (place, is_gone_through) in [(0, true), (2, false)] {
        let whole = fs::read(&paths[place]).unwrap();
        let mut bytes = whole.clone();
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(&paths[place], &bytes).unwrap();
        let shelf = Shelf::open(folder.path()).unwrap();
        let found = shelf.last(EnvironmentIndex(0), &serving).unwrap();
        assert_eq!(accounts(&found).is_err(), is_gone_through);
        drop(found);
        assert!(shelf.check().is_err());
        fs::write(&paths[place], &whole).unwrap();
    }
    assert!(Shelf::open(folder.path()).unwrap().check().is_ok());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_cut_anywhere_loses_only_what_follows_and_says_so(cut in 0usize..600) {
        let folder = tempfile::tempdir().unwrap();
        write_three(folder.path());
        let path = folder.path().join(LEDGER_FILE);
        let bytes = fs::read(&path).unwrap();
        let cut = frame::MAGIC.len() + cut % (bytes.len() - frame::MAGIC.len());
        fs::write(&path, &bytes[..cut]).unwrap();
        let history = read(folder.path()).unwrap();
        let whole = [intent(1, 0), intent(1, 1), intent(1, 2)];
        prop_assert_eq!(&history.intents[..], &whole[..history.intents.len()]);
        // Whole frames up to the cut are no torn end.
        let used = { let again = tempfile::tempdir().unwrap(); let w = Writer::create(again.path()).unwrap();
            w.intents(&history.intents).unwrap();
            if history.outcome(1).is_some() { w.outcome(&outcome(1, 1)).unwrap(); }
            w.close().unwrap();
            fs::metadata(again.path().join(LEDGER_FILE)).unwrap().len() };
        prop_assert_eq!(history.torn_at, (used != cut as u64).then_some(used));
    }

    #[test]
    fn damage_before_the_last_frame_is_refused_with_its_place(place in 0usize..10_000, flip in 1u8..=255) {
        let folder = tempfile::tempdir().unwrap();
        write_three(folder.path());
        let path = folder.path().join(LEDGER_FILE);
        let mut bytes = fs::read(&path).unwrap();
        let last = bytes.len() - { let mut b = Vec::new(); frame::append(&mut b, &frame::Record::Outcome(outcome(1, 1))).unwrap(); b.len() };
        let place = frame::MAGIC.len() + place % (last - frame::MAGIC.len());
        bytes[place] ^= flip;
        fs::write(&path, &bytes).unwrap();
        let refused = match read(folder.path()) { Err(LedgerError::Damaged { offset, .. }) => Some(offset), _ => None };
        prop_assert!(refused.is_some_and(|offset| offset <= place as u64 && place as u64 - offset < 200));
    }
}
