//! Processes within a container, seen and acted upon by a call of this program in there (`geodrill role inside`): process
//! numbers are the container's own, and so are the inventory and `/proc`.

use std::path::Path;

use nix::sys::signal::Signal;
use serde::{Deserialize, Serialize};

use crate::{
    api::{EnvironmentId, site::ProcessEntry},
    os::{inventory, process::Identity},
};

/// A process, by its number and start time there.
pub type Pair = (i32, u64);

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Ask {
    /// Which processes of this service run, of one environment or of all.
    Processes {
        /// The service.
        service: String,
        /// The environment.
        environment: Option<EnvironmentId>,
    },
    /// These and all their descendants.
    Trees(Vec<Pair>),
    /// The state letter of each; `None`: gone.
    States(Vec<Pair>),
    /// A signal by its number, to these and all their descendants.
    Signal(Vec<Pair>, i32),
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Answer {
    /// To all but the other.
    Processes(Vec<Pair>),
    /// To [`Ask::States`].
    States(Vec<Option<char>>),
}

/// Does what is asked, in the site of this folder.
///
/// # Errors
/// The system's, as text.
pub fn answer(site: &Path, ask: &Ask) -> Result<Answer, String> {
    let said = |error: std::io::Error| error.to_string();
    match ask {
        Ask::Processes { service, environment } => {
            let entries = running(site)?;
            let wanted = entries.iter().filter(|entry| entry.service == *service);
            let wanted = wanted.filter(|entry| environment.is_none() || entry.environment == *environment);
            Ok(Answer::Processes(wanted.map(|entry| (entry.pid, entry.start_ticks)).collect()))
        }
        Ask::Trees(roots) => Ok(Answer::Processes(identities(roots).flat_map(Identity::tree).map(pair).collect())),
        Ask::States(processes) => Ok(Answer::States(identities(processes).map(Identity::state).collect())),
        Ask::Signal(roots, number) => {
            let signal = Signal::try_from(*number).map_err(|error| error.to_string())?;
            let mut reached = Vec::new();
            for root in identities(roots) {
                reached.extend(root.signal_tree(signal).map_err(said)?.into_iter().map(pair));
            }
            Ok(Answer::Processes(reached))
        }
    }
}

fn running(site: &Path) -> Result<Vec<ProcessEntry>, String> {
    let inventory = inventory::read(site).map_err(|error| error.to_string())?;
    Ok(inventory.processes.into_iter().filter(inventory::is_alive).collect())
}

fn identities(pairs: &[Pair]) -> impl Iterator<Item = Identity> {
    pairs.iter().map(|(pid, start_ticks)| Identity { pid: *pid, start_ticks: *start_ticks })
}

fn pair(identity: Identity) -> Pair {
    (identity.pid, identity.start_ticks)
}
