//! What a host is told to do, and the texts that people give, checked by the grammar of scenarios.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::{
    api::{EnvironmentId, Region},
    guarantee,
    model::{
        fault::Fault,
        plan::{Action, Plan},
        testbed::TestbedName,
    },
    scenario::{self, Catalogue, Diagnostics},
};

/// Configuration of `geodrill role lab`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HostConfig {
    /// The lab's name.
    pub name: String,
    /// The folder of its run.
    pub folder: PathBuf,
    /// What it stands on.
    pub testbed: TestbedName,
    /// What is to stand.
    pub task: Task,
}

/// What a host stands up.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Task {
    /// Two regions with their environments.
    Up {
        /// Regions, platform, environments and workload; its timeline is not walked.
        plan: Box<Plan>,
        /// Writes are sent, as the plan's workload says.
        load: bool,
    },
    /// A drill, which is kept when it is over.
    Drill {
        /// The scenario's name, as messages have it.
        name: String,
        /// Its text.
        text: String,
        /// Where its commands run; `None`: it is a shipped one.
        commands_in: Option<PathBuf>,
        /// Seed of the load.
        seed: Option<u64>,
        /// Where the results are copied to.
        out: Option<PathBuf>,
    },
}

/// The plan of a lab: names, kinds and rate are checked as a scenario's are.
///
/// # Errors
/// Every mistake, each with its place in the text that the answers were put into.
pub fn plan_for(
    testbed: TestbedName,
    regions: &[String],
    zones: u8,
    environments: &[(String, String)],
    rate: Option<&str>,
    folder: &Path,
) -> Result<Plan, Diagnostics> {
    let mut text = String::from("geodrill: 1\nname: lab\n");
    if let [primary, secondary] = regions {
        text.push_str(&format!("regions: {{ primary: {primary}, secondary: {secondary}, zones: {zones} }}\n"));
    }
    text.push_str("environments:\n");
    for (id, kind) in environments {
        text.push_str(&format!("  - {{ id: {id}, kind: {kind} }}\n"));
    }
    if let Some(rate) = rate {
        text.push_str(&format!("workload: {{ rate: {rate} }}\n"));
    }
    text.push_str(REST);
    parse(testbed, "up", &text, folder)
}

/// A fault as scenarios write it: `region.outage: {region: east}`, with or without braces around it.
///
/// # Errors
/// Every mistake, each with its place.
pub fn fault_from_text(
    testbed: TestbedName,
    text: &str,
    regions: &[Region; 2],
    zones: u8,
    environments: &[EnvironmentId],
) -> Result<Fault, Diagnostics> {
    let text = text.trim();
    let text = if text.starts_with('{') { text.to_owned() } else { format!("{{ {text} }}") };
    let [primary, secondary] = regions;
    let mut file =
        format!("geodrill: 1\nname: lab\nregions: {{ primary: {primary}, secondary: {secondary}, zones: {zones} }}\n");
    file.push_str("environments:\n");
    for id in environments {
        file.push_str(&format!("  - {{ id: {id}, kind: dataverse-production }}\n"));
    }
    file.push_str(&format!("timeline:\n  - inject: {text}\n{EXPECT}"));
    let plan = parse(testbed, "inject", &file, Path::new("/"))?;
    match plan.timeline.into_iter().next().map(|step| step.action) {
        Some(Action::Inject(fault)) => Ok(fault),
        // The text above has one step, which injects.
        _ => unreachable!("a step that injects is parsed as one"),
    }
}

const EXPECT: &str = "expect: [ { measure: loss.operations, at_most: 0 } ]\n";
const REST: &str = "timeline: [ { pause: 1s } ]\nexpect: [ { measure: loss.operations, at_most: 0 } ]\n";

fn parse(testbed: TestbedName, name: &str, text: &str, folder: &Path) -> Result<Plan, Diagnostics> {
    scenario::parse(name, text, folder, &Catalogue::of(testbed, guarantee::promises()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(text: &str) -> Result<String, String> {
        let regions = ["east", "west"].map(|name| name.parse().unwrap());
        fault_from_text(TestbedName::Native, text, &regions, 1, &["sales".parse().unwrap()])
            .map(|fault| fault.to_string())
            .map_err(|errors| errors.render(false))
    }

    #[test]
    fn a_fault_is_written_as_in_a_scenario() {
        for text in
            ["region.outage: {region: east}", "{ region.outage: { region: east } }", " region.outage: {region: east} "]
        {
            assert_eq!(fault(text).unwrap(), "region.outage east");
        }
        assert_eq!(
            fault("process.kill: { process: \"east / postgres / sales\" }").unwrap(),
            "process.kill east / postgres / sales"
        );
        for (wrong, why) in [
            ("region.outrage: {region: east}", "did you mean `region.outage`"),
            ("region.outage: {region: north}", "unknown region `north`"),
            ("process.kill: { process: \"east / postgres / books\" }", "unknown process"),
            ("clock.skew: {}", "cannot do `clock.skew`"),
            ("nonsense", "unknown fault `nonsense`"),
        ] {
            let told = fault(wrong).unwrap_err();
            assert!(told.contains(why), "{wrong}: {told}");
        }
    }

    #[test]
    fn a_lab_is_checked_like_a_scenario() {
        let of_zones = |zones: u8, environment: (&str, &str), rate: Option<&str>| {
            let environments = [(environment.0.to_owned(), environment.1.to_owned())];
            plan_for(
                TestbedName::Native,
                &["here".to_owned(), "there".to_owned()],
                zones,
                &environments,
                rate,
                Path::new("/"),
            )
            .map_err(|errors| errors.render(false))
        };
        let plan = |environment, rate| of_zones(1, environment, rate);
        let good = plan(("sales", "finops-production"), Some("20/s")).unwrap();
        assert_eq!((good.regions.primary.as_str(), good.environments.len()), ("here", 1));
        assert!((good.workload.rate_per_s - 20.0).abs() < f64::EPSILON);
        assert_eq!(of_zones(3, ("sales", "dataverse-production"), None).unwrap().regions.zones, 3);
        assert!(of_zones(2, ("sales", "dataverse-production"), None).unwrap_err().contains("one zone or three"));
        assert!(plan(("sales", "finops-prodution"), None).unwrap_err().contains("did you mean `finops-production`"));
        assert!(plan(("sales", "finops-production"), Some("fast")).unwrap_err().contains("rate"));
    }
}
