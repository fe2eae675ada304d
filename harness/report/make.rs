//! Plan, measures, events and judgements → the report.

use super::{
    claims,
    contract::{
        BooksRow, CONTRACT, EventKind, EventRow, FaultRow, FindingRow, GuaranteeRow, InterruptionRow, LagRow,
        RecoveryPointRow, RegionsRow, Report, SalvageRow, WithheldRow,
    },
    features,
};
use crate::{
    api::control::SwitchKind,
    model::{
        RunTime,
        event::{Event, What},
        fault::FaultRecord,
        measure::{self, EventMeasures, Gap, Interruptions, Measures},
        operation::EnvironmentIndex,
        plan::Plan,
        verdict::{Judgement, Verdict},
    },
};

/// What a report says of the run besides its results.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunInfo {
    /// The seed used.
    pub seed: u64,
    /// The testbed's name.
    pub testbed: String,
    /// Versions of everything that ran.
    pub versions: Vec<(String, String)>,
    /// When the run was started, for people.
    pub started_at: String,
    /// The run's folder.
    pub folder: String,
}

impl Report {
    /// The report of a run; `overall` as [`crate::guarantee::overall`] gives it.
    pub fn new(
        plan: &Plan,
        measures: &Measures,
        events: &[Event],
        judgements: &[Judgement],
        overall: &(Verdict, Vec<String>),
        info: RunInfo,
    ) -> Self {
        let name = |index: EnvironmentIndex| name(plan, index);
        let moments = claims::moments(plan, measures, events);
        Self {
            schema: CONTRACT.to_owned(),
            scenario: plan.name.clone(),
            about: plan.about.clone(),
            seed: info.seed,
            testbed: info.testbed,
            sabotage: plan.platform.sabotage(),
            started_at: info.started_at,
            folder: info.folder,
            versions: info.versions.into_iter().collect(),
            verdict: overall.0,
            reasons: overall.1.clone(),
            guarantees: judgements.iter().map(guarantee).collect(),
            events: measures.events.iter().map(|event| event_row(plan, event)).collect(),
            claim_errors: claims::errors(plan, measures, events, &moments),
            claims: moments,
            faults: faults(events),
            findings: measures
                .findings
                .iter()
                .map(|found| FindingRow {
                    id: found.id.id().to_owned(),
                    environment: name(found.environment),
                    event: found.event.clone(),
                    store: found.store,
                    count: found.count,
                    examples: found.examples.clone(),
                })
                .collect(),
            books: measures
                .books
                .iter()
                .map(|books| BooksRow {
                    environment: name(books.environment),
                    store: books.store,
                    balanced: books.balanced,
                    foreign: books.foreign,
                    why: books.why.clone(),
                })
                .collect(),
            lags: measures
                .lags
                .iter()
                .map(|lag| LagRow {
                    environment: name(lag.environment),
                    store: lag.store,
                    samples: lag.samples,
                    p50_s: lag.p50_s,
                    p99_s: lag.p99_s,
                    max_s: lag.max_s,
                    unguarded_s: lag.unguarded_s,
                    error_s: lag.error_s,
                })
                .collect(),
            regions: measures
                .regions
                .iter()
                .map(|compared| RegionsRow {
                    environment: name(compared.environment),
                    rows: compared.rows,
                    versions: compared.versions,
                    markers: compared.markers,
                    direction: compared.direction.clone(),
                    examples: compared.examples.clone(),
                    unread: compared.unread.clone(),
                })
                .collect(),
            withheld: withheld(plan, events),
            features: features::rows(plan, measures),
            problems: problems(events),
        }
    }
}

pub(super) fn name(plan: &Plan, index: EnvironmentIndex) -> String {
    plan.environments
        .get(usize::from(index.0))
        .map_or_else(|| format!("environment {}", index.0), |found| found.id.to_string())
}

fn guarantee(judged: &Judgement) -> GuaranteeRow {
    GuaranteeRow {
        id: judged.id.clone(),
        environment: judged.environment.clone(),
        event: judged.event.clone(),
        verdict: judged.verdict,
        stressed: judged.stressed,
        documented: judged.documented,
        tested: judged.tested,
        measured: judged.measured,
        count: judged.count,
        unit: judged.unit.clone(),
        why: judged.why.clone(),
        expected: judged.expected,
        wanted: judged.wanted,
    }
}

fn event_row(plan: &Plan, event: &EventMeasures) -> EventRow {
    let point = &event.recovery_point;
    EventRow {
        id: event.id.clone(),
        kind: match event.kind {
            Some(measure::EventKind::Switch(SwitchKind::Unplanned)) => EventKind::Unplanned,
            Some(measure::EventKind::Switch(SwitchKind::Planned)) => EventKind::Planned,
            Some(measure::EventKind::Switch(SwitchKind::Failback)) => EventKind::Failback,
            Some(measure::EventKind::Zone) => EventKind::Zone,
            None => EventKind::None,
        },
        environment: name(plan, event.environment),
        switched: event.switched.is_some(),
        aborted: event.aborted,
        began_s: event.began.seconds(),
        switched_s: event.switched.map(RunTime::seconds),
        moved_s: event.moved.map(RunTime::seconds),
        cut_s: event.cut.map(RunTime::seconds),
        unobserved: event.unobserved.clone(),
        recovery_point: RecoveryPointRow {
            age_s: point.age_s,
            sql_age_s: point.sql_age_s,
            files_age_s: point.files_age_s,
            tail_s: point.tail_s,
            in_doubt_age_s: point.in_doubt_age_s,
            operations: point.operations,
        },
        dose_s: event.dose_s,
        interruption: interruption(&event.interruption),
        sql: event.sql,
        files: event.files,
        dangling_marked: event.dangling_marked,
        dangling_unmarked: event.dangling_unmarked,
        dangling_left: event.dangling_left,
        salvage: event.salvage.as_ref().map(|salvage| SalvageRow {
            rows: salvage.rows,
            objects: salvage.objects,
            markers: salvage.markers,
            missing: salvage.missing,
            extra: salvage.extra,
            examples: salvage.examples.clone(),
        }),
        orphans: event.orphans,
        orphans_unexcused: event.orphans_unexcused,
        old_side: event.old_side,
        phases_s: event.phases.iter().map(|phase| (phase.name.clone(), phase.seconds)).collect(),
        claimed_phases: event.phases.iter().filter(|phase| phase.claim).map(|phase| phase.name.clone()).collect(),
        back_to_rate_s: event.back_to_rate_s,
        served: event.served,
    }
}

fn interruption(all: &Interruptions) -> InterruptionRow {
    let seconds = |gap: &Option<Gap>| gap.as_ref().map(|gap| gap.seconds);
    let named = |marked: fn(&Gap) -> bool| {
        let marked = all.each().into_iter().filter(|(_, gap)| gap.is_some_and(marked));
        marked.map(|(name, _)| name.to_owned()).collect()
    };
    InterruptionRow {
        sql_write_s: seconds(&all.sql_write),
        sql_read_s: seconds(&all.sql_read),
        files_write_s: seconds(&all.files_write),
        files_read_s: seconds(&all.files_read),
        resolution_s: all.resolution_s,
        censored: named(|gap| gap.censored),
        examiner_stalled: named(|gap| gap.examiner_stalled),
    }
}

/// The last record of every fault, in the order in which they were asked for.
fn faults(events: &[Event]) -> Vec<FaultRow> {
    let mut last: Vec<&FaultRecord> = Vec::new();
    for event in events {
        if let What::Fault(record) = &event.what {
            match last.iter_mut().find(|earlier| earlier.step == record.step) {
                Some(earlier) => *earlier = record,
                None => last.push(record),
            }
        }
    }
    last.into_iter()
        .map(|record| FaultRow {
            fault: record.fault.name().to_owned(),
            target: record.fault.to_string(),
            step: record.step.clone(),
            requested_s: record.requested.seconds(),
            effective_s: record.effective.map(RunTime::seconds),
            proof: record.proof.clone(),
            healed_s: record.healed.map(RunTime::seconds),
            healing: record.healing.clone(),
            unproven: record.unproven,
        })
        .collect()
}

fn withheld(plan: &Plan, events: &[Event]) -> Vec<WithheldRow> {
    let told = events.iter().filter_map(|event| match event.what {
        What::Withheld { environment, side, versions, waited_s } => Some(WithheldRow {
            environment: name(plan, environment),
            region: plan.regions.of(side).to_string(),
            at_s: event.at.seconds(),
            versions,
            waited_s,
        }),
        _ => None,
    });
    told.collect()
}

fn problems(events: &[Event]) -> Vec<String> {
    let told = events.iter().filter_map(|event| match &event.what {
        What::Problem(why) => Some(why.clone()),
        What::StepFailed { id, why } => Some(format!("step `{id}` failed: {why}")),
        What::CleanUpIncomplete(what) => Some(format!("clean-up is incomplete: {what}")),
        _ => None,
    });
    told.collect()
}
