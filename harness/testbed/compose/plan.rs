//! What is where: each container's ports, the layout that follows, the files that are mounted, and the variables that
//! `docker-compose.yml` takes. Pure, but for writing the files.
//!
//! The ports of a container are a row of numbers, published under the same numbers, since Compose publishes ranges and no
//! lists. `fixtures/compose/` and the defaults in `docker-compose.yml` are made by this very code.

use std::{
    collections::BTreeMap,
    fs, io,
    net::{IpAddr, Ipv4Addr},
    path::Path,
};

use serde::Serialize;

use super::relay::RelayConfig;
use crate::{
    api::{Address, Region},
    testbed::{
        layout::{Group, Layout, NodePrograms, Secrets, Settings, Site, hosts},
        ports,
    },
};

/// The project's Compose file.
pub(super) const COMPOSE_FILE: &str = include_str!("../../../docker-compose.yml");

/// The folder of the sites' folders in every container.
const FOLDER: &str = "/var/lib/geodrill";

/// The names that regions have.
pub(super) const REGIONS: [&str; 2] = ["east", "west"];

/// A project of Compose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Project(pub String);

impl Project {
    /// The name of a service's one container.
    pub fn container(&self, service: &str) -> String {
        format!("{}-{service}-1", self.0)
    }
}

/// A row of ports for each host that has some, the first and the last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rows(BTreeMap<String, (u16, u16)>);

impl Rows {
    /// How many ports a run of so many slots needs.
    pub fn count(regions: &[Region; 2], slots: u16) -> u16 {
        Self::needed(regions, slots).values().sum()
    }

    /// Rows from this port on.
    pub fn from(first: u16, regions: &[Region; 2], slots: u16) -> Self {
        let mut next = first;
        let row = |(host, count): (String, u16)| {
            let row = (next, next + count - 1);
            next += count;
            (host, row)
        };
        Self(Self::needed(regions, slots).into_iter().map(row).collect())
    }

    fn needed(regions: &[Region; 2], slots: u16) -> BTreeMap<String, u16> {
        let mut counts = Layout::needed(regions, 1, slots);
        // The relay's tunnel and the port where it dials for us, and the stores' consoles.
        let of_relay = [hosts::CLIENT, hosts::CLIENT].map(str::to_owned);
        for host in regions.iter().map(|region| hosts::of(region, "files")).chain(of_relay) {
            *counts.entry(host).or_default() += 1;
        }
        counts
    }

    fn row(&self, host: &str) -> (u16, u16) {
        self.0.get(host).copied().unwrap_or_default()
    }

    /// The port on which the examiner reaches the relay of notices.
    pub fn tunnel(&self) -> u16 {
        self.row(hosts::CLIENT).1 - 1
    }

    /// The port on which the relay dials for the examiner.
    pub fn dial(&self) -> u16 {
        self.row(hosts::CLIENT).1
    }

    /// The layout on these ports.
    pub fn layout(&self, regions: &[Region; 2], slots: u16) -> Layout {
        let mut taken: BTreeMap<String, u16> = BTreeMap::new();
        let every = IpAddr::from(Ipv4Addr::UNSPECIFIED);
        Layout::new(Path::new(FOLDER), every, regions, 1, slots, &mut |host| {
            let count = taken.entry(host.to_owned()).or_default();
            *count += 1;
            Address::new(host, self.row(host).0 + *count - 1)
        })
    }

    /// What `docker-compose.yml` asks for: `GEODRILL_PORTS_EAST_FILES` and the like; where one port of several is named,
    /// `GEODRILL_PORT_…`; and the first three numbers of all addresses, `GEODRILL_NET`, which no other run of this machine has,
    /// since none has these ports.
    pub fn variables(&self) -> BTreeMap<String, String> {
        let block = self.0.values().map(|(first, _)| first).min().map_or(0, |first| ports::block_of(*first));
        let mut variables = BTreeMap::from([("GEODRILL_NET".to_owned(), format!("{}.{block}", subnet()))]);
        for (host, (first, last)) in &self.0 {
            let name = host.to_uppercase().replace('-', "_");
            // Of the links between sites only the API is published.
            if !host.starts_with("links-") || host == &hosts::links(&Group::Common) {
                variables.insert(format!("GEODRILL_PORTS_{name}"), format!("{first}-{last}"));
            }
            if host.starts_with("links-") || host.ends_with("-files") {
                variables.insert(format!("GEODRILL_PORT_{name}"), first.to_string());
            }
            if host.ends_with("-files") {
                variables.insert(format!("GEODRILL_PORT_{name}_CONSOLE"), last.to_string());
            }
        }
        variables
    }
}

/// The first two numbers of all addresses, of which a machine may have other uses.
fn subnet() -> String {
    std::env::var("GEODRILL_SUBNET").ok().filter(|subnet| !subnet.is_empty()).unwrap_or_else(|| "10.213".to_owned())
}

/// Secrets of a run. The stores' root is the examiner's own login, the same in both, since MinIO takes it when it starts.
pub(super) fn secrets(regions: &[Region; 2]) -> Secrets {
    let mut secrets = Secrets::draw(regions);
    for root in secrets.files_root.values_mut() {
        root.clone_from(&secrets.auditor_s3);
    }
    secrets
}

/// What is mounted into the containers.
pub(super) struct Mounted<'a> {
    /// What is where.
    pub layout: &'a Layout,
    /// The relay's tunnel.
    pub rows: &'a Rows,
    /// Secrets of the run.
    pub secrets: &'a Secrets,
    /// What the roles are told besides.
    pub settings: Settings<'a>,
}

impl Mounted<'_> {
    /// The files by name. `links`: with every proxy, for who starts the containers by hand; the examiner makes its own, since a
    /// Toxiproxy that comes back must not open what is impeded.
    ///
    /// # Errors
    /// What cannot be written as JSON, which nothing is.
    pub fn files(&self, links: bool) -> io::Result<BTreeMap<String, String>> {
        let Mounted { layout, secrets, settings, .. } = self;
        let mut files = BTreeMap::new();
        let mut add =
            |name: String, text: io::Result<String>| text.map(|text| files.insert(format!("{name}.json"), text));
        add(hosts::CONTROL.to_owned(), json(&layout.control_config(secrets, settings)))?;
        add(hosts::EDGE.to_owned(), json(&layout.edge_config(secrets, settings)))?;
        let receiver = layout.proxies.iter().find(|proxy| proxy.upstream.host() == hosts::CLIENT);
        let listen = receiver.map_or(0, |proxy| proxy.upstream.port());
        let relay = RelayConfig {
            listen: layout.at(listen),
            tunnel: layout.at(self.rows.tunnel()),
            dial: layout.at(self.rows.dial()),
        };
        add(hosts::CLIENT.to_owned(), json(&relay))?;
        let programs = NodePrograms {
            postgres_bin: "/usr/lib/postgresql/15/bin".into(),
            template: None,
            mc: "/usr/local/bin/mc".into(),
        };
        for region in &layout.regions {
            let site = Site::whole(region);
            add(hosts::of(region, "node"), json(&layout.node_config(&site, secrets, settings, &programs)))?;
            add(hosts::of(region, "compute"), json(&layout.compute_config(&site, secrets, settings)))?;
        }
        for group in layout.groups.keys() {
            let shown = layout.proxies.iter().filter(|proxy| links && proxy.group == *group);
            let states: Vec<_> = shown.map(|proxy| proxy.state(layout.bind, true)).collect();
            add(hosts::links(group), json(&states))?;
        }
        Ok(files)
    }

    /// Writes the files, for everybody to read who can enter the folder: they are mounted into containers that know nothing
    /// of the runner's user. The run's folder above is its owner's alone.
    ///
    /// # Errors
    /// The system's.
    pub fn write(&self, folder: &Path) -> io::Result<()> {
        for (name, text) in self.files(false)? {
            fs::write(folder.join(name), text)?;
        }
        fs::write(folder.join("docker-compose.yml"), COMPOSE_FILE)
    }
}

fn json<T: Serialize>(value: &T) -> io::Result<String> {
    Ok(serde_json::to_string_pretty(value)? + "\n")
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::api::{
        control::Deploy,
        environment::{EnvironmentKind, Login},
        role::{Policy, Timers},
    };

    /// The first port of a stack that is brought up by hand.
    const FIRST: u16 = 21_000;
    const SLOTS: u16 = 2;

    fn regions() -> [Region; 2] {
        REGIONS.map(|name| name.parse().unwrap())
    }

    /// What a stack that is brought up by hand mounts: fixed secrets that are for nothing but trying it out.
    fn by_hand() -> BTreeMap<String, String> {
        let regions = regions();
        let rows = Rows::from(FIRST, &regions, SLOTS);
        let layout = rows.layout(&regions, SLOTS);
        let open = |user: &str| Login { user: user.to_owned(), secret: "for-trying-out-only".to_owned() };
        let mut secrets = secrets(&regions);
        secrets.api_token = "for-trying-out-only".to_owned();
        secrets.internal_token = "for-trying-out-only-inside".to_owned();
        secrets.auditor_sql = open("auditor");
        secrets.auditor_s3 = open("auditor");
        secrets.files_root.values_mut().for_each(|root| *root = open("auditor"));
        let (timers, policy) = (Timers::default(), Policy::default());
        let settings = Settings { timers: &timers, policy: &policy, sabotage: None };
        let mounted = Mounted { layout: &layout, rows: &rows, secrets: &secrets, settings };
        let mut files = mounted.files(true).unwrap();
        let mut control = layout.control_config(&secrets, &settings);
        control.deploy_first = vec![Deploy {
            id: "demo".parse().unwrap(),
            kind: EnvironmentKind::DataverseProduction,
            tenant: "demo".to_owned(),
            region: regions[0].clone(),
        }];
        files.insert("control.json".to_owned(), json(&control).unwrap());
        files
    }

    #[test]
    fn what_a_stack_by_hand_mounts_is_committed() {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures/compose");
        let wanted = by_hand();
        if std::env::var_os("GEODRILL_WRITE_SCHEMAS").is_some() {
            fs::create_dir_all(&folder).unwrap();
            wanted.iter().for_each(|(name, text)| fs::write(folder.join(name), text).unwrap());
        }
        for (name, text) in &wanted {
            let committed = fs::read_to_string(folder.join(name)).unwrap_or_default();
            let advice = "run `GEODRILL_WRITE_SCHEMAS=1 cargo test --features compose --lib compose` and commit it";
            assert!(committed == *text, "{name}: {advice}");
        }
        assert_eq!(fs::read_dir(&folder).unwrap().count(), wanted.len(), "a file that nobody mounts");
    }

    #[test]
    fn the_compose_files_own_ports_are_those_of_a_stack_by_hand() {
        let rows = Rows::from(FIRST, &regions(), SLOTS);
        for (name, value) in rows.variables().into_iter().filter(|(name, _)| name != "GEODRILL_NET") {
            assert!(COMPOSE_FILE.contains(&format!("${{{name}:-{value}}}")), "{name} has not the default {value}");
        }
        // And every variable of ports is one that is set.
        for part in COMPOSE_FILE.split("${GEODRILL_PORT").skip(1) {
            let name = format!("GEODRILL_PORT{}", part.split(":-").next().unwrap());
            assert!(rows.variables().contains_key(&name), "{name} is never set");
        }
    }

    #[test]
    fn the_ports_of_a_run_are_as_many_as_are_counted_and_none_is_given_twice() {
        for slots in [1, 2, 5] {
            let rows = Rows::from(30_000, &regions(), slots);
            let layout = rows.layout(&regions(), slots);
            let mut ports: Vec<u16> = layout.proxies.iter().map(|proxy| proxy.listen.port()).collect();
            ports.extend(layout.groups.values().map(Address::port));
            let given = ports.len();
            ports.sort_unstable();
            ports.dedup();
            assert_eq!(ports.len(), given);
            let last = 30_000 + Rows::count(&regions(), slots) - 1;
            assert!(ports.iter().all(|port| (30_000..=last).contains(port)));
            assert!(rows.tunnel() < rows.dial() && rows.dial() <= last);
        }
    }
}
