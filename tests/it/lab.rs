//! The lab from outside: up, look, break, heal, switch, down; runs that are kept, judged again, and taken off the disk.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    path::PathBuf,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use geodrill::{lab::LabFile, os::files};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::{
    stage::{Stage, mode},
    support::geodrill,
    turn::beside,
};

fn lab(stage: &Stage) -> LabFile {
    let folder = &stage.folders()[0];
    files::read_json(&folder.join("lab.json")).expect("a lab stands")
}

/// What `status` says, as JSON.
pub fn status(stage: &Stage) -> serde_json::Value {
    let (code, out, err) = stage.call(&["status", "--format", "json"]);
    assert_eq!(code, 0, "{err}");
    serde_json::from_str(&out).expect("JSON")
}

fn faults(stage: &Stage) -> usize {
    status(stage)["faults"].as_array().map_or(0, Vec::len)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lab_stands_is_entered_broken_healed_switched_and_ended() {
    let _turn = beside().await;
    let stage = Stage::set().await;
    let no_lab = stage.expect(4, &["status"]);
    assert!(no_lab.contains("geodrill up"), "{no_lab}");

    let up = [
        "up",
        "--environment",
        "sales:dataverse-production",
        "--environment",
        "books:finops-production",
        "--name",
        "training",
        "--load",
        "20/s",
    ];
    let (code, said, progress) = stage.call(&up);
    assert_eq!(code, 0, "{said}{progress}");
    let stands = lab(&stage);
    let folder = stands.folder.clone();
    for private in ["lab.json", "lab.sock", "enter/pgpass", "enter/mc/config.json"] {
        assert_eq!(mode(&folder.join(private)), 0o600, "{private}");
    }
    let endpoints = stands.environments[0].endpoints.as_ref().expect("deployed");
    for secret in [&stands.control_token, &endpoints.app.secret, &endpoints.s3.secret] {
        assert!(!said.contains(secret.as_str()) && !progress.contains(secret.as_str()), "a secret was shown");
    }

    // What it says of how to enter works as it stands.
    let command = |what: &str| {
        let line = said.lines().find(|line| line.trim_start().starts_with(what)).unwrap_or_else(|| panic!("{said}"));
        line.trim_start()[what.len()..].trim().to_owned()
    };
    let shell = |line: &str| {
        let output = Command::new("sh").args(["-c", line]).output().expect("a shell");
        (output.status.success(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
    };
    let (ok, rows) = shell(&format!("{} -Atc 'SELECT count(*) > 0 FROM geodrill_data'", command("sales rows")));
    assert!(ok && rows.trim() == "t", "{rows}");
    let (ok, objects) = shell(&command("books files"));
    assert!(ok, "{objects}");

    let twice = stage.expect(64, &up);
    assert!(twice.contains("stands already") && twice.contains("--name"), "{twice}");
    let unknown = stage.expect(64, &["status", "other"]);
    assert!(unknown.contains("training"), "{unknown}");
    let kept = stage.expect(0, &["clean", "--all"]);
    assert!(kept.contains("it stands"), "{kept}");
    assert!(folder.join("lab.json").exists());

    let seen = stage.expect(0, &["status"]);
    for wanted in ["training", "sales", "books", "east:", "west:", "postgres/sales", "toxiproxy", "load: 20/s"] {
        assert!(seen.contains(wanted), "no {wanted} in:\n{seen}");
    }
    let running = status(&stage)["processes"].as_array().map_or(0, Vec::len);
    assert!(running >= 4 + 2 + 2 * (3 + 2), "{running} processes: {seen}");

    let wrong = stage.expect(64, &["inject", "region.outrage: {region: east}"]);
    assert!(wrong.contains("did you mean `region.outage`"), "{wrong}");
    let wrong = stage.expect(64, &["inject", "process.kill: {process: \"east / postgres / payroll\"}"]);
    assert!(wrong.contains("unknown process"), "{wrong}");
    let injected =
        stage.expect(0, &["inject", "link.partition: {link: \"east -> west / files\", mode: refuse}", "--for", "1s"]);
    assert!(injected.contains("fault-1"), "{injected}");
    let paused = stage.expect(0, &["inject", "{ process.pause: { process: \"west / compute\" } }"]);
    assert!(paused.contains("until `geodrill heal fault-2`"), "{paused}");
    assert!(stage.expect(0, &["status"]).contains("compute") && faults(&stage) >= 1);
    let deadline = Instant::now() + Duration::from_secs(20);
    while faults(&stage) > 1 {
        assert!(Instant::now() < deadline, "the fault did not heal by itself");
        std::thread::sleep(Duration::from_millis(100));
    }
    let seen = stage.expect(0, &["status"]);
    assert!(seen.contains("STOPPED") && seen.contains("fault-2"), "{seen}");
    assert!(stage.expect(64, &["heal", "fault-1"]).contains("there is: fault-2"));
    assert!(stage.expect(0, &["heal", "fault-2"]).contains("healed"));
    assert!(stage.expect(0, &["heal", "--all"]).contains("no fault is in force"));

    let refused = stage.expect(64, &["failover", "--unplanned", "--environment", "payroll"]);
    assert!(refused.contains("there is: sales, books"), "{refused}");
    let switched =
        stage.expect(0, &["failover", "--unplanned", "--environment", "sales", "--accept-data-loss", "--wait", "1m"]);
    assert!(switched.contains("is completed"), "{switched}");
    let lost = stage.expect(0, &["inject", "region.outage: {region: east}"]);
    assert!(lost.contains("region.outage east"), "{lost}");
    let (ok, rows) = shell(&format!("{} -Atc 'SELECT 1'", command("sales rows")));
    assert!(ok && rows.trim() == "1", "{rows}");

    let down = stage.expect(0, &["down"]);
    assert!(down.contains("lab training is ended"), "{down}");
    stage.wait_until_empty("a lab that was ended");
    assert!(stage.standing().is_empty());
    assert!(!folder.join("lab.json").exists() && !folder.join("enter").exists(), "secrets stay");
    assert!(stage.expect(0, &["clean"]).contains("1 runs"));
    assert!(stage.folders().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lab_whose_host_is_killed_is_gone_and_said_to_be() {
    let _turn = beside().await;
    let stage = Stage::set().await;
    stage.expect(0, &["up"]);
    let (code, out, _) = stage.call(&["status", "--format", "json"]);
    assert_eq!(code, 0, "{out}");
    let host = lab(&stage).host();
    host.signal(Signal::SIGKILL).expect("it may be killed");
    let (code, _, told) = stage.call(&["inject", "region.outage: {region: east}"]);
    // Its guardian may already be done with it.
    assert!((code == 64 && told.contains("is gone")) || (code == 4 && told.contains("no lab stands")), "{code} {told}");
    let gone = stage.wait_until_empty("a lab without host");
    println!("gone after {gone:.1?}");
    assert!(stage.expect(4, &["down"]).contains("no lab stands"));
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_while_a_lab_comes_up_undoes_it() {
    let _turn = beside().await;
    let stage = Stage::set().await;
    let mut up = stage.command().arg("up").stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("it starts");
    let lines = BufReader::new(up.stderr.take().expect("piped")).lines();
    let mut lines = lines.map_while(Result::ok);
    assert!(lines.any(|line| line.contains("deploying environments")));
    kill(Pid::from_raw(i32::try_from(up.id()).expect("a pid")), Signal::SIGINT).expect("it runs");
    let rest: Vec<String> = lines.collect();
    assert_eq!(up.wait().expect("it ends").code(), Some(130), "{rest:?}");
    stage.wait_until_empty("an interrupted start");
    assert!(stage.standing().is_empty());
}

const KEPT: &str = "geodrill: 1\nname: kept\nenvironments: [ { id: sales, kind: dataverse-production } ]\n\
    workload: { rate: 30/s, writers: 2, warm_up: 1s, settle: 1s, min_acked: 20 }\n\
    timeline: [ { pause: 1s } ]\nexpect: [ { measure: loss.operations, at_most: 0 } ]\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_kept_run_stands_is_judged_again_as_before_and_is_ended() {
    let _turn = beside().await;
    let stage = Stage::set().await;
    let file = stage.runs().with_file_name("kept.yaml");
    fs::write(&file, KEPT).expect("written");
    let told = stage.expect(0, &["run", &file.display().to_string(), "--keep"]);
    assert!(told.contains("geodrill down") && told.contains("results:"), "{told}");
    let stands = lab(&stage);
    let (folder, run) = (stands.folder.clone(), stands.run());
    let seen = stage.expect(0, &["status", &run]);
    assert!(seen.contains("postgres/sales"), "{seen}");
    // The final readings had cut both regions off; they are reached again.
    let lost = stage.expect(0, &["failover", "--unplanned", "--region", "east", "--accept-data-loss", "--wait"]);
    assert!(lost.contains("is completed"), "{lost}");

    let kept = fs::read(folder.join("report.json")).expect("judged");
    let again = stage.expect(0, &["rejudge", &run]);
    assert!(again.contains("judged as before") && again.contains("loss.operations"), "{again}");
    assert_eq!(fs::read(folder.join("report.json")).expect("judged"), kept, "rejudging changed the run");
    let altered =
        String::from_utf8(kept).expect("text").replacen("\"verdict\": \"held\"", "\"verdict\": \"violated\"", 1);
    fs::write(folder.join("report.json"), altered).expect("written");
    assert!(stage.expect(0, &["rejudge", &folder.display().to_string()]).contains("DIFFERS from the kept one"));
    assert!(stage.expect(64, &["rejudge", "no-such-run"]).contains("there is no run `no-such-run`"));

    assert!(stage.expect(0, &["down", &run]).contains("is ended"));
    stage.wait_until_empty("a kept run that was ended");
    let dry = stage.expect(0, &["clean", "--dry-run"]);
    assert!(dry.contains("would go") && dry.contains(&run), "{dry}");
    assert!(stage.expect(0, &["clean", "--older-than", "1h"]).contains("0 runs"));
    assert_eq!(stage.folders(), [folder] as [PathBuf; 1]);
    assert!(stage.expect(0, &["clean"]).contains("finished"));
    assert!(stage.folders().is_empty());
}

const GUARDED: &str = "geodrill: 1\nname: guarded\nenvironments: [ { id: sales, kind: dataverse-production } ]\n\
    platform: { reference: { permit: 800ms, poll: 200ms, guard: enforce, bound: 7s, automatic: false } }\n\
    workload: { rate: 30/s, writers: 2, warm_up: 1s, settle: 1s, min_acked: 20 }\n\
    timeline: [ { pause: 1s } ]\nexpect: [ { measure: loss.operations, at_most: 0 } ]\n";

#[tokio::test(flavor = "multi_thread")]
async fn past_an_enforced_bound_a_failover_wants_its_loss_accepted() {
    let _turn = beside().await;
    let stage = Stage::set().await;
    let file = stage.runs().with_file_name("guarded.yaml");
    fs::write(&file, GUARDED).expect("written");
    let told = stage.expect(0, &["run", &file.display().to_string(), "--keep"]);
    let line = told.lines().find_map(|line| line.trim_start().strip_prefix("sales rows")).expect("how to enter");
    let sql = |text: &str| {
        let command = format!("{} -Atc '{text}'", line.trim());
        Command::new("sh").args(["-c", &command]).output().expect("a shell").status.success()
    };
    // While the guard is in force nothing is written that it would have to refuse a failover for: writing ends before.
    assert!(stage.expect(0, &["expose", "--environment", "sales", "--accept-data-loss"]).contains("exposure granted"));
    stage.expect(0, &["inject", "link.partition: {link: \"east -> west / sql\", mode: refuse}"]);
    assert!(sql("CREATE TABLE exposed ()"), "exposed, and yet writes are withheld");
    std::thread::sleep(Duration::from_secs(9));
    assert!(sql("CREATE TABLE exposed_too ()"), "exposed, and yet writes are withheld past the bound");

    let order = ["failover", "--unplanned", "--environment", "sales"];
    let (code, out, refused) = stage.call(&order);
    assert!(code != 0 && refused.contains("7.0 s") && refused.contains("accept"), "{code} {out}{refused}");
    assert!(sql("CREATE TABLE still_here ()"), "a refused order did harm");
    let accepted = stage.expect(0, &[&order[..], &["--accept-data-loss", "--wait", "1m"]].concat());
    assert!(accepted.contains("is completed"), "{accepted}");
    assert!(!sql("SELECT FROM still_here") && sql("SELECT 1"), "what had not arrived is there");
    assert!(stage.expect(0, &["down", &lab(&stage).run()]).contains("is ended"));
    stage.wait_until_empty("a guarded run that was ended");
}

/// A table of the customer's own, with a file to each row.
const NOTES: &str = "CREATE TABLE notes (id int PRIMARY KEY, body text, object_key text, version_id text)";

/// What a customer does at its endpoints with its own tools.
struct Customer {
    psql: String,
    mc: String,
    bucket: String,
}

impl Customer {
    fn of(lab: &LabFile) -> Self {
        let doors = geodrill::lab::enter::doors(lab);
        let psql = doors.iter().find(|door| door.what == "sales rows").expect("how to enter").command.clone();
        let mc = format!("{} --config-dir {}", lab.mc.display(), lab.folder.join("enter/mc").display());
        let endpoints = lab.environments[0].endpoints.as_ref().expect("deployed");
        Self { psql, mc, bucket: format!("sales/{}", endpoints.bucket) }
    }

    fn shell(line: &str, input: &[u8]) -> String {
        let mut shell = Command::new("sh");
        shell.args(["-c", line]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = shell.spawn().expect("a shell");
        child.stdin.take().expect("piped").write_all(input).expect("it reads");
        let output = child.wait_with_output().expect("it ends");
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{line}: {told}");
        String::from_utf8(output.stdout).expect("text").trim().to_owned()
    }

    fn sql(&self, text: &str) -> String {
        Self::shell(&format!("{} -At -v ON_ERROR_STOP=1", self.psql), text.as_bytes())
    }

    /// Puts a file; returns its version id.
    fn put(&self, key: &str, body: &[u8]) -> String {
        Self::shell(&format!("{} pipe {}/{key}", self.mc, self.bucket), body);
        let stat = Self::shell(&format!("{} stat --json {}/{key}", self.mc, self.bucket), b"");
        let stat: serde_json::Value = serde_json::from_str(&stat).expect("JSON");
        stat["versionID"].as_str().expect("a version id").to_owned()
    }

    fn get(&self, key: &str, version: &str) -> String {
        Self::shell(&format!("{} cat --version-id {version} {}/{key}", self.mc, self.bucket), b"")
    }

    /// A row with its file.
    fn note(&self, id: u32, body: &str) {
        let key = format!("note-{id}.txt");
        let version = self.put(&key, format!("file of {body}").as_bytes());
        self.sql(&format!("INSERT INTO notes VALUES ({id}, '{body}', '{key}', '{version}')"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_lost_is_salvaged_and_put_in_again_by_its_customer() {
    let _turn = beside().await;
    let stage = Stage::set().await;
    stage.expect(0, &["up", "--environment", "sales:dataverse-production"]);
    let customer = Customer::of(&lab(&stage));
    customer.sql(NOTES);
    customer.note(1, "kept");
    let salvage = ["salvage", "--environment", "sales"];
    assert!(stage.expect(64, &salvage).contains("nothing was salvaged of `sales`"));
    assert!(stage.expect(64, &["salvage", "--environment", "sale"]).contains("there is: sales"));

    // What arrives nowhere else is lost with the switch.
    for store in ["sql", "files"] {
        let stall = format!("link.partition: {{link: \"east -> west / {store}\", mode: stall}}");
        stage.expect(0, &["inject", &stall]);
    }
    customer.note(2, "lost");
    let failover = ["failover", "--unplanned", "--environment", "sales", "--accept-data-loss", "--wait", "1m"];
    assert!(stage.expect(0, &failover).contains("is completed"));
    assert_eq!(customer.sql("SELECT body FROM notes"), "kept");
    customer.note(3, "later");
    stage.expect(0, &["heal", "--all"]);
    let deadline = Instant::now() + Duration::from_secs(90);
    while status(&stage)["platform"]["environments"][0]["phase"] != "protected" {
        assert!(Instant::now() < deadline, "no replica came back: {}", status(&stage));
        std::thread::sleep(Duration::from_millis(200));
    }

    let folder = stage.runs().with_file_name("lost");
    let told = stage.expect(0, &[&salvage[..], &["--into", &folder.display().to_string()]].concat());
    assert!(told.contains("sales: 1 rows, 1 objects and 0 delete markers") && told.contains("public.notes"), "{told}");
    let again = stage.expect(64, &[&salvage[..], &["--into", &folder.display().to_string()]].concat());
    assert!(again.contains("holds something already"), "{again}");
    assert_eq!(mode(&folder.join("rows.ndjson")), 0o600);
    let first = |file: &str| -> serde_json::Value {
        let text = fs::read_to_string(folder.join(file)).expect("written");
        serde_json::from_str(text.lines().next().expect("a line")).expect("JSON")
    };
    let (row, object) = (first("rows.ndjson"), first("objects.ndjson"));
    assert_eq!((&row["row"]["version_id"], &row["row"]["object_key"]), (&object["version_id"], &object["object_key"]));

    // Put in again it is another version of the file, which the row has to name.
    let (key, file) = (object["object_key"].as_str().expect("a key"), object["file"].as_str().expect("a file"));
    let version = customer.put(key, &fs::read(folder.join(file)).expect("written"));
    customer.sql(&format!(
        "INSERT INTO notes SELECT (jsonb_populate_record(NULL::notes, jsonb '{}' || jsonb '{{\"version_id\": \"{version}\"}}')).*",
        row["row"]
    ));
    let rows = customer.sql("SELECT id, body, object_key, version_id FROM notes ORDER BY id");
    let found: Vec<Vec<&str>> = rows.lines().map(|line| line.split('|').collect()).collect();
    let expected = [("1", "kept"), ("2", "lost"), ("3", "later")];
    assert_eq!(found.len(), expected.len(), "{rows}");
    for (row, (id, body)) in found.iter().zip(expected) {
        assert_eq!((row[0], row[1]), (id, body), "{rows}");
        assert_eq!(customer.get(row[2], row[3]), format!("file of {body}"));
    }
    // And it is there after the way home.
    assert!(stage.expect(0, &["failback", "--environment", "sales", "--wait", "1m"]).contains("is completed"));
    assert_eq!(customer.sql("SELECT id, body, object_key, version_id FROM notes ORDER BY id"), rows);
    assert_eq!(customer.get(found[1][2], found[1][3]), "file of lost");
    stage.expect(0, &["down"]);
}

#[test]
fn a_plan_is_drawn_with_what_each_step_touches() {
    let drawn = geodrill().args(["plan", "unplanned-failover"]).assert().code(0).get_output().stdout.clone();
    insta::assert_snapshot!(String::from_utf8(drawn).expect("text"));
    let json =
        geodrill().args(["plan", "short-outage", "--format", "json"]).assert().code(0).get_output().stdout.clone();
    let plan: serde_json::Value = serde_json::from_slice(&json).expect("JSON");
    assert_eq!(plan["steps"][0]["id"], "outage");
    assert_eq!(plan["steps"][0]["until_s"], 3.0);
    let links = plan["steps"][0]["links"].as_array().expect("links");
    assert!(links.iter().all(|link| link.as_str().expect("text").contains("east")) && links.len() >= 12, "{links:?}");
    assert!(plan["steps"][0]["processes"].as_array().expect("processes").contains(&"east / postgres / sales".into()));
    geodrill().args(["plan", "no-such"]).assert().code(64);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_no_replica_is_upgraded_by_hand_and_then_switched() {
    let _turn = beside().await;
    let stage = Stage::set().await;
    stage.expect(0, &["up", "--environment", "talk:dataverse-teams", "--load", "10/s"]);
    let planned = ["failover", "--planned", "--environment", "talk", "--wait"];
    let refused = stage.expect(64, &planned);
    assert!(refused.contains("until they are converted to dataverse-production"), "{refused}");
    assert!(stage.expect(64, &["convert", "--environment", "chat"]).contains("there is: talk"));
    let converted = stage.expect(0, &["convert", "--environment", "talk", "--wait"]);
    assert!(converted.contains("(convert) is completed"), "{converted}");
    assert!(stage.expect(64, &["convert", "--environment", "talk"]).contains("is a dataverse-production already"));
    assert_eq!(status(&stage)["platform"]["environments"][0]["kind"], "dataverse-production");
    assert!(stage.expect(0, &planned).contains("(planned-failover) is completed"));
    // Away from home, both sides go; until the return is over the order has to be given again.
    let deletion = ["delete", "talk", "--wait"];
    let started = std::time::Instant::now();
    let deleted = loop {
        let (code, out, refused) = stage.call(&deletion);
        if code == 0 {
            break out;
        }
        assert!(refused.contains("(return) is under way") && started.elapsed().as_secs() < 60, "{refused}");
        std::thread::sleep(Duration::from_millis(200));
    };
    assert!(deleted.contains("(delete) is completed"), "{deleted}");
    assert!(stage.expect(64, &deletion).contains("there is no environment `talk`"));
    assert!(stage.expect(64, &["delete", "tal"]).contains("there is: talk"));
    stage.expect(0, &["down"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sabotaged_platform_is_not_kept_standing() {
    let _turn = beside().await;
    let stage = Stage::set().await;
    for sabotage in ["skip-fence", "no-notice"] {
        let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("scenarios/sabotage/{sabotage}.yaml"));
        let told = stage.expect(64, &["run", &file.display().to_string(), "--keep"]);
        assert!(told.contains("a platform that is sabotaged is for drills alone"), "{told}");
    }
    assert!(stage.standing().is_empty(), "{:?}", stage.standing());
    stage.wait_until_empty("a refused lab");
}
