//! Every public call, once: the router and the OpenAPI document are made from this table, so none can be missing from
//! either.

use axum::routing::{MethodRouter, delete, get, post, put};
use schemars::{JsonSchema, Schema, SchemaGenerator};

use super::{http::Desk, public};
use crate::api::{
    control::{
        BackUp, Conversion, Copy, Dangling, Deploy, Events, Exposure, Failover, Health, Notice, OperationView, Restore,
        Salvage, Status, Subscription, SupportTicket, Tenant,
    },
    environment::EnvironmentView,
};

/// The schema of a type, by reference into the generator's definitions.
pub(super) type SchemaOf = fn(&mut SchemaGenerator) -> Schema;

/// One call.
pub(super) struct Call {
    /// `get`, `post`, `put`, `delete`.
    pub(super) method: &'static str,
    /// The path, its parameters in braces.
    pub(super) path: &'static str,
    /// Its name, unique.
    pub(super) name: &'static str,
    /// A sentence.
    pub(super) summary: &'static str,
    /// Parameters of the query, all whole numbers that may be left out.
    pub(super) query: &'static [(&'static str, &'static str)],
    /// The body.
    pub(super) body: Option<SchemaOf>,
    /// The status of its answer.
    pub(super) status: u16,
    /// The answer; `None`: bytes.
    pub(super) answer: Option<SchemaOf>,
    /// Statuses of its refusals, beside 401, 503 and 507.
    pub(super) refusals: &'static [u16],
    /// Who answers it.
    pub(super) handler: MethodRouter<Desk>,
}

fn of<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

impl Call {
    fn get<T: JsonSchema>(path: &'static str, name: &'static str, handler: MethodRouter<Desk>) -> Self {
        Self {
            method: "get",
            path,
            name,
            summary: "",
            query: &[],
            body: None,
            status: 200,
            answer: Some(of::<T>),
            refusals: &[],
            handler,
        }
    }

    fn bytes(path: &'static str, name: &'static str, handler: MethodRouter<Desk>) -> Self {
        Self { answer: None, ..Self::get::<()>(path, name, handler) }
    }

    fn put<B: JsonSchema>(path: &'static str, name: &'static str, handler: MethodRouter<Desk>) -> Self {
        Self { method: "put", body: Some(of::<B>), refusals: &[400], ..Self::get::<B>(path, name, handler) }
    }

    fn order<B: JsonSchema>(path: &'static str, name: &'static str, handler: MethodRouter<Desk>) -> Self {
        let refusals = &[400, 404, 409, 422];
        let answered = Self::get::<OperationView>(path, name, handler);
        Self { method: "post", body: Some(of::<B>), status: 202, refusals, ..answered }
    }

    fn delete(path: &'static str, name: &'static str, handler: MethodRouter<Desk>) -> Self {
        let answered = Self::get::<OperationView>(path, name, handler);
        Self { method: "delete", status: 202, refusals: &[404, 409], ..answered }
    }

    fn says(self, summary: &'static str) -> Self {
        Self { summary, ..self }
    }

    fn asks(self, query: &'static [(&'static str, &'static str)], refusals: &'static [u16]) -> Self {
        Self { query, refusals, ..self }
    }
}

const WAIT: (&str, &str) = ("wait_ms", "Longest wait, milliseconds; 30,000 at most.");

/// All of them.
pub(super) fn calls() -> Vec<Call> {
    vec![
        Call::get::<Health>("/v1/health", "health", get(public::health)).says("Who is up."),
        Call::get::<Status>("/v1/status", "status", get(public::status)).says(
            "Regions, environments with their claims and permits, operations under way: what an operator looks at.",
        ),
        Call::put::<Tenant>("/v1/tenants/{tenant}", "put-tenant", put(public::put_tenant))
            .says("Sets a tenant's licences."),
        Call::order::<Deploy>("/v1/environments", "deploy", post(public::deploy))
            .says("Deploys an environment: done once both replicas exist and stream, where its kind has any."),
        Call::order::<Conversion>("/v1/conversions", "convert", post(public::convert)).says(
            "Upgrades an environment to production: done once both replicas exist, stream and hold what was there before.",
        ),
        Call::order::<SupportTicket>("/v1/support-tickets", "ticket", post(public::ticket)).says(
            "Restores, of an environment that is served away from its home, what can be restored there: done once it is offered.",
        ),
        Call::order::<BackUp>("/v1/backups", "back-up", post(public::back_up))
            .says("Backs an environment up that has no replica: done once rows and files of one moment are copied."),
        Call::order::<Restore>("/v1/restores", "restore", post(public::restore))
            .says("Puts an environment's last back-up in the place of what it holds: done once customers are served from it."),
        Call::order::<Copy>("/v1/copies", "copy", post(public::copy)).says(
            "Puts a copy of a production environment in the place of what a sandbox of its product holds: done once the sandbox's customers are served from it.",
        ),
        Call::get::<Vec<EnvironmentView>>("/v1/environments", "environments", get(public::environments))
            .says("Every environment, by name, with its credentials."),
        Call::get::<EnvironmentView>("/v1/environments/{id}", "environment", get(public::environment))
            .asks(&[], &[404])
            .says("One environment, with its credentials."),
        Call::delete("/v1/environments/{id}", "delete", delete(public::delete)).says(
            "Deletes an environment: it is served to nobody at once, and done once nothing of it is left in either region. It cannot be undone; asked for again, it is the same operation.",
        ),
        Call::get::<Dangling>("/v1/environments/{id}/dangling", "dangling", get(public::dangling))
            .asks(&[], &[404])
            .says("References whose object version the active region does not have."),
        Call { refusals: &[400, 404, 409, 422], ..Call::put::<Exposure>("/v1/environments/{id}/exposure", "expose", put(public::expose)) }
            .says("Lets an environment be written to although more would be lost than the enforced bound allows, or ends that."),
        Call::get::<Salvage>("/v1/environments/{id}/salvage", "salvage", get(public::salvage))
            .asks(&[], &[404])
            .says("What existed on the returning side alone when it came back last, from that side's node."),
        Call::bytes("/v1/environments/{id}/salvage/objects/{number}", "salvaged-body", get(public::salvaged_body))
            .asks(&[], &[404])
            .says("The body of an object on that list, under the name that the list gives its file."),
        Call::order::<Failover>("/v1/failovers", "failover", post(public::failover))
            .says("Orders an unplanned failover, a planned one, or a failback."),
        Call::get::<OperationView>("/v1/operations/{id}", "operation", get(public::operation))
            .asks(&[WAIT], &[400, 404])
            .says("One operation; waits for its end if asked to."),
        Call::put::<Subscription>("/v1/subscriptions/{name}", "subscribe", put(public::subscribe))
            .says("Sets the address to which notices are posted until it answers 2xx."),
        Call::get::<Events>("/v1/events", "events", get(public::events))
            .asks(
                &[("after", "Number of the last event known; a thousand after it at most are answered."), WAIT],
                &[400],
            )
            .says("Platform events in order; waits for the first if asked to."),
        Call::get::<Vec<Notice>>("/v1/notices", "notices", get(public::notices)).says("The outbox."),
        Call::get::<serde_json::Value>("/v1/openapi.json", "openapi", get(public::document)).says("This document."),
    ]
}
