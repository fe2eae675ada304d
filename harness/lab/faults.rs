//! The faults in force in a lab.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use super::talk::{FaultInForce, Healed};
use crate::{
    api::Region,
    fault::{self, Injected},
    model::fault::{Fault, FaultRecord},
    testbed::Testbed,
    workload::Clock,
};

/// More faults at once than anybody can keep in mind.
const FAULTS_MAX: usize = 64;

/// Keeps every fault in force and heals it when asked to.
#[derive(Clone)]
pub(super) struct Faults {
    testbed: Arc<dyn Testbed>,
    clock: Clock,
    kept: Arc<Mutex<Kept>>,
}

#[derive(Default)]
struct Kept {
    drawn: u64,
    faults: BTreeMap<u64, Lasting>,
}

struct Lasting {
    fault: String,
    since: Instant,
    heals_at: Option<Instant>,
    state: State,
}

enum State {
    /// Being injected or healed.
    InWork(&'static str),
    /// In force, by us.
    Injected(Box<Injected>),
    /// The drill that ran before left the region lost.
    Lost(Region),
}

impl Faults {
    /// None in force.
    pub fn new(testbed: Arc<dyn Testbed>) -> Self {
        Self { testbed, clock: Clock::start(), kept: Arc::default() }
    }

    /// Takes over a region that was lost before the lab was one.
    pub fn adopt_lost(&self, region: Region) {
        let fault = Fault::RegionOutage { region: region.clone() }.to_string();
        let mut kept = self.lock();
        kept.drawn += 1;
        let number = kept.drawn;
        let lasting = Lasting { fault, since: Instant::now(), heals_at: None, state: State::Lost(region) };
        kept.faults.insert(number, lasting);
    }

    /// Injects a fault; it heals by itself after `hold`.
    ///
    /// # Errors
    /// Why it was not even tried.
    pub async fn inject(&self, fault: &Fault, hold: Option<Duration>) -> Result<(String, FaultRecord), String> {
        let number = {
            let mut kept = self.lock();
            if kept.faults.len() >= FAULTS_MAX {
                return Err(format!("{FAULTS_MAX} faults are in force: heal some first"));
            }
            kept.drawn += 1;
            let number = kept.drawn;
            let lasting = Lasting {
                fault: fault.to_string(),
                since: Instant::now(),
                heals_at: None,
                state: State::InWork("it is being injected"),
            };
            kept.faults.insert(number, lasting);
            number
        };
        let clock = self.clock;
        let testbed = Arc::clone(&self.testbed);
        let injected = fault::inject(&id(number), fault, testbed, Arc::new(move || clock.now())).await;
        let record = injected.record().clone();
        if let Some(lasting) = self.lock().faults.get_mut(&number) {
            lasting.state = State::Injected(Box::new(injected));
            lasting.heals_at = hold.map(|hold| Instant::now() + hold);
        }
        if let Some(hold) = hold {
            let faults = self.clone();
            tokio::spawn(async move {
                tokio::time::sleep(hold).await;
                match faults.heal(number).await {
                    Ok(healed) => tracing::info!(?healed, "its time was over"),
                    Err(why) => tracing::warn!(fault = id(number), why, "not healed when its time was over"),
                }
            });
        }
        Ok((id(number), record))
    }

    /// Heals one fault.
    ///
    /// # Errors
    /// That there is none, or that it cannot be healed now.
    pub async fn heal_named(&self, name: &str) -> Result<Healed, String> {
        let number = name.strip_prefix(PREFIX).and_then(|number| number.parse().ok());
        match number {
            Some(number) => self.heal(number).await,
            None => Err(self.unknown(name)),
        }
    }

    /// Heals every fault, the latest first.
    pub async fn heal_all(&self) -> Vec<Healed> {
        let numbers: Vec<u64> = self.lock().faults.keys().rev().copied().collect();
        let mut healed = Vec::new();
        for number in numbers {
            healed.push(self.heal(number).await.unwrap_or_else(|why| Healed {
                id: id(number),
                fault: String::new(),
                proven: false,
                observed: why,
            }));
        }
        healed
    }

    async fn heal(&self, number: u64) -> Result<Healed, String> {
        let (fault, state) = {
            let mut kept = self.lock();
            let Some(lasting) = kept.faults.get_mut(&number) else {
                drop(kept);
                return Err(self.unknown(&id(number)));
            };
            match std::mem::replace(&mut lasting.state, State::InWork("it is being healed")) {
                State::InWork(what) => {
                    lasting.state = State::InWork(what);
                    return Err(format!("{} is not to be healed now: {what}", id(number)));
                }
                state => (lasting.fault.clone(), state),
            }
        };
        let (proven, observed) = match state {
            State::Injected(injected) => {
                let record = injected.heal().await;
                (record.healed.is_some(), record.healing.unwrap_or_default())
            }
            State::Lost(region) => match self.testbed.return_region(&region).await {
                Ok(()) => (true, format!("{region} runs again")),
                Err(error) => (false, error.to_string()),
            },
            State::InWork(_) => (false, String::new()),
        };
        self.lock().faults.remove(&number);
        Ok(Healed { id: id(number), fault, proven, observed })
    }

    /// Every fault in force.
    pub fn list(&self) -> Vec<FaultInForce> {
        let now = Instant::now();
        let text = |lasting: &Lasting| match &lasting.state {
            State::InWork(what) => ((*what).to_owned(), false),
            State::Injected(injected) => (injected.record().proof.clone(), !injected.record().unproven),
            State::Lost(_) => ("left so by the drill".to_owned(), true),
        };
        let kept = self.lock();
        let shown = kept.faults.iter().map(|(number, lasting)| {
            let (proof, proven) = text(lasting);
            FaultInForce {
                id: id(*number),
                fault: lasting.fault.clone(),
                for_ms: whole_ms(now - lasting.since),
                heals_in_ms: lasting.heals_at.map(|at| whole_ms(at.saturating_duration_since(now))),
                proof,
                proven,
            }
        });
        shown.collect()
    }

    /// Leaves every fault to the testbed, which ends with all that it would be healed on.
    pub fn abandon(&self) {
        for lasting in std::mem::take(&mut self.lock().faults).into_values() {
            if let State::Injected(injected) = lasting.state {
                injected.ends_with_the_run();
            }
        }
    }

    fn unknown(&self, name: &str) -> String {
        let known: Vec<String> = self.lock().faults.keys().map(|number| id(*number)).collect();
        let known = if known.is_empty() { "none is".to_owned() } else { format!("there is: {}", known.join(", ")) };
        format!("no fault `{name}` is in force; {known}")
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const PREFIX: &str = "fault-";

fn id(number: u64) -> String {
    format!("{PREFIX}{number}")
}

fn whole_ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
