//! Features: what an environment offers beside its stores. At home everything; away from it nothing, until a support ticket
//! restores what can be restored; at home again everything.
//!
//! A region's compute offers what it has been told under the environment's epoch, and nothing before that, so a switch
//! takes features away by itself. What is to be said follows from the environment alone (`of`). It is said whenever the
//! serving compute has not yet taken it, beside whatever else is under way; a word that was not taken, or whose answer was lost,
//! is said again. A support ticket is an operation that holds nothing up and that nothing holds up: it is open until its word is
//! taken, or until a switch makes it pointless.

use super::{
    effect::{AskId, Effect, Refused},
    machine::{Core, Turn},
    parts::Part,
    progress::PAUSE_MS_MAX,
    record::{OperationKind, Outcome, Record},
    settings::Settings,
    state::{Environment, Operation},
};
use crate::api::{
    EnvironmentId, Epoch,
    compute::Provision,
    permit::Holder,
    reports::{Feature, FeatureStatus},
    sabotage::Sabotage,
};

/// What is durable of an environment's features.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Features {
    /// The support ticket of this epoch.
    pub ticket: Option<u64>,
    /// The operation that the present word on features follows from. It grows, and orders words.
    pub order: u64,
    /// The last word that the serving compute has taken: its epoch and order.
    pub taken: Option<(Epoch, u64)>,
}

/// Every feature of the environment as it is to be now.
pub(super) fn of(environment: &Environment, settings: &Settings) -> Vec<FeatureStatus> {
    let unavailable = |feature: Feature| why_not(environment, settings, feature);
    let features = environment.given.kind.features().iter();
    features.map(|feature| FeatureStatus { feature: *feature, unavailable: unavailable(*feature) }).collect()
}

fn why_not(environment: &Environment, settings: &Settings, feature: Feature) -> Option<String> {
    let (active, home) = (&environment.active, &environment.given.home);
    let sabotage = settings.sabotage;
    if active == home {
        let forgets = sabotage == Some(Sabotage::ForgetFeatures) && environment.epoch > Epoch::FIRST;
        return forgets.then(|| format!("{feature} is not available"));
    }
    let is_restored = environment.features.ticket.is_some() && sabotage != Some(Sabotage::TicketInWordsOnly);
    if is_restored && (feature.is_restored_by_ticket() || sabotage == Some(Sabotage::TicketRestoresAll)) {
        return None;
    }
    let more = match feature {
        Feature::FinancialReporting => "a support ticket restores it".to_owned(),
        Feature::PowerBi => format!("its reporting copy is in {home} alone"),
    };
    Some(format!("{feature} is not available in the secondary region {active}: {more}"))
}

/// The word that the serving compute is told.
pub(super) fn provision(environment: &Environment, settings: &Settings) -> Provision {
    Provision {
        features: of(environment, settings),
        database: environment.given.database.clone(),
        reader: environment.given.credentials.reader.clone(),
    }
}

impl Environment {
    /// The word that is to be taken, if there is anything to offer.
    fn word(&self) -> Option<(Epoch, u64)> {
        (!self.given.kind.features().is_empty()).then_some((self.epoch, self.features.order))
    }

    /// Whether the serving compute has taken the present word.
    pub fn is_provided(&self) -> bool {
        self.word().is_none_or(|word| self.features.taken == Some(word))
    }
}

impl Core {
    pub(super) fn order_ticket(&mut self, turn: &mut Turn, ask: AskId, id: &EnvironmentId) {
        let result = self.check_ticket(id).and_then(|()| {
            let operation = self.state.next_operation();
            let (kind, environments) = (OperationKind::SupportTicket, vec![id.clone()]);
            self.record(turn, Record::Began { operation, kind, environments });
            self.forget_word(id);
            let restored: Vec<&str> =
                Feature::ALL.into_iter().filter(|one| one.is_restored_by_ticket()).map(Feature::title).collect();
            self.say(turn, "features.requested", id, format!("{} by support ticket {operation}", restored.join(", ")));
            self.order_answer(operation)
        });
        turn.effects.push(Effect::Answer { ask, result });
    }

    fn check_ticket(&self, id: &EnvironmentId) -> Result<(), Refused> {
        let environment = self.known(id)?;
        let (kind, active) = (environment.given.kind, &environment.active);
        if kind.features().is_empty() {
            return Err(Refused::not_allowed(format!("`{id}` is a {kind}, which has no feature to restore")));
        }
        if let Some(task) = environment.task.as_ref().filter(|_| !environment.is_settled()) {
            let (operation, what) = (task.operation, task.kind.name());
            return Err(Refused::not_now(format!(
                "operation {operation} ({what}) is not over for `{id}`: order again once it is served"
            )));
        }
        if *active == environment.given.home {
            return Err(Refused::not_now(format!(
                "`{id}` is at home in {active}: nothing is missing that a support ticket restores"
            )));
        }
        match environment.features.ticket {
            Some(ticket) if environment.is_provided() => {
                Err(Refused::not_now(format!("support ticket {ticket} has restored what can be restored of `{id}`")))
            }
            Some(ticket) => Err(Refused::not_now(format!("support ticket {ticket} is open for `{id}`"))),
            None => Ok(()),
        }
    }

    /// Says to the serving computes what they have not taken yet.
    pub(super) fn provide(&mut self, turn: &mut Turn) {
        let now_ms = turn.now_ms;
        let suspect_ms = self.settings.timers.suspect_ms;
        let hears = |environment: &Environment| {
            let seat = (&environment.active, environment.seat(&environment.active));
            self.ears.hears(now_ms, seat, Holder::Compute, suspect_ms)
        };
        let due: Vec<EnvironmentId> = (self.state.environments.iter())
            .filter(|(_, environment)| environment.is_settled() && !environment.is_provided())
            .filter(|(_, environment)| hears(environment))
            .filter(|(id, _)| !self.is_asking(id, Part::Provide))
            .filter(|(id, _)| self.repairs.get(&((*id).clone(), Part::Provide)).copied().unwrap_or(0) <= now_ms)
            .map(|(id, _)| id.clone())
            .collect();
        due.iter().for_each(|id| self.ask(turn, id, Part::Provide, 0));
    }

    /// Takes that the serving compute has taken the present word, or has not.
    pub(super) fn end_provide(&mut self, turn: &mut Turn, id: &EnvironmentId, is_ok: bool) {
        let Some((epoch, order)) = self.state.environments.get(id).and_then(Environment::word) else { return };
        if !is_ok {
            self.repairs.insert((id.clone(), Part::Provide), turn.now_ms + PAUSE_MS_MAX);
            return;
        }
        self.record(turn, Record::Provided { environment: id.clone(), epoch, order });
        self.close_ticket(turn, id, Outcome::Completed, None);
        let Some(environment) = self.state.environments.get(id) else { return };
        let features = of(environment, &self.settings);
        let missing: Vec<String> = features.iter().filter_map(|status| status.unavailable.clone()).collect();
        let offered = features.iter().filter(|status| status.unavailable.is_none());
        let offered: Vec<&str> = offered.map(|status| status.feature.title()).collect();
        if !offered.is_empty() {
            self.say(turn, "features.provided", id, offered.join(", "));
        }
        if !missing.is_empty() {
            self.say(turn, "features.degraded", id, missing.join("; "));
        }
    }

    /// Ends a ticket that is still open.
    pub(super) fn close_ticket(&mut self, turn: &mut Turn, id: &EnvironmentId, outcome: Outcome, why: Option<String>) {
        let ticket = self.state.environments.get(id).and_then(|environment| environment.features.ticket);
        let is_open = |operation: &u64| {
            self.state.operations.get(operation).is_some_and(|entry: &Operation| {
                entry.items.iter().any(|item| item.environment == *id && item.outcome.is_none())
            })
        };
        if let Some(operation) = ticket.filter(is_open) {
            self.record(turn, Record::Finished { environment: id.clone(), operation, outcome, why });
        }
    }

    /// What is under way is not the present word any more: its answer must not be taken for this one's.
    pub(super) fn forget_word(&mut self, id: &EnvironmentId) {
        self.calls.retain(|_, (environment, part)| environment != id || *part != Part::Provide);
        self.repairs.remove(&(id.clone(), Part::Provide));
    }
}
