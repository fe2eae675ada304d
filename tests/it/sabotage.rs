//! Platforms that are broken on purpose, each in one way, are found out by the id that has to find them; and a platform that is
//! whole raises no alarm under the very same drills.
//!
//! `GEODRILL_SABOTAGES` names those that are to be tried (otherwise a share is), `GEODRILL_HEALTHY` says how many drills of the
//! whole platform are run, and `GEODRILL_SEED` from where in their round.

use std::{collections::BTreeSet, fs, path::PathBuf, time::Instant};

use futures_util::{StreamExt, stream};
use geodrill::{
    api::sabotage::Sabotage,
    conduct::{Drill, Finished},
    guarantee,
    model::{
        plan::{Plan, Subject},
        promise::Modality,
        verdict::Verdict,
    },
};

use crate::{
    share::share,
    support::drill,
    turn::{Turn, alone, beside},
};

/// Drills of the whole platform, where nothing says how many: a share, since each takes as long as its sabotaged twin.
const HEALTHY: usize = 2;

/// Tried at most so often: what a broken platform does is partly chance, such as whether anything is under way when it matters.
const TRIES: usize = 2;

/// How many are tried, where nothing says which.
const SHARE: usize = 5;

/// Drills of three zones a region: six stores and six nodes, too much for two processors beside anything else.
const OF_ZONES: [Sabotage; 2] = [Sabotage::ZoneNotSynchronous, Sabotage::LessAdvanced];

/// What is tried.
fn chosen() -> Vec<Sabotage> {
    let named = match std::env::var("GEODRILL_SABOTAGES") {
        Err(_) => {
            let of_zones: Vec<&str> = OF_ZONES.iter().map(|one| one.as_str()).collect();
            println!("not among those tried unless they are named: {} (three zones each)", of_zones.join(", "));
            let others: Vec<Sabotage> = Sabotage::ALL.iter().copied().filter(|one| !OF_ZONES.contains(one)).collect();
            return share("sabotaged platforms", &others, SHARE);
        }
        Ok(named) => named,
    };
    let find = |name: &str| Sabotage::ALL.iter().copied().find(|one| one.as_str() == name.trim());
    named.split(',').map(|name| find(name).unwrap_or_else(|| panic!("there is no sabotage `{name}`"))).collect()
}

fn text_of(sabotage: Sabotage) -> String {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("scenarios/sabotage");
    fs::read_to_string(folder.join(format!("{sabotage}.yaml"))).expect("every sabotage has its scenario")
}

fn plan(sabotage: Sabotage) -> Plan {
    let text = text_of(sabotage);
    let drill = Drill::from_text(&format!("{sabotage}.yaml"), &text, &std::env::temp_dir());
    drill.expect("the scenario of a sabotage is sound").plan().clone()
}

/// What the document promises without an if or when, each violated by some platform: a promise that none can break is one that no
/// drill can prove.
#[test]
fn every_promise_is_broken_by_one_of_them() {
    let is_firm = |modality: Modality| !matches!(modality, Modality::Typical | Modality::May);
    let broken: BTreeSet<String> = (Sabotage::ALL.iter().flat_map(|sabotage| plan(*sabotage).expect))
        .filter(|expectation| expectation.verdict == Verdict::Violated)
        .filter_map(|expectation| match expectation.subject {
            Subject::Guarantee(id) => Some(id),
            Subject::Measure(_) => None,
        })
        .collect();
    let unbroken: Vec<String> = (guarantee::promises().into_iter())
        .filter(|promise| promise.product().is_some() && is_firm(promise.modality) && !broken.contains(&promise.id))
        .map(|promise| promise.id)
        .collect();
    assert!(unbroken.is_empty(), "no sabotaged platform violates these: {unbroken:?}");
}

/// The same drill of a platform that is whole, of which nothing is to be found violated.
fn whole(sabotage: Sabotage) -> String {
    let (text, broken) = (text_of(sabotage), format!("sabotage: {sabotage}, "));
    assert!(text.contains(&broken), "{text}");
    ["violated", "inconclusive"]
        .iter()
        .fold(text.replace(&broken, ""), |text, verdict| text.replace(&format!(", verdict: {verdict}"), ""))
}

async fn run(name: &str, text: &str) -> anyhow::Result<Finished> {
    Ok(drill(Drill::from_text(name, text, &std::env::temp_dir())?).run().await?)
}

/// Only of an interruption the verdict hangs on a second.
async fn turn(sabotage: Sabotage) -> Turn {
    if sabotage == Sabotage::SlowSwitch { alone().await } else { beside().await }
}

/// What was judged of the id that has to catch it, if that is what the scenario wants and is told of this platform.
fn caught(finished: &Finished, sabotage: Sabotage) -> Option<String> {
    let report = &finished.report;
    let mut rows = report.guarantees.iter().filter(|row| row.expected && row.id == sabotage.caught_by());
    let row = rows.find(|row| row.verdict == row.wanted && row.wanted != Verdict::Held)?;
    let is_told = report.sabotage == Some(sabotage) && finished.human().contains(sabotage.as_str());
    let is_sound = is_told && report.problems.is_empty() && report.verdict == Verdict::Held;
    is_sound.then(|| {
        let at = row.event.as_deref().unwrap_or("the whole run");
        format!("{} {} at {at}: {}", row.id, row.verdict.as_str(), row.why.as_deref().unwrap_or_default())
    })
}

/// Tries one until it is caught, and says what was seen; what was seen last if it was not.
async fn attempt(sabotage: Sabotage) -> anyhow::Result<Result<String, String>> {
    let mut seen = String::new();
    let _turn = turn(sabotage).await;
    for nth in 1..=TRIES {
        let began = Instant::now();
        let finished = run(&format!("{sabotage}.yaml"), &text_of(sabotage)).await?;
        let took = began.elapsed().as_secs_f64();
        if let Some(how) = caught(&finished, sabotage) {
            return Ok(Ok(format!("{sabotage}: try {nth}, {took:.1} s; {how}")));
        }
        println!("{sabotage}: try {nth}, {took:.1} s; NOT CAUGHT");
        seen = finished.human();
    }
    Ok(Err(format!("{sabotage}, by {}\n{seen}", sabotage.caught_by())))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_broken_platform_is_found_out_by_the_id_that_has_to() -> anyhow::Result<()> {
    let mut attempts = stream::iter(chosen()).map(attempt).buffer_unordered(usize::MAX);
    let mut missed = Vec::new();
    while let Some(attempt) = attempts.next().await {
        match attempt? {
            Ok(how) => println!("{how}"),
            Err(not) => missed.push(not),
        }
    }
    assert!(missed.is_empty(), "not found out: {}", missed.join("\n"));
    Ok(())
}

/// What is said to be violated.
fn alarms(finished: &Finished) -> Vec<String> {
    let report = &finished.report;
    let violated = report.guarantees.iter().filter(|row| row.verdict == Verdict::Violated);
    let rows = violated.map(|row| format!("{}: {}", row.id, row.why.as_deref().unwrap_or_default()));
    rows.chain(report.findings.iter().map(|finding| format!("{}: {:?}", finding.id, finding.examples))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_whole_platform_raises_no_alarm_under_the_same_drills() -> anyhow::Result<()> {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<usize>().expect("a number"));
    let all = chosen();
    let count = number("GEODRILL_HEALTHY").unwrap_or(HEALTHY.min(all.len()));
    let seed = number("GEODRILL_SEED").unwrap_or_default();
    let (began, mut false_alarms, mut held) = (Instant::now(), Vec::new(), 0);
    for number in 0..count {
        let sabotage = all[(seed + number) % all.len()];
        let _turn = turn(sabotage).await;
        let (began, text) = (Instant::now(), whole(sabotage));
        let finished = run(&format!("whole-{sabotage}.yaml"), &text).await?;
        assert_eq!(finished.report.sabotage, None);
        let (alarms, verdict) = (alarms(&finished), finished.report.verdict);
        let took = began.elapsed().as_secs_f64();
        println!("{sabotage}, whole: {took:.1} s; {}; alarms: {alarms:?}", verdict.as_str());
        held += usize::from(verdict == Verdict::Held);
        if !alarms.is_empty() {
            false_alarms.push(format!("{sabotage}: {alarms:?}\n{}", finished.human()));
        }
    }
    let took = began.elapsed().as_secs_f64();
    println!(
        "{count} drills of the whole platform in {took:.0} s, seed {seed}: {held} held, {} alarms",
        false_alarms.len()
    );
    assert!(false_alarms.is_empty(), "{}", false_alarms.join("\n"));
    Ok(())
}
