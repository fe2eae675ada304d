//! Interruption: how long probes of one kind of access had no answer.

use std::time::Duration;

use super::{input::Input, timeline::Switch};
use crate::model::{
    RunTime,
    event::What,
    measure::{Gap, Interruptions},
    operation::{Access, Connection, EnvironmentIndex, Lane, Side, Store, Told},
};

/// No gap between answers may be longer for service to count as back.
const GAP_MAX: Duration = Duration::from_secs(1);

/// Answers in a row that service must give to count as back.
const SUCCESSES: usize = 5;

/// A probe is overdue once this many others were due behind it without its answer; one late by less is jitter.
const OVERDUE_PERIODS: u32 = 5;

/// One probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Probe {
    pub sent: RunTime,
    /// When the last word of it came; the end of time if none did.
    pub answered: RunTime,
    /// When it succeeded.
    pub succeeded: Option<RunTime>,
}

/// The time that belongs to one event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Window {
    pub from: RunTime,
    pub until: RunTime,
}

/// The probes of one kind of access over one kind of connection, in the order of sending, each with the side that
/// answered.
struct ProbeLane {
    what: (Store, Access, Connection),
    probes: Vec<(Probe, Option<Side>)>,
}

/// The probes of an environment.
pub(super) struct Probes {
    lanes: Vec<ProbeLane>,
    /// The last sign of any probe.
    end: RunTime,
    stalls: Vec<Window>,
    overdue: Duration,
    period: Duration,
    /// When each fault's deed was done, and when it was asked for: what failed in between failed of it.
    faults: Vec<(RunTime, RunTime)>,
}

impl Probes {
    pub fn new(input: &Input<'_>, environment: EnvironmentIndex) -> Self {
        let mut lanes: Vec<ProbeLane> = Vec::new();
        let mut end = RunTime::ZERO;
        for (intent, outcome) in input.history.operations().filter(|(intent, _)| intent.environment == environment) {
            let Lane::Probe { store, access, connection } = intent.lane else { continue };
            let by_object = store == Store::Files && access == Access::Write;
            let side = outcome.and_then(|outcome| match outcome.told {
                Told::Ok { side, .. } => side,
                _ => None,
            });
            let succeeded = outcome.and_then(|outcome| match (&outcome.file_acked, by_object) {
                (Some(acked), true) => Some(acked.at),
                (_, false) if outcome.told.is_ok() => Some(outcome.at),
                _ => None,
            });
            let answered = outcome.map_or(RunTime(u64::MAX), |outcome| outcome.at);
            end = end.max(intent.sent).max(outcome.map_or(RunTime::ZERO, |outcome| outcome.at));
            let probe = (Probe { sent: intent.sent, answered, succeeded }, side);
            let what = (store, access, connection);
            match lanes.iter_mut().find(|lane| lane.what == what) {
                Some(lane) => lane.probes.push(probe),
                None => lanes.push(ProbeLane { what, probes: vec![probe] }),
            }
        }
        lanes.iter_mut().for_each(|lane| lane.probes.sort_by_key(|(probe, _)| probe.sent));
        let overdue = (input.probe_period * OVERDUE_PERIODS).min(GAP_MAX).min(input.deadline);
        Self { lanes, end, stalls: stalls(input), overdue, period: input.probe_period, faults: faults(input) }
    }

    /// The period of the slowest lane, as it was sent: a fresh connection is dearer, and not opened as often as a kept one is
    /// used.
    fn resolution(&self) -> Duration {
        let usual = |lane: &ProbeLane| {
            let mut between: Vec<Duration> =
                lane.probes.windows(2).map(|pair| pair[1].0.sent.since(pair[0].0.sent)).collect();
            between.sort_unstable();
            between.get(between.len() / 2).copied()
        };
        self.lanes.iter().filter_map(usual).fold(self.period, Duration::max)
    }

    /// When the fault was asked for whose deed was done then; that moment itself if it was no fault's.
    fn asked_for(&self, done: RunTime) -> RunTime {
        self.faults.iter().find(|(effective, _)| *effective == done).map_or(done, |(_, requested)| *requested)
    }

    /// The interruptions of one event; the worse of fresh and long-lived connections counts.
    pub fn interruptions(&self, switch: &Switch, switches: &[Switch]) -> Interruptions {
        let from = if switch.kind.is_some() { switch.began } else { RunTime::ZERO };
        let until = match switches.first() {
            // The end speaks of the time that no switch speaks of: before the first.
            Some(first) if switch.kind.is_none() && first.kind.is_some() => self.asked_for(first.began),
            _ => switch.until,
        };
        let window = Window { from, until: until.min(self.end) };
        let worst = |store, access| {
            let mut worst: Option<Gap> = None;
            for lane in &self.lanes {
                if (lane.what.0, lane.what.1) == (store, access) {
                    let probes = living(&lane.probes, switch);
                    if let Some(gap) = interruption(&probes, window, self.overdue, &self.stalls) {
                        worst = Some(worst.map_or(gap.clone(), |worst| worse(worst, gap)));
                    }
                }
            }
            worst
        };
        Interruptions {
            sql_write: worst(Store::Sql, Access::Write),
            sql_read: worst(Store::Sql, Access::Read),
            files_write: worst(Store::Files, Access::Write),
            files_read: worst(Store::Files, Access::Read),
            resolution_s: self.resolution().as_secs_f64(),
        }
    }
}

/// An answer of the old side to a probe that was sent after the new side had answered never ends an interruption.
fn living(probes: &[(Probe, Option<Side>)], switch: &Switch) -> Vec<Probe> {
    let is_zombie = |probe: &Probe, side: &Option<Side>| {
        side.is_some()
            && *side == switch.from
            && switch.switched.is_some_and(|switched| probe.sent > switched)
            && probe.answered < switch.back
    };
    let live = |(probe, side): &(Probe, Option<Side>)| Probe {
        succeeded: probe.succeeded.filter(|_| !is_zombie(probe, side)),
        ..*probe
    };
    probes.iter().map(live).collect()
}

fn worse(a: Gap, b: Gap) -> Gap {
    let censored = a.censored || b.censored;
    let longer = if b.seconds > a.seconds { b } else { a };
    Gap { censored, ..longer }
}

fn faults(input: &Input<'_>) -> Vec<(RunTime, RunTime)> {
    let done = input.events.iter().filter_map(|event| match &event.what {
        What::Fault(record) => Some((record.effective?, record.requested)),
        _ => None,
    });
    done.collect()
}

fn stalls(input: &Input<'_>) -> Vec<Window> {
    let stall = |seconds: f64, at: RunTime| {
        let length = Duration::try_from_secs_f64(seconds).unwrap_or_default();
        Window { from: RunTime(at.0.saturating_sub(RunTime::from_duration(length).0)), until: at }
    };
    let stalled = input.events.iter().filter_map(|event| match event.what {
        What::ExaminerStalled { seconds } => Some(stall(seconds, event.at)),
        _ => None,
    });
    stalled.collect()
}

/// The interruption that one lane of probes, in the order of sending, saw in the window; `None` if it has none there.
pub(super) fn interruption(probes: &[Probe], window: Window, overdue: Duration, stalls: &[Window]) -> Option<Gap> {
    let mut successes: Vec<RunTime> = probes.iter().filter_map(|probe| probe.succeeded).collect();
    successes.retain(|at| *at <= window.until);
    successes.sort_unstable();
    let sent = |probe: &&Probe| probe.sent <= window.until && probe.answered >= window.from;
    let probes: Vec<Probe> = probes.iter().filter(sent).copied().collect();
    if probes.is_empty() {
        return None;
    }
    // Of what came before the window, the last success alone: an interruption begins at it.
    let before = successes.partition_point(|at| *at < window.from).saturating_sub(1);
    let successes = &successes[before..];
    let Some(start) = start(&probes, successes, window, overdue) else { return Some(Gap::default()) };
    let end = recovery(&probes, successes, start, window);
    let until = end.unwrap_or(window.until);
    let examiner_stalled = stalls.iter().any(|stall| stall.from < until && stall.until > start);
    Some(Gap { seconds: until.since(start).as_secs_f64(), censored: end.is_none(), examiner_stalled })
}

/// The last success before the first probe that failed or was overdue, or before the first long silence.
fn start(probes: &[Probe], successes: &[RunTime], window: Window, overdue: Duration) -> Option<RunTime> {
    let is_bad = |probe: &&Probe| match probe.succeeded {
        Some(at) => at.since(probe.sent) > overdue,
        // One that was under way at the end of the window has not failed yet.
        None => probe.answered <= window.until || window.until.since(probe.sent) > overdue,
    };
    let bad = probes.iter().find(is_bad).map(|probe| {
        let before = successes.partition_point(|at| *at <= probe.sent);
        before.checked_sub(1).map_or(probe.sent.max(window.from).min(window.until), |last| successes[last])
    });
    let silent = successes.windows(2).find(|pair| pair[1].since(pair[0]) > GAP_MAX).map(|pair| pair[0]);
    let trailing = successes.last().copied().filter(|last| window.until.since(*last) > GAP_MAX);
    [bad, silent, trailing].into_iter().flatten().min()
}

/// The first of five successes in a row after which no gap above a second follows in the window.
fn recovery(probes: &[Probe], successes: &[RunTime], start: RunTime, window: Window) -> Option<RunTime> {
    if window.until.since(*successes.last()?) > GAP_MAX {
        return None;
    }
    let gaps = successes.windows(2).rposition(|pair| pair[1].since(pair[0]) > GAP_MAX);
    let steady = successes[gaps.map_or(0, |gap| gap + 1)];
    // Five that were sent in a row; those that had waited are not answered in that order.
    let is_back = |at: &RunTime| *at > start && *at >= steady && *at <= window.until;
    probes.windows(SUCCESSES).find_map(|five| {
        let answers: Option<Vec<RunTime>> = five.iter().map(|probe| probe.succeeded.filter(is_back)).collect();
        answers?.into_iter().min()
    })
}
