//! Short histories, judged by a naive checker: whole scans, texts for names, and for chains a search through all orders.
//! It shares nothing with the real one but the model's types.

use proptest::prelude::*;

use super::world::*;
use crate::model::{
    Token,
    measure::{Counts, Integrity, LossKind, LostWrite},
    observation::*,
    operation::*,
    token::Seen,
};

/// One write, as the naive checker sees it.
struct Naive<'a> {
    run: &'a Finished,
    rows: &'a SqlSnapshot,
    versions: &'a FilesSnapshot,
}

impl Naive<'_> {
    fn told(&self, token: Token) -> &'static str {
        match self.run.history.outcomes().iter().find(|outcome| outcome.token == token).map(|outcome| &outcome.told) {
            Some(Told::Ok { .. }) => "ok",
            Some(Told::Fail { .. }) => "fail",
            Some(Told::InDoubt { .. }) | None => "doubt",
        }
    }

    fn in_history(&self, token: Token) -> bool {
        self.rows.history.iter().any(|row| row.token.to_string() == token.to_string())
    }

    fn holder(&self, key: &str) -> Option<String> {
        self.rows.data.iter().find(|row| *row.key == *key).map(|row| row.token.to_string())
    }

    /// Writes of one key, in the order of sending.
    fn of_key(&self, key: &str) -> Vec<&Intent> {
        self.run.history.intents.iter().filter(|intent| *intent.key == *key && intent.kind.is_write()).collect()
    }

    /// The fate in the database, in words of its own.
    fn row_fate(&self, intent: &Intent) -> String {
        let (told, there) = (self.told(intent.token), self.in_history(intent.token));
        match (told, there) {
            ("ok", true) => self.surviving_fate(intent).into(),
            ("ok", false) => self.absent_fate(intent).into(),
            // It was not acknowledged, so it cannot be lost; but half of a transaction is nothing whole.
            ("doubt", true) if !matches!(self.surviving_fate(intent), "intact" | "superseded") => "corrupt".into(),
            (told, true) => format!("{told} present"),
            (told, false) if self.rows.data.iter().any(|row| row.token == Seen::Token(intent.token)) => {
                format!("{told} present")
            }
            (told, false) => format!("{told} absent"),
        }
    }

    fn absent_fate(&self, intent: &Intent) -> &'static str {
        // The state of the key, what stood there before it, and so on.
        let mut chain = Vec::new();
        let mut next = self.holder(&intent.key);
        while let Some(name) = next.filter(|name| !chain.contains(name)) {
            let row = self.rows.history.iter().find(|row| row.token.to_string() == name);
            next = row.and_then(|row| row.prev.as_ref()).map(ToString::to_string);
            chain.push(name);
        }
        let sent = |name: &String| {
            self.of_key(&intent.key).iter().any(|op| op.token.to_string() == *name && op.sent < intent.sent)
        };
        match intent.kind {
            OpKind::Overwrite if !chain.is_empty() && !chain.contains(&intent.token.to_string()) => "lost stale",
            OpKind::Delete if chain.iter().any(sent) => "lost resurrected",
            _ => "lost create",
        }
    }

    fn surviving_fate(&self, intent: &Intent) -> &'static str {
        let holder = self.holder(&intent.key);
        let ops = self.of_key(&intent.key);
        let surviving: Vec<&&Intent> = ops.iter().filter(|other| self.in_history(other.token)).collect();
        let is_last = surviving.last().is_some_and(|last| last.token == intent.token);
        if !is_last {
            return "superseded";
        }
        let is_delete = intent.kind == OpKind::Delete;
        let fits = if is_delete { holder.is_none() } else { holder == Some(intent.token.to_string()) };
        if fits {
            let row = self.rows.data.iter().find(|row| *row.key == *intent.key);
            let hash = intent.file.as_ref().map(|file| (&file.object_key, &file.sha256));
            let row_fits = row.is_none_or(|row| {
                let found = row.object.as_ref().map(|object| (&object.object_key, &object.sha256));
                *row.value == *intent.token.value() && found == hash
            });
            return if row_fits { "intact" } else { "corrupt" };
        }
        let lost = |other: &&&Intent| self.told(other.token) == "ok" && !self.in_history(other.token);
        if ops.iter().filter(lost).any(|other| other.sent > intent.sent) {
            return "superseded";
        }
        match (intent.kind, holder) {
            (OpKind::Delete, _) => "lost resurrected",
            (_, Some(_)) => "lost stale",
            (_, None) => "lost create",
        }
    }

    fn object_fate(&self, intent: &Intent, row_fate: &str) -> Option<String> {
        let file = intent.file.as_ref()?;
        let versions: Vec<&ObjectVersion> = self
            .versions
            .versions
            .iter()
            .filter(|version| version.object_key == file.object_key && version.content != Content::DeleteMarker)
            .collect();
        let there = !versions.is_empty();
        let fits = versions.iter().any(
            |version| matches!(&version.content, Content::Body { sha256, bytes: 100, .. } if *sha256 == file.sha256),
        );
        let told = self.told(intent.token);
        Some(match (told, there, fits) {
            ("fail", true, _) => "fail present".into(),
            (_, true, false) => "corrupt".into(),
            ("ok", false, _) => "lost create".into(),
            ("ok", true, _) if row_fate == "superseded" => "superseded".into(),
            ("ok", true, _) => "intact".into(),
            (told, there, _) => format!("{told} {}", if there { "present" } else { "absent" }),
        })
    }
}

#[derive(Debug, Default)]
struct Tally {
    counts: Counts,
    lost: Vec<LostWrite>,
}

impl Tally {
    fn add(&mut self, token: Token, store: Store, told: &str, fate: &str) {
        let counts = &mut self.counts;
        counts.intents += 1;
        counts.acked += u64::from(told == "ok");
        let kind = match fate {
            "lost create" => LossKind::LostCreate,
            "lost stale" => LossKind::Stale,
            "lost resurrected" => LossKind::ResurrectedDelete,
            other => {
                *match other {
                    "intact" => &mut counts.intact,
                    "superseded" => &mut counts.superseded,
                    "corrupt" => &mut counts.corrupt,
                    "doubt present" => &mut counts.in_doubt_present,
                    "doubt absent" => &mut counts.in_doubt_absent,
                    "fail present" => &mut counts.fail_present,
                    "fail absent" => &mut counts.fail_absent,
                    other => unreachable!("{other}"),
                } += 1;
                return;
            }
        };
        *match kind {
            LossKind::LostCreate => &mut counts.lost_create,
            LossKind::Stale => &mut counts.stale,
            LossKind::ResurrectedDelete => &mut counts.resurrected,
        } += 1;
        self.lost.push(LostWrite { token, store, kind });
    }
}

fn fates_only(counts: &Counts) -> Counts {
    let Counts { intents, acked, intact, superseded, lost_create, stale, resurrected, .. } = *counts;
    let Counts { corrupt, in_doubt_present, in_doubt_absent, fail_present, fail_absent, .. } = *counts;
    Counts {
        intents,
        acked,
        intact,
        superseded,
        lost_create,
        stale,
        resurrected,
        corrupt,
        in_doubt_present,
        in_doubt_absent,
        fail_present,
        fail_absent,
        ..Counts::default()
    }
}

/// One step of a short history.
#[derive(Debug, Clone, Copy)]
struct Step {
    key: u8,
    kind: u8,
    file: bool,
    answer: u8,
}

/// One thing done to the final state.
#[derive(Debug, Clone, Copy)]
enum Damage {
    History(u8),
    Data(u8),
    Older(u8, u8),
    Value(u8),
    Object(u8),
    Body(u8),
}

fn step() -> impl Strategy<Value = Step> {
    (0u8..3, 0u8..10, any::<bool>(), 0u8..12).prop_map(|(key, kind, file, answer)| Step { key, kind, file, answer })
}

fn damage() -> impl Strategy<Value = Damage> {
    prop_oneof![
        (0u8..12).prop_map(Damage::History),
        (0u8..4).prop_map(Damage::Data),
        (0u8..4, 0u8..12).prop_map(|(row, op)| Damage::Older(row, op)),
        (0u8..4).prop_map(Damage::Value),
        (0u8..12).prop_map(Damage::Object),
        (0u8..12).prop_map(Damage::Body),
    ]
}

/// Runs the steps as one writer per key would: it creates what is not there, and once it is in doubt about a key it
/// leaves the key alone.
fn run_steps(steps: &[Step], lose: usize, lose_objects: usize) -> Finished {
    let mut world = World::new();
    let mut there = [false; 3];
    let mut retired = [false; 3];
    for (place, step) in steps.iter().enumerate() {
        let key = usize::from(step.key);
        if retired[key] {
            continue;
        }
        let kind = match (there[key], step.kind) {
            (false, _) => OpKind::Create,
            (true, 0..3) => OpKind::Delete,
            _ => OpKind::Overwrite,
        };
        let answer = match step.answer {
            0 => Answer::Fail,
            1 => Answer::FailAfterObject,
            2 => Answer::Doubt(place % 2 == 0),
            3 => Answer::Silent(place % 2 == 0),
            _ => Answer::Ok,
        };
        retired[key] = matches!(answer, Answer::Doubt(_) | Answer::Silent(_));
        world.write(u32::from(step.key), kind, &format!("k{key}"), step.file, answer);
        if answer == Answer::Ok {
            there[key] = kind != OpKind::Delete;
        }
    }
    world.rows.truncate(world.rows.len().saturating_sub(lose));
    world.objects.truncate(world.objects.len().saturating_sub(lose_objects));
    world.finish()
}

fn do_damage(run: &mut Finished, damages: &[Damage]) {
    let tokens: Vec<(Token, Box<str>)> =
        run.history.intents.iter().map(|intent| (intent.token, Box::from(&*intent.key))).collect();
    run.tamper(|rows, versions| {
        for damage in damages {
            match *damage {
                Damage::History(place) => {
                    if usize::from(place) < rows.history.len() {
                        rows.history.remove(usize::from(place));
                    }
                }
                Damage::Data(place) => {
                    if usize::from(place) < rows.data.len() {
                        rows.data.remove(usize::from(place));
                    }
                }
                Damage::Older(place, op) => {
                    if let Some(row) = rows.data.get_mut(usize::from(place))
                        && let Some((token, _)) = tokens.get(usize::from(op)).filter(|(_, key)| *key == row.key)
                        && rows.history.iter().any(|row| row.token == Seen::Token(*token))
                    {
                        (row.token, row.value, row.object) = (Seen::Token(*token), token.value().into(), None);
                    }
                }
                Damage::Value(place) => {
                    if let Some(row) = rows.data.get_mut(usize::from(place)) {
                        row.value = "altered".into();
                    }
                }
                Damage::Object(place) => {
                    if usize::from(place) < versions.versions.len() {
                        versions.versions.remove(usize::from(place));
                    }
                }
                Damage::Body(place) => {
                    if let Some(Content::Body { sha256, .. }) =
                        versions.versions.get_mut(usize::from(place)).map(|version| &mut version.content)
                    {
                        *sha256 = "altered".into();
                    }
                }
            }
        }
    });
}

fn agree(run: &Finished) {
    let measures = run.verify();
    let end = event(&measures, "end");
    let (Reading::Whole(rows), Reading::Whole(versions)) = (&run.observations[0].sql, &run.observations[0].files)
    else {
        unreachable!("both are whole")
    };
    let naive = Naive { run, rows, versions };
    let (mut in_rows, mut in_objects) = (Tally::default(), Tally::default());
    for intent in &run.history.intents {
        let told = naive.told(intent.token);
        let fate = naive.row_fate(intent);
        in_rows.add(intent.token, Store::Sql, told, &fate);
        if let Some(fate) = naive.object_fate(intent, &fate) {
            in_objects.add(intent.token, Store::Files, told, &fate);
        }
    }
    let mut lost = in_rows.lost;
    lost.extend(in_objects.lost);
    lost.sort_unstable();
    assert_eq!(end.lost, lost);
    assert_eq!(fates_only(&end.sql), in_rows.counts);
    assert_eq!(fates_only(&end.files), in_objects.counts);
    assert_balanced(&end.sql);
    assert_balanced(&end.files);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn both_checkers_agree_on_lost_tails(
        steps in proptest::collection::vec(step(), 0..12), rows in 0usize..5, objects in 0usize..5,
    ) {
        agree(&run_steps(&steps, rows, objects));
    }

    #[test]
    fn both_checkers_agree_on_damage(
        steps in proptest::collection::vec(step(), 1..12),
        lose in 0usize..3,
        damages in proptest::collection::vec(damage(), 0..4),
    ) {
        let mut run = run_steps(&steps, lose, 0);
        do_damage(&mut run, &damages);
        agree(&run);
    }

    /// A contended key's rows are one chain exactly if some order of all of them explains every "before" and keeps to
    /// what clients saw; the naive checker tries all orders.
    #[test]
    fn a_chain_is_sound_exactly_if_some_order_explains_it(
        times in proptest::collection::vec((0u64..12, 1u64..6, any::<bool>()), 1..6),
        prev in proptest::collection::vec(proptest::option::of(0usize..6), 6),
        honest in proptest::collection::vec(any::<prop::sample::Index>(), 6),
        mostly_honest in any::<bool>(),
    ) {
        let mut world = World::new();
        let count = times.len();
        let mut order: Vec<usize> = (0..count).collect();
        for place in (1..count).rev() {
            order.swap(place, honest[place].index(place + 1));
        }
        let tokens: Vec<Token> = (0..count as u32).map(|stream| world.token(stream)).collect();
        for (token, (sent, took, answered)) in tokens.iter().zip(&times) {
            world.intents.push(Intent {
                token: *token, environment: EnvironmentIndex(0), sent: ms(*sent), kind: OpKind::Overwrite,
                lane: Lane::Writer(0), key: "hot".into(), contended: true, file: None, transfer: None,
            });
            if *answered {
                let told = Told::Ok { side: Some(Side(0)), local_only: false, found: None };
                world.outcomes.push(Outcome { token: *token, at: ms(sent + took), file_acked: None, told });
            }
        }
        let before: Vec<Option<usize>> = (0..count)
            .map(|op| if mostly_honest {
                let place = order.iter().position(|o| *o == op).unwrap();
                place.checked_sub(1).map(|place| order[place])
            } else {
                prev[op].filter(|p| *p < count)
            })
            .collect();
        world.now = 100;
        let mut run = world.finish();
        run.tamper(|rows, _| {
            for op in 0..count {
                let prev = before[op].map(|p| Seen::Token(tokens[p]));
                rows.history.push(HistoryRow { token: Seen::Token(tokens[op]), key: "hot".into(), prev });
            }
        });
        let explains = |order: &[usize]| {
            let chained = order.iter().enumerate()
                .all(|(place, op)| before[*op] == place.checked_sub(1).map(|place| order[place]));
            let in_time = (0..count).all(|i| (i + 1..count).all(|j| {
                let (first, second) = (times[order[i]], times[order[j]]);
                !(second.2 && second.0 + second.1 < first.0)
            }));
            chained && in_time
        };
        let sound = orders(count).iter().any(|order| explains(order));
        prop_assert_eq!(found(&run.verify(), Integrity::Hole) == 0, sound);
    }
}

/// Every order of so many things.
fn orders(count: usize) -> Vec<Vec<usize>> {
    if count == 0 {
        return vec![vec![]];
    }
    let mut all = Vec::new();
    for order in orders(count - 1) {
        for place in 0..count {
            let mut longer = order.clone();
            longer.insert(place, count - 1);
            all.push(longer);
        }
    }
    all
}
