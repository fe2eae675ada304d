//! From a run's folder to its report: verification, verdicts, `report.json`. It reads nothing but the folder, so any
//! finished run can be judged again.

use std::{io, path::Path};

use super::{
    folder::{Layout, RunFile},
    recorder, salvages,
};
use crate::{
    guarantee, ledger,
    model::measure::Measures,
    os::files,
    report::{Report, RunInfo},
    verify, workload,
};

/// Judges the run in this folder and writes its report there.
///
/// # Errors
/// A folder that is no run's, or that is damaged.
pub fn judge(folder: &Path) -> io::Result<(Report, Measures)> {
    let (report, measures) = examine(folder)?;
    files::write_json(&Layout::new(folder).report(), &report)?;
    Ok((report, measures))
}

/// Judges the run in this folder and changes nothing in it.
///
/// # Errors
/// As [`judge`].
pub fn examine(folder: &Path) -> io::Result<(Report, Measures)> {
    let layout = Layout::new(folder);
    let run: RunFile = files::read_json(&layout.run())?;
    let events = recorder::read(&layout.events())?;
    let observations = ledger::Shelf::open(&layout.reads()).map_err(io::Error::other)?;
    let salvages = salvages::read_all(&layout.evidence())?;
    let environments: Vec<_> = run.plan.environments.iter().map(|environment| environment.id.clone()).collect();
    let measures = std::thread::scope(|scope| {
        let finals = scope.spawn(|| verify::Finals::of(environments.len(), &events, &observations));
        let history = ledger::read(&layout.ledger()).map_err(io::Error::other)?;
        let input = verify::Input {
            run: run.run,
            environments: &environments,
            history: &history,
            events: &events,
            observations: &observations,
            salvages: &salvages,
            probe_period: run.plan.workload.probe_period,
            deadline: run.plan.workload.deadline,
            account_balance: workload::schedule::ACCOUNT_BALANCE,
            end: run.ended,
        };
        // Its panic is ours.
        let finals = || finals.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        Ok::<_, io::Error>(verify::verify(&input, finals))
    })?;
    observations.check().map_err(io::Error::other)?;
    let judgements = guarantee::judge(&guarantee::Evidence { plan: &run.plan, measures: &measures, events: &events });
    let overall = guarantee::overall(&judgements, &events);
    let info = RunInfo {
        seed: run.seed,
        testbed: run.testbed,
        versions: run.versions,
        started_at: run.started,
        folder: folder.display().to_string(),
    };
    let report = Report::new(&run.plan, &measures, &events, &judgements, &overall, info);
    Ok((report, measures))
}
