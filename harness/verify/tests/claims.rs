//! Claims, laid beside what was measured at the same moments.

use super::world::*;
use crate::model::{
    claim::{ClaimCounts, ClaimError, ClaimSample, FilesSays, PlatformSays, ReceiverView, Spread, SqlSays},
    event::{Event, What},
    operation::*,
};

const SALES: EnvironmentIndex = EnvironmentIndex(0);

fn sample() -> ClaimSample {
    ClaimSample { environment: SALES, serving: Side(0), sql: [None, None], files: None, platform: None }
}

fn lag(sql_s: f64, files_s: f64, missing: u64) -> What {
    let (sql_s, files_s, files_missing) = (Some(sql_s), Some(files_s), Some(missing));
    What::Lag { environment: SALES, sql_s, files_s, files_missing, due: true }
}

/// The claims of a run with these events, each at its milliseconds.
fn claims(events: Vec<(u64, What)>) -> Vec<ClaimError> {
    let mut world = World::new();
    world.write(1, OpKind::Create, "a", false, Answer::Ok);
    world.events.extend(events.into_iter().map(|(at, what)| Event { at: ms(at), what }));
    world.now = 20_000;
    world.finish().verify().claims
}

fn of<'a>(claims: &'a [ClaimError], claim: &str) -> &'a ClaimError {
    claims.iter().find(|error| error.claim == claim).unwrap()
}

fn assert_books(claims: &[ClaimError]) {
    for ClaimError { samples, claim, .. } in claims {
        let sum = samples.compared + samples.silent + samples.unanswered + samples.unmeasured;
        assert_eq!(samples.samples, sum, "{claim}");
    }
}

#[test]
fn nobody_asked_is_no_claim() {
    assert_eq!(claims(vec![(1_000, lag(0.0, 0.0, 0))]), []);
}

#[test]
fn a_lag_that_is_claimed_is_laid_beside_the_nearest_one_measured() {
    let receiver = |replay_lag_s| Some(ReceiverView { replay_lag_s, behind_bytes: Some(70.0) });
    let says = |replay_lag_s, lsn| {
        let primary = SqlSays { lsn: Some(lsn), receiver: receiver(replay_lag_s), ..SqlSays::default() };
        let standby = SqlSays { in_recovery: true, lsn: Some(100), since_replay_s: Some(9.0), ..SqlSays::default() };
        What::Claimed(ClaimSample { sql: [Some(primary), Some(standby)], ..sample() })
    };
    let claims = claims(vec![
        (1_000, lag(1.0, 0.0, 0)),
        (1_100, says(Some(0.25), 150)),
        (1_250, lag(3.0, 0.0, 0)),
        // NULL while three seconds are missing.
        (1_300, says(None, 400)),
        // Said, and the sampler was away.
        (9_000, says(Some(0.5), 100)),
        (9_500, What::Claimed(sample())),
    ]);
    assert_books(&claims);
    let replay_lag = of(&claims, "pg_stat_replication.replay_lag");
    let counts = ClaimCounts { samples: 4, compared: 1, silent: 1, unanswered: 1, unmeasured: 1 };
    assert_eq!(replay_lag.samples, counts);
    assert_eq!(replay_lag.error, Some(Spread { median: -0.75, worst: -0.75 }));
    assert_eq!(replay_lag.measured_unsaid_max, Some(3.0));
    // Idle, so it grows though nothing is missing.
    let since = of(&claims, "now() - pg_last_xact_replay_timestamp()");
    assert_eq!(since.error, Some(Spread { median: 6.0, worst: 8.0 }));
    // Both ends of the log were read.
    let behind = of(&claims, "pg_wal_lsn_diff(..., replay_lsn)");
    assert_eq!((behind.samples.compared, behind.error.unwrap().worst), (3, -230.0));
    assert_eq!(of(&claims, "replication queue").why.as_deref(), Some("nobody answered who could have said it"));
}

#[test]
fn a_count_of_objects_is_wrong_only_below_what_is_known_to_be_missing() {
    let says = |queued| {
        let files = Some(FilesSays { queued: Some(queued), laid_aside: None });
        What::Claimed(ClaimSample { files, ..sample() })
    };
    let claims = claims(vec![
        (1_000, lag(0.0, 1.0, 4)),
        (1_100, says(0.0)),
        (1_250, lag(0.0, 1.2, 6)),
        (1_300, says(90.0)),
        (1_500, lag(0.0, 0.0, 0)),
        // What was missing just before had come by then, for all that is known.
        (1_600, says(0.0)),
        (1_750, lag(0.0, 0.0, 0)),
        // Nothing was looked for after it.
        (1_900, says(3.0)),
    ]);
    assert_books(&claims);
    let queue = of(&claims, "replication queue");
    assert!(queue.at_least);
    assert_eq!((queue.samples.compared, queue.samples.unmeasured), (3, 1));
    assert_eq!(queue.error, Some(Spread { median: 0.0, worst: -4.0 }));
    assert_eq!(of(&claims, "failed, to be retried").samples.silent, 4);
    assert_eq!(of(&claims, "failed, to be retried").why.as_deref(), Some("it was never said"));
}

#[test]
fn the_platforms_exposure_is_laid_beside_the_larger_lag() {
    let platform =
        PlatformSays { exposure_s: Some(2.5), sql_s: Some(0.5), files_s: Some(2.5), ..PlatformSays::default() };
    let says = What::Claimed(ClaimSample { platform: Some(platform), ..sample() });
    let claims = claims(vec![(1_000, lag(0.25, 2.0, 1)), (1_000, says)]);
    assert_books(&claims);
    let worst = |claim| of(&claims, claim).error.map(|error| error.worst);
    assert_eq!(
        (worst("exposure"), worst("exposure of rows"), worst("exposure of files")),
        (Some(0.5), Some(0.25), Some(0.5))
    );
    assert_eq!(of(&claims, "files pending").samples.silent, 1);
}
