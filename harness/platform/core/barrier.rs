//! When an environment of a planned switch may stop its writes: not before every environment of the operation has passed
//! its preflight, and then a bounded number at once.

use super::{
    machine::Core,
    record::{Outcome, Step},
    state::{Operation, Task},
};
use crate::api::EnvironmentId;

impl Core {
    /// Whether it is this environment's turn.
    pub(super) fn may_stop(&self, id: &EnvironmentId, operation: u64) -> bool {
        let Some(entry) = self.state.operations.get(&operation) else { return false };
        let others = || self.steps(entry).filter(|(other, _)| *other != id);
        let all_passed = entry.begun || others().all(|(_, step)| *step == Step::Waiting || !step.is_harmless());
        let none_returns = entry.begun || others().all(|(_, step)| !step.is_return());
        let is_under_way = |step: &Step| !matches!(step, Step::Preflight | Step::Waiting) && !step.is_return();
        let under_way = others().filter(|(_, step)| is_under_way(step)).count();
        all_passed && none_returns && under_way < usize::from(self.settings.policy.at_once.max(1))
    }

    /// Why an environment that has not stopped goes no further: before the first stop the failure of one is that of all.
    pub(super) fn is_forsaken(&self, task: &Task) -> Option<String> {
        let entry = self.state.operations.get(&task.operation).filter(|entry| !entry.begun)?;
        let failed = entry
            .items
            .iter()
            .find(|item| matches!(item.outcome, Some(Outcome::Aborted | Outcome::Failed)) && task.step.is_harmless())?;
        let why = failed.why.as_deref().unwrap_or("no reason given");
        Some(format!("`{}` of the same operation has not passed ({why})", failed.environment))
    }

    /// The steps that environments of an operation are in.
    fn steps<'a>(&'a self, entry: &'a Operation) -> impl Iterator<Item = (&'a EnvironmentId, &'a Step)> {
        entry.items.iter().filter(|item| item.outcome.is_none()).filter_map(|item| {
            let task = self.state.environments.get(&item.environment)?.running()?;
            (task.operation == entry.id).then_some((&item.environment, &task.step))
        })
    }
}
