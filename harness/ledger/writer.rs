//! The writer: bytes reach the kernel before a call returns, and the disk in groups.

use std::{
    fs::{DirBuilder, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::Path,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc::{self, RecvTimeoutError},
    },
    thread::JoinHandle,
    time::Duration,
};

use super::{
    LEDGER_FILE,
    frame::{MAGIC, RecordRef, append},
};
use crate::model::operation::{Intent, Outcome};

/// The longest that a record waits for the disk while nothing else holds the disk up. The stores under test share that disk, so
/// it is not to be kept busy: whoever kills this process loses nothing by it, and what ends the machine ends the run.
const SYNC_PERIOD: Duration = Duration::from_secs(1);

/// A buffer that once grew beyond this is given back.
const BUFFER_BYTES_MAX: usize = 1 << 20;

/// Appends to the ledger of one run; shared by any number of threads and tasks. No call waits for the disk but
/// [`Writer::close`].
#[derive(Debug)]
pub struct Writer {
    state: Mutex<State>,
    shared: Arc<Shared>,
    syncer: Mutex<Option<Syncer>>,
}

#[derive(Debug)]
struct State {
    file: File,
    buffer: Vec<u8>,
    /// Nothing may be added behind a frame that was only half written, nor after the close.
    shut: Option<&'static str>,
}

#[derive(Debug, Default)]
struct Shared {
    dirty: AtomicBool,
    /// The first refusal of the disk: what it holds is unknown from then on, so every later call fails.
    refused: Mutex<Option<io::Error>>,
}

#[derive(Debug)]
struct Syncer {
    stop: mpsc::Sender<()>,
    thread: JoinHandle<()>,
}

impl Writer {
    /// Begins the ledger of a run in this folder, which is made (mode 0700) if it is not there.
    ///
    /// # Errors
    /// The system's; `AlreadyExists` if there is a ledger already: none is ever written over.
    pub fn create(folder: &Path) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let mut file = OpenOptions::new().append(true).create_new(true).mode(0o600).open(folder.join(LEDGER_FILE))?;
        file.write_all(MAGIC.as_bytes())?;
        file.sync_all()?;
        File::open(folder)?.sync_all()?;
        let shared = Arc::new(Shared::default());
        let (stop, stopped) = mpsc::channel();
        let (disk, flags) = (file.try_clone()?, Arc::clone(&shared));
        let thread = std::thread::Builder::new()
            .name("ledger-sync".to_owned())
            .spawn(move || while_running(&stopped, || flags.sync(&disk)))?;
        Ok(Self {
            state: Mutex::new(State { file, buffer: Vec::with_capacity(1024), shut: None }),
            shared,
            syncer: Mutex::new(Some(Syncer { stop, thread })),
        })
    }

    /// Records what is about to be sent. Once this returns, a SIGKILL of this process does not lose it.
    ///
    /// # Errors
    /// The system's. The operation must then not be sent.
    pub fn intent(&self, intent: &Intent) -> io::Result<()> {
        self.append(std::iter::once(RecordRef::Intent(intent)))
    }

    /// Records several intents with one call to the kernel.
    ///
    /// # Errors
    /// The system's. None of the operations may then be sent.
    pub fn intents(&self, intents: &[Intent]) -> io::Result<()> {
        self.append(intents.iter().map(RecordRef::Intent))
    }

    /// Records what came back.
    ///
    /// # Errors
    /// The system's. The operation is then in doubt for ever.
    pub fn outcome(&self, outcome: &Outcome) -> io::Result<()> {
        self.append(std::iter::once(RecordRef::Outcome(outcome)))
    }

    /// Records what came back and what is about to be sent next, with one call to the kernel. Once this returns, a SIGKILL of
    /// this process loses neither.
    ///
    /// # Errors
    /// The system's. The first operation is then in doubt for ever, and the next must not be sent.
    pub fn turn(&self, outcome: &Outcome, next: &Intent) -> io::Result<()> {
        self.append([RecordRef::Outcome(outcome), RecordRef::Intent(next)].into_iter())
    }

    /// Records several outcomes with one call to the kernel.
    ///
    /// # Errors
    /// The system's.
    pub fn outcomes(&self, outcomes: &[Outcome]) -> io::Result<()> {
        self.append(outcomes.iter().map(RecordRef::Outcome))
    }

    /// Ends the ledger: everything is on the disk when this returns. A second call changes nothing.
    ///
    /// # Errors
    /// The system's, also of an earlier attempt to reach the disk.
    pub fn close(&self) -> io::Result<()> {
        let mut state = lock(&self.state);
        state.shut.get_or_insert("the ledger is closed");
        if let Some(Syncer { stop, thread }) = lock(&self.syncer).take() {
            // The thread ends as soon as the sender is gone.
            drop(stop);
            if thread.join().is_err() {
                return Err(io::Error::other("the ledger's syncing thread panicked"));
            }
        }
        self.shared.sync(&state.file);
        self.shared.refusal()
    }

    fn append<'a>(&self, records: impl Iterator<Item = RecordRef<'a>>) -> io::Result<()> {
        self.shared.refusal()?;
        let mut guard = lock(&self.state);
        let state = &mut *guard;
        if let Some(why) = state.shut {
            return Err(io::Error::other(why));
        }
        state.buffer.clear();
        for record in records {
            append(&mut state.buffer, &record)?;
        }
        if let Err(error) = state.file.write_all(&state.buffer) {
            state.shut = Some("an earlier record could not be written whole");
            return Err(error);
        }
        self.shared.dirty.store(true, Ordering::Release);
        if state.buffer.capacity() > BUFFER_BYTES_MAX {
            state.buffer = Vec::with_capacity(1024);
        }
        Ok(())
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if let Err(error) = self.close() {
            tracing::warn!(%error, "the ledger could not be closed");
        }
    }
}

impl Shared {
    fn sync(&self, file: &File) {
        if self.dirty.swap(false, Ordering::AcqRel)
            && let Err(error) = file.sync_data()
        {
            lock(&self.refused).get_or_insert(error);
        }
    }

    fn refusal(&self) -> io::Result<()> {
        match &*lock(&self.refused) {
            Some(error) => Err(io::Error::new(error.kind(), format!("the ledger is not on the disk: {error}"))),
            None => Ok(()),
        }
    }
}

fn while_running(stopped: &mpsc::Receiver<()>, sync: impl Fn()) {
    while stopped.recv_timeout(SYNC_PERIOD) == Err(RecvTimeoutError::Timeout) {
        sync();
    }
}

/// What the lock guards is whole after every step, so a panic of another holder does not spoil it.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
