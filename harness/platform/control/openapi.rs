//! The public API as an OpenAPI 3.1 document, whose schemas are JSON Schema 2020-12 as the API's own types derive it.

use schemars::{SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value, json};

use super::table::{Call, calls};
use crate::api::control::Refusal;

/// Where the document keeps the schemas of types.
const SCHEMAS: &str = "/components/schemas";

/// The document.
pub(super) fn document() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = SCHEMAS.into();
        settings.meta_schema = None;
    });
    let mut generator = settings.into_generator();
    let mut paths = Map::new();
    for call in calls() {
        let described = operation(&call, &mut generator);
        if let Some(item) = paths.entry(call.path).or_insert_with(|| json!({})).as_object_mut() {
            item.insert(call.method.to_owned(), described);
        }
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "geodrill reference platform",
            "summary": "The control API, version 1: HTTP on loopback.",
            "version": env!("CARGO_PKG_VERSION"),
            "license": { "name": "MIT OR Apache-2.0" },
        },
        "security": [{ "token": [] }],
        "paths": paths,
        "components": {
            "securitySchemes": { "token": { "type": "http", "scheme": "bearer" } },
            "schemas": generator.take_definitions(true),
        },
    })
}

fn operation(call: &Call, generator: &mut SchemaGenerator) -> Value {
    let mut parameters: Vec<Value> = (call.path.split('/'))
        .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
        .map(|name| json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } }))
        .collect();
    parameters.extend(call.query.iter().map(|(name, what)| {
        let schema = json!({ "type": "integer", "minimum": 0, "default": 0 });
        json!({ "name": name, "in": "query", "description": what, "schema": schema })
    }));
    let mut responses = Map::new();
    let answer = match call.answer {
        Some(answer) => content("Done, or taken.", &answer(generator)),
        None => json!({ "description": "Its bytes.", "content": { "application/octet-stream": {} } }),
    };
    responses.insert(call.status.to_string(), answer);
    let refusal = generator.subschema_for::<Refusal>();
    for status in [401, 503, 507].iter().chain(call.refusals) {
        responses.insert(status.to_string(), content(reason(*status), &refusal));
    }
    responses.sort_keys();
    let mut described = json!({ "operationId": call.name, "summary": call.summary, "responses": responses });
    if !parameters.is_empty() {
        described["parameters"] = Value::Array(parameters);
    }
    if let Some(body) = call.body {
        let schema = body(generator);
        described["requestBody"] = json!({ "required": true, "content": { "application/json": { "schema": schema } } });
    }
    described
}

fn content(description: &str, schema: &schemars::Schema) -> Value {
    json!({ "description": description, "content": { "application/json": { "schema": schema } } })
}

fn reason(status: u16) -> &'static str {
    match status {
        400 => "The call is malformed.",
        401 => "The token is missing or wrong.",
        404 => "There is no such thing.",
        409 => "Not now.",
        422 => "Not allowed.",
        507 => "Its disk is full: nothing is done until there is room on it.",
        _ => "The control plane, or a node it has to ask, does not answer: try again.",
    }
}
