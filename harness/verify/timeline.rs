//! Who served when, from what clients were told: the platform's word opens an event, acknowledgements close it.

use super::{
    input::Input,
    seats::{self, Move},
};
use crate::model::{
    RunTime, SwitchKind,
    event::{What, last_faults},
    fault::FaultRecord,
    measure::EventKind,
    operation::{EnvironmentIndex, Lane, Side, Told},
};

/// One acknowledgement, of a write or a read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ack {
    pub at: RunTime,
    pub side: Option<Side>,
    pub is_write: bool,
    /// Of the offered load, not of a probe.
    pub is_load: bool,
    /// Microseconds from its sending to the answer.
    pub took_us: u32,
}

impl Ack {
    fn sent(&self) -> RunTime {
        RunTime(self.at.0.saturating_sub(u64::from(self.took_us) * 1_000))
    }
}

/// Every acknowledgement of an environment to its customers, in the order of time. What is asked of the old side past the edge
/// is no customer's: its answers show no switch, and are told as what they are.
pub(super) fn acks(input: &Input<'_>, environment: EnvironmentIndex) -> Vec<Ack> {
    let mut acks = Vec::with_capacity(input.history.outcomes().len());
    for (intent, outcome) in input.history.operations().filter(|(intent, _)| intent.environment == environment) {
        if let Some(outcome) = outcome
            && !matches!(intent.lane, Lane::OldSide { .. })
            && let Told::Ok { side, .. } = outcome.told
        {
            let is_load = matches!(intent.lane, Lane::Writer(_));
            let took_us = u32::try_from(outcome.at.since(intent.sent).as_micros()).unwrap_or(u32::MAX);
            acks.push(Ack { at: outcome.at, side, is_write: intent.kind.is_write(), is_load, took_us });
        }
    }
    acks.sort_by_key(|ack| ack.at);
    acks
}

/// One event of an environment.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Switch {
    pub id: String,
    /// `None`: the end of the run.
    pub kind: Option<EventKind>,
    /// The attempt was undone, as the platform says.
    pub aborted: bool,
    pub began: RunTime,
    /// The next event began, or the end of time.
    pub until: RunTime,
    pub from: Option<Side>,
    pub to: Option<Side>,
    /// The first acknowledged write from another side.
    pub switched: Option<RunTime>,
    /// The new side's first acknowledgement of all: a side that is asked past the edge may answer before customers are sent there.
    pub opened: Option<RunTime>,
    /// The old side serves again, by a later event; the end of time if not.
    pub back: RunTime,
    /// It is being switched back to, and what it answers from then on is the other event's; the end of time if not.
    pub returns: RunTime,
    /// The last acknowledgement of a write from the old side; within a region, from the old seat as far as can be told.
    pub cut: Option<RunTime>,
    /// Of a zone: that another zone of the region took over.
    pub moved: Option<Moved>,
}

/// Another zone of the region that serves has taken over: what clients are answered does not show it, so the moment is known
/// as nearly as the examiner looked.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Moved {
    /// Its Postgres was seen to be the primary by then: what the old seat answers that was sent later it may not.
    pub seen: RunTime,
    /// Its first acknowledgement that is surely its own; `None`: there was none.
    pub opened: Option<RunTime>,
    /// The seat moved again, or traffic went elsewhere; the end of time if not.
    pub over: RunTime,
}

/// The events of an environment in the order of time; the last is its end.
pub(super) fn switches(input: &Input<'_>, environment: EnvironmentIndex, acks: &[Ack]) -> Vec<Switch> {
    let mut switches: Vec<Switch> = Vec::new();
    for event in input.events {
        let (id, kind, cause) = match &event.what {
            What::SwitchBegan { event: id, kind, environment: of, cause } if *of == environment => {
                let cause = match kind {
                    SwitchKind::Unplanned => fault_before(input, event.at).unwrap_or(*cause),
                    _ => *cause,
                };
                (id, EventKind::Switch(*kind), cause)
            }
            What::ZoneLost { event: id, environment: of, cause } if *of == environment => (id, EventKind::Zone, *cause),
            _ => continue,
        };
        if switches.iter().all(|known| known.id != *id) {
            switches.push(Switch::new(id.clone(), Some(kind), cause));
        }
    }
    for event in input.events {
        if let What::SwitchEnded { event: id, environment: of, aborted, .. } = &event.what
            && *of == environment
            && let Some(switch) = switches.iter_mut().find(|switch| switch.id == *id)
        {
            switch.aborted = *aborted;
        }
    }
    switches.sort_by_key(|switch| switch.began);
    for place in 1..switches.len() {
        switches[place - 1].until = switches[place].began;
    }
    let mut serving = acks.iter().find_map(|ack| ack.side);
    let moves = seats::moves(input, environment);
    for switch in &mut switches {
        switch.observe(serving, acks);
        serving = switch.to.or(serving);
        switch.moved = switch.moved_by(&moves, acks);
        switch.opened = switch.switched.map(|switched| opened(input, environment, switch, switched));
    }
    for place in 0..switches.len() {
        let from = switches[place].from;
        let returning = switches[place + 1..].iter().find(|later| later.to == from);
        let back = returning.and_then(|later| later.switched);
        // Once it is being switched back to, what the old side acknowledges is the other event's: a read may well come
        // from there before the first write does.
        let returns = returning.map_or(RunTime(u64::MAX), |later| later.began);
        let switch = &mut switches[place];
        switch.back = back.unwrap_or(switch.back);
        switch.returns = returns;
        if switch.switched.is_none() {
            // Nothing was switched: the old side serves on, and what comes later is another event's, or another zone's.
            switch.back = switch.back.min(switch.moved.map_or(switch.until, |moved| moved.seen));
        }
        if let Some(moved) = &mut switch.moved {
            moved.over = moved.over.min(returns);
        }
        // Reads go on where writes are withheld, and expose nothing.
        let old =
            |ack: &&Ack| ack.is_write && ack.side == from && ack.side.is_some() && ack.at < switch.back.min(returns);
        switch.cut = acks.iter().rev().find(old).map(|ack| ack.at);
    }
    switches.push(end(input, acks));
    switches
}

/// When the new side first acknowledged anything that was sent since the switch began, to whomever.
fn opened(input: &Input<'_>, environment: EnvironmentIndex, switch: &Switch, switched: RunTime) -> RunTime {
    let asked = input.history.operations().filter_map(|(intent, outcome)| {
        let is_asked = matches!(intent.lane, Lane::OldSide { side, .. } if Some(side) == switch.to);
        let told = outcome.filter(|outcome| outcome.told.is_ok() || outcome.file_acked.is_some())?;
        (is_asked && intent.environment == environment && intent.sent >= switch.began).then_some(told.at)
    });
    asked.min().map_or(switched, |first| first.min(switched))
}

/// When the fault took effect that was asked for last before this moment, and not healed by then. Its effect may not have been
/// proven yet when the platform answered it; where even the deed was not done by then, it was when it was asked for.
fn fault_before(input: &Input<'_>, at: RunTime) -> Option<RunTime> {
    let lasting = |record: &&FaultRecord| record.requested <= at && record.healed.is_none_or(|healed| healed > at);
    let cause = last_faults(input.events).into_iter().filter(lasting).max_by_key(|record| record.requested)?;
    cause.effective.map(|effective| if effective <= at { effective } else { cause.requested })
}

/// The end: nothing is switched, so its cut is the last acknowledgement of all.
fn end(input: &Input<'_>, acks: &[Ack]) -> Switch {
    let quiesced = input.events.iter().find(|event| event.what == What::Quiesced).map(|event| event.at);
    let last = acks.last().map(|ack| ack.at);
    let mut end = Switch::new("end".to_owned(), None, quiesced.or(last).unwrap_or(input.end));
    end.cut = last;
    end
}

/// A change of sides that no event announced: who served first, and when another side first acknowledged a write.
pub(super) fn unannounced(acks: &[Ack]) -> Switch {
    let mut switch = Switch::new(String::new(), None, RunTime::ZERO);
    switch.observe(acks.iter().find_map(|ack| ack.side), acks);
    switch
}

impl Switch {
    fn new(id: String, kind: Option<EventKind>, began: RunTime) -> Self {
        let never = RunTime(u64::MAX);
        Self {
            id,
            kind,
            aborted: false,
            began,
            until: never,
            from: None,
            to: None,
            switched: None,
            opened: None,
            back: never,
            returns: never,
            cut: None,
            moved: None,
        }
    }

    /// The switch that it is, if it is one.
    pub fn switch(&self) -> Option<SwitchKind> {
        self.kind.and_then(EventKind::switch)
    }

    /// The first move of the seat that belongs to this event of a zone.
    fn moved_by(&self, moves: &[Move], acks: &[Ack]) -> Option<Moved> {
        let is_mine = |a: &&Move| a.seen > self.began && a.seen <= self.until && Some(a.side) == self.from;
        let mine = moves.iter().find(is_mine).filter(|_| self.kind == Some(EventKind::Zone))?;
        let again = moves.iter().find(|later| later.seen > mine.seen);
        let start = acks.partition_point(|ack| ack.at < mine.seen);
        let sent = |ack: &&Ack| ack.is_write && ack.side == self.from && ack.sent() >= mine.seen;
        Some(Moved {
            seen: mine.seen,
            opened: acks[start..].iter().find(sent).map(|ack| ack.at),
            over: again.map_or(RunTime(u64::MAX), |again| again.before),
        })
    }

    fn observe(&mut self, serving: Option<Side>, acks: &[Ack]) {
        self.from = serving;
        let start = acks.partition_point(|ack| ack.at < self.began);
        let first = acks[start..]
            .iter()
            .take_while(|ack| ack.at < self.until)
            .find(|ack| ack.is_write && ack.side.is_some() && ack.side != serving && serving.is_some());
        (self.to, self.switched) = (first.and_then(|ack| ack.side), first.map(|ack| ack.at));
        self.opened = self.switched;
    }
}
