//! A world around the core, small enough to run thousands of times: two regions with a node and a compute each, an edge,
//! a network that delays, loses and repeats messages, clocks that drift apart by up to 1 %, a control plane that is killed
//! at any write to its journal. It checks the invariants itself and panics where one breaks.

use std::collections::{BTreeMap, BTreeSet};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::{
    chaos::{Chaos, Kill, Who},
    stores::{ComputeState, Customer, Stores},
};
use crate::{
    api::{
        EnvironmentId, Epoch, Region, compute,
        control::{Conversion, Failover, Scope, SupportTicket},
        guard::{GuardLevel, Stamp},
        node::{Action, Answer, Command},
        permit::{PermitReply, PermitRequest, Processors},
        role::{DoorPorts, Policy, Timers},
        route::{EdgeReport, Route},
    },
    platform::core::{
        AskId, CallFailure, CallId, Core, Effect, Event, OrderAnswer, Record, Refused, Samples, Settings,
    },
};

/// East is 0, west is 1.
pub const EAST: usize = 0;
pub const WEST: usize = 1;
const NAMES: [&str; 2] = ["east", "west"];

pub fn region(index: usize) -> Region {
    NAMES[index].parse().unwrap()
}

pub fn environment(name: &str) -> EnvironmentId {
    name.parse().unwrap()
}

#[derive(Clone)]
pub(super) enum Message {
    Ask { sent: u64, request: PermitRequest },
    Told { sent: u64, life: u32, reply: PermitReply },
    Command { call: CallId, life: u32, command: Box<Command> },
    Compute { call: CallId, life: u32, command: compute::Command },
    Route { call: CallId, life: u32, route: Route },
    Ended { call: CallId, life: u32, result: Result<Answer, CallFailure> },
    Report(EdgeReport),
    Health { sent: u64 },
}

#[derive(Clone)]
pub(super) enum Due {
    Arrives { from: Who, to: Who, message: Box<Message> },
    Poll(Who),
    Tick,
    StartControl,
    Late { call: CallId, life: u32 },
    Notified { notice: u64, life: u32 },
    Order(usize),
    Convert,
    Ticket,
    Write,
    Outage { region: usize, begins: bool },
    RestartNode(usize),
}

#[derive(Default)]
pub(super) struct Actor {
    /// Clock rate, parts in 10,000.
    pub(super) rate: u64,
    pub(super) alive: bool,
    /// Grows with each start of the process.
    pub(super) life: u32,
}

/// What one holder holds: epoch and end by its own clock.
pub(super) type Held = BTreeMap<EnvironmentId, (Epoch, u64)>;

/// Until when a compute may let writes pass, by its own clock: by each grantor's word.
pub(super) type Writes = BTreeMap<(EnvironmentId, Who), u64>;

pub struct World {
    pub now: u64,
    pub chaos: Chaos,
    pub journal: Vec<Record>,
    pub core: Option<Core>,
    /// Journal writes so far.
    pub writes: usize,
    /// Steps of the core so far.
    pub steps: u64,
    pub answers: Vec<Result<OrderAnswer, Refused>>,
    /// An operator has accepted that more than the bound is lost.
    pub is_loss_accepted: bool,
    pub routes: BTreeMap<EnvironmentId, Route>,
    pub(super) rng: ChaCha8Rng,
    pub(super) queue: BTreeMap<(u64, u64), Due>,
    pub(super) sequence: u64,
    pub(super) settings: Settings,
    pub(super) actors: BTreeMap<Who, Actor>,
    pub(super) started_ms: u64,
    pub(super) first_start_ms: u64,
    pub(super) held: BTreeMap<Who, Held>,
    pub(super) writes_until: [Writes; 2],
    /// The last stamp that a holder had from a grantor.
    pub(super) stamps: BTreeMap<(Who, Who), Stamp>,
    /// The node as grantor: the real one's estimates.
    pub(super) exposures: [BTreeMap<EnvironmentId, (Epoch, Samples, GuardLevel)>; 2],
    pub(super) stores: [BTreeMap<EnvironmentId, Stores>; 2],
    pub(super) computes: [BTreeMap<EnvironmentId, ComputeState>; 2],
    pub(super) customers: BTreeMap<EnvironmentId, Customer>,
    /// When each node last heard the other region ask, by its own clock.
    pub(super) peer_heard: [Option<u64>; 2],
    pub(super) edge_heard: [Option<u64>; 2],
    /// What each node says of its processors.
    pub(super) processors: [Option<Processors>; 2],
    pub(super) open_calls: BTreeSet<CallId>,
    /// Life of each asker when it asked control.
    pub(super) asks: BTreeMap<AskId, (Who, u64, u32)>,
    pub(super) last_ask: u64,
    pub(super) epochs: BTreeMap<EnvironmentId, Epoch>,
}

impl World {
    pub fn new(chaos: Chaos, policy: Policy) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(chaos.seed);
        let doors = DoorPorts { sql_rw: 1, sql_ro: 2, files_rw: 3, files_ro: 4 };
        let settings = Settings {
            regions: [region(EAST), region(WEST)],
            zones: 1,
            doors: vec![doors; 4],
            timers: Timers::default(),
            policy,
            sabotage: None,
        };
        let everybody = [Who::Control, Who::Edge, Who::Node(0), Who::Node(1), Who::Compute(0), Who::Compute(1)];
        let mut world = Self {
            now: 0,
            journal: Vec::new(),
            core: None,
            writes: 0,
            steps: 0,
            answers: Vec::new(),
            is_loss_accepted: false,
            routes: BTreeMap::new(),
            queue: BTreeMap::new(),
            sequence: 0,
            settings,
            actors: BTreeMap::new(),
            started_ms: 0,
            first_start_ms: 0,
            held: BTreeMap::new(),
            writes_until: [BTreeMap::new(), BTreeMap::new()],
            stamps: BTreeMap::new(),
            exposures: [BTreeMap::new(), BTreeMap::new()],
            stores: [BTreeMap::new(), BTreeMap::new()],
            computes: [BTreeMap::new(), BTreeMap::new()],
            customers: BTreeMap::new(),
            peer_heard: [None; 2],
            edge_heard: [None; 2],
            processors: [None; 2],
            open_calls: BTreeSet::new(),
            asks: BTreeMap::new(),
            last_ask: 0,
            epochs: BTreeMap::new(),
            rng: ChaCha8Rng::seed_from_u64(0),
            chaos,
        };
        for who in everybody {
            // 10,049 : 9,951 is a little under 1.01.
            let rate = if world.chaos.drift { rng.random_range(9_951..=10_049) } else { 10_000 };
            world.actors.insert(who, Actor { rate, alive: who != Who::Control, life: 0 });
            if who != Who::Control {
                let phase = rng.random_range(0..250);
                world.push(phase, Due::Poll(who));
            }
        }
        world.rng = rng;
        world.push(0, Due::StartControl);
        world.push(0, Due::Write);
        for (region, begin, end) in world.chaos.outages.clone() {
            world.push(begin, Due::Outage { region, begins: true });
            world.push(end, Due::Outage { region, begins: false });
        }
        for (region, at) in world.chaos.node_restarts.clone() {
            world.push(at, Due::RestartNode(region));
        }
        for (region, at) in world.chaos.orders.clone() {
            world.push(at, Due::Order(region));
        }
        for at in world.chaos.tickets.clone() {
            world.push(at, Due::Ticket);
        }
        for at in world.chaos.conversions.clone() {
            world.push(at, Due::Convert);
        }
        world
    }

    pub(super) fn push(&mut self, at: u64, due: Due) {
        self.sequence += 1;
        self.queue.insert((at.max(self.now), self.sequence), due);
    }

    /// Somebody's own clock.
    pub(super) fn clock(&self, who: Who) -> u64 {
        self.now * self.actors[&who].rate / 10_000
    }

    pub(super) fn roll(&mut self, percent: u32) -> bool {
        percent > 0 && self.rng.random_range(0..100) < percent
    }

    /// Runs until a time, or until a condition holds; says whether it did.
    pub fn run_until(&mut self, end: u64, mut is_enough: impl FnMut(&World) -> bool) -> bool {
        while let Some((&(at, key), _)) = self.queue.iter().next() {
            if is_enough(self) {
                return true;
            }
            if at > end {
                self.now = end;
                return false;
            }
            self.now = at;
            let Some(due) = self.queue.remove(&(at, key)) else { continue };
            self.happen(due);
        }
        false
    }

    pub(super) fn happen(&mut self, due: Due) {
        match due {
            Due::Arrives { from, to, message } if self.actors[&to].alive && !self.is_cut(from, to) => {
                self.arrive(from, to, *message);
            }
            Due::Arrives { .. } => {}
            Due::Poll(who) => self.poll(who),
            Due::Tick => {
                if self.core.is_some() {
                    self.push(self.now + 25, Due::Tick);
                    self.step(Event::Tick);
                }
            }
            Due::StartControl => self.start_control(),
            Due::Late { call, life } => {
                let why = "no answer".to_owned();
                self.end_call(call, life, Err(CallFailure { outdated: false, why }));
            }
            Due::Notified { notice, life } => {
                if life == self.actors[&Who::Control].life {
                    self.step(Event::NoticeAttempted { notice });
                }
            }
            Due::Order(region_index) => {
                let (kind, scope) = (self.chaos.ordered, Scope::Region(region(region_index)));
                let order = Failover { kind, scope, accept_data_loss: false };
                let ask = self.ask();
                self.step(Event::FailoverOrdered { ask, order });
            }
            Due::Convert => {
                let (ask, environment) = (self.ask(), environment("talk"));
                self.step(Event::ConversionOrdered { ask, order: Conversion { environment } });
            }
            Due::Ticket => {
                let (ask, environment) = (self.ask(), environment("books"));
                self.step(Event::TicketOrdered { ask, order: SupportTicket { environment } });
            }
            Due::Write => self.write_as_customers(),
            Due::Outage { region, begins } => self.outage(region, begins),
            Due::RestartNode(region) => self.restart_node(region),
        }
    }

    pub(super) fn ask(&mut self) -> AskId {
        self.last_ask += 1;
        AskId(self.last_ask)
    }

    pub(super) fn is_cut(&self, from: Who, to: Who) -> bool {
        self.chaos
            .cuts
            .iter()
            .any(|cut| cut.from == from && cut.to == to && (cut.begin_ms..cut.end_ms).contains(&self.now))
    }

    pub(super) fn send(&mut self, from: Who, to: Who, message: Message) {
        if self.is_cut(from, to) || self.roll(self.chaos.lost) {
            return;
        }
        let delay = self.rng.random_range(1..=self.chaos.delay_ms.max(1));
        if self.roll(self.chaos.repeated) {
            let later = self.rng.random_range(1..=3_000);
            self.push(self.now + later, Due::Arrives { from, to, message: Box::new(message.clone()) });
        }
        self.push(self.now + delay, Due::Arrives { from, to, message: Box::new(message) });
    }

    // ---- control ----

    pub(super) fn start_control(&mut self) {
        if self.core.is_some() {
            return;
        }
        self.started_ms = self.clock(Who::Control);
        let actor = self.actors.get_mut(&Who::Control).unwrap();
        actor.alive = true;
        actor.life += 1;
        self.open_calls.clear();
        self.asks.clear();
        self.core = Some(Core::recover(self.settings.clone(), &self.journal));
        self.step(Event::Restarted { age_ms: self.started_ms - self.first_start_ms });
        self.push(self.now + 25, Due::Tick);
    }

    /// Kills control; it starts again a little later.
    pub fn kill_control(&mut self) {
        self.core = None;
        self.actors.get_mut(&Who::Control).unwrap().alive = false;
        let pause = self.rng.random_range(10..2_000);
        self.push(self.now + pause, Due::StartControl);
    }

    pub fn step(&mut self, event: Event) {
        let now = self.clock(Who::Control) - self.started_ms;
        let Some(core) = self.core.as_mut() else { return };
        self.steps += 1;
        let effects = core.step(now, event);
        for (index, effect) in effects.into_iter().enumerate() {
            if let Effect::Journal(records) = effect {
                assert_eq!(index, 0, "the journal comes first");
                self.writes += 1;
                let kill = self.chaos.kills.get(&self.writes).copied();
                if kill != Some(Kill::BeforeWrite) {
                    self.write(records);
                }
                match kill {
                    Some(Kill::BeforeWrite | Kill::AfterWrite) => return self.kill_control(),
                    Some(Kill::Node(region)) => self.restart_node(region),
                    None => {}
                }
            } else {
                self.perform(effect);
            }
        }
    }

    pub(super) fn write(&mut self, records: Vec<Record>) {
        for record in &records {
            if let Record::Entered { step, .. } = record {
                self.reach(step.name());
            }
            if let Record::Switched { environment, from, to, .. } = record {
                let before = self.epochs.insert(environment.clone(), *to).unwrap_or(Epoch::FIRST);
                assert_eq!((before, before.next()), (*from, *to), "the register grows by one");
            }
            if let Record::Retired { environment, from, to } = record {
                let before = self.epochs.insert(environment.clone(), *to).unwrap_or(Epoch::FIRST);
                assert_eq!((before, before.next()), (*from, *to), "the register grows by one");
            }
            if let Record::Created(given) = record {
                // Of an environment that had the name before.
                self.epochs.entry(given.id.clone()).and_modify(|last| *last = last.next());
            }
        }
        self.journal.extend(records);
    }

    pub(super) fn perform(&mut self, effect: Effect) {
        let life = self.actors[&Who::Control].life;
        match effect {
            Effect::Journal(_) => unreachable!("performed before"),
            Effect::Command { call, region: to, command, .. } => {
                let to = Who::Node(usize::from(to == region(WEST)));
                self.open_calls.insert(call);
                let within = if matches!(command.action, Action::StopGranting) { 1_000 } else { 3_000 };
                self.push(self.now + within, Due::Late { call, life });
                self.send(Who::Control, to, Message::Command { call, life, command });
            }
            Effect::Compute { call, region: to, command, .. } => {
                let to = Who::Compute(usize::from(to == region(WEST)));
                self.open_calls.insert(call);
                self.push(self.now + 2_000, Due::Late { call, life });
                self.send(Who::Control, to, Message::Compute { call, life, command });
            }
            Effect::Route { call, route } => {
                self.open_calls.insert(call);
                self.push(self.now + 1_000, Due::Late { call, life });
                self.send(Who::Control, Who::Edge, Message::Route { call, life, route });
            }
            Effect::Notify { notice } => {
                let takes = self.rng.random_range(1..1_000);
                self.push(self.now + takes, Due::Notified { notice, life });
            }
            Effect::Permits { ask, reply } => {
                if let Some((who, sent, life)) = self.asks.remove(&ask) {
                    self.send(Who::Control, who, Message::Told { sent, life, reply });
                }
            }
            Effect::Answer { result, .. } => self.answers.push(result),
        }
    }

    pub(super) fn end_call(&mut self, call: CallId, life: u32, result: Result<Answer, CallFailure>) {
        if life == self.actors[&Who::Control].life && self.open_calls.remove(&call) {
            self.step(Event::CallEnded { call, result });
        }
    }
}
