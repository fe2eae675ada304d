//! One environment: its events in the order of time, each judged by its own reading.

use std::{
    collections::{BTreeSet, VecDeque},
    thread::ScopedJoinHandle,
};

use super::{
    balance::Issued,
    chain,
    client_reads::{self, Read},
    fate::{Fate, Fates, Past, View},
    fate_files, fate_rows,
    features::Told,
    finals::Final,
    findings::Findings,
    gathered::Gathered,
    input::Input,
    interruption::Probes,
    lag, marks,
    old_side::{self, Answered},
    phases, rate,
    readings::{self, books},
    recovery,
    rows::Rows,
    salvage,
    seats::{self, Move},
    service,
    timeline::{self, Ack, Switch},
    versions::Versions,
    writes::Writes,
};
use crate::{
    ledger::{Found, Part},
    model::{
        Token,
        event::What,
        measure::{EventMeasures, Integrity, Measures},
        operation::{EnvironmentIndex, Store},
        token::Seen,
    },
};

/// Readings that are gone through at once; what is gathered of each takes some memory for each write.
const AHEAD: usize = 2;

/// Of an environment that holds a copy of another one at the end: what it owes then.
pub(super) struct Owed {
    /// The other one, whose customers' writes it owes.
    pub source: EnvironmentIndex,
    /// What had become of those before the end.
    pub past: Pasts,
}

/// Adds everything that can be said of one environment, and says what had become of its writes before the end. `last`, what its last
/// readings come to, is asked at the end alone.
pub(super) fn verify(
    input: &Input<'_>,
    environment: EnvironmentIndex,
    owed: Option<&Owed>,
    last: &dyn Fn() -> Final,
    measures: &mut Measures,
) -> Pasts {
    let (writes, owed_writes, acks, switches, probes) = std::thread::scope(|scope| {
        // None needs another, and all take their time.
        let writes = scope.spawn(|| Writes::new(input.history, environment));
        let owed_writes = owed.map(|owed| scope.spawn(|| Writes::new(input.history, owed.source)));
        let acks = timeline::acks(input, environment);
        let switches = timeline::switches(input, environment, &acks);
        let probes = Probes::new(input, environment);
        (joined(writes), owed_writes.map(joined), acks, switches, probes)
    });
    let load: Vec<Ack> = acks.iter().filter(|ack| ack.is_load).copied().collect();
    let owes = |switch: &Switch| owed.zip(owed_writes.as_ref()).filter(|_| switch.kind.is_none());
    std::thread::scope(|scope| {
        // Readings are gone through while the events before theirs are judged.
        let gather = |switch| {
            // A copy is held against what it owes, and not against what the environment had before.
            let writes = owes(switch).map_or(&writes, |(_, writes)| writes);
            scope.spawn(move || Gathered::of(input, environment, switch, writes))
        };
        let mut unread = switches.iter();
        let mut gathered: VecDeque<_> = unread.by_ref().take(AHEAD).map(gather).collect();
        let reads = client_reads::reads(&writes, environment);
        let moves = seats::moves(input, environment);
        let stale = client_reads::stale(&writes, &reads, &switches, &moves);
        let issued = Issued::of(input.history, environment);
        let subject = Subject {
            input,
            environment,
            probes: &probes,
            writes: &writes,
            issued: &issued,
            acks: &acks,
            load: &load,
            switches: &switches,
            moves: &moves,
            reads: &reads,
            stale: &stale,
        };
        let mut past = Pasts::fresh(&writes);
        let mut told = Told::new(input, environment);
        let mut before_end = past.clone();
        for switch in &switches {
            let Some(reading) = gathered.pop_front().map(joined) else { break };
            gathered.extend(unread.next().map(gather));
            told.until(switch, &writes, &past.rows);
            if switch.kind.is_none() {
                before_end = past.clone();
            }
            match owes(switch) {
                Some((Owed { source, past }, writes)) => {
                    let mut past = past.of(writes);
                    let issued = Issued::of(input.history, *source);
                    let subject = Subject { writes, issued: &issued, ..subject };
                    subject.event(switch, reading, &mut past, last, measures);
                }
                None => subject.event(switch, reading, &mut past, last, measures),
            }
        }
        measures.features.extend(told.periods());
        measures.lags.extend(lag::statistics(input, environment, &load));
        before_end
    })
}

/// What a thread came to; its panic is ours.
fn joined<T>(thread: ScopedJoinHandle<'_, T>) -> T {
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// What earlier readings made of each write.
#[derive(Debug, Clone, Default)]
pub(super) struct Pasts {
    rows: Vec<Past>,
    files: Vec<Past>,
}

impl Pasts {
    fn fresh(writes: &Writes<'_>) -> Self {
        Self { rows: vec![Past::Fresh; writes.len()], files: vec![Past::Fresh; writes.len()] }
    }

    /// The same, if it is of these writes; else nothing is known of them.
    fn of(&self, writes: &Writes<'_>) -> Self {
        if self.rows.len() == writes.len() { self.clone() } else { Self::fresh(writes) }
    }
}

/// What is the same for all events of an environment.
#[derive(Clone, Copy)]
struct Subject<'a, 'b> {
    input: &'b Input<'a>,
    environment: EnvironmentIndex,
    /// Its own, unless it holds a copy: both are of the same environment.
    writes: &'b Writes<'a>,
    issued: &'b Issued,
    acks: &'b [Ack],
    /// Those of the offered load.
    load: &'b [Ack],
    switches: &'b [Switch],
    moves: &'b [Move],
    probes: &'b Probes,
    reads: &'b [Read<'a>],
    stale: &'b [&'b Read<'a>],
}

/// What stands beside the fates in one event.
#[derive(Default)]
struct Beside {
    dangling_marked: u64,
    dangling_unmarked: u64,
    orphans: u64,
    orphans_unexcused: u64,
}

impl Subject<'_, '_> {
    fn event(
        &self,
        switch: &Switch,
        gathered: Gathered,
        past: &mut Pasts,
        last: &dyn Fn() -> Final,
        measures: &mut Measures,
    ) {
        let Gathered { mut read, rows: sorted, mut versions, mut second, first } = gathered;
        let withheld =
            versions.as_ref().map_or(0, |seen| fate_files::withheld(self.writes, seen, &past.files, read.view));
        if withheld > 0 {
            read.versions = Err(format!("{withheld} acknowledged versions were not handed out"));
            versions = None;
        }
        let mut findings = Findings { environment: self.environment, event: &switch.id, into: &mut measures.findings };
        let (mut rows, mut files, beside) = std::thread::scope(|scope| {
            // The second pass of the books is counted beside the first.
            let (has_rows, has_versions) = (sorted.is_some(), versions.is_some());
            let found = scope.spawn(move || {
                let found =
                    [has_rows.then(|| second.rows(self.issued)), has_versions.then(|| second.versions(self.issued))];
                drop(second);
                found
            });
            let mut rows = match &sorted {
                Some(sorted) => self.rows(sorted, &past.rows, &read, &mut findings),
                None => Fates::unread(self.writes, &past.rows, read.view, false),
            };
            let mut beside = Beside::default();
            let mut files = match &versions {
                Some(versions) => {
                    if let Some(sorted) = &sorted {
                        beside = self.beside(versions, sorted, read.view, &rows, &mut findings);
                    }
                    let known = sorted.is_some().then_some(&rows);
                    self.files(versions, known, &past.files, &read, &mut findings)
                }
                None => Fates::unread(self.writes, &past.files, read.view, true),
            };
            let halves = [(&mut rows.counts, &past.rows), (&mut files.counts, &past.files)];
            let intents = self.issued.intents(read.view.ended);
            for (((counts, past), found), intents) in halves.into_iter().zip(joined(found)).zip(intents) {
                if let Some(found) = found {
                    counts.found = found.found;
                    counts.residual = found.residual(counts, intents - recovery::lost_before(past));
                }
            }
            (rows, files, beside)
        });
        let unread = [read.rows.as_ref().err().cloned(), read.versions.as_ref().err().cloned()];
        let (unobserved, view, ended) = (read.unobserved(), read.view, read.ended);

        let old_side = self.sides(switch, &mut rows, &mut files, &mut findings);
        rows.counts.lost_bytes = recovery::lost_bytes(self.writes, &rows, Store::Sql);
        files.counts.lost_bytes = recovery::lost_bytes(self.writes, &files, Store::Files);
        let lost = recovery::lost_writes(self.writes, &rows, &files);
        let lost_rows = lost.iter().filter(|lost| lost.store == Store::Sql).map(|lost| lost.token).collect();
        self.client_reads(switch, &lost_rows, &old_side, &mut findings);
        let missed = |number: usize| past.rows[number] == Past::Missed || past.files[number] == Past::Missed;
        let point = recovery::point(self.writes, &rows, &files, switch, view, missed);
        let sampled = switch.switch().and_then(|_| lag::dose(self.input, self.environment, switch));
        let proven = Some(point.age_s).filter(|age| switch.switched.is_some() && *age > 0.0);
        let event = EventMeasures {
            id: switch.id.clone(),
            kind: switch.kind,
            aborted: switch.aborted,
            environment: self.environment,
            began: switch.began,
            switched: switch.switched,
            moved: switch.moved.map(|moved| moved.opened.unwrap_or(moved.seen)),
            from: switch.from,
            to: switch.to,
            cut: switch.cut,
            dose_s: sampled.into_iter().chain(proven).max_by(f64::total_cmp),
            recovery_point: point,
            acked_before: rate::acked_before(self.acks, switch.began),
            interruption: self.probes.interruptions(switch, self.switches),
            sql: rows.counts,
            files: files.counts,
            dangling_marked: beside.dangling_marked,
            dangling_unmarked: beside.dangling_unmarked,
            dangling_left: self.marks_left(switch),
            salvage: salvage::compare(self.input, self.environment, &switch.id, &lost),
            orphans: beside.orphans,
            orphans_unexcused: beside.orphans_unexcused,
            lost,
            unobserved,
            old_side: old_side.asked.filter(|_| switch.kind.is_some()),
            phases: phases::phases(self.input, self.environment, switch),
            back_to_rate_s: rate::back_to_rate(self.load, switch),
            served: service::served(self.load, switch),
        };
        if switch.kind.is_none() {
            let Final { second, compared } = last();
            if let Some(compared) = compared {
                findings.add(Integrity::RegionsDiffer, None, compared.differences(), compared.examples.clone());
                measures.regions.push(compared);
            }
            let passes = (first, second);
            for (store, counts, unread) in
                [(Store::Sql, &event.sql, &unread[0]), (Store::Files, &event.files, &unread[1])]
            {
                let books = books(self.environment, unread.as_ref(), &passes, store, counts.residual, counts.foreign);
                let off = if books.foreign { counts.residual.unsigned_abs() } else { 0 };
                findings.add(Integrity::Books, store, off, books.why.clone());
                measures.books.push(books);
            }
        }
        measures.events.push(event);
        if unread[0].is_none() {
            rows.remember(self.writes, &mut past.rows, view, ended);
        }
        if unread[1].is_none() {
            files.remember(self.writes, &mut past.files, view, ended);
        }
    }

    /// References still marked at the end though their object is there.
    fn marks_left(&self, switch: &Switch) -> u64 {
        let left = self.input.events.iter().rev().find_map(|event| match event.what {
            What::MarksLeft { environment, references } if environment == self.environment => Some(references),
            _ => None,
        });
        left.filter(|_| switch.kind.is_none()).unwrap_or_default()
    }

    /// Fates and marks of rows.
    fn rows(&self, sorted: &Rows, past: &[Past], read: &readings::Read, findings: &mut Findings<'_>) -> Fates {
        let mut fates = fate_rows::judge(self.writes, sorted, past, read.view);
        let chain = chain::check(self.writes, sorted, &fates);
        let holes = marks::holes(self.writes, self.moves, sorted, &fates, &chain);
        let (torn, off) = marks::torn(self.writes, sorted, &fates, self.input.account_balance);
        fates.counts.foreign = sorted.foreign.len() as u64;
        fates.counts.hole = holes.len() as u64;
        fates.counts.torn = torn.len() as u64;

        let name = |number: u32| self.writes.token(number).to_string();
        let wrong = [("forks", &chain.forked), ("breaks", &chain.broken), ("comes too late", &chain.misordered)];
        let wrong = wrong.map(|(how, of)| of.iter().map(move |number| format!("{} {how}", name(*number))));
        let broken_links = (chain.forked.len() + chain.broken.len() + chain.misordered.len()) as u64;
        let examples = holes.iter().map(|number| name(*number)).chain(wrong.into_iter().flatten());
        findings.add(Integrity::Hole, Store::Sql, fates.counts.hole + broken_links, examples);
        let foreign = sorted.foreign.iter().map(ToString::to_string);
        let phantoms = fates.of(Fate::FailPresent).map(name).chain(foreign);
        findings.add(Integrity::Phantom, Store::Sql, fates.counts.fail_present + fates.counts.foreign, phantoms);
        let copied = (0..self.writes.len() as u32).filter(|number| sorted.units(*number) > 1).map(name);
        findings.add(Integrity::Duplicate, Store::Sql, fates.counts.duplicate, copied);
        findings.add(Integrity::Corrupt, Store::Sql, fates.counts.corrupt, fates.of(Fate::Corrupt).map(name));
        let accounts = off.iter().map(|(account, by)| format!("account {account} is off by {by}"));
        let count = (torn.len() + off.len()) as u64;
        findings.add(Integrity::Torn, Store::Sql, count, torn.iter().map(|number| name(*number)).chain(accounts));
        fates
    }

    /// Fates and marks of objects.
    fn files(
        &self,
        versions: &Versions,
        rows: Option<&Fates>,
        past: &[Past],
        read: &readings::Read,
        findings: &mut Findings<'_>,
    ) -> Fates {
        let mut fates = fate_files::judge(self.writes, versions, rows, past, read.view);
        let lost = |number: u32| matches!(fates.fates[number as usize], Fate::Lost(_));
        let overtaken = marks::overtaken(self.writes, self.moves, lost, |number| versions.is_present(number));
        fates.counts.out_of_order = overtaken.len() as u64;
        fates.counts.foreign = versions.foreign.len() as u64;
        let name = |number: u32| self.writes.token(number).to_string();
        let foreign = versions.foreign.iter().map(|(key, version)| format!("{key} {version}"));
        findings.add(Integrity::Phantom, Store::Files, fates.counts.foreign, foreign);
        let copied = (0..self.writes.len() as u32)
            .filter(|number| versions.units(*number) > u64::from(versions.is_present(*number)))
            .map(name);
        findings.add(Integrity::Duplicate, Store::Files, fates.counts.duplicate, copied);
        findings.add(Integrity::Corrupt, Store::Files, fates.counts.corrupt, fates.of(Fate::Corrupt).map(name));
        fates
    }

    /// Rows without their object, and objects without a row.
    fn beside(
        &self,
        versions: &Versions,
        sorted: &Rows,
        view: View,
        rows: &Fates,
        findings: &mut Findings<'_>,
    ) -> Beside {
        // Those of writes that were under way are left out.
        let dangling = versions.dangling(self.writes, sorted, |number| {
            let op = self.writes.op(number);
            view.pending(op) || op.sent > view.began
        });
        let unmarked = || dangling.iter().filter(|(_, marked)| !marked);
        let mut beside = Beside {
            dangling_unmarked: unmarked().count() as u64,
            orphans: versions.foreign_orphans,
            orphans_unexcused: versions.foreign_orphans,
            ..Beside::default()
        };
        beside.dangling_marked = dangling.len() as u64 - beside.dangling_unmarked;
        let examples = unmarked().map(|(object, _)| format!("{} {}", object.object_key, object.version_id));
        findings.add(Integrity::DanglingUnmarked, Store::Files, beside.dangling_unmarked, examples);
        let is_orphan = |number: &u32| versions.is_standing(*number) && !sorted.is_referenced(*number);
        for number in (0..self.writes.len() as u32).filter(is_orphan) {
            beside.orphans += 1;
            // Every other fate excuses it: failed, in doubt, lost, or overtaken and awaiting clean-up.
            let is_current = matches!(rows.fates[number as usize], Fate::Intact | Fate::Corrupt);
            beside.orphans_unexcused += u64::from(is_current);
        }
        beside
    }

    /// Writes that the old side acknowledged after the new side had; and whatever else it answered.
    fn sides(&self, switch: &Switch, rows: &mut Fates, files: &mut Fates, findings: &mut Findings<'_>) -> Answered {
        let unannounced = (self.switches.len() == 1).then(|| timeline::unannounced(self.acks));
        let switch = unannounced.as_ref().unwrap_or(switch);
        let answered = old_side::answered(self.input, self.environment, switch);
        let (zombies, late) = marks::zombies(self.writes, switch);
        rows.counts.zombie = zombies.len() as u64;
        rows.counts.late = late.len() as u64;
        files.counts.zombie = answered.objects.len() as u64;
        let objects = answered.objects.iter().map(ToString::to_string);
        findings.add(Integrity::SplitBrain, Store::Files, files.counts.zombie, objects);
        if zombies.is_empty() {
            return answered;
        }
        let other = readings::other_side(self.input.observations, self.environment);
        let there = other.as_ref().map(tokens).unwrap_or_default();
        let examples = zombies.iter().map(|number| {
            let token = self.writes.token(*number);
            let only_there = matches!(rows.fates[*number as usize], Fate::Lost(_)) && there.contains(&token);
            if only_there { format!("{token} (only in the old region)") } else { token.to_string() }
        });
        findings.add(Integrity::SplitBrain, Store::Sql, rows.counts.zombie, examples.collect::<Vec<_>>());
        answered
    }

    /// Reads that returned what they may not. A stale one is told in the event that was under way, else at the end; one that
    /// the old side answered, in the event that made it the old one.
    fn client_reads(&self, switch: &Switch, lost: &BTreeSet<Token>, old_side: &Answered, findings: &mut Findings<'_>) {
        let event_of = |read: &Read<'_>| {
            let begun = self.switches.iter().rev().find(|event| event.kind.is_some() && event.began <= read.sent);
            begun.map_or("end", |event| event.id.as_str())
        };
        let name = |read: &Read<'_>| read.token.to_string();
        for store in [Store::Sql, Store::Files] {
            let by_old = old_side.reads.iter().filter(|(_, of)| *of == store).map(|(token, _)| *token);
            let by_old: BTreeSet<Token> = by_old.collect();
            let stale = self.stale.iter().filter(|_| store == Store::Sql).filter(|read| event_of(read) == switch.id);
            // Told once, even if it is both.
            let stale = stale.map(|read| read.token).filter(|token| !by_old.contains(token));
            let examples = stale.map(|token| token.to_string());
            let examples: Vec<String> =
                examples.chain(by_old.iter().map(|token| format!("{token} (answered by the old side)"))).collect();
            findings.add(Integrity::StaleRead, store, examples.len() as u64, examples);
        }
        let ghosts = client_reads::ghosts(self.reads, switch, lost);
        findings.add(Integrity::GhostRead, Store::Sql, ghosts.len() as u64, ghosts.iter().map(|read| name(read)));
    }
}

/// Every token of a reading's history.
fn tokens(found: &Found<'_>) -> BTreeSet<Token> {
    let mut tokens = BTreeSet::new();
    let gone = found.parts(&mut |part| {
        if let Part::History(rows) = part {
            tokens.extend(rows.iter().filter_map(|row| match &row.token {
                Seen::Token(token) => Some(*token),
                Seen::Foreign(_) => None,
            }));
        }
    });
    // One that cannot be gone through spoils the whole judgement.
    gone.map_or_else(|_| BTreeSet::new(), |()| tokens)
}
