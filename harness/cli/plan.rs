//! `plan`: what a scenario will do, drawn; nothing is started.

use std::{fmt::Write, path::Path, time::Duration};

use serde::Serialize;

use super::{
    args::{Format, Planned},
    entry::{complain, print, print_json},
    exit::Exit,
};
use crate::{
    api::Zone,
    conduct::Drill,
    model::{
        fault::Fault,
        operation::Store,
        plan::{Action, Expectation, Plan, Platform, Step, StepState, Subject, When},
    },
    scenario::catalogue,
};

/// Both regions from nothing, with deployment, the readings and clean-up: measured on two processors.
const AROUND: Duration = Duration::from_secs(12);

/// What a scenario will do.
#[derive(Debug, Serialize)]
struct Outline {
    scenario: String,
    environments: Vec<String>,
    load: String,
    steps: Vec<Drawn>,
    expect: Vec<String>,
    /// Seconds that it takes at least, if every trigger comes at once.
    at_least_s: f64,
    /// Seconds after which every step has either come to its end or failed.
    at_most_s: f64,
}

/// One step.
#[derive(Debug, Serialize)]
struct Drawn {
    id: String,
    /// What it waits for.
    when: String,
    does: String,
    /// Seconds into the steady load, at the earliest.
    from_s: f64,
    /// Seconds into the steady load at which what it does is over at the earliest; `None`: it lasts.
    until_s: Option<f64>,
    within_s: f64,
    links: Vec<String>,
    processes: Vec<String>,
}

/// Draws them.
pub(super) fn plan(arguments: &Planned) -> Exit {
    let (name, testbed) = (&arguments.scenario, arguments.on.testbed);
    let is_path = name.contains('/') || name.contains('.') || Path::new(name).exists();
    let drill = if is_path { Drill::from_file_on(testbed, name) } else { Drill::shipped_on(testbed, name) };
    let drill = match drill {
        Ok(drill) => drill,
        Err(error) => {
            complain(&error.to_string());
            return Exit::from(&error);
        }
    };
    let outline = outline(drill.plan());
    match arguments.format {
        Format::Human => print(&human(&outline)),
        Format::Json => print_json(&outline),
    }
}

/// Walks a timeline as the drill would if every trigger came at once.
struct Walk<'a> {
    plan: &'a Plan,
    drawn: Vec<Drawn>,
    /// The earliest that the next step can begin.
    now: Duration,
    /// The latest that everything so far has come to its end or failed.
    most: Duration,
}

impl Walk<'_> {
    fn step(&mut self, step: &Step) {
        if let Some(When::At(at)) = step.when {
            self.now = self.now.max(at);
        }
        if let Some(When::Count { environment, acked }) = &step.when {
            let loaded = if environment.is_some() { 1 } else { self.plan.environments.len() };
            let offered_per_s = self.plan.workload.rate_per_s * loaded as f64;
            self.now = self.now.max(Duration::from_secs_f64(*acked as f64 / offered_per_s));
        }
        let healed_by = match &step.when {
            // It waits for a healing that comes so long after its fault.
            Some(When::Step { id, is: StepState::Healed }) => {
                self.drawn.iter().find(|other| other.id == *id).and_then(|other| other.until_s)
            }
            _ => None,
        };
        if let Some(When::Event { .. }) = step.when
            && self.drawn.iter().any(|other| other.does.starts_with("region."))
        {
            // What follows upon a region's loss comes once it is declared lost, and no sooner.
            let Platform::Reference { timers, .. } = &self.plan.platform;
            self.now += Duration::from_millis(timers.suspect_ms + timers.outage_grace_ms);
        }
        self.now = healed_by.map_or(self.now, |healed| self.now.max(Duration::from_secs_f64(healed))) + step.delay;
        let lasts = match &step.action {
            Action::Pause(pause) => Some(*pause),
            Action::Inject(_) => step.hold,
            Action::Heal(_)
            | Action::Operate(_)
            | Action::Convert(_)
            | Action::Ticket(_)
            | Action::BackUp(_)
            | Action::Destroy(_)
            | Action::Restore(_)
            | Action::Copy { .. }
            | Action::Exec { .. }
            | Action::Parallel(_) => Some(Duration::ZERO),
        };
        let (links, processes) = touched(step, self.plan);
        self.drawn.push(Drawn {
            id: step.id.clone(),
            when: when(step),
            does: does(step),
            from_s: self.now.as_secs_f64(),
            until_s: lasts.map(|lasts| (self.now + lasts).as_secs_f64()),
            within_s: step.within.as_secs_f64(),
            links,
            processes,
        });
        match &step.action {
            Action::Parallel(steps) => self.side_by_side(steps),
            _ => self.most = self.most.max(self.now) + step.within,
        }
        if let Action::Pause(pause) = step.action {
            self.now += pause;
        }
    }

    /// Each begins where the others do; the slowest tells when what follows can.
    fn side_by_side(&mut self, steps: &[Step]) {
        let (begin, before) = (self.now, self.most);
        let (mut now, mut most) = (begin, before);
        for step in steps {
            (self.now, self.most) = (begin, before);
            self.step(step);
            (now, most) = (now.max(self.now), most.max(self.most));
        }
        (self.now, self.most) = (now, most);
    }
}

fn outline(plan: &Plan) -> Outline {
    let mut walk = Walk { plan, drawn: Vec::new(), now: Duration::ZERO, most: Duration::ZERO };
    plan.timeline.iter().for_each(|step| walk.step(step));
    let Walk { drawn, now, most, .. } = walk;
    let around = plan.workload.warm_up + plan.workload.settle + AROUND;
    let load = &plan.workload;
    Outline {
        scenario: plan.name.clone(),
        environments: plan.environments.iter().map(|one| format!("{} ({})", one.id, one.kind)).collect(),
        load: format!(
            "{:.0}/s by {} writers in each environment, {:.1} s warm-up, {:.1} s settling",
            load.rate_per_s,
            load.writers,
            load.warm_up.as_secs_f64(),
            load.settle.as_secs_f64()
        ),
        steps: drawn,
        expect: plan.expect.iter().map(expected).collect(),
        at_least_s: (now + around).as_secs_f64(),
        at_most_s: (most + around).as_secs_f64(),
    }
}

fn when(step: &Step) -> String {
    let trigger = match &step.when {
        None => "after the step before".to_owned(),
        Some(When::At(at)) => format!("at {:.1} s", at.as_secs_f64()),
        Some(When::Step { id, is }) => format!("once {id} is {}", format!("{is:?}").to_lowercase()),
        Some(When::Event { name, environment, nth }) => {
            let of = environment.as_ref().map(|id| format!(" of {id}")).unwrap_or_default();
            format!("on {name}{of}, number {nth}")
        }
        Some(When::Journal { step, environment, nth }) => {
            let of = environment.as_ref().map(|id| format!(" of {id}")).unwrap_or_default();
            format!("once control's journal has {step}{of}, number {nth}")
        }
        Some(When::Lag { environment, store, at_least }) => {
            let what = if *store == Store::Sql { "rows" } else { "objects" };
            format!("once {what} of {environment} are measured to be {:.1} s behind", at_least.as_secs_f64())
        }
        Some(When::Count { environment, acked }) => {
            let of = environment.as_ref().map(|id| format!(" of {id}")).unwrap_or_default();
            format!("once {acked} writes{of} are acknowledged")
        }
        Some(When::Quiesced) => "after the last write".to_owned(),
    };
    if step.delay.is_zero() { trigger } else { format!("{trigger}, {:.1} s later", step.delay.as_secs_f64()) }
}

fn does(step: &Step) -> String {
    match &step.action {
        Action::Inject(fault) => match step.hold {
            Some(hold) => format!("{fault} for {:.1} s", hold.as_secs_f64()),
            None => fault.to_string(),
        },
        Action::Heal(id) => format!("heal {id}"),
        Action::Operate(order) => format!("order {:?} of {:?}", order.kind, order.scope).to_lowercase(),
        Action::Convert(id) => format!("convert {id} to production"),
        Action::Ticket(id) => format!("open a support ticket for {id}"),
        Action::BackUp(id) => format!("back {id} up"),
        Action::Destroy(id) => format!("destroy all that {id} holds, as its customer"),
        Action::Restore(id) => format!("restore {id} from its last back-up"),
        Action::Copy { from, to } => format!("put a copy of {from} into {to}"),
        Action::Exec { command, .. } => format!("run {}", command.join(" ")),
        Action::Pause(pause) => format!("pause {:.1} s", pause.as_secs_f64()),
        Action::Parallel(steps) => {
            let ids: Vec<&str> = steps.iter().map(|step| step.id.as_str()).collect();
            format!("side by side: {}", ids.join(", "))
        }
    }
}

/// The links and processes that a step touches. A fault's own fields say which, so that a fault added later is drawn too.
fn touched(step: &Step, plan: &Plan) -> (Vec<String>, Vec<String>) {
    let Action::Inject(fault) = &step.action else { return Default::default() };
    let fields = fields(fault);
    let text = |name: &str| fields.get(name).and_then(|value| value.as_str()).map(str::to_owned);
    let regions = &plan.regions;
    let environments: Vec<_> = plan.environments.iter().map(|one| one.id.clone()).collect();
    let (mut links, mut processes) = (Vec::new(), Vec::new());
    let sites: Vec<String> = match (fault.lost_region(), fault.lost_zone()) {
        (Some(region), _) => Zone::all(regions.zones).map(|zone| zone.site(region)).collect(),
        (None, Some((region, zone))) => vec![zone.site(region)],
        (None, None) => text("region").into_iter().collect(),
    };
    let all = catalogue::links(regions).into_iter();
    links.extend(all.filter(|link| sites.iter().any(|site| link.touches(site))).map(|link| link.to_string()));
    if ["region.outage", "zone.outage"].contains(&fault.name()) {
        let all = catalogue::processes(regions, &environments).into_iter();
        processes.extend(all.filter(|process| sites.contains(&process.site)).map(|process| process.to_string()));
    }
    // A link as a value has fields; as files write it, it is in what the fault says of itself.
    let said = fault.to_string();
    if fields.contains_key("link") {
        let all = catalogue::links(regions).into_iter().map(|link| link.to_string());
        links.extend(all.filter(|link| said.contains(link)));
    }
    processes.extend(text("process"));
    (links, processes)
}

fn fields(fault: &Fault) -> serde_json::Map<String, serde_json::Value> {
    let value = serde_json::to_value(fault).unwrap_or_default();
    let inner = value.as_object().and_then(|object| object.values().next()).and_then(|value| value.as_object());
    inner.cloned().unwrap_or_default()
}

fn expected(expectation: &Expectation) -> String {
    let Expectation { subject, environment, step, at_most, verdict } = expectation;
    let mut text = match subject {
        Subject::Guarantee(id) => id.clone(),
        Subject::Measure(name) => name.clone(),
    };
    if let Some(environment) = environment {
        write!(text, " of {environment}").unwrap_or_default();
    }
    if let Some(step) = step {
        write!(text, " in {step}").unwrap_or_default();
    }
    if let Some(bound) = at_most {
        write!(text, " at most {bound}").unwrap_or_default();
    }
    format!("{text}: {verdict}")
}

/// Columns of the drawing.
const COLUMNS: usize = 40;

fn human(outline: &Outline) -> String {
    let mut text = format!("{}: {}\n{}\n\n", outline.scenario, outline.environments.join(", "), outline.load);
    let end = outline.steps.iter().map(|step| step.until_s.unwrap_or(step.from_s)).fold(1.0, f64::max);
    let column = |seconds: f64| ((seconds / end * (COLUMNS - 1) as f64).round() as usize).min(COLUMNS - 1);
    let width = outline.steps.iter().map(|step| step.id.len()).max().unwrap_or(0).max(4);
    writeln!(text, "{:<width$}  0 s{:>rest$}", "", format!("{end:.0} s or later"), rest = COLUMNS - 3)
        .unwrap_or_default();
    for step in &outline.steps {
        let (from, until) = (column(step.from_s), step.until_s.map_or(COLUMNS - 1, column));
        let bar: String = (0..COLUMNS)
            .map(|place| match place {
                place if place == from => '●',
                place if place > from && place < until => '─',
                place if place == until => {
                    if step.until_s.is_some() {
                        '┤'
                    } else {
                        '→'
                    }
                }
                _ => '·',
            })
            .collect();
        writeln!(text, "{:<width$}  {bar}  {}", step.id, step.does).unwrap_or_default();
    }
    text.push('\n');
    for step in &outline.steps {
        writeln!(text, "{}: {}, within {:.0} s", step.id, step.when, step.within_s).unwrap_or_default();
        for (what, names) in [("links", &step.links), ("processes", &step.processes)] {
            if !names.is_empty() {
                writeln!(text, "  {what}: {}", names.join("; ")).unwrap_or_default();
            }
        }
    }
    text.push_str("\nexpected:\n");
    for expected in &outline.expect {
        writeln!(text, "  {expected}").unwrap_or_default();
    }
    writeln!(
        text,
        "\ntakes {:.0} s if every trigger comes at once, {:.0} s at most",
        outline.at_least_s, outline.at_most_s
    )
    .unwrap_or_default();
    text
}
