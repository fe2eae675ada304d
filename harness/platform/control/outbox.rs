//! Delivers notices by webhook, at least once: a first attempt at once, then again with a growing pause until the
//! subscriber answers 2xx. Nothing waits for it but the first attempts, and those only for a time.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use futures_util::future::join_all;
use tokio::{sync::Semaphore, time::sleep};

use super::inbox::Inbox;
use crate::{
    api::{Address, control::Notice, sabotage::Sabotage},
    platform::{
        core::Event,
        journal::{Delivery, Journal, JournalError},
    },
};

/// One attempt at most.
const ATTEMPT_WITHIN: Duration = Duration::from_secs(2);
/// The first pause before a repeat.
const PAUSE: Duration = Duration::from_millis(100);
/// The longest.
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// How late notices are where the platform is sabotaged so: later than a switch takes.
const SABOTAGED_PAUSE: Duration = Duration::from_secs(5);
/// Repeats under way at once; first attempts are not counted, so that no slow subscriber delays another's.
const REPEATS_MAX: usize = 32;

/// Whether a webhook address is one that is accepted: plain HTTP to a port of one of these hosts.
pub(super) fn is_accepted(url: &str, hosts: &BTreeSet<String>) -> bool {
    let Some(rest) = url.strip_prefix("http://") else { return false };
    let (address, path) = rest.split_once('/').unwrap_or((rest, ""));
    let is_there = |address: Address| hosts.contains(address.host()) && address.port() > 0;
    address.parse().is_ok_and(is_there) && path.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Delivers what the journal owes.
pub(super) struct Outbox {
    journal: Arc<Journal>,
    inbox: Inbox,
    client: reqwest::Client,
    repeats: Semaphore,
    sabotage: Option<Sabotage>,
}

impl Outbox {
    /// An outbox over a journal.
    pub(super) fn new(journal: Arc<Journal>, inbox: Inbox, sabotage: Option<Sabotage>) -> Self {
        let client = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .pool_max_idle_per_host(0)
            .build()
            .unwrap_or_default();
        Self { journal, inbox, client, repeats: Semaphore::new(REPEATS_MAX), sabotage }
    }

    /// Delivers one notice: tells the core once every subscriber has been tried, then goes on until all have it.
    pub(super) async fn announce(self: Arc<Self>, id: u64) {
        if matches!(self.sabotage, Some(Sabotage::NoNotice | Sabotage::NoticeAfterSwitch)) {
            self.inbox.tell(Event::NoticeAttempted { notice: id }).await;
            sleep(SABOTAGED_PAUSE).await;
        }
        if self.sabotage == Some(Sabotage::NoNotice) {
            return;
        }
        let owed = self.journal.owed(Some(id)).await.unwrap_or_else(|error| {
            tracing::error!(notice = id, %error, "outbox cannot be read");
            Vec::new()
        });
        let tried = join_all(owed.iter().map(|delivery| self.attempt(delivery))).await;
        self.inbox.tell(Event::NoticeAttempted { notice: id }).await;
        let left = owed.iter().zip(tried).filter(|(_, is_delivered)| !is_delivered);
        join_all(left.map(|(delivery, _)| self.repeat(delivery))).await;
    }

    /// Goes on with what an earlier process owed.
    pub(super) async fn resume(self: Arc<Self>, owed: Vec<Delivery>) {
        let ids: BTreeSet<u64> = owed.iter().map(|delivery| delivery.notice).collect();
        join_all(ids.into_iter().map(|id| Arc::clone(&self).announce(id))).await;
    }

    async fn repeat(&self, delivery: &Delivery) {
        let mut pause = PAUSE;
        loop {
            sleep(pause).await;
            let Ok(_permit) = self.repeats.acquire().await else { return };
            if self.attempt(delivery).await {
                return;
            }
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    /// One attempt; whether it was answered 2xx.
    async fn attempt(&self, delivery: &Delivery) -> bool {
        let result = self.post(delivery).await;
        let is_delivered = matches!(result, Ok(true));
        let counted = match result {
            Ok(_) => self.journal.count_attempt(delivery, is_delivered).await,
            Err(error) => Err(error),
        };
        if let Err(error) = counted {
            tracing::error!(notice = delivery.notice, subscriber = delivery.subscriber, %error, "outbox");
        }
        is_delivered
    }

    async fn post(&self, delivery: &Delivery) -> Result<bool, JournalError> {
        let notice: Option<Notice> = self.journal.notice(delivery.notice).await?;
        let (Some(notice), Some(url)) = (notice, self.journal.address(&delivery.subscriber).await?) else {
            return Ok(false);
        };
        let answer = self.client.post(url).timeout(ATTEMPT_WITHIN).json(&notice).send().await;
        Ok(answer.is_ok_and(|answer| answer.status().is_success()))
    }
}
