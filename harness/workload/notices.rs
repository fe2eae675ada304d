//! Postgres's warning that a commit is local only.
//!
//! A synchronous wait that is cancelled answers `INSERT 0 1` with a warning: to the client it looks acknowledged. sqlx
//! hands notices to nobody but `tracing`, inside the poll of the connection's own future: so a layer puts them back into
//! a variable of the task that waits for the answer.

use std::{cell::Cell, fmt, future::Future};

use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{Layer, filter::Targets, layer::Context, registry::LookupSpan};

/// Where sqlx sends notices.
const TARGET: &str = "sqlx::postgres::notice";

/// Part of each of Postgres's messages for a wait that ended early ("canceling wait for synchronous replication due to
/// user request", "... due to administrator command"). The words "committed locally" stand in the detail, which sqlx does
/// not pass on. Servers run with English messages.
const WAIT_ENDED: &str = "wait for synchronous replication";

tokio::task_local! {
    static LOCAL_ONLY: Cell<bool>;
}

/// The layer to add to the program's subscriber. Without it, `local_only` is never seen. It has its own filter: whatever
/// else is logged, it sees the warnings it is for.
pub fn layer<S: Subscriber + for<'a> LookupSpan<'a>>() -> impl Layer<S> {
    Notices.with_filter(Targets::new().with_target(TARGET, Level::WARN))
}

/// Runs `answer` and says beside its result whether Postgres warned, meanwhile, that a commit is local only.
pub(crate) async fn watched<F: Future>(answer: F) -> (F::Output, bool) {
    LOCAL_ONLY
        .scope(Cell::new(false), async {
            let answer = answer.await;
            (answer, LOCAL_ONLY.with(Cell::get))
        })
        .await
}

struct Notices;

impl<S: Subscriber> Layer<S> for Notices {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut found = Found(false);
        event.record(&mut found);
        if found.0 {
            // Outside a watched answer (the examiner's own connections) nobody asks.
            let _ = LOCAL_ONLY.try_with(|local_only| local_only.set(true));
        }
    }
}

struct Found(bool);

impl Visit for Found {
    fn record_str(&mut self, _: &Field, value: &str) {
        self.0 |= value.contains(WAIT_ENDED);
    }

    fn record_debug(&mut self, _: &Field, value: &dyn fmt::Debug) {
        self.0 |= format!("{value:?}").contains(WAIT_ENDED);
    }
}
