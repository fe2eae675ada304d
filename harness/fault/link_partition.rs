//! `link.partition`: a link that carries nothing, or nothing one way.
//!
//! Of a link that fails one way, that requests are not answered is observed on every proxy; which way it is that fails is
//! proven by Toxiproxy's own word alone, read back from each proxy: from outside, a request that does not arrive looks like
//! an answer that does not.

use std::time::Duration;

use futures_util::future::BoxFuture;

use super::{
    breakage::{Breakage, Proof},
    trials::{ANSWER, Trials, answered, carries_again, mute, settle, try_link},
};
use crate::{
    model::{
        fault::{Direction, PartitionMode},
        link::Link,
    },
    testbed::{Impediment, LinkTrial, Testbed, TestbedError},
};

pub(super) struct LinkPartition {
    link: Link,
    mode: PartitionMode,
    direction: Direction,
    before: Trials,
}

impl LinkPartition {
    pub fn new(link: Link, mode: PartitionMode, direction: Direction) -> Self {
        Self { link, mode, direction, before: Trials::new() }
    }
}

impl Breakage for LinkPartition {
    fn before<'a>(&'a mut self, testbed: &'a dyn Testbed) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async move {
            self.before = try_link(testbed, &self.link, ANSWER).await?;
            Ok(())
        })
    }

    fn act<'a>(&'a mut self, testbed: &'a dyn Testbed) -> BoxFuture<'a, Result<(), TestbedError>> {
        let how = match self.direction {
            Direction::Both => Impediment::Partition(self.mode),
            direction => Impediment::OneWay(self.mode, direction),
        };
        testbed.impede(std::slice::from_ref(&self.link), how)
    }

    fn prove<'a>(&'a self, testbed: &'a dyn Testbed) -> BoxFuture<'a, Proof> {
        Box::pin(async move {
            // Three times as long as any of them took before, so that slowness is not taken for silence.
            let slowest = answered(&self.before).into_values().max().unwrap_or_default();
            let within = ANSWER.max(slowest * 3);
            let seen = settle(|| async {
                let now = try_link(testbed, &self.link, within).await?;
                judge(&self.before, &now, self.mode, self.direction, within)
            })
            .await?;
            Ok(match self.direction {
                Direction::Both => seen,
                Direction::Forward => format!("{seen}; by read-back only what goes from {} is held", self.link.from),
                Direction::Backward => format!("{seen}; by read-back only what goes from {} is held", self.link.to),
            })
        })
    }

    fn undo<'a>(&'a mut self, testbed: &'a dyn Testbed) -> BoxFuture<'a, Result<(), TestbedError>> {
        testbed.clear(std::slice::from_ref(&self.link))
    }

    fn prove_healed<'a>(&'a self, testbed: &'a dyn Testbed) -> BoxFuture<'a, Proof> {
        Box::pin(carries_again(testbed, &self.link, &self.before))
    }
}

fn judge(before: &Trials, now: &Trials, mode: PartitionMode, direction: Direction, within: Duration) -> Proof {
    let (wanted, words) = match mode {
        PartitionMode::Stall | PartitionMode::Blackhole => (LinkTrial::Silent, format!("silent for {within:?}")),
        PartitionMode::Refuse => (LinkTrial::Refused, "refused".to_owned()),
        PartitionMode::Reset => (LinkTrial::Reset, "reset".to_owned()),
    };
    let answered = answered(before);
    // A closed proxy refuses whatever is behind it; of the other modes only an answer that fails to come can be seen.
    let telling: Vec<&String> =
        now.keys().filter(|proxy| mode == PartitionMode::Refuse || answered.contains_key(*proxy)).collect();
    if telling.is_empty() {
        return Err("no service answered on any of its proxies before the fault, so no effect can be seen".to_owned());
    }
    for proxy in &telling {
        let trial = &now[*proxy];
        // One way, a request may arrive and be answered and its connection closed: the close comes through, the answer does
        // not. A stall lets a close through both ways, and a server that ends sends away whoever has not said a word.
        let lets_closes_through = match mode {
            PartitionMode::Stall => true,
            PartitionMode::Blackhole => direction != Direction::Both,
            PartitionMode::Refuse | PartitionMode::Reset => false,
        };
        let is_unanswered = lets_closes_through && *trial == LinkTrial::Reset;
        if *trial != wanted && !is_unanswered {
            return Err(format!("{proxy}: {trial:?}, and not {words}"));
        }
    }
    Ok(format!("new connections through {} of {} proxies: {words}{}", telling.len(), now.len(), mute(before)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_proxy_that_answered_must_show_the_effect() {
        let answer = LinkTrial::Answered(Duration::from_millis(1));
        let trials = |one: &LinkTrial, other: &LinkTrial| {
            Trials::from([("a".to_owned(), one.clone()), ("b".to_owned(), other.clone())])
        };
        let (silent, refused, reset, none) =
            (&LinkTrial::Silent, &LinkTrial::Refused, &LinkTrial::Reset, &LinkTrial::NoService);
        use PartitionMode::{Blackhole, Refuse, Reset, Stall};
        for (mode, before, now, proven) in [
            (Stall, (&answer, &answer), (silent, silent), true),
            (Stall, (&answer, &answer), (silent, &answer), false),
            (Blackhole, (&answer, none), (silent, none), true),
            (Stall, (none, none), (none, none), false),
            (Stall, (reset, none), (reset, none), false),
            (Refuse, (none, none), (refused, refused), true),
            (Refuse, (&answer, none), (refused, none), false),
            (Reset, (&answer, &answer), (reset, reset), true),
            (Reset, (&answer, &answer), (reset, refused), false),
            (Stall, (&answer, &answer), (&LinkTrial::Cut, silent), false),
        ] {
            let (before_it, after) = (trials(before.0, before.1), trials(now.0, now.1));
            let judged = judge(&before_it, &after, mode, Direction::Both, ANSWER);
            assert_eq!(judged.is_ok(), proven, "{mode:?} {before:?} {now:?}: {judged:?}");
        }
        let closed = |direction| judge(&trials(&answer, none), &trials(reset, none), Blackhole, direction, ANSWER);
        assert!(closed(Direction::Backward).is_ok() && closed(Direction::Both).is_err());
        let proof = judge(&trials(&answer, none), &trials(silent, none), Stall, Direction::Both, ANSWER).unwrap();
        assert!(proof.contains("1 of 2") && proof.contains("before the fault on b"), "{proof}");
    }
}
