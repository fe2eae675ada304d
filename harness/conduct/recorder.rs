//! Events, kept in order, written to `events.ndjson`, and passed on to whoever listens.

use std::{
    fs::File,
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{mpsc, watch},
    time::{Instant, timeout_at},
};

use crate::{
    model::{
        RunTime,
        event::{Event, What},
    },
    workload::Clock,
};

/// Keeps the events of one run.
#[derive(Clone)]
pub(super) struct Recorder {
    clock: Clock,
    inner: Arc<Inner>,
}

struct Inner {
    kept: Mutex<Kept>,
    count: watch::Sender<usize>,
    listener: Option<mpsc::UnboundedSender<Event>>,
}

struct Kept {
    events: Vec<Event>,
    file: File,
    failed: Option<io::Error>,
}

impl Recorder {
    /// Keeps events in the file, and passes each on to the listener.
    pub(super) fn create(
        path: &Path,
        clock: Clock,
        listener: Option<mpsc::UnboundedSender<Event>>,
    ) -> io::Result<Self> {
        let file = File::options().create(true).append(true).mode(0o600).open(path)?;
        let kept = Mutex::new(Kept { events: Vec::new(), file, failed: None });
        Ok(Self { clock, inner: Arc::new(Inner { kept, count: watch::Sender::new(0), listener }) })
    }

    /// The run's clock.
    pub(super) fn clock(&self) -> Clock {
        self.clock
    }

    /// Something happened now.
    pub(super) fn say(&self, what: What) -> RunTime {
        self.say_at(self.clock.now(), what)
    }

    /// Something happened then.
    pub(super) fn say_at(&self, at: RunTime, what: What) -> RunTime {
        match &what {
            What::Rates { .. } | What::Lag { .. } | What::Claimed(_) => {}
            What::StepFailed { .. } | What::Problem(_) | What::CleanUpIncomplete(_) => {
                tracing::warn!(at_s = at.seconds(), ?what, "event");
            }
            _ => tracing::debug!(at_s = at.seconds(), ?what, "event"),
        }
        let event = Event { at, what };
        let mut kept = self.inner.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.failed.is_none() {
            let line = serde_json::to_string(&event).map_err(io::Error::from);
            let written = line.and_then(|line| kept.file.write_all(format!("{line}\n").as_bytes()));
            kept.failed = written.err();
        }
        kept.events.push(event.clone());
        let count = kept.events.len();
        drop(kept);
        self.inner.count.send_replace(count);
        if let Some(listener) = &self.inner.listener {
            // The listener may have stopped listening; the run goes on.
            listener.send(event).unwrap_or_default();
        }
        at
    }

    /// How many there are; what comes later has this index or a larger one.
    pub(super) fn mark(&self) -> usize {
        self.inner.kept.lock().unwrap_or_else(PoisonError::into_inner).events.len()
    }

    /// Looks at the events.
    pub(super) fn look<T>(&self, look: impl FnOnce(&[Event]) -> T) -> T {
        look(&self.inner.kept.lock().unwrap_or_else(PoisonError::into_inner).events)
    }

    /// Waits until `look` finds what it looks for among the events, until the deadline at most.
    pub(super) async fn until<T>(&self, deadline: Instant, look: impl Fn(&[Event]) -> Option<T>) -> Option<T> {
        let mut count = self.inner.count.subscribe();
        loop {
            count.mark_unchanged();
            if let Some(found) = self.look(&look) {
                return Some(found);
            }
            match timeout_at(deadline, count.changed()).await {
                Ok(Ok(())) => {}
                _ => return self.look(&look),
            }
        }
    }

    /// Ends the file; the first error of writing it, if any.
    pub(super) fn close(&self) -> io::Result<()> {
        let mut kept = self.inner.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.file.sync_data()?;
        kept.failed.take().map_or(Ok(()), Err)
    }
}

/// Reads the events of a finished run.
///
/// # Errors
/// The system's, or `InvalidData` with the line's number.
pub(super) fn read(path: &Path) -> io::Result<Vec<Event>> {
    let text = std::fs::read_to_string(path)?;
    let parse = |(number, line): (usize, &str)| {
        serde_json::from_str(line).map_err(|error| {
            io::Error::new(io::ErrorKind::InvalidData, format!("{}:{}: {error}", path.display(), number + 1))
        })
    };
    text.lines().enumerate().map(parse).collect()
}

/// A deadline this far away.
pub(super) fn deadline(within: Duration) -> Instant {
    Instant::now() + within
}
