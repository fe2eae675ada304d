//! Every line of the tampering table, alone: the right fate or mark, the right count, and nothing else.

use super::world::*;
use crate::model::{
    Token,
    measure::{Integrity, LossKind, LostWrite, Measures},
    observation::*,
    operation::{OpKind, Store},
    token::Seen,
};

/// The writes of a healthy run that the tests below alter.
struct Cast {
    created: Token,
    before: Token,
    overwritten: Token,
    deleted: Token,
    delete: Token,
    filed: Token,
    last: Token,
    transfer: Token,
}

fn healthy() -> (Cast, Finished) {
    let mut world = World::new();
    let created = world.write(1, OpKind::Create, "a", false, Answer::Ok);
    let before = world.write(1, OpKind::Create, "b", false, Answer::Ok);
    let overwritten = world.write(1, OpKind::Overwrite, "b", false, Answer::Ok);
    let deleted = world.write(2, OpKind::Create, "c", false, Answer::Ok);
    let delete = world.write(2, OpKind::Delete, "c", false, Answer::Ok);
    let filed = world.write(2, OpKind::Create, "d", true, Answer::Ok);
    let transfer = world.transfer(3, 1, 2, 10, Answer::Ok);
    world.write(4, OpKind::Create, "refused", true, Answer::FailAfterObject);
    world.write(5, OpKind::Create, "doubt", true, Answer::Silent(true));
    world.write(6, OpKind::Create, "nowhere", true, Answer::Doubt(false));
    let last = world.write(1, OpKind::Create, "z", true, Answer::Ok);
    (Cast { created, before, overwritten, deleted, delete, filed, last, transfer }, world.finish())
}

fn check(alter: impl Fn(&Cast, &mut SqlSnapshot, &mut FilesSnapshot), expected: impl Fn(&Cast, &Measures)) {
    let (cast, mut run) = healthy();
    run.tamper(|rows, versions| alter(&cast, rows, versions));
    let measures = run.verify();
    let end = event(&measures, "end");
    assert_balanced(&end.sql);
    assert_balanced(&end.files);
    assert!(measures.books.iter().all(|books| books.balanced), "{:?}", measures.books);
    expected(&cast, &measures);
}

fn loses(measures: &Measures, lost: &[(Token, Store, LossKind)]) {
    let mut lost: Vec<LostWrite> =
        lost.iter().map(|(token, store, kind)| LostWrite { token: *token, store: *store, kind: *kind }).collect();
    lost.sort_unstable();
    assert_eq!(event(measures, "end").lost, lost);
}

fn is(row: &Seen, token: Token) -> bool {
    *row == Seen::Token(token)
}

#[test]
fn a_healthy_run_is_clean() {
    check(
        |_, _, _| {},
        |_, measures| {
            let end = event(measures, "end");
            assert_eq!(measures.findings, []);
            loses(measures, &[]);
            let sql = end.sql;
            assert_eq!((sql.intents, sql.acked, sql.intact, sql.superseded), (11, 8, 6, 2));
            assert_eq!((sql.in_doubt_present, sql.in_doubt_absent, sql.fail_absent), (1, 1, 1));
            let files = end.files;
            assert_eq!((files.intents, files.acked, files.intact), (5, 2, 2));
            assert_eq!((files.in_doubt_present, files.in_doubt_absent, files.fail_present), (1, 1, 1));
            assert_eq!((end.orphans, end.orphans_unexcused, end.dangling_unmarked), (1, 0, 0));
        },
    );
}

#[test]
fn history_and_data_row_deleted_is_a_lost_create() {
    check(
        |cast, rows, _| {
            rows.history.retain(|row| !is(&row.token, cast.last));
            rows.data.retain(|row| !is(&row.token, cast.last));
        },
        |cast, measures| {
            loses(measures, &[(cast.last, Store::Sql, LossKind::LostCreate)]);
            assert_eq!(measures.findings, []);
            let end = event(measures, "end");
            assert_eq!((end.orphans, end.orphans_unexcused), (2, 0), "its object is an excused orphan");
            assert_eq!(end.recovery_point.operations, 1);
        },
    );
}

#[test]
fn a_row_put_back_to_an_older_token_is_stale() {
    check(
        |cast, rows, _| {
            let row = rows.data.iter_mut().find(|row| is(&row.token, cast.overwritten)).unwrap();
            row.token = Seen::Token(cast.before);
            row.value = cast.before.value().into();
        },
        |cast, measures| {
            loses(measures, &[(cast.overwritten, Store::Sql, LossKind::Stale)]);
            assert_eq!(measures.findings, []);
        },
    );
}

#[test]
fn a_row_of_which_the_token_alone_is_put_back_is_stale_and_told_once() {
    check(
        |cast, rows, _| {
            rows.data.iter_mut().find(|row| is(&row.token, cast.overwritten)).unwrap().token = Seen::Token(cast.before);
        },
        |cast, measures| {
            loses(measures, &[(cast.overwritten, Store::Sql, LossKind::Stale)]);
            assert_eq!(measures.findings, []);
        },
    );
}

#[test]
fn a_deleted_row_put_back_is_resurrected() {
    check(
        |cast, rows, _| {
            let (token, value) = (Seen::Token(cast.deleted), cast.deleted.value().into());
            rows.data.push(DataRow { key: "c".into(), token, value, object: None });
        },
        |cast, measures| {
            loses(measures, &[(cast.delete, Store::Sql, LossKind::ResurrectedDelete)]);
            assert_eq!(measures.findings, []);
        },
    );
}

#[test]
fn an_altered_value_is_corrupt() {
    check(
        |cast, rows, _| {
            rows.data.iter_mut().find(|row| is(&row.token, cast.created)).unwrap().value = "0".repeat(32).into();
        },
        |_, measures| {
            loses(measures, &[]);
            assert_eq!(findings(measures), [(Integrity::Corrupt, Some(Store::Sql), 1)]);
        },
    );
}

#[test]
fn a_row_of_an_unknown_token_is_foreign_and_phantom() {
    let strange: [(Seen, bool, bool); 5] = [
        (Seen::Token(Token { run: 1, stream: 1, sequence: 1, epoch: 0 }), true, true),
        (Seen::Token(Token { run: RUN, stream: 1, sequence: 0, epoch: 9 }), true, true),
        (Seen::Foreign("hello".into()), true, true),
        (Seen::Foreign("hello".into()), false, true),
        (Seen::Foreign("hello".into()), true, false),
    ];
    for (token, history, data) in strange {
        check(
            |_, rows, _| {
                if history {
                    rows.history.push(HistoryRow { token: token.clone(), key: "x".into(), prev: None });
                }
                if data {
                    rows.data.push(DataRow { key: "x".into(), token: token.clone(), value: "v".into(), object: None });
                }
            },
            |_, measures| {
                loses(measures, &[]);
                assert_eq!(event(measures, "end").sql.foreign, 1);
                assert_eq!(findings(measures), [(Integrity::Phantom, Some(Store::Sql), 1)]);
            },
        );
    }
}

#[test]
fn a_history_row_copied_is_a_duplicate() {
    check(
        |cast, rows, _| {
            let row = rows.history.iter().find(|row| is(&row.token, cast.overwritten)).unwrap().clone();
            rows.history.extend([row.clone(), row]);
        },
        |_, measures| {
            loses(measures, &[]);
            assert_eq!(event(measures, "end").sql.duplicate, 2);
            assert_eq!(findings(measures), [(Integrity::Duplicate, Some(Store::Sql), 2)]);
        },
    );
}

#[test]
fn an_early_row_removed_while_later_ones_stay_is_a_lost_create_and_a_hole() {
    for data_too in [true, false] {
        check(
            |cast, rows, _| {
                rows.history.retain(|row| !is(&row.token, cast.created));
                if data_too {
                    rows.data.retain(|row| !is(&row.token, cast.created));
                }
            },
            |cast, measures| {
                loses(measures, &[(cast.created, Store::Sql, LossKind::LostCreate)]);
                assert_eq!(event(measures, "end").sql.hole, 1);
                assert_eq!(findings(measures), [(Integrity::Hole, Some(Store::Sql), 1)]);
            },
        );
    }
}

#[test]
fn the_row_of_an_overwritten_create_removed_is_a_lost_create_and_a_hole() {
    check(
        |cast, rows, _| rows.history.retain(|row| !is(&row.token, cast.before)),
        |cast, measures| {
            loses(measures, &[(cast.before, Store::Sql, LossKind::LostCreate)]);
            assert_eq!(findings(measures), [(Integrity::Hole, Some(Store::Sql), 1)]);
        },
    );
}

#[test]
fn an_overwrite_deleted_with_its_data_row_is_one_lost_create() {
    check(
        |cast, rows, _| {
            rows.history.retain(|row| !is(&row.token, cast.overwritten));
            rows.data.retain(|row| *row.key != *"b");
        },
        |cast, measures| {
            loses(measures, &[(cast.overwritten, Store::Sql, LossKind::LostCreate)]);
            assert_eq!(event(measures, "end").sql.superseded, 2, "what came before stays superseded");
        },
    );
}

#[test]
fn a_data_row_deleted_alone_is_a_lost_create() {
    check(
        |cast, rows, _| rows.data.retain(|row| !is(&row.token, cast.created)),
        |cast, measures| {
            loses(measures, &[(cast.created, Store::Sql, LossKind::LostCreate)]);
            assert_eq!(measures.findings, [], "no hole: the log is whole");
        },
    );
}

#[test]
fn an_object_gone_in_all_versions_is_lost_and_dangling() {
    for marked in [false, true] {
        check(
            |cast, rows, versions| {
                versions.versions.retain(|version| *version.version_id != *format!("v-{}", cast.filed));
                let reference = rows.data.iter().find(|row| is(&row.token, cast.filed)).unwrap().object.clone();
                versions.marked.extend(reference.filter(|_| marked));
            },
            |cast, measures| {
                loses(measures, &[(cast.filed, Store::Files, LossKind::LostCreate)]);
                let end = event(measures, "end");
                assert_eq!((end.dangling_marked, end.dangling_unmarked), (u64::from(marked), u64::from(!marked)));
                assert_eq!(end.files.out_of_order, 1);
                assert_eq!(found(measures, Integrity::DanglingUnmarked), u64::from(!marked));
                assert_eq!(found(measures, Integrity::Hole), 0, "objects keep no order");
                assert!(end.recovery_point.files_age_s > 0.0);
            },
        );
    }
}

#[test]
fn a_body_replaced_under_the_pinned_version_is_corrupt() {
    check(
        |cast, _, versions| {
            let name = format!("v-{}", cast.filed);
            let version = versions.versions.iter_mut().find(|version| *version.version_id == *name).unwrap();
            let (token, sha256) = (Some(Seen::Token(cast.filed)), "other".into());
            version.content = Content::Body { token, sha256, bytes: 100 };
        },
        |_, measures| {
            loses(measures, &[]);
            assert_eq!(findings(measures), [(Integrity::Corrupt, Some(Store::Files), 1)]);
        },
    );
}

#[test]
fn a_body_that_cannot_be_read_is_corrupt_and_dangling() {
    check(
        |cast, _, versions| {
            let name = format!("v-{}", cast.filed);
            let version = versions.versions.iter_mut().find(|version| *version.version_id == *name).unwrap();
            version.content = Content::Unreadable("xl.meta".into());
        },
        |_, measures| {
            assert_eq!(event(measures, "end").files.corrupt, 1);
            assert_eq!(found(measures, Integrity::DanglingUnmarked), 1);
        },
    );
}

/// Makes the store withhold the versions that hold what a stream wrote.
fn withhold(versions: &mut FilesSnapshot, stream: u32) {
    let is_its = |content: &Content| matches!(content, Content::Body { token: Some(Seen::Token(token)), .. } if token.stream == stream);
    let its: Vec<_> = versions.versions.iter_mut().filter(|version| is_its(&version.content)).collect();
    assert!(!its.is_empty());
    for version in its {
        version.content = Content::Withheld("503 SlowDownRead".into());
    }
}

#[test]
fn what_was_acknowledged_and_is_withheld_is_not_known() {
    let (_, mut run) = healthy();
    run.tamper(|_, versions| withhold(versions, 2));
    let measures = run.verify();
    let end = event(&measures, "end");
    assert_eq!(end.unobserved.as_deref(), Some("objects: 1 acknowledged versions were not handed out"));
    assert_eq!(end.lost, []);
    assert!(measures.findings.iter().all(|finding| finding.id == Integrity::Books), "{:?}", measures.findings);
}

#[test]
fn what_was_refused_and_is_withheld_is_nothing() {
    check(
        |_, _, versions| withhold(versions, 4),
        |_, measures| {
            let files = event(measures, "end").files;
            assert_eq!((files.acked, files.intact, files.fail_present, files.fail_absent), (2, 2, 0, 1));
            assert_eq!(event(measures, "end").unobserved, None);
            assert_eq!(measures.findings, []);
        },
    );
}

#[test]
fn an_altered_hash_in_a_row_is_corrupt() {
    check(
        |cast, rows, _| {
            let row = rows.data.iter_mut().find(|row| is(&row.token, cast.filed)).unwrap();
            row.object.as_mut().unwrap().sha256 = "other".into();
        },
        |_, measures| {
            loses(measures, &[]);
            assert_eq!(findings(measures), [(Integrity::Corrupt, Some(Store::Sql), 1)]);
        },
    );
}

#[test]
fn one_leg_alone_is_torn_and_an_account_that_is_off_too() {
    check(
        |cast, rows, _| rows.legs.retain(|leg| !(is(&leg.token, cast.transfer) && leg.amount > 0)),
        |_, measures| {
            assert_eq!(event(measures, "end").sql.torn, 1);
            assert_eq!(findings(measures), [(Integrity::Torn, Some(Store::Sql), 1)]);
        },
    );
    check(
        |_, rows, _| rows.accounts[4].1 += 1,
        |_, measures| {
            assert_eq!(event(measures, "end").sql.torn, 0);
            assert_eq!(findings(measures), [(Integrity::Torn, Some(Store::Sql), 1)]);
            assert_eq!(measures.findings[0].examples, ["account 4 is off by 1"]);
        },
    );
    check(
        |cast, rows, _| {
            rows.legs.retain(|leg| !is(&leg.token, cast.transfer));
        },
        |cast, measures| {
            loses(measures, &[(cast.transfer, Store::Sql, LossKind::LostCreate)]);
            assert_eq!(measures.findings, []);
        },
    );
}

#[test]
fn a_second_version_of_an_object_and_an_unknown_object_are_seen() {
    check(
        |cast, _, versions| {
            let name = format!("v-{}", cast.filed);
            let copy = versions.versions.iter().find(|version| *version.version_id == *name).unwrap().clone();
            let mut strange = copy.clone();
            strange.object_key = "who/knows".into();
            versions.versions.extend([ObjectVersion { version_id: "other".into(), ..copy }, strange]);
        },
        |_, measures| {
            let end = event(measures, "end");
            assert_eq!((end.files.duplicate, end.files.foreign), (1, 1));
            assert_eq!((end.orphans, end.orphans_unexcused), (2, 1));
            assert_eq!(found(measures, Integrity::Duplicate), 1);
            assert_eq!(found(measures, Integrity::Phantom), 1);
        },
    );
}

#[test]
fn an_object_copied_to_a_new_version_leaves_its_row_dangling() {
    check(
        |cast, _, versions| {
            let name = format!("v-{}", cast.filed);
            versions.versions.iter_mut().filter(|v| *v.version_id == *name).for_each(|v| v.version_id = "new".into());
        },
        |cast, measures| {
            loses(measures, &[(cast.filed, Store::Files, LossKind::LostCreate)]);
            assert_eq!(found(measures, Integrity::DanglingUnmarked), 1);
        },
    );
}

#[test]
fn a_row_of_a_refused_write_is_a_phantom() {
    let refused = Token { run: RUN, stream: 4, sequence: 0, epoch: 0 };
    for history in [true, false] {
        check(
            |_, rows, _| {
                let (token, key, value) = (Seen::Token(refused), "refused", refused.value().into());
                if history {
                    rows.history.push(HistoryRow { token: token.clone(), key: key.into(), prev: None });
                }
                rows.data.push(DataRow { key: key.into(), token, value, object: None });
            },
            |_, measures| {
                assert_eq!(event(measures, "end").sql.fail_present, 1);
                assert_eq!(findings(measures), [(Integrity::Phantom, Some(Store::Sql), 1)]);
            },
        );
    }
}

#[test]
fn readings_that_differ_or_fail_unbalance_the_books() {
    let (cast, mut run) = healthy();
    if let Reading::Whole(rows) = &mut run.observations[1].sql {
        rows.history.reverse();
    }
    assert!(run.verify().books.iter().all(|books| books.balanced), "the order of rows says nothing");
    if let Reading::Whole(rows) = &mut run.observations[1].sql {
        rows.history.retain(|row| !is(&row.token, cast.created));
    }
    let books = run.verify().books;
    assert_eq!(books.iter().map(|books| books.balanced).collect::<Vec<_>>(), [false, true]);
    assert!(books[0].why.as_ref().is_some_and(|why| why.contains("differ")));

    run.observations[0].files = Reading::Failed("no route".into());
    let measures = run.verify();
    assert!(!measures.books[1].balanced);
    assert_eq!(event(&measures, "end").unobserved.as_deref(), Some("objects: no route"));

    run.observations.clear();
    let measures = run.verify();
    assert!(event(&measures, "end").unobserved.is_some());
    assert_eq!(event(&measures, "end").sql.intents, 11);
    loses(&measures, &[]);
}

#[test]
fn destroyed_stores_have_lost_everything_that_was_acknowledged() {
    let (_, mut run) = healthy();
    for observation in &mut run.observations {
        observation.sql = Reading::Destroyed("no pg_control".into());
    }
    let measures = run.verify();
    let end = event(&measures, "end");
    assert_eq!((end.sql.lost(), end.sql.acked, end.unobserved.as_deref()), (8, 8, None));
}
