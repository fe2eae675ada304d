//! The oracle: what a failover lost is exactly what the old primary's own log holds beyond the promotion point, token for
//! token, on real servers.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use geodrill::{
    conduct::Drill,
    ledger,
    model::{
        Token,
        operation::{EnvironmentIndex, Store, Told},
    },
    os::{files, spawn},
    testbed::setup::{self, SetupMode},
};
use sqlx::{Connection, PgConnection, Row, postgres::PgConnectOptions};

use crate::{support::drill, turn::alone};

const SCENARIO: &str = r#"
geodrill: 1
name: oracle
environments: [ { id: sales, kind: dataverse-production } ]
platform: { reference: { outage_grace: 1s } }
workload: { rate: 200/s, writers: 8, mix: { create: 55, overwrite: 25, delete: 10, transfer: 10 }, warm_up: 2s, settle: 2s }
timeline:
  - { id: held-back, inject: { link.partition: { link: "east -> west / sql", mode: stall } } }
  - { id: outage, delay: 2s, inject: { region.outage: { region: east } } }
  - { id: over, when: { event: failover.completed, environment: sales }, within: 120s, pause: 1s }
  - id: evidence
    when: { phase: quiesced }
    exec:
      command:
        - sh
        - -ec
        - |
          mkdir -p "$GEODRILL_RUN_DIR/evidence"
          cp -a "$(find "$GEODRILL_RUN_DIR/east" -type d -path '*/pg/sales')" "$GEODRILL_RUN_DIR/evidence/east"
          cp -a "$(find "$GEODRILL_RUN_DIR/west" -path '*/pg/sales/*' -name '00000002.history')" "$GEODRILL_RUN_DIR/evidence/"
expect:
  - { guarantee: dataverse.unplanned.loss, environment: sales, at_most: 10s }
"#;

#[tokio::test(flavor = "multi_thread")]
async fn what_is_lost_is_what_the_old_log_holds_beyond_the_promotion_point() -> Result<()> {
    let _turn = alone().await;
    let finished = drill(Drill::from_text("oracle.yaml", SCENARIO, &std::env::temp_dir())?).run().await?.assert_held();
    let told = finished.human();

    let evidence = finished.folder.join("evidence");
    let fork = fork(&evidence.join("00000002.history"))?;
    let programs = setup::ensure(&|_: &str| {}, SetupMode::Auto).await?;
    let commits = commits(&programs.postgres_bin, &evidence.join("east"))?;
    let written = history(&programs.postgres_bin, &evidence.join("east"), &finished.folder).await?;
    let beyond: BTreeSet<Token> = written
        .into_iter()
        .filter(|(_, transaction)| commits.get(transaction).is_some_and(|lsn| *lsn >= fork))
        .map(|(token, _)| token)
        .collect();

    let ledger = ledger::read(&finished.folder.join("ledger"))?;
    let (mut acked, mut in_doubt) = (BTreeSet::new(), BTreeSet::new());
    for (intent, outcome) in ledger.operations() {
        match outcome.map(|outcome| &outcome.told) {
            Some(Told::Ok { .. }) => _ = acked.insert(intent.token),
            Some(Told::Fail { .. }) => {}
            Some(Told::InDoubt { .. }) | None => _ = in_doubt.insert(intent.token),
        }
    }
    let event = finished
        .measures
        .events
        .iter()
        .find(|event| event.environment == EnvironmentIndex(0) && event.switched.is_some())
        .context("no switch was observed")?;
    let lost: BTreeSet<Token> =
        event.lost.iter().filter(|lost| lost.store == Store::Sql).map(|lost| lost.token).collect();

    assert!(lost.len() >= 100, "only {} were lost, too few to prove anything\n{told}", lost.len());
    let expected: BTreeSet<Token> = beyond.intersection(&acked).copied().collect();
    assert_eq!(
        (lost.difference(&expected).count(), expected.difference(&lost).count()),
        (0, 0),
        "measured and not in the log, and the other way round, of {} and {}\n{told}",
        lost.len(),
        expected.len()
    );
    let unexplained: Vec<_> = beyond.difference(&acked).filter(|token| !in_doubt.contains(token)).collect();
    assert!(unexplained.is_empty(), "neither acknowledged nor in doubt: {unexplained:?}\n{told}");
    Ok(())
}

/// The position at which timeline 2 leaves timeline 1.
fn fork(history: &Path) -> Result<u64> {
    let text = fs::read_to_string(history)?;
    let line = text.lines().find(|line| line.starts_with("1\t")).context("no line of timeline 1")?;
    lsn(line.split('\t').nth(1).context("no position")?)
}

fn lsn(text: &str) -> Result<u64> {
    let (high, low) = text.split_once('/').with_context(|| format!("`{text}` is no log position"))?;
    Ok(u64::from_str_radix(high, 16)? << 32 | u64::from_str_radix(low, 16)?)
}

/// Every commit in the log: transaction → position.
fn commits(bin: &Path, data: &Path) -> Result<BTreeMap<u64, u64>> {
    let mut segments: Vec<PathBuf> = fs::read_dir(data.join("pg_wal"))?.flatten().map(|entry| entry.path()).collect();
    segments.retain(|path| {
        path.file_name()
            .and_then(|name| name.to_str())
            .is_some_and(|name| name.len() == 24 && name.starts_with("00000001"))
    });
    segments.sort();
    let first = segments.first().context("no log")?;
    let output = Command::new(bin.join("pg_waldump"))
        .arg("--rmgr=Transaction")
        .arg(first)
        .arg(segments.last().context("no log")?)
        .output()?;
    // It ends with an error where the log ends, which is expected.
    let text = String::from_utf8_lossy(&output.stdout);
    let mut commits = BTreeMap::new();
    for line in text.lines().filter(|line| line.contains("desc: COMMIT")) {
        let after = |mark: &str| {
            line.split(mark).nth(1).map(|rest| rest.trim_start().split([',', ' ']).next().unwrap_or("").to_owned())
        };
        let (Some(transaction), Some(position)) = (after("tx:"), after("lsn:")) else {
            bail!("not understood: {line}")
        };
        commits.insert(transaction.parse()?, lsn(&position)?);
    }
    if commits.is_empty() {
        bail!("no commit in the log: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(commits)
}

/// Every row of the history in a copy of the old primary, with the transaction that wrote it. The copy is started in
/// isolation, on a socket alone.
async fn history(bin: &Path, data: &Path, home: &Path) -> Result<Vec<(Token, u64)>> {
    for leftover in ["postmaster.pid", "standby.signal"] {
        if data.join(leftover).exists() {
            fs::remove_file(data.join(leftover))?;
        }
    }
    fs::write(data.join("pg_hba.conf"), "local all all trust\n")?;
    let sockets = PathBuf::from(format!("/tmp/geodrill-oracle-{}", std::process::id()));
    files::private_folder(&sockets)?;
    give_all(data)?;
    // The folders above must let the service user through.
    files::give(home)?;
    files::give(&home.join("evidence"))?;
    let mut server = spawn::command(bin.join("postgres"), &sockets)
        .arg("-D")
        .arg(data)
        .args(["-c", "listen_addresses=", "-p", "5432", "-k"])
        .arg(&sockets)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let rows = read(&sockets).await;
    server.kill()?;
    server.wait()?;
    fs::remove_dir_all(&sockets)?;
    rows
}

fn give_all(path: &Path) -> Result<()> {
    files::give(path)?;
    if path.is_dir() && !path.is_symlink() {
        for entry in fs::read_dir(path)? {
            give_all(&entry?.path())?;
        }
    }
    Ok(())
}

async fn read(sockets: &Path) -> Result<Vec<(Token, u64)>> {
    let options =
        PgConnectOptions::new_without_pgpass().socket(sockets).port(5432).username("geodrill").database("sales");
    let mut last = None;
    for _ in 0..200 {
        match PgConnection::connect_with(&options).await {
            Ok(mut connection) => {
                let rows =
                    sqlx::query("select token, xmin::text from geodrill_history").fetch_all(&mut connection).await?;
                return rows
                    .iter()
                    .map(|row| Ok((row.get::<String, _>(0).parse()?, row.get::<String, _>(1).parse()?)))
                    .collect();
            }
            Err(error) => last = Some(error),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    bail!("the copy did not start: {last:?}")
}
