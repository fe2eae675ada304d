//! What an environment is: its kind, what the kind promises, and where its customers reach it.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{EnvironmentId, Epoch, Region, reports::Feature};

/// The kinds of environment of the documented products.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum EnvironmentKind {
    /// Dataverse and customer engagement apps, production.
    DataverseProduction,
    /// Dataverse for Teams: no replica, no continuity.
    DataverseTeams,
    /// Dataverse, non-production.
    DataverseSandbox,
    /// Finance and Operations apps, production.
    FinopsProduction,
    /// Finance and Operations apps, non-production.
    FinopsSandbox,
}

/// The product whose guarantees an environment is held to, and whose licence it needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Product {
    /// Dataverse and customer engagement apps.
    Dataverse,
    /// Finance and Operations apps.
    Finops,
}

impl EnvironmentKind {
    /// Every kind, in the order of the documents.
    pub const ALL: [EnvironmentKind; 5] = [
        Self::DataverseProduction,
        Self::DataverseTeams,
        Self::DataverseSandbox,
        Self::FinopsProduction,
        Self::FinopsSandbox,
    ];

    /// The kind's name as files and the API write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::DataverseProduction => "dataverse-production",
            Self::DataverseTeams => "dataverse-teams",
            Self::DataverseSandbox => "dataverse-sandbox",
            Self::FinopsProduction => "finops-production",
            Self::FinopsSandbox => "finops-sandbox",
        }
    }

    /// The product it belongs to.
    pub fn product(self) -> Product {
        match self {
            Self::DataverseProduction | Self::DataverseTeams | Self::DataverseSandbox => Product::Dataverse,
            Self::FinopsProduction | Self::FinopsSandbox => Product::Finops,
        }
    }

    /// The kind that the upgrade makes of it; `None`: there is no upgrade from it.
    pub fn upgrades_to(self) -> Option<EnvironmentKind> {
        (self == Self::DataverseTeams).then_some(Self::DataverseProduction)
    }

    /// Whether it takes a copy of a production environment of its product.
    pub fn is_sandbox(self) -> bool {
        matches!(self, Self::DataverseSandbox | Self::FinopsSandbox)
    }

    /// What it offers beside its stores.
    pub fn features(self) -> &'static [Feature] {
        if self == Self::FinopsProduction { &Feature::ALL } else { &[] }
    }

    /// Whether a geo-secondary replica is promised: production alone.
    pub fn has_replica(self) -> bool {
        matches!(self, Self::DataverseProduction | Self::FinopsProduction)
    }
}

impl Product {
    /// The product's name, which is also the first part of its guarantees' ids.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Dataverse => "dataverse",
            Self::Finops => "finops",
        }
    }
}

impl fmt::Display for EnvironmentKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Display for Product {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Where and with what a customer reaches an environment: two doors to each store.
///
/// `Debug` is written by hand in none of these: whoever logs an endpoint logs its address, never the value.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Endpoints {
    /// Port on 127.0.0.1 of the door for reading and writing SQL.
    pub sql_rw_port: u16,
    /// Port on 127.0.0.1 of the door for reading SQL.
    pub sql_ro_port: u16,
    /// Port on 127.0.0.1 of the door for reading and writing files (S3, path style).
    pub files_rw_port: u16,
    /// Port on 127.0.0.1 of the door for reading files (GET, HEAD and LIST alone).
    pub files_ro_port: u16,
    /// The database's name.
    pub database: String,
    /// Role with write rights (owns the database).
    pub app: Login,
    /// Role without write rights.
    pub reader: Login,
    /// S3 key pair for the bucket.
    pub s3: Login,
    /// The bucket's name, the same in both regions.
    pub bucket: String,
}

/// A user and its secret, or an access key and its secret key. It has no `Debug`, so that it cannot reach a log by
/// accident.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Login {
    /// User or access key.
    pub user: String,
    /// Password or secret key.
    pub secret: String,
}

/// How far an environment is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum EnvironmentPhase {
    /// Being deployed; not to be used yet.
    Deploying,
    /// Served, with a replica that streams.
    Protected,
    /// Served, without a replica (none is promised, or none streams since a switch).
    Unprotected,
    /// A switch is in progress.
    Switching,
    /// A switch or a deployment failed; the reason stands in `why`.
    Failed,
    /// Being deleted; nobody is served any more, and its name is taken until nothing of it is left.
    Deleting,
}

/// An environment as the control API shows it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EnvironmentView {
    /// Its name.
    pub id: EnvironmentId,
    /// Its kind.
    pub kind: EnvironmentKind,
    /// The tenant that owns it.
    pub tenant: String,
    /// The region it was deployed in.
    pub home: Region,
    /// The region that serves it now.
    pub active: Region,
    /// Its epoch.
    pub epoch: Epoch,
    /// Its phase.
    pub phase: EnvironmentPhase,
    /// Why it is in this phase, where that is not plain.
    pub why: Option<String>,
    /// Rows whose object is missing since the last switch, marked by the platform (their GET answers 409).
    pub dangling: u64,
    /// Where customers reach it, once deployed.
    pub endpoints: Option<Endpoints>,
}
