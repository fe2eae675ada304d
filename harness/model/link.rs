//! Links between processes: half of the fault surface.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// A link, shown and written `from -> to / service`. Replication links are named by the direction of the *data*:
/// `east -> west / sql` carries what east's Postgres sends to west's standby, whoever opened the connection.
///
/// It stands for *all* its proxies: a fault hits every one and its proof covers every one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Link {
    /// Site that sends, or opens.
    pub from: String,
    /// Site that is reached.
    pub to: String,
    /// What is carried: `sql`, `files`, `node`, `compute`, `control`, `routes`, `notices`.
    pub service: String,
}

/// A text that is no link.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a link: write it as \"east -> west / sql\"")]
pub struct NotALink(pub String);

impl Link {
    /// A link of these three.
    pub fn new(from: impl Into<String>, to: impl Into<String>, service: impl Into<String>) -> Self {
        Self { from: from.into(), to: to.into(), service: service.into() }
    }

    /// The beginning of its proxies' names: `east.west.sql` (Toxiproxy cannot find a name with a slash again).
    pub fn proxy(&self) -> String {
        format!("{}.{}.{}", self.from, self.to, self.service)
    }

    /// Whether a site is at one of its ends.
    pub fn touches(&self, site: &str) -> bool {
        self.from == site || self.to == site
    }
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} -> {} / {}", self.from, self.to, self.service)
    }
}

impl FromStr for Link {
    type Err = NotALink;

    fn from_str(text: &str) -> Result<Self, NotALink> {
        let refuse = || NotALink(text.to_owned());
        let (from, rest) = text.split_once("->").ok_or_else(refuse)?;
        let (to, service) = rest.split_once('/').ok_or_else(refuse)?;
        let [from, to, service] = [from, to, service].map(str::trim);
        if [from, to, service].iter().all(|part| crate::api::ids::is_name(part)) {
            Ok(Self::new(from, to, service))
        } else {
            Err(refuse())
        }
    }
}

impl TryFrom<String> for Link {
    type Error = NotALink;
    fn try_from(text: String) -> Result<Self, NotALink> {
        text.parse()
    }
}

impl From<Link> for String {
    fn from(link: Link) -> String {
        link.to_string()
    }
}
