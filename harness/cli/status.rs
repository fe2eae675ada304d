//! `status`: a lab at one moment, or second by second.

use std::{
    fmt::Write,
    io::{self, IsTerminal},
    time::Duration,
};

use super::{
    args::{Format, Status},
    entry::{complain, print},
    exit::Exit,
};
use crate::{
    api::{
        control::{EnvironmentStatus, GuardStatus, StoreClaim},
        environment::EnvironmentPhase,
        reports::FeatureStatus,
    },
    lab::{
        self,
        view::{View, look},
    },
};

/// How often it is shown anew.
const PERIOD: Duration = Duration::from_secs(1);

/// Shows a lab.
pub(super) async fn status(arguments: Status) -> Exit {
    let mut first = true;
    loop {
        let lab = match lab::find(arguments.lab.as_deref()) {
            Ok(lab) => lab,
            Err(error) => {
                complain(&error.to_string());
                return Exit::from(&error);
            }
        };
        let view = look(&lab).await;
        let live = arguments.watch && arguments.format == Format::Human && redraws();
        let text = match arguments.format {
            Format::Human if live => redrawn(&human(&view), first),
            Format::Human => human(&view) + if arguments.watch { "\n" } else { "" },
            Format::Json => {
                match if arguments.watch { serde_json::to_string(&view) } else { serde_json::to_string_pretty(&view) } {
                    Ok(text) => text + "\n",
                    Err(error) => {
                        complain(&error.to_string());
                        return Exit::Internal;
                    }
                }
            }
        };
        first = false;
        let printed = print(&text);
        if !arguments.watch || printed != Exit::Held {
            return printed;
        }
        tokio::select! {
            () = tokio::time::sleep(PERIOD) => {}
            // The watch is over as it was meant to be.
            _ = tokio::signal::ctrl_c() => return Exit::Held,
        }
    }
}

/// Whether the same place of a terminal can be written again and again.
fn redraws() -> bool {
    io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// The text from the terminal's upper left corner, over what was there.
fn redrawn(text: &str, first: bool) -> String {
    let mut out = String::from(if first { "\u{1b}[2J\u{1b}[H" } else { "\u{1b}[H" });
    for line in text.lines() {
        out.push_str(line);
        out.push_str("\u{1b}[K\r\n");
    }
    out.push_str("\u{1b}[J");
    out
}

fn human(view: &View) -> String {
    let mut text = format!("lab {}  since {}  {}\n", view.lab, view.started, view.folder);
    if let Some(why) = &view.host_silent {
        line(&mut text, format_args!("host: {why}"));
    }
    match (&view.platform, &view.platform_silent) {
        (Some(status), _) => {
            for region in &status.regions {
                let heard = |ms: Option<u64>| ms.map_or_else(|| "never heard".to_owned(), |ms| format!("{ms} ms ago"));
                let files = if region.files_ok { "files ok" } else { "files NOT ok" };
                let (node, compute) = (heard(region.node_silent_ms), heard(region.compute_silent_ms));
                let unfit = region.unfit.as_deref().map(|why| format!("  unfit: {why}")).unwrap_or_default();
                line(
                    &mut text,
                    format_args!(
                        "region {:<8} {:<9} node {node}, compute {compute}, {files}{unfit}",
                        region.region.as_str(),
                        region.thought
                    ),
                );
            }
            let edge = if status.edge_ready { "heard" } else { "NOT heard" };
            line(&mut text, format_args!("edge {edge}; notices owed: {}", status.notices_owed));
            let (promised, others): (Vec<_>, Vec<_>) =
                status.environments.iter().partition(|environment| environment.kind.has_replica());
            // Non-production and Teams after what is promised a replica.
            let shown = promised.into_iter().chain(others);
            shown.for_each(|environment| show_environment(&mut text, environment, view.zones));
            for operation in &status.operations {
                let steps: Vec<String> =
                    operation.environments.iter().map(|one| format!("{} {}", one.environment, one.step)).collect();
                line(&mut text, format_args!("operation {} {}: {}", operation.id, operation.kind, steps.join(", ")));
            }
        }
        (None, why) => {
            let why = why.as_deref().unwrap_or("it said nothing");
            line(&mut text, format_args!("platform: {why}"));
            line(&mut text, format_args!("environments: {}", view.environments.join(", ")));
        }
    }
    if let Some(load) = &view.load {
        line(
            &mut text,
            format_args!(
                "load: {:.0}/s offered to each, {} acknowledged, {} not",
                load.rate_per_s, load.acked_total, load.other_total
            ),
        );
    }
    let mut site = "";
    for process in &view.processes {
        if process.site != site {
            site = &process.site;
            write!(text, "{}{site}:", if text.ends_with('\n') { "" } else { "\n" }).unwrap_or_default();
        }
        let of = process.environment.as_deref().map(|environment| format!("/{environment}")).unwrap_or_default();
        let stopped = if process.state == "running" { "" } else { " STOPPED" };
        write!(text, "  {}{of} {}{stopped}", process.service, process.pid).unwrap_or_default();
    }
    if !text.ends_with('\n') {
        text.push('\n');
    }
    for fault in &view.faults {
        let heals = fault.heals_in_ms.map(|ms| format!(", heals in {:.1} s", seconds(ms))).unwrap_or_default();
        let doubt = if fault.proven { "" } else { " (not proven)" };
        line(
            &mut text,
            format_args!("fault {}: {} for {:.1} s{heals}{doubt}", fault.id, fault.fault, seconds(fault.for_ms)),
        );
    }
    text
}

fn show_environment(text: &mut String, environment: &EnvironmentStatus, zones: u8) {
    let EnvironmentStatus { id, kind, active, home, epoch, permit_left_ms, .. } = environment;
    let phase = format!("{:?}", environment.phase).to_lowercase();
    let by = match (environment.granting, environment.peer_granting) {
        (true, true) => "control and peer grant",
        (true, false) => "control grants",
        (false, true) => "peer grants",
        (false, false) => "NOBODY grants",
    };
    let mut more = String::new();
    if let Some(step) = &environment.step {
        write!(more, "  step {step}").unwrap_or_default();
    }
    if let Some(why) = &environment.why {
        write!(more, "  ({why})").unwrap_or_default();
    }
    if environment.dangling > 0 || environment.salvaged > 0 {
        write!(more, "  dangling {}, salvaged {}", environment.dangling, environment.salvaged).unwrap_or_default();
    }
    let id = id.as_str();
    line(
        text,
        format_args!(
            "{id:<12} {kind:<20} {phase:<11} active {active} (home {home})  epoch {epoch}  permit {permit_left_ms} ms, {by}{more}"
        ),
    );
    if zones > 1 {
        line(text, format_args!("  zone     {}", zone(environment)));
    }
    line(text, format_args!("  replica  {}", replica(environment)));
    if kind.has_replica() {
        show_guard(text, &environment.guard);
    }
    for FeatureStatus { feature, unavailable } in &environment.features {
        match unavailable {
            None => line(text, format_args!("  feature  {feature}: available")),
            Some(why) => line(text, format_args!("  feature  {feature}: NOT available  ({why})")),
        }
    }
    for claim in &environment.claims {
        let StoreClaim { region, sql, timeline, sql_behind_bytes, files_pending, files_oldest_ms, streaming } = claim;
        let sql = format!("{sql:?}").to_lowercase();
        let behind = sql_behind_bytes.map_or_else(String::new, |bytes| format!(" behind {bytes} B,"));
        let streams = if *streaming { "streaming" } else { "not streaming" };
        line(
            text,
            format_args!(
                "  {:<8} {sql} on timeline {timeline}, {streams},{behind} {files_pending} files pending (oldest {files_oldest_ms} ms)",
                region.as_str()
            ),
        );
    }
}

/// Where in the active region it is, and what stands in for that zone if it is lost, as the platform says it.
fn zone(environment: &EnvironmentStatus) -> String {
    let EnvironmentStatus { active, zone, synchronous, .. } = environment;
    let seat = zone.site(active);
    match synchronous {
        Some(other) => format!("{seat}, commits wait for {}", other.site(active)),
        None => format!("{seat}, NONE that could take over within the region now"),
    }
}

/// What stands in for the active region if that is lost, as the platform says it.
fn replica(environment: &EnvironmentStatus) -> String {
    let EnvironmentStatus { kind, active, claims, phase, last_back_up, .. } = environment;
    let back_up = last_back_up.map_or_else(|| "no back-up".to_owned(), |number| format!("last back-up: {number}"));
    let other = claims.iter().map(|claim| claim.region.as_str()).find(|region| *region != active.as_str());
    match (kind.has_replica(), kind.upgrades_to(), phase) {
        (false, Some(to), _) => format!("none is promised until it is converted to {to}; {back_up}"),
        (false, None, _) => format!("none is promised (non-production); {back_up}"),
        (true, _, EnvironmentPhase::Protected) => format!("in {}", other.unwrap_or("the other region")),
        (true, ..) => "NONE that could take over now".to_owned(),
    }
}

fn show_guard(text: &mut String, guard: &GuardStatus) {
    let GuardStatus { mode: _, bound_ms, state, level, exposure_ms, sql_ms, files_ms, guaranteed, automatic } = guard;
    let time = |ms: Option<u64>| ms.map_or_else(|| "?".to_owned(), |ms| format!("{:.1} s", seconds(ms)));
    let (state, level) = (format!("{state:?}").to_lowercase(), format!("{level:?}").to_lowercase());
    let void = if *guaranteed || *state == *"observing" { "" } else { "  NOT guaranteed" };
    let manual = if *automatic { "" } else { "  NO automatic failover" };
    line(
        text,
        format_args!(
            "  guard    {state}, {level}: up to {} would be lost (rows {}, files {}), bound {:.1} s{void}{manual}",
            time(*exposure_ms),
            time(*sql_ms),
            time(*files_ms),
            seconds(*bound_ms)
        ),
    );
}

fn line(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    text.write_fmt(arguments).unwrap_or_default();
    text.push('\n');
}

fn seconds(ms: u64) -> f64 {
    Duration::from_millis(ms).as_secs_f64()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{redrawn, show_environment};

    #[test]
    fn each_environment_says_its_kind_and_what_stands_in_for_its_region() {
        let check = |kind: &str, phase: &str, expected: &str| {
            let claim = |region: &str, sql: &str| {
                json!({
                    "region": region, "sql": sql, "timeline": 1, "sql_behind_bytes": null,
                    "files_pending": 0, "files_oldest_ms": 0, "streaming": true
                })
            };
            let environment = json!({
                "id": "sales", "kind": kind, "home": "east", "active": "east", "epoch": 1, "phase": phase, "why": null,
                "step": null, "granting": true, "peer_granting": true, "permit_left_ms": 700,
                "claims": [claim("east", "primary"), claim("west", "standby")], "dangling": 0, "salvaged": 0,
                "guard": {
                    "mode": "observe", "bound_ms": 900_000, "state": "observing", "level": "clear", "exposure_ms": 120,
                    "sql_ms": 120, "files_ms": 0, "guaranteed": false, "automatic": true
                },
                "features": []
            });
            let mut text = String::new();
            show_environment(&mut text, &serde_json::from_value(environment).unwrap(), 1);
            assert!(text.starts_with(&format!("sales        {kind:<20} {phase:<11} active east")), "{text}");
            assert_eq!(text.lines().nth(1), Some(expected), "{text}");
            assert_eq!(text.contains("  guard "), kind.ends_with("production"), "{text}");
        };
        check("dataverse-production", "protected", "  replica  in west");
        check("finops-production", "unprotected", "  replica  NONE that could take over now");
        check(
            "dataverse-teams",
            "unprotected",
            "  replica  none is promised until it is converted to dataverse-production; no back-up",
        );
        check("finops-sandbox", "unprotected", "  replica  none is promised (non-production); no back-up");
    }

    #[test]
    fn where_regions_are_divided_an_environment_says_its_zone_and_who_stands_in_for_it() {
        let check = |zone: u8, synchronous: Option<u8>, expected: &str| {
            let environment = json!({
                "id": "sales", "kind": "dataverse-production", "home": "east", "active": "east", "zone": zone,
                "synchronous": synchronous, "epoch": 2, "phase": "protected", "why": null, "step": null, "granting": true,
                "peer_granting": true, "permit_left_ms": 700, "claims": [], "dangling": 0, "salvaged": 0,
                "guard": {
                    "mode": "observe", "bound_ms": 900_000, "state": "observing", "level": "clear", "exposure_ms": 120,
                    "sql_ms": 120, "files_ms": 0, "guaranteed": false, "automatic": true
                },
            });
            let environment = serde_json::from_value(environment).unwrap();
            let (mut text, mut undivided) = (String::new(), String::new());
            show_environment(&mut text, &environment, 3);
            show_environment(&mut undivided, &environment, 1);
            assert_eq!(text.lines().nth(1), Some(expected), "{text}");
            assert!(!undivided.contains("  zone "), "{undivided}");
        };
        check(1, Some(2), "  zone     east, commits wait for east-2");
        check(3, Some(1), "  zone     east-3, commits wait for east");
        check(2, None, "  zone     east-2, NONE that could take over within the region now");
    }

    #[test]
    fn a_redrawn_line_covers_all_that_was_there() {
        assert_eq!(redrawn("a\nb\n", false), "\u{1b}[Ha\u{1b}[K\r\nb\u{1b}[K\r\n\u{1b}[J");
        assert!(redrawn("a\n", true).starts_with("\u{1b}[2J"));
    }
}
