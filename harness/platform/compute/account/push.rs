//! Tells the own node of new entries, and hears from it which ones the other region has.

use std::{sync::Arc, time::Duration};

use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};

use super::ledger::Account;
use crate::{api::compute::AccountMark, clients::http::Http, platform::compute::holder::Holder};

/// How long entries are gathered before a push.
const GATHER: Duration = Duration::from_millis(20);
/// How often the node is asked what has been verified while nothing new comes.
const ASK: Duration = Duration::from_millis(500);
/// How often a node is told that there is nothing: it may have begun anew, and be waited for.
const IDLE: Duration = Duration::from_secs(2);
/// How long a push may take.
const WITHIN: Duration = Duration::from_secs(2);
/// Pause after a push that failed.
const PAUSE: Duration = Duration::from_millis(100);

/// Pushes every account for ever, those opened later too.
pub async fn push_all(holder: Arc<Holder>) {
    let mut tasks = JoinSet::new();
    let mut seen = std::collections::BTreeSet::new();
    loop {
        for account in holder.accounts.all() {
            if seen.insert(account.environment.clone()) {
                tasks.spawn(push(Arc::clone(&holder), account));
            }
        }
        holder.accounts.opened.notified().await;
    }
}

async fn push(holder: Arc<Holder>, account: Arc<Account>) {
    let node = Http::at(&holder.config.node, holder.config.internal_token.clone());
    let mut next = 1;
    let mut answers = true;
    loop {
        let epoch = holder.epoch(&account.environment);
        let push = account.push(epoch, next);
        let last = push.entries.last().map_or(next, |entry| entry.number + 1);
        match node.post::<AccountMark>("/internal/account", &push, WITHIN).await {
            Ok(mark) => {
                account.take(mark);
                next = mark.next;
                answers = true;
                // What did not fit is sent at once; what the node did not take (it may have begun anew), after a breath.
                if next <= account.last() {
                    if next < last {
                        sleep(PAUSE / 10).await;
                    }
                    continue;
                }
            }
            Err(error) => {
                if answers {
                    tracing::warn!(environment = %account.environment, %error, "the account was not pushed");
                }
                answers = false;
                sleep(PAUSE).await;
                continue;
            }
        }
        let gather = || async {
            account.appended.notified().await;
            if !holder.doors.is_stopped(&account.environment) {
                sleep(GATHER).await;
            }
        };
        let within = if account.is_pending() { ASK } else { IDLE };
        // Nothing new is an answer too.
        let _ = timeout(within, gather()).await;
    }
}
