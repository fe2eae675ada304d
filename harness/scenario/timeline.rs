//! `timeline`: steps in order, some of them side by side. First an outline of every step, so that references can be checked both ways; then each step.

use std::{ops::Range, time::Duration};

use super::{
    catalogue,
    fault::{self, available},
    fields::{Fields, Sink, single},
    file::Context,
    measured, scalars,
    tree::{Node, Value},
};
use crate::{
    api::{
        EnvironmentId,
        control::{Scope, SwitchKind},
        environment::EnvironmentKind,
    },
    model::plan::{Action, Order, Step, StepState, WantedOutcome, When},
};

/// Fields of a step.
pub(super) const FIELDS: [&str; 12] =
    ["id", "when", "delay", "within", "for", "outcome", "inject", "heal", "operate", "exec", "pause", "parallel"];
/// Of these exactly one.
pub(super) const ACTIONS: [&str; 6] = ["inject", "heal", "operate", "exec", "pause", "parallel"];
/// Fields of `when`, and those that say what it waits for.
pub(super) const WHEN_FIELDS: [&str; 10] =
    ["at", "step", "is", "event", "journal", "lag", "count", "environment", "nth", "phase"];
pub(super) const TRIGGERS: [&str; 7] = {
    let [at, step, event, journal, lag, count, phase] = catalogue::TRIGGERS;
    [at.0, step.0, event.0, journal.0, lag.0, count.0, phase.0]
};
/// States of a step.
pub(super) const STATES: [&str; 3] = ["started", "done", "healed"];
/// Fields of `exec`.
pub(super) const EXEC_FIELDS: [&str; 2] = ["command", "timeout"];
/// Fields of `failover`.
const FAILOVER_FIELDS: [&str; 4] = ["scope", "region", "environments", "accept_data_loss"];
/// Fields of the operations that lose nothing.
const PLANNED_FIELDS: [&str; 3] = ["scope", "region", "environments"];
/// Fields of an order for one environment.
const FOR_ONE_FIELDS: [&str; 1] = ["environment"];
/// Fields of `copy`.
const COPY_FIELDS: [&str; 2] = ["from", "to"];
/// Operations that give up what an environment without a replica holds, and put something else in its place.
const KEEPING: [&str; 4] = ["back_up", "destroy", "restore", "copy"];
/// Faults that reports have an event of.
const ZONE_FAULTS: [&str; 2] = ["zone.outage", "zone.isolate"];
/// Scopes of an operation.
pub(super) const SCOPES: [&str; 2] = ["region", "environment"];

/// Bound on trigger and completion of a step that sets none.
pub(super) const WITHIN: Duration = Duration::from_secs(60);
/// Bound on a command that sets none.
pub(super) const EXEC_TIMEOUT: Duration = Duration::from_secs(30);
const STEPS_MAX: usize = 256;

/// Fields of an operation.
pub(super) fn order_fields(operation: &str) -> &'static [&'static str] {
    match operation {
        "failover" => &FAILOVER_FIELDS,
        "convert" | "support_ticket" | "back_up" | "destroy" | "restore" => &FOR_ONE_FIELDS,
        "copy" => &COPY_FIELDS,
        _ => &PLANNED_FIELDS,
    }
}

/// Of these, what may not be left out.
pub(super) fn required_fields(operation: &str) -> &'static [&'static str] {
    match order_fields(operation) {
        fields if fields.contains(&"scope") => &["scope"],
        fields => fields,
    }
}

/// What other steps and `expect` need to know of a step.
#[derive(Debug, Clone)]
pub(super) struct Outline {
    pub id: String,
    span: Range<usize>,
    /// Its action's name, if it has one.
    pub action: Option<String>,
    holds: bool,
    heals: Option<String>,
    /// It orders a switch, or takes a zone: reports have an event of its name.
    pub makes_event: bool,
    keeps: bool,
    quiesced: bool,
    /// The step that holds this one among others side by side.
    inside: Option<usize>,
}

pub(super) fn decode(file: &Fields<'_>, context: &Context<'_>, sink: &mut Sink<'_>) -> (Vec<Step>, Vec<Outline>) {
    let Some(node) = file.get("timeline", sink) else { return (Vec::new(), Vec::new()) };
    let Value::List(items) = &node.value else {
        sink.wrong_type(node, "a list of steps");
        return (Vec::new(), Vec::new());
    };
    if items.len() > STEPS_MAX {
        sink.error(&node.span, format!("{} steps are more than {STEPS_MAX}", items.len()));
    }
    let mut outlines: Vec<Outline> = Vec::new();
    let mut places = Vec::new();
    for (number, item) in items.iter().enumerate() {
        let place = outlines.len();
        places.push(place);
        outlines.push(outline(item, format!("step-{}", number + 1), None));
        for (inner, child) in side_by_side(item).iter().enumerate() {
            outlines.push(outline(child, format!("step-{}-{}", number + 1, inner + 1), Some(place)));
        }
    }
    check_outlines(&outlines, sink);
    let steps = items
        .iter()
        .zip(places)
        .filter_map(|(item, place)| Decoder { context, outlines: &outlines, place, sink: &mut *sink }.step(item))
        .collect();
    (steps, outlines)
}

/// The value of a field, read without judging anything.
fn peek<'n>(item: &'n Node, name: &str) -> Option<&'n Node> {
    match &item.value {
        Value::Map(entries) => {
            entries.iter().find(|(key, _)| key.value == Value::Text(name.to_owned())).map(|(_, node)| node)
        }
        _ => None,
    }
}

/// The steps inside a `parallel` one.
fn side_by_side(item: &Node) -> &[Node] {
    match peek(item, "parallel").map(|node| &node.value) {
        Some(Value::List(items)) => items,
        _ => &[],
    }
}

fn text(node: &Node) -> Option<String> {
    match &node.value {
        Value::Text(text) => Some(text.clone()),
        _ => None,
    }
}

/// The environments that steps of a file make production ones, read without judging anything.
pub(super) fn converted(file: &Node) -> Vec<String> {
    let items = match peek(file, "timeline").map(|node| &node.value) {
        Some(Value::List(items)) => items.as_slice(),
        _ => &[],
    };
    let converts = |item: &Node| {
        let order = peek(peek(item, "operate")?, "convert")?;
        let is_done = peek(item, "outcome").and_then(text).is_none_or(|outcome| outcome == "completed");
        peek(order, "environment").and_then(text).filter(|_| is_done)
    };
    items.iter().flat_map(|item| std::iter::once(item).chain(side_by_side(item))).filter_map(converts).collect()
}

/// Reads of a step what can be read without judging it.
fn outline(item: &Node, unnamed: String, inside: Option<usize>) -> Outline {
    let field = |name: &str| peek(item, name);
    let id = field("id").and_then(|node| text(node).map(|id| (id, node.span.clone())));
    let (id, span) = id.unwrap_or_else(|| (unnamed, item.span.clone()));
    let quiesced = field("when").is_some_and(|node| match &node.value {
        Value::Map(entries) => entries.iter().any(|(key, _)| key.value == Value::Text("phase".to_owned())),
        _ => false,
    });
    Outline {
        id,
        span,
        action: ACTIONS.into_iter().find(|action| field(action).is_some()).map(str::to_owned),
        holds: field("for").is_some() || field("inject").is_some_and(|fault| peek(fault, "control.crash").is_some()),
        heals: field("heal").and_then(text),
        makes_event: field("operate").is_some_and(|order| {
            ["convert", "support_ticket"].iter().chain(&KEEPING).all(|other| peek(order, other).is_none())
        }) || field("inject")
            .is_some_and(|fault| ZONE_FAULTS.iter().any(|zone| peek(fault, zone).is_some())),
        keeps: field("operate").is_some_and(|order| KEEPING.iter().any(|keeping| peek(order, keeping).is_some()))
            && field("outcome").and_then(text).as_deref() != Some("refused"),
        quiesced,
        inside,
    }
}

fn check_outlines(outlines: &[Outline], sink: &mut Sink<'_>) {
    for (place, step) in outlines.iter().enumerate() {
        let earlier = &outlines[..place];
        if earlier.iter().any(|other| other.id == step.id) {
            sink.error(&step.span, format!("there is a step `{}` already", step.id));
        }
        if is_automatic_event(&step.id) || step.id == "end" {
            let what = if step.id == "end" { "the end of the run" } else { "events that no step asked for" };
            sink.error(&step.span, format!("`{}` names {what} in reports: give the step another id", step.id));
        }
        if step.quiesced && step.inside.is_some() {
            sink.error(&step.span, "`phase: quiesced` goes with the whole `parallel` step, not with one inside it");
        }
    }
    let outlines: Vec<&Outline> = outlines.iter().filter(|step| step.inside.is_none()).collect();
    for step in outlines.iter().filter(|step| step.keeps && !step.quiesced) {
        let what = "what is written before something else is put in its place is given up, and would count as lost";
        let help = "take this step after the last write: `when: { phase: quiesced }`";
        sink.error_with(&step.span, what, Some(help.to_owned()));
    }
    let first = outlines.iter().position(|step| step.quiesced).unwrap_or(outlines.len());
    if let Some(step) = outlines[first..].iter().find(|step| !step.quiesced) {
        let help = "load stops after the last ordinary step: move it before the first step of `phase: quiesced`";
        sink.error_with(&step.span, "an ordinary step after a quiesced one", Some(help.to_owned()));
    }
}

/// Whether an id is one that events get which no step asked for: `failover-1`, ..., and `zone-1`, ... within a region.
pub(super) fn is_automatic_event(id: &str) -> bool {
    let number = id.strip_prefix("failover-").or_else(|| id.strip_prefix("zone-"));
    number.is_some_and(|number| !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()))
}

/// What an order for one environment cannot be done to.
struct Cannot {
    of: fn(EnvironmentKind) -> bool,
    why: &'static str,
    help: &'static str,
}

struct Decoder<'d, 'c, 't> {
    context: &'d Context<'c>,
    outlines: &'d [Outline],
    place: usize,
    sink: &'d mut Sink<'t>,
}

impl<'d> Decoder<'d, '_, '_> {
    fn step(&mut self, item: &Node) -> Option<Step> {
        let fields = Fields::open(item, "a step", &FIELDS, self.sink)?;
        if let Some(node) = fields.get("id", self.sink) {
            scalars::name(node, self.sink)?;
        }
        let when = match fields.get("when", self.sink) {
            Some(node) => self.when(node).map(Some),
            None => Some(None),
        };
        let delay = match fields.get("delay", self.sink) {
            Some(node) => scalars::any_duration(node, self.sink),
            None => Some(Duration::ZERO),
        };
        let within = match fields.get("within", self.sink) {
            Some(node) => scalars::some_duration(node, self.sink),
            None => Some(WITHIN),
        };
        let hold = match fields.get("for", self.sink) {
            Some(node) => scalars::some_duration(node, self.sink).map(Some),
            None => Some(None),
        };
        let outcome = match fields.get("outcome", self.sink) {
            Some(node) => {
                let words = WantedOutcome::ALL.map(WantedOutcome::as_str);
                scalars::word(node, "outcome", &words, self.sink)
                    .and_then(|word| WantedOutcome::ALL.into_iter().find(|outcome| outcome.as_str() == word))
            }
            None => Some(WantedOutcome::default()),
        };
        let (name, key, value) = fields.one_of(&ACTIONS, self.sink)?;
        if let Some(span) = fields.key("for").filter(|_| name != "inject") {
            self.sink.error(span, format!("`for` says how long a fault lasts: it does not go with `{name}`"));
        }
        if let Some(span) = fields.key("outcome").filter(|_| name != "operate") {
            self.sink.error(span, format!("`outcome` says what becomes of an order: it does not go with `{name}`"));
        }
        let action = match name {
            "parallel" => self.parallel(key, value),
            "inject" => fault::decode(value, self.context, self.sink).map(Action::Inject),
            "heal" => self.heal(value),
            "operate" => self.operate(value, outcome),
            "exec" => self.exec(value),
            _ => scalars::any_duration(value, self.sink).map(Action::Pause),
        };
        let lasts = match &action {
            Some(Action::Inject(fault)) => fault.lasts(),
            _ => None,
        };
        if let Some(span) = fields.key("for").filter(|_| lasts.is_some()) {
            self.sink.error(span, "the control plane is started again after `down_for`: leave `for` out");
        }
        let (within, delay) = (within?, delay?);
        let needed = delay + if let Some(Action::Pause(pause)) = action { pause } else { Duration::ZERO };
        if needed >= within {
            let message = format!("this step takes {} and has to be done within {}", shown(needed), shown(within));
            let span = fields.key("within").unwrap_or(&key.span);
            self.sink.error_with(span, message, Some("set a longer `within`".to_owned()));
        }
        let id = self.outlines[self.place].id.clone();
        let (phase, hold) = (Duration::ZERO, hold?.or(lasts));
        Some(Step { id, when: when?, delay, phase, within, hold, outcome: outcome?, action: action? })
    }

    fn parallel(&mut self, key: &Node, node: &Node) -> Option<Action> {
        if self.outlines[self.place].inside.is_some() {
            self.sink.error(&key.span, "`parallel` cannot stand inside `parallel`");
            return None;
        }
        let Value::List(items) = &node.value else {
            self.sink.wrong_type(node, "a list of steps");
            return None;
        };
        if items.is_empty() {
            self.sink.error(&node.span, "no step stands here");
            return None;
        }
        let (context, outlines, first) = (self.context, self.outlines, self.place + 1);
        let steps: Vec<Option<Step>> = items
            .iter()
            .enumerate()
            .map(|(inner, item)| Decoder { context, outlines, place: first + inner, sink: &mut *self.sink }.step(item))
            .collect();
        steps.into_iter().collect::<Option<Vec<_>>>().map(Action::Parallel)
    }

    fn when(&mut self, node: &Node) -> Option<When> {
        let fields = Fields::open(node, "`when`", &WHEN_FIELDS, self.sink)?;
        let (name, _, value) = fields.one_of(&TRIGGERS, self.sink)?;
        for (field, owners) in
            [("is", &["step"][..]), ("environment", &["event", "journal"]), ("nth", &["event", "journal"])]
        {
            if let Some(span) = fields.key(field).filter(|_| !owners.contains(&name)) {
                let owner = owners.join("` or `");
                self.sink.error(span, format!("`{field}` goes with `{owner}`, not with `{name}`"));
            }
        }
        match name {
            "at" => scalars::any_duration(value, self.sink).map(When::At),
            "step" => self.when_step(&fields, value),
            "event" | "journal" => self.when_event(name, &fields, value),
            "lag" => measured::lag(value, self.context, self.sink),
            "count" => measured::count(value, self.context, self.sink),
            _ => scalars::word(value, "phase", &["quiesced"], self.sink).map(|_| When::Quiesced),
        }
    }

    fn when_step(&mut self, fields: &Fields<'_>, node: &Node) -> Option<When> {
        let state = fields.require("is", self.sink);
        let state = state.and_then(|node| scalars::word(node, "state", &STATES, self.sink));
        let is = match state? {
            "started" => StepState::Started,
            "done" => StepState::Done,
            _ => StepState::Healed,
        };
        let target = self.earlier_step(node)?;
        if is == StepState::Healed {
            let (here, outlines) = (self.place, self.outlines);
            let beside = outlines[here].inside;
            let mut before = outlines
                .iter()
                .enumerate()
                .filter(|(place, step)| *place < here || (beside.is_some() && step.inside == beside))
                .map(|(_, step)| step);
            let healed = target.holds || before.any(|step| step.heals.as_ref() == Some(&target.id));
            if target.action.as_deref() != Some("inject") {
                self.sink.error(&node.span, format!("`{}` injects no fault that could be healed", target.id));
                return None;
            }
            if !healed {
                let help = format!("give `{}` a `for`, or heal it in a step before this one", target.id);
                self.sink.error_with(&node.span, format!("nothing heals `{}` before this", target.id), Some(help));
                return None;
            }
        }
        Some(When::Step { id: target.id.clone(), is })
    }

    fn when_event(&mut self, what: &str, fields: &Fields<'_>, node: &Node) -> Option<When> {
        let environment = match fields.get("environment", self.sink) {
            Some(node) => environment(node, self.context, self.sink).map(Some),
            None => Some(None),
        };
        let nth = match fields.get("nth", self.sink) {
            Some(node) => scalars::count(node, 1..=1_000, self.sink).and_then(|nth| u32::try_from(nth).ok()),
            None => Some(1),
        };
        if what == "journal" {
            let step = scalars::word(node, "step", &self.context.catalogue.journal_steps, self.sink)?.to_owned();
            return Some(When::Journal { step, environment: environment?, nth: nth? });
        }
        let name = scalars::word(node, "event", &self.context.catalogue.events, self.sink)?.to_owned();
        Some(When::Event { name, environment: environment?, nth: nth? })
    }

    /// A reference to a step that stands before this one, or beside it.
    fn earlier_step(&mut self, node: &Node) -> Option<&'d Outline> {
        let id = scalars::text(node, self.sink)?;
        let Some(place) = self.outlines.iter().position(|step| step.id == id) else {
            self.sink.unknown(&node.span, "step", id, self.outlines.iter().map(|step| step.id.as_str()));
            return None;
        };
        let beside = self.outlines[self.place].inside;
        let is_beside = beside.is_some() && self.outlines[place].inside == beside && place != self.place;
        if (place >= self.place && !is_beside) || Some(place) == beside {
            let which = match place {
                _ if place == self.place => "is this step itself",
                _ if Some(place) == beside => "holds this step",
                _ => "comes later",
            };
            self.sink.error(&node.span, format!("`{id}` {which}: steps run in order"));
            return None;
        }
        self.outlines.get(place)
    }

    fn heal(&mut self, node: &Node) -> Option<Action> {
        let place = self.place;
        let target = self.earlier_step(node)?;
        if target.action.as_deref() != Some("inject") {
            self.sink.error(&node.span, format!("`{}` injects no fault that could be healed", target.id));
            return None;
        }
        if target.holds {
            self.sink.error(&node.span, format!("`{}` has a `for` and heals by itself", target.id));
            return None;
        }
        if self.outlines[..place].iter().any(|step| step.heals.as_ref() == Some(&target.id)) {
            self.sink.error(&node.span, format!("`{}` is healed already by an earlier step", target.id));
            return None;
        }
        Some(Action::Heal(target.id.clone()))
    }

    fn operate(&mut self, node: &Node, outcome: Option<WantedOutcome>) -> Option<Action> {
        let names: Vec<&str> = self.context.catalogue.operations.iter().map(|(name, _)| *name).collect();
        let (name, key, value) = single(node, "an operation", &names, self.sink)?;
        if name == "delete" {
            let what = "no environment of a drill is deleted: each is written to and judged to the end";
            let help = "in a lab `geodrill delete NAME` does it";
            self.sink.error_with(&key.span, what.to_owned(), Some(help.to_owned()));
            return None;
        }
        let Some((_, availability)) = self.context.catalogue.operations.iter().find(|(known, _)| *known == name) else {
            self.sink.unknown(&key.span, "operation", name, names.into_iter());
            return None;
        };
        if !available(key, "operation", name, *availability, self.context, self.sink) {
            return None;
        }
        match name {
            "convert" => return self.convert(value, outcome),
            "support_ticket" => return self.ticket(value, outcome),
            "copy" => return self.copy(value, outcome),
            _ if KEEPING.contains(&name) => return self.keep(name, value, outcome),
            _ => {}
        }
        let (what, kind) = match name {
            "planned_failover" => ("`planned_failover`", SwitchKind::Planned),
            "failback" => ("`failback`", SwitchKind::Failback),
            _ => ("`failover`", SwitchKind::Unplanned),
        };
        let fields = Fields::open(value, what, order_fields(name), self.sink)?;
        let scope = self.scope(&fields);
        let accept_data_loss = match fields.get("accept_data_loss", self.sink) {
            Some(node) => scalars::flag(node, self.sink),
            None => Some(false),
        };
        Some(Action::Operate(Order { kind, scope: scope?, accept_data_loss: accept_data_loss? }))
    }

    fn convert(&mut self, node: &Node, outcome: Option<WantedOutcome>) -> Option<Action> {
        let cannot = Cannot {
            of: |kind| kind.upgrades_to().is_none(),
            why: "which is not converted",
            help: "convert what has an upgrade, or want it `outcome: refused`",
        };
        self.for_one(node, "`convert`", outcome, &cannot).map(Action::Convert)
    }

    fn ticket(&mut self, node: &Node, outcome: Option<WantedOutcome>) -> Option<Action> {
        let cannot = Cannot {
            of: |kind| kind.features().is_empty(),
            why: "which has no feature to restore",
            help: "name an environment that has features, or want it `outcome: refused`",
        };
        self.for_one(node, "`support_ticket`", outcome, &cannot).map(Action::Ticket)
    }

    fn keep(&mut self, name: &str, node: &Node, outcome: Option<WantedOutcome>) -> Option<Action> {
        let cannot = Cannot {
            of: |kind| kind.has_replica(),
            why: "which its replica protects",
            help: "name an environment that has no replica, or want it `outcome: refused`",
        };
        match name {
            "back_up" => self.for_one(node, "`back_up`", outcome, &cannot).map(Action::BackUp),
            "destroy" => self.for_one(node, "`destroy`", None, &cannot).map(Action::Destroy),
            _ => self.for_one(node, "`restore`", outcome, &cannot).map(Action::Restore),
        }
    }

    fn copy(&mut self, node: &Node, outcome: Option<WantedOutcome>) -> Option<Action> {
        let fields = Fields::open(node, "`copy`", &COPY_FIELDS, self.sink)?;
        let (from, to) = (fields.require("from", self.sink), fields.require("to", self.sink));
        let from_cannot = Cannot {
            of: |kind| !kind.has_replica() && kind.upgrades_to().is_none(),
            why: "which is no production environment",
            help: "copy what is production, or want it `outcome: refused`",
        };
        let to_cannot = Cannot {
            of: |kind| !kind.is_sandbox(),
            why: "which is no sandbox",
            help: "copy into a sandbox, or want it `outcome: refused`",
        };
        let from_id = from.and_then(|node| self.one(node, outcome, &from_cannot));
        let to_id = to.and_then(|node| self.one(node, outcome, &to_cannot));
        let (from_id, to_id) = (from_id?, to_id?);
        let product = |id: &EnvironmentId| self.kind(id).map(EnvironmentKind::product);
        if let (Some(product), Some(other)) = (product(&from_id), product(&to_id))
            && product != other
            && outcome != Some(WantedOutcome::Refused)
        {
            let what = format!("`{from_id}` is of {product} and `{to_id}` of {other}: a copy is of one product");
            self.sink.error(&node.span, what);
            return None;
        }
        Some(Action::Copy { from: from_id, to: to_id })
    }

    /// The environment that an order names.
    fn for_one(
        &mut self,
        node: &Node,
        what: &'static str,
        outcome: Option<WantedOutcome>,
        cannot: &Cannot,
    ) -> Option<EnvironmentId> {
        let fields = Fields::open(node, what, &FOR_ONE_FIELDS, self.sink)?;
        let node = fields.require("environment", self.sink)?;
        self.one(node, outcome, cannot)
    }

    /// The kind of an environment, as far as the file says it.
    fn kind(&self, id: &EnvironmentId) -> Option<EnvironmentKind> {
        self.context.environments.iter().flatten().find(|known| known.id == *id)?.kind
    }

    /// An environment that an order can be done to.
    fn one(&mut self, node: &Node, outcome: Option<WantedOutcome>, cannot: &Cannot) -> Option<EnvironmentId> {
        let id = environment(node, self.context, self.sink)?;
        let kind = self.kind(&id).filter(|kind| (cannot.of)(*kind));
        if let Some(kind) = kind.filter(|_| outcome != Some(WantedOutcome::Refused)) {
            let what = format!("`{id}` is a {kind}, {}", cannot.why);
            self.sink.error_with(&node.span, what, Some(cannot.help.to_owned()));
            return None;
        }
        Some(id)
    }

    fn scope(&mut self, fields: &Fields<'_>) -> Option<Scope> {
        let node = fields.require("scope", self.sink)?;
        let scope = scalars::word(node, "scope", &SCOPES, self.sink)?;
        let (wanted, other) = if scope == "region" { ("region", "environments") } else { ("environments", "region") };
        if let Some(span) = fields.key(other) {
            self.sink.error(span, format!("`{other}` does not go with `scope: {scope}`"));
        }
        let value = fields.require(wanted, self.sink)?;
        if scope == "region" {
            return fault::region(value, self.context, self.sink).map(Scope::Region);
        }
        let Value::List(items) = &value.value else {
            self.sink.wrong_type(value, "a list of environments");
            return None;
        };
        if items.is_empty() {
            self.sink.error(&value.span, "no environment is named");
            return None;
        }
        let mut named: Vec<EnvironmentId> = Vec::new();
        for item in items {
            let id = environment(item, self.context, self.sink)?;
            if named.contains(&id) {
                self.sink.error(&item.span, format!("`{id}` is named twice"));
            }
            named.push(id);
        }
        Some(Scope::Environments(named))
    }

    fn exec(&mut self, node: &Node) -> Option<Action> {
        let fields = Fields::open(node, "`exec`", &EXEC_FIELDS, self.sink)?;
        let timeout = match fields.get("timeout", self.sink) {
            Some(node) => scalars::some_duration(node, self.sink),
            None => Some(EXEC_TIMEOUT),
        };
        let value = fields.require("command", self.sink)?;
        let Value::List(items) = &value.value else {
            self.sink.wrong_type(value, "a list: the program and its arguments");
            return None;
        };
        let command: Option<Vec<String>> =
            items.iter().map(|item| scalars::text(item, self.sink).map(str::to_owned)).collect();
        if items.is_empty() {
            self.sink.error(&value.span, "the command is empty");
            return None;
        }
        Some(Action::Exec { command: command?, timeout: timeout? })
    }
}

/// An environment of the scenario.
pub(super) fn environment(node: &Node, context: &Context<'_>, sink: &mut Sink<'_>) -> Option<EnvironmentId> {
    let name = scalars::name(node, sink)?;
    let known = context.environments.as_ref()?;
    let found = known.iter().find(|known| known.id.as_str() == name);
    if found.is_none() {
        sink.unknown(&node.span, "environment", name, known.iter().map(|known| known.id.as_str()));
    }
    found.map(|known| known.id.clone())
}

fn shown(duration: Duration) -> humantime::FormattedDuration {
    humantime::format_duration(duration)
}
