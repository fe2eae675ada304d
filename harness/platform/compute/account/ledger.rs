//! One environment's account at work: appended by a thread of its own, one sync for all who wait, and kept in memory as far
//! as the other region is not known to have it.

use std::{
    collections::{BTreeMap, VecDeque},
    io,
    path::PathBuf,
    sync::{Arc, Mutex, mpsc},
    time::Instant,
};

use tokio::sync::{Notify, oneshot};

use super::{
    Written,
    file::{AccountFile, Kept},
};
use crate::{
    api::{
        EnvironmentId, Epoch,
        compute::{AccountEntry, AccountMark, AccountPush},
    },
    os::files,
    platform::actor::locked,
};

/// Entries appended with one sync, at most.
const TOGETHER_MAX: usize = 1024;
/// Entries of one push, at most.
const PUSH_MAX: usize = 500;
/// The file is written anew when it holds this many entries that are no longer needed.
const REWRITE_AFTER: u64 = 5_000;

enum Job {
    Append(Epoch, Vec<Written>, oneshot::Sender<io::Result<()>>),
    /// Somebody may wait for it.
    Rewrite(Option<oneshot::Sender<io::Result<()>>>),
}

/// An entry in memory.
struct Entry {
    kept: Kept,
    /// When it was appended, before its client heard of it; `None`: before this process's start.
    since: Option<Instant>,
}

/// What is not verified yet, about 200 bytes an entry.
struct Unverified {
    entries: VecDeque<Entry>,
    /// Number of the next entry.
    next: u64,
    /// Entries in the file that are no longer needed.
    stale: u64,
}

/// The account of one environment.
pub struct Account {
    /// The environment.
    pub environment: EnvironmentId,
    jobs: mpsc::Sender<Job>,
    unverified: Arc<Mutex<Unverified>>,
    /// Tells that entries have come, or an end of an epoch.
    pub appended: Arc<Notify>,
}

impl Account {
    fn open(environment: &EnvironmentId, path: &std::path::Path) -> io::Result<Self> {
        let opened = AccountFile::open(path)?;
        let (jobs, queue) = mpsc::channel();
        let entries = opened.kept.into_iter().map(|kept| Entry { kept, since: None }).collect();
        let unverified = Arc::new(Mutex::new(Unverified { entries, next: opened.next, stale: 0 }));
        let appended = Arc::new(Notify::new());
        appended.notify_one();
        let (theirs, tells) = (Arc::clone(&unverified), Arc::clone(&appended));
        std::thread::Builder::new()
            .name(format!("account-{environment}"))
            .spawn(move || write(opened.file, &queue, &theirs, &tells))?;
        Ok(Self { environment: environment.clone(), jobs, unverified, appended })
    }

    /// Appends what the store acknowledged under an epoch; it is on the disk when this returns.
    ///
    /// # Errors
    /// The system's: it may then not be in the account.
    pub async fn append(&self, epoch: Epoch, written: Vec<Written>) -> io::Result<()> {
        let (done, answer) = oneshot::channel();
        self.ask(Job::Append(epoch, written, done), answer).await
    }

    /// Forgets every entry: none is in the file any more when this returns. Numbers go on.
    ///
    /// # Errors
    /// The system's.
    pub async fn clear(&self) -> io::Result<()> {
        let (done, answer) = oneshot::channel();
        locked(&self.unverified).entries.clear();
        self.ask(Job::Rewrite(Some(done)), answer).await
    }

    async fn ask(&self, job: Job, answer: oneshot::Receiver<io::Result<()>>) -> io::Result<()> {
        let ended = || io::Error::other("the account's writer has ended");
        self.jobs.send(job).map_err(|_| ended())?;
        answer.await.map_err(|_| ended())?
    }

    /// The number of the last entry, which is on the disk.
    pub fn last(&self) -> u64 {
        locked(&self.unverified).next - 1
    }

    /// The next push of what was written under `epoch`, from entry `from` on; what was written under a smaller one is
    /// forgotten, since the switch that ended it has settled what became of it. Empty if there is nothing new.
    pub fn push(&self, epoch: Epoch, from: u64) -> AccountPush {
        let mut unverified = locked(&self.unverified);
        let over = unverified.entries.iter().take_while(|entry| entry.kept.epoch < epoch).count();
        self.forget(&mut unverified, over);
        let kept_from = unverified.entries.front().map_or(unverified.next, |entry| entry.kept.entry.number);
        let skipped = usize::try_from(from.saturating_sub(kept_from)).unwrap_or(usize::MAX);
        let fresh = unverified.entries.iter().skip(skipped).take(PUSH_MAX);
        let entries = fresh.map(|entry| entry.kept.entry.clone()).collect();
        AccountPush { environment: self.environment.clone(), epoch, kept_from, entries }
    }

    /// Takes the node's answer.
    pub fn take(&self, mark: AccountMark) {
        let mut unverified = locked(&self.unverified);
        let verified = unverified.entries.iter().take_while(|entry| entry.kept.entry.number <= mark.verified).count();
        self.forget(&mut unverified, verified);
    }

    /// Whether anything is not verified yet.
    pub fn is_pending(&self) -> bool {
        !locked(&self.unverified).entries.is_empty()
    }

    /// Milliseconds since the oldest entry written under `epoch` was appended that the other region is not known to have; 0 if
    /// there is none, `None` if that was before this process's start.
    pub fn oldest_ms(&self, epoch: Epoch, now: Instant) -> Option<u64> {
        let unverified = locked(&self.unverified);
        let Some(oldest) = unverified.entries.iter().find(|entry| entry.kept.epoch >= epoch) else { return Some(0) };
        let age = now.saturating_duration_since(oldest.since?);
        Some(u64::try_from(age.as_millis()).unwrap_or(u64::MAX))
    }

    fn forget(&self, unverified: &mut Unverified, count: usize) {
        unverified.entries.drain(..count);
        unverified.stale += count as u64;
        if unverified.stale >= REWRITE_AFTER {
            unverified.stale = 0;
            // The writer that has ended says so to whoever appends.
            let _ = self.jobs.send(Job::Rewrite(None));
        }
    }
}

/// The writer's thread; it ends with its account.
fn write(mut file: AccountFile, queue: &mpsc::Receiver<Job>, unverified: &Mutex<Unverified>, appended: &Notify) {
    while let Ok(first) = queue.recv() {
        let mut waiting = Vec::new();
        let mut fresh = Vec::new();
        let (mut rewrite, mut rewriters) = (false, Vec::new());
        let mut next = locked(unverified).next;
        for job in std::iter::once(first).chain(queue.try_iter().take(TOGETHER_MAX)) {
            match job {
                Job::Rewrite(waits) => {
                    rewrite = true;
                    rewriters.extend(waits);
                }
                Job::Append(epoch, written, done) => {
                    for Written { object_key, version_id, operation } in written {
                        fresh.push(Kept {
                            epoch,
                            entry: AccountEntry { number: next, object_key, version_id, operation },
                        });
                        next += 1;
                    }
                    waiting.push(done);
                }
            }
        }
        // Whatever the store acknowledged, no client has been told of it before this.
        let since = Some(Instant::now());
        let done = if fresh.is_empty() { Ok(()) } else { file.append(&fresh) };
        match &done {
            Ok(()) => {
                let mut unverified = locked(unverified);
                unverified.entries.extend(fresh.into_iter().map(|kept| Entry { kept, since }));
                unverified.next = next;
                drop(unverified);
                appended.notify_one();
            }
            Err(error) => tracing::error!(%error, "cannot append to the account"),
        }
        tell(waiting, &done);
        if rewrite {
            let (kept, next) = {
                let unverified = locked(unverified);
                let kept: Vec<Kept> = unverified.entries.iter().map(|entry| entry.kept.clone()).collect();
                (kept, unverified.next)
            };
            let done = file.rewrite(kept.iter(), next);
            if let Err(error) = &done {
                tracing::warn!(%error, "cannot shorten the account");
            }
            tell(rewriters, &done);
        }
    }
}

/// Tells those who wait what became of it.
fn tell(waiting: Vec<oneshot::Sender<io::Result<()>>>, done: &io::Result<()>) {
    for waits in waiting {
        let told = match done {
            Ok(()) => Ok(()),
            Err(error) => Err(io::Error::new(error.kind(), error.to_string())),
        };
        // Whoever waited may be gone; what was written stays.
        let _ = waits.send(told);
    }
}

/// The accounts of a compute, one file an environment.
pub struct Accounts {
    folder: PathBuf,
    open: Mutex<BTreeMap<EnvironmentId, Arc<Account>>>,
    /// Tells that an account was opened.
    pub opened: Notify,
}

impl Accounts {
    /// Those in a folder.
    ///
    /// # Errors
    /// The system's, or an account that cannot be read.
    pub fn open(folder: PathBuf) -> io::Result<Self> {
        files::private_folder(&folder)?;
        let accounts = Self { folder, open: Mutex::default(), opened: Notify::new() };
        for entry in std::fs::read_dir(&accounts.folder)? {
            let name = entry?.file_name();
            let environment = name.to_str().and_then(|name| name.strip_suffix(".ndjson")?.parse().ok());
            if let Some(environment) = environment {
                accounts.of(&environment)?;
            }
        }
        Ok(accounts)
    }

    /// An environment's account, begun if there is none.
    ///
    /// # Errors
    /// The system's.
    pub fn of(&self, environment: &EnvironmentId) -> io::Result<Arc<Account>> {
        let mut open = locked(&self.open);
        if let Some(account) = open.get(environment) {
            return Ok(Arc::clone(account));
        }
        let account = Arc::new(Account::open(environment, &self.folder.join(format!("{environment}.ndjson")))?);
        open.insert(environment.clone(), Arc::clone(&account));
        self.opened.notify_one();
        Ok(account)
    }

    /// An environment's account, if one was begun.
    pub fn known(&self, environment: &EnvironmentId) -> Option<Arc<Account>> {
        locked(&self.open).get(environment).cloned()
    }

    /// Every account.
    pub fn all(&self) -> Vec<Arc<Account>> {
        locked(&self.open).values().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::compute::AccountOperation;

    fn written(key: &str) -> Vec<Written> {
        let operation = AccountOperation::Put;
        vec![Written { object_key: key.to_owned(), version_id: "v".to_owned(), operation }]
    }

    fn numbers(push: &AccountPush) -> Vec<u64> {
        push.entries.iter().map(|entry| entry.number).collect()
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn many_who_append_at_once_each_get_a_number_that_outlives_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let sales: EnvironmentId = "sales".parse().unwrap();
        let accounts = Accounts::open(folder.path().to_owned()).unwrap();
        let account = accounts.of(&sales).unwrap();
        let appends: Vec<_> = (0..200)
            .map(|n| {
                let account = Arc::clone(&account);
                tokio::spawn(async move { account.append(Epoch(1), written(&format!("k{n}"))).await })
            })
            .collect();
        for append in appends {
            append.await.unwrap().unwrap();
        }
        assert_eq!(account.last(), 200);
        let later = Instant::now() + std::time::Duration::from_secs(5);
        assert!(account.oldest_ms(Epoch(1), later).is_some_and(|ms| ms >= 5_000));
        account.take(AccountMark { verified: 150, next: 201 });
        assert_eq!(numbers(&account.push(Epoch(1), 0)), (151..=200).collect::<Vec<_>>());
        assert_eq!(numbers(&account.push(Epoch(1), 199)), [199, 200]);
        drop((accounts, account));
        let accounts = Accounts::open(folder.path().to_owned()).unwrap();
        let [account] = &accounts.all()[..] else { panic!() };
        assert_eq!(account.last(), 200);
        assert!(account.is_pending());
        // How old it is the new process does not know, unless a greater epoch has settled what became of it.
        let now = Instant::now();
        assert_eq!((account.oldest_ms(Epoch(1), now), account.oldest_ms(Epoch(2), now)), (None, Some(0)));
        // A greater epoch has settled what was left open.
        account.append(Epoch(2), written("new")).await.unwrap();
        let push = account.push(Epoch(2), 1);
        assert_eq!((push.kept_from, numbers(&push)), (201, vec![201]));
        // Of an environment that is deleted nothing is left but the count.
        account.clear().await.unwrap();
        assert!(!account.is_pending());
        let text = std::fs::read_to_string(folder.path().join("sales.ndjson")).unwrap();
        assert!(text.lines().count() == 1 && text.contains("202"), "{text}");
    }
}
