//! `list`: what there is to run, to break and to hold.

use std::fmt::Write;

use serde_json::{Value, json};

use super::args::{Format, Listed};
use crate::{
    api::sabotage::Sabotage,
    guarantee,
    model::{fault::Fault, testbed::TestbedName},
    scenario::{self, Availability, Catalogue},
};

/// The list as text.
pub(super) fn list(what: Option<Listed>, format: Format) -> String {
    let wanted = |listed| what.is_none_or(|what| what == listed);
    let mut sections: Vec<(&str, Vec<(String, String)>)> = Vec::new();
    if wanted(Listed::Scenarios) {
        let shipped = scenario::shipped();
        sections.push(("scenarios", shipped.into_iter().map(|one| (one.name.to_owned(), one.about)).collect()));
    }
    if wanted(Listed::Faults) {
        sections.push(("faults", Fault::NAMES.iter().map(|name| ((*name).to_owned(), offered_by(name))).collect()));
    }
    if wanted(Listed::Triggers) {
        let all = scenario::TRIGGERS.map(|(name, about)| (name.to_owned(), about.to_owned()));
        sections.push(("triggers", all.to_vec()));
    }
    if wanted(Listed::Guarantees) {
        let all = guarantee::sets().into_iter().flat_map(|set| set.guarantees);
        sections.push(("guarantees", all.map(|one| (one.id, one.says)).collect()));
    }
    if wanted(Listed::Sabotages) {
        let all = Sabotage::ALL.iter().map(|one| (one.to_string(), format!("{}; {}", one.broken(), one.caught_by())));
        sections.push(("sabotages", all.collect()));
    }
    if wanted(Listed::Testbeds) {
        let about = |name| match name {
            TestbedName::Native => "processes on loopback: real Postgres, MinIO and Toxiproxy",
            TestbedName::Compose => {
                "the same as containers, by Docker Compose: a network a region or zone, Toxiproxy the only bridge"
            }
        };
        let all = TestbedName::ALL.map(|name| (name.to_string(), about(name).to_owned()));
        sections.push(("testbeds", all.to_vec()));
    }
    match format {
        Format::Human => human(&sections),
        Format::Json => {
            let object: serde_json::Map<String, Value> = sections
                .into_iter()
                .map(|(name, rows)| {
                    let rows = rows.into_iter().map(|(id, about)| json!({ "id": id, "about": about })).collect();
                    (name.to_owned(), Value::Array(rows))
                })
                .collect();
            format!("{:#}\n", Value::Object(object))
        }
    }
}

/// The testbeds on which a fault can be injected.
fn offered_by(fault: &str) -> String {
    let offers = |testbed: &TestbedName| {
        let catalogue = Catalogue::of(*testbed, Vec::new());
        catalogue.faults.iter().any(|entry| entry.name == fault && entry.availability == Availability::Now)
    };
    TestbedName::ALL.into_iter().filter(offers).map(TestbedName::as_str).collect::<Vec<_>>().join(", ")
}

fn human(sections: &[(&str, Vec<(String, String)>)]) -> String {
    let width = sections.iter().flat_map(|(_, rows)| rows).map(|(id, _)| id.len()).max().unwrap_or(0);
    let mut text = String::new();
    for (name, rows) in sections {
        writeln!(text, "{name}").unwrap_or_default();
        for (id, about) in rows {
            writeln!(text, "  {id:<width$}  {about}").unwrap_or_default();
        }
    }
    text
}
