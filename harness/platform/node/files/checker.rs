//! The account checker: each entry is looked at in the other region's store, by itself and unproxied, and brought there
//! where the store's own replication has not within a second.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, atomic::AtomicBool},
    time::{Duration, Instant},
};

use tokio::{
    sync::{Notify, watch},
    task::JoinSet,
    time::sleep_until,
};

use super::{
    ledger::Ledger,
    look::{Looked, look},
    peer::Peer,
    pulse,
};
use crate::{
    api::{
        EnvironmentId,
        compute::{AccountMark, AccountPush},
        node::Spec,
        permit::NodeState,
    },
    platform::{
        actor::{internal::Refused, locked},
        node::shared::Node,
    },
};

/// Entries looked at side by side.
const SIDE_BY_SIDE_MAX: usize = 12;
/// Between two looks at one entry.
const LOOK_AGAIN: Duration = Duration::from_millis(200);
/// The same while somebody waits.
const LOOK_AGAIN_HURRIED: Duration = Duration::from_millis(20);
/// How long the other region's store is left alone after it did not answer.
const SILENCE: Duration = Duration::from_millis(200);
/// How often ownership is looked at where nothing is done.
const IDLE: Duration = Duration::from_millis(500);

/// One environment's account at its node.
pub struct Account {
    environment: EnvironmentId,
    /// What is not verified.
    pub ledger: Mutex<Ledger>,
    /// Wakes the checker.
    pub wake: Notify,
    /// Tells of every change of what is verified.
    pub progress: watch::Sender<()>,
    /// Why the last look brought nothing.
    trouble: Mutex<Option<String>>,
}

impl Account {
    /// What the last look met with, for a person.
    pub fn last_word(&self) -> String {
        locked(&self.trouble).clone().unwrap_or_else(|| "the other region's store answers".to_owned())
    }
}

/// The node's files side.
#[derive(Default)]
pub struct Files {
    accounts: Mutex<BTreeMap<EnvironmentId, Arc<Account>>>,
    added: Notify,
    /// The own store answered the last call.
    pub answers: AtomicBool,
}

impl Files {
    /// An environment's account, empty if nothing was pushed yet.
    pub fn account(&self, environment: &EnvironmentId) -> Arc<Account> {
        let mut accounts = locked(&self.accounts);
        let account = accounts.entry(environment.clone()).or_insert_with(|| {
            self.added.notify_one();
            Arc::new(Account {
                environment: environment.clone(),
                ledger: Mutex::default(),
                wake: Notify::new(),
                progress: watch::Sender::new(()),
                trouble: Mutex::default(),
            })
        });
        Arc::clone(account)
    }

    /// Adds to a claim what is pending.
    pub fn claim(&self, mut claim: NodeState) -> NodeState {
        if let Some(account) = locked(&self.accounts).get(&claim.environment) {
            let (pending, oldest) = locked(&account.ledger).pending(Instant::now());
            claim.files_pending = pending;
            claim.files_oldest_ms = u64::try_from(oldest.as_millis()).unwrap_or(u64::MAX);
        }
        claim
    }
}

/// `POST /internal/account`.
///
/// # Errors
/// 409 for an epoch that is over.
pub fn take(node: &Node, push: AccountPush) -> Result<AccountMark, Refused> {
    let seen = node.durable.record(&push.environment).epoch;
    if push.epoch < seen {
        return Err(Refused::conflict(format!("epoch {} is over: epoch {seen} has been seen", push.epoch)));
    }
    let account = node.files.account(&push.environment);
    let mark = locked(&account.ledger).take(push, Instant::now());
    account.wake.notify_one();
    account.progress.send_replace(());
    Ok(mark)
}

/// Asks the own store whether it answers, and checks every account, for ever.
pub async fn run(node: Arc<Node>) {
    let mut tasks = JoinSet::new();
    let theirs = Arc::clone(&node);
    tasks.spawn(async move { pulse::keep_asking(&theirs).await });
    let mut seen = BTreeSet::new();
    loop {
        let accounts: Vec<_> = locked(&node.files.accounts).values().cloned().collect();
        for account in accounts {
            if seen.insert(account.environment.clone()) {
                tasks.spawn(check(Arc::clone(&node), account));
            }
        }
        node.files.added.notified().await;
    }
}

async fn check(node: Arc<Node>, account: Arc<Account>) {
    let mut peer: Option<(Spec, Arc<Peer>)> = None;
    let mut looks = JoinSet::new();
    let mut silent_until = Instant::now();
    loop {
        let now = Instant::now();
        let record = node.durable.record(&account.environment);
        // Under another's epoch nothing is looked at, and above all nothing is brought.
        let spec = record.spec.clone().filter(|_| record.owned().is_some());
        let mut sleep = now + IDLE;
        if let Some(spec) = spec {
            if !spec.kind.has_replica() {
                settle_all(&account, now);
            } else if let Some(login) = spec.credentials.files_replication.get(&node.config.region) {
                if peer.as_ref().is_none_or(|(old, _)| *old != spec) {
                    peer = Some((spec.clone(), Arc::new(Peer::new(&node.config.files_targets, login))));
                }
                // One look at a time finds out whether a silent store answers again.
                let room = if now < silent_until {
                    0
                } else if locked(&account.trouble).is_some() {
                    usize::from(looks.is_empty())
                } else {
                    SIDE_BY_SIDE_MAX.saturating_sub(looks.len())
                };
                let mut ledger = locked(&account.ledger);
                for (entry, age) in ledger.due(now, room) {
                    let Some((spec, peer)) = peer.as_ref() else { continue };
                    let (node, account) = (Arc::clone(&node), Arc::clone(&account));
                    let (bucket, peer) = (spec.bucket.clone(), Arc::clone(peer));
                    looks.spawn(async move {
                        let looked = look(&node, &account, &peer, &bucket, &entry, age).await;
                        (entry, looked)
                    });
                }
                if looks.len() < SIDE_BY_SIDE_MAX {
                    let due = ledger.next_due().map(|due| due.max(silent_until));
                    sleep = due.filter(|due| *due > now).map_or(sleep, |due| due.min(sleep));
                }
            }
        }
        tokio::select! {
            Some(done) = looks.join_next() => if let Ok((entry, looked)) = done {
                finish(&account, entry.number, looked, peer.as_ref().map(|(_, peer)| &**peer), &mut silent_until);
            },
            () = account.wake.notified() => {}
            () = sleep_until(sleep.into()) => {}
        }
    }
}

fn finish(account: &Account, number: u64, looked: Looked, peer: Option<&Peer>, silent_until: &mut Instant) {
    let now = Instant::now();
    let mut ledger = locked(&account.ledger);
    let again = if ledger.is_hurried() { LOOK_AGAIN_HURRIED } else { LOOK_AGAIN };
    let trouble = match looked {
        Looked::Level => {
            ledger.settle(number, now);
            None
        }
        Looked::Missing => {
            ledger.put_back(number, now + again);
            None
        }
        Looked::Failed(why) => {
            ledger.put_back(number, now + LOOK_AGAIN);
            peer.inspect(|peer| peer.turn());
            *silent_until = now + SILENCE;
            Some(why)
        }
    };
    drop(ledger);
    let mut old = locked(&account.trouble);
    if old.is_some() != trouble.is_some() {
        tracing::info!(environment = %account.environment, trouble, "the other region's store");
    }
    *old = trouble;
    drop(old);
    account.progress.send_replace(());
}

/// Where no replica is promised there is nothing to verify.
fn settle_all(account: &Account, now: Instant) {
    let mut ledger = locked(&account.ledger);
    while let Some(number) = ledger.oldest().map(|oldest| oldest.number) {
        ledger.settle(number, now);
    }
}
