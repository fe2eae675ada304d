//! Zones in a small world of their own: two regions of three zones each, one environment, control killed at any write to its
//! journal. What was acknowledged is in the zone that takes over, and nobody takes over while the old seat may still serve.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    questions::credentials,
    world::{environment, region},
};
use crate::{
    api::{
        EnvironmentId, Epoch, Zone, compute,
        control::{Deploy, Failover, Scope, SwitchKind, Tenant},
        environment::{EnvironmentKind, EnvironmentPhase, Product},
        node::{Action, Answer, Command, Rejoin},
        permit::{FilesAge, Holder, NodeState, PermitRequest, SqlRole},
        role::{DoorPorts, Policy, Timers},
        route::{EdgeReport, Route},
        sabotage::Sabotage,
    },
    platform::core::{AskId, CallId, Core, Effect, Event, OrderAnswer, Record, Refused, Settings, Step},
};

/// Zones of each region.
const ZONES: u8 = 3;
/// How long an answer takes.
const DELAY_MS: u64 = 4;
/// How often everybody speaks.
const POLL_MS: u64 = 250;
/// The longest that everything may take to be in order again.
const SETTLED_MS_MAX: u64 = 120_000;

/// A region and a zone of it: the east is 0.
type Site = (usize, Zone);

/// A node's Postgres.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
enum Is {
    #[default]
    Nothing,
    Primary(Epoch),
    /// Of the primary at this site, under this epoch.
    Follower(Site, Epoch),
}

#[derive(Clone, Default)]
struct Node {
    seen: Epoch,
    is: Is,
    log: Vec<u64>,
    /// Whose standby has to have a write before it is acknowledged, and the operation that said so.
    waits: (Option<Zone>, u64),
    /// It may grant to the other region under this epoch, in this zone; and until when what it granted lives.
    grants: Option<(Epoch, Zone)>,
    stopped: Option<(Epoch, u64)>,
    granted_until: u64,
}

/// Who holds a permit, under which epoch, until when.
type Held = BTreeMap<(Site, Holder), (Epoch, u64)>;

struct Zoned {
    now: u64,
    core: Option<Core>,
    settings: Settings,
    journal: Vec<Record>,
    writes: usize,
    /// At these writes control is killed: before it is durable, or after.
    kills: BTreeMap<usize, bool>,
    restart_at: Option<u64>,
    started: u64,
    nodes: BTreeMap<Site, Node>,
    dead: BTreeSet<Site>,
    /// Standbys that receive nothing, though they seem to stream.
    stalled: BTreeSet<Site>,
    held: Held,
    route: Option<Route>,
    acknowledged: BTreeSet<u64>,
    /// When a node was told to see that the store does without one that is silent.
    renewals: BTreeMap<Site, Vec<u64>>,
    /// Written, and waiting for a standby.
    waiting: Vec<u64>,
    last: u64,
    due: BTreeMap<(u64, u64), (CallId, Result<Answer, ()>)>,
    asks: BTreeMap<AskId, (Site, Holder, u64)>,
    last_ask: u64,
    lost: usize,
    /// To the last order.
    answered: Option<Result<OrderAnswer, Refused>>,
}

fn all() -> impl Iterator<Item = Site> {
    (0..2).flat_map(|region| Zone::all(ZONES).map(move |zone| (region, zone)))
}

fn sales() -> EnvironmentId {
    environment("sales")
}

impl Zoned {
    fn new(kills: BTreeMap<usize, bool>, sabotage: Option<Sabotage>) -> Self {
        let settings = Settings {
            regions: [region(0), region(1)],
            zones: ZONES,
            doors: vec![DoorPorts { sql_rw: 1, sql_ro: 2, files_rw: 3, files_ro: 4 }],
            timers: Timers::default(),
            policy: Policy::default(),
            sabotage,
        };
        let mut world = Self {
            now: 0,
            core: None,
            settings,
            journal: Vec::new(),
            writes: 0,
            kills,
            restart_at: Some(0),
            started: 0,
            nodes: all().map(|site| (site, Node::default())).collect(),
            dead: BTreeSet::new(),
            stalled: BTreeSet::new(),
            held: Held::new(),
            route: None,
            acknowledged: BTreeSet::new(),
            renewals: BTreeMap::new(),
            waiting: Vec::new(),
            last: 0,
            due: BTreeMap::new(),
            asks: BTreeMap::new(),
            last_ask: 0,
            lost: 0,
            answered: None,
        };
        world.deploy();
        world
    }

    fn deploy(&mut self) {
        for attempt in 0.. {
            assert!(attempt < 100, "not deployed");
            self.run(300);
            if self.core.as_ref().is_some_and(|core| core.state().environments.contains_key(&sales())) {
                break;
            }
            let (ask, tenant) = (self.ask(), Tenant { licences: vec![Product::Dataverse] });
            self.step(Event::TenantPut { ask, name: "contoso".to_owned(), tenant });
            let (kind, tenant) = (EnvironmentKind::DataverseProduction, "contoso".to_owned());
            let (ask, order) = (self.ask(), Deploy { id: sales(), kind, tenant, region: region(0) });
            self.step(Event::DeployOrdered { ask, order, credentials: Box::new(credentials()) });
        }
        self.until("deployed", |world| world.has_told("environment.deployed"));
    }

    fn ask(&mut self) -> AskId {
        self.last_ask += 1;
        AskId(self.last_ask)
    }

    fn has_told(&self, name: &str) -> bool {
        self.told(name) > 0
    }

    fn told(&self, name: &str) -> usize {
        self.journal.iter().filter(|record| matches!(record, Record::Event(event) if event.name == name)).count()
    }

    /// The seat, as the journal has it.
    fn seat(&self) -> Zone {
        self.state(|environment| environment.seat(&region(0)))
    }

    fn published(&self) -> Option<Zone> {
        self.state(|environment| environment.synchronous)
    }

    fn state<T>(&self, look: impl Fn(&crate::platform::core::Environment) -> T) -> T {
        let core = Core::recover(self.settings.clone(), &self.journal);
        look(&core.state().environments[&sales()])
    }

    fn run(&mut self, ms: u64) {
        let end = self.now + ms;
        while self.now < end {
            self.tick();
        }
    }

    fn until(&mut self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let end = self.now + SETTLED_MS_MAX;
        while !is_so(self) {
            assert!(self.now < end, "not {what} in time, with {:?}", self.kills);
            self.run(50);
        }
    }

    fn tick(&mut self) {
        self.now += 1;
        if self.restart_at.is_some_and(|at| at <= self.now) {
            self.restart_at = None;
            self.started = self.now;
            self.due.clear();
            self.asks.clear();
            self.core = Some(Core::recover(self.settings.clone(), &self.journal));
            self.step(Event::Restarted { age_ms: self.now });
        }
        let due: Vec<_> = self.due.range(..=(self.now, u64::MAX)).map(|(key, _)| *key).collect();
        for key in due {
            let Some((call, result)) = self.due.remove(&key) else { continue };
            let why = || crate::platform::core::CallFailure { outdated: false, why: "not done".to_owned() };
            self.step(Event::CallEnded { call, result: result.map_err(|()| why()) });
        }
        if self.now.is_multiple_of(25) {
            self.step(Event::Tick);
        }
        if self.now.is_multiple_of(20) {
            self.write();
        }
        if self.now.is_multiple_of(POLL_MS) {
            self.speak();
        }
    }

    /// Every holder asks for permits, and the edge reports.
    fn speak(&mut self) {
        for site in all().filter(|site| !self.dead.contains(site)).collect::<Vec<_>>() {
            for holder in [Holder::Node, Holder::Compute] {
                self.ask_for_permits(site, holder);
            }
        }
        let silent = |site: Site| if self.dead.contains(&site) { 10_000 } else { 10 };
        let silent_ms = all().map(|site| (region(site.0), site.1, Some(silent(site)))).collect();
        let routes = self.route.clone().into_iter().collect();
        self.step(Event::EdgeReported(EdgeReport { silent_ms, routes }));
    }

    fn ask_for_permits(&mut self, site: Site, holder: Holder) {
        let node = &self.nodes[&site];
        let known = match holder {
            Holder::Node if node.seen > Epoch(0) => vec![(sales(), node.seen)],
            Holder::Compute => self.held.get(&(site, holder)).map(|(epoch, _)| (sales(), *epoch)).into_iter().collect(),
            Holder::Node => vec![],
        };
        let sql = match node.is {
            Is::Nothing => SqlRole::Down,
            Is::Primary(epoch) if epoch == node.seen => SqlRole::Primary,
            Is::Primary(_) => SqlRole::Fenced,
            Is::Follower(..) => SqlRole::Standby,
        };
        let state = NodeState {
            environment: sales(),
            epoch: node.seen,
            sql,
            timeline: 1,
            lsn: node.log.len() as u64 + 1,
            other_lsn: 0,
            streaming: self.streams(site),
            files_pending: 0,
            files_oldest_ms: 0,
            after: None,
        };
        let is_node = holder == Holder::Node;
        let peer_dead = Zone::all(ZONES).all(|zone| self.dead.contains(&(1 - site.0, zone)));
        let request = PermitRequest {
            holder,
            region: region(site.0),
            zone: site.1,
            peer_silent_ms: is_node.then_some(if peer_dead { 10_000 } else { 10 }),
            states: if is_node && node.seen > Epoch(0) { vec![state] } else { vec![] },
            files_ok: is_node.then_some(true),
            after: None,
            processors: None,
            files: known.iter().map(|_| FilesAge { environment: sales(), oldest_ms: None }).collect(),
            known: known.clone(),
        };
        // The other region's nodes grant too.
        for (epoch, zone) in known.into_iter().flat_map(|(_, epoch)| Zone::all(ZONES).map(move |zone| (epoch, zone))) {
            let peer = (1 - site.0, zone);
            let Some(grantor) = self.nodes.get_mut(&peer).filter(|_| !self.dead.contains(&peer)) else { continue };
            let stopped = grantor.stopped.map_or(Epoch(0), |(epoch, _)| epoch);
            if grantor.grants == Some((epoch, site.1)) && epoch > stopped && grantor.seen == epoch {
                grantor.granted_until = self.now + self.settings.grant_lives_ms();
                self.hold(site, holder, epoch, self.now + self.settings.timers.permit_ms);
            }
        }
        let ask = self.ask();
        self.asks.insert(ask, (site, holder, self.now));
        self.step(Event::PermitAsked { ask, request });
    }

    fn hold(&mut self, site: Site, holder: Holder, epoch: Epoch, until: u64) {
        let held = self.held.entry((site, holder)).or_insert((epoch, until));
        *held = if epoch > held.0 { (epoch, until) } else { (held.0, until.max(held.1)) };
    }

    /// Whether a standby receives from its primary.
    fn streams(&self, site: Site) -> bool {
        match self.nodes[&site].is {
            Is::Follower(of, epoch) => !self.dead.contains(&of) && self.nodes[&of].is == Is::Primary(epoch),
            Is::Primary(_) => true,
            Is::Nothing => false,
        }
    }

    fn replicate(&mut self) {
        for site in all().collect::<Vec<_>>() {
            let Is::Follower(of, _) = self.nodes[&site].is else { continue };
            if self.streams(site) && !self.dead.contains(&site) && !self.stalled.contains(&site) {
                let log = self.nodes[&of].log.clone();
                self.nodes.get_mut(&site).unwrap().log = log;
            }
        }
    }

    /// One write, and the acknowledgement of those that were waited for.
    fn write(&mut self) {
        let Some(route) = self.route.clone() else { return };
        let site = (usize::from(route.region == region(1)), route.zone);
        let holds = |holder| {
            let held = self.held.get(&(site, holder));
            held.is_some_and(|(epoch, until)| *epoch == route.epoch && *until > self.now)
        };
        let serves = holds(Holder::Node) && holds(Holder::Compute) && self.nodes[&site].is == Is::Primary(route.epoch);
        if self.dead.contains(&site) || !serves {
            self.waiting.clear();
            return;
        }
        self.last += 1;
        self.nodes.get_mut(&site).unwrap().log.push(self.last);
        self.waiting.push(self.last);
        self.replicate();
        let has = |write: &u64| match self.nodes[&site].waits.0 {
            None => true,
            Some(zone) => self.nodes[&(site.0, zone)].log.contains(write),
        };
        let (done, waiting) = self.waiting.iter().partition(|write| has(write));
        self.waiting = waiting;
        let done: Vec<u64> = done;
        self.acknowledged.extend(done);
    }

    fn step(&mut self, event: Event) {
        let now = self.now - self.started;
        let Some(core) = &mut self.core else { return };
        for effect in core.step(now, event) {
            match effect {
                Effect::Journal(records) => {
                    self.writes += 1;
                    let kill = self.kills.get(&self.writes).copied();
                    if kill != Some(true) {
                        self.journal.extend(records);
                    }
                    if kill.is_some() {
                        self.core = None;
                        self.restart_at = Some(self.now + 700);
                        return;
                    }
                }
                Effect::Command { call, region: to, zone, command } => {
                    let site = (usize::from(to == region(1)), zone);
                    let result = if self.dead.contains(&site) { Err(()) } else { self.command(site, &command) };
                    self.answer(call, result);
                }
                Effect::Compute { call, region: to, zone, command } => {
                    let site = (usize::from(to == region(1)), zone);
                    let is_dead = self.dead.contains(&site);
                    if !is_dead && matches!(command.action, compute::Action::Renew) {
                        self.ask_for_permits(site, Holder::Compute);
                    }
                    self.answer(call, if is_dead { Err(()) } else { Ok(Answer::Done) });
                }
                Effect::Route { call, route } => {
                    if self.route.as_ref().is_none_or(|known| known.epoch <= route.epoch) {
                        self.route = Some(route);
                    }
                    self.answer(call, Ok(Answer::Done));
                }
                Effect::Permits { ask, reply } => {
                    let Some((site, holder, sent)) = self.asks.remove(&ask) else { continue };
                    for grant in reply.grants {
                        self.hold(site, holder, grant.epoch, sent + grant.lifetime_ms);
                    }
                    for (_, epoch) in reply.refused {
                        let node = self.nodes.get_mut(&site).unwrap();
                        node.seen = node.seen.max(epoch);
                    }
                }
                Effect::Answer { result, .. } => self.answered = Some(result),
                Effect::Notify { .. } => {}
            }
        }
    }

    fn answer(&mut self, call: CallId, result: Result<Answer, ()>) {
        self.last_ask += 1;
        self.due.insert((self.now + DELAY_MS, self.last_ask), (call, result));
    }

    fn command(&mut self, site: Site, command: &Command) -> Result<Answer, ()> {
        let (now, lives) = (self.now, self.settings.grant_lives_ms());
        let peer = (1 - site.0, command.peer_zone);
        self.replicate();
        if command.epoch < self.nodes[&site].seen {
            return Err(());
        }
        self.nodes.get_mut(&site).unwrap().seen = command.epoch;
        if matches!(command.action, Action::Promote) && self.nodes[&site].is != Is::Primary(command.epoch) {
            self.check_fence(site, command.epoch);
            self.check_loss(site);
        }
        let other = self.nodes[&peer].clone();
        let source = match &command.action {
            Action::MakeZoneStandby { source, .. } => Some((site.0, *source)),
            Action::CreateReplica(_) | Action::FollowZone { .. } => Some(peer),
            _ => None,
        };
        let live = source.map(|source| (source, self.nodes[&source].is, self.nodes[&source].log.clone()));
        let node = self.nodes.get_mut(&site).unwrap();
        match &command.action {
            Action::RenewFiles(_) => self.renewals.entry(site).or_default().push(now),
            Action::CreatePrimary(_) => node.is = Is::Primary(command.epoch),
            Action::Promote => {
                node.is = Is::Primary(command.epoch);
                node.waits = (None, 0);
                return Ok(Answer::Promoted { timeline: 2, fork_lsn: node.log.len() as u64 });
            }
            Action::MakeZoneStandby { .. } | Action::CreateReplica(_) | Action::FollowZone { .. } => {
                let (source, is, log) = live.unwrap();
                if is != Is::Primary(command.epoch) || self.dead.contains(&source) {
                    return Err(());
                }
                assert!(node.is != Is::Primary(command.epoch), "the primary is made a standby");
                node.is = Is::Follower(source, command.epoch);
                node.log = log;
                if matches!(command.action, Action::FollowZone { .. }) {
                    return Ok(Answer::Rejoined(Rejoin::Followed));
                }
            }
            Action::Synchronize { zone } => {
                if node.is != Is::Primary(command.epoch) || command.operation < node.waits.1 {
                    return Err(());
                }
                node.waits = (*zone, command.operation);
                let log = node.log.clone();
                self.waiting.retain(|write| log.contains(write));
                if let Some(zone) = zone {
                    let standby = (site.0, *zone);
                    let has_all = self.streams(standby)
                        && !self.dead.contains(&standby)
                        && self.nodes[&standby].is == Is::Follower(site, command.epoch)
                        && self.nodes[&standby].log == log;
                    return if has_all { Ok(Answer::Done) } else { Err(()) };
                }
            }
            Action::AllowGranting { .. } => {
                if node.stopped.is_some_and(|(epoch, by)| epoch >= command.epoch && by > command.operation) {
                    return Err(());
                }
                node.stopped = None;
                node.grants = Some((command.epoch, command.peer_zone));
            }
            Action::StopGranting => {
                node.stopped = Some((command.epoch, command.operation));
                return Ok(Answer::Stopped { wait_ms: node.granted_until.saturating_sub(now).min(lives) });
            }
            Action::Delete(_) => *node = Node { seen: node.seen, stopped: node.stopped, ..Node::default() },
            _ => drop(other),
        }
        Ok(Answer::Done)
    }

    /// Nobody else may serve any more.
    fn check_fence(&self, site: Site, epoch: Epoch) {
        for ((other, holder), (held, until)) in &self.held {
            let is_alive = *until > self.now && *held < epoch && !self.dead.contains(other);
            assert!(!is_alive || *other == site, "{other:?} {holder:?} holds {held} while {site:?} is promoted");
        }
    }

    /// Whoever takes over has all that was acknowledged.
    fn check_loss(&mut self, site: Site) {
        let log: BTreeSet<u64> = self.nodes[&site].log.iter().copied().collect();
        let lost: BTreeSet<u64> = self.acknowledged.difference(&log).copied().collect();
        self.lost += lost.len();
        assert!(
            lost.is_empty() || self.settings.sabotage.is_some(),
            "zone {site:?} takes over without {lost:?}, with {:?}",
            self.kills
        );
        self.acknowledged.retain(|write| log.contains(write));
    }

    fn kill_zone(&mut self, zone: u8) {
        let site = (0, Zone(zone));
        self.dead.insert(site);
        self.held.retain(|(holder, _), _| *holder != site);
    }

    fn return_zone(&mut self, zone: u8) {
        self.dead.remove(&(0, Zone(zone)));
    }

    /// Everything is served, protected across regions, and against the loss of another zone.
    fn settle(&mut self) {
        self.until("in order", |world| {
            let acknowledged = world.acknowledged.len();
            world.published().is_some()
                && acknowledged > 0
                && world
                    .state(|environment| environment.phase == EnvironmentPhase::Protected && environment.task.is_none())
        });
        let before = self.acknowledged.len();
        self.run(1_500);
        assert!(self.acknowledged.len() > before + 20, "customers are not served, with {:?}", self.kills);
    }
}

/// What is played, from the deployment on.
#[derive(Debug, Clone, Copy)]
enum Play {
    /// The seat's zone is lost, and returns.
    Seat,
    /// The zone that is waited for is lost, then the seat's.
    BothInTurn,
    /// The zones are lost in a round, each returning before the next.
    Round,
}

impl Play {
    fn run(self, kills: BTreeMap<usize, bool>) -> Zoned {
        let mut world = Zoned::new(kills, None);
        world.settle();
        let first = world.published().unwrap();
        match self {
            Self::Seat => {
                world.kill_zone(1);
                world.until("moved", |world| world.seat() == first && world.has_told("zone.completed"));
                world.settle();
                world.return_zone(1);
            }
            Self::BothInTurn => {
                world.kill_zone(first.0);
                world.until("another waited for", |world| world.published().is_some_and(|zone| zone != first));
                world.settle();
                world.kill_zone(1);
                world.until("moved", |world| !matches!(world.seat(), Zone(1)) && world.has_told("zone.completed"));
                world.return_zone(1);
                world.return_zone(first.0);
            }
            Self::Round => {
                for round in 1..=3 {
                    let seat = world.seat();
                    world.kill_zone(seat.0);
                    world.until("moved", |world| world.seat() != seat && world.told("zone.completed") >= round);
                    world.return_zone(seat.0);
                    world.settle();
                }
            }
        }
        world.settle();
        world
    }
}

#[test]
fn a_lost_zone_loses_nothing_wherever_control_is_killed() {
    let mut cases = 0;
    for play in [Play::Seat, Play::BothInTurn, Play::Round] {
        let calm = play.run(BTreeMap::new());
        assert_eq!(calm.lost, 0);
        let places: Vec<(usize, bool)> =
            (1..=calm.writes + 3).flat_map(|write| [true, false].map(|before| (write, before))).collect();
        for place in &places {
            play.run(BTreeMap::from([*place]));
        }
        // One pair of seven.
        let pairs = places.iter().enumerate().flat_map(|(index, one)| {
            let others = places.iter().enumerate().skip(index + 1);
            others.filter(move |(other, _)| (index + other) % 7 == 0).map(move |(_, other)| (*one, *other))
        });
        let pairs: Vec<_> =
            pairs.filter(|(one, other)| one.0 != other.0).map(|(a, b)| BTreeMap::from([a, b])).collect();
        println!("{play:?}: {} writes, {} single crashes, {} pairs", calm.writes, places.len(), pairs.len());
        cases += places.len() + pairs.len();
        pairs.into_iter().for_each(|pair| drop(play.run(pair)));
    }
    println!("zones: {cases} cases, nothing lost");
    assert!(cases > 800);
}

/// Both regions have to be whole, and one without a zone is not: a switch there could not be followed by another within it.
#[test]
fn nobody_is_switched_or_failed_back_while_a_zone_is_missing() {
    for kind in [SwitchKind::Planned, SwitchKind::Failback] {
        let mut world = Zoned::new(BTreeMap::new(), None);
        world.settle();
        world.kill_zone(3);
        world.run(5_000);
        if kind == SwitchKind::Failback {
            // Served away from home.
            let environments = &mut world.core.as_mut().expect("it runs").state.environments;
            environments.get_mut(&sales()).expect("deployed").given.home = region(1);
        }
        let scope = Scope::Environments(vec![sales()]);
        let order = Failover { kind, scope, accept_data_loss: false };
        world.step(Event::FailoverOrdered { ask: AskId(u64::MAX), order });
        let refused = world.answered.take().expect("an answer").expect_err("it was taken");
        assert_eq!(refused.status, 409);
        assert!(refused.why.contains("its node of zone 3 is not heard"), "{kind:?}: {refused}");
    }
}

/// One zone is away: what it has is removed when it is back.
#[test]
fn a_deletion_reaches_every_zone_of_both_regions() {
    let mut world = Zoned::new(BTreeMap::new(), None);
    world.settle();
    world.kill_zone(3);
    world.step(Event::DeletionOrdered { ask: AskId(u64::MAX), environment: sales() });
    world.run(10_000);
    assert!(world.state(|environment| environment.task.as_ref().is_some_and(|task| task.step == Step::Deleting)));
    let is_gone = |world: &Zoned| world.nodes.values().filter(|node| node.is == Is::Nothing).count();
    assert_eq!(is_gone(&world), 5);
    world.return_zone(3);
    world.until("deleted", |world| world.core.as_ref().is_some_and(|core| core.state().environments.is_empty()));
    assert_eq!(is_gone(&world), 6);
    let said = world
        .journal
        .iter()
        .any(|record| matches!(record, Record::Event(event) if event.name == "environment.deleted"));
    assert!(said);
}

#[test]
fn a_platform_that_is_broken_so_loses_what_was_acknowledged() {
    // Whom nobody waits for is behind.
    let mut advanced = Zoned::new(BTreeMap::new(), Some(Sabotage::LessAdvanced));
    advanced.settle();
    let behind = Zone::all(ZONES).find(|zone| *zone != Zone::FIRST && Some(*zone) != advanced.published()).unwrap();
    advanced.stalled.insert((0, behind));
    advanced.run(1_000);
    advanced.kill_zone(1);
    advanced.until("moved", |world| world.has_told("zone.completed"));
    assert!(advanced.lost > 0 && advanced.seat() == behind);
    // Nobody is waited for at all.
    let mut waits = Zoned::new(BTreeMap::new(), Some(Sabotage::ZoneNotSynchronous));
    waits.settle();
    waits.stalled.insert((0, waits.published().unwrap()));
    waits.run(1_000);
    waits.kill_zone(1);
    waits.until("moved", |world| world.has_told("zone.completed"));
    assert!(waits.lost > 0);
}

#[test]
fn while_a_zone_is_missed_every_node_that_is_heard_sees_to_the_store() {
    let mut world = Zoned::new(BTreeMap::new(), None);
    world.settle();
    assert_eq!(world.renewals, BTreeMap::new());
    let began = world.now;
    world.kill_zone(3);
    world.run(10_000);
    let told: Vec<(Site, Vec<u64>)> = std::mem::take(&mut world.renewals).into_iter().collect();
    // Nobody in the other region, and both at once: each has the other start anew.
    let [(one, first), (two, second)] = &*told else { panic!("{told:?}") };
    assert_eq!((*one, *two), ((0, Zone::FIRST), (0, Zone::all(ZONES).nth(1).unwrap())));
    assert_eq!(first, second);
    assert!(first.len() > 1 && first[0] - began < 3_000, "{told:?}");
    world.return_zone(3);
    world.run(3_000);
    world.renewals.clear();
    world.run(10_000);
    assert_eq!(world.renewals, BTreeMap::new());
}

#[test]
fn a_zone_takes_over_only_if_it_is_the_one_that_is_waited_for() {
    let mut world = Zoned::new(BTreeMap::new(), None);
    world.settle();
    let published = world.published().unwrap();
    // Both at once: the third has not got everything for sure, so nobody takes over until one of the two is back.
    world.kill_zone(published.0);
    world.kill_zone(1);
    world.run(20_000);
    assert_eq!((world.seat(), world.told("zone.completed")), (Zone::FIRST, 0));
    world.return_zone(published.0);
    world.until("moved", |world| world.seat() == published);
    world.return_zone(1);
    world.settle();
    assert_eq!(world.lost, 0);
}
