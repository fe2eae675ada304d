//! Regions with a part of the machine's processors each: what one leaves the other does not get, what is too little is found, and
//! nothing of it stays behind.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::PathBuf,
    process::Stdio,
};

use geodrill::{
    conduct::{Drill, Finished},
    model::{event::What, verdict::Verdict},
    os::cgroup::Cgroup,
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::{stage::Stage, support::drill, turn::alone};

const CARRIES: &str = "dataverse.compute.both-regions";

/// Why this machine gives a region no part of its own, if it does not.
fn missing() -> Option<String> {
    Cgroup::plan("geodrill-it").err()
}

fn carries(finished: &Finished) -> (Verdict, String) {
    let row = finished.report.guarantees.iter().find(|row| row.id == CARRIES).expect("it is judged");
    (row.verdict, row.why.clone().unwrap_or_default())
}

/// Of each look at a region, how many processes were held, and what was amiss.
fn looks(finished: &Finished) -> Vec<(String, u64, Option<String>)> {
    let events = fs::read_to_string(finished.folder.join("events.ndjson")).expect("a run has events");
    let events = events.lines().filter_map(|line| serde_json::from_str::<geodrill::model::event::Event>(line).ok());
    let quota = |what| match what {
        What::Quota { region, held, trouble, .. } => Some((region.to_string(), held, trouble)),
        _ => None,
    };
    events.filter_map(|event| quota(event.what)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn after_an_outage_the_other_region_is_judged_on_processors_of_its_own() -> anyhow::Result<()> {
    let _turn = alone().await;
    let finished = drill(Drill::shipped("lost-under-quota")?).run().await?;
    let (told, looks) = (finished.human(), looks(&finished));
    println!("{:?}; {looks:?}", carries(&finished));
    if let Some(why) = missing() {
        let (verdict, because) = carries(&finished);
        assert!(verdict == Verdict::Inconclusive && because.contains(&why), "{told}");
        return Ok(());
    }
    // Both at the beginning, and at the end the one that is left.
    assert_eq!(looks.len(), 4, "{looks:?}");
    assert!(looks.iter().all(|(_, _, trouble)| trouble.is_none()), "{looks:?}");
    assert!(looks.iter().all(|(region, held, _)| *held > 5 || region == "east"), "{looks:?}");
    finished.assert_held();
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_region_with_too_few_processors_is_found_out() -> anyhow::Result<()> {
    let _turn = alone().await;
    if let Some(why) = missing() {
        println!("not tried: {why}");
        return Ok(());
    }
    let finished = drill(Drill::shipped("too-little-compute")?).run().await?;
    println!("{:?}", carries(&finished));
    finished.assert_held();
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_platform_does_not_move_what_the_other_region_cannot_carry() -> anyhow::Result<()> {
    let _turn = alone().await;
    if let Some(why) = missing() {
        println!("not tried: {why}");
        return Ok(());
    }
    let finished = drill(Drill::shipped("too-little-compute-refused")?).run().await?;
    let events = fs::read_to_string(finished.folder.join("events.ndjson"))?;
    let why = events.lines().find(|line| line.contains("west cannot carry the load"));
    println!("{}", why.unwrap_or("no reason was told"));
    assert!(why.is_some(), "{}", finished.human());
    finished.assert_held();
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn after_ctrl_c_no_cgroup_is_left() {
    let _turn = alone().await;
    let stage = Stage::set().await;
    let file = stage.runs().with_file_name("quotas.yaml");
    let text = "geodrill: 1\nname: quotas\nregions: { processors: 0.9 }\n\
        environments: [ { id: sales, kind: dataverse-production } ]\n\
        workload: { rate: 20/s, writers: 2, warm_up: 30s, settle: 1s }\ntimeline: []\n\
        expect: [ { guarantee: integrity.corrupt } ]\n";
    fs::write(&file, text).expect("written");
    let mut run = stage.command();
    run.arg("run").arg(file).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut run = run.spawn().expect("the program starts");
    let mut lines = BufReader::new(run.stderr.take().expect("piped")).lines().map_while(Result::ok);
    assert!(lines.any(|line| line.contains("warming up")));
    let made = if missing().is_none() { 2 } else { 0 };
    assert_eq!(stage.cgroups().len(), made);
    kill(Pid::from_raw(i32::try_from(run.id()).expect("a pid")), Signal::SIGINT).expect("it runs");
    lines.for_each(drop);
    assert_eq!(run.wait().expect("it ends").code(), Some(130));
    assert_eq!(stage.cgroups(), Vec::<PathBuf>::new());
}
