//! The grammar as JSON schema, for editors. It is made from the very tables that the decoder reads, so that neither can know
//! a field that the other does not. What only the catalogue or the rest of the file can tell (references, links, bounds on
//! guarantees) is the decoder's alone.

use serde_json::{Map, Value, json};

use super::{
    catalogue::Availability, catalogue::Catalogue, expect, fault, file, measured, platform, scalars, timeline, workload,
};
use crate::{
    api::{environment::EnvironmentKind, guard::GuardMode, ids::NAME_BYTES_MAX, sabotage::Sabotage},
    model::{
        fault::{Direction, OutageHow, PartitionMode, WebhookMode},
        plan::WantedOutcome,
    },
};

/// The schema of a scenario file, for any testbed; the committed copy is `fixtures/schema/scenario.json`.
pub fn schema() -> Value {
    let catalogue = Catalogue::of_any();
    let mut schema = closed(&file::FIELDS, &["geodrill", "name", "environments"], |field| match field {
        "geodrill" => json!({ "const": 1 }),
        "name" => reference("name"),
        "about" => json!({ "type": "string" }),
        "regions" => regions(),
        "platform" => platform(),
        "environments" => json!({
            "type": "array", "minItems": 1, "maxItems": file::ENVIRONMENTS_MAX, "items": environment()
        }),
        "workload" => workload(),
        "timeline" => json!({ "type": "array", "items": reference("step") }),
        "expect" => json!({ "type": "array", "items": expectation(&catalogue) }),
        _ => json!({ "type": "integer", "minimum": 0 }),
    });
    schema["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    schema["title"] = json!("geodrill scenario, version 1");
    schema["$defs"] = json!({
        "name": { "type": "string", "pattern": "^[a-z][a-z0-9-]*$", "maxLength": NAME_BYTES_MAX },
        "duration": { "type": "string", "pattern": "^[0-9]+(ms|s|m|h)$" },
        "size": { "type": "string", "pattern": "^[0-9]+(B|KiB|MiB)$" },
        "rate": { "type": "string", "pattern": "^[0-9]+/s$" },
        "bandwidth": { "type": "string", "pattern": "^[0-9]+(B|KiB|MiB)/s$" },
        "share": { "type": "string", "pattern": "^[0-9]+%$" },
        "link": { "type": "string", "description": "from -> to / service", "pattern": "->.*/" },
        "process": { "type": "string", "description": "site / service, or site / service / environment", "pattern": "/" },
        "step": step(&catalogue),
    });
    schema
}

fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/$defs/{name}") })
}

/// A map of these fields and no others.
fn closed(fields: &[&str], required: &[&str], of: impl Fn(&str) -> Value) -> Value {
    let properties: Map<String, Value> = fields.iter().map(|field| ((*field).to_owned(), of(field))).collect();
    let mut schema = json!({ "type": "object", "properties": properties, "additionalProperties": false });
    if !required.is_empty() {
        schema["required"] = json!(required);
    }
    schema
}

fn exactly_one(fields: &[&str]) -> Value {
    fields.iter().map(|field| json!({ "required": [field] })).collect()
}

fn regions() -> Value {
    closed(&file::REGION_FIELDS, &[], |field| match field {
        "processors" => json!({
            "description": "of the machine's processors, as many as each region's processes may use together",
            "oneOf": [processors(), closed(&file::PROCESSORS_FIELDS, &file::PROCESSORS_FIELDS, |_| processors())],
        }),
        "zones" => json!({ "enum": file::ZONES, "description": "of each region" }),
        _ => reference("name"),
    })
}

fn processors() -> Value {
    json!({ "type": "number", "minimum": scalars::PROCESSORS_MIN, "maximum": scalars::PROCESSORS_MAX })
}

fn platform() -> Value {
    let reference_platform = closed(&platform::FIELDS, &[], |field| match field {
        "automatic" | "automatic_return" => json!({ "type": "boolean" }),
        "guard" => json!({ "enum": GuardMode::ALL.map(GuardMode::as_str) }),
        "sabotage" => json!({
            "description": "broken on purpose, to show that it is found",
            "oneOf": Sabotage::ALL.iter().map(|one| json!({ "const": one.as_str(), "description": one.broken() })).collect::<Vec<_>>(),
        }),
        "at_once" => json!({ "type": "integer", "minimum": 1, "maximum": platform::AT_ONCE_MAX }),
        _ => reference("duration"),
    });
    closed(&["reference"], &["reference"], |_| reference_platform.clone())
}

fn environment() -> Value {
    closed(&file::ENVIRONMENT_FIELDS, &file::ENVIRONMENT_FIELDS, |field| match field {
        "kind" => json!({ "enum": EnvironmentKind::ALL.map(EnvironmentKind::as_str) }),
        _ => reference("name"),
    })
}

fn workload() -> Value {
    closed(&workload::FIELDS, &[], |field| match field {
        "rate" => reference("rate"),
        "writers" | "min_acked" => json!({ "type": "integer", "minimum": 1 }),
        "prefill" => json!({ "type": "integer", "minimum": 0, "maximum": workload::PREFILL_MAX }),
        "mix" => closed(&workload::MIX_FIELDS, &[], |_| json!({ "type": "integer", "minimum": 0 })),
        "file_share" => reference("share"),
        "file_size" => reference("size"),
        _ => reference("duration"),
    })
}

fn step(catalogue: &Catalogue) -> Value {
    let mut step = closed(&timeline::FIELDS, &[], |field| match field {
        "when" => when(catalogue),
        "inject" => faults(catalogue),
        "operate" => operations(catalogue),
        "exec" => closed(&timeline::EXEC_FIELDS, &["command"], |field| match field {
            "command" => json!({ "type": "array", "minItems": 1, "items": { "type": "string" } }),
            _ => reference("duration"),
        }),
        "id" | "heal" => reference("name"),
        "outcome" => json!({ "enum": WantedOutcome::ALL.map(WantedOutcome::as_str) }),
        "parallel" => json!({ "type": "array", "minItems": 1, "items": reference("step") }),
        _ => reference("duration"),
    });
    step["oneOf"] = exactly_one(&timeline::ACTIONS);
    step
}

fn when(catalogue: &Catalogue) -> Value {
    let mut when = closed(&timeline::WHEN_FIELDS, &[], |field| match field {
        "at" => reference("duration"),
        "is" => json!({ "enum": timeline::STATES }),
        "event" => json!({ "enum": catalogue.events }),
        "journal" => json!({ "enum": catalogue.journal_steps }),
        "lag" => closed(&measured::LAG_FIELDS, &measured::LAG_FIELDS, |field| match field {
            "store" => json!({ "enum": measured::STORES }),
            "at_least" => reference("duration"),
            _ => reference("name"),
        }),
        "count" => closed(&measured::COUNT_FIELDS, &["acked"], |field| match field {
            "acked" => json!({ "type": "integer", "minimum": 1, "maximum": measured::ACKED_MAX }),
            _ => reference("name"),
        }),
        "nth" => json!({ "type": "integer", "minimum": 1 }),
        "phase" => json!({ "const": "quiesced" }),
        _ => reference("name"),
    });
    when["oneOf"] = exactly_one(&timeline::TRIGGERS);
    when
}

/// A map with one entry: the fault, with its fields.
fn faults(catalogue: &Catalogue) -> Value {
    let available = catalogue.faults.iter().filter(|entry| entry.availability == Availability::Now);
    let faults: Map<String, Value> = available
        .map(|entry| {
            let is_required =
                |field: &&str| !fault::OPTIONAL.contains(field) || (*field == "mode" && entry.name != "link.flap");
            let required: Vec<&str> = entry.fields.iter().copied().filter(is_required).collect();
            let mut fault = closed(entry.fields, &required, |field| match field {
                "region" | "environment" | "from" => reference("name"),
                "mode" if entry.name == "webhook.fail" => {
                    json!({ "enum": WebhookMode::ALL.map(WebhookMode::as_str) })
                }
                "mode" => json!({ "enum": PartitionMode::ALL.map(PartitionMode::as_str) }),
                "direction" => json!({ "enum": Direction::ALL.map(Direction::as_str) }),
                "duty" | "share" => reference("share"),
                "seed" => json!({ "type": "integer", "minimum": 0 }),
                "zone" => json!({ "type": "integer", "minimum": 1, "maximum": file::ZONES[1] }),
                "how" => json!({ "enum": OutageHow::ALL.map(OutageHow::as_str) }),
                "at" => json!({ "enum": catalogue.journal_steps }),
                "rate" => reference("bandwidth"),
                "link" | "process" => reference(field),
                _ => reference("duration"),
            });
            fault["description"] = json!(entry.about);
            (entry.name.to_owned(), fault)
        })
        .collect();
    one_of(faults)
}

fn operations(catalogue: &Catalogue) -> Value {
    let available = catalogue.operations.iter().filter(|(_, availability)| *availability == Availability::Now);
    let operations: Map<String, Value> = available
        .map(|(name, _)| {
            let operation =
                closed(timeline::order_fields(name), timeline::required_fields(name), |field| match field {
                    "scope" => json!({ "enum": timeline::SCOPES }),
                    "region" | "environment" | "from" | "to" => reference("name"),
                    "environments" => json!({ "type": "array", "minItems": 1, "items": reference("name") }),
                    _ => json!({ "type": "boolean" }),
                });
            ((*name).to_owned(), operation)
        })
        .collect();
    one_of(operations)
}

fn one_of(properties: Map<String, Value>) -> Value {
    json!({
        "type": "object", "properties": properties, "additionalProperties": false,
        "minProperties": 1, "maxProperties": 1,
    })
}

fn expectation(catalogue: &Catalogue) -> Value {
    let measures: Vec<&str> = catalogue.measures.iter().map(|(name, _)| *name).collect();
    let mut entry = closed(&expect::FIELDS, &[], |field| match field {
        "guarantee" => json!({ "type": "string", "pattern": "^[a-z.-]+$" }),
        "measure" => json!({ "enum": measures }),
        "at_most" => json!({ "anyOf": [reference("duration"), { "type": "integer", "minimum": 0 }] }),
        "verdict" => json!({ "enum": expect::VERDICTS }),
        _ => reference("name"),
    });
    entry["oneOf"] = exactly_one(&["guarantee", "measure"]);
    entry
}
