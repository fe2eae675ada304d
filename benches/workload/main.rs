//! The workload's throughput beside `pgbench`'s: one after the other, round after round, on the same real Postgres, with
//! the same statements, as many clients, a connection each, prepared statements, one statement a transaction, the disk
//! awaited at each commit.
//!
//! Both are driven to saturation: a client sends its next operation as soon as the last is answered. On our side that is
//! the load of a drill as it is, told to send far more than anybody can: so what is measured has its tokens, deadlines
//! and live figures, and its ledger, an intent and an outcome for each operation. What `pgbench` sends is the same
//! statement ([`statement_of`]) with values of the same length; but it gives each repetition of a parameter a number of its own,
//! its token and value are the same each time, and the three columns of an object, NULL with us, hold `NULL` as a text with
//! it, since it cannot send NULL. Neither goes through a proxy or a platform.
//!
//! - `create`: every operation writes a new key.
//! - `mixed`: creates and overwrites, 60 to 25 as in a load of which nothing is said; half of the overwrites are of own
//!   keys, half of eight keys that all clients write.

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use geodrill::{
    api::environment::Endpoints,
    ledger::Writer,
    model::{
        operation::{EnvironmentIndex, OpKind},
        plan::{Mix, Workload},
    },
    workload::{
        Clock, Load, LoadSpec, Target,
        drive::{prepare::tables, statement_of},
    },
};
use sqlx::PgConnection;
use tokio::time::sleep;

mod server;

#[path = "../support/args.rs"]
mod args;
#[path = "../support/grouped.rs"]
mod grouped;
#[path = "../support/scratch.rs"]
mod scratch;
#[path = "../support/mod.rs"]
mod support;

use grouped::grouped;
use scratch::Scratch;
use server::{DATABASE, Server, login};
use support::{median, table};

const ROUNDS: usize = 5;
const RAMP: Duration = Duration::from_secs(1);
const MEASURED: Duration = Duration::from_secs(4);

/// What is compared.
struct Case {
    name: &'static str,
    mix: Mix,
    /// Scripts of pgbench's, with their weights.
    scripts: &'static [(&'static str, OpKind, u32)],
}

/// A new key of 13 digits, as long as one of ours.
const NEW_KEY: &str = "\\set seq :seq + 1\n\\set key (1000 + :client_id) * 1000000000 + :seq\n";
/// One of the client's own last keys.
const OWN_KEY: &str =
    "\\set pick random(greatest(1, :seq - 4095), :seq)\n\\set key (1000 + :client_id) * 1000000000 + :pick\n";
/// One of eight.
const CONTENDED_KEY: &str = "\\set key random(9000000000000, 9000000000007)\n";

const CASES: [Case; 2] = [
    Case {
        name: "create",
        mix: Mix { create: 1, overwrite: 0, delete: 0, transfer: 0 },
        scripts: &[(NEW_KEY, OpKind::Create, 1)],
    },
    Case {
        name: "mixed",
        mix: Mix { create: 60, overwrite: 25, delete: 0, transfer: 0 },
        scripts: &[
            (NEW_KEY, OpKind::Create, 120),
            (OWN_KEY, OpKind::Overwrite, 25),
            (CONTENDED_KEY, OpKind::Overwrite, 25),
        ],
    },
];

fn main() {
    let rounds = if args::is_test() { 1 } else { ROUNDS };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let cases: Vec<(&Case, u16)> = CASES.iter().flat_map(|case| [1, 8].map(|clients| (case, clients))).collect();
    let wanted = |(case, clients): &(&Case, u16)| args::is_wanted(&format!("workload/{}/{clients}", case.name));
    let cases: Vec<_> = cases.into_iter().filter(wanted).collect();
    if cases.is_empty() {
        return;
    }
    let scratch = Scratch::new("workload");
    runtime.block_on(async {
        let server = Server::start(scratch.path()).await;
        let mut open = server.open().await;
        tables(&mut open, &login().user).await.expect("tables");
        let mut rows = Vec::new();
        for (case, clients) in cases {
            let (mut ours, mut theirs, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
            for round in 0..rounds {
                clear(&mut open).await;
                let pgbench = pgbench(&server, scratch.path(), case, clients);
                clear(&mut open).await;
                let ledger = scratch.path().join(format!("ledger-{}-{clients}-{round}", case.name));
                let drive = drive(&server, &ledger, case, clients).await;
                println!("workload/{}/{clients}: pgbench {pgbench:.0}/s, ours {drive:.0}/s", case.name);
                theirs.push(pgbench);
                ours.push(drive);
                ratios.push(drive / pgbench);
            }
            rows.push([
                format!("{}, {clients} clients", case.name),
                grouped(median(&theirs)),
                grouped(median(&ours)),
                format!("{:.2}", median(&ratios)),
            ]);
        }
        let title = format!(
            "Operations a second at saturation, PostgreSQL {}, medians of {rounds} rounds; the ratio is taken in each round",
            server.version
        );
        table(&title, ["what", "pgbench", "geodrill's workload", "ratio"], rows);
    });
}

/// Both begin with empty tables and a written-out cache.
async fn clear(open: &mut PgConnection) {
    for statement in ["TRUNCATE public.geodrill_data, public.geodrill_history", "CHECKPOINT"] {
        sqlx::raw_sql(statement).execute(&mut *open).await.expect(statement);
    }
}

/// Operations a second.
fn pgbench(server: &Server, folder: &Path, case: &Case, clients: u16) -> f64 {
    let mut pgbench = server.pgbench();
    pgbench.args(["-n", "-M", "prepared", "-c", &clients.to_string(), "-j", &clients.min(2).to_string()]);
    pgbench.args(["-T", &(RAMP + MEASURED).as_secs().to_string(), "-D", "seq=1", "-D", "none=NULL"]);
    // As long as ours are.
    pgbench.args(["-D", "token=00000007-001000-00000001-00", "-D", "value=0123456789abcdef0123456789abcdef"]);
    for (place, (keys, kind, weight)) in case.scripts.iter().enumerate() {
        let mut statement = statement_of(*kind).to_owned();
        for (number, variable) in [":key", ":token", ":value", ":none", ":none", ":none"].into_iter().enumerate() {
            statement = statement.replace(&format!("${}", number + 1), variable);
        }
        let script = folder.join(format!("{}-{place}.sql", case.name));
        std::fs::write(&script, format!("{keys}{statement};\n")).expect("a script");
        geodrill::os::files::give(&script).expect("a script that pgbench can read");
        pgbench.arg("-f").arg(format!("{}@{weight}", script.display()));
    }
    let output = pgbench.arg(DATABASE).output().expect("pgbench can be started");
    let text = String::from_utf8_lossy(&output.stdout);
    let tps = text.lines().find_map(|line| line.strip_prefix("tps = ")?.split(' ').next()?.parse().ok());
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    tps.unwrap_or_else(|| panic!("pgbench says: {text}"))
}

/// Operations a second.
async fn drive(server: &Server, ledger: &Path, case: &Case, clients: u16) -> f64 {
    let journal = Arc::new(Writer::create(ledger).expect("a ledger"));
    let endpoints = Endpoints {
        sql_rw_port: server.port,
        sql_ro_port: server.port,
        // Nobody listens there, and nothing but a first probe goes there.
        files_rw_port: 1,
        files_ro_port: 1,
        database: DATABASE.into(),
        app: login(),
        reader: login(),
        s3: login(),
        bucket: "none".into(),
    };
    let regions = ["east", "west"].map(|name| name.parse().expect("a name"));
    let workload = Workload {
        // A million a second is always due, so every writer sends as soon as it may.
        rate_per_s: 1e6,
        writers: clients,
        mix: case.mix.clone(),
        file_share: 0.0,
        file_bytes: 0,
        prefill: 0,
        deadline: Duration::from_secs(60),
        // Each kind of probe sends once at the start.
        probe_period: Duration::from_secs(3600),
        warm_up: Duration::ZERO,
        settle: Duration::ZERO,
        min_acked: 0,
    };
    let load = Load::start(LoadSpec {
        targets: vec![Target { environment: EnvironmentIndex(0), endpoints, regions }],
        workload,
        seed: 7,
        run: 7,
        clock: Clock::start(),
        journal: journal.clone(),
    });
    sleep(RAMP).await;
    let (began, before) = (Instant::now(), load.rates().acked_total);
    sleep(MEASURED).await;
    let per_s = (load.rates().acked_total - before) as f64 / began.elapsed().as_secs_f64();
    let stopped = load.stop().await;
    journal.close().expect("the ledger is on the disk");
    assert_eq!((stopped.problem, stopped.rates.failed_total, stopped.rates.in_doubt_total), (None, 0, 0));
    per_s
}
