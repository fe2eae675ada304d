//! `inject`, `heal`, `failover`, `failback`, `convert`, `delete`, `expose`: what an operator, or bad luck, does to a lab.

use std::{fmt::Write, io, time::Duration};

use super::{
    args::{Copy, Delete, Expose, Failback, Failover, ForOne, Format, Heal, Inject, Ordered, Which},
    entry::{colour, complain, print, print_json},
    exit::Exit,
    progress,
};
use crate::{
    api::{
        EnvironmentId,
        control::{Exposure, OperationState, OperationView, Scope, SwitchKind},
    },
    lab::{
        self, LabFile, order_switch,
        talk::{Answer, Healed, Request, ask},
    },
};

/// A region's return takes the longest: its stores and roles have to come up.
const FAULT: Duration = Duration::from_secs(90);
/// How often, and how many times, it is looked whether a host that does not answer is still there.
const GONE_PERIOD: Duration = Duration::from_millis(50);
const GONE_LOOKS: u32 = 20;

/// Injects a fault.
pub(super) async fn inject(arguments: Inject) -> Exit {
    let lab = match found(arguments.lab.as_deref()) {
        Ok(lab) => lab,
        Err(exit) => return exit,
    };
    let environments: Vec<EnvironmentId> = lab.environments.iter().map(|environment| environment.id.clone()).collect();
    let fault = match lab::fault_from_text(lab.testbed, &arguments.fault, &lab.regions, lab.zones, &environments) {
        Ok(fault) => fault,
        Err(mistakes) => {
            progress::raw(&mistakes.render(colour(&io::stderr())));
            return Exit::Invalid;
        }
    };
    let hold_ms = arguments.hold.map(|hold| u64::try_from(hold.as_millis()).unwrap_or(u64::MAX));
    match asked(&lab, &Request::Inject { fault, hold_ms }).await {
        Ok(Answer::Injected { id, record }) => {
            let ends = arguments.hold.map_or_else(
                || format!("until `geodrill heal {id}`"),
                |hold| format!("for {}", humantime::format_duration(hold)),
            );
            let printed = print(&format!("{id}: {} {ends}: {}\n", record.fault, record.proof));
            if record.unproven {
                complain(&format!("{id}: its effect was not proven; heal it all the same"));
                return printed.and(Exit::Inconclusive);
            }
            printed
        }
        other => unexpected(other),
    }
}

/// Heals faults.
pub(super) async fn heal(arguments: Heal) -> Exit {
    let lab = match found(arguments.lab.as_deref()) {
        Ok(lab) => lab,
        Err(exit) => return exit,
    };
    match asked(&lab, &Request::Heal { id: arguments.id }).await {
        Ok(Answer::Healed { healed }) if healed.is_empty() => print("no fault is in force\n"),
        Ok(Answer::Healed { healed }) => healed.iter().map(tell).fold(Exit::Held, Exit::and),
        other => unexpected(other),
    }
}

fn tell(healed: &Healed) -> Exit {
    let Healed { id, fault, proven, observed } = healed;
    if *proven {
        return print(&format!("{id}: {fault} healed: {observed}\n"));
    }
    complain(&format!("{id}: {fault}: its healing was not proven: {observed}"));
    Exit::Inconclusive
}

/// Orders a failover.
pub(super) async fn failover(arguments: Failover) -> Exit {
    let kind = if arguments.planned { SwitchKind::Planned } else { SwitchKind::Unplanned };
    switch(kind, arguments.which, arguments.accept_data_loss).await
}

/// Orders a failback.
pub(super) async fn failback(arguments: Failback) -> Exit {
    switch(SwitchKind::Failback, arguments.which, false).await
}

/// Orders an upgrade to production.
pub(super) async fn convert(arguments: ForOne) -> Exit {
    order(&arguments.order, &arguments.environment, async |lab, id| order_switch::convert(lab, id).await).await
}

/// Orders a back-up.
pub(super) async fn back_up(arguments: ForOne) -> Exit {
    order(&arguments.order, &arguments.environment, async |lab, id| order_switch::back_up(lab, id).await).await
}

/// Orders a restore.
pub(super) async fn restore(arguments: ForOne) -> Exit {
    order(&arguments.order, &arguments.environment, async |lab, id| order_switch::restore(lab, id).await).await
}

/// Orders a copy of production into a sandbox.
pub(super) async fn copy(arguments: Copy) -> Exit {
    let send = async |lab: &LabFile, to: &EnvironmentId| match known(lab, &arguments.from) {
        Ok(from) => order_switch::copy(lab, &from, to).await,
        Err(why) => Err(order_switch::OrderError::Refused(why)),
    };
    order(&arguments.order, &arguments.to, send).await
}

/// Orders a deletion.
pub(super) async fn delete(arguments: Delete) -> Exit {
    order(&arguments.order, &arguments.environment, async |lab, id| order_switch::delete(lab, id).await).await
}

/// Opens a support ticket.
pub(super) async fn ticket(arguments: ForOne) -> Exit {
    order(&arguments.order, &arguments.environment, async |lab, id| order_switch::ticket(lab, id).await).await
}

/// Gives an order for one environment and follows it.
async fn order(
    order: &Ordered,
    environment: &str,
    send: impl AsyncFnOnce(&LabFile, &EnvironmentId) -> Result<OperationView, order_switch::OrderError>,
) -> Exit {
    match named(order.lab.as_deref(), environment) {
        Ok((lab, id)) => follow(&lab, send(&lab, &id).await, order).await,
        Err(exit) => exit,
    }
}

/// Grants exposure, or ends it.
pub(super) async fn expose(arguments: Expose) -> Exit {
    let (lab, id) = match named(arguments.lab.as_deref(), &arguments.environment) {
        Ok(named) => named,
        Err(exit) => return exit,
    };
    match order_switch::expose(&lab, &id, !arguments.end).await {
        Ok(Exposure { granted: true }) => print(&format!(
            "{id}: exposure granted: its bound is not guaranteed, and it is not failed over by itself\n"
        )),
        Ok(Exposure { granted: false }) => {
            print(&format!("{id}: exposure ended: its bound is guaranteed once the other region has caught up\n"))
        }
        Err(error) => order_failed(&error),
    }
}

async fn switch(kind: SwitchKind, which: Which, accept_data_loss: bool) -> Exit {
    let lab = match found(which.order.lab.as_deref()) {
        Ok(lab) => lab,
        Err(exit) => return exit,
    };
    let scope = match scope(&which, &lab) {
        Ok(scope) => scope,
        Err(why) => {
            complain(&why);
            return Exit::Invalid;
        }
    };
    follow(&lab, order_switch::order(&lab, kind, scope, accept_data_loss).await, &which.order).await
}

/// Follows an operation for as long as is said, and tells what became of it.
async fn follow(lab: &LabFile, ordered: Result<OperationView, order_switch::OrderError>, order: &Ordered) -> Exit {
    let ordered = match ordered {
        Ok(view) if order.wait.is_zero() => view,
        Ok(view) => match order_switch::outcome(lab, view.id, order.wait, |view| {
            let steps: Vec<String> =
                view.environments.iter().map(|one| format!("{} {}", one.environment, one.step)).collect();
            progress::line(&format!("  {}: {}", view.kind, steps.join(", ")));
        })
        .await
        {
            Ok(view) => view,
            Err(error) => return order_failed(&error),
        },
        Err(error) => return order_failed(&error),
    };
    let printed = match order.format {
        Format::Json => print_json(&ordered),
        Format::Human => {
            let state = match ordered.state {
                OperationState::Running => "is under way",
                OperationState::Completed => "is completed",
                OperationState::Partial => "is done in part",
                OperationState::Aborted => "was aborted: what was before it holds",
                OperationState::Failed => "failed",
            };
            let mut text = format!("operation {} ({}) {state}", ordered.id, ordered.kind);
            if let Some(why) = &ordered.why {
                write!(text, ": {why}").unwrap_or_default();
            }
            print(&format!("{text}\n"))
        }
    };
    let outcome = match ordered.state {
        OperationState::Running if !order.wait.is_zero() => {
            complain(&format!("not at its end within {}", humantime::format_duration(order.wait)));
            Exit::Inconclusive
        }
        OperationState::Running | OperationState::Completed => Exit::Held,
        OperationState::Partial | OperationState::Aborted | OperationState::Failed => Exit::Violated,
    };
    printed.and(outcome)
}

fn scope(which: &Which, lab: &LabFile) -> Result<Scope, String> {
    match (&which.region, &which.environment[..]) {
        (Some(region), []) => lab
            .regions
            .iter()
            .find(|known| known.as_str() == region)
            .map(|region| Scope::Region(region.clone()))
            .ok_or_else(|| {
                format!("there is no region `{region}`; there are {} and {}", lab.regions[0], lab.regions[1])
            }),
        (None, names) => names.iter().map(|name| known(lab, name)).collect::<Result<_, _>>().map(Scope::Environments),
        (Some(_), _) => Err("name a region or environments, not both".to_owned()),
    }
}

/// An environment of the lab.
fn known(lab: &LabFile, name: &str) -> Result<EnvironmentId, String> {
    let found = lab.environments.iter().map(|one| &one.id).find(|id| id.as_str() == name);
    found.cloned().ok_or_else(|| {
        let all: Vec<&str> = lab.environments.iter().map(|one| one.id.as_str()).collect();
        format!("there is no environment `{name}`; there is: {}", all.join(", "))
    })
}

pub(super) fn order_failed(error: &order_switch::OrderError) -> Exit {
    complain(&error.to_string());
    match error {
        order_switch::OrderError::Refused(_) => Exit::Invalid,
        order_switch::OrderError::Other(_) => Exit::Internal,
    }
}

/// The lab that is meant and the environment of it, complained of if there is none.
pub(super) fn named(lab: Option<&str>, environment: &str) -> Result<(LabFile, EnvironmentId), Exit> {
    let lab = found(lab)?;
    match known(&lab, environment) {
        Ok(id) => Ok((lab, id)),
        Err(why) => {
            complain(&why);
            Err(Exit::Invalid)
        }
    }
}

fn found(name: Option<&str>) -> Result<LabFile, Exit> {
    lab::find(name).map_err(|error| {
        complain(&error.to_string());
        Exit::from(&error)
    })
}

async fn asked(lab: &LabFile, request: &Request) -> Result<Answer, String> {
    let answer = ask(&lab.socket(), request, FAULT).await;
    let Err(error) = answer else { return answer.map_err(|error| error.to_string()) };
    // A process that was killed closes its connections before it is gone.
    for _ in 0..GONE_LOOKS {
        if lab::find(Some(&lab.run())).is_err() {
            return Ok(Answer::Refused { why: lab::FindError::Gone(lab.name.clone()).to_string() });
        }
        tokio::time::sleep(GONE_PERIOD).await;
    }
    Err(error.to_string())
}

fn unexpected(answer: Result<Answer, String>) -> Exit {
    match answer {
        Ok(Answer::Refused { why }) => {
            complain(&why);
            Exit::Invalid
        }
        Ok(other) => {
            complain(&format!("the lab's host answered something else: {other:?}"));
            Exit::Internal
        }
        Err(why) => {
            complain(&why);
            Exit::Internal
        }
    }
}
