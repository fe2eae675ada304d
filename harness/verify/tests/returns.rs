//! There and back: several switches in one run, attempts that were undone, what was salvaged, and both regions at the end.

use proptest::prelude::*;

use super::world::*;
use crate::model::{
    SwitchKind,
    event::What,
    measure::{Integrity, RegionsCompared, Salvaged},
    observation::*,
    operation::*,
    salvage::SalvageClaim,
};

fn creates(world: &mut World, stream: u32, count: u32) {
    for number in 0..count {
        world.write(stream, OpKind::Create, &format!("s{stream}-{number}"), number % 2 == 0, Answer::Ok);
    }
}

/// The platform's list of what the last `rows` transactions and `objects` versions left behind.
fn salvage(world: &World, event: &str, rows: usize, objects: usize) -> SalvageClaim {
    let history = world.database().history;
    let tail = |count: usize, len: usize| len.saturating_sub(count);
    let row = |row: &HistoryRow| crate::api::control::SalvagedRow {
        table: "public.geodrill_history".to_owned(),
        row: serde_json::json!({ "token": row.token.to_string(), "key": row.key }),
    };
    let object = |version: &ObjectVersion| crate::api::control::SalvagedObject {
        object_key: version.object_key.to_string(),
        version_id: version.version_id.to_string(),
        delete_marker: version.content == Content::DeleteMarker,
        bytes: 100,
        file: None,
    };
    let list = crate::api::control::Salvage {
        folder: "/evidence".to_owned(),
        rows: history[tail(rows, history.len())..].iter().map(row).collect(),
        objects: world.objects[tail(objects, world.objects.len())..].iter().map(object).collect(),
    };
    SalvageClaim { environment: EnvironmentIndex(0), event: event.to_owned(), at: ms(world.now), list }
}

#[test]
fn every_switch_is_judged_by_its_own_window() {
    let mut world = World::new();
    creates(&mut world, 1, 10);
    world.fail_over("failover-1", 3, 0);
    creates(&mut world, 2, 10);
    world.observe("failover-1");
    world.switch("back", SwitchKind::Failback, 0, 0);
    // The side that serves again may answer a read before it is seen to take a write.
    world.read(9, "nothing", None);
    creates(&mut world, 3, 10);
    world.observe("back");
    world.switch("there", SwitchKind::Planned, 1, 0);
    creates(&mut world, 4, 10);
    world.observe("there");
    let measures = world.finish().verify();
    let told = |id| {
        let event = event(&measures, id);
        (event.switch(), event.from, event.to, event.sql.lost(), event.recovery_point.operations)
    };
    use SwitchKind::*;
    let (east, west) = (Some(Side(0)), Some(Side(1)));
    assert_eq!(told("failover-1"), (Some(Unplanned), east, west, 3, 3));
    assert_eq!(told("back"), (Some(Failback), west, east, 0, 0));
    assert_eq!(told("there"), (Some(Planned), east, west, 1, 1));
    assert_eq!(told("end").3, 0);
    let at = |id| event(&measures, id).cut;
    assert!(at("failover-1") < at("back") && at("back") < at("there"));
    assert!(at("failover-1") < Some(event(&measures, "back").began), "service was not cut by what came back");
    for id in ["failover-1", "back", "there"] {
        let event = event(&measures, id);
        assert_eq!((event.sql.zombie, event.sql.late, event.sql.hole), (0, 0, 0), "{id}");
        assert_balanced(&event.sql);
    }
    assert!(measures.books.iter().all(|books| books.balanced));
}

#[test]
fn an_attempt_that_was_undone_switches_nothing_and_its_loss_is_its_own() {
    for lost in [0, 2] {
        let mut world = World::new();
        creates(&mut world, 1, 10);
        world.attempt("move", lost);
        creates(&mut world, 2, 10);
        world.observe("move");
        world.switch("again", SwitchKind::Planned, 0, 0);
        creates(&mut world, 3, 10);
        world.observe("again");
        let measures = world.finish().verify();
        let attempt = event(&measures, "move");
        assert!(attempt.aborted && attempt.switched.is_none() && attempt.switch() == Some(SwitchKind::Planned));
        assert_eq!((attempt.from, attempt.to), (Some(Side(0)), None));
        assert_eq!((attempt.sql.lost(), attempt.recovery_point.operations), (lost as u64, lost as u64));
        assert!(attempt.cut <= Some(event(&measures, "again").began), "what came after is not its own");
        let again = event(&measures, "again");
        assert!(!again.aborted && again.switched.is_some());
        assert_eq!((again.from, again.to, again.sql.lost()), (Some(Side(0)), Some(Side(1)), 0));
        assert_eq!(event(&measures, "end").sql.lost(), 0);
    }
}

#[test]
fn the_salvage_list_is_laid_beside_what_was_lost() {
    let run = |bend: &dyn Fn(&mut SalvageClaim)| {
        let mut world = World::new();
        creates(&mut world, 1, 10);
        world.write(2, OpKind::Create, "doubtful", false, Answer::Silent(true));
        let mut claim = salvage(&world, "failover-1", 4, 2);
        bend(&mut claim);
        world.fail_over("failover-1", 4, 2);
        world.write(3, OpKind::Create, "new", true, Answer::Ok);
        world.observe("failover-1");
        world.salvages.push(claim);
        let measures = world.finish().verify();
        assert_eq!(event(&measures, "end").salvage, None);
        event(&measures, "failover-1").salvage.clone().unwrap()
    };
    let exact = run(&|_| {});
    // Three acknowledged rows and one in doubt; two objects.
    assert_eq!(exact, Salvaged { rows: 4, objects: 2, ..Salvaged::default() });
    let told = |bend: &dyn Fn(&mut SalvageClaim)| {
        let salvage = run(bend);
        assert_eq!(salvage.examples.len() as u64, salvage.missing + salvage.extra);
        (salvage.missing, salvage.extra)
    };
    assert_eq!(told(&|claim| drop(claim.list.rows.remove(0))), (1, 0));
    // The last one is in doubt: that it is not listed proves nothing.
    assert_eq!(told(&|claim| drop(claim.list.rows.pop())), (0, 0));
    assert_eq!(told(&|claim| drop(claim.list.objects.remove(0))), (1, 0));
    assert_eq!(told(&|claim| claim.list.rows[0].row["token"] = "nobody".into()), (1, 1));
    assert_eq!(told(&|claim| claim.list.objects[0].object_key.push('x')), (1, 1));
    assert_eq!(told(&|claim| claim.list.rows[0].table = "public.geodrill_data".to_owned()), (1, 0));
    assert_eq!(told(&|claim| claim.event = "failover-1".to_owned()), (0, 0));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn a_list_too_long_or_too_short_is_told_by_exactly_so_much(
        lost in 0_usize..8, listed in 0_usize..8, lost_objects in 0_usize..4, listed_objects in 0_usize..4,
    ) {
        let mut world = World::new();
        creates(&mut world, 1, 16);
        let claim = salvage(&world, "failover-1", listed, listed_objects);
        world.fail_over("failover-1", lost, lost_objects);
        world.write(3, OpKind::Create, "new", false, Answer::Ok);
        world.observe("failover-1");
        world.salvages.push(claim);
        let measures = world.finish().verify();
        let salvage = event(&measures, "failover-1").salvage.clone().unwrap();
        let missing = lost.saturating_sub(listed) + lost_objects.saturating_sub(listed_objects);
        let extra = listed.saturating_sub(lost) + listed_objects.saturating_sub(lost_objects);
        prop_assert_eq!((salvage.missing, salvage.extra), (missing as u64, extra as u64));
    }
}

/// A run that ended protected, the other region bent.
fn protected(wrong: &[&str], bend: impl Fn(&mut Observation)) -> (Vec<RegionsCompared>, u64) {
    let mut world = World::new();
    creates(&mut world, 1, 6);
    world.write(1, OpKind::Delete, "s1-0", false, Answer::Ok);
    world.transfer(2, 0, 1, 5, Answer::Ok);
    let wrong = wrong.iter().map(|why| (*why).to_owned()).collect();
    world.event(What::Direction { environment: EnvironmentIndex(0), serving: Side(0), wrong });
    let mut other = world.observation(Boundary::Final { pass: 2, serving: false });
    other.side = Side(1);
    bend(&mut other);
    world.observations.push(other);
    let measures = world.finish().verify();
    let differences = found(&measures, Integrity::RegionsDiffer);
    (measures.regions, differences)
}

fn stores(observation: &mut Observation) -> (&mut SqlSnapshot, &mut FilesSnapshot) {
    match (&mut observation.sql, &mut observation.files) {
        (Reading::Whole(rows), Reading::Whole(versions)) => (rows, versions),
        _ => unreachable!("the model reads whole"),
    }
}

#[test]
fn regions_that_ended_protected_are_compared_in_rows_versions_and_markers() {
    let check = |expected: (u64, u64, u64), bend: &dyn Fn(&mut SqlSnapshot, &mut FilesSnapshot)| {
        let (compared, findings) = protected(&[], |other| {
            let (rows, versions) = stores(other);
            bend(rows, versions);
        });
        let [compared] = &compared[..] else { panic!("one environment") };
        assert_eq!((compared.rows, compared.versions, compared.markers), expected, "{compared:?}");
        assert_eq!(findings, expected.0 + expected.1 + expected.2);
        assert_eq!(compared.examples.is_empty(), findings == 0);
    };
    check((0, 0, 0), &|_, _| {});
    check((0, 0, 0), &|rows, versions| {
        rows.history.reverse();
        versions.versions.reverse();
    });
    check((1, 0, 0), &|rows, _| drop(rows.history.pop()));
    check((2, 0, 0), &|rows, _| rows.data[0].value = "altered".into());
    check((2, 0, 0), &|rows, _| rows.accounts[0].1 += 1);
    check((1, 0, 0), &|rows, _| drop(rows.legs.pop()));
    check((0, 1, 0), &|_, versions| versions.versions.retain(|version| !version.object_key.contains("00000002")));
    let is_marker = |version: &ObjectVersion| version.content == Content::DeleteMarker;
    check((0, 0, 1), &|_, versions| versions.versions.retain(|version| !is_marker(version)));
    check((0, 1, 1), &|_, versions| {
        // What was deleted here is there with its marker's id as a version.
        let body = versions.versions.iter().find(|version| !is_marker(version)).unwrap().content.clone();
        versions.versions.iter_mut().find(|version| is_marker(version)).unwrap().content = body;
    });
}

#[test]
fn a_wrong_direction_is_a_difference_and_what_is_not_read_is_none() {
    let (compared, findings) = protected(&["objects: west, which does not serve, replicates its bucket"], |_| {});
    assert_eq!((compared[0].differences(), findings), (1, 1));
    let (compared, findings) = protected(&[], |other| other.sql = Reading::Failed("broke".to_owned()));
    assert_eq!((compared[0].differences(), findings), (0, 0));
    assert!(compared[0].unread.as_deref().is_some_and(|why| why.contains("region 1")));
    let mut world = World::new();
    creates(&mut world, 1, 3);
    assert!(world.finish().verify().regions.is_empty(), "nobody called it protected");
}
