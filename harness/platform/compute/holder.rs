//! The compute's permits and the marks that go with them.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use tokio::sync::{Notify, watch};

use super::{account::Accounts, doors::Doors, marks::Marks, reports::Reports};
use crate::{
    api::{
        EnvironmentId, Epoch,
        control::Dangling,
        permit::{self, FilesAge, PermitReply, PermitRequest},
        role::ComputeConfig,
        sabotage::Sabotage,
    },
    clients::http::Http,
    os::files,
    platform::actor::{
        lease::{Grantor, Permits, Terms},
        locked,
        renewal::Holds,
    },
};

/// How long the node may take to tell the marked references.
const MARKS_WITHIN: Duration = Duration::from_secs(2);

/// All that the compute's connections share.
pub struct Holder {
    /// Its configuration.
    pub config: ComputeConfig,
    /// Who is inside, and what is stopped.
    pub doors: Doors,
    /// The running accounts.
    pub accounts: Accounts,
    /// The features offered.
    pub reports: Reports,
    permits: Mutex<Permits>,
    /// Serialises what is written to the disk.
    epochs: Mutex<BTreeMap<EnvironmentId, Epoch>>,
    marks: Mutex<BTreeMap<EnvironmentId, watch::Sender<Option<Loaded>>>>,
    /// Tells that grants have come, and with them perhaps a new revision of marks.
    granted: Notify,
}

/// Marks, and the revision at which they were asked for.
#[derive(Clone)]
pub struct Loaded {
    /// Revision.
    pub revision: u64,
    /// Marks.
    pub marks: Arc<Marks>,
}

impl Holder {
    /// With the epochs seen before, the stops and the accounts.
    ///
    /// # Errors
    /// The system's, or that one of the files cannot be read: to go on without would be to forget a fence.
    pub fn open(config: ComputeConfig) -> std::io::Result<Self> {
        files::private_folder(&config.data)?;
        let epochs: BTreeMap<EnvironmentId, Epoch> = match files::read_json(&epochs_file(&config)) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => BTreeMap::new(),
            other => other?,
        };
        let permits = Mutex::new(Permits::new(epochs.clone(), config.sabotage));
        Ok(Self {
            doors: Doors::open(config.data.join("stops.json"))?,
            accounts: Accounts::open(config.data.join("account"))?,
            reports: Reports::open(&config.data)?,
            config,
            permits,
            epochs: Mutex::new(epochs),
            marks: Mutex::default(),
            granted: Notify::new(),
        })
    }

    /// The greatest epoch seen of an environment.
    pub fn epoch(&self, environment: &EnvironmentId) -> Epoch {
        locked(&self.permits).terms(environment).epoch
    }

    /// Remembers an epoch, durably first.
    ///
    /// # Errors
    /// The system's.
    pub fn raise(&self, environment: &EnvironmentId, epoch: Epoch) -> std::io::Result<()> {
        self.remember(BTreeMap::from([(environment.clone(), epoch)]))?;
        locked(&self.permits).raise(environment, epoch);
        Ok(())
    }

    /// The terms of an environment, kept up to date.
    pub fn watch(&self, environment: &EnvironmentId) -> Option<watch::Receiver<Terms>> {
        locked(&self.permits).watch(environment)
    }

    /// The marks of an environment, of `revision` or later: asked for if they have not been, waited for a bounded time.
    pub async fn marks(&self, environment: &EnvironmentId, revision: u64) -> Option<Arc<Marks>> {
        let mut watched = locked(&self.marks).entry(environment.clone()).or_default().subscribe();
        let up_to_date = watched.wait_for(|loaded| loaded.as_ref().is_some_and(|loaded| loaded.revision >= revision));
        let loaded = tokio::time::timeout(MARKS_WITHIN, up_to_date).await.ok()?.ok()?;
        loaded.as_ref().map(|loaded| Arc::clone(&loaded.marks))
    }

    /// Keeps the marks of every environment that is granted at the revision granted, for ever.
    pub async fn keep_marks(self: Arc<Self>) {
        let node = Http::at(&self.config.node, self.config.internal_token.clone());
        let poll = Duration::from_millis(self.config.timers.poll_ms.clamp(10, 100));
        loop {
            for (environment, revision) in self.marks_wanted() {
                let path = format!("/internal/marks?environment={environment}");
                match node.get::<Dangling>(&path, MARKS_WITHIN).await {
                    Ok(dangling) => {
                        tracing::info!(%environment, revision, count = dangling.references.len(), "marks");
                        let marks = Arc::new(Marks::new(dangling));
                        let sender = locked(&self.marks);
                        if let Some(sender) = sender.get(&environment) {
                            sender.send_replace(Some(Loaded { revision, marks }));
                        }
                    }
                    Err(error) => tracing::debug!(%environment, %error, "no marks"),
                }
            }
            let _ = tokio::time::timeout(poll, self.granted.notified()).await;
        }
    }

    fn marks_wanted(&self) -> Vec<(EnvironmentId, u64)> {
        let now = Instant::now();
        let permits = locked(&self.permits);
        let mut marks = locked(&self.marks);
        let granted = permits.known().into_iter().map(|(environment, _)| (permits.terms(&environment), environment));
        granted
            .filter(|(terms, _)| terms.until.is_some_and(|until| now < until))
            .filter(|(terms, environment)| {
                let loaded = marks.entry(environment.clone()).or_default().borrow();
                loaded.as_ref().is_none_or(|loaded| loaded.revision < terms.marks_revision)
            })
            .map(|(terms, environment)| (environment, terms.marks_revision))
            .collect()
    }

    fn remember(&self, news: BTreeMap<EnvironmentId, Epoch>) -> std::io::Result<()> {
        let mut epochs = locked(&self.epochs);
        let mut grown = epochs.clone();
        for (environment, epoch) in news {
            let seen = grown.entry(environment).or_insert(epoch);
            *seen = epoch.max(*seen);
        }
        if grown != *epochs {
            files::write_json(&epochs_file(&self.config), &grown)?;
            *epochs = grown;
        }
        Ok(())
    }
}

impl Holds for Holder {
    fn request(&self, grantor: Grantor) -> PermitRequest {
        // The stamp first: what is said was so then, or later.
        let (after, known) = {
            let permits = locked(&self.permits);
            (permits.stamps().get(&grantor).copied(), permits.known())
        };
        let files = self.accounts.all().into_iter().map(|account| FilesAge {
            oldest_ms: account.oldest_ms(self.epoch(&account.environment), Instant::now()),
            environment: account.environment.clone(),
        });
        let tells_files = self.config.sabotage != Some(Sabotage::GuardIgnoresFiles);
        PermitRequest {
            holder: permit::Holder::Compute,
            region: self.config.region.clone(),
            zone: self.config.zone,
            files: files.filter(|_| tells_files).collect(),
            known,
            peer_silent_ms: None,
            states: vec![],
            files_ok: None,
            processors: None,
            after,
        }
    }

    async fn take(&self, from: Grantor, sent: Instant, reply: PermitReply) {
        let news = locked(&self.permits).news(&reply);
        for (environment, epoch) in &news {
            tracing::info!(%environment, epoch = epoch.0, "greater epoch");
        }
        if let Err(error) = self.remember(news) {
            // An epoch that is not durable may not be acted upon: the reply counts for nothing.
            tracing::error!(%error, "cannot remember an epoch");
            return;
        }
        locked(&self.permits).take(from, sent, reply, Instant::now());
        self.granted.notify_one();
    }
}

fn epochs_file(config: &ComputeConfig) -> PathBuf {
    config.data.join("epochs.json")
}
