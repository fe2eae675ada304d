//! What a scenario can name: faults, links, processes, events, guarantees, measures, and which of them a testbed offers.

use crate::{
    api::{
        EnvironmentId, Region, Zone,
        control::{EVENT_NAMES, STEP_NAMES},
    },
    model::{
        link::Link,
        plan::Regions,
        process::ProcessName,
        promise::{MEASURES, Promise},
        testbed::TestbedName,
    },
};

/// All that a scenario is checked against.
#[derive(Debug, Clone)]
pub struct Catalogue {
    /// The testbed's name.
    pub testbed: TestbedName,
    /// The names that regions must have there, in either order; `None`: any.
    pub regions: Option<[&'static str; 2]>,
    /// Every fault that scenarios may ever name, and whether this testbed has it.
    pub faults: Vec<FaultEntry>,
    /// Operations an operator may order.
    pub operations: Vec<(&'static str, Availability)>,
    /// Events of the platform.
    pub events: Vec<&'static str>,
    /// Steps that the control plane's journal enters.
    pub journal_steps: Vec<&'static str>,
    /// Guarantees of every set.
    pub guarantees: Vec<Promise>,
    /// Measures, each with its unit.
    pub measures: Vec<(&'static str, &'static str)>,
    /// The links that exist for two regions of so many zones.
    pub links: fn(&Regions) -> Vec<Link>,
    /// The processes that exist for two regions of so many zones and these environments.
    pub processes: fn(&Regions, &[EnvironmentId]) -> Vec<ProcessName>,
}

/// A fault by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FaultEntry {
    /// Its name.
    pub name: &'static str,
    /// One sentence.
    pub about: &'static str,
    /// Its fields.
    pub fields: &'static [&'static str],
    /// Whether it can be injected.
    pub availability: Availability,
}

/// Whether something that has a name can be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Availability {
    /// It can.
    Now,
    /// It will be; its name and grammar are kept for it.
    NotYet,
    /// This testbed cannot do it, for this reason.
    Never(&'static str),
}

/// What a step can wait for besides the end of the one before it.
pub const TRIGGERS: [(&str, &str); 7] = [
    ("at", "so long into the steady load, and not before"),
    ("step", "a step before it, or beside it, is started, done or healed"),
    ("event", "the platform says that this has happened"),
    ("journal", "the control plane's journal has entered this step"),
    ("lag", "the examiner has measured that a replica is so far behind"),
    ("count", "so many writes of the load were acknowledged since the steady load began"),
    ("phase", "quiesced: after the last write"),
];

impl Catalogue {
    /// What is to be had on one testbed or another, for a schema of files that may be meant for any; it knows no guarantees.
    pub(super) fn of_any() -> Self {
        let mut any = Self::of(TestbedName::Native, Vec::new());
        for testbed in TestbedName::ALL {
            for (entry, there) in any.faults.iter_mut().zip(faults(testbed)) {
                if there.availability == Availability::Now {
                    *entry = there;
                }
            }
        }
        any
    }

    /// What a testbed with the reference platform offers.
    pub fn of(testbed: TestbedName, guarantees: Vec<Promise>) -> Self {
        Self {
            testbed,
            regions: match testbed {
                TestbedName::Native => None,
                TestbedName::Compose => Some(["east", "west"]),
            },
            faults: faults(testbed),
            operations: vec![
                ("failover", Availability::Now),
                ("planned_failover", Availability::Now),
                ("failback", Availability::Now),
                ("convert", Availability::Now),
                ("support_ticket", Availability::Now),
                ("back_up", Availability::Now),
                ("destroy", Availability::Now),
                ("restore", Availability::Now),
                ("copy", Availability::Now),
            ],
            events: EVENT_NAMES.to_vec(),
            journal_steps: STEP_NAMES.to_vec(),
            guarantees,
            measures: MEASURES.to_vec(),
            links,
            processes,
        }
    }
}

/// The links between the sites of two regions, the witness, the edge and the clients.
pub fn links(regions: &Regions) -> Vec<Link> {
    let mut links: Vec<Link> = [
        ("client", "edge", "sql"),
        ("client", "edge", "files"),
        ("client", "witness", "control"),
        ("witness", "client", "notices"),
        ("witness", "edge", "routes"),
        ("edge", "witness", "control"),
    ]
    .into_iter()
    .map(|(from, to, service)| Link::new(from, to, service))
    .collect();
    let sites = sites(regions);
    for site in &sites {
        for service in ["sql", "files"] {
            links.push(Link::new("edge", site, service));
        }
        for to in std::iter::once(site).chain(sites.iter().filter(|other| *other != site)) {
            for service in ["sql", "files", "node"] {
                links.push(Link::new(site, to, service));
            }
        }
        links.push(Link::new(site, "witness", "control"));
        links.push(Link::new("witness", site, "node"));
        links.push(Link::new("witness", site, "compute"));
    }
    links
}

/// The processes of two regions, the witness and the edge.
pub fn processes(regions: &Regions, environments: &[EnvironmentId]) -> Vec<ProcessName> {
    let process = |site: &str, service: &str, environment: Option<&EnvironmentId>| ProcessName {
        site: site.to_owned(),
        service: service.to_owned(),
        environment: environment.cloned(),
    };
    let mut processes = vec![process("edge", "edge", None), process("witness", "control", None)];
    for site in sites(regions) {
        for service in ["files", "node", "compute", "postgres"] {
            processes.push(process(&site, service, None));
        }
        processes.extend(environments.iter().map(|environment| process(&site, "postgres", Some(environment))));
    }
    processes
}

/// The sites of both regions, zone by zone.
fn sites(regions: &Regions) -> Vec<String> {
    let of = |region: &Region| Zone::all(regions.zones).map(|zone| zone.site(region)).collect::<Vec<_>>();
    [of(&regions.primary), of(&regions.secondary)].concat()
}

fn faults(testbed: TestbedName) -> Vec<FaultEntry> {
    use Availability::{Never, NotYet, Now};
    const ONE_CLOCK: &str = "all its processes share this machine's one clock";
    const SHARED_CLOCK: &str = "containers share the kernel's one clock: a time namespace shifts no wall clock";
    const SHARED_DISK: &str =
        "its folders share this machine's disk; on `compose` a site can have a small one of its own";
    const NO_HOSTS: &str = "all its processes share this machine's one network; `compose` can do it";
    const NO_PACKETS: &str = "its links are TCP proxies, which see streams and not packets; `compose` can do it";
    const REVIVED: &str = "an old primary comes back and believes itself primary";
    // In a container Postgres is started by its node alone, which is what the fault goes round.
    let revive = if testbed == TestbedName::Native { Now } else { NotYet };
    let entry = |name, about, fields, availability| FaultEntry { name, about, fields, availability };
    let (packets, hosts, disks, clock) = match testbed {
        TestbedName::Native => (Never(NO_PACKETS), Never(NO_HOSTS), Never(SHARED_DISK), ONE_CLOCK),
        TestbedName::Compose => (Now, Now, Now, SHARED_CLOCK),
    };
    let later = |name, about| entry(name, about, &[] as &[&str], NotYet);
    vec![
        entry("region.outage", "every process of the region killed and every link cut, at once", &["region"], Now),
        entry("region.isolate", "every link of the region cut, its processes run on", &["region"], Now),
        entry(
            "zone.outage",
            "every process of a zone killed and every link cut, at once; or all frozen",
            &["region", "zone", "how"],
            Now,
        ),
        entry("zone.isolate", "every link of a zone cut, its processes run on", &["region", "zone"], Now),
        entry("link.partition", "a link that carries nothing", &["link", "mode", "direction"], Now),
        entry("link.flap", "a link that comes and goes", &["link", "period", "duty", "mode", "seed"], Now),
        entry("link.latency", "a link that is slow to answer", &["link", "latency", "jitter"], Now),
        entry("link.bandwidth", "a link that is narrow", &["link", "rate"], Now),
        entry("packet.loss", "packets of a link are lost, each way", &["link", "share", "seed"], packets),
        entry("packet.delay", "packets of a link arrive late, each way", &["link", "delay", "jitter", "seed"], packets),
        entry("packet.reorder", "packets of a link are overtaken, each way", &["link", "share", "by", "seed"], packets),
        entry("packet.corrupt", "packets of a link arrive changed, each way", &["link", "share", "seed"], packets),
        entry(
            "network.disconnect",
            "a process's host is off the network, and its processes run on",
            &["process"],
            hosts,
        ),
        entry("disk.full", "the disk that a process writes to has no space left", &["process"], disks),
        entry("process.kill", "SIGKILL to a process and all its children", &["process"], Now),
        entry("process.pause", "SIGSTOP to a process and all its children", &["process"], Now),
        entry("postgres.replay_pause", "a standby that receives and does not replay", &["region", "environment"], Now),
        entry("postgres.primary_revive", REVIVED, &["region", "environment"], revive),
        entry("files.replication_pause", "objects are not replicated", &["from"], Now),
        entry("webhook.fail", "the receiver of notices is slow, down or answers 500", &["mode"], Now),
        entry("control.crash", "the control plane dies, at a step if one is named", &["at", "down_for"], Now),
        later("link.truncate", "a link that breaks after so many bytes"),
        later("link.fragment", "a link that cuts what it carries into small pieces"),
        later("process.stop", "an orderly stop"),
        later("process.crash_loop", "a process that dies again after each start"),
        later("disk.slow", "writes take long"),
        later("volume.loss", "a data folder is gone"),
        later("file.corrupt", "bytes of a file are changed"),
        later("postgres.slot_drop", "a replication slot is dropped"),
        later("postgres.wal_gap", "log that a standby needs is gone"),
        later("postgres.standby_loss", "a standby is gone"),
        later("postgres.connections_exhaust", "no connection is left"),
        later("files.backlog", "many objects wait for replication"),
        later("files.credentials_revoke", "the replication credential is revoked"),
        later("files.versions_diverge", "both sides have versions of their own"),
        later("control.isolate", "the control plane is cut off"),
        later("routing.stale", "the edge keeps an old route"),
        later("failover.interrupted", "a failover is broken off"),
        entry("clock.skew", "clocks disagree", &[], Never(clock)),
    ]
}
