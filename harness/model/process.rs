//! Processes by name: the other half of the fault surface.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::api::EnvironmentId;

/// A process, shown and written `site / service` or `site / service / environment`: `east / postgres / sales`,
/// `west / files`, `east / node`, `witness / control`, `edge / edge`. A process is its whole tree.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ProcessName {
    /// `east`, `west`, `witness`, `edge`.
    pub site: String,
    /// `postgres`, `files`, `node`, `compute`, `edge`, `control`.
    pub service: String,
    /// The environment, for a service that runs one process for each (`postgres`).
    pub environment: Option<EnvironmentId>,
}

/// A text that names no process.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a process: write it as \"east / postgres / sales\" or \"west / files\"")]
pub struct NotAProcess(pub String);

impl fmt::Display for ProcessName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} / {}", self.site, self.service)?;
        self.environment.as_ref().map_or(Ok(()), |environment| write!(f, " / {environment}"))
    }
}

impl FromStr for ProcessName {
    type Err = NotAProcess;

    fn from_str(text: &str) -> Result<Self, NotAProcess> {
        let refuse = || NotAProcess(text.to_owned());
        let parts: Vec<&str> = text.split('/').map(str::trim).collect();
        if !parts.iter().all(|part| crate::api::ids::is_name(part)) {
            return Err(refuse());
        }
        match parts[..] {
            [site, service] => Ok(Self { site: site.into(), service: service.into(), environment: None }),
            [site, service, environment] => Ok(Self {
                site: site.into(),
                service: service.into(),
                environment: Some(environment.parse().map_err(|_| refuse())?),
            }),
            _ => Err(refuse()),
        }
    }
}

impl TryFrom<String> for ProcessName {
    type Error = NotAProcess;
    fn try_from(text: String) -> Result<Self, NotAProcess> {
        text.parse()
    }
}

impl From<ProcessName> for String {
    fn from(name: ProcessName) -> String {
        name.to_string()
    }
}
