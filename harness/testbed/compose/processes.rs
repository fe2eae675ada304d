//! Processes: a service's container is one, and a Postgres is one inside its node's container.

use std::collections::BTreeMap;

use nix::sys::signal::Signal;

use super::{
    inside::{Answer, Ask, Pair},
    testbed::{CONTAINERS, Compose},
};
use crate::{
    model::process::ProcessName,
    os::process::Identity,
    testbed::{
        contract::{Deed, Process, ProcessState, TestbedError},
        layout::hosts,
    },
};

impl Compose {
    /// The host of a process that is a container of its own, or the node's, for a cluster.
    pub(super) fn host_of(&self, name: &ProcessName) -> Result<String, TestbedError> {
        let unknown = || TestbedError::Unusable(format!("there is no process `{name}`"));
        match (name.site.as_str(), name.service.as_str()) {
            ("witness", "control") => Ok(hosts::CONTROL.to_owned()),
            ("edge", "edge") => Ok(hosts::EDGE.to_owned()),
            (site, service) => {
                let site = self.layout.own.keys().find(|own| own.name() == site).ok_or_else(unknown)?;
                match service {
                    "postgres" => Ok(hosts::of(site, "node")),
                    service if CONTAINERS.contains(&service) => Ok(hosts::of(site, service)),
                    _ => Err(unknown()),
                }
            }
        }
    }

    pub(super) async fn find(&self, name: &ProcessName) -> Result<Vec<Process>, TestbedError> {
        let container = self.project.container(&self.host_of(name)?);
        let Some((process, state)) = self.engine.running(&container).await? else { return Ok(Vec::new()) };
        if name.service != "postgres" {
            return Ok(vec![process]);
        }
        // Nothing can be asked in a container that is frozen, and nothing in it has ended.
        if state == ProcessState::Stopped {
            return Err(TestbedError::Failed(format!("{container} is paused: its processes cannot be seen")));
        }
        let ask = Ask::Processes { service: name.service.clone(), environment: name.environment.clone() };
        let site = self.site(&name.site);
        Ok(inside(&container, self.engine.ask(&container, &site, &ask).await?))
    }

    /// Asks about those of these processes that are inside containers, a container at a time. In one that is frozen nobody can be
    /// asked: all that is in it is as it was, and stopped.
    async fn ask_inside(
        &self,
        processes: &[Process],
        ask: impl Fn(Vec<Pair>) -> Ask,
    ) -> Result<Vec<(String, Vec<Pair>, Answer)>, TestbedError> {
        let mut by_container: BTreeMap<&String, Vec<Pair>> = BTreeMap::new();
        for process in processes {
            if let Process::Inside { container, identity } = process {
                by_container.entry(container).or_default().push((identity.pid, identity.start_ticks));
            }
        }
        let mut answers = Vec::new();
        for (container, pairs) in by_container {
            let answer = match (self.engine.running(container).await?, ask(pairs.clone())) {
                (Some((_, ProcessState::Stopped)), Ask::States(pairs)) => Answer::States(vec![Some('T'); pairs.len()]),
                (Some((_, ProcessState::Stopped)), Ask::Trees(pairs)) => Answer::Processes(pairs),
                (Some(_), ask) => self.engine.ask(container, "/", &ask).await?,
                // With its container everything in it has gone.
                (None, _) => Answer::States(vec![None; pairs.len()]),
            };
            answers.push((container.clone(), pairs, answer));
        }
        Ok(answers)
    }

    pub(super) async fn states_of(&self, processes: &[Process]) -> Result<Vec<ProcessState>, TestbedError> {
        let mut within: BTreeMap<Process, ProcessState> = BTreeMap::new();
        for (container, pairs, answer) in self.ask_inside(processes, Ask::States).await? {
            let Answer::States(letters) = answer else { continue };
            for ((pid, start_ticks), letter) in pairs.into_iter().zip(letters) {
                let identity = Identity { pid, start_ticks };
                let state = match letter {
                    None | Some('Z') => ProcessState::Gone,
                    Some('T' | 't') => ProcessState::Stopped,
                    Some(_) => ProcessState::Running,
                };
                within.insert(Process::Inside { container: container.clone(), identity }, state);
            }
        }
        let mut states = Vec::new();
        for process in processes {
            states.push(match process {
                Process::Container { name, .. } => match self.engine.running(name).await? {
                    Some((now, state)) if now == *process => state,
                    _ => ProcessState::Gone,
                },
                other => within.get(other).copied().unwrap_or(ProcessState::Gone),
            });
        }
        Ok(states)
    }

    pub(super) async fn do_to(&self, roots: &[Process], deed: Deed) -> Result<Vec<Process>, TestbedError> {
        let mut reached = Vec::new();
        for root in roots {
            let Process::Container { name, .. } = root else { continue };
            match deed {
                Deed::Kill => self.engine.kill(name).await?,
                Deed::Stop => self.engine.pause(name).await?,
                Deed::Continue => self.engine.unpause(name).await?,
            }
            reached.push(root.clone());
        }
        let signal = match deed {
            Deed::Kill => Signal::SIGKILL,
            Deed::Stop => Signal::SIGSTOP,
            Deed::Continue => Signal::SIGCONT,
        };
        // What befalls a container befalls all that is in it.
        let is_with_its_container = |process: &&Process| match process {
            Process::Inside { container, .. } => {
                roots.iter().any(|root| matches!(root, Process::Container { name, .. } if name == container))
            }
            _ => false,
        };
        let (with, alone): (Vec<&Process>, Vec<&Process>) = roots.iter().partition(is_with_its_container);
        reached.extend(with.into_iter().cloned());
        let alone: Vec<Process> = alone.into_iter().cloned().collect();
        for (container, _, answer) in self.ask_inside(&alone, |pairs| Ask::Signal(pairs, signal as i32)).await? {
            reached.extend(inside(&container, answer));
        }
        Ok(reached)
    }

    /// These processes and all their descendants.
    pub(super) async fn trees_of(&self, roots: &[Process]) -> Result<Vec<Process>, TestbedError> {
        let containers = roots.iter().filter(|root| matches!(root, Process::Container { .. }));
        let mut all: Vec<Process> = containers.cloned().collect();
        for (container, _, answer) in self.ask_inside(roots, Ask::Trees).await? {
            all.extend(inside(&container, answer));
        }
        Ok(all)
    }
}

/// Processes that an answer names.
fn inside(container: &str, answer: Answer) -> Vec<Process> {
    let Answer::Processes(pairs) = answer else { return Vec::new() };
    let process = |(pid, start_ticks)| Process::Inside {
        container: container.to_owned(),
        identity: Identity { pid, start_ticks },
    };
    pairs.into_iter().map(process).collect()
}
