//! What Postgres, MinIO and the platform claim of replication, beside what is measured, on real servers.

use geodrill::{
    conduct::Drill,
    model::claim::{ClaimError, Claimant},
};

use crate::{support::drill, turn::alone};

/// Both links between the stores carry nothing for three seconds, and then all that was held back.
const HELD_BACK: &str = r#"
geodrill: 1
name: claims
about: Replication stands still for a while. Who says so, and how far off are they?
environments: [ { id: sales, kind: dataverse-production } ]
platform: { reference: { outage_grace: 60s } }
workload: { rate: 40/s, writers: 4, file_share: 20%, warm_up: 2s, settle: 4s, min_acked: 10 }
timeline:
  - parallel:
      - { id: rows, for: 3s, inject: { link.partition: { link: "east -> west / sql", mode: stall } } }
      - { id: files, for: 3s, inject: { files.replication_pause: { from: east } } }
  - { id: healed, when: { step: files, is: healed }, within: 60s, pause: 500ms }
expect:
  - { measure: switches, at_most: 0 }
  - { measure: loss.operations, at_most: 0 }
"#;

/// Seconds that the links stand still at least, but for the time that lag takes to be seen.
const HELD_S: f64 = 2.0;

fn find<'a>(claims: &'a [ClaimError], by: Claimant, claim: &str) -> &'a ClaimError {
    let found = claims.iter().find(|error| error.by == by && error.claim.contains(claim));
    found.unwrap_or_else(|| panic!("{by:?} is not asked for `{claim}`: {claims:#?}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_stands_still_is_measured_and_every_claim_of_it_has_its_error() -> anyhow::Result<()> {
    let _turn = alone().await;
    let finished = drill(Drill::from_text("claims.yaml", HELD_BACK, &std::env::temp_dir())?).run().await?.assert_held();
    let told = finished.human();
    let claims = &finished.measures.claims;
    println!("{told}");

    // The books of every claim are even, and each of the three was heard and compared.
    for error in claims {
        let counts = error.samples;
        let sum = counts.compared + counts.silent + counts.unanswered + counts.unmeasured;
        assert!(counts.samples == sum && counts.samples >= 10, "{error:?}");
        assert_eq!(error.error.is_some(), counts.compared > 0, "{error:?}");
    }
    for by in [Claimant::Postgres, Claimant::Minio, Claimant::Platform] {
        let compared: u64 = claims.iter().filter(|error| error.by == by).map(|error| error.samples.compared).sum();
        assert!(compared >= 10, "{by:?}: {compared} compared\n{told}");
    }

    // What was measured beside the claims is what the lag sampler saw, both stores far behind.
    let replay_lag = find(claims, Claimant::Postgres, "replay_lag");
    let seen = |error: &ClaimError| {
        error.measured.map_or(0.0, |measured| measured.worst).max(error.measured_unsaid_max.unwrap_or(0.0))
    };
    assert!(
        seen(replay_lag) >= HELD_S && seen(find(claims, Claimant::Platform, "exposure of files")) >= HELD_S,
        "{told}"
    );

    // Nothing comes back over a stalled link, so the primary's view of the lag stays at what was reported last, or says nothing.
    let is_silent = replay_lag.measured_unsaid_max.is_some_and(|unsaid| unsaid >= 1.0);
    assert!(is_silent || replay_lag.error.is_some_and(|error| error.worst <= -1.0), "{replay_lag:?}\n{told}");
    // The primary knows how much log it has written, so this is right in bytes.
    let behind = find(claims, Claimant::Postgres, "replay_lsn");
    assert!(behind.measured.is_some_and(|measured| measured.worst > 0.0), "{behind:?}\n{told}");
    // Of files it is known that at least so many had not arrived.
    let queue = find(claims, Claimant::Minio, "queue");
    assert!(queue.at_least && queue.measured.is_some_and(|measured| measured.worst >= 10.0), "{queue:?}\n{told}");

    // All of it is in the report, and a run that is judged again says the same.
    let rows = &finished.report.claim_errors;
    assert!(claims.iter().all(|error| rows.iter().any(|row| row.claim == error.claim && row.error == error.error)));
    let (again, _) = geodrill::conduct::judge::examine(&finished.folder)?;
    assert_eq!(again.claim_errors, finished.report.claim_errors);
    Ok(())
}
