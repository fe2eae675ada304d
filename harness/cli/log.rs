//! Logs: for people on stderr, and as JSON in the run's folder.

use std::{
    fs::File,
    io::{self, Write},
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use tracing::level_filters::LevelFilter;
use tracing_subscriber::{Layer, filter::Targets, fmt::MakeWriter, layer::SubscriberExt, util::SubscriberInitExt};

/// Where the JSON log goes: the folder of the run that is under way.
#[derive(Clone, Default)]
pub(super) struct RunLog {
    file: Arc<Mutex<Option<File>>>,
}

impl RunLog {
    /// From now on into this file.
    pub(super) fn open(&self, path: &Path) -> io::Result<()> {
        use std::os::unix::fs::OpenOptionsExt;
        let file = File::options().create(true).append(true).mode(0o600).open(path)?;
        *self.file.lock().unwrap_or_else(PoisonError::into_inner) = Some(file);
        Ok(())
    }
}

impl Write for RunLog {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut *self.file.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(file) => file.write(bytes),
            None => Ok(bytes.len()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for RunLog {
    type Writer = RunLog;
    fn make_writer(&'a self) -> RunLog {
        self.clone()
    }
}

/// Starts logging. A role logs for its log file: no colour, a line each, always.
pub(super) fn start(verbose: u8, role: bool) -> RunLog {
    let run = RunLog::default();
    let level = match (verbose, role) {
        (0, false) => LevelFilter::WARN,
        (0 | 1, _) => LevelFilter::INFO,
        _ => LevelFilter::DEBUG,
    };
    let ours = |level| Targets::new().with_target("geodrill", level).with_default(LevelFilter::WARN);
    let human = tracing_subscriber::fmt::layer()
        .with_writer(io::stderr)
        .with_ansi(super::entry::colour(&io::stderr()))
        .with_filter(ours(level));
    let json = tracing_subscriber::fmt::layer().json().with_writer(run.clone()).with_filter(ours(LevelFilter::DEBUG));
    let registry = tracing_subscriber::registry().with(human).with(json).with(crate::workload::notices::layer());
    // It fails only if somebody else has set one already, whose logs are then the logs.
    registry.try_init().unwrap_or_default();
    run
}
