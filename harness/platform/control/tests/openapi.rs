//! The document that the control plane serves is the committed one, and says what a reader may rely on.

use std::{collections::BTreeSet, fs, path::Path};

use serde_json::Value;

use super::super::{openapi::document, table::calls};

#[test]
fn the_committed_openapi_document_is_the_served_one() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/schema/openapi.json");
    let generated = format!("{}\n", serde_json::to_string_pretty(&document()).unwrap());
    if std::env::var_os("GEODRILL_WRITE_SCHEMAS").is_some() {
        fs::write(&path, &generated).unwrap();
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    assert!(committed == generated, "run `GEODRILL_WRITE_SCHEMAS=1 cargo test --lib openapi` and commit the result");
}

/// Every `$ref` below a value.
fn references(value: &Value, into: &mut BTreeSet<String>) {
    match value {
        Value::Object(map) => {
            into.extend(map.get("$ref").and_then(Value::as_str).map(ToOwned::to_owned));
            map.values().for_each(|value| references(value, into));
        }
        Value::Array(values) => values.iter().for_each(|value| references(value, into)),
        _ => {}
    }
}

#[test]
fn every_reference_in_the_openapi_document_leads_somewhere_and_names_are_unique() {
    let document = document();
    let mut found = BTreeSet::new();
    references(&document, &mut found);
    assert!(found.len() > 20, "{found:?}");
    for reference in found {
        let pointer = reference.strip_prefix('#').unwrap_or_else(|| panic!("{reference} leads out of the document"));
        assert!(document.pointer(pointer).is_some(), "{reference} leads nowhere");
    }
    let names: BTreeSet<&str> = calls().iter().map(|call| call.name).collect();
    assert_eq!(names.len(), calls().len());
    assert!(calls().iter().all(|call| !call.summary.is_empty()));
}
