//! What a run has left with the engine: found by the project's label and ended through the `docker` program, which is all
//! that it takes; so a guardian, or a build without this testbed, can do it too.

use std::{
    process::{Command, Output, Stdio},
    time::{Duration, Instant},
};

/// How long an engine that has not answered at all is asked.
const SILENT: Duration = Duration::from_secs(15);

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
    /// How many things that is.
    pub fn count(&self) -> usize {
        self.containers.len() + self.networks.len() + self.volumes.len()
    }
}

/// A project of Docker Compose, with its engine.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Project {
    /// Its name.
    pub name: String,
    /// Where its engine is, as in `DOCKER_HOST`.
    pub host: String,
}

impl Project {
    /// What is there of it.
    ///
    /// # Errors
    /// What the engine said instead.
    pub fn left(&self) -> Result<Leftovers, String> {
        let label = format!("label=com.docker.compose.project={}", self.name);
        let list = |arguments: &[&str]| {
            let listed = self.docker(&[arguments, &["--quiet", "--filter", &label]].concat())?;
            Ok::<_, String>(listed.split_whitespace().map(str::to_owned).collect())
        };
        Ok(Leftovers {
            containers: list(&["ps", "--all"])?,
            networks: list(&["network", "ls"])?,
            volumes: list(&["volume", "ls"])?,
        })
    }

    fn remove(&self, left: &Leftovers) -> Result<(), String> {
        for (begin, names) in [
            (&["rm", "--force", "--volumes"][..], &left.containers),
            (&["network", "rm"], &left.networks),
            (&["volume", "rm", "--force"], &left.volumes),
        ] {
            if !names.is_empty() {
                let names: Vec<&str> = names.iter().map(String::as_str).collect();
                self.docker(&[begin, &names].concat())?;
            }
        }
        Ok(())
    }

    /// Ends it: containers, networks, volumes. Bounded by `within`. What could not be ended is told.
    pub fn end(&self, within: Duration) -> Vec<String> {
        let deadline = Instant::now() + within;
        let silent_by = Instant::now() + SILENT.min(within);
        let mut has_answered = false;
        loop {
            let left = self.left();
            has_answered |= left.is_ok();
            let trouble = match left {
                Ok(left) if left.count() == 0 => return Vec::new(),
                // What goes away meanwhile, or is in use for a moment, is seen in the next round.
                Ok(left) => self.remove(&left).err().unwrap_or_else(|| format!("{left:?} is still there")),
                Err(why) => why,
            };
            // A dead engine does not come back by itself.
            if Instant::now() >= if has_answered { deadline } else { silent_by } {
                return vec![format!(
                    "Docker project {}: {trouble} (`geodrill clean` ends it once the engine lets it)",
                    self.name
                )];
            }
            std::thread::sleep(AGAIN);
        }
    }

    /// What the `docker` program prints.
    fn docker(&self, arguments: &[&str]) -> Result<String, String> {
        let ran = Command::new("docker").args(["--host", &self.host]).args(arguments).stdin(Stdio::null()).output();
        let what = || format!("docker {}", arguments.iter().take(2).copied().collect::<Vec<_>>().join(" "));
        match ran {
            Ok(Output { status, stdout, .. }) if status.success() => Ok(String::from_utf8_lossy(&stdout).into_owned()),
            Ok(output) => Err(format!("{}: {}", what(), String::from_utf8_lossy(&output.stderr).trim())),
            Err(error) => Err(format!("{}: {error}", what())),
        }
    }
}
