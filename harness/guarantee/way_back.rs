//! Planned failovers, failbacks, attempts that were undone, returns: each rule with what must bend it.

use super::sample::{Run, SALES, at, started};
use crate::{
    api::{
        control::{NoticeKind, Scope, SwitchKind},
        environment::EnvironmentKind,
    },
    model::{
        event::What,
        fault::{Fault, FaultRecord},
        measure::{EventKind, EventMeasures, RegionsCompared, Salvaged},
        operation::{EnvironmentIndex, Side},
        plan::{Action, Order, Step, WantedOutcome},
        verdict::Verdict::{self, Held, Inconclusive, Reported, Violated},
    },
};

fn protected(replica: u8, seen: bool) -> What {
    What::Protected { environment: SALES, replica: Side(replica), seen, detail: "looked".to_owned() }
}

fn compared(rows: u64) -> RegionsCompared {
    RegionsCompared { rows, examples: vec!["only here".to_owned()], ..RegionsCompared::default() }
}

/// A switch at 10 s, ordered by the step `order`, observed at 13 s, without loss.
fn ordered(kind: SwitchKind) -> Run {
    let mut run = Run::good();
    let order = Order { kind, scope: Scope::Region("east".parse().unwrap()), accept_data_loss: false };
    let step = Step { id: "order".to_owned(), action: Action::Operate(order), ..run.plan.timeline.remove(0) };
    run.plan.timeline.insert(0, step);
    run.events.retain(|event| !matches!(event.what, What::Fault(_) | What::NoticeReceived { .. }));
    run.happened(10.0, started("order"));
    let announced = if kind == SwitchKind::Planned { NoticeKind::PlannedFailover } else { NoticeKind::Failback };
    run.happened(10.5, What::NoticeReceived { environment: SALES, kind: announced, operation: 2 });
    let event = run.failover();
    (event.id, event.kind) = ("order".to_owned(), Some(EventKind::Switch(kind)));
    (event.recovery_point.operations, event.recovery_point.age_s) = (0, 0.0);
    if kind == SwitchKind::Failback {
        (event.from, event.to) = (Some(Side(1)), Some(Side(0)));
        run.happened(9.0, protected(0, true));
        run.happened(16.0, protected(1, true));
        run.measures.regions.push(RegionsCompared::default());
    }
    run
}

fn check(kind: SwitchKind, id: &str, expected: Verdict, bend: impl FnOnce(&mut Run)) {
    let mut run = ordered(kind);
    bend(&mut run);
    let judged = run.judged(id);
    assert_eq!(judged.verdict, expected, "{judged:?}");
}

#[test]
fn a_switch_without_loss_keeps_what_was_promised_for_its_kind() {
    use SwitchKind::{Failback, Planned};
    for id in ["switched", "notice", "loss"] {
        check(Planned, &format!("dataverse.planned.{id}"), Held, |_| {});
        check(Failback, &format!("dataverse.failback.{id}"), Held, |_| {});
        check(Planned, &format!("dataverse.failback.{id}"), Inconclusive, |_| {});
    }
    check(Planned, "dataverse.planned.interruption", Reported, |_| {});
    check(Failback, "dataverse.failback.interruption", Held, |_| {});
    let long = |run: &mut Run| run.failover().interruption.sql_write.as_mut().unwrap().seconds = 60.1;
    check(Failback, "dataverse.failback.interruption", Violated, long);
    check(Planned, "dataverse.planned.loss", Violated, |run| run.failover().recovery_point.operations = 1);
    check(Failback, "dataverse.failback.loss", Violated, |run| run.failover().recovery_point.operations = 1);
    let other_notice = |run: &mut Run| {
        run.events.retain(|event| !matches!(event.what, What::NoticeReceived { .. }));
        run.happened(
            10.5,
            What::NoticeReceived { environment: SALES, kind: NoticeKind::UnplannedFailover, operation: 2 },
        );
    };
    check(Planned, "dataverse.planned.notice", Violated, other_notice);
}

#[test]
fn a_switch_has_as_long_as_the_step_that_ordered_it() {
    let limit = |run: &mut Run, seconds| run.plan.timeline[0].within = std::time::Duration::from_secs(seconds);
    check(SwitchKind::Planned, "dataverse.planned.switched", Held, |run| limit(run, 4));
    check(SwitchKind::Planned, "dataverse.planned.switched", Violated, |run| limit(run, 2));
}

#[test]
fn an_attempt_that_was_undone_holds_nothing_and_its_loss_stands() {
    let undone = |run: &mut Run| {
        let event = run.failover();
        (event.aborted, event.switched, event.to) = (true, None, None);
    };
    for id in ["switched", "notice", "loss", "interruption"] {
        check(SwitchKind::Planned, &format!("dataverse.planned.{id}"), Inconclusive, undone);
    }
    check(SwitchKind::Planned, "dataverse.planned.loss", Violated, |run| {
        undone(run);
        run.failover().recovery_point.operations = 2;
    });
    let measured = |operations| {
        let mut run = ordered(SwitchKind::Planned).expect("loss.operations", Some(0.0), Held);
        undone(&mut run);
        run.failover().recovery_point.operations = operations;
        run.verdict("loss.operations")
    };
    assert_eq!((measured(0), measured(1)), (Held, Violated));
}

#[test]
fn an_order_that_had_to_be_refused_demands_no_switch() {
    let mut run = ordered(SwitchKind::Planned);
    run.measures.events.retain(|event| event.kind.is_none());
    assert_eq!(run.verdict("dataverse.planned.switched"), Violated);
    run.plan.timeline[0].outcome = WantedOutcome::Refused;
    assert!(run.judged("dataverse.planned.switched").why.unwrap().starts_with("not exercised"));
}

#[test]
fn traffic_goes_back_only_to_a_region_that_was_seen_in_step() {
    let id = "dataverse.failback.condition";
    check(SwitchKind::Failback, id, Held, |_| {});
    let without = |run: &mut Run| run.events.retain(|event| event.what != protected(0, true));
    check(SwitchKind::Failback, id, Inconclusive, without);
    check(SwitchKind::Failback, id, Inconclusive, |run| {
        without(run);
        run.happened(9.0, protected(0, false));
    });
    // What was seen before another switch says nothing any more.
    check(SwitchKind::Failback, id, Inconclusive, |run| {
        run.happened(9.5, What::SwitchCompleted { event: "failover-1".to_owned(), environment: SALES });
    });
    let lost = |healed: Option<f64>| {
        move |run: &mut Run| {
            let record = FaultRecord {
                step: "cut".to_owned(),
                fault: Fault::RegionIsolate { region: "east".parse().unwrap() },
                requested: at(5.0),
                effective: Some(at(5.0)),
                proof: "silent".to_owned(),
                healed: healed.map(at),
                healing: healed.map(|_| "answers".to_owned()),
                unproven: false,
            };
            run.happened(5.0, What::Fault(record));
        }
    };
    check(SwitchKind::Failback, id, Violated, lost(None));
    check(SwitchKind::Failback, id, Violated, lost(Some(14.0)));
    check(SwitchKind::Failback, id, Held, lost(Some(8.0)));
}

#[test]
fn traffic_does_not_go_back_to_a_region_that_is_half_healthy() {
    let id = "dataverse.failback.condition";
    let stopped = |process: &str, began: f64, healed: f64| {
        let process = process.parse().unwrap();
        move |run: &mut Run| {
            let record = FaultRecord {
                step: "half".to_owned(),
                fault: Fault::ProcessKill { process },
                requested: at(began),
                effective: Some(at(began)),
                proof: "gone".to_owned(),
                healed: Some(at(healed)),
                healing: Some("answers".to_owned()),
                unproven: false,
            };
            run.happened(began, What::Fault(record));
        }
    };
    check(SwitchKind::Failback, id, Violated, stopped("east / files", 5.0, 18.0));
    check(SwitchKind::Failback, id, Violated, stopped("east-3 / node", 5.0, 18.0));
    check(SwitchKind::Failback, id, Held, stopped("east / files", 5.0, 9.0));
    check(SwitchKind::Failback, id, Held, stopped("west / files", 5.0, 18.0));
    // Ordered at 10 s: it could not have been known.
    check(SwitchKind::Failback, id, Held, stopped("east / files", 11.0, 18.0));
    // Its node starts it again.
    check(SwitchKind::Failback, id, Held, stopped("east / postgres / sales", 5.0, 18.0));
}

#[test]
fn restored_is_a_replica_that_was_seen_and_regions_that_are_equal() {
    let id = "dataverse.failback.restored";
    check(SwitchKind::Failback, id, Held, |_| {});
    check(SwitchKind::Failback, id, Violated, |run| run.measures.regions = vec![compared(1)]);
    check(SwitchKind::Failback, id, Inconclusive, |run| run.measures.regions.clear());
    check(SwitchKind::Failback, id, Inconclusive, |run| {
        run.events.retain(|event| event.what != protected(1, true));
    });
    check(SwitchKind::Failback, id, Inconclusive, |run| run.happened(17.0, protected(1, false)));
    check(SwitchKind::Failback, id, Inconclusive, |run| {
        run.measures.regions[0].unread = Some("the connection broke".to_owned());
    });
}

#[test]
fn restored_means_the_non_production_instances_of_the_product_too() {
    let id = "dataverse.failback.restored";
    let beside = |kind: EnvironmentKind, expected: Verdict, bend: fn(&mut EventMeasures)| {
        check(SwitchKind::Failback, id, expected, |run| {
            run.plan.environments[1].kind = kind;
            let is_switch = |event: &EventMeasures| event.environment == EnvironmentIndex(1) && event.kind.is_some();
            run.measures.events.retain(|event| !is_switch(event));
            let end = run.measures.events.iter_mut().find(|event| event.environment == EnvironmentIndex(1));
            let end = end.expect("every environment has an end");
            (end.began, end.cut) = (at(20.0), Some(at(19.9)));
            bend(end);
        });
    };
    let sandbox = EnvironmentKind::DataverseSandbox;
    beside(sandbox, Held, |_| {});
    beside(sandbox, Violated, |end| end.sql.lost_create = 1);
    beside(sandbox, Violated, |end| end.files.lost_create = 1);
    beside(sandbox, Violated, |end| end.cut = Some(at(12.0)));
    beside(sandbox, Inconclusive, |end| (end.began, end.cut) = (at(15.0), Some(at(12.0))));
    beside(sandbox, Inconclusive, |end| end.unobserved = Some("it was not read".to_owned()));
    beside(EnvironmentKind::FinopsSandbox, Held, |end| end.sql.lost_create = 1);
}

#[test]
fn regions_are_judged_in_every_run_that_ends_protected() {
    let id = "integrity.regions-differ";
    let mut run = Run::quiet();
    assert_eq!(run.verdict(id), Reported);
    run.measures.regions = vec![RegionsCompared::default()];
    assert_eq!(run.verdict(id), Held);
    run.measures.regions[0].unread = Some("not read".to_owned());
    assert_eq!(run.verdict(id), Inconclusive);
    let measured = |regions: Vec<RegionsCompared>| {
        let mut run = Run::quiet().expect("regions.differ", Some(0.0), Held);
        run.measures.regions = regions;
        run.verdict("regions.differ")
    };
    assert_eq!(measured(vec![RegionsCompared::default()]), Held);
    assert_eq!(measured(vec![compared(2)]), Violated);
    assert_eq!(measured(Vec::new()), Inconclusive);
}

#[test]
fn marks_and_salvage_can_be_bounded() {
    let measured = |name: &str, bend: &dyn Fn(&mut Run)| {
        let mut run = Run::good().expect(name, Some(0.0), Held);
        bend(&mut run);
        run.verdict(name)
    };
    let salvaged = |missing, extra| {
        move |run: &mut Run| run.failover().salvage = Some(Salvaged { missing, extra, ..Salvaged::default() })
    };
    assert_eq!(measured("salvage.missing", &|_| {}), Inconclusive);
    assert_eq!(measured("salvage.missing", &salvaged(0, 3)), Held);
    assert_eq!(measured("salvage.missing", &salvaged(1, 0)), Violated);
    assert_eq!(measured("salvage.extra", &salvaged(1, 0)), Held);
    assert_eq!(measured("salvage.extra", &salvaged(0, 1)), Violated);
    assert_eq!(measured("dangling.marked", &|_| {}), Held);
    assert_eq!(measured("dangling.marked", &|run| run.failover().dangling_marked = 1), Violated);
}
