//! Names that cross the line between the two halves. One grammar for all: `[a-z][a-z0-9-]*`, at most 40 bytes, so that
//! a name is at once a folder, a proxy, a database and a bucket.

use std::{fmt, str::FromStr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The longest name accepted, in bytes. Unix socket paths (107 bytes) and bucket names (63) set the limit.
pub const NAME_BYTES_MAX: usize = 40;

/// Why a text is no name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` is not a name: a name starts with a small letter, holds small letters, digits and `-` only, and has at most {NAME_BYTES_MAX} characters"
)]
pub struct NameError {
    /// The text refused.
    pub text: String,
}

/// Whether `text` keeps to the grammar of names.
pub fn is_name(text: &str) -> bool {
    let mut bytes = text.bytes();
    text.len() <= NAME_BYTES_MAX
        && bytes.next().is_some_and(|first| first.is_ascii_lowercase())
        && bytes.all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = NameError;
            fn from_str(text: &str) -> Result<Self, NameError> {
                Self::try_from(text.to_owned())
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;
            fn try_from(text: String) -> Result<Self, NameError> {
                if is_name(&text) { Ok(Self(text)) } else { Err(NameError { text }) }
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }
    };
}

name!(
    /// One of the two regions, such as `east`.
    Region
);
name!(
    /// One customer environment, such as `sales`.
    EnvironmentId
);

/// A zone of a region, counted from 1. What fails together with the rest of the region but not with the other zones: a
/// compute, a node, a part of the file store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub struct Zone(pub u8);

impl Zone {
    /// The first one: a region that is not divided has no other.
    pub const FIRST: Zone = Zone(1);

    /// All of so many.
    pub fn all(count: u8) -> impl Iterator<Item = Zone> {
        (1..=count).map(Zone)
    }

    /// Its place in a list of all of them.
    pub fn index(self) -> usize {
        usize::from(self.0.saturating_sub(1))
    }

    /// The site of a region's zone: the first one's bears the region's name.
    pub fn site(self, region: &Region) -> String {
        if self == Self::FIRST { region.to_string() } else { format!("{region}-{self}") }
    }
}

impl Default for Zone {
    fn default() -> Self {
        Self::FIRST
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// The fencing number of an environment: it grows by one at every switch, and every actuator refuses a smaller one
/// than it has seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize, JsonSchema)]
pub struct Epoch(pub u64);

impl Epoch {
    /// The epoch an environment is deployed with.
    pub const FIRST: Epoch = Epoch(1);

    /// The epoch after this one.
    pub fn next(self) -> Epoch {
        Epoch(self.0 + 1)
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}
