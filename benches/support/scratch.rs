//! A folder of a benchmark's own, below the folder of all runs. It goes when the benchmark ends, also by Ctrl-C; what a
//! SIGKILL leaves goes with the next benchmark, or with `geodrill clean --all`, which both know by the folder's lock that
//! nobody works there any more.

use std::{
    fs,
    path::{Path, PathBuf},
};

use geodrill::{
    conduct::places::runs_root,
    os::{
        files,
        hold::{Hold, hold},
    },
};

const PREFIX: &str = "bench-";

/// The folder; dropped, it is removed.
pub struct Scratch {
    path: PathBuf,
    _hold: Option<Hold>,
}

impl Scratch {
    /// A new folder for the benchmark of this name.
    pub fn new(name: &str) -> Self {
        let root = runs_root();
        files::private_folder(&root).expect("the folder of all runs");
        sweep(&root);
        let path = root.join(format!("{PREFIX}{name}-{}", std::process::id()));
        files::private_folder(&path).expect("a folder for the benchmark");
        let held = hold(&path).expect("the folder can be held");
        remove_when_interrupted(path.clone());
        Self { path, _hold: held }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.path) {
            eprintln!("{}: {error}", self.path.display());
        }
    }
}

/// Removes what benchmarks have left that were killed.
fn sweep(root: &Path) {
    for entry in fs::read_dir(root).into_iter().flatten().flatten() {
        let path = entry.path();
        let is_ours = entry.file_name().to_string_lossy().starts_with(PREFIX);
        if is_ours && hold(&path).is_ok_and(|held| held.is_some()) {
            println!("removed {}, which a benchmark left that was killed", path.display());
            fs::remove_dir_all(&path).unwrap_or_default();
        }
    }
}

fn remove_when_interrupted(path: PathBuf) {
    use tokio::signal::unix::{SignalKind, signal};
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().expect("a runtime");
        runtime.block_on(async {
            let mut interrupt = signal(SignalKind::interrupt()).expect("SIGINT can be awaited");
            let mut terminate = signal(SignalKind::terminate()).expect("SIGTERM can be awaited");
            tokio::select! { _ = interrupt.recv() => {} _ = terminate.recv() => {} }
        });
        fs::remove_dir_all(&path).unwrap_or_default();
        std::process::exit(130);
    });
}
