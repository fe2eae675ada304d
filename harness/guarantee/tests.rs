//! Each rule with what must bend it, precedence, completeness.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::{
    overall,
    sample::{Run, SALES, at, notice, outage, served, started},
    set::{self, promises, sets},
};
use crate::{
    api::{
        Zone,
        control::{NoticeKind, Scope, SwitchKind},
        environment::EnvironmentKind,
    },
    model::{
        event::{UnlicensedAnswer, What},
        fault::{Fault, FaultRecord, OutageHow, WebhookMode},
        measure::{EventKind, EventMeasures, Finding, Gap, Integrity, RecoveryPoint},
        operation::{EnvironmentIndex, Side},
        plan::{Action, Order, Processors, Step, StepState, WantedOutcome},
        verdict::Verdict::{self, Held, Inconclusive, Reported, Violated},
    },
};

/// Bends a good run and says what becomes of one guarantee.
fn check(id: &str, expected: Verdict, bend: impl FnOnce(&mut Run)) {
    let mut run = Run::good();
    bend(&mut run);
    let judged = run.judged(id);
    assert_eq!(judged.verdict, expected, "{judged:?}");
    assert_eq!(judged.why.is_none(), matches!(expected, Held | Reported), "{judged:?}");
}

#[test]
fn every_shipped_set_is_read_and_every_id_of_the_design_is_there() {
    let names: Vec<String> = sets().into_iter().map(|set| set.set).collect();
    assert_eq!(names, ["dataverse", "finops", "integrity"]);
    let ids: BTreeSet<String> = promises().into_iter().map(|promise| promise.id).collect();
    assert_eq!(ids.len(), 22 + 20 + 11);
    for integrity in Integrity::ALL {
        assert!(ids.contains(integrity.id()));
    }
    for promise in promises() {
        assert!(promise.id.starts_with(promise.product().map_or("integrity", |product| product.as_str())));
    }
    insta::assert_snapshot!("ids", ids.into_iter().collect::<Vec<_>>().join("\n"));
}

#[test]
fn a_set_that_cannot_be_judged_is_refused() {
    let with = |entries: &str| format!("geodrill: 1\nset: x\nversion: \"1\"\nsource: mine\nguarantees:\n{entries}\n");
    let entry = "  - { id: x.a, says: \"a\", modality: bound, number: 1, kinds: [dataverse-production] }";
    assert!(set::read(&with(entry)).unwrap_err().to_string().contains("a number needs a unit"));
    let entry = "  - { id: x.a, says: \"a\", modality: state, kinds: [dataverse-production, finops-production] }";
    assert!(set::read(&with(entry)).unwrap_err().to_string().contains("two products"));
    assert!(set::read(&with("  - { id: x.a, says: \"a\", modality: firm }")).is_err());
}

#[test]
fn a_failover_that_keeps_every_promise_is_held() {
    let run = Run::good();
    for id in ["switched", "notice", "declared", "loss"] {
        assert_eq!(run.verdict(&format!("dataverse.unplanned.{id}")), Held, "{id}");
        assert_eq!(run.verdict(&format!("finops.unplanned.{id}")), Held, "{id}");
    }
    assert_eq!(run.verdict("dataverse.replica.at-deployment"), Held);
    assert_eq!(run.verdict("dataverse.replication.lag"), Reported);
    assert_eq!(run.verdict("finops.replication.lag"), Held);
    assert_eq!(run.verdict("integrity.books"), Held);
}

#[test]
fn switched_needs_a_write_seen_from_the_other_region_in_time() {
    let id = "dataverse.unplanned.switched";
    check(id, Violated, |run| run.failover().switched = None);
    check(id, Violated, |run| run.failover().switched = Some(at(31.0)));
    check(id, Held, |run| run.failover().switched = Some(at(29.0)));
    // No step waits for it: 60 s.
    check(id, Held, |run| {
        run.plan.timeline.pop();
        run.failover().switched = Some(at(31.0));
    });
}

#[test]
fn a_platform_that_never_fails_over_holds_nothing() {
    let mut run = Run::good();
    run.measures.events.retain(|event| event.kind.is_none());
    run.events.retain(|event| !matches!(event.what, What::NoticeReceived { .. }));
    assert_eq!(run.verdict("dataverse.unplanned.switched"), Violated);
    assert_eq!(run.verdict("dataverse.unplanned.declared"), Violated);
    for id in ["dataverse.unplanned.loss", "dataverse.unplanned.notice", "finops.unplanned.loss"] {
        assert_eq!(run.judged(id).why.as_deref(), Some("no switch"));
        assert_eq!(run.verdict(id), Inconclusive);
    }
    assert_eq!(run.expect("dataverse.unplanned.switched", None, Held).overall(), Violated);
}

#[test]
fn an_ordered_failover_that_never_comes_is_violated() {
    let mut run = Run::quiet();
    let order = Order {
        kind: SwitchKind::Unplanned,
        scope: Scope::Environments(vec!["sales".parse().unwrap()]),
        accept_data_loss: false,
    };
    run.plan.timeline =
        vec![Step { id: "order".to_owned(), action: Action::Operate(order), ..run.plan.timeline.remove(0) }];
    assert_eq!(run.verdict("dataverse.unplanned.switched"), Inconclusive);
    run.happened(12.0, started("order"));
    assert_eq!(run.verdict("dataverse.unplanned.switched"), Violated);
    assert_eq!(run.verdict("finops.unplanned.switched"), Inconclusive);
}

#[test]
fn notice_comes_before_the_switch() {
    let id = "dataverse.unplanned.notice";
    let only = |run: &mut Run, seconds: &[f64]| {
        run.events.retain(|event| !matches!(event.what, What::NoticeReceived { .. }));
        for second in seconds {
            run.happened(*second, notice(0));
        }
    };
    check(id, Held, |run| only(run, &[12.99]));
    check(id, Violated, |run| only(run, &[13.0]));
    check(id, Violated, |run| only(run, &[]));
    // One of an earlier switch, before the cause of this one, does not count.
    check(id, Violated, |run| only(run, &[9.0]));
    check(id, Held, |run| only(run, &[11.0, 14.0]));
    check(id, Inconclusive, |run| run.failover().switched = None);
}

#[test]
fn a_receiver_that_fails_must_have_been_tried_before_and_be_told_after() {
    let id = "dataverse.unplanned.notice";
    let failing = |run: &mut Run, attempts: &[f64], received: &[f64], healed: Option<f64>, end: f64| {
        run.events.retain(|event| !matches!(event.what, What::NoticeReceived { .. }));
        for second in attempts {
            let (environment, kind) = (EnvironmentIndex(0), NoticeKind::UnplannedFailover);
            let mode = WebhookMode::Error;
            run.happened(*second, What::NoticeAttempt { environment, kind, operation: 1, mode });
        }
        for second in received {
            run.happened(*second, notice(0));
        }
        let fault = FaultRecord {
            step: "erring".to_owned(),
            fault: Fault::WebhookFail { mode: WebhookMode::Error },
            requested: at(8.0),
            effective: Some(at(8.0)),
            proof: "500".to_owned(),
            healed: healed.map(at),
            healing: healed.map(|_| "204".to_owned()),
            unproven: false,
        };
        run.happened(healed.unwrap_or(8.0), What::Fault(fault));
        run.happened(end, What::Step { id: "end".to_owned(), state: StepState::Done, detail: String::new() });
    };
    check(id, Held, |run| failing(run, &[12.0], &[20.0], Some(19.0), 60.0));
    check(id, Violated, |run| failing(run, &[14.0], &[20.0], Some(19.0), 60.0));
    check(id, Violated, |run| failing(run, &[], &[20.0], Some(19.0), 60.0));
    check(id, Violated, |run| failing(run, &[12.0], &[], Some(40.0), 60.0));
    check(id, Inconclusive, |run| failing(run, &[12.0], &[], Some(55.0), 60.0));
    check(id, Inconclusive, |run| failing(run, &[12.0], &[], None, 60.0));
}

#[test]
fn declared_means_not_too_early_and_not_for_a_short_outage() {
    let id = "dataverse.unplanned.declared";
    let lasted = |run: &mut Run, healed: Option<f64>| {
        run.events.retain(|event| !matches!(event.what, What::Fault(_)));
        run.happened(10.0, What::Fault(outage(10.0, healed)));
    };
    check(id, Held, |run| lasted(run, Some(19.0)));
    check(id, Violated, |run| run.failover().switched = Some(at(11.9)));
    check(id, Violated, |run| lasted(run, Some(11.5)));
    check(id, Inconclusive, |run| {
        run.plan.timeline[0].id = "failover-1".to_owned();
        run.plan.timeline[0].action = Action::Operate(Order {
            kind: SwitchKind::Unplanned,
            scope: Scope::Region("east".parse().unwrap()),
            accept_data_loss: false,
        });
    });
    check(id, Violated, |run| run.events.retain(|event| !matches!(event.what, What::Fault(_))));
}

/// Where many things have to die, the platform may notice the first before the last is gone.
#[test]
fn a_region_that_takes_long_to_die_is_answered_by_a_switch_that_began_meanwhile() {
    let dying = |run: &mut Run, asked: f64, dead: f64| {
        run.events.retain(|event| !matches!(event.what, What::Fault(_)));
        let mut record = outage(dead, None);
        record.requested = at(asked);
        run.happened(dead, What::Fault(record));
        run.failover().began = at(asked);
    };
    for id in ["dataverse.unplanned.switched", "dataverse.unplanned.declared"] {
        check(id, Held, |run| dying(run, 9.0, 10.0));
    }
    // Switched at 12.6: whether that was 2 s after the first sign cannot be told.
    check("dataverse.unplanned.declared", Inconclusive, |run| dying(run, 9.0, 11.5));
    check("dataverse.unplanned.switched", Held, |run| dying(run, 9.0, 11.5));
}

#[test]
fn a_short_outage_without_failover_is_held_if_it_was_watched_long_enough() {
    let verdict = |healed: f64, until: f64| {
        let mut run = Run::quiet();
        run.happened(10.0, What::Fault(outage(10.0, Some(healed))));
        run.events.retain(|event| event.what != What::Quiesced);
        run.happened(until, What::Quiesced);
        run.verdict("dataverse.unplanned.declared")
    };
    assert_eq!(verdict(11.0, 20.0), Held);
    assert_eq!(verdict(11.0, 12.5), Inconclusive);
    // Silence has to be noticed first: between grace and grace + 1.25 s nothing can be demanded.
    assert_eq!(verdict(13.0, 20.0), Inconclusive);
    assert_eq!(verdict(13.5, 20.0), Violated);
    assert_eq!(Run::quiet().verdict("dataverse.unplanned.declared"), Inconclusive);
}

#[test]
fn an_outage_of_the_other_region_demands_nothing() {
    let mut run = Run::quiet();
    let mut record = outage(10.0, None);
    record.fault = crate::model::fault::Fault::RegionOutage { region: "west".parse().unwrap() };
    run.happened(10.0, What::Fault(record));
    assert!(run.judged("dataverse.unplanned.switched").why.unwrap().starts_with("not exercised"));
}

#[test]
fn loss_is_judged_by_age_with_the_count_beside_it() {
    let id = "dataverse.unplanned.loss";
    let judged = Run::good().judged(id);
    assert_eq!((judged.documented, judged.tested, judged.measured), (Some(900.0), Some(900.0), Some(2.0)));
    assert_eq!((judged.count, judged.unit.as_deref(), judged.stressed), (Some(200), Some("s"), Some(false)));
    let tight = Run::good().expect(id, Some(2.1), Held).judged(id);
    assert_eq!((tight.verdict, tight.tested, tight.stressed), (Held, Some(2.1), Some(true)));
    assert_eq!(Run::good().expect(id, Some(1.5), Held).verdict(id), Violated);
    check(id, Violated, |run| run.failover().recovery_point.age_s = 900.1);
    check(id, Inconclusive, |run| run.failover().acked_before = 99);
    check(id, Violated, |run| {
        run.failover().acked_before = 99;
        run.failover().recovery_point.age_s = 901.0;
    });
    check(id, Inconclusive, |run| run.failover().unobserved = Some("the connection broke".to_owned()));
    check(id, Inconclusive, |run| run.failover().switched = None);
}

#[test]
fn zero_loss_allows_no_operation_even_of_no_age() {
    let id = "dataverse.planned.loss";
    let planned = |run: &mut Run, operations| {
        let event = run.failover();
        event.kind = Some(EventKind::Switch(SwitchKind::Planned));
        event.recovery_point = Default::default();
        event.recovery_point.operations = operations;
    };
    check(id, Held, |run| planned(run, 0));
    check(id, Violated, |run| planned(run, 1));
    check("dataverse.planned.interruption", Reported, |run| {
        planned(run, 0);
        run.failover().interruption = Default::default();
        run.failover().interruption.sql_write = Some(Default::default());
    });
}

#[test]
fn interruption_is_the_worst_access_and_a_stalled_examiner_can_only_have_lengthened_it() {
    let id = "dataverse.failback.interruption";
    let gap = |run: &mut Run, seconds, censored, stalled| {
        let event = run.failover();
        event.kind = Some(EventKind::Switch(SwitchKind::Failback));
        let gap = event.interruption.files_read.as_mut().unwrap();
        (gap.seconds, gap.censored, gap.examiner_stalled) = (seconds, censored, stalled);
    };
    check(id, Held, |run| gap(run, 59.0, false, false));
    check(id, Violated, |run| gap(run, 61.0, false, false));
    check(id, Violated, |run| gap(run, 61.0, true, false));
    check(id, Inconclusive, |run| gap(run, 5.0, true, false));
    check(id, Inconclusive, |run| gap(run, 61.0, false, true));
    check(id, Inconclusive, |run| gap(run, 5.0, true, true));
    check(id, Held, |run| gap(run, 59.0, false, true));
    check(id, Inconclusive, |run| {
        gap(run, 0.0, false, false);
        run.failover().interruption = Default::default();
    });
}

#[test]
fn replicas_are_there_when_deployment_is_answered() {
    let id = "dataverse.replica.at-deployment";
    let seen = |run: &mut Run, sql, files| {
        for event in &mut run.events {
            if let What::Deployed { sql_replica, files_replica, .. } = &mut event.what {
                (*sql_replica, *files_replica) = (sql, files);
            }
        }
    };
    check(id, Violated, |run| seen(run, Some(true), Some(false)));
    check(id, Violated, |run| seen(run, None, Some(false)));
    check(id, Inconclusive, |run| seen(run, Some(true), None));
    check(id, Inconclusive, |run| run.events.retain(|event| !matches!(event.what, What::Deployed { .. })));
}

#[test]
fn without_its_licence_a_deployment_is_refused_and_with_it_done() {
    let id = "dataverse.deploy.licensed";
    let answered = |run: &mut Run, given: UnlicensedAnswer| {
        for event in &mut run.events {
            if let What::OrderedUnlicensed { answer, .. } = &mut event.what {
                *answer = given.clone();
            }
        }
    };
    check(id, Held, |_| {});
    check(id, Violated, |run| answered(run, UnlicensedAnswer::Deployed));
    check(id, Inconclusive, |run| answered(run, UnlicensedAnswer::Unknown("no answer".to_owned())));
    check(id, Inconclusive, |run| run.events.retain(|event| !matches!(event.what, What::OrderedUnlicensed { .. })));
    check(id, Inconclusive, |run| run.events.retain(|event| !matches!(event.what, What::Deployed { .. })));
}

#[test]
fn the_other_region_takes_the_load_and_of_a_lost_regions_processors_nothing_follows() {
    let id = "dataverse.compute.both-regions";
    let after = |run: &mut Run, kind, rate: Option<f64>| {
        let event = run.failover();
        (event.kind, event.served) = (Some(EventKind::Switch(kind)), rate.map(served));
    };
    check(id, Held, |run| after(run, SwitchKind::Planned, Some(95.0)));
    check(id, Held, |run| after(run, SwitchKind::Failback, Some(130.0)));
    check(id, Inconclusive, |run| after(run, SwitchKind::Planned, Some(94.0)));
    check(id, Violated, |run| after(run, SwitchKind::Planned, Some(79.0)));
    check(id, Inconclusive, |run| after(run, SwitchKind::Unplanned, Some(100.0)));
    check(id, Violated, |run| after(run, SwitchKind::Unplanned, Some(79.0)));
    check(id, Inconclusive, |run| after(run, SwitchKind::Planned, None));
    check(id, Inconclusive, |run| run.failover().switched = None);
    // Answers that take much longer are no service, however many there are.
    let slower = |run: &mut Run, after_s| {
        after(run, SwitchKind::Planned, Some(100.0));
        let served = run.failover().served.as_mut().unwrap();
        (served.before.p99_s, served.after.p99_s) = (Some(0.1), Some(after_s));
    };
    check(id, Held, |run| slower(run, 1.0));
    check(id, Inconclusive, |run| slower(run, 1.1));
    check(id, Violated, |run| slower(run, 2.1));
}

#[test]
fn under_quotas_that_were_in_force_a_lost_regions_processors_are_nobodys() {
    let id = "dataverse.compute.both-regions";
    let lost = |run: &mut Run, rate, looks: &[(&str, u64, Option<&str>)]| {
        run.plan.regions.processors = Some(Processors { primary_milli: 800, secondary_milli: 800 });
        let event = run.failover();
        (event.kind, event.served) = (Some(EventKind::Switch(SwitchKind::Unplanned)), Some(served(rate)));
        for (region, held, trouble) in looks {
            let (region, trouble) = (region.parse().unwrap(), trouble.map(str::to_owned));
            run.happened(1.0, What::Quota { region, wanted_milli: 800, held: *held, trouble });
        }
    };
    let both = [("east", 9, None), ("west", 9, None)];
    check(id, Held, |run| lost(run, 100.0, &both));
    check(id, Held, |run| lost(run, 100.0, &[&both[..], &[("east", 0, None), ("west", 9, None)]].concat()));
    check(id, Violated, |run| lost(run, 79.0, &both));
    check(id, Violated, |run| lost(run, 79.0, &[]));
    check(id, Inconclusive, |run| lost(run, 100.0, &[]));
    check(id, Inconclusive, |run| lost(run, 100.0, &both[..1]));
    check(id, Inconclusive, |run| {
        lost(run, 100.0, &[&both[..], &[("west", 9, Some("process 7 is outside"))]].concat())
    });
}

#[test]
fn backed_up_destroyed_and_restored_it_is_what_was_acknowledged() {
    let kept = |kind: EnvironmentKind, bend: fn(&mut Run)| {
        let mut run = Run::quiet();
        run.plan.environments[0].kind = kind;
        run.happened(20.0, What::BackedUp { environment: SALES, took_s: 1.0 });
        run.happened(21.0, What::Destroyed { environment: SALES });
        run.happened(22.0, What::Restored { environment: SALES, took_s: 1.0 });
        bend(&mut run);
        let id = match kind {
            EnvironmentKind::DataverseSandbox => "dataverse.nonproduction.backup",
            _ => "finops.nonproduction.data-movement",
        };
        let judged = run.judge();
        judged
            .into_iter()
            .find(|one| one.id == id && one.environment.as_deref() == Some("sales"))
            .expect("judged")
            .verdict
    };
    let sandbox = EnvironmentKind::DataverseSandbox;
    assert_eq!(kept(sandbox, |_| {}), Held);
    assert_eq!(kept(sandbox, |run| end(run).sql.lost_create = 1), Violated);
    assert_eq!(kept(sandbox, |run| end(run).files.lost_create = 1), Violated);
    assert_eq!(kept(sandbox, |run| end(run).unobserved = Some("not read".to_owned())), Inconclusive);
    assert_eq!(
        kept(sandbox, |run| run.events.retain(|event| !matches!(event.what, What::BackedUp { .. }))),
        Inconclusive
    );
    assert_eq!(
        kept(sandbox, |run| run.events.retain(|event| !matches!(event.what, What::Destroyed { .. }))),
        Inconclusive
    );
    assert_eq!(
        kept(sandbox, |run| run.events.retain(|event| !matches!(event.what, What::Restored { .. }))),
        Inconclusive
    );
    // What was destroyed before the back-up says nothing of it.
    let early = |run: &mut Run| {
        run.events.retain(|event| !matches!(event.what, What::Destroyed { .. }));
        run.happened(19.0, What::Destroyed { environment: SALES });
    };
    assert_eq!(kept(sandbox, early), Inconclusive);
    let finops = EnvironmentKind::FinopsSandbox;
    assert_eq!(kept(finops, |_| {}), Inconclusive, "a copy from production is promised too");
    assert_eq!(kept(finops, |run| end(run).sql.lost_create = 1), Violated);
    assert_eq!(kept(finops, |run| copied_at(run, 19.0)), Held);
    assert_eq!(kept(finops, |run| copied_at(run, 23.0)), Inconclusive, "what was imported is overwritten");
    let lost = |run: &mut Run| {
        copied_at(run, 19.0);
        end(run).files.lost_create = 1;
    };
    assert_eq!(kept(finops, lost), Violated);
}

fn copied_at(run: &mut Run, seconds: f64) {
    run.happened(seconds, What::Copied { environment: SALES, source: EnvironmentIndex(1), took_s: 1.0 });
}

fn end(run: &mut Run) -> &mut EventMeasures {
    let mut events = run.measures.events.iter_mut();
    events.find(|event| event.environment == SALES && event.kind.is_none()).expect("every run has an end")
}

/// `sales` as Dataverse for Teams whose failover was refused at 5 s; the region is never lost.
fn teams() -> Run {
    let mut run = Run::quiet();
    run.plan.environments[0].kind = EnvironmentKind::DataverseTeams;
    let scope = Scope::Environments(vec!["sales".parse().unwrap()]);
    let order = Order { kind: SwitchKind::Planned, scope, accept_data_loss: false };
    let step = Step { id: "refused".to_owned(), action: Action::Operate(order), ..run.plan.timeline.remove(0) };
    run.plan.timeline = vec![Step { outcome: WantedOutcome::Refused, ..step }];
    run.happened(3.0, sought(&[], &[]));
    run.happened(5.0, What::Step { id: "refused".to_owned(), state: StepState::Done, detail: String::new() });
    run
}

fn sought(found: &[&str], unlooked: &[&str]) -> What {
    let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    What::ReplicaSought { environment: SALES, found: texts(found), unlooked: texts(unlooked) }
}

/// The same, converted at 7 s by a step.
fn converted(files_replica: bool, seen: Option<bool>) -> Run {
    let mut run = teams();
    let step = Step { id: "upgrade".to_owned(), ..run.plan.timeline[0].clone() };
    let action = Action::Convert("sales".parse().unwrap());
    run.plan.timeline.push(Step { action, outcome: WantedOutcome::Completed, ..step });
    run.happened(7.0, What::Converted { environment: SALES, took_s: 2.0, sql_replica: true, files_replica });
    if let Some(seen) = seen {
        run.happened(7.5, What::Protected { environment: SALES, replica: Side(1), seen, detail: "looked".to_owned() });
    }
    run
}

#[test]
fn teams_has_no_replica_and_no_failover_until_it_is_converted() {
    let check = |expected: Verdict, run: Run| {
        let judged = run.judged("dataverse.teams.no-replica");
        assert_eq!(judged.verdict, expected, "{judged:?}");
    };
    let bent = |bend: fn(&mut Run)| {
        let mut run = teams();
        bend(&mut run);
        run
    };
    check(Held, teams());
    check(Violated, bent(|run| run.happened(18.0, sought(&["a bucket"], &[]))));
    check(Violated, bent(|run| run.measures.events.push(Run::good().measures.events[0].clone())));
    check(Inconclusive, bent(|run| run.events.retain(|event| !matches!(event.what, What::ReplicaSought { .. }))));
    check(Inconclusive, bent(|run| run.events.retain(|event| !matches!(event.what, What::Step { .. }))));
    check(
        Inconclusive,
        bent(|run| {
            run.events.retain(|event| !matches!(event.what, What::ReplicaSought { .. }));
            run.happened(3.0, sought(&[], &["no answer"]));
        }),
    );
    check(Held, converted(true, Some(true)));
    check(Violated, converted(false, Some(true)));
    check(Violated, converted(true, Some(false)));
    check(Inconclusive, converted(true, None));
}

#[test]
fn what_is_converted_is_promised_what_production_is_and_only_from_then_on() {
    let mut run = converted(true, Some(true));
    assert_eq!(run.verdict("dataverse.replica.at-deployment"), Held);
    assert_eq!(converted(false, Some(true)).verdict("dataverse.replica.at-deployment"), Violated);
    // Not judged for what is not converted.
    assert!(teams().judged("dataverse.replica.at-deployment").environment.is_none());
    // An order of before demands no switch, one of after does.
    let region = Scope::Region("east".parse().unwrap());
    let order = Order { kind: SwitchKind::Planned, scope: region, accept_data_loss: false };
    let step = Step { id: "order".to_owned(), action: Action::Operate(order), ..run.plan.timeline[0].clone() };
    run.plan.timeline.push(Step { outcome: WantedOutcome::Completed, ..step });
    let mut before = run.clone();
    before.happened(6.0, started("order"));
    assert_eq!(before.verdict("dataverse.planned.switched"), Inconclusive);
    run.happened(8.0, started("order"));
    assert_eq!(run.verdict("dataverse.planned.switched"), Violated);
}

#[test]
fn what_was_left_behind_is_told_and_not_judged() {
    let id = "dataverse.secondary.nonproduction";
    let mut run = Run::good();
    run.plan.environments[0].kind = EnvironmentKind::DataverseSandbox;
    // It was not switched itself: `books` was.
    run.measures.events.remove(0);
    run.measures.events[0].interruption.sql_read = Some(Gap { seconds: 7.0, censored: true, ..Gap::default() });
    let judged = run.judged(id);
    assert_eq!((judged.verdict, judged.measured), (Reported, Some(7.0)), "{judged:?}");
    run.measures.events.retain(|event| event.kind.is_none());
    assert_eq!(run.verdict(id), Inconclusive);
}

#[test]
fn lag_is_bounded_for_one_product_and_typical_for_the_other() {
    check("finops.replication.lag", Violated, |run| run.measures.lags[3].max_s = 901.0);
    check("dataverse.replication.lag", Reported, |run| run.measures.lags[0].max_s = 901.0);
    check("finops.replication.lag", Inconclusive, |run| run.measures.lags.clear());
    check("finops.replication.lag", Inconclusive, |run| run.measures.lags.truncate(3));
    let tightened = Run::good().expect("dataverse.replication.lag", Some(1.0), Held);
    assert_eq!(tightened.verdict("dataverse.replication.lag"), Violated);
}

fn finding(id: Integrity) -> Finding {
    let examples = vec!["00000001-000001-00000001-00".to_owned()];
    Finding { id, environment: SALES, event: "end".to_owned(), store: None, count: 3, examples }
}

#[test]
fn one_finding_violates_its_integrity_and_no_other() {
    for integrity in Integrity::ALL {
        let mut run = Run::good();
        run.measures.findings.push(finding(integrity));
        for other in Integrity::ALL {
            let expected = match other {
                _ if other == integrity => Violated,
                Integrity::RegionsDiffer => Reported,
                _ => Held,
            };
            assert_eq!(run.verdict(other.id()), expected, "{integrity:?} {other:?}");
        }
        assert_eq!(run.judged(integrity.id()).count, Some(3));
        assert_eq!(run.expect("dataverse.unplanned.switched", None, Held).overall(), Violated);
    }
}

#[test]
fn uneven_books_are_violated_only_if_foreign() {
    let uneven = |foreign| {
        move |run: &mut Run| {
            let books = &mut run.measures.books[0];
            (books.balanced, books.foreign, books.why) = (false, foreign, Some("3 rows too many".to_owned()));
        }
    };
    check("integrity.books", Inconclusive, uneven(false));
    check("integrity.books", Violated, uneven(true));
    check("integrity.hole", Inconclusive, uneven(true));
    check("dataverse.unplanned.loss", Inconclusive, uneven(false));
    // The other environment's own books are even.
    check("finops.unplanned.loss", Held, uneven(false));
}

#[test]
fn what_spoils_a_run_spoils_what_held_and_never_a_counter_example() {
    type Spoil = fn(&mut Run);
    let spoils: [Spoil; 6] = [
        |run| {
            let mut record = outage(10.0, None);
            record.unproven = true;
            run.happened(10.1, What::Fault(record));
        },
        |run| run.happened(15.0, What::StepFailed { id: "over".to_owned(), why: "timed out".to_owned() }),
        |run| run.happened(15.0, What::Problem("the ledger is short".to_owned())),
        |run| run.measures.events[1].unobserved = Some("the store did not answer".to_owned()),
        |run| run.measures.books.clear(),
        |run| run.measures.events.retain(|event| event.kind.is_some()),
    ];
    for spoil in spoils {
        check("dataverse.unplanned.switched", Inconclusive, spoil);
        check("dataverse.unplanned.loss", Violated, |run| {
            spoil(run);
            run.failover().recovery_point.age_s = 901.0;
        });
    }
}

#[test]
fn measures_are_judged_in_every_event() {
    let verdicts = |run: Run, name: &str| -> Vec<(Option<String>, Verdict)> {
        let judged = run.judge().into_iter().filter(|judged| judged.id == name);
        let sales = judged.filter(|judged| judged.environment.as_deref() == Some("sales"));
        sales.map(|judged| (judged.event, judged.verdict)).collect()
    };
    let event = |id: &str| Some(id.to_owned());
    let run = Run::good().expect("loss.operations", Some(100.0), Held);
    assert_eq!(verdicts(run, "loss.operations"), [(event("failover-1"), Violated), (event("end"), Held)]);
    let run = Run::good().expect("interruption", Some(0.0), Held);
    assert_eq!(verdicts(run, "interruption"), [(event("failover-1"), Violated), (event("end"), Held)]);
    let run = Run::good().expect("interruption.sql_read", Some(2.95), Held);
    assert_eq!(verdicts(run, "interruption.sql_read"), [(event("failover-1"), Held), (event("end"), Held)]);
    let run = Run::good().expect("switches", Some(0.0), Held);
    assert_eq!(verdicts(run, "switches"), [(None, Violated)]);
    let run = Run::quiet().expect("switches", Some(0.0), Held);
    assert_eq!(verdicts(run, "switches"), [(None, Held)]);
    let mut run = Run::quiet().expect("loss.operations", Some(0.0), Held);
    run.measures.events[0].sql.acked = 5;
    assert_eq!(verdicts(run, "loss.operations"), [(event("end"), Inconclusive)]);
}

#[test]
fn the_most_particular_expectation_counts() {
    let id = "dataverse.unplanned.loss";
    let mut run = Run::good().expect(id, Some(1.0), Held).expect(id, Some(5.0), Held);
    run.plan.expect[1].step = Some("failover-1".to_owned());
    assert_eq!(run.judged(id).tested, Some(5.0));
}

#[test]
fn an_expected_event_that_never_came_is_not_forgotten() {
    let mut run = Run::quiet().expect("dataverse.unplanned.loss", None, Held);
    run.plan.expect[0].step = Some("failover-2".to_owned());
    let all = run.judge();
    let named = all.iter().find(|judged| judged.event.as_deref() == Some("failover-2")).unwrap();
    assert_eq!((named.verdict, named.expected), (Inconclusive, true));
    assert_eq!(run.overall(), Inconclusive);
}

#[test]
fn the_run_is_what_was_expected_of_it() {
    let loss = "dataverse.unplanned.loss";
    assert_eq!(Run::good().overall(), Inconclusive, "an empty expect shows nothing");
    assert_eq!(Run::good().expect(loss, None, Held).overall(), Held);
    assert_eq!(Run::good().expect(loss, Some(1.0), Held).overall(), Violated);
    assert_eq!(Run::good().expect(loss, Some(1.0), Violated).overall(), Held, "a wanted violation was found");
    assert_eq!(Run::good().expect(loss, None, Violated).overall(), Violated, "a wanted violation was missed");
    assert_eq!(Run::quiet().expect(loss, None, Violated).overall(), Inconclusive);
    assert_eq!(Run::good().expect("dataverse.replication.lag", None, Held).overall(), Held, "reported is enough");
    let mut tampered = Run::quiet().expect("integrity.corrupt", None, Violated);
    tampered.measures.findings.push(finding(Integrity::Corrupt));
    assert_eq!(tampered.overall(), Held);
    tampered.measures.findings.push(finding(Integrity::Torn));
    let (verdict, reasons) = overall(&tampered.judge(), &[]);
    assert_eq!(verdict, Violated);
    assert_eq!(reasons.len(), 1, "{reasons:?}");
}

proptest! {
    #[test]
    fn every_guarantee_of_the_products_is_judged_once_for_each_environment_and_event(
        keep in proptest::collection::vec(any::<bool>(), 4),
        kinds in proptest::collection::vec(0_u8..3, 4),
        spoilt in any::<bool>(),
        products in 1_usize..3,
    ) {
        let mut run = Run::good();
        for (event, kind) in run.measures.events.iter_mut().zip(&kinds) {
            event.kind = event.kind.and([None, Some(SwitchKind::Unplanned), Some(SwitchKind::Planned)][usize::from(*kind)].map(EventKind::Switch));
        }
        let mut kept = keep.iter();
        run.measures.events.retain(|_| kept.next().is_some_and(|keep| *keep));
        run.plan.environments.truncate(products);
        if spoilt {
            run.happened(15.0, What::Problem("x".to_owned()));
        }
        let judged = run.judge();
        let mut seen = BTreeSet::new();
        for judgement in &judged {
            prop_assert!(
                seen.insert((judgement.id.clone(), judgement.environment.clone(), judgement.event.clone())),
                "twice: {judgement:?}"
            );
            prop_assert!(judgement.verdict != Held || judgement.why.is_none());
        }
        for promise in promises() {
            let of_run = promise.product().is_none_or(|product| {
                run.plan.environments.iter().any(|environment| environment.kind.product() == product)
            });
            let rows: Vec<_> = judged.iter().filter(|judgement| judgement.id == promise.id).collect();
            prop_assert_eq!(of_run, !rows.is_empty(), "{}", promise.id);
            for (index, environment) in run.plan.environments.iter().enumerate() {
                if !promise.kinds.contains(&environment.kind) {
                    continue;
                }
                let index = EnvironmentIndex(u16::try_from(index).unwrap());
                let events = run.measures.events.iter().filter(|event| event.environment == index);
                let events: Vec<_> =
                    events.filter(|event| promise.event().is_some() && event.kind == promise.event()).collect();
                let of = rows.iter().filter(|row| row.environment.as_deref() == Some(environment.id.as_str()));
                let of: Vec<_> = of.collect();
                for event in &events {
                    prop_assert!(of.iter().any(|row| row.event.as_ref() == Some(&event.id)));
                }
                prop_assert!(!of.is_empty());
                prop_assert!(of.iter().all(|row| row.event.is_some() || events.is_empty()));
            }
            if promise.rule.is_none() {
                prop_assert!(rows.iter().all(|row| row.verdict == Inconclusive));
            }
        }
    }
}

/// A zone is lost at 10 s and nothing is switched, in a run of three zones.
fn zone_lost(how: Option<OutageHow>, bend: impl FnOnce(&mut Run)) -> Run {
    let mut run = Run::good();
    run.plan.regions.zones = 3;
    let (region, zone) = ("east".parse().unwrap(), Zone(1));
    let fault = match how {
        Some(how) => Fault::ZoneOutage { region, zone, how },
        None => Fault::ZoneIsolate { region, zone },
    };
    for event in &mut run.events {
        if let What::Fault(record) = &mut event.what {
            (record.fault, record.step) = (fault.clone(), "lost".to_owned());
        }
    }
    for event in run.measures.events.iter_mut().filter(|event| event.kind.is_some()) {
        (event.id, event.kind) = ("lost".to_owned(), Some(EventKind::Zone));
        (event.switched, event.to, event.moved) = (None, None, Some(at(13.0)));
        event.recovery_point = RecoveryPoint::default();
    }
    bend(&mut run);
    run
}

#[test]
fn a_zone_is_lost_without_loss_and_without_a_stall_past_the_objective_of_its_kind() {
    let id = "dataverse.zone.availability";
    let check = |how, expected: Verdict, bend: fn(&mut Run)| {
        let judged = zone_lost(how, bend).judged(id);
        assert_eq!((judged.verdict, judged.event.as_deref()), (expected, Some("lost")), "{judged:?}");
        judged
    };
    let stall = |run: &mut Run| run.failover().interruption.files_read = Some(Gap { seconds: 6.0, ..Gap::default() });
    let kill = Some(OutageHow::Kill);
    let judged = check(kill, Held, |_| {});
    assert_eq!((judged.tested, judged.measured, judged.count), (Some(5.0), Some(3.1), Some(0)));
    assert_eq!((judged.documented, judged.stressed), (None, None));
    check(kill, Violated, stall);
    // Who falls silent is waited for.
    check(Some(OutageHow::Freeze), Held, stall);
    assert_eq!(check(None, Held, stall).tested, Some(30.0));
    check(kill, Violated, |run| run.failover().recovery_point.operations = 1);
    check(kill, Inconclusive, |run| run.failover().unobserved = Some("a store is down".to_owned()));
    check(kill, Inconclusive, |run| run.failover().acked_before = 99);
    check(kill, Inconclusive, |run| {
        run.failover().interruption.sql_write = Some(Gap { seconds: 2.0, censored: true, examiner_stalled: false });
    });
    check(kill, Inconclusive, |run| {
        for event in &mut run.events {
            if let What::Fault(record) = &mut event.what {
                (record.effective, record.unproven) = (None, true);
            }
        }
    });
    // A loss stands, whatever else is not known.
    check(kill, Violated, |run| {
        run.failover().acked_before = 0;
        run.failover().recovery_point.operations = 1;
    });
    let tightened = zone_lost(kill, |_| {}).expect(id, Some(2.0), Violated);
    assert_eq!(tightened.verdict(id), Violated);
    assert_eq!(Run::good().verdict(id), Inconclusive, "no zone was lost");
}

#[test]
fn a_zone_that_is_lost_is_no_switch() {
    let run = zone_lost(Some(OutageHow::Kill), |_| {});
    for id in ["dataverse.unplanned.switched", "dataverse.unplanned.declared", "dataverse.unplanned.loss"] {
        let judged = run.judged(id);
        assert_eq!((judged.verdict, judged.event), (Inconclusive, None), "{id}: {:?}", judged.why);
    }
    let counted = run.expect("switches", Some(0.0), Held).expect("interruption", Some(5.0), Held);
    assert_eq!((counted.verdict("switches"), counted.verdict("interruption")), (Held, Held));
}
