//! Rows with an object each that are there before the load starts, so that a drill can be run on stores of a real size.
//! Each is an ordinary operation that is recorded: it has a fate like any other.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering::Relaxed},
};

use futures_util::future::try_join_all;

use super::{
    Target,
    desk::{Desk, House, Stream},
    hand::Hand,
    load::LoadSpec,
    prepare,
    sql::Sql,
    stop::stop,
};
use crate::{
    model::operation::{Connection, Lane, OpKind},
    workload::schedule::Wanted,
};

/// Writers side by side.
const HANDS: u16 = 8;
/// The first stream, past those of [`prepare`](super::prepare()); an environment has a stream for each writer.
const STREAM_FIRST: u32 = 0x100;

/// Writes as many rows and objects as the workload says, through the environment's doors. `written` follows it.
///
/// # Errors
/// What went wrong, in words. Nothing is tried twice.
pub async fn prefill(
    target: &Target,
    spec: &LoadSpec,
    deadline: std::time::Duration,
    written: &AtomicU32,
) -> Result<(), String> {
    let (switch, _) = stop();
    let house = Arc::new(House::new(spec.journal.clone(), spec.clock, spec.run, deadline, switch));
    let desk = Arc::new(Desk::new(house, target.clone()));
    let (count, bytes) = (spec.workload.prefill, spec.workload.file_bytes);
    let write = |number: u16| {
        let sql = Sql::new(desk.app("prefill"), Connection::LongLived);
        let mut hand = Hand::new(&desk, Lane::Writer(number), sql, desk.files(true, Connection::LongLived));
        let place = u32::from(target.environment.0) * u32::from(HANDS) + u32::from(number);
        hand.stream = Stream::new(STREAM_FIRST + place);
        async move {
            for key in (u32::from(number)..count).step_by(usize::from(HANDS)) {
                let wanted = Wanted::write(OpKind::Create, format!("prefilled-{key}").into(), false, true);
                prepare::written(&mut hand, &wanted, bytes).await?;
                written.fetch_add(1, Relaxed);
            }
            Ok(())
        }
    };
    try_join_all((0..HANDS).map(write)).await.map(drop)
}
