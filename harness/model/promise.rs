//! What a document promises, as values: one entry of a guarantee set. Sets are read in `guarantee/`; scenarios are checked
//! against them, and reports print them.

use serde::{Deserialize, Serialize};

use super::measure::EventKind;
use crate::api::{
    control::SwitchKind,
    environment::{EnvironmentKind, Product},
};

/// A guarantee as documented.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Promise {
    /// Its id, such as `dataverse.unplanned.loss`.
    pub id: String,
    /// What the document says, in short.
    pub says: String,
    /// How firmly it says so.
    pub modality: Modality,
    /// The number, if it has one.
    #[serde(default)]
    pub number: Option<f64>,
    /// Unit of that number, and of what is measured. A guarantee with a unit can be tightened by a scenario.
    #[serde(default)]
    pub unit: Option<String>,
    /// The number is an objective of ours: it is not in the document.
    #[serde(default)]
    pub ours: bool,
    /// The kinds of environment it is promised to. Empty: it is judged once for the whole run.
    #[serde(default)]
    pub kinds: Vec<EnvironmentKind>,
    /// The kind of switch it is about, if it is about one: it is then judged for each such event.
    #[serde(default)]
    pub switch: Option<SwitchKind>,
    /// What proves it. `None`: nothing measures it yet.
    #[serde(default)]
    pub rule: Option<Rule>,
}

impl Promise {
    /// The kind of event that it is judged for, each by itself; `None`: it is about none.
    pub fn event(&self) -> Option<EventKind> {
        match self.rule {
            Some(Rule::Zone) => Some(EventKind::Zone),
            _ => self.switch.map(EventKind::Switch),
        }
    }

    /// The product whose set it belongs to; `None` for what is judged whatever the product (`integrity.*`).
    pub fn product(&self) -> Option<Product> {
        self.kinds.first().map(|kind| kind.product())
    }
}

/// How firmly a document says something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Modality {
    /// A number that must hold.
    Bound,
    /// Nothing may be lost.
    Zero,
    /// This before that.
    Order,
    /// Must be so.
    State,
    /// What is usual: reported against the figure, not judged.
    Typical,
    /// Allowed, not required: reported, which it was.
    May,
}

/// The rule by which a guarantee is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// Traffic is in fact served from the other region.
    Switched,
    /// Customers were told before.
    Notice,
    /// Only an outage longer than the grace causes a failover, and such a one does.
    Declared,
    /// Recovery-point age, or nothing lost at all.
    Loss,
    /// The longest interruption of any access.
    Interruption,
    /// Without the licence it is not deployed, with it it is.
    Licensed,
    /// The other region takes the offered load.
    Carries,
    /// Both replicas were there when deployment was answered.
    Replica,
    /// There is no replica, and no failover, until it is converted; then there is.
    NoReplica,
    /// For how long what has no replica was not served, production being served from the other region.
    LeftBehind,
    /// Destroyed and restored from its back-up, it is what it was.
    BackUp,
    /// The same of an export and an import, and of copies from production.
    DataMovement,
    /// The largest replication lag.
    Lag,
    /// The home region was back, and in step, before traffic went back to it.
    Condition,
    /// Away from home there is no feature, and the reason is told.
    Features,
    /// A support ticket restores what it is to restore, with right figures, and nothing else.
    SupportTicket,
    /// After the switch everything is as it was before: a replica, both regions equal, and every feature.
    Restored,
    /// A zone was lost, and nothing that was acknowledged, nor anybody's access for long.
    Zone,
    /// Nothing of the kind was found, and everything was read.
    Integrity,
}

/// Measures that `expect` may name besides guarantees, each with its unit.
pub const MEASURES: [(&str, &str); 14] = [
    ("loss.operations", "operations"),
    ("loss.age", "s"),
    ("interruption", "s"),
    ("interruption.sql_write", "s"),
    ("interruption.sql_read", "s"),
    ("interruption.files_write", "s"),
    ("interruption.files_read", "s"),
    ("switches", "switches"),
    ("dangling.marked", "references"),
    ("dangling.unmarked", "references"),
    ("dangling.left", "references"),
    ("salvage.missing", "entries"),
    ("salvage.extra", "entries"),
    ("regions.differ", "differences"),
];
