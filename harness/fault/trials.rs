//! What several faults need to look at links and processes.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use super::breakage::Proof;
use crate::{
    model::{link::Link, process::ProcessName},
    testbed::{LinkTrial, Process, ProcessState, Testbed},
};

/// How long an observation may take to come true: a kill, a stop, an answer after healing.
pub(super) const SETTLE: Duration = Duration::from_secs(5);

/// Within which an unimpeded service on loopback answers, and after which silence is silence.
pub(super) const ANSWER: Duration = Duration::from_millis(400);

/// What each proxy of a link met, by its name.
pub(super) type Trials = BTreeMap<String, LinkTrial>;

/// Tries every proxy of a link.
pub(super) async fn try_link(testbed: &dyn Testbed, link: &Link, within: Duration) -> Result<Trials, String> {
    Ok(testbed.try_link(link, within).await.map_err(|error| error.to_string())?.into_iter().collect())
}

/// The proxies of which something can be seen, since the service behind them answers, with the time it took.
pub(super) fn answered(trials: &Trials) -> BTreeMap<String, Duration> {
    trials
        .iter()
        .filter_map(|(proxy, trial)| match trial {
            LinkTrial::Answered(took) => Some((proxy.clone(), *took)),
            _ => None,
        })
        .collect()
}

/// Says which proxies have no say, as they had nothing behind them before the fault.
pub(super) fn mute(before: &Trials) -> String {
    let mute: Vec<&str> = before
        .iter()
        .filter(|(_, trial)| !matches!(trial, LinkTrial::Answered(_)))
        .map(|(name, _)| name.as_str())
        .collect();
    if mute.is_empty() {
        String::new()
    } else {
        format!("; no service answered before the fault on {}", mute.join(", "))
    }
}

/// Repeats an observation until it proves what it should, for [`SETTLE`] at most.
pub(super) async fn settle<F: Future<Output = Proof>>(look: impl FnMut() -> F) -> Proof {
    settle_within(SETTLE, look).await
}

/// The same within a time of the caller's.
pub(super) async fn settle_within<F: Future<Output = Proof>>(within: Duration, mut look: impl FnMut() -> F) -> Proof {
    let deadline = Instant::now() + within;
    loop {
        match look().await {
            Err(_) if Instant::now() < deadline => tokio::time::sleep(Duration::from_millis(20)).await,
            other => return other,
        }
    }
}

/// Observes that a link carries again: every proxy that answered before does so now, or has nothing behind it any more,
/// or is cut since a region is lost.
pub(super) async fn carries_again(testbed: &dyn Testbed, link: &Link, before: &Trials) -> Proof {
    carries_again_within(SETTLE, testbed, link, before).await
}

/// The same within a time of the caller's.
pub(super) async fn carries_again_within(
    within: Duration,
    testbed: &dyn Testbed,
    link: &Link,
    before: &Trials,
) -> Proof {
    settle_within(within, || async {
        let now = try_link(testbed, link, ANSWER).await?;
        judge_carrying(before, &now)
    })
    .await
}

fn judge_carrying(before: &Trials, now: &Trials) -> Proof {
    let (mut answering, mut idle, mut cut) = (0, 0, 0);
    for (proxy, trial) in now {
        match trial {
            LinkTrial::Answered(_) => answering += 1,
            LinkTrial::NoService => idle += 1,
            LinkTrial::Cut => cut += 1,
            // A door without an environment closes at once, today as before.
            LinkTrial::Reset if before.get(proxy) == Some(&LinkTrial::Reset) => idle += 1,
            other => return Err(format!("{proxy}: {other:?} after healing")),
        }
    }
    let mut text = format!("nothing impedes its proxies any more, by read-back; {answering} of {} answer", now.len());
    if idle > 0 {
        text.push_str(&format!(", {idle} have no service behind them"));
    }
    if cut > 0 {
        text.push_str(&format!(", {cut} are cut by a region's outage"));
    }
    Ok(text)
}

/// The running processes of a name.
pub(super) async fn running(testbed: &dyn Testbed, name: &ProcessName) -> Result<Vec<Process>, String> {
    testbed.processes(name).await.map_err(|error| error.to_string())
}

/// Each of these processes with what it does.
pub(super) async fn states(
    testbed: &dyn Testbed,
    processes: Vec<Process>,
) -> Result<Vec<(Process, ProcessState)>, String> {
    let states = testbed.states(&processes).await.map_err(|error| error.to_string())?;
    Ok(processes.into_iter().zip(states).collect())
}

/// Waits until none of these processes is alive.
pub(super) async fn gone(testbed: &dyn Testbed, processes: &[Process]) -> Proof {
    settle(|| async {
        let states = states(testbed, processes.to_vec()).await?;
        let alive = states.into_iter().filter(|(_, state)| *state != ProcessState::Gone).map(|(process, _)| process);
        match &alive.collect::<Vec<_>>()[..] {
            [] => Ok(format!("{} gone: {}", count(processes.len()), named(processes))),
            alive => Err(format!("still alive: {}", named(alive))),
        }
    })
    .await
}

/// `1 process`, `3 processes`.
pub(super) fn count(processes: usize) -> String {
    if processes == 1 { "1 process".to_owned() } else { format!("{processes} processes") }
}

/// Which processes, the first few.
pub(super) fn named(processes: &[Process]) -> String {
    const SHOWN: usize = 6;
    let mut text = processes.iter().take(SHOWN).map(ToString::to_string).collect::<Vec<_>>().join(", ");
    if processes.len() > SHOWN {
        text.push_str(", ...");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_carries_again_only_if_none_of_its_proxies_is_impeded() {
        let answer = LinkTrial::Answered(Duration::from_millis(1));
        let trials = |one: &LinkTrial, other: &LinkTrial| {
            Trials::from([("a".to_owned(), one.clone()), ("b".to_owned(), other.clone())])
        };
        for (before, now, carries) in [
            ((&answer, &answer), (&answer, &answer), true),
            ((&answer, &answer), (&answer, &LinkTrial::Silent), false),
            ((&answer, &answer), (&answer, &LinkTrial::Refused), false),
            ((&answer, &answer), (&answer, &LinkTrial::Reset), false),
            ((&answer, &LinkTrial::Reset), (&answer, &LinkTrial::Reset), true),
            ((&answer, &answer), (&LinkTrial::Cut, &LinkTrial::NoService), true),
        ] {
            let judged = judge_carrying(&trials(before.0, before.1), &trials(now.0, now.1));
            assert_eq!(judged.is_ok(), carries, "{before:?} {now:?}: {judged:?}");
        }
    }
}
