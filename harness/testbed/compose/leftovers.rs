//! What a run has left with the engine: found by the project's label and ended through the `docker` program, which is all
//! that it takes; so a guardian, or a build without this testbed, can do it too.

use std::{
    process::{Command, Output, Stdio},
    time::{Duration, Instant},
};

/// Between two rounds.
const AGAIN: Duration = Duration::from_millis(100);

/// What is there of a project.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Leftovers {
    /// Containers, whatever their state.
    pub containers: Vec<String>,
    /// Networks.
    pub networks: Vec<String>,
    /// Volumes.
    pub volumes: Vec<String>,
}

impl Leftovers {
    /// What is there of a project.
    ///
    /// # Errors
    /// What the engine said instead.
    pub fn of(project: &str) -> Result<Self, String> {
        let label = format!("label=com.docker.compose.project={project}");
        let list = |arguments: &[&str]| {
            let listed = docker(&[arguments, &["--quiet", "--filter", &label]].concat())?;
            Ok::<_, String>(listed.split_whitespace().map(str::to_owned).collect())
        };
        Ok(Self {
            containers: list(&["ps", "--all"])?,
            networks: list(&["network", "ls"])?,
            volumes: list(&["volume", "ls"])?,
        })
    }

    /// How many things that is.
    pub fn count(&self) -> usize {
        self.containers.len() + self.networks.len() + self.volumes.len()
    }

    fn remove(&self) -> Result<(), String> {
        for (begin, names) in [
            (&["rm", "--force", "--volumes"][..], &self.containers),
            (&["network", "rm"], &self.networks),
            (&["volume", "rm", "--force"], &self.volumes),
        ] {
            if !names.is_empty() {
                let names: Vec<&str> = names.iter().map(String::as_str).collect();
                docker(&[begin, &names].concat())?;
            }
        }
        Ok(())
    }
}

/// Ends a project: containers, networks, volumes. Bounded by `within`. What could not be ended is told.
pub fn end(project: &str, within: Duration) -> Vec<String> {
    let deadline = Instant::now() + within;
    loop {
        let trouble = match Leftovers::of(project) {
            Ok(left) if left.count() == 0 => return Vec::new(),
            // What goes away meanwhile, or is in use for a moment, is seen in the next round.
            Ok(left) => left.remove().err().unwrap_or_else(|| format!("{left:?} is still there")),
            Err(why) => why,
        };
        if Instant::now() >= deadline {
            return vec![format!("Docker project {project}: {trouble}")];
        }
        std::thread::sleep(AGAIN);
    }
}

/// What the `docker` program prints.
///
/// # Errors
/// What it said instead.
fn docker(arguments: &[&str]) -> Result<String, String> {
    let ran = Command::new("docker").args(arguments).stdin(Stdio::null()).output();
    let what = || format!("docker {}", arguments.iter().take(2).copied().collect::<Vec<_>>().join(" "));
    match ran {
        Ok(Output { status, stdout, .. }) if status.success() => Ok(String::from_utf8_lossy(&stdout).into_owned()),
        Ok(output) => Err(format!("{}: {}", what(), String::from_utf8_lossy(&output.stderr).trim())),
        Err(error) => Err(format!("{}: {error}", what())),
    }
}
