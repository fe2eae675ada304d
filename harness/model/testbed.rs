//! The testbeds by name.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// A testbed's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TestbedName {
    /// Processes on loopback.
    #[default]
    Native,
    /// Containers in networks of their own.
    Compose,
}

impl TestbedName {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Native, Self::Compose];

    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Compose => "compose",
        }
    }
}

impl fmt::Display for TestbedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for TestbedName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let names = || Self::ALL.map(Self::as_str).join(", ");
        let found = Self::ALL.into_iter().find(|name| name.as_str() == text);
        found.ok_or_else(|| format!("there is no testbed `{text}`; there are: {}", names()))
    }
}
