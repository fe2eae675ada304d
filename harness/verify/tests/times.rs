//! Interruption, phases, rates and lag, on histories made by hand.

use std::time::Duration;

use super::world::*;
use crate::{
    model::{
        PlatformEvent, SwitchKind,
        event::What,
        fault::{Fault, FaultRecord},
        measure::{Gap, Integrity},
        operation::*,
    },
    verify::interruption::{Probe, Window, interruption},
};

/// Probes every 50 ms, answered 5 ms later, but for those whose number `fails`.
fn probes(until: u64, fails: impl Fn(u64) -> bool) -> Vec<Probe> {
    let probe = |sent: u64| {
        let succeeded = (!fails(sent)).then(|| ms(sent + 5));
        Probe { sent: ms(sent), answered: ms(sent + 5), succeeded }
    };
    (0..until).step_by(50).map(probe).collect()
}

fn gap(probes: &[Probe], from: u64, until: u64, stalls: &[(u64, u64)]) -> Option<Gap> {
    let window = |(from, until)| Window { from: ms(from), until: ms(until) };
    let stalls: Vec<Window> = stalls.iter().copied().map(window).collect();
    interruption(probes, window((from, until)), Duration::from_millis(250), &stalls)
}

fn seconds(probes: &[Probe], from: u64, until: u64) -> (u64, bool) {
    let gap = gap(probes, from, until, &[]).unwrap();
    ((gap.seconds * 1000.0).round() as u64, gap.censored)
}

#[test]
fn no_failure_is_no_interruption() {
    assert_eq!(seconds(&probes(5000, |_| false), 0, 5000), (0, false));
    assert_eq!(gap(&[], 0, 5000, &[]), None);
}

#[test]
fn from_the_last_answer_before_to_the_first_of_five_after() {
    // The last answer before comes at 1955, the first one after at 3005.
    assert_eq!(seconds(&probes(8000, |at| (2000..3000).contains(&at)), 0, 8000), (1050, false));
    // The fault may lie between the last answer and the first failure.
    assert_eq!(seconds(&probes(8000, |at| (2000..3000).contains(&at)), 1990, 8000), (1050, false));
    // One failed probe.
    assert_eq!(seconds(&probes(8000, |at| at == 2000), 0, 8000), (100, false));
}

#[test]
fn of_probes_that_waited_the_one_that_is_answered_first_ends_it() {
    let mut waited = probes(8000, |_| false);
    // Sent from 2000 on, and all answered after 3000, the last of them first.
    for (place, probe) in waited.iter_mut().filter(|probe| (ms(2000)..ms(2200)).contains(&probe.sent)).enumerate() {
        let at = ms(3060 - 20 * place as u64);
        (probe.succeeded, probe.answered) = (Some(at), at);
    }
    waited.retain(|probe| probe.sent < ms(2200) || probe.sent >= ms(3000));
    assert_eq!(seconds(&waited, 0, 8000), (1045, false));
}

#[test]
fn fewer_than_five_answers_in_a_row_are_no_recovery() {
    let four = |at: u64| (2000..4000).contains(&at) && !(3000..3200).contains(&at);
    assert_eq!(seconds(&probes(8000, four), 0, 8000), (2050, false));
    let five = |at: u64| (2000..4000).contains(&at) && !(3000..3250).contains(&at);
    assert_eq!(seconds(&probes(8000, five), 0, 8000), (1050, false), "the gap after is below a second");
}

#[test]
fn flapping_cannot_hide() {
    let flaps = |at: u64| (2000..3000).contains(&at) || (4000..5200).contains(&at);
    assert_eq!(seconds(&probes(8000, flaps), 0, 8000), (3250, false), "until nothing longer than a second follows");
    // The second failure belongs to the next event's window.
    assert_eq!(seconds(&probes(8000, flaps), 0, 3900), (1050, false));
    let for_ever = |at: u64| at >= 2000 && at.is_multiple_of(200);
    assert_eq!(seconds(&probes(8000, for_ever), 0, 8000), (8000 - 1955, true), "never five in a row");
}

#[test]
fn a_run_that_ends_before_recovery_is_censored() {
    assert_eq!(seconds(&probes(8000, |at| at >= 2000), 0, 8000), (8000 - 1955, true));
    assert_eq!(seconds(&probes(8000, |at| (2000..7900).contains(&at)), 0, 8000), (8000 - 1955, true), "two answers");
    // Probes that were never answered, and none sent after.
    let silent: Vec<Probe> = probes(2000, |_| false)
        .into_iter()
        .chain([Probe { sent: ms(2000), answered: ms(u64::MAX / 1_000_000), succeeded: None }])
        .collect();
    assert_eq!(seconds(&silent, 0, 4000), (4000 - 1955, true));
    assert_eq!(seconds(&silent, 0, 2100), (0, false), "it has not failed yet");
}

#[test]
fn an_overdue_answer_is_an_interruption_and_jitter_is_not() {
    let mut late = probes(8000, |_| false);
    late[40].succeeded = Some(ms(2200));
    assert_eq!(seconds(&late, 0, 8000).0, 0);
    let mut frozen: Vec<Probe> = probes(8000, |_| false);
    for probe in frozen.iter_mut().filter(|probe| (2000..2700).contains(&(probe.sent.0 / 1_000_000))) {
        (probe.answered, probe.succeeded) = (ms(2710), Some(ms(2710)));
    }
    assert_eq!(seconds(&frozen, 0, 8000), (2710 - 1955, false));
}

#[test]
fn a_gap_that_overlaps_a_stall_of_the_examiner_is_marked() {
    let probes = probes(8000, |at| (2000..3000).contains(&at));
    let stalled = |stall| gap(&probes, 0, 8000, &[stall]).unwrap().examiner_stalled;
    assert!(stalled((2500, 2600)));
    assert!(stalled((1000, 1960)));
    assert!(!stalled((1000, 1900)));
    assert!(!stalled((3100, 3200)));
    // The examiner sent nothing for two seconds: a silence, and its own.
    let silent: Vec<Probe> =
        probes.iter().copied().filter(|p| !(1900..4100).contains(&(p.sent.0 / 1_000_000))).collect();
    let gap = gap(&silent, 0, 8000, &[(1900, 4100)]).unwrap();
    assert!(gap.examiner_stalled && gap.seconds > 2.0 && !gap.censored, "{gap:?}");
}

fn probe(world: &mut World, connection: Connection, at: u64, answer: Answer, side: u8) {
    let (now, served) = (world.now, world.side);
    (world.now, world.side) = (at, side);
    let token = world.token(if connection == Connection::Fresh { 50 } else { 51 });
    let lane = Lane::Probe { store: Store::Sql, access: Access::Write, connection };
    let key = format!("probe-{token}").into();
    world.operation(
        Intent {
            token,
            environment: EnvironmentIndex(0),
            sent: ms(at),
            kind: OpKind::Create,
            lane,
            key,
            contended: false,
            file: None,
            transfer: None,
        },
        answer,
    );
    (world.now, world.side) = (now, served);
}

/// A failover at 2000 ms; probes of both kinds of connection are answered by the new side from `fresh` and `long` on.
fn probed(fresh: u64, long: u64, zombies: bool) -> World {
    let mut world = World::new();
    for at in (0..6000).step_by(50) {
        for (connection, back) in [(Connection::Fresh, fresh), (Connection::LongLived, long)] {
            let (side, answer) = match at {
                0..2000 => (0, Answer::Ok),
                at if at >= back => (1, Answer::Ok),
                _ if zombies && connection == Connection::LongLived && at > fresh => (0, Answer::Ok),
                _ => (0, Answer::Fail),
            };
            probe(&mut world, connection, at, answer, side);
        }
        if at == 2000 {
            world.now = 2000;
            world.fail_over("failover-1", 0, 0);
        }
    }
    world.now = 6000;
    world.side = 1;
    world
}

#[test]
fn the_worse_of_fresh_and_long_lived_connections_counts() {
    let mut world = probed(2500, 3500, false);
    world.event(What::ExaminerStalled { seconds: 0.1 });
    let measures = world.finish().verify();
    let switch = event(&measures, "failover-1");
    let gap = switch.interruption.sql_write.clone().unwrap();
    assert!((gap.seconds - 1.55).abs() < 1e-9 && !gap.censored && !gap.examiner_stalled, "{gap:?}");
    assert_eq!(switch.interruption.sql_read, None);
    assert_eq!(switch.interruption.resolution_s, 0.05);
    assert_eq!(switch.switched, Some(ms(2502)));
    // Before the switch there was none.
    assert_eq!(event(&measures, "end").interruption.sql_write, Some(Gap::default()));
}

#[test]
fn a_zombie_never_ends_an_interruption() {
    let measures = probed(2500, 3500, true).finish().verify();
    let switch = event(&measures, "failover-1");
    let gap = switch.interruption.sql_write.clone().unwrap();
    assert!((gap.seconds - 1.55).abs() < 1e-9, "{gap:?}");
    assert_eq!(found(&measures, Integrity::SplitBrain), switch.sql.zombie);
    assert_eq!(switch.sql.zombie, 19);
}

#[test]
fn acknowledgements_before_a_fault_are_counted() {
    let measures = probed(2500, 2500, false).finish().verify();
    assert_eq!(event(&measures, "failover-1").acked_before, 80);
    assert_eq!(event(&measures, "end").acked_before, 180);
}

fn claim(world: &mut World, heard: u64, name: &str, at_ms: u64) {
    world.now = heard;
    let environment = name.starts_with("failover.").then(|| "sales".parse().unwrap());
    let (operation, region, epoch) = (None, None, None);
    let (number, detail) = (at_ms, String::new());
    let name = name.into();
    world.event(What::Claim(PlatformEvent { number, at_ms, name, operation, region, environment, epoch, detail }));
}

#[test]
fn the_parts_of_a_failover_sum_to_the_whole() {
    let mut world = World::new();
    world.write(1, OpKind::Create, "a", false, Answer::Ok);
    world.now = 1000;
    let (environment, cause) = (EnvironmentIndex(0), ms(1000));
    // The platform's clock began 7000 ms before ours; claims reach us 1 to 40 ms late.
    claim(&mut world, 1301, "region.suspected", 8300);
    claim(&mut world, 1440, "region.declared", 8400);
    world.event(What::SwitchBegan { event: "failover-1".into(), kind: SwitchKind::Unplanned, environment, cause });
    claim(&mut world, 1460, "failover.notified", 8420);
    claim(&mut world, 1540, "failover.fenced", 8500);
    claim(&mut world, 1640, "failover.promoted", 8600);
    claim(&mut world, 1700, "failover.routed", 8660);
    world.now = 1668;
    world.side = 1;
    world.write(2, OpKind::Create, "b", false, Answer::Ok);
    world.observe("failover-1");
    let measures = world.finish().verify();
    let phases = &event(&measures, "failover-1").phases;
    let told: Vec<(&str, u64, bool)> =
        phases.iter().map(|phase| (&*phase.name, (phase.seconds * 1000.0).round() as u64, phase.claim)).collect();
    let expected = [
        ("suspected", 301, true),
        ("declared", 100, true),
        ("noticed", 20, true),
        ("fenced", 80, true),
        ("promoted", 100, true),
        ("routed", 60, true),
        ("first_ack", 9, false),
    ];
    assert_eq!(told, expected);
    let sum: f64 = phases.iter().map(|phase| phase.seconds).sum();
    assert!((sum - 0.670).abs() < 1e-9);
}

/// The proof of a fault may take longer than the platform's answer to it.
#[test]
fn the_cause_of_an_unplanned_switch_is_the_fault_in_force_when_it_began() {
    let fault = |step: &str, requested: u64, effective: u64, healed: Option<u64>| {
        What::Fault(FaultRecord {
            step: step.into(),
            fault: Fault::RegionOutage { region: "east".parse().unwrap() },
            requested: ms(requested),
            effective: Some(ms(effective)),
            proof: String::new(),
            healed: healed.map(ms),
            healing: None,
            unproven: false,
        })
    };
    let began = |faults: &[What]| {
        let mut world = World::new();
        world.write(1, OpKind::Create, "a", false, Answer::Ok);
        world.now = 1000;
        world.fail_over("failover-1", 0, 0);
        // Said only now that they are proven.
        faults.iter().for_each(|fault| world.event(fault.clone()));
        world.observe("failover-1");
        event(&world.finish().verify(), "failover-1").began
    };
    assert_eq!(began(&[]), ms(1000), "what the examiner took for it then");
    assert_eq!(began(&[fault("held", 300, 310, None), fault("outage", 700, 900, None)]), ms(900));
    assert_eq!(began(&[fault("outage", 700, 1200, None)]), ms(700), "the deed was not done by then");
    assert_eq!(began(&[fault("outage", 700, 800, None), fault("later", 1100, 1200, None)]), ms(800));
    assert_eq!(began(&[fault("outage", 700, 800, None), fault("over", 810, 820, Some(900))]), ms(800));
}

#[test]
fn claims_outside_what_was_measured_are_cut_to_it() {
    let mut world = World::new();
    world.write(1, OpKind::Create, "a", false, Answer::Ok);
    world.now = 1000;
    world.fail_over("failover-1", 0, 0);
    claim(&mut world, 1100, "failover.routed", 1);
    claim(&mut world, 1050, "failover.promoted", 9_000_000);
    world.now = 1200;
    world.write(2, OpKind::Create, "b", false, Answer::Ok);
    let measures = world.finish().verify();
    let phases = &event(&measures, "failover-1").phases;
    assert!(phases.iter().all(|phase| phase.seconds >= 0.0), "{phases:?}");
    let sum: f64 = phases.iter().map(|phase| phase.seconds).sum();
    assert!((sum - 0.202).abs() < 1e-9, "{phases:?}");
}

fn write(world: &mut World, at: u64) {
    world.now = at;
    world.write(1, OpKind::Create, &format!("k{at}"), false, Answer::Ok);
}

/// A hundred writes a second until a failover at six seconds.
fn failed_over_at_6_s() -> World {
    let mut world = World::new();
    (0..6000).step_by(10).for_each(|at| write(&mut world, at));
    world.now = 6000;
    world.fail_over("failover-1", 0, 0);
    world
}

#[test]
fn back_to_rate_is_the_first_second_that_carries_what_was_carried_before() {
    // 100 a second before; 20 a second for one second after the switch; then 100 again.
    let mut world = failed_over_at_6_s();
    (7000..8000).step_by(50).for_each(|at| write(&mut world, at));
    (8000..12000).step_by(10).for_each(|at| write(&mut world, at));
    let measures = world.finish().verify();
    let switch = event(&measures, "failover-1");
    assert_eq!(switch.acked_before, 500);
    let back = switch.back_to_rate_s.unwrap();
    assert!((0.9..1.01).contains(&back), "{back}");
    let served = switch.served.expect("there are five seconds before it and three after");
    assert!((served.before.acked_per_s - 100.0).abs() < 1.0, "{served:?}");
    assert!((served.after.acked_per_s - 100.0).abs() < 1.0, "{served:?}");
}

#[test]
fn what_a_side_serves_that_cannot_carry_the_load_is_its_best_stretch_and_no_short_one_is_told() {
    let mut world = failed_over_at_6_s();
    (7000..9000).step_by(50).for_each(|at| write(&mut world, at));
    (9000..13_000).step_by(25).for_each(|at| write(&mut world, at));
    world.now = 13_000;
    world.fail_over("failover-2", 0, 1);
    (13_500..15_000).step_by(10).for_each(|at| write(&mut world, at));
    let measures = world.finish().verify();
    let served = event(&measures, "failover-1").served.expect("long enough");
    assert!((served.after.acked_per_s - 40.0).abs() < 1.0, "{served:?}");
    assert!(served.after.p99_s.is_some_and(|p99| p99 < 0.1), "{served:?}");
    assert_eq!(event(&measures, "failover-2").served, None, "less than three seconds after it");
}

#[test]
fn lag_is_summed_up_while_a_replica_is_due_and_its_worst_before_a_fault_is_the_dose() {
    let mut world = World::new();
    world.write(1, OpKind::Create, "a", false, Answer::Ok);
    let sample = |world: &mut World, at: u64, sql_s: Option<f64>, due: bool| {
        world.now = at;
        world.event(What::Lag { environment: EnvironmentIndex(0), sql_s, files_s: None, files_missing: None, due });
    };
    for number in 1..=100 {
        sample(&mut world, number * 100, Some(number as f64 / 100.0), true);
    }
    sample(&mut world, 10_100, Some(90.0), false);
    world.now = 10_150;
    world.fail_over("failover-1", 0, 0);
    sample(&mut world, 10_200, Some(70.0), false);
    let measures = world.finish().verify();
    assert_eq!(measures.lags.len(), 1);
    let lag = &measures.lags[0];
    assert_eq!((lag.samples, lag.p50_s, lag.p99_s, lag.max_s), (100, 0.5, 0.99, 1.0));
    assert!((lag.error_s - 0.15).abs() < 1e-9);
    assert_eq!(event(&measures, "failover-1").dose_s, Some(90.0));
    assert_eq!(event(&measures, "end").dose_s, None);
}

#[test]
fn the_dose_of_a_lag_is_what_a_narrow_link_does_not_carry_for_as_long_as_it_is_narrow() {
    let dose = |narrow: bool, lag_s: &dyn Fn(u64) -> f64| {
        let mut world = World::new();
        let link = "east -> west / sql".parse().unwrap();
        let [from, until] = [ms(5_000), ms(25_000)];
        // Ten a second; held off from 10 s to 25 s, though all there was is on the other side at 15 s.
        for at in (100..30_000).step_by(100) {
            world.now = at;
            if !(10_000..25_000).contains(&at) {
                world.write(1, OpKind::Create, &format!("k{at}"), false, Answer::Ok);
            }
            if at % 250 == 0 {
                let (environment, sql_s) = (EnvironmentIndex(0), Some(lag_s(at)));
                world.event(What::Lag { environment, sql_s, files_s: None, files_missing: None, due: true });
            }
        }
        if narrow {
            world.event(What::Fault(FaultRecord {
                step: "narrow".into(),
                fault: Fault::LinkBandwidth { link, rate_kib: 20 },
                requested: from,
                effective: Some(from),
                proof: String::new(),
                healed: Some(until),
                healing: None,
                unproven: false,
            }));
        }
        world.finish().verify().lags[0].unguarded_s
    };
    // Five seconds' load were carried in ten: half of twenty, and a little less, since what is within the error is not counted.
    let behind = |at| if (5_000..15_000).contains(&at) { (at - 5_000) as f64 / 2_000.0 } else { 0.0 };
    assert!((7.5..=10.0).contains(&dose(true, &behind)), "{}", dose(true, &behind));
    assert!((dose(false, &behind) - 4.9).abs() < 0.3, "no more than it was: {}", dose(false, &behind));
    assert!(dose(true, &|_| 0.0) < 1e-9, "never behind, so it carried all there was");
    // Half of what was carried was still on its way at the end.
    let backlog = |at| if (5_000..25_000).contains(&at) { (at - 5_000) as f64 * 0.75 / 1_000.0 } else { 0.0 };
    assert!((14.0..=15.1).contains(&dose(true, &backlog)), "{}", dose(true, &backlog));
}
