//! The regions' side of the world: holders, grantors, the edge. Both safety invariants are checked here.

use super::{
    chaos::{Chaos, Who},
    stores::Stores,
    world::{Due, Message, WEST, World, region},
};
use crate::{
    api::{
        EnvironmentId, Epoch, Zone,
        guard::{Limits, Stamp},
        node::{Action, Answer, Command},
        permit::{Grant, Holder, NodeState, PermitReply, PermitRequest, SqlRole},
        route::EdgeReport,
    },
    platform::core::{CallFailure, Event, drifted},
};

impl World {
    pub(super) fn poll(&mut self, who: Who) {
        self.push(self.now + 250, Due::Poll(who));
        self.look_around(who);
    }

    /// Asks both grantors for permits, or reports to control.
    pub(super) fn look_around(&mut self, who: Who) {
        if !self.actors[&who].alive {
            return;
        }
        let (holder, index) = match who {
            Who::Edge => return self.report(),
            Who::Node(index) => (Holder::Node, index),
            Who::Compute(index) => (Holder::Compute, index),
            Who::Control => return,
        };
        let local = self.clock(who);
        let known = match who {
            Who::Node(_) => self.stores[index].iter().map(|(id, stores)| (id.clone(), stores.seen)).collect(),
            _ => self.held.get(&who).into_iter().flatten().map(|(id, (epoch, _))| (id.clone(), *epoch)).collect(),
        };
        let peer_silent_ms = match who {
            Who::Node(_) => self.peer_heard[index].map(|at| local - at),
            _ => None,
        };
        let states = if holder == Holder::Node { self.states(index) } else { Vec::new() };
        let files_ok = (holder == Holder::Node).then_some(true);
        let files = if holder == Holder::Compute { self.files_ages(index) } else { Vec::new() };
        let processors = self.processors[index].filter(|_| holder == Holder::Node);
        let region = region(index);
        let zone = Zone::FIRST;
        let request = PermitRequest {
            holder,
            region,
            zone,
            known,
            peer_silent_ms,
            states,
            files_ok,
            after: None,
            files,
            processors,
        };
        for to in [Who::Control, Who::Node(1 - index)] {
            let after = self.stamps.get(&(who, to)).copied();
            let states = request.states.iter().map(|state| NodeState { after, ..state.clone() }).collect();
            let request = PermitRequest { after, states, ..request.clone() };
            self.send(who, to, Message::Ask { sent: local, request });
        }
    }

    pub(super) fn states(&mut self, index: usize) -> Vec<NodeState> {
        let Chaos { unstreamed, owed_ms, .. } = self.chaos;
        let state = |(id, stores): (&EnvironmentId, &mut Stores)| {
            // What Postgres itself writes when it starts.
            stores.lsn = 1 + stores.log.len() as u64;
            NodeState {
                environment: id.clone(),
                epoch: stores.seen,
                sql: stores.sql.unwrap_or(SqlRole::Down),
                timeline: 1,
                lsn: stores.lsn,
                other_lsn: 0,
                streaming: !unstreamed,
                files_pending: u64::from(owed_ms > 0),
                files_oldest_ms: owed_ms,
                after: None,
            }
        };
        self.stores[index].iter_mut().map(state).collect()
    }

    pub(super) fn report(&mut self) {
        let local = self.clock(Who::Edge);
        let silent_ms =
            (0..2).map(|index| (region(index), Zone::FIRST, self.edge_heard[index].map(|at| local - at))).collect();
        let report = EdgeReport { silent_ms, routes: self.routes.values().cloned().collect() };
        self.send(Who::Edge, Who::Control, Message::Report(report));
        for index in 0..2 {
            self.send(Who::Edge, Who::Compute(index), Message::Health { sent: local });
        }
    }

    pub(super) fn arrive(&mut self, from: Who, to: Who, message: Message) {
        match (to, message) {
            (Who::Control, Message::Ask { sent, request, .. }) => {
                let ask = self.ask();
                self.asks.insert(ask, (from, sent, self.actors[&from].life));
                self.step(Event::PermitAsked { ask, request });
            }
            (Who::Control, Message::Ended { call, life, result }) => self.end_call(call, life, result),
            (Who::Control, Message::Report(report)) => self.step(Event::EdgeReported(report)),
            (Who::Node(index), Message::Ask { sent, request, .. }) => {
                let reply = self.grant(index, &request);
                let life = self.actors[&from].life;
                self.send(to, from, Message::Told { sent, life, reply });
            }
            (Who::Node(index), Message::Command { call, life, command }) => {
                let result = self.command(index, &command);
                self.send(to, Who::Control, Message::Ended { call, life, result });
            }
            (Who::Compute(index), Message::Compute { call, life, command }) => {
                self.compute_command(index, call, life, &command);
            }
            (Who::Edge, Message::Route { call, life, route }) => {
                let seen = self.routes.get(&route.environment).map_or(Epoch(0), |route| route.epoch);
                let result = if route.epoch < seen {
                    Err(CallFailure { outdated: true, why: "old epoch".to_owned() })
                } else {
                    self.routes.insert(route.environment.clone(), route);
                    Ok(Answer::Done)
                };
                self.send(Who::Edge, Who::Control, Message::Ended { call, life, result });
            }
            (Who::Compute(_), Message::Health { sent }) => self.send(to, Who::Edge, Message::Health { sent }),
            (Who::Edge, Message::Health { .. }) => {
                if let Who::Compute(index) = from {
                    self.edge_heard[index] = Some(self.clock(Who::Edge));
                }
            }
            (_, Message::Told { sent, life, reply }) if life == self.actors[&to].life => {
                self.hold(to, from, sent, reply)
            }
            _ => {}
        }
    }

    /// A holder takes what it was granted. Here the first invariant is checked.
    pub(super) fn hold(&mut self, who: Who, from: Who, sent: u64, reply: PermitReply) {
        let local = self.clock(who);
        let stamp = self.stamps.entry((who, from)).or_insert(reply.stamp);
        if stamp.life != reply.stamp.life || *stamp < reply.stamp {
            *stamp = reply.stamp;
        }
        for (id, epoch) in &reply.refused {
            if let Who::Node(index) = who {
                let stores = self.stores[index].entry(id.clone()).or_default();
                if *epoch > stores.seen {
                    stores.seen = *epoch;
                    stores.quarantine();
                }
            }
            self.held.entry(who).or_default().retain(|held, (old, _)| held != id || *old >= *epoch);
        }
        for grant in reply.grants {
            let until = sent + grant.lifetime_ms;
            let mine = self.held.entry(who).or_default().entry(grant.environment.clone()).or_insert((grant.epoch, 0));
            if grant.epoch < mine.0 || until <= local {
                continue;
            }
            *mine = if grant.epoch > mine.0 { (grant.epoch, until) } else { (grant.epoch, until.max(mine.1)) };
            if let Who::Compute(index) = who {
                let writes = self.writes_until[index].entry((grant.environment.clone(), from)).or_default();
                *writes = if grant.exposure_ok { until.max(*writes) } else { 0 };
            }
            // A permit that was on its way to somebody who has durably stopped lets nothing pass.
            if !self.is_confirmed_shut(who, &grant.environment, grant.epoch) {
                self.check_alone(who, &grant.environment, grant.epoch);
            }
        }
    }

    /// No holder of the other region may be alive, nor still be cutting, under another epoch.
    pub(super) fn check_alone(&self, who: Who, id: &EnvironmentId, epoch: Epoch) {
        let (Who::Node(index) | Who::Compute(index)) = who else { return };
        for other in [Who::Node(1 - index), Who::Compute(1 - index)] {
            let Some((theirs, until)) = self.held.get(&other).and_then(|held| held.get(id)) else { continue };
            let is_alive =
                self.clock(other) < until + self.settings.timers.cut_ms && !self.is_confirmed_shut(other, id, *theirs);
            assert!(
                !is_alive || *theirs == epoch,
                "at {} {who:?} holds {id} under {epoch} while {other:?} holds it under {theirs} (seed {})",
                self.now,
                self.chaos.seed
            );
        }
    }

    /// A node as grantor.
    pub(super) fn grant(&mut self, index: usize, request: &PermitRequest) -> PermitReply {
        let local = self.clock(Who::Node(index));
        self.peer_heard[index] = Some(local);
        // Its life is the time of its start, which is that of its process.
        let life = u64::from(self.actors[&Who::Node(index)].life);
        let stamp = Stamp { life, ms: local };
        let mut reply = PermitReply { grants: Vec::new(), refused: Vec::new(), stamp };
        for (id, epoch) in &request.known {
            let (exposure_ok, pace_ms) = self.node_word(index, id, *epoch, request, stamp);
            let Some(stores) = self.stores[index].get_mut(id) else { continue };
            if stores.seen > *epoch {
                reply.refused.push((id.clone(), stores.seen));
                continue;
            }
            let stopped = stores.stopped.map_or(Epoch(0), |(epoch, _)| epoch);
            if stores.allowed.is_some_and(|allowed| (allowed.0, allowed.1) == (*epoch, 1 - index))
                && *epoch > stopped
                && stores.seen == *epoch
            {
                stores.answered = Some(local);
                reply.grants.push(Grant {
                    environment: id.clone(),
                    epoch: *epoch,
                    lifetime_ms: self.settings.timers.permit_ms,
                    exposure_ok,
                    pace_ms,
                    slot: 0,
                    bucket: String::new(),
                    s3_access_key: String::new(),
                    sql_reader: String::new(),
                    marks_revision: 0,
                });
            }
        }
        reply
    }

    /// A node as performer. Here the second invariant is checked: no promotion before the fence.
    pub(super) fn command(&mut self, index: usize, command: &Command) -> Result<Answer, CallFailure> {
        if self.roll(self.chaos.failing) {
            return Err(CallFailure { outdated: false, why: "disk is full".to_owned() });
        }
        let local = self.clock(Who::Node(index));
        let lives = drifted(self.settings.timers.permit_ms) + self.settings.timers.cut_ms;
        let stores = self.stores[index].entry(command.environment.clone()).or_default();
        if command.epoch < stores.seen {
            return Err(CallFailure { outdated: true, why: format!("epoch {} has been seen", stores.seen) });
        }
        stores.seen = command.epoch;
        match &command.action {
            Action::AllowGranting { primary, guard } => {
                let is_late =
                    |held: &(Epoch, usize, u64, Option<Limits>)| held.0 == command.epoch && held.2 > command.operation;
                if stores.allowed.as_ref().is_some_and(is_late) {
                    return Err(CallFailure { outdated: true, why: "allowed by a later operation".to_owned() });
                }
                if stores
                    .stopped
                    .is_some_and(|(epoch, operation)| epoch >= command.epoch && operation > command.operation)
                {
                    return Err(CallFailure { outdated: true, why: "stopped by a later operation".to_owned() });
                }
                stores.stopped = None;
                let primary = usize::from(*primary == region(WEST));
                stores.allowed = Some((command.epoch, primary, command.operation, *guard));
                Ok(Answer::Done)
            }
            Action::StopGranting => {
                let operation = stores.stopped.map_or(0, |(_, operation)| operation).max(command.operation);
                stores.stopped = Some((command.epoch, operation));
                let left = stores.answered.map_or(0, |at| (at + lives).saturating_sub(local));
                Ok(Answer::Stopped { wait_ms: left })
            }
            Action::Promote => {
                self.check_alone(Who::Node(index), &command.environment, command.epoch);
                Ok(self.promote(index, &command.environment, command.epoch))
            }
            _ => self.store_command(index, command),
        }
    }

    pub(super) fn outage(&mut self, index: usize, begins: bool) {
        for who in [Who::Node(index), Who::Compute(index)] {
            let actor = self.actors.get_mut(&who).unwrap();
            actor.alive = !begins;
            actor.life += 1;
            self.held.remove(&who);
            self.stamps.retain(|(holder, _), _| *holder != who);
        }
        self.writes_until[index].clear();
        self.forget(index);
    }

    pub(super) fn restart_node(&mut self, index: usize) {
        self.actors.get_mut(&Who::Node(index)).unwrap().life += 1;
        self.held.remove(&Who::Node(index));
        self.stamps.retain(|(holder, _), _| *holder != Who::Node(index));
        self.forget(index);
    }

    /// What a node does not know any more after its restart: it counts from its start.
    pub(super) fn forget(&mut self, index: usize) {
        let local = self.clock(Who::Node(index));
        self.peer_heard[index] = None;
        self.exposures[index].clear();
        let allowed = self.stores[index].values_mut().filter(|stores| stores.allowed.is_some());
        allowed.for_each(|stores| stores.answered = Some(local));
    }
}
